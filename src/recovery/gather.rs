//! Looking, before anything is decided: everything that a plan is made from. Changes nothing.

use super::case::Case;
use super::plan::{Facts, LevelFact, NotAsked, NovaFacts, TargetFacts};
use super::reports;
use super::stop::Stop;
use super::storage::md;
use super::storage::progress::Progress;
use super::storage::strategy;
use super::surroundings;
use super::word::{Word, word};
use super::world::{World, chain};
use crate::bindings::ArrayDoubt;
use crate::fence::weakness::weaknesses;
use crate::fence::{FenceConfig, Machine};
use crate::keys;
use crate::names::HaNodeName;
use crate::nova::{Cloud, NovaHost};
use crate::tree::TreeError;
use crate::tree::machine::Targets;
use crate::tree::nova_names::NovaNames;
use crate::tree::storage::Strategy;

fn tree(source: TreeError) -> Stop {
    Stop::Tree { source }
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

/// Everything that a plan is made from.
pub async fn gather(
    world: &World,
    case: &Case,
    levels: &[LevelFact],
    cloud: &dyn Cloud,
) -> Result<Facts, Stop> {
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
        levels: levels.to_vec(),
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
    me.is_one_with(case.id.host().as_str()) || case.nova_host == case.own_nova_host
}

async fn nova(world: &World, case: &Case, cloud: &dyn Cloud) -> Result<NovaFacts, NotAsked> {
    let fail = |error: crate::nova::NovaError| NotAsked { why: chain(&error), next: error.next() };
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
        Ok::<_, NotAsked>(TargetFacts::Named(found))
    };
    let targets = match &case.targets {
        Targets::Scheduler => TargetFacts::Scheduler,
        Targets::ThisHaNode => named(vec![case.own_nova_host.clone()]).await?,
        Targets::Hosts { hosts } => {
            let parsed: Result<Vec<NovaHost>, _> = hosts.iter().map(|h| h.parse::<NovaHost>()).collect();
            let unusable = |why| NotAsked {
                why: chain(&why),
                next: format!("nova-ha ha-node add {} --replace --targets hosts:NAME,...", world.me),
            };
            named(parsed.map_err(unusable)?).await?
        }
    };
    let of: Vec<NovaHost> = match &targets {
        TargetFacts::Scheduler => Vec::new(),
        TargetFacts::Named(named) => named.iter().map(|(host, _)| host.clone()).collect(),
    };
    // Placement away blocks nothing by itself.
    let rooms = cloud.rooms(&of).await.map_err(|error| chain(&error));
    let live_migrations = match &service {
        Some(_) => cloud.live_migrations_at(&case.nova_host).await.map_err(fail)?,
        None => Vec::new(),
    };
    let beside = match &service {
        Some(_) => cloud.beside(&case.nova_host).await.map_err(|error| chain(&error)),
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
