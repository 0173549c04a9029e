//! Looking, before anything is decided: one case, its devices, its cloud. Changes nothing.

use super::history::{DisksHistory, IdleResume};
use super::identified::whose;
use super::plan::{Facts, LevelFact, LevelState, NovaFacts, TargetFacts};
use super::reports;
use super::stop::Stop;
use super::storage::md;
use super::storage::strategy::{self, Progress};
use super::surroundings;
use super::takeovers::Takeover;
use super::word::{Word, word};
use super::world::{World, chain};
use crate::bindings::{self, ArrayDoubt, Expected};
use crate::evidence::Pins;
use crate::fence::weakness::weaknesses;
use crate::fence::{
    Channel, Device, FenceConfig, FenceLevels, Machine, Mark, Privilege, Seen, Unclear, Verdict,
};
use crate::incident::IncidentRecord;
use crate::incident::journal::JournalEntry;
use crate::incident::opening::record_of;
use crate::incident::record::Origin;
use crate::incident::status::{State, Status};
use crate::incident::step::Phase;
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::nova::{Cloud, NovaHost};
use crate::policy::Policy;
use crate::tree::formats::Formats;
use crate::tree::machine::{SshAccess, Targets};
use crate::tree::meta::Meta;
use crate::tree::nova_names::{self, NovaNames, TreeMachine};
use crate::tree::record::Record;
use crate::tree::storage::{Storage, Strategy};
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
pub async fn load_forgotten(world: &World, taken: &Takeover) -> Result<Case, Stop> {
    let snapshot = read(world, &taken.incident).await?;
    let phase = Phase::StorageTaken;
    let record = IncidentRecord {
        version: IncidentRecord::VERSION,
        id: taken.incident.clone(),
        origin: Origin::Key,
        order: None,
        opened_by: world.me.to_string(),
        opened_at: taken.at,
        changed_at: taken.at,
        holder: Some(world.me.clone()),
        head: 0,
        status: Status { phase, started: None, past_no_return: true, state: State::Abandoned, retry: false },
    };
    // An incident that goes on in this tree is not forgotten.
    let key = keys::incident(&taken.incident).incident();
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

/// A client for this HA node's cloud.
pub fn cloud(world: &World, case: &Case) -> Result<Box<dyn Cloud>, Stop> {
    // Below the lock-delay: when the lease is lost, an adopter may act that much later.
    let effects_within = case.policy.lock_delay * 3 / 4;
    world.clouds.open(case.os_cloud.as_deref(), effects_within).map_err(|why| {
        let name = case.os_cloud.as_deref().unwrap_or("OS_* variables");
        Stop::waiting(
            format!("cloud {name} cannot be used: {why}"),
            format!("look at clouds.yaml on {}, and config/os_cloud of this HA node", world.me),
        )
    })
}

/// The fence levels of a machine that answered just now as its own; the others are left out, so
/// that a device that nobody has identified cannot be used later in the same run.
pub struct Armed {
    /// What each configured level answered.
    pub facts: Vec<LevelFact>,
    /// Those that may be used.
    pub levels: FenceLevels,
}

/// Asks every fence level who it is, whether it answers and whether it may switch off.
pub async fn arm(world: &World, case: &Case) -> Armed {
    let machine = Machine::Host(case.id.host().clone());
    let host = keys::host(case.id.host());
    arm_machine(world, machine, &case.tree, &host, &case.expected, case.policy.allow_unidentified_bmc).await
}

/// As [`arm`], for any machine.
pub async fn arm_machine(
    world: &World,
    machine: Machine,
    snapshot: &Snapshot,
    keys: &keys::MachineKeys,
    expected: &Expected,
    allow_unidentified: bool,
) -> Armed {
    let mut levels = match world.fences.levels(machine.clone(), snapshot, keys) {
        Ok(levels) => levels,
        Err(error) => {
            let why = format!("{}; next: {}", chain(&error), error.hint(&machine));
            let state = LevelState::NoAnswer { why };
            let facts = vec![LevelFact { device: "fence configuration".into(), state, next: None }];
            return Armed { facts, levels: FenceLevels::new(machine, Vec::new()) };
        }
    };
    let mut facts = Vec::new();
    let change = machine.changed_by();
    for level in levels.levels() {
        let mut of_its_devices = Vec::new();
        for device in level.devices() {
            of_its_devices.push(armed(device, expected, &change).await);
        }
        facts.extend(LevelFact::together(of_its_devices));
    }
    let usable: Vec<bool> = facts.iter().map(|fact| fact.state.is_usable(allow_unidentified)).collect();
    levels.keep(&usable);
    Armed { facts, levels }
}

/// Asks one device.
async fn armed(device: &Device, expected: &Expected, change: &str) -> LevelFact {
    let switch = device.switch();
    let (state, next) = match switch.look().await {
        Err(error) => (LevelState::NoAnswer { why: chain(&error) }, Some(error.next(change))),
        Ok(Seen { power, identity: stated }) => {
            let identity = whose(device, expected, stated.as_ref()).await;
            let settles = match &identity {
                Verdict::CannotTell(unclear) => Some(settles(device, unclear, change).await),
                Verdict::Matches | Verdict::Differs { .. } => None,
            };
            let privilege = switch.can_switch_off().await;
            let privilege = privilege.unwrap_or_else(|error| Privilege::CannotTell(chain(&error)));
            let may = matches!(privilege, Privilege::Denied(_)).then(|| {
                format!("an account that may switch off: {change} --bmc-user NAME --bmc-password-file FILE")
            });
            (LevelState::Answers { power, identity, privilege }, settles.or(may))
        }
    };
    LevelFact { device: switch.describe(), state, next }
}

/// What settles whose a device is of which nobody can tell.
async fn settles(device: &Device, unclear: &Unclear, change: &str) -> String {
    match unclear {
        Unclear::Claimed { next, .. } => match device.switch().shows().await {
            Ok(Mark::Nothing) | Err(_) => next.clone(),
            Ok(mark) => format!(
                "{next}; or, if you have looked that this device is the machine's: {change} --bmc-confirmed-by NAME --bmc-shows \
                 '{mark}'"
            ),
        },
        Unclear::NotAnswered(_) => format!("make it answer, or: {change} --bmc-ip ADDRESS"),
        // It says who it is, and nobody knows who the machine is.
        Unclear::NotComparable { expected, found } if !expected.is_usable() && found.is_usable() => format!(
            "on the machine: nova-ha-runtime-info; or, if this is what stands on it: {change} --bmc-identity UUID|SERIAL"
        ),
        Unclear::NotComparable { .. } | Unclear::NotStated | Unclear::NotAsConfirmed { .. } => {
            match (device.switch().shows().await.ok(), device.switch().channel()) {
                (None, _) => format!("make it answer, or: {change} --bmc-ip ADDRESS"),
                (Some(_), Channel::Agent) => format!(
                    "if you have looked that this device is the machine's: {change} --fence-file FILE   (with \
                     \"identity_confirmed_by\": \"NAME\" in its level)"
                ),
                (Some(Mark::Nothing), Channel::Shown | Channel::Open(_)) => format!(
                    "it shows nothing of itself, so that another device like it at this address would not be told from it; if you \
                     have looked, and keep its address: {change} --bmc-confirmed-by NAME --bmc-shows nothing   (docs/bmc.md)"
                ),
                (Some(mark), Channel::Shown | Channel::Open(_)) => format!(
                    "if you have looked that this device is the machine's: {change} --bmc-confirmed-by NAME --bmc-shows '{mark}'"
                ),
            }
        }
    }
}

/// Everything that a plan is made from.
pub async fn gather(world: &World, case: &Case, armed: &Armed, cloud: &dyn Cloud) -> Result<Facts, Stop> {
    let (confirmed_off_by, word_refused) = match word(world, &case.id).await? {
        Word::None => (None, None),
        Word::Refused(why) => (None, Some(why.to_string())),
        Word::Given(given) => (Some(given.by().to_owned()), None),
    };
    let nova = nova(world, case, cloud).await;
    let names = NovaNames::read(world.store.as_ref()).await.map_err(tree)?;
    let guests: Vec<String> =
        nova.iter().flat_map(|nova| &nova.servers).map(|server| server.id.to_string()).collect();
    Ok(Facts {
        id: case.id.clone(),
        me: world.me.clone(),
        is_self: is_self(&world.me, case),
        levels: armed.facts.clone(),
        weak_ways: weak_ways(case),
        allow_unidentified_bmc: case.policy.allow_unidentified_bmc,
        reset_and_evacuate: case.policy.reset_and_evacuate.clone(),
        recover_only_opted_in: case.policy.recover_only_opted_in,
        confirmed_off_by,
        word_refused,
        storage: case.storage.clone(),
        own_nova_host: case.own_nova_host.clone(),
        name_doubts: names.doubts(&case.tree, case.id.host()).map_err(tree)?,
        identity_doubt: case.expected.doubt(),
        array_doubts: array_doubts(world, case).await?,
        attach_only: case.policy.attach_only,
        capacity_blocks: case.policy.capacity_blocks,
        storage_says: strategy::check(world, case, &Progress::of(case), &guests).await,
        nova_user_unknown: nova_user_unknown(world, case).await,
        nova,
    })
}

/// As `nova-ha status` says it. Levels that cannot be read are said as such.
fn weak_ways(case: &Case) -> Vec<String> {
    let host = case.id.host();
    let machine = Machine::Host(host.clone());
    let config = FenceConfig::of(&case.tree, &keys::host(host));
    config.map_or_else(
        |_| Vec::new(),
        |config| weaknesses(&config).iter().map(|weak| weak.text(&machine)).collect(),
    )
}

/// Why the arrays that the host published are not taken as its own, where this HA node would take them. That they
/// cannot be understood, or are not enough, the look at the disks says.
async fn array_doubts(world: &World, case: &Case) -> Result<Vec<ArrayDoubt>, Stop> {
    match (&case.storage.strategy, md::check::wanted_of(case)) {
        (Strategy::Md, Ok(wanted)) => md::whose::doubts(world, case, &wanted).await,
        (Strategy::Md, Err(_)) | (Strategy::Shared | Strategy::Exec { .. } | Strategy::Refused { .. }, _) => {
            Ok(Vec::new())
        }
    }
}

/// Why nobody can tell who nova-compute is here, where its guests' directories will be: each guest would be held for
/// it after the host was shot.
async fn nova_user_unknown(world: &World, case: &Case) -> Option<String> {
    match case.storage.strategy.is_taken() {
        true => world.disks.user(&case.storage.nova_user).await.err(),
        false => None,
    }
}

/// Whether the host is this very HA node: nobody shoots itself.
fn is_self(me: &HaNodeName, case: &Case) -> bool {
    me.same_ignoring_case(case.id.host().as_str()) || case.nova_host == case.own_nova_host
}

async fn nova(world: &World, case: &Case, cloud: &dyn Cloud) -> Result<NovaFacts, String> {
    let fail = |error: crate::nova::NovaError| chain(&error);
    cloud.ping().await.map_err(fail)?;
    let looked = reports::wait::read(world, cloud, &case.nova_host).await.map_err(fail)?;
    let (service, first_reading) = looked.map(|(reports, reading)| (reports.service, reading)).unzip();
    let servers = match &service {
        Some(_) => cloud.servers_on(&case.nova_host).await.map_err(fail)?,
        None => Vec::new(),
    };
    let named = |hosts: Vec<NovaHost>| async move {
        let mut found = Vec::new();
        for host in hosts {
            let service = cloud.service(&host).await.map_err(fail)?;
            found.push((host, service));
        }
        Ok::<_, String>(TargetFacts::Named(found))
    };
    let targets = match &case.targets {
        Targets::Scheduler => TargetFacts::Scheduler,
        Targets::ThisHaNode => named(vec![case.own_nova_host.clone()]).await?,
        Targets::Hosts { hosts } => {
            let parsed: Result<Vec<NovaHost>, _> = hosts.iter().map(|h| h.parse::<NovaHost>()).collect();
            named(parsed.map_err(|why| chain(&why))?).await?
        }
    };
    let of: Vec<NovaHost> = match &targets {
        TargetFacts::Scheduler => Vec::new(),
        TargetFacts::Named(named) => named.iter().map(|(host, _)| host.clone()).collect(),
    };
    // Placement away blocks nothing by itself.
    let rooms = cloud.rooms(&of).await.map_err(fail);
    let live_migrations = match &service {
        Some(_) => cloud.live_migrations_at(&case.nova_host).await.map_err(fail)?,
        None => Vec::new(),
    };
    let beside = match &service {
        Some(_) => cloud.beside(&case.nova_host).await.map_err(fail),
        None => Ok(Vec::new()),
    };
    let surroundings = surroundings::read(cloud, &case.nova_host, &servers).await;
    Ok(NovaFacts {
        host: case.nova_host.clone(),
        service,
        beside,
        first_reading,
        targets,
        servers,
        rooms,
        live_migrations,
        surroundings,
    })
}
