//! Every guest is where it should be, or accounted for; and nothing is left on the dead host that
//! the ledger does not name.

use crate::incident::guest::GuestState;
use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::nova::Server;
use crate::recovery::evacuation::ledger;
use crate::recovery::executor::Context;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

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
    let held = lines.values().filter(|line| matches!(line.entry.state, GuestState::Held { .. })).count();
    if held > 0 {
        return Err(Stop::held(format!(
            "{held} guests need a person: nova-ha incident show {}",
            context.case.id
        )));
    }
    context
        .finished(Step::Verify, Outcome::AlreadySo, vec![summary(lines.values().map(|l| &l.entry.state))])
        .await
}

/// Counts by outcome, one line; a partial success is shown as partial.
pub fn summary<'a>(states: impl Iterator<Item = &'a GuestState>) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for state in states {
        *counts.entry(state.word()).or_default() += 1;
    }
    let partial = ["refused", "failed", "held", "resetting", "posting", "accepted", "stopping"]
        .iter()
        .any(|word| counts.contains_key(word));
    let parts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    match (parts.is_empty(), partial) {
        (true, _) => "no guests".into(),
        (false, true) => format!("PARTIAL: {}", parts.join(", ")),
        (false, false) => parts.join(", "),
    }
}
