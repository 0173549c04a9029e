//! What the local agent says about itself.

use serde::Deserialize;

use super::http::{Answer, Call, Http};
use crate::store::StoreError;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SelfAnswer {
    config: SelfConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SelfConfig {
    node_name: String,
}

/// The node name under which this agent is in the catalog. Needs `agent:read`.
pub(super) async fn own_node(http: &Http) -> Result<String, StoreError> {
    let call = Call::get("read the agent's own node name", "agent/self");
    name(&http.read(&call).await?, &call)
}

fn name(answer: &Answer, call: &Call) -> Result<String, StoreError> {
    let answer: SelfAnswer = answer.json(call)?;
    if answer.config.node_name.is_empty() {
        return Err(call.malformed("the node name is empty"));
    }
    Ok(answer.config.node_name)
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn own_node_said(status: u16, body: &[u8]) -> Result<String, StoreError> {
    let call = Call::get("read the agent's own node name", "agent/self");
    name(&super::http::answer(&call, status, &[], body)?, &call)
}
