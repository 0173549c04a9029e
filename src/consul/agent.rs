//! What the local agent says about itself.

use serde::Deserialize;

use super::http::{Call, Http};
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
    let answer: SelfAnswer = http.read(&call).await?.json(&call)?;
    if answer.config.node_name.is_empty() {
        return Err(call.malformed("the node name is empty"));
    }
    Ok(answer.config.node_name)
}
