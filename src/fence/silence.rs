//! That a machine is silent on every way on which it could be heard: what an *off* needs beside it that anyone on the
//! network can have said ([`channel`](super::channel)).
//!
//! Silence is made of looks that began after the power was read. What nobody could find out is no silence.

use std::fmt;

use super::Machine;
use crate::clock::BootInstant;
use crate::names::HaNodeName;
use crate::ssh::Answer;

/// What was seen of a machine after its power was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Who answers at each address that is known of it.
    pub addresses: Vec<(String, Answer)>,
    /// What Consul says of its agent.
    pub agent: AgentSays,
    /// Planes on which observers see it answer now.
    pub planes: Vec<(HaNodeName, String)>,
}

/// What Consul says of a machine's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSays {
    /// It runs none (`config/agent` is *none*): nothing is asked.
    RunsNone,
    /// `serfHealth` does not pass.
    Silent,
    /// `serfHealth` passes.
    Passing,
    /// Consul does not know its node, or the token may not see it.
    NotKnown,
}

/// Why a machine is not known to be silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It answers with its own host key: it lives.
    OwnKey {
        /// Where.
        address: String,
    },
    /// Somebody answers at its address.
    Somebody {
        /// Where.
        address: String,
        /// How.
        answer: Answer,
    },
    /// Nobody can tell whether somebody answers there.
    NotAsked {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// Its Consul agent answers.
    Agent,
    /// Nobody can tell whether its agent answers.
    AgentNotKnown,
    /// An observer sees it answer.
    Plane {
        /// Which HA node.
        observer: HaNodeName,
        /// On which plane.
        plane: String,
    },
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnKey { address } => write!(f, "it answers at {address} with its own host key"),
            Self::Somebody { address, answer } => {
                write!(f, "somebody answers at {address} ({})", answer.text())
            }
            Self::NotAsked { address, why } => {
                write!(f, "whether it answers at {address} cannot be told: {why}")
            }
            Self::Agent => f.write_str("its Consul agent answers (serfHealth passing)"),
            Self::AgentNotKnown => f.write_str("Consul does not say whether its agent answers"),
            Self::Plane { observer, plane } => {
                write!(f, "HA node {observer} sees it answer on plane {plane}")
            }
        }
    }
}

/// A machine is silent, by looks of this run.
#[derive(Debug)]
#[must_use]
pub struct Silence {
    machine: Machine,
    began: BootInstant,
    said: String,
}

impl Silence {
    /// From looks of which the first began then.
    ///
    /// # Errors
    /// It is not silent, or nobody can tell; all of it.
    pub fn of(machine: Machine, began: BootInstant, looked: &Looked) -> Result<Self, Vec<Heard>> {
        let mut heard: Vec<Heard> =
            looked.addresses.iter().filter_map(|(address, answer)| at(address, answer)).collect();
        if looked.addresses.is_empty() {
            let why = "no address is known".to_owned();
            heard.push(Heard::NotAsked { address: "its address".into(), why });
        }
        heard.extend(match looked.agent {
            AgentSays::RunsNone | AgentSays::Silent => None,
            AgentSays::Passing => Some(Heard::Agent),
            AgentSays::NotKnown => Some(Heard::AgentNotKnown),
        });
        let plane = |(observer, plane): &(HaNodeName, String)| Heard::Plane {
            observer: observer.clone(),
            plane: plane.clone(),
        };
        heard.extend(looked.planes.iter().map(plane));
        if !heard.is_empty() {
            return Err(heard);
        }
        let addresses: Vec<&str> = looked.addresses.iter().map(|(address, _)| address.as_str()).collect();
        let agent = match looked.agent {
            AgentSays::RunsNone => "it runs no Consul agent",
            AgentSays::Silent | AgentSays::Passing | AgentSays::NotKnown => "serfHealth does not pass",
        };
        let said = format!("nobody answers at {}, {agent}", addresses.join(", "));
        Ok(Self { machine, began, said })
    }

    /// Which machine.
    pub(super) fn is_of(&self, machine: &Machine) -> bool {
        self.machine == *machine
    }

    /// When the first look began.
    pub(super) fn began(&self) -> BootInstant {
        self.began
    }

    /// What was seen, for people.
    pub(super) fn said(&self) -> &str {
        &self.said
    }
}

/// What an answer at an address is heard as; nothing for silence.
fn at(address: &str, answer: &Answer) -> Option<Heard> {
    let address = address.to_owned();
    match answer {
        Answer::Yes => Some(Heard::OwnKey { address }),
        // Another machine, it seems; or this one with a new key. Of silence it is the opposite.
        Answer::OtherKey | Answer::NotPinned => Some(Heard::Somebody { address, answer: answer.clone() }),
        Answer::No(_) if !answer.is_of_somebody() => None,
        Answer::CannotTell(why) if !answer.is_of_somebody() => {
            Some(Heard::NotAsked { address, why: why.to_string() })
        }
        Answer::No(_) | Answer::CannotTell(_) => Some(Heard::Somebody { address, answer: answer.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ssh::{Failure, Stage, Unknown};

    fn word(heard: &Heard) -> &'static str {
        match heard {
            Heard::OwnKey { .. } => "own key",
            Heard::Somebody { .. } => "somebody",
            Heard::NotAsked { .. } => "not asked",
            Heard::Agent => "agent",
            Heard::AgentNotKnown => "agent not known",
            Heard::Plane { .. } => "plane",
        }
    }

    fn judged(answers: &[Answer], agent: AgentSays, planes: &[&str]) -> Vec<&'static str> {
        let looked = Looked {
            addresses: answers.iter().map(|answer| ("10.0.0.1:22".to_owned(), answer.clone())).collect(),
            agent,
            planes: planes.iter().map(|plane| ("ha1".parse().unwrap(), (*plane).to_owned())).collect(),
        };
        let machine = Machine::Host("host1".parse().unwrap());
        match Silence::of(machine, BootInstant::since_boot(Duration::ZERO), &looked) {
            Ok(_) => Vec::new(),
            Err(heard) => heard.iter().map(word).collect(),
        }
    }

    #[test]
    fn silence_is_what_nobody_answers_on_any_way() {
        let after = Duration::from_secs(3);
        let timed_out = |stage| Answer::No(Failure::TimedOut { stage, after });
        let silent = || Answer::No(Failure::NoRoute);
        for (what, answer, expected) in [
            ("no route", silent(), vec![]),
            ("no connection in time", timed_out(Stage::Connecting), vec![]),
            ("no banner in time", timed_out(Stage::Handshake), vec!["somebody"]),
            ("refused", Answer::No(Failure::Refused), vec!["somebody"]),
            ("its own key", Answer::Yes, vec!["own key"]),
            ("another key", Answer::OtherKey, vec!["somebody"]),
            ("no key to compare", Answer::NotPinned, vec!["somebody"]),
            ("rejected", Answer::CannotTell(Unknown::Rejected { user: "u".into() }), vec!["somebody"]),
            ("own fault", Answer::CannotTell(Unknown::Own { what: "x".into() }), vec!["not asked"]),
            (
                "no such name",
                Answer::CannotTell(Unknown::Unresolved { address: "h".into(), why: "x".into() }),
                vec!["not asked"],
            ),
        ] {
            assert_eq!(judged(&[answer], AgentSays::Silent, &[]), expected, "{what}");
        }
        assert_eq!(judged(&[], AgentSays::Silent, &[]), ["not asked"]);
        assert_eq!(judged(&[silent(), Answer::Yes], AgentSays::Silent, &[]), ["own key"]);
        assert_eq!(judged(&[silent()], AgentSays::RunsNone, &[]), Vec::<&str>::new());
        assert_eq!(judged(&[silent()], AgentSays::Passing, &[]), ["agent"]);
        assert_eq!(judged(&[silent()], AgentSays::NotKnown, &[]), ["agent not known"]);
        assert_eq!(judged(&[silent()], AgentSays::Silent, &["storage"]), ["plane"]);
    }
}
