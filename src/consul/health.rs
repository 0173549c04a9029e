//! Checks as the catalog has them.
//!
//! A dead agent's own checks keep their last status for ever, and denied nodes are left out without
//! a word: what is read here triggers and doubts, it never proves a host dead or well by itself.
//! All of it is read consistently: a leader that was just cut off sees its peers as critical.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::http::{Call, Http, LIST_LIMIT, percent};
pub use crate::store::{Check, CheckStatus};
use crate::store::{NodeHealth, SerfHealth, StoreError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogCheck {
    node: String,
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(default)]
    name: String,
    status: String,
    #[serde(default)]
    output: String,
    #[serde(default)]
    service_name: String,
    modify_index: u64,
}

impl CatalogCheck {
    fn check(self, call: &Call) -> Result<Check, StoreError> {
        let status = self
            .status
            .parse()
            .map_err(|error| call.malformed(format!("check {} of {}: {error}", self.id, self.node)))?;
        Ok(Check {
            node: self.node,
            id: self.id,
            name: self.name,
            status,
            output: self.output,
            service: self.service_name,
            modify_index: self.modify_index,
        })
    }
}

pub(super) fn all(checks: Vec<CatalogCheck>, call: &Call) -> Result<Vec<Check>, StoreError> {
    checks.into_iter().map(|check| check.check(call)).collect()
}

pub(super) fn node_call(node: &str) -> Call {
    Call::get(format!("read the checks of {node}"), format!("health/node/{}", percent(node, b"")))
        .limit(LIST_LIMIT)
}

pub(super) fn state_call(status: Option<CheckStatus>) -> Call {
    let state = status.map_or("any", CheckStatus::as_str);
    Call::get(format!("read the checks in state {state}"), format!("health/state/{state}")).limit(LIST_LIMIT)
}

pub(super) fn service_call(service: &str) -> Call {
    let path = format!("health/checks/{}", percent(service, b""));
    Call::get(format!("read the checks of service {service}"), path).limit(LIST_LIMIT)
}

pub(super) async fn read(http: &Http, call: Call) -> Result<Vec<Check>, StoreError> {
    let call = call.consistent();
    all(http.read(&call).await?.json(&call)?, &call)
}

/// `serfHealth` of all nodes in one request.
pub(super) async fn serf_health(http: &Http) -> Result<Vec<NodeHealth>, StoreError> {
    let mut call = state_call(None).param("filter", "CheckID==\"serfHealth\"").consistent();
    "read serfHealth of all nodes".clone_into(&mut call.doing);
    let checks = all(http.read(&call).await?.json(&call)?, &call)?;
    by_node(checks, &call)
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn checks_said(status: u16, body: &[u8]) -> Result<Vec<Check>, StoreError> {
    let call = state_call(None);
    all(super::http::answer(&call, status, &[], body)?.json(&call)?, &call)
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn serf_health_said(status: u16, body: &[u8]) -> Result<Vec<NodeHealth>, StoreError> {
    by_node(checks_said(status, body)?, &state_call(None))
}

fn by_node(checks: Vec<Check>, call: &Call) -> Result<Vec<NodeHealth>, StoreError> {
    let mut nodes = BTreeMap::new();
    for check in checks {
        if check.id != "serfHealth" {
            return Err(call.malformed(format!("it holds check {} of {}", check.id, check.node)));
        }
        let serf = match check.status {
            CheckStatus::Passing => SerfHealth::Passing,
            CheckStatus::Critical => SerfHealth::Critical,
            // Gossip knows no such thing; somebody else writes this check.
            CheckStatus::Warning => {
                return Err(call.malformed(format!("serfHealth of {} is warning", check.node)));
            }
        };
        if nodes.insert(check.node.clone(), serf).is_some() {
            return Err(call.malformed(format!("two serfHealth of {}", check.node)));
        }
    }
    Ok(nodes.into_iter().map(|(node, serf)| NodeHealth { node, serf }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Vec<NodeHealth>, StoreError> {
        let call = state_call(None);
        by_node(all(serde_json::from_str(json).map_err(|e| call.malformed(e))?, &call)?, &call)
    }

    #[test]
    fn a_status_that_consul_does_not_have_is_neither_passing_nor_critical() {
        let check = |node: &str, id: &str, status: &str| {
            format!(r#"{{"Node":"{node}","CheckID":"{id}","Status":"{status}","ModifyIndex":1}}"#)
        };
        for bad in ["warning", "unknown", "Passing", "maintenance", ""] {
            let error = parsed(&format!("[{}]", check("a", "serfHealth", bad))).unwrap_err();
            assert!(matches!(error, StoreError::Malformed { .. }), "{bad}: {error}");
        }
        let twice = format!("[{0},{0}]", check("a", "serfHealth", "passing"));
        assert!(parsed(&twice).is_err());
        assert!(parsed(&format!("[{}]", check("a", "ssh", "passing"))).is_err());
        let good = parsed(&format!(
            "[{},{}]",
            check("b", "serfHealth", "critical"),
            check("a", "serfHealth", "passing")
        ));
        let good = good.unwrap().into_iter().map(|n| (n.node, n.serf)).collect::<Vec<_>>();
        assert_eq!(good, [("a".to_owned(), SerfHealth::Passing), ("b".to_owned(), SerfHealth::Critical)]);
    }
}
