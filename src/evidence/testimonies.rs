//! What the observers wrote of one machine, and how old it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::unchanged::unchanged_for;
use super::witness::Witness;
use crate::chain::chain;
use crate::judge::freshness::{self, Freshness};
use crate::judge::scene::{Testimony, Unreadable};
use crate::judge::votes::SUSPECT_FAILS;
use crate::keys::MachineKeys;
use crate::names::HaNodeName;
use crate::store::Entry;
use crate::tree::observer::ObserverRecord;
use crate::tree::{Snapshot, TreeError};

/// The records of one machine, and those that cannot be understood. With a witness their age is told where it can be.
pub(super) fn testimonies(
    snapshot: &Snapshot,
    keys: &MachineKeys,
    witness: Option<&Witness<'_>>,
) -> (BTreeMap<HaNodeName, Testimony>, BTreeMap<HaNodeName, Unreadable>) {
    let prefix = keys.observers();
    let mut records: BTreeMap<HaNodeName, (ObserverRecord, u64)> = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    for entry in snapshot.below(&prefix) {
        // A key that no HA node can have is nobody's word.
        let Some(Ok(observer)) = entry.key.strip_prefix(&prefix).map(str::parse::<HaNodeName>) else {
            continue;
        };
        let modify_index = entry.modify_index;
        match of_observer(entry, &observer) {
            Ok(record) => drop(records.insert(observer, (record, modify_index))),
            Err(error) => {
                let why = chain(&error);
                drop(unreadable.insert(observer, Unreadable { why, modify_index }));
            }
        }
    }
    let life = witness.map(Witness::life);
    let me = witness.and_then(|w| w.me.clone());
    let own = me.as_ref().and_then(|name| records.get(name)).cloned();
    let yardstick = match (&own, &life) {
        (Some((record, index)), Some(life)) => freshness::yardstick(record, *index, life),
        _ => None,
    };
    let testimonies = records
        .into_iter()
        .map(|(name, (record, modify_index))| {
            let freshness = match (&life, Some(&name) == me.as_ref()) {
                (Some(life), true) => freshness::own(&record, life),
                (Some(_), false) => freshness::foreign(modify_index, yardstick),
                (None, _) => Freshness::CannotTell,
            };
            let unchanged_for = match (freshness, witness) {
                (Freshness::Stale, Some(witness)) if record.fails >= SUSPECT_FAILS => {
                    unchanged_for(witness, &keys.observer(&name), modify_index)
                }
                (Freshness::Fresh | Freshness::Stale | Freshness::CannotTell, _) => Duration::ZERO,
            };
            (name, Testimony { record, modify_index, freshness, unchanged_for })
        })
        .collect();
    (testimonies, unreadable)
}

/// The record at an observer's own key.
fn of_observer(entry: &Entry, observer: &HaNodeName) -> Result<ObserverRecord, TreeError> {
    let record: ObserverRecord = crate::tree::record::parse(&entry.key, &entry.value)?;
    if record.observer != *observer {
        let why = format!("it says that {} wrote it", record.observer);
        return Err(TreeError::Malformed { key: entry.key.clone(), why });
    }
    Ok(record)
}
