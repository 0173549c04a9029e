//! Every guest is where it should be, or accounted for; and nothing is left on the dead host that
//! the ledger does not name.

use std::collections::{BTreeMap, BTreeSet};

use crate::incident::guest::{GuestState, Summary};
use crate::incident::journal::{HeldCause, Outcome};
use crate::incident::step::Step;
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::nova::{NovaHost, Server, ServiceState};
use crate::recovery::context::Context;
use crate::recovery::evacuation::ledger::{self, Line};
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;
use crate::tree::Snapshot;
use crate::tree::formats::published::Published;
use crate::tree::machine::Targets;
use crate::tree::nova_names::{TreeMachine, bound};

/// Whether every guest of the ledger and of the dead host has an end for which nobody is waited, and that nobody asked to
/// look at again.
pub async fn is_accounted_for(context: &Context<'_>) -> Result<bool, Stop> {
    let lines = ledger::read(context).await?;
    let is_over = |line: &Line| {
        let is_final = line.entry.state.is_final();
        is_final && !line.holds_its_incident() && !line.is_to_be_looked_at(&context.earlier)
    };
    let left = left_on_the_host(context).await?;
    Ok(lines.values().all(is_over) && left.iter().all(|server| lines.contains_key(server.id.as_str())))
}

async fn left_on_the_host(context: &Context<'_>) -> Result<Vec<Server>, Stop> {
    context.cloud.servers_on(&context.case.nova_host).await.map_err(|error| {
        Stop::waiting(
            format!("Nova does not list {}: {}", context.case.nova_host, chain(&error)),
            "openstack server list --all --host",
        )
    })
}

/// Compares the ledger with Nova's list of the dead host, now.
pub async fn run(context: &mut Context<'_>) -> Result<(), Stop> {
    context.started(Step::Verify, Vec::new()).await?;
    let lines = ledger::read(context).await?;
    let left = left_on_the_host(context).await?;
    let unaccounted: Vec<&str> = left
        .iter()
        .filter(|server| !lines.get(server.id.as_str()).is_some_and(|line| line.entry.state.is_final()))
        .map(|server| server.name.as_str())
        .collect();
    if !unaccounted.is_empty() {
        return Err(Stop::held(format!(
            "guests nobody accounted for on the dead host: {}",
            unaccounted.join(", ")
        )));
    }
    let back: Vec<&str> = left
        .iter()
        .filter(|server| {
            lines
                .get(server.id.as_str())
                .is_some_and(|l| matches!(l.entry.state, GuestState::Recovered { .. }))
        })
        .map(|server| server.name.as_str())
        .collect();
    if !back.is_empty() {
        return Err(Stop::held(format!(
            "recovered guests that Nova shows on the dead host again: {}",
            back.join(", ")
        )));
    }
    still_run_where_they_were_sent(context, &lines).await?;
    // One that is held for its own state waits for a person by itself.
    let holding = lines.values().filter(|line| line.holds_its_incident()).count();
    if holding > 0 {
        return Err(Stop::held(format!(
            "{holding} guests need a person: nova-ha incident show {}",
            context.case.id
        )));
    }
    let summary = Summary::of_entries(lines.values().map(|line| &line.entry));
    context.finished(Step::Verify, Outcome::AlreadySo, vec![summary.to_string()]).await
}

/// The journal says *verified*, and another process said so: where the guests are is looked at again before it is closed.
pub async fn again(context: &Context<'_>) -> Result<(), Stop> {
    still_run_where_they_were_sent(context, &ledger::read(context).await?).await
}

/// An HA node that took guests to itself and died since has no incident of its own: nobody else would miss them.
/// Nova may show them as running there for ever. Where their disks are one machine's at a time, one that is up again
/// has lost them by its boot, or to whoever took them after it: that its nova-compute reports says nothing then. Where
/// they are shared, one that booted, or that was voted dead and is up again, may have stopped them: a person looks at each.
async fn still_run_where_they_were_sent(
    context: &Context<'_>,
    lines: &BTreeMap<String, Line>,
) -> Result<(), Stop> {
    if context.case.targets != Targets::ThisHaNode {
        return Ok(());
    }
    let disks_are_elsewhere = context.case.storage.strategy.is_taken();
    let own = context.case.own_nova_host.as_str();
    let is_of_now = |line: &Line| match &context.earlier.retry {
        // Guests that were recovered before it, on disks that all see, were its incident's matter, which has closed.
        Some(retry) => disks_are_elsewhere || line.entry.term > retry.since,
        None => true,
    };
    let all: BTreeSet<&str> =
        lines.values().filter(|line| is_of_now(line)).filter_map(recovered_to).collect();
    let others = Others::read(context).await?;
    for to in all {
        let doubt = match to == own {
            true => Doubt::MayBeDown,
            false if disks_are_elsewhere => Doubt::DisksAreElsewhere,
            false if is_up(context, to).await? => Doubt::MayBeDown,
            false => Doubt::IsDown,
        };
        let may_have_stopped = |line: &Line| match doubt {
            Doubt::DisksAreElsewhere | Doubt::IsDown => true,
            // One that is to be stopped has lost nothing by a boot.
            Doubt::MayBeDown => {
                !line.entry.must_stop() && others.may_have_stopped(context, to, line.entry.term)
            }
        };
        let doubtful: BTreeSet<&str> = lines
            .iter()
            .filter(|(_, line)| is_of_now(line) && recovered_to(line) == Some(to) && may_have_stopped(line))
            .map(|(server, _)| server.as_str())
            .collect();
        if doubtful.is_empty() {
            continue;
        }
        let there = servers_on(context, to).await?;
        let lost: Vec<&Server> =
            there.iter().filter(|server| doubtful.contains(server.id.as_str())).collect();
        if !lost.is_empty() {
            return Err(doubt.held(to, &lost, &context.case.id));
        }
    }
    Ok(())
}

/// The other HA nodes that held the incident, by what Nova calls them, with the boot that each published last.
struct Others(BTreeMap<String, (HaNodeName, Option<String>)>);

impl Others {
    async fn read(context: &Context<'_>) -> Result<Self, Stop> {
        let tree = |source| Stop::Tree { source };
        let boots = &context.earlier.boots;
        let nodes: Vec<&HaNodeName> =
            boots.nodes().into_iter().filter(|node| **node != context.world.me).collect();
        let keys: Vec<String> = nodes
            .iter()
            .flat_map(|node| [keys::ha_node(node).names(), keys::ha_node(node).formats()])
            .collect();
        let read = Snapshot::read(context.world.store.as_ref(), "the earlier holders", &keys).await;
        let read = read.map_err(tree)?;
        let mut others = BTreeMap::new();
        for node in nodes {
            let key = keys::ha_node(node).formats();
            // What cannot be understood says nothing.
            let published = read.get(&key).and_then(|entry| Published::parse(&key, &entry.value).ok());
            let name = bound(&read, &TreeMachine::HaNode(node.clone())).map_err(tree)?;
            others.insert(name, (node.clone(), published.and_then(|published| published.boot)));
        }
        Ok(Self(others))
    }

    /// Whether what arrived in this term on this Nova host of an HA node may have been stopped since, and no person has looked.
    fn may_have_stopped(&self, context: &Context<'_>, to: &str, term: u64) -> bool {
        let (world, boots) = (context.world, &context.earlier.boots);
        if boots.were_looked_at(&world.me, &world.boot_id) {
            return false;
        }
        match self.0.get(to) {
            Some((node, now)) => boots.another_stopped_since(term, node, now.as_deref()),
            None => {
                to == context.case.own_nova_host.as_str()
                    && boots.i_booted_since(term, &world.me, &world.boot_id)
            }
        }
    }
}

fn recovered_to(line: &Line) -> Option<&str> {
    match &line.entry.state {
        GuestState::Recovered { to } => Some(to),
        GuestState::Posting
        | GuestState::Resetting
        | GuestState::Accepted { .. }
        | GuestState::Stopping { .. }
        | GuestState::Excluded { .. }
        | GuestState::Refused { .. }
        | GuestState::Failed { .. }
        | GuestState::Held { .. } => None,
    }
}

fn cannot_tell(to: &str, why: String) -> Stop {
    let reason = format!("whether {to} runs the guests that it took cannot be told: {why}");
    Stop::waiting(reason, "openstack compute service list")
}

fn host_of(to: &str) -> Result<NovaHost, Stop> {
    to.parse().map_err(|error| cannot_tell(to, chain(&error)))
}

async fn is_up(context: &Context<'_>, to: &str) -> Result<bool, Stop> {
    let service = context.cloud.service(&host_of(to)?).await;
    let service = service.map_err(|error| cannot_tell(to, chain(&error)))?;
    Ok(service.is_some_and(|service| service.state == ServiceState::Up && !service.forced_down))
}

async fn servers_on(context: &Context<'_>, to: &str) -> Result<Vec<Server>, Stop> {
    let servers = context.cloud.servers_on(&host_of(to)?).await;
    servers.map_err(|error| cannot_tell(to, chain(&error)))
}

/// Why guests may not run where they were recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// It is down.
    IsDown,
    /// It booted since, or was dead for a while and is up again.
    MayBeDown,
    /// It is not the one that has their disks now.
    DisksAreElsewhere,
}

impl Doubt {
    fn held(self, to: &str, guests: &[&Server], id: &IncidentId) -> Stop {
        let names: Vec<&str> = guests.iter().map(|server| server.name.as_str()).collect();
        let (count, names) = (guests.len(), names.join(", "));
        match self {
            Doubt::IsDown => Stop::held(format!(
                "{count} guests were recovered on {to}, which is down now: {names}; bring {to} back, or make sure that it is \
                 off and evacuate them; then nova-ha incident resume {id} --by NAME"
            )),
            Doubt::DisksAreElsewhere => Stop::held(format!(
                "{count} guests were recovered on {to}, which did not end it: {names}; do not start them there, their disks may \
                 be elsewhere (docs/storage-md.md); evacuate them, attach-only, to where their disks are, then nova-ha incident \
                 resume {id} --by NAME; if they run on {to} all the same: nova-ha incident abandon {id} --by NAME"
            )),
            Doubt::MayBeDown => {
                let says = |s: &&Server| format!("{} ({}, power {:?})", s.name, s.vm_state, s.power_state);
                let named: Vec<String> = guests.iter().map(says).collect();
                Stop::Held {
                    reason: format!(
                        "{count} guests were recovered on {to}, which booted since, or was dead for a while: a boot stops \
                         them, and Nova may not know it yet. Start those that do not run (openstack server reboot --hard), \
                         then nova-ha incident resume {id} --by NAME. Nova says: {}",
                        named.join(", ")
                    ),
                    cause: Some(HeldCause::GuestsMayBeDown),
                }
            }
        }
    }
}
