//! What a sweep says of HA nodes themselves: one that is in use for nothing of ours takes no incident, and the guests of one
//! that is dead nobody recovers.

use serde::Serialize;

use crate::attention::{Row, Severity};
use crate::chain::chain;
use crate::evidence::stranded::stranded;
use crate::evidence::{EvidenceError, Witness};
use crate::names::HaNodeName;
use crate::tree::TreeError;
use crate::tree::foreign::{Foreign, HaNodesInUse};

/// One HA node that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HaNodeLine {
    /// Which.
    pub ha_node: HaNodeName,
    /// How much a person has to know it.
    pub severity: Severity,
    /// Why.
    pub because: String,
    /// The operator's next commands.
    pub next: Vec<String>,
}

impl HaNodeLine {
    fn of(ha_node: HaNodeName, row: Row) -> Self {
        let Row { severity, text, next } = row;
        Self { ha_node, severity, because: text, next }
    }

    /// As a person reads it.
    pub fn text(&self) -> String {
        self.because.clone()
    }
}

/// Reads the HA nodes.
///
/// # Errors
/// Consul does not answer; or one of them may have guests, and there is no evidence on it.
pub async fn ha_nodes(witness: &Witness<'_>) -> Result<Vec<HaNodeLine>, EvidenceError> {
    let stranded = stranded(witness).await?.into_iter().map(|stranded| {
        let row = stranded.row();
        HaNodeLine::of(stranded.node, row)
    });
    let in_use = HaNodesInUse::read(witness.store).await.map_err(|source| EvidenceError::Tree { source })?;
    let line = |(node, _): (HaNodeName, u64)| {
        let flag = Foreign::InUse { node: node.clone() };
        HaNodeLine::of(node, Row { severity: Severity::Warning, text: flag.text(), next: vec![flag.next()] })
    };
    let unclear = |(node, _, error): (HaNodeName, u64, TreeError)| {
        let text = format!("HA node {node}: {}", chain(&error));
        HaNodeLine::of(
            node,
            Row { severity: Severity::Warning, text, next: error.hint().into_iter().collect() },
        )
    };
    let unreadable = in_use.unreadable.into_iter().map(unclear);
    Ok(stranded.chain(in_use.foreign.into_iter().map(line)).chain(unreadable).collect())
}
