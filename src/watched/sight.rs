//! Whether an HA node sees a machine, and why not. Pure.

use std::collections::BTreeMap;

use crate::names::HaNodeName;
use crate::store::{Check, CheckStatus};

/// Why an HA node does not see a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blind {
    /// Its own Consul agent does not pass: what its checks last said is of before.
    AgentLost,
    /// Nobody can tell: its checks cannot be read.
    CannotRead(String),
    /// It has checks of ours, and none for this machine: it was generated before the machine was added.
    NoCheck,
    /// It has no check of ours at all, or the token may not see them.
    NoChecksAtAll,
    /// The check is there and has said nothing yet. It may have: Consul passes on what a check says within
    /// `check_update_interval` (5 minutes) while its status stays the same, here that of its registration.
    Silent,
    /// The check runs, and finds out nothing: its own words (a login that is refused, a token).
    CannotTell(String),
    /// Consul calls the check critical and the probe left no record of it: it could not be run, or was killed.
    Ended(String),
}

/// Longest part of a check's own words that is shown: a line of the probe (200 characters) as it is.
const MAX_SAID: usize = 200;

impl Blind {
    /// What one check says of it: `None` where it sees the machine, well or failing. `failing` is whether this HA node's
    /// record of the machine, of its current epoch, holds fails: a warning alone may be *fails* or *cannot tell*.
    pub(super) fn of(check: Option<&Check>, any: bool, failing: bool) -> Option<Self> {
        let Some(check) = check else {
            return Some(if any { Blind::NoCheck } else { Blind::NoChecksAtAll });
        };
        match check.status {
            CheckStatus::Passing => None,
            CheckStatus::Warning | CheckStatus::Critical if failing => None,
            // The status that the check is registered with.
            CheckStatus::Warning if check.output.trim().is_empty() => Some(Blind::Silent),
            CheckStatus::Warning => Some(Blind::CannotTell(said(&check.output))),
            CheckStatus::Critical => Some(Blind::Ended(said(&check.output))),
        }
    }

    /// Completes *HA node X ...*, without its name.
    pub fn text(&self) -> String {
        match self {
            Blind::AgentLost => "its Consul agent does not pass".into(),
            Blind::CannotRead(why) => format!("its checks cannot be read ({why})"),
            Blind::NoCheck => "it has no check for it".into(),
            Blind::NoChecksAtAll => "no check of nova-ha is to be seen there".into(),
            Blind::Silent => "its check has said nothing yet".into(),
            Blind::CannotTell(said) => format!("its check cannot tell: {said}"),
            Blind::Ended(said) if said.is_empty() => "its check does not run".into(),
            Blind::Ended(said) => format!("its check does not run: {said}"),
        }
    }

    /// The operator's next command. `node` is the HA node, `machine` what it does not see.
    pub fn next(&self, node: &HaNodeName, machine: &str) -> String {
        match self {
            Blind::AgentLost => format!("look at Consul on {node}: consul members"),
            Blind::CannotRead(_) => {
                "nova-ha generate acl --out DIR, for a token that may read its checks".into()
            }
            Blind::NoCheck => {
                format!("on {node}: nova-ha generate consul-config --ha-node {node} --out DIR; consul reload")
            }
            Blind::NoChecksAtAll => format!(
                "on {node}: nova-ha generate consul-config --ha-node {node} --out DIR; consul reload (or this token may \
                 not read the service nova-ha: nova-ha generate acl --out DIR)"
            ),
            // By hand it says at once what Consul passes on minutes later.
            Blind::Silent | Blind::CannotTell(_) => {
                format!("on {node}: nova-ha-probe {machine} --ha-node {node}   (says why, and what to do)")
            }
            Blind::Ended(_) => format!(
                "on {node}: nova-ha-probe {machine} --ha-node {node}; does its Consul run scripts, and as whom?"
            ),
        }
    }
}

/// The words of a check, in one line: they are not trusted.
fn said(output: &str) -> String {
    let line = output.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let plain: String =
        line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SAID).collect();
    // A probe's line begins with its status and the machine's name: both are said already.
    let words = match plain.strip_prefix("WARNING ").or(plain.strip_prefix("CRITICAL ")) {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, words)| words),
        None => &plain,
    };
    words.strip_prefix("cannot tell: ").unwrap_or(words).to_owned()
}

/// Which HA nodes see one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The machine.
    pub machine: String,
    /// Those that see it, well or failing.
    pub sees: Vec<HaNodeName>,
    /// Those that do not, and why.
    pub blind: BTreeMap<HaNodeName, Blind>,
}

impl Sight {
    /// *seen by 1 of 3 HA nodes: ha2, ha3: it has no check for it*.
    pub fn text(&self) -> String {
        let all = self.sees.len() + self.blind.len();
        if all == 0 {
            return "no HA node watches it".into();
        }
        let plural = if all == 1 { "" } else { "s" };
        let mut by_reason: Vec<(&Blind, Vec<&str>)> = Vec::new();
        for (node, blind) in &self.blind {
            match by_reason.iter_mut().find(|(known, _)| *known == blind) {
                Some((_, nodes)) => nodes.push(node.as_str()),
                None => by_reason.push((blind, vec![node.as_str()])),
            }
        }
        let reasons: Vec<String> = by_reason
            .iter()
            .map(|(blind, nodes)| format!("{}: {}", nodes.join(", "), blind.text()))
            .collect();
        format!("seen by {} of {all} HA node{plural} ({})", self.sees.len(), reasons.join("; "))
    }

    /// The operator's next commands, each once.
    pub fn next(&self) -> Vec<String> {
        let mut next: Vec<String> = Vec::new();
        for (node, blind) in &self.blind {
            let command = blind.next(node, &self.machine);
            if !next.contains(&command) {
                next.push(command);
            }
        }
        if self.sees.is_empty() && self.blind.is_empty() {
            next.push("nova-ha ha-node add NAME ...".into());
        }
        next
    }

    /// Whether so many see it that they could mark it.
    pub fn is_enough(&self, votes_needed: usize) -> bool {
        self.sees.len() >= votes_needed
    }

    /// Whether something is wrong that is about this machine and not about an HA node as a whole: an HA node whose agent
    /// is lost is said once, not with each machine.
    pub fn is_worth_a_line(&self, votes_needed: usize) -> bool {
        !self.is_enough(votes_needed) || self.blind.values().any(|blind| *blind != Blind::AgentLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: CheckStatus, output: &str) -> Check {
        Check {
            node: "ha1".into(),
            id: "nova-ha-probe:c1".into(),
            name: String::new(),
            status,
            output: output.into(),
            service: "nova-ha".into(),
            modify_index: 1,
        }
    }

    #[test]
    fn a_host_is_seen_by_a_probe_that_passes_or_fails_and_by_nothing_else() {
        use CheckStatus::{Critical, Passing, Warning};
        let refused = "WARNING c1: cannot tell: c1:22 login as probe rejected\nmore";
        for (status, output, failing, expected) in [
            (Passing, "OK", false, None),
            (Passing, "OK", true, None),
            (Warning, "WARNING c1: management failed", true, None),
            (Critical, "CRITICAL c1: management failed", true, None),
            (Warning, "", false, Some(Blind::Silent)),
            (Warning, refused, false, Some(Blind::CannotTell("c1:22 login as probe rejected".into()))),
            (Critical, "no such file", false, Some(Blind::Ended("no such file".into()))),
            (Critical, "", false, Some(Blind::Ended(String::new()))),
        ] {
            assert_eq!(Blind::of(Some(&check(status, output)), true, failing), expected, "{status} {output}");
        }
        assert_eq!(Blind::of(None, true, true), Some(Blind::NoCheck));
        assert_eq!(Blind::of(None, false, true), Some(Blind::NoChecksAtAll));
    }

    #[test]
    fn it_says_by_how_many_it_is_seen_why_not_by_the_others_and_what_to_type() {
        let node = |name: &str| name.parse::<HaNodeName>().unwrap();
        let sight = Sight {
            machine: "c1".into(),
            sees: vec![node("ha2")],
            blind: [("ha1", Blind::NoCheck), ("ha3", Blind::NoCheck), ("ha4", Blind::AgentLost)]
                .map(|(name, blind)| (node(name), blind))
                .into(),
        };
        let expected =
            "seen by 1 of 4 HA nodes (ha1, ha3: it has no check for it; ha4: its Consul agent does not pass)";
        assert_eq!(sight.text(), expected);
        assert_eq!(sight.next().len(), 3);
        assert!(sight.next()[0].starts_with("on ha1: nova-ha generate consul-config --ha-node ha1"));
        assert!(!sight.is_enough(2) && sight.is_enough(1) && sight.is_worth_a_line(1));
    }
}
