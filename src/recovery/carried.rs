//! Asks Nova for the guests that ended incidents left on HA nodes, and notes where it says otherwise than their ledgers.
//!
//! Nothing is decided here. The note ends the alarm over a dead HA node for guests that a person has moved from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::rarely;
use super::world::{World, chain};
use crate::incident::guests_seen::{Differs, GuestsSeen, NovaSays};
use crate::incident::on_ha_nodes::{Carried, OnHaNodes};
use crate::keys;
use crate::names::IncidentId;
use crate::nova::{Cloud, NovaHost, Server, ServerId, VmState};
use crate::own_files::OwnFileError;
use crate::store::{Op, StoreError, TxnOutcome};
use crate::tree::record::{Record, bytes, parse};
use crate::tree::{Snapshot, TreeError};

/// How often one HA node asks. A request for each HA node with guests, and one for each guest that is not there.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// The file that remembers when it asked last.
const ASKED: &str = "guests-asked";

/// All of Nova's answers together: this run has the file lock, and an incident that opens now waits for it.
const WITHIN: Duration = Duration::from_secs(10);

/// Guests that one run asks for one by one; of the rest what was noted before stands.
const MOST_ASKED: usize = 100;

/// Why it was not compared.
#[derive(Debug, thiserror::Error)]
pub enum NotCompared {
    /// The tree cannot be read.
    #[error("cannot read which guests are on HA nodes")]
    Tree {
        /// The cause.
        source: TreeError,
    },
    /// Nova cannot be asked.
    #[error("Nova does not say which guests are on HA nodes: {why}")]
    Nova {
        /// Why.
        why: String,
    },
    /// What differs cannot be written.
    #[error("cannot write which guests are elsewhere than {id} left them")]
    Write {
        /// Of which incident.
        id: IncidentId,
        /// The cause.
        source: StoreError,
    },
    /// When this HA node asked last cannot be remembered: it would ask in every run.
    #[error("cannot remember in {} when Nova was asked last", path.display())]
    Memory {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: OwnFileError,
    },
}

fn nova(why: String) -> NotCompared {
    NotCompared::Nova { why }
}

/// Compares, where a ledger names guests on an HA node and this HA node has not asked for a while. Says how many notes it wrote.
///
/// # Errors
/// Nothing was changed, or not all; it asks again as if it had been answered.
pub async fn compare(world: &World) -> Result<usize, NotCompared> {
    tokio::select! {
        biased;
        compared = compare_all(world) => compared,
        () = world.clock.sleep(WITHIN) => Err(nova(format!("not within {WITHIN:?}"))),
    }
}

async fn compare_all(world: &World) -> Result<usize, NotCompared> {
    let tree = |source| NotCompared::Tree { source };
    let on_ha_nodes = OnHaNodes::read(world.store.as_ref()).await.map_err(tree)?;
    if on_ha_nodes.guests.is_empty() {
        return Ok(0);
    }
    let memory = |source| NotCompared::Memory { path: rarely::file(world, ASKED), source };
    if !rarely::is_due(world, ASKED, EVERY).map_err(memory)? {
        return Ok(0);
    }
    let key = keys::ha_node(&world.me).os_cloud();
    let own = Snapshot::read(world.store.as_ref(), &key, std::slice::from_ref(&key)).await.map_err(tree)?;
    let name = own.text(&key).map_err(tree)?;
    let cloud = world.clouds.open(name.as_deref(), WITHIN).map_err(nova)?;
    let mut asked = Asked { cloud: cloud.as_ref(), there: BTreeMap::new(), left: MOST_ASKED };
    let mut by_incident: BTreeMap<IncidentId, Vec<Differs>> = BTreeMap::new();
    for guest in on_ha_nodes.guests.into_values().flatten() {
        let says = asked.says(&guest).await?;
        let differs = by_incident.entry(guest.incident.clone()).or_default();
        differs.extend(says.map(|nova| Differs { server: guest.server, name: guest.name, nova }));
    }
    let mut written = 0;
    for (id, differs) in by_incident {
        written += usize::from(note(world, &id, differs).await?);
    }
    Ok(written)
}

/// Nova's answers of this run.
struct Asked<'a> {
    cloud: &'a dyn Cloud,
    /// By host.
    there: BTreeMap<String, Vec<Server>>,
    /// Guests that may still be asked for one by one.
    left: usize,
}

impl Asked<'_> {
    /// What Nova says of a guest, where that is not what the ledger says.
    async fn says(&mut self, guest: &Carried) -> Result<Option<NovaSays>, NotCompared> {
        if !self.there.contains_key(&guest.to) {
            let host: NovaHost = guest.to.parse().map_err(|error| nova(chain(&error)))?;
            let servers = self.cloud.servers_on(&host).await.map_err(|error| nova(chain(&error)))?;
            self.there.insert(guest.to.clone(), servers);
        }
        let there = self.there.get(&guest.to).map_or(&[][..], Vec::as_slice);
        if let Some(server) = there.iter().find(|server| server.id.as_str() == guest.server) {
            let is_as_left = !guest.runs || server.vm_state == VmState::Active;
            let vm_state = server.vm_state.to_string();
            return Ok((!is_as_left).then_some(NovaSays::NotActive { vm_state }));
        }
        let Some(left) = self.left.checked_sub(1) else { return Ok(guest.nova.clone()) };
        self.left = left;
        let id: ServerId = guest.server.parse().map_err(|error| nova(chain(&error)))?;
        let server = self.cloud.server(&id).await.map_err(|error| nova(chain(&error)))?;
        Ok(match server {
            None => Some(NovaSays::Gone),
            // It came there between the two answers.
            Some(server) if server.host.as_ref().is_some_and(|host| host.as_str() == guest.to) => None,
            Some(server) => Some(NovaSays::Elsewhere { host: server.host.map(|host| host.to_string()) }),
        })
    }
}

/// Notes what differs; an unchanged answer writes nothing.
async fn note(world: &World, id: &IncidentId, differs: Vec<Differs>) -> Result<bool, NotCompared> {
    let keys = keys::incident(id);
    let read = [keys.incident(), keys.guests_seen()];
    let tree = Snapshot::read(world.store.as_ref(), "what Nova said of guests", &read).await;
    let tree = tree.map_err(|source| NotCompared::Tree { source })?;
    let Some(incident) = tree.get(&keys.incident()) else { return Ok(false) };
    let before = tree.get(&keys.guests_seen());
    let known = before.and_then(|entry| parse::<GuestsSeen>(&entry.key, &entry.value).ok());
    let op = match (before, differs.is_empty()) {
        (None, true) => return Ok(false),
        (Some(entry), true) => Op::DeleteCas(entry.key.clone(), entry.modify_index),
        (_, false) if known.is_some_and(|known| known.differs == differs) => return Ok(false),
        (before, false) => {
            let (by, since) = (world.me.clone(), world.clock.wall());
            let seen = GuestsSeen { version: GuestsSeen::VERSION, by, since, differs };
            Op::replace(keys.guests_seen(), bytes(&seen), before)
        }
    };
    // One that was pruned meanwhile is not begun anew.
    let ops = [Op::CheckIndex(keys.incident(), incident.modify_index), op];
    let outcome = world.store.transact(&ops).await;
    match outcome.map_err(|source| NotCompared::Write { id: id.clone(), source })? {
        TxnOutcome::Committed(_) => Ok(true),
        // Another HA node said it, or it moved on: the next run that asks looks again.
        TxnOutcome::Refused(_) => Ok(false),
    }
}
