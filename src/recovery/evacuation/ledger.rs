//! The ledger: one small key per guest, made when needed, each write under our lock.

use std::collections::BTreeMap;

use super::states::ends_stopped;
use crate::incident::guest::{GuestEntry, GuestState};
use crate::incident::settled;
use crate::nova::Server;
use crate::recovery::context::Context;
use crate::recovery::earlier::Earlier;
use crate::recovery::stop::Stop;
use crate::store::{Op, TxnOutcome};
use crate::tree::Snapshot;
use crate::tree::formats::Kind;
use crate::tree::record::{Record, bytes, parse};

/// One guest's entry with its index.
pub struct Line {
    /// The entry.
    pub entry: GuestEntry,
    /// Consul's index of it.
    pub index: u64,
    /// Whether a person said what became of it: nobody waits for it, and it is not looked at again.
    pub settled: bool,
}

impl Line {
    /// Whether a person led on since it was held, or it is what a retry is about: then it is looked at again, as an evacuation that may be under way. What
    /// was held since (by a process that died before it could hold the incident) waits for a person.
    pub fn is_to_be_looked_at(&self, earlier: &Earlier) -> bool {
        let is_held = matches!(self.entry.state, GuestState::Held { .. });
        let is_asked_about = earlier.retry.as_ref().is_none_or(|retry| retry.is_about(&self.entry.server));
        is_held && !self.settled && is_asked_about && Some(self.entry.term) <= earlier.resumed
    }

    /// Whether the incident waits for a person because of it.
    pub fn holds_its_incident(&self) -> bool {
        !self.settled && self.entry.state.holds_its_incident()
    }
}

/// All entries of an incident, by server id.
pub async fn read(context: &Context<'_>) -> Result<BTreeMap<String, Line>, Stop> {
    let keys = context.journal.keys();
    let prefixes = [keys.guests(), keys.all_settled()];
    let tree = |source| Stop::Tree { source };
    let read = Snapshot::read(context.world.store.as_ref(), "the guest ledger", &prefixes).await;
    let read = read.map_err(tree)?;
    let settled = settled::servers(read.below(&keys.all_settled())).map_err(tree)?;
    read.below(&keys.guests())
        .map(|stored| {
            let entry: GuestEntry = parse(&stored.key, &stored.value).map_err(tree)?;
            let settled = settled.contains(&entry.server);
            Ok((entry.server.clone(), Line { entry, index: stored.modify_index, settled }))
        })
        .collect()
}

/// A new entry for a guest as Nova shows it.
pub fn fresh(context: &Context<'_>, server: &Server, state: GuestState) -> GuestEntry {
    GuestEntry {
        version: GuestEntry::VERSION,
        server: server.id.to_string(),
        name: server.name.chars().take(255).collect(),
        from: context.case.nova_host.to_string(),
        term: context.journal.term(),
        attempts: 0,
        before: 0,
        migration: None,
        vm_state: server.vm_state.to_string(),
        ends_stopped: ends_stopped(&server.vm_state, server.power_state),
        requests: Vec::new(),
        sent: None,
        state,
        at: context.world.clock.wall(),
    }
}

/// An entry as all configured HA nodes read it: what an older one does not know, and whose absence is read safely, is left
/// out.
pub fn as_all_read(context: &Context<'_>, mut entry: GuestEntry) -> GuestEntry {
    let is_read = |version| context.case.formats.allows(Kind::Guest, version).is_ok();
    if !is_read(2) {
        // As a token of which nothing is known.
        entry.sent = None;
    }
    if let GuestState::Held { cause: cause @ Some(_), .. } = &mut entry.state
        && !is_read(3)
    {
        // It holds its incident then.
        *cause = None;
    }
    entry
}

/// Writes one entry: our session must hold the lock, and incident and entry must be as we last saw
/// them. A person's hold so stops the very next POST.
pub async fn write(context: &Context<'_>, entry: &GuestEntry, seen: Option<u64>) -> Result<u64, Stop> {
    let mut entry = as_all_read(context, entry.clone());
    entry.term = context.journal.term();
    entry.at = context.world.clock.wall();
    if let GuestState::Excluded { why }
    | GuestState::Refused { why }
    | GuestState::Failed { why }
    | GuestState::Held { why, .. } = &mut entry.state
    {
        *why = why.chars().take(400).collect();
    }
    let key = context.journal.keys().guest(&entry.server);
    let ops = [Op::Cas(key.clone(), bytes(&entry), seen.unwrap_or(0))];
    let outcome = context.retrying("write the guest ledger", || context.journal.with_guards(&ops)).await?;
    match outcome {
        TxnOutcome::Committed(entries) => crate::recovery::journal::index_of(&entries, &key),
        TxnOutcome::Refused(_) => {
            // A try without an answer may have been taken: then our own entry is what is there.
            let stored = context
                .world
                .store
                .get(&key)
                .await
                .map_err(|source| Stop::Store { doing: "read the guest ledger", source })?;
            match stored {
                Some(stored) if stored.value == bytes(&entry) => {
                    // Whether a person held the incident since, that refusal does not tell apart.
                    context.journal.confirm().await?;
                    Ok(stored.modify_index)
                }
                _ => Err(Stop::Moved { what: format!("guest ledger entry {}", entry.server) }),
            }
        }
    }
}
