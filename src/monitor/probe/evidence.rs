//! What a probe reads and writes: one transaction each.

use super::args::Settings;
use super::decide::Next;
use crate::keys;
use crate::names::Epoch;
use crate::store::{Entry, Op, Store, StoreError, TxnOutcome};
use crate::tree::host_keys::HostKeys;
use crate::tree::machine::{self, SshAccess};
use crate::tree::meta::Meta;
use crate::tree::namesake::{Namesake, OwnName, own_name};
use crate::tree::observer::ObserverRecord;
use crate::tree::published::Published;
use crate::tree::{Snapshot, TreeError, record};

/// What the tree says to a probe, at one index.
#[derive(Debug)]
pub struct Before {
    /// How to log in.
    pub access: SshAccess,
    /// Host keys that an operator bound, else those that the machine published about itself. What of its own word cannot be
    /// understood is no key, and no reason to look away from a machine that is silent.
    pub host_keys: HostKeys,
    /// This observer's record, with its entry.
    pub record: Option<(ObserverRecord, Entry)>,
    /// The machine's epoch.
    pub epoch: Epoch,
    epoch_entry: Option<Entry>,
    /// What Consul calls this observer.
    consul_node: String,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Done,
    /// The record or the epoch changed since it was read: a reset, or a second probe of this name.
    Moved,
    /// This machine is not the observer: its vote is not written, or two machines would be one vote.
    NotOurs(Namesake),
}

/// Reads it. Never `config/bmc`: a probe has no business there.
///
/// # Errors
/// Consul does not answer, the tree is not initialised (or may not be read), nobody added the
/// machine, or a value cannot be understood.
pub async fn read(store: &dyn Store, settings: &Settings) -> Result<Before, TreeError> {
    let keys = settings.machine.keys();
    let own = keys.observer(&settings.observer);
    let observer = keys::ha_node(&settings.observer);
    let wanted = [
        keys::META.to_owned(),
        keys.general(),
        keys.ssh(),
        own.clone(),
        keys.epoch(),
        keys.runtime_config(),
        observer.names(),
    ];
    let snapshot = Snapshot::read(store, &keys.ssh(), &wanted).await?;
    Meta::of(&snapshot)?;
    if snapshot.get(&keys.general()).is_none() && snapshot.below(&keys.ssh()).next().is_none() {
        return Err(TreeError::Unknown {
            what: settings.machine.what(),
            name: settings.machine.name().to_owned(),
        });
    }
    let access = SshAccess::of(&snapshot, &keys)?;
    let host_keys = HostKeys::of(&access, &Published::of(&snapshot, &keys));
    let record = match snapshot.get(&own) {
        None => None,
        Some(entry) => Some((record::parse(&own, &entry.value)?, entry.clone())),
    };
    Ok(Before {
        access,
        host_keys,
        record,
        epoch: Epoch(snapshot.number(&keys.epoch())?.unwrap_or(0)),
        epoch_entry: snapshot.get(&keys.epoch()).cloned(),
        consul_node: machine::consul_node(&snapshot, &observer, settings.observer.as_str())?,
    })
}

/// Writes the record, if there is one to write, compared with what was read and with the epoch: a
/// vote for a host that was reset meanwhile must not appear in its new life. Only then the agent is asked who it is: a
/// healthy host costs no request for it.
///
/// # Errors
/// Consul did not answer; the write may have happened, which the next run's read shows.
pub async fn write(
    store: &dyn Store,
    settings: &Settings,
    before: &Before,
    next: &Next,
) -> Result<Written, StoreError> {
    let Some(new) = &next.record else { return Ok(Written::Done) };
    match own_name(store, &settings.observer, &before.consul_node).await {
        OwnName::Ours => {}
        OwnName::Anothers(namesake) => return Ok(Written::NotOurs(namesake)),
        OwnName::CannotTell { why } => tracing::info!(why, "the Consul agent does not say which node it is"),
    }
    let keys = settings.machine.keys();
    let ops = [
        Op::replace(
            keys.observer(&settings.observer),
            record::bytes(new),
            before.record.as_ref().map(|(_, entry)| entry),
        ),
        Op::unchanged(keys.epoch(), before.epoch_entry.as_ref()),
    ];
    match store.transact(&ops).await? {
        TxnOutcome::Committed(_) => Ok(Written::Done),
        TxnOutcome::Refused(refusals) => {
            tracing::warn!(?refusals, "the tree moved under the probe");
            Ok(Written::Moved)
        }
    }
}
