//! What the tree and Consul say against a person's word that a host, or a device of it, has no power.

use std::time::Duration;

use super::stop::Stop;
use super::world::World;
use crate::evidence::signs::SignSeen;
use crate::keys;
use crate::names::{HaNodeName, HostName};
use crate::store::{Entry, SerfHealth};
use crate::tree::observer::ObserverRecord;
use crate::tree::record::parse;
use crate::tree::sign::Sign;
use crate::tree::{Snapshot, machine};

/// Why a word does not count.
pub(super) enum Against {
    /// By the clock of an observer that wrote after it its time is over.
    OverElsewhere {
        /// Whose clock.
        observer: HaNodeName,
        /// What it says.
        at: jiff::Timestamp,
    },
    /// The host gives a sign of life, or gave one after it.
    Lives(SignSeen),
}

/// Whether something stands against a word of this entry, which was given then for so long.
pub(super) async fn against(
    world: &World,
    host: &HostName,
    entry: &Entry,
    (given, ttl): (jiff::Timestamp, Duration),
) -> Result<Option<Against>, Stop> {
    let observers = observers_since(world, host, entry).await?;
    if let Some(late) = observers.iter().find(|record| is_later(record.at, given, ttl)) {
        return Ok(Some(Against::OverElsewhere { observer: late.observer.clone(), at: late.at }));
    }
    let seen = match observers.iter().find(|record| record.fails == 0) {
        Some(healthy) => Some(SignSeen {
            sign: Sign::Observers,
            text: format!("{} saw it answer after that", healthy.observer),
        }),
        None => agent(world, host).await?,
    };
    Ok(seen.map(Against::Lives))
}

fn is_later(now: jiff::Timestamp, at: jiff::Timestamp, ttl: Duration) -> bool {
    let since = now.duration_since(at);
    !since.is_negative() && since.unsigned_abs() >= ttl
}

/// What observers wrote of the host later than the word, in its present epoch.
async fn observers_since(world: &World, host: &HostName, word: &Entry) -> Result<Vec<ObserverRecord>, Stop> {
    let keys = keys::host(host);
    let tree = |source| Stop::Tree { source };
    let prefixes = [keys::META.to_owned(), keys.observers(), keys.epoch()];
    let snapshot = Snapshot::read(world.store.as_ref(), "the observers", &prefixes).await.map_err(tree)?;
    let epoch = snapshot.number(&keys.epoch()).map_err(tree)?.unwrap_or(0);
    let mut records = Vec::new();
    for entry in snapshot.below(&keys.observers()).filter(|entry| entry.modify_index > word.modify_index) {
        let record: ObserverRecord = parse(&entry.key, &entry.value).map_err(tree)?;
        if record.epoch.0 == epoch {
            records.push(record);
        }
    }
    Ok(records)
}

/// What its agent says now.
async fn agent(world: &World, host: &HostName) -> Result<Option<SignSeen>, Stop> {
    let keys = keys::host(host);
    let tree = |source| Stop::Tree { source };
    let prefixes = [keys::META.to_owned(), keys.agent(), keys.names()];
    let snapshot = Snapshot::read(world.store.as_ref(), "its agent", &prefixes).await.map_err(tree)?;
    if !machine::has_agent(&snapshot, &keys).map_err(tree)? {
        return Ok(None);
    }
    let node = machine::consul_node(&snapshot, &keys, host.as_str()).map_err(tree)?;
    let read = |source| Stop::Store { doing: "read serfHealth", source };
    let health = world.store.serf_health().await.map_err(read)?;
    let passes =
        health.iter().any(|of| of.node.eq_ignore_ascii_case(&node) && of.serf == SerfHealth::Passing);
    let text = || "its Consul agent answers (serfHealth passing)".to_owned();
    Ok(passes.then(|| SignSeen { sign: Sign::Agent, text: text() }))
}
