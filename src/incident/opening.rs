//! `opened/{id}`: that an incident was opened, by whom and on what. The token of `nova-ha-mark-failed` writes there, and
//! nowhere below `incidents/`: what a recovery wrote down is `nova-ha-recover`'s alone. Each run of that begins by taking
//! up what was opened ([`take_up`]).
//!
//! An opening says as little as it can. Where an incident stands, who holds it and which order counts are not among it: an
//! opening that somebody forged is an incident that was just opened, and is judged again before its host is shot.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::record::Origin;
use super::{IncidentRecord, Status};
use crate::keys;
use crate::names::IncidentId;
use crate::store::{Entry, Op};
use crate::tree::formats::Kind;
use crate::tree::record::{Record, bytes, parse};
use crate::tree::{Snapshot, TreeError};

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Format version.
    pub version: u64,
    /// Of which incident.
    pub incident: IncidentId,
    /// Where it comes from.
    pub origin: Origin,
    /// HA node (or machine) that opened it.
    pub opened_by: String,
    /// Wall clock.
    pub opened_at: Timestamp,
    /// What it was judged on, for people.
    pub evidence: Evidence,
}

impl Record for Opening {
    const VERSION: u64 = Kind::Opening.newest();
}

impl Opening {
    /// Reads one.
    ///
    /// # Errors
    /// It cannot be understood, or is another incident's.
    pub fn parse(entry: &Entry) -> Result<Self, TreeError> {
        let opening: Self = parse(&entry.key, &entry.value)?;
        if keys::incident(&opening.incident).opened() != entry.key {
            let why = format!("it is the opening of {}", opening.incident);
            return Err(TreeError::Malformed { key: entry.key.clone(), why });
        }
        Ok(opening)
    }

    /// The incident as it begins.
    pub fn record(&self) -> IncidentRecord {
        IncidentRecord {
            version: IncidentRecord::VERSION,
            id: self.incident.clone(),
            origin: self.origin.clone(),
            order: None,
            opened_by: self.opened_by.clone(),
            opened_at: self.opened_at,
            changed_at: self.opened_at,
            holder: None,
            head: 0,
            status: Status::default(),
        }
    }
}

/// The keys that [`record_of`] reads.
pub fn keys_of(id: &IncidentId) -> [String; 2] {
    let keys = keys::incident(id);
    [keys.incident(), keys.opened()]
}

/// The record of an incident: as the recovery wrote it, or as it was opened while no HA node has taken it up.
///
/// # Errors
/// It cannot be understood.
pub fn record_of(tree: &Snapshot, id: &IncidentId) -> Result<Option<IncidentRecord>, TreeError> {
    let keys = keys::incident(id);
    match (tree.record(&keys.incident())?, tree.get(&keys.opened())) {
        (Some(record), _) => Ok(Some(record)),
        (None, Some(entry)) => Ok(Some(Opening::parse(entry)?.record())),
        (None, None) => Ok(None),
    }
}

/// That what [`record_of`] read is still so.
pub fn unchanged(tree: &Snapshot, id: &IncidentId) -> Op {
    let keys = keys::incident(id);
    match (tree.get(&keys.incident()), tree.get(&keys.opened())) {
        // A token that may not write below `incidents/` may not compare an absent key there either.
        (None, Some(opened)) => Op::CheckIndex(keys.opened(), opened.modify_index),
        (known, _) => Op::unchanged(keys.incident(), known),
    }
}

/// What is to be done about an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeUp {
    /// It becomes an incident.
    Begin(Vec<Op>),
    /// It is none, or is one already: the key goes.
    Remove(Vec<Op>),
}

/// The transaction that takes an opening up. `tree` holds the opening, its incident's record, and the host's `general` and
/// `internal/epoch`.
///
/// # Errors
/// Something cannot be understood: whoever can writes it anew, or removes it.
pub fn take_up(tree: &Snapshot, opened: &Entry) -> Result<TakeUp, TreeError> {
    let opening = Opening::parse(opened)?;
    let id = &opening.incident;
    let (host, incident) = (keys::host(id.host()), keys::incident(id));
    let gone = Op::DeleteCas(opened.key.clone(), opened.modify_index);
    let epoch = tree.number(&host.epoch())?.unwrap_or(0);
    let is_of_now = tree.get(&host.general()).is_some() && epoch == id.epoch().0;
    if !is_of_now || tree.get(&incident.incident()).is_some() {
        return Ok(TakeUp::Remove(vec![gone]));
    }
    Ok(TakeUp::Begin(vec![
        Op::unchanged(host.general(), tree.get(&host.general())),
        Op::unchanged(host.epoch(), tree.get(&host.epoch())),
        Op::replace(incident.incident(), bytes(&opening.record()), None),
        Op::replace(incident.evidence(), bytes(&opening.evidence), None),
        gone,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let at = Timestamp::UNIX_EPOCH;
        Evidence {
            version: Evidence::VERSION,
            judged_by: "ha1".into(),
            at,
            detected_at: at,
            verdict: "2 votes".into(),
            votes: Vec::new(),
            quorum: 2,
            serf: "critical".into(),
            storm: String::new(),
            anchor: None,
        }
    }

    fn opened(id: &str) -> Entry {
        let opening = Opening {
            version: Opening::VERSION,
            incident: id.parse().unwrap(),
            origin: Origin::Observers,
            opened_by: "ha1".into(),
            opened_at: Timestamp::UNIX_EPOCH,
            evidence: evidence(),
        };
        entry(&keys::incident(&opening.incident).opened(), bytes(&opening))
    }

    fn entry(key: &str, value: impl Into<Vec<u8>>) -> Entry {
        Entry { key: key.into(), value: value.into(), modify_index: 7, session: None }
    }

    fn tree(more: Vec<Entry>) -> Snapshot {
        let mut tree = Snapshot::default();
        tree.extend(more);
        tree
    }

    fn is_begun(more: Vec<Entry>) -> bool {
        matches!(take_up(&tree(more), &opened("c1@3")).unwrap(), TakeUp::Begin(_))
    }

    #[test]
    fn only_what_was_opened_in_the_hosts_epoch_and_is_no_incident_yet_begins() {
        let host = keys::host(&"c1".parse().unwrap());
        let (general, epoch) = (entry(&host.general(), ""), |n: &str| entry(&host.epoch(), n));
        assert!(is_begun(vec![general.clone(), epoch("3")]));
        assert!(!is_begun(vec![general.clone(), epoch("4")]), "a reset is between");
        assert!(!is_begun(vec![general.clone()]), "no epoch is epoch 0");
        assert!(!is_begun(vec![epoch("3")]), "the host was removed");
        let known = entry(&keys::incident(&"c1@3".parse().unwrap()).incident(), "{");
        assert!(!is_begun(vec![general, epoch("3"), known]), "it is one already");
    }

    #[test]
    fn an_opening_says_nothing_of_where_the_incident_stands() {
        let opened = opened("c1@3");
        let record = Opening::parse(&opened).unwrap().record();
        assert_eq!((record.status, record.holder, record.head), (Status::default(), None, 0));
        let mut forged: serde_json::Value = serde_json::from_slice(&opened.value).unwrap();
        forged["status"] = serde_json::json!({"phase": "host_fenced"});
        assert!(Opening::parse(&entry(&opened.key, forged.to_string())).is_err());
        // Nor may it be about another one than its key.
        let other = keys::incident(&"c2@3".parse().unwrap()).opened();
        assert!(Opening::parse(&Entry { key: other, ..opened }).is_err());
    }

    #[test]
    fn what_the_recovery_wrote_goes_before_what_was_opened() {
        let id: IncidentId = "c1@3".parse().unwrap();
        let opened = opened("c1@3");
        let mut record = Opening::parse(&opened).unwrap().record();
        record.head = 5;
        assert_eq!(record_of(&tree(vec![opened.clone()]), &id).unwrap().unwrap().head, 0);
        let known = entry(&keys::incident(&id).incident(), bytes(&record));
        assert_eq!(record_of(&tree(vec![opened, known]), &id).unwrap().unwrap().head, 5);
        assert_eq!(record_of(&tree(Vec::new()), &id).unwrap(), None);
    }
}
