//! Every guest is where it should be, or accounted for; and nothing is left on the dead host that
//! the ledger does not name.

use std::collections::{BTreeMap, BTreeSet};

use crate::incident::guest::{GuestState, Summary};
use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::names::IncidentId;
use crate::nova::{NovaHost, Server, ServiceState};
use crate::recovery::evacuation::ledger::{self, Line};
use crate::recovery::executor::Context;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;
use crate::tree::machine::Targets;

/// Whether every guest of the ledger and of the dead host has an end that needs nobody.
pub async fn is_accounted_for(context: &Context<'_>) -> Result<bool, Stop> {
    let lines = ledger::read(context).await?;
    let settled = |state: &GuestState| state.is_final() && !matches!(state, GuestState::Held { .. });
    let left = left_on_the_host(context).await?;
    Ok(lines.values().all(|line| settled(&line.entry.state))
        && left.iter().all(|server| lines.contains_key(server.id.as_str())))
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
    let held = lines.values().filter(|line| matches!(line.entry.state, GuestState::Held { .. })).count();
    if held > 0 {
        return Err(Stop::held(format!(
            "{held} guests need a person: nova-ha incident show {}",
            context.case.id
        )));
    }
    let summary = Summary::of(lines.values().map(|line| &line.entry.state));
    context.finished(Step::Verify, Outcome::AlreadySo, vec![summary.to_string()]).await
}

/// The journal says *verified*, and another process said so: where the guests are is looked at again before it is closed.
pub async fn again(context: &Context<'_>) -> Result<(), Stop> {
    still_run_where_they_were_sent(context, &ledger::read(context).await?).await
}

/// An HA node that took guests to itself and died since has no incident of its own: nobody else would miss them.
/// Nova may show them as running there for ever. Where their disks are one machine's at a time, one that is up again
/// has lost them by its boot, or to whoever took them after it: that its nova-compute reports says nothing then.
async fn still_run_where_they_were_sent(
    context: &Context<'_>,
    lines: &BTreeMap<String, Line>,
) -> Result<(), Stop> {
    if context.case.targets != Targets::ThisHaNode {
        return Ok(());
    }
    let disks_are_elsewhere = context.case.storage.strategy.is_taken();
    let own = context.case.own_nova_host.as_str();
    let recovered_to = |line: &Line| match line.entry.state {
        GuestState::Recovered { .. } => line.entry.state.to().filter(|to| *to != own).map(str::to_owned),
        GuestState::Posting
        | GuestState::Resetting
        | GuestState::Accepted { .. }
        | GuestState::Stopping { .. }
        | GuestState::Excluded { .. }
        | GuestState::Refused { .. }
        | GuestState::Failed { .. }
        | GuestState::Held { .. } => None,
    };
    let elsewhere: BTreeSet<String> = lines.values().filter_map(recovered_to).collect();
    for to in elsewhere {
        let cannot_tell = |why: String| {
            let reason = format!("whether {to} runs the guests that it took cannot be told: {why}");
            Stop::waiting(reason, "openstack compute service list")
        };
        let host: NovaHost = match to.parse() {
            Ok(host) => host,
            Err(error) => return Err(cannot_tell(chain(&error))),
        };
        let service = context.cloud.service(&host).await.map_err(|error| cannot_tell(chain(&error)))?;
        let is_up = service.is_some_and(|service| service.state == ServiceState::Up && !service.forced_down);
        if is_up && !disks_are_elsewhere {
            continue;
        }
        let there = context.cloud.servers_on(&host).await.map_err(|error| cannot_tell(chain(&error)))?;
        let lost: Vec<&str> = there
            .iter()
            .filter(|server| {
                lines.get(server.id.as_str()).is_some_and(|line| recovered_to(line).as_ref() == Some(&to))
            })
            .map(|server| server.name.as_str())
            .collect();
        if !lost.is_empty() {
            return Err(Stop::held(lost_on(&to, &lost, disks_are_elsewhere, &context.case.id)));
        }
    }
    Ok(())
}

fn lost_on(to: &str, guests: &[&str], disks_are_elsewhere: bool, id: &IncidentId) -> String {
    let (count, names) = (guests.len(), guests.join(", "));
    match disks_are_elsewhere {
        false => format!(
            "{count} guests were recovered on {to}, which is down now: {names}; bring {to} back, or make sure that it is \
             off and evacuate them; then nova-ha incident resume {id} --by NAME"
        ),
        true => format!(
            "{count} guests were recovered on {to}, which did not end it: {names}; do not start them there, their disks may \
             be elsewhere (docs/storage-md.md); evacuate them, attach-only, to where their disks are, then nova-ha incident \
             resume {id} --by NAME; if they run on {to} all the same: nova-ha incident abandon {id} --by NAME"
        ),
    }
}
