//! One incident with everything the tree says of its host and of this HA node. Changes nothing.

use jiff::Timestamp;

use super::history::{DisksHistory, IdleResume};
use super::stop::Stop;
use super::world::{World, chain};
use crate::bindings::{self, Expected};
use crate::evidence::Pins;
use crate::incident::IncidentRecord;
use crate::incident::journal::JournalEntry;
use crate::incident::opening::record_of;
use crate::incident::record::Origin;
use crate::incident::status::{State, Status};
use crate::incident::step::Phase;
use crate::keys;
use crate::names::IncidentId;
use crate::nova::NovaHost;
use crate::policy::Policy;
use crate::tree::formats::Formats;
use crate::tree::machine::{SshAccess, Targets};
use crate::tree::meta::Meta;
use crate::tree::nova_names::{self, TreeMachine};
use crate::tree::record::Record;
use crate::tree::storage::Storage;
use crate::tree::{Snapshot, TreeError, record};

/// One incident with everything the tree knows about its host and about this HA node.
pub struct Case {
    /// The incident.
    pub id: IncidentId,
    /// The settings.
    pub policy: Policy,
    /// The entries, for compare-and-set.
    pub tree: Snapshot,
    /// The incident record as read.
    pub record: IncidentRecord,
    /// How to reach the host.
    pub ssh: SshAccess,
    /// Host keys that it is known by.
    pub pins: Pins,
    /// What the host's BMC must say it is, and by whose word.
    pub expected: Expected,
    /// What Nova calls the host, by an operator's word or its own name.
    pub nova_host: NovaHost,
    /// Where this HA node sends guests.
    pub targets: Targets,
    /// What Nova calls this HA node.
    pub own_nova_host: NovaHost,
    /// How this HA node gets at the guests' disks.
    pub storage: Storage,
    /// `config/os_cloud` of this HA node.
    pub os_cloud: Option<String>,
    /// `generation` of `ha_cluster/meta`: which tree this is.
    pub generation: String,
    /// What the journal says of the host's disks.
    pub disks: DisksHistory,
    /// The journal's last entry, where the next resume replaces it.
    pub idle: Option<IdleResume>,
    /// What the configured HA nodes read: asked before anything is written that an older build refuses.
    pub formats: Formats,
}

fn tree(source: TreeError) -> Stop {
    Stop::Tree { source }
}

/// Reads a case. Secrets are read here, and only by a recovery.
pub async fn load(world: &World, id: &IncidentId) -> Result<Case, Stop> {
    let snapshot = read(world, id).await?;
    let missing = || tree(TreeError::Missing { key: keys::incident(id).incident() });
    let record = record_of(&snapshot, id).map_err(tree)?.ok_or_else(missing)?;
    if record.head > 0 {
        journal_is_ours_to_continue(world, id).await?;
    }
    case(world, snapshot, record).await
}

/// Reads a case that the tree has forgotten, to give back what this HA node took: nothing else is done by it.
pub async fn load_forgotten(world: &World, id: &IncidentId, at: Timestamp) -> Result<Case, Stop> {
    let snapshot = read(world, id).await?;
    let phase = Phase::StorageTaken;
    let record = IncidentRecord {
        version: IncidentRecord::VERSION,
        id: id.clone(),
        origin: Origin::Key,
        order: None,
        opened_by: world.me.to_string(),
        opened_at: at,
        changed_at: at,
        holder: Some(world.me.clone()),
        head: 0,
        status: Status { phase, started: None, past_no_return: true, state: State::Abandoned, retry: false },
    };
    // An incident that goes on in this tree is not forgotten.
    let key = keys::incident(id).incident();
    let known: Option<IncidentRecord> = snapshot.record(&key).map_err(tree)?;
    case(world, snapshot, known.filter(|known| !known.status.is_over()).unwrap_or(record)).await
}

async fn read(world: &World, id: &IncidentId) -> Result<Snapshot, Stop> {
    let host = keys::host(id.host());
    let own = keys::ha_node(&world.me);
    let incident = keys::incident(id);
    let prefixes = [
        keys::META.to_owned(),
        keys::POLICY.to_owned(),
        host.config(),
        host.status(),
        host.epoch(),
        host.runtime_config(),
        host.observers(),
        host.boot_guard(),
        own.config(),
        own.status(),
        own.in_use_by(),
        incident.incident(),
        incident.opened(),
        incident.lock(),
        incident.term(),
    ];
    Snapshot::read(world.store.as_ref(), &format!("incident {id}"), &prefixes).await.map_err(tree)
}

async fn case(world: &World, snapshot: Snapshot, record: IncidentRecord) -> Result<Case, Stop> {
    let id = &record.id;
    let (host, own) = (keys::host(id.host()), keys::ha_node(&world.me));
    let generation = Meta::of(&snapshot).map_err(tree)?.generation;
    let formats = Formats::read(world.store.as_ref()).await.map_err(tree)?;
    let policy = Policy::of(&snapshot).map_err(tree)?;
    let ssh = SshAccess::of(&snapshot, &host).map_err(tree)?;
    let machine = TreeMachine::Host(id.host().clone());
    let nova_host = nova_names::bound(&snapshot, &machine).map_err(tree)?;
    let own_nova_host = nova_names::bound(&snapshot, &TreeMachine::HaNode(world.me.clone())).map_err(tree)?;
    let pins = Pins::of(&snapshot, &host, &ssh).map_err(tree)?;
    let expected = bindings::expect(world.store.as_ref(), &snapshot, &machine).await.map_err(tree)?;
    Ok(Case {
        id: id.clone(),
        formats,
        targets: Targets::of(&snapshot, &own).map_err(tree)?,
        storage: Storage::of(&snapshot, &own).map_err(tree)?,
        os_cloud: snapshot.text(&own.os_cloud()).map_err(tree)?,
        nova_host: nova_name(&nova_host, &host.names())?,
        own_nova_host: nova_name(&own_nova_host, &own.names())?,
        policy,
        record,
        ssh,
        pins,
        expected,
        tree: snapshot,
        generation,
        disks: DisksHistory::default(),
        idle: None,
    })
}

/// What a newer nova-ha wrote into the journal, this one does not continue: it would not know what
/// was promised there.
async fn journal_is_ours_to_continue(world: &World, id: &IncidentId) -> Result<(), Stop> {
    let entries = world
        .store
        .list(&keys::incident(id).journal())
        .await
        .map_err(|source| Stop::Store { doing: "read the journal", source })?;
    for entry in entries {
        record::parse::<JournalEntry>(&entry.key, &entry.value).map_err(tree)?;
    }
    Ok(())
}

fn nova_name(text: &str, key: &str) -> Result<NovaHost, Stop> {
    text.parse().map_err(|why| tree(TreeError::Malformed { key: key.to_owned(), why: chain(&why) }))
}
