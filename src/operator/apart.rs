//! What a person says while an upgrade rolls. Until every HA node has said that it reads people's words apart from what the
//! recovery writes, they are written among that; but the policies of who is on call may be loaded already, and a token of
//! those writes apart only. What it is denied in one place it says in the other: HA nodes of this build heed it there,
//! whatever the others read, and older ones read in the journal what those made of it.

use super::OperatorError;
use super::commit::commit;
use crate::names::HaNodeName;
use crate::store::{Op, Store, StoreError};
use crate::tree::formats::{Formats, Kind};

/// Where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Where all HA nodes read it.
    AsAllRead,
    /// Apart, where only those that say so heed it.
    Apart,
}

/// Writes as all HA nodes read it; where this token may not, apart.
///
/// # Errors
/// As [`commit`]; a token that may neither is denied the first.
pub(super) async fn commit_or_apart(
    store: &dyn Store,
    doing: &str,
    as_all_read: &[Op],
    apart: &[Op],
) -> Result<Written, OperatorError> {
    let is_denied = |error: &OperatorError| {
        matches!(error, OperatorError::Write { source: StoreError::Denied { .. }, .. })
    };
    match commit(store, doing, as_all_read).await {
        Err(denied) if is_denied(&denied) => match commit(store, doing, apart).await {
            Err(error) if is_denied(&error) => Err(denied),
            other => other.map(|()| Written::Apart),
        },
        other => other.map(|()| Written::AsAllRead),
    }
}

/// Who heeds what was written apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heeds {
    yes: Vec<HaNodeName>,
    not_said: Vec<HaNodeName>,
}

impl Heeds {
    /// A record of this kind, by what the configured HA nodes say.
    pub(super) fn of(formats: &Formats, kind: Kind) -> Self {
        let says =
            |node: &&HaNodeName| formats.reads(node, kind) >= 1 && formats.reads(node, Kind::Layout) >= 1;
        let (yes, not_said): (Vec<_>, Vec<_>) = formats.nodes().partition(says);
        Self { yes: yes.into_iter().cloned().collect(), not_said: not_said.into_iter().cloned().collect() }
    }

    /// Whether an HA node is known that does.
    pub(super) fn somebody(&self) -> bool {
        !self.yes.is_empty()
    }

    /// For the person who said it: who does not heed it, and the next command. Nothing where all do.
    pub(super) fn text(&self) -> String {
        let Some(first) = self.not_said.first() else { return String::new() };
        let names = |nodes: &[HaNodeName]| {
            let names: Vec<&str> = nodes.iter().map(HaNodeName::as_str).collect();
            format!("HA node{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
        };
        let (have, who) = (if self.not_said.len() == 1 { "has" } else { "have" }, names(&self.not_said));
        let until = match self.yes.is_empty() {
            true => "until one of them does nothing comes of it".to_owned(),
            false => format!("it waits for the next run of nova-ha-recover on {}", names(&self.yes)),
        };
        format!(
            "\n{who} {have} not said that such words of people are heeded there:\n  {until}\n\
             next: nova-ha-recover on {first}, of this build, with the policy of\n  \
             nova-ha generate acl; or say it again with an operator's token"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heeds(yes: &[&str], not_said: &[&str]) -> String {
        let nodes = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        Heeds { yes: nodes(yes), not_said: nodes(not_said) }.text()
    }

    #[test]
    fn it_names_who_does_not_heed_it_and_what_becomes_of_it() {
        assert_eq!(heeds(&["ha1"], &[]), "");
        let said = heeds(&["ha1"], &["ha2", "ha3"]);
        assert!(said.contains("HA nodes ha2, ha3 have not said"), "{said}");
        assert!(
            said.contains("run of nova-ha-recover on HA node ha1")
                && said.contains("next: nova-ha-recover on ha2")
        );
        let said = heeds(&[], &["ha1"]);
        assert!(said.contains("HA node ha1 has not said") && said.contains("nothing comes of it"), "{said}");
        assert!(said.lines().all(|line| line.len() <= 80), "{said}");
    }
}
