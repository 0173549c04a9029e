//! Why an *off* that anyone on the network can have said is not believed.

use std::fmt;

use crate::fence::silence::Heard;
use crate::fence::{Gap, Hearsay, Machine};

/// A machine that a device says is off by a way on which anyone can say so, and that is not silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlySaid {
    machine: Machine,
    by: String,
    gap: Gap,
    heard: Vec<Heard>,
}

impl OnlySaid {
    /// What was heard of the machine after that.
    pub fn new(hearsay: &Hearsay, heard: Vec<Heard>) -> Self {
        let (machine, by) = (hearsay.machine().clone(), hearsay.by());
        Self { machine, by, gap: hearsay.gap(), heard }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Self { machine, by, gap, heard } = self;
        let heard: Vec<String> = heard.iter().map(ToString::to_string).collect();
        let heard = heard.join("; ");
        match gap {
            Gap::PersonsWord => format!(
                "{by} says off, {gap}, which counts only while {machine} is silent, and it is not known to be: {heard}"
            ),
            Gap::PlainHttp | Gap::UnjudgedCertificate | Gap::UnsignedIpmi { .. } => format!(
                "{by} says off, but anyone on its network can say so ({gap}), and {machine} is not known to be silent: {heard}"
            ),
        }
    }

    /// The operator's next commands: by a word that somebody answers for, and for good.
    pub fn next(&self) -> Vec<String> {
        let Self { machine, gap, .. } = self;
        let settled = format!("then {}", gap.settled_by(machine));
        match machine {
            Machine::Host(host) => {
                let although = match self.somebody() {
                    Some(_) => " --although-its-address-answers",
                    None => "",
                };
                vec![
                    format!(
                        "look at {host} itself; if it is off: nova-ha confirm-off {host} --by NAME --ttl 10m{although}"
                    ),
                    settled,
                ]
            }
            Machine::HaNode(node) => {
                vec![format!("look at {node} itself; nova-ha ha-node show {node}"), settled]
            }
        }
    }

    /// How somebody of whom nobody knows who it is answers at its address.
    pub fn somebody(&self) -> Option<String> {
        self.heard.iter().find_map(|heard| match heard {
            Heard::Somebody { answer, .. } => Some(answer.text()),
            Heard::OwnKey { .. }
            | Heard::NotAsked { .. }
            | Heard::Agent
            | Heard::AgentNotKnown
            | Heard::Plane { .. } => None,
        })
    }

    /// Whether it answers with its own host key: then the reading is false.
    pub fn is_false(&self) -> bool {
        self.heard.iter().any(|heard| matches!(heard, Heard::OwnKey { .. }))
    }
}

impl fmt::Display for OnlySaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
impl OnlySaid {
    /// A host that is called off by http, and whose agent answers.
    pub(super) fn of_agent(host: &str) -> Self {
        let machine = Machine::Host(host.parse().unwrap());
        Self { machine, by: "redfish http://10.0.0.1".into(), gap: Gap::PlainHttp, heard: vec![Heard::Agent] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Answer, Failure};

    #[test]
    fn it_says_who_said_what_why_that_is_not_believed_and_what_to_type() {
        let mut said = OnlySaid::of_agent("c1");
        assert!(said.text().contains("redfish http://10.0.0.1 says off"), "{said}");
        assert!(said.text().contains("serfHealth passing"), "{said}");
        assert!(!said.next().join("\n").contains("--although"), "{:?}", said.next());
        said.heard = vec![Heard::Somebody { address: "c1:22".into(), answer: Answer::No(Failure::Refused) }];
        assert!(said.next().join("\n").contains("--although-its-address-answers"), "{:?}", said.next());
        said.machine = Machine::HaNode("ha1".parse().unwrap());
        assert!(said.next().join("\n").contains("nova-ha ha-node add ha1 --replace"), "{:?}", said.next());
        said.heard = vec![Heard::OwnKey { address: "c1:22".into() }];
        assert!(said.is_false() && said.somebody().is_none());
    }
}
