//! What of an open incident waits for a person, and what stands still: the table of causes. Pure; [`super::facts`] reads.

use std::time::Duration;

use jiff::Timestamp;

use super::facts::Facts;
use super::status::State;
use crate::attention::{Row, Severity};
use crate::names::{HaNodeName, IncidentId};

/// What a recovery is given to begin, or to be gone on with: two runs of each HA node's sweep, a minute apart.
const PATIENCE: Duration = Duration::from_secs(150);

/// After so long without a word in the journal, a guest's entry or a note a recovery stands still, whoever holds it; while
/// guests are under way, after this and `evacuation_deadline`, in which a guest that does not arrive is held. Above
/// `fence_deadline` (1 min) and `storage_check_deadline`; a storage program that is given longer is named when it takes longer.
const STANDSTILL: Duration = Duration::from_secs(5 * 60);

/// Why a person should look at an open incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// HA nodes wait for something, and say for what.
    Waiting {
        /// Each reason once, with the HA nodes that have it.
        reasons: Vec<String>,
        /// Their next commands.
        next: Vec<String>,
    },
    /// Only a person leads on.
    Held {
        /// Why.
        reason: String,
    },
    /// Nobody has taken it, and nobody says why.
    Unclaimed,
    /// Whoever had it works on it no more, and nobody goes on with it.
    NobodyAtWork {
        /// The HA node that had it.
        holder: Option<HaNodeName>,
    },
    /// An HA node holds it, and nothing was written for a while.
    NoProgress {
        /// The HA node that has it.
        holder: Option<HaNodeName>,
        /// The last word, by the writer's wall clock.
        since: Timestamp,
    },
    /// Entries of it cannot be understood: whoever goes on with it stops there.
    Unreadable {
        /// The keys, and why.
        what: Vec<String>,
    },
}

impl Cause {
    /// The row of the table. Every cause of an open incident is worth a warning; how long it is open decides the rest.
    pub fn row(&self, id: &IncidentId, severity: Severity) -> Row {
        let show = format!("nova-ha incident show {id}");
        let recover_here = |node: &Option<HaNodeName>| match node {
            Some(node) => format!("does its nova-ha-recover run? on {node}: nova-ha-recover {}", id.host()),
            None => {
                format!("does nova-ha-recover run anywhere? on an HA node: nova-ha-recover {}", id.host())
            }
        };
        let name = |node: &Option<HaNodeName>| node.as_ref().map_or("nobody".to_owned(), ToString::to_string);
        let (text, next) = match self {
            Cause::Waiting { reasons, next } => (
                format!("WAITING: {}", reasons.join("; ")),
                if next.is_empty() { vec![show] } else { next.clone() },
            ),
            Cause::Held { reason } => {
                (format!("HELD: {reason}"), vec![show, format!("nova-ha incident resume {id} --by NAME")])
            }
            Cause::Unclaimed => {
                ("no HA node has taken it, and none says why".into(), vec![recover_here(&None)])
            }
            Cause::NobodyAtWork { holder } => (
                format!("{} had it, and nobody works on it now", name(holder)),
                vec![recover_here(holder), show],
            ),
            Cause::NoProgress { holder, since } => (
                format!(
                    "{} has it, and nothing was written since {}",
                    name(holder),
                    since.strftime("%H:%M:%SZ")
                ),
                vec![show, recover_here(holder)],
            ),
            Cause::Unreadable { what } => (format!("BAD DATA: {}", what.join("; ")), vec![show]),
        };
        Row { severity, text, next }
    }
}

/// All causes of one open incident; none for one that has ended, or that goes well. Wall clocks count here: what follows
/// is a word to a person and nothing else. `evacuation_deadline` is the policy's.
pub fn causes(facts: &Facts, now: Timestamp, evacuation_deadline: Duration) -> Vec<Cause> {
    let silent_for = elapsed(facts.last_word(), now);
    let standstill = match facts.guests_under_way {
        true => STANDSTILL + evacuation_deadline,
        false => STANDSTILL,
    };
    let holder = || facts.holder.clone();
    let mut causes = Vec::new();
    match &facts.state {
        State::Withdrawn | State::Abandoned | State::Closed => return causes,
        State::Held { reason, .. } => causes.push(Cause::Held { reason: reason.clone() }),
        State::Active if !facts.notes.is_empty() => {
            causes.push(Cause::Waiting { reasons: by_reason(facts), next: commands(facts) })
        }
        State::Active if facts.locked && silent_for >= standstill => {
            causes.push(Cause::NoProgress { holder: holder(), since: facts.last_word() });
        }
        State::Active if !facts.locked && silent_for >= PATIENCE => causes.push(match facts.is_claimed {
            true => Cause::NobodyAtWork { holder: holder() },
            false => Cause::Unclaimed,
        }),
        State::Active => {}
    }
    if !facts.unreadable.is_empty() {
        causes.push(Cause::Unreadable { what: facts.unreadable.clone() });
    }
    causes
}

/// How much the causes of an incident weigh: `attention_after` (policy) since it opened they are no warning any more.
pub fn severity(facts: &Facts, causes: &[Cause], now: Timestamp, attention_after: Duration) -> Severity {
    match (causes.is_empty(), elapsed(facts.opened_at, now) >= attention_after) {
        (true, _) => Severity::Fine,
        (false, false) => Severity::Warning,
        (false, true) => Severity::Critical,
    }
}

/// Nothing, where the clocks contradict each other.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Each reason once, with the HA nodes that have it.
fn by_reason(facts: &Facts) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for note in &facts.notes {
        for reason in &note.reasons {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, nodes)) => nodes.push(note.node.as_str()),
                None => reasons.push((reason, vec![note.node.as_str()])),
            }
        }
    }
    reasons.into_iter().map(|(reason, nodes)| format!("{}: {reason}", nodes.join(", "))).collect()
}

fn commands(facts: &Facts) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for command in facts.notes.iter().flat_map(|note| &note.next) {
        if !commands.contains(command) {
            commands.push(command.clone());
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::note::WaitingNote;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn facts(state: State) -> Facts {
        Facts {
            id: "c1@0".parse().unwrap(),
            opened_at: at(0),
            written_at: at(0),
            guest_at: None,
            guests_under_way: false,
            state,
            is_claimed: false,
            holder: None,
            locked: false,
            notes: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    fn held() -> State {
        serde_json::from_str(r#"{"state":"held","reason":"why"}"#).unwrap()
    }

    fn note() -> WaitingNote {
        WaitingNote {
            version: 1,
            node: "ha1".parse().unwrap(),
            reasons: vec!["its BMC does not answer".into()],
            next: vec!["nova-ha confirm-off c1".into()],
            since: at(1),
            tried: None,
        }
    }

    /// One word for each cause: a new one does not compile before it is in the tests.
    fn word(cause: &Cause) -> &'static str {
        match cause {
            Cause::Waiting { .. } => "waiting",
            Cause::Held { .. } => "held",
            Cause::Unclaimed => "unclaimed",
            Cause::NobodyAtWork { .. } => "nobody at work",
            Cause::NoProgress { .. } => "no progress",
            Cause::Unreadable { .. } => "unreadable",
        }
    }

    #[test]
    fn what_waits_for_a_person_and_what_stands_still_is_told_from_what_goes_on() {
        let claimed = |locked| Facts {
            is_claimed: true,
            holder: Some("ha1".parse().unwrap()),
            locked,
            ..facts(State::Active)
        };
        let with_note = |facts: Facts| Facts { notes: vec![note()], ..facts };
        let (standstill, patience) = (300, 150);
        for (what, facts, seconds, expected) in [
            ("just opened", facts(State::Active), 10, vec![]),
            ("not taken", facts(State::Active), patience, vec!["unclaimed"]),
            ("waits", with_note(facts(State::Active)), 1, vec!["waiting"]),
            ("waits while its lock is held", with_note(claimed(true)), 1, vec!["waiting"]),
            ("is worked on", claimed(true), standstill - 1, vec![]),
            ("stands still under its holder", claimed(true), standstill, vec!["no progress"]),
            ("a guest's entry is a word", Facts { guest_at: Some(at(200)), ..claimed(true) }, 499, vec![]),
            ("a guest is under way", Facts { guests_under_way: true, ..claimed(true) }, 300 + 899, vec![]),
            (
                "a guest is under way for longer than it may be",
                Facts { guests_under_way: true, ..claimed(true) },
                300 + 900,
                vec!["no progress"],
            ),
            ("its holder is between two runs", claimed(false), patience - 1, vec![]),
            ("its holder is gone", claimed(false), patience, vec!["nobody at work"]),
            ("held", facts(held()), 1, vec!["held"]),
            ("held, with notes", with_note(facts(held())), 1, vec!["held"]),
            ("a clock that is behind", facts(State::Active), -500, vec![]),
            ("ended", facts(State::Closed), 9999, vec![]),
            ("withdrawn", with_note(facts(State::Withdrawn)), 9999, vec![]),
            ("abandoned", facts(State::Abandoned), 9999, vec![]),
            (
                "a guest that cannot be read",
                Facts { unreadable: vec!["guests/x holds ...".into()], ..claimed(true) },
                1,
                vec!["unreadable"],
            ),
            (
                "held, and a journal that cannot be read",
                Facts { unreadable: vec!["journal/1".into()], ..facts(held()) },
                1,
                vec!["held", "unreadable"],
            ),
        ] {
            let found = causes(&facts, at(seconds), Duration::from_secs(900));
            assert_eq!(found.iter().map(word).collect::<Vec<_>>(), expected, "{what}");
            let severity_at = |seconds| severity(&facts, &found, at(seconds), Duration::from_secs(600));
            let (early, late) = match found.is_empty() {
                true => (Severity::Fine, Severity::Fine),
                false => (Severity::Warning, Severity::Critical),
            };
            assert_eq!((severity_at(599), severity_at(600)), (early, late), "{what}");
            for cause in &found {
                let row = cause.row(&facts.id, early);
                assert!(
                    !row.text.is_empty() && row.next.iter().any(|next| next.contains("nova-ha")),
                    "{row:?}"
                );
                let later = cause.row(&facts.id, early);
                assert_eq!(row, later, "the text of a check does not change by itself");
            }
        }
    }
}
