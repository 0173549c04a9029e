//! The journal: intent before an effect, result after it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::step::Step;
use crate::machine_id::MachineId;
use crate::names::HaNodeName;
use crate::tree::formats::Kind;
use crate::tree::record::Record;
use crate::tree::storage::StrategyName;

/// A step's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The step changed the world.
    Changed,
    /// The world was already so.
    AlreadySo,
}

/// Why an incident was taken over by another HA node (or by the same one in a new process).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptionGround {
    /// The same HA node; a local file lock proves that its earlier process is gone.
    SameNode,
    /// The holder is voted dead.
    HolderDead {
        /// One line of the verdict.
        verdict: String,
    },
    /// A person led the incident out of a hold, and nobody held it any more.
    NobodyHeld,
}

/// Why an incident was held, as far as anything is decided by it. A person's own hold has no cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldCause {
    /// The host's power reads off, and it writes to its disks. A person who resumes it has cut its power by hand.
    HostLives,
    /// The HA node on which guests were recovered booted since, or was dead for a while: whether they run nobody can tell. A
    /// person who resumes it has looked.
    GuestsMayBeDown,
}

/// How far a member of an array was, by its superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSeen {
    /// Raised with each change of the array.
    pub events: u64,
    /// When it was written, in seconds since the epoch by the clock of who wrote it.
    pub updated: u64,
}

/// The closed set of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// One HA node has it, in one transaction with its flags.
    Claimed {
        /// Hash of the plan as stored in its chunks, so that a torn plan is noticed.
        plan_hash: String,
    },
    /// Another process works on it from here.
    Adopted {
        /// Who held it before.
        from: Option<HaNodeName>,
        /// What allowed it.
        ground: AdoptionGround,
    },
    /// An effect may happen from here on.
    Started {
        /// Which.
        step: Step,
        /// Of *take storage*: by which strategy. Whoever goes on with the incident must have the same. Since version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strategy: Option<StrategyName>,
        /// What was found right before.
        facts: Vec<String>,
    },
    /// The effect was confirmed.
    Finished {
        /// Which.
        step: Step,
        /// Whether anything changed.
        outcome: Outcome,
        /// What was seen.
        facts: Vec<String>,
    },
    /// What members of the host's arrays say while it is off, before anything is written to them: whoever finds one of
    /// them otherwise, and without an HA node's mark, knows that the host lives. It stands until a person leads on.
    MembersSeen {
        /// By the members' own UUIDs.
        members: BTreeMap<String, MemberSeen>,
    },
    /// An earlier holder that may have the storage mounted is about to be powered off.
    FencingHolder {
        /// Which HA node.
        node: HaNodeName,
        /// By which votes it is dead, in one line.
        verdict: String,
    },
    /// An earlier holder is proved off: what it had mounted it has no more.
    HolderFenced {
        /// Which HA node.
        node: HaNodeName,
        /// Whether its power was on before.
        outcome: Outcome,
        /// What proved it off.
        by: String,
    },
    /// The host is off, by a device or by a person's word, and whoever has its address takes connections or
    /// refuses them. A person's word stands against it only when it was given later than this, and names it.
    AddressAnswers {
        /// What was seen.
        seen: String,
    },
    /// An earlier holder that lives has it again, and whoever writes this has begun nothing: two HA nodes never wait for
    /// each other.
    HandedBack {
        /// Which HA node.
        to: HaNodeName,
        /// Which machine that is.
        machine: MachineId,
        /// What it said of the storage.
        said: String,
    },
    /// Only a person leads on.
    Held {
        /// Why, for people: nothing is decided by it.
        reason: String,
        /// What of it decides how a recovery that is resumed goes on. Since version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<HeldCause>,
    },
    /// A person led on.
    Resumed {
        /// Who.
        by: String,
        /// The HA node that held it and is no more, by their word: nobody holds it from here on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gone: Option<HaNodeName>,
    },
    /// The host came back before the point of no return.
    Withdrawn {
        /// What was seen.
        reason: String,
    },
    /// A person ended it.
    Abandoned {
        /// Who.
        by: String,
    },
    /// Every guest is accounted for.
    Closed {
        /// Counts by outcome, one line.
        summary: String,
    },
    /// An incident that closed with held guests is opened again, for these alone: nobody holds it, and everything that a
    /// recovery demands before it asks for a guest is demanded anew.
    Retried {
        /// The person, or the HA node that saw them at rest.
        by: String,
        /// The guests that it is about; absent for all that are held.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guests: Vec<String>,
    },
    /// Such a retry has ended before it asked for anything: the incident is as it was.
    RetryEnded {
        /// What it lacked.
        reason: String,
    },
}

impl Event {
    /// The version of the journal that first has this event with all its fields.
    pub fn since(&self) -> u64 {
        match self {
            Event::Started { strategy: Some(_), .. } | Event::Held { cause: Some(_), .. } => 2,
            // The build 7763f26 writes and reads them in version 1; builds before it know none of them.
            Event::MembersSeen { .. } | Event::FencingHolder { .. } | Event::HolderFenced { .. } => 2,
            Event::Claimed { .. }
            | Event::Adopted { .. }
            | Event::Started { strategy: None, .. }
            | Event::Finished { .. }
            | Event::Held { cause: None, .. }
            | Event::Resumed { gone: None, .. }
            | Event::Withdrawn { .. }
            | Event::Abandoned { .. }
            | Event::Closed { .. } => 1,
            Event::Resumed { gone: Some(_), .. } | Event::HandedBack { .. } => 2,
            Event::AddressAnswers { .. } => 2,
            Event::Retried { .. } | Event::RetryEnded { .. } => 3,
        }
    }

    /// The event as the build 7763f26 reads it in version 1: without what was added since, where its absence is read
    /// safely. `None` where the event would lose its meaning. What that build decides by sentences is said in them
    /// by [`super::sentences`].
    pub fn as_before(self) -> Option<Event> {
        match self {
            Event::Started { step, strategy: _, facts } => {
                Some(Event::Started { step, strategy: None, facts })
            }
            Event::Held { reason, cause: _ } => Some(Event::Held { reason, cause: None }),
            // That nobody holds it is in the record.
            Event::Resumed { by, .. } => Some(Event::Resumed { by, gone: None }),
            Event::Claimed { .. }
            | Event::Adopted { .. }
            | Event::Finished { .. }
            | Event::MembersSeen { .. }
            | Event::FencingHolder { .. }
            | Event::HolderFenced { .. }
            | Event::Withdrawn { .. }
            | Event::Abandoned { .. }
            | Event::Closed { .. } => Some(self),
            Event::AddressAnswers { .. } => None,
            // To an older build an incident that has closed stays so.
            Event::Retried { .. } | Event::RetryEnded { .. } => None,
            // An older build would not know whose it is.
            Event::HandedBack { .. } => None,
        }
    }
}

/// One entry, at most 16 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Format version.
    pub version: u64,
    /// 1 for the first.
    pub sequence: u64,
    /// The incident's term under which it was written.
    pub term: u64,
    /// Who wrote; a person's event (resumed, abandoned) names the machine it was typed on, if known.
    pub by: String,
    /// Which machine wrote it, whatever it calls itself; absent in a person's event, and in entries of builds that did
    /// not write it. Builds that do not know this field read the entry without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// In which boot of that machine, where a term begins (*claimed*, *adopted*): guests that were recovered to it in this
    /// term ran in this boot. Builds that do not know this field read the entry without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Wall clock, for people.
    pub at: Timestamp,
    /// What happened.
    pub what: Event,
}

impl Record for JournalEntry {
    const VERSION: u64 = Kind::Journal.newest();
}

/// How many members one entry tells of, so that it stays below its size: a UUID and two numbers each.
pub const MAX_MEMBERS: usize = 128;

/// A journal entry's size; facts are cut to stay below it.
pub const MAX_ENTRY_BYTES: usize = 16 * 1024;

/// Facts as they may be journaled: bounded in number and length, so that untrusted text (a BMC's,
/// Nova's) can never make an entry that Consul refuses.
pub fn bounded(facts: impl IntoIterator<Item = String>) -> Vec<String> {
    facts.into_iter().take(24).map(|fact| fact.chars().take(160).collect()).collect()
}
