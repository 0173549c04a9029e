//! Whether this machine is the HA node by whose name it acts.
//!
//! A configuration that was copied, a template that forgot the name: then two machines write one observer's record, and
//! two recoveries take each other for an earlier process of their own. Consul tells them apart: its agent here has a
//! node name, and the HA node's is its own name or `config/names`.

use crate::names::HaNodeName;
use crate::store::Store;

/// Whose name this machine acts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnName {
    /// Its own.
    Ours,
    /// Another machine's, or `config/names` is wrong.
    Anothers(Namesake),
    /// The agent does not say who it is (a token without `agent:read`): neither.
    CannotTell {
        /// Why.
        why: String,
    },
}

/// An HA node's name, used where that HA node is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two machines call themselves {node}: the Consul agent of this machine is node {agent}, and HA node {node} is \
     Consul node {expected}"
)]
pub struct Namesake {
    /// The name.
    pub node: HaNodeName,
    /// The agent's node here.
    pub agent: String,
    /// The node that the tree says.
    pub expected: String,
}

impl Namesake {
    /// The operator's next command.
    pub fn hint(&self) -> String {
        let Self { node, agent, .. } = self;
        format!(
            "give this machine its own name (NOVA_HA_NODE, --ha-node); if it is {node}: \
             nova-ha ha-node add {node} --replace --consul-node {agent}"
        )
    }
}

/// Asks the agent, and compares with what the tree calls this HA node
/// ([`consul_node`](super::machine::consul_node)). Names of Consul are one whatever their case.
pub async fn own_name(store: &dyn Store, node: &HaNodeName, expected: &str) -> OwnName {
    match store.own_node().await {
        Err(error) => OwnName::CannotTell { why: error.to_string() },
        Ok(agent) if agent.eq_ignore_ascii_case(expected) => OwnName::Ours,
        Ok(agent) => OwnName::Anothers(Namesake { node: node.clone(), agent, expected: expected.to_owned() }),
    }
}
