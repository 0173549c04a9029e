//! The guests' part of a plan: what becomes of each, and what a person should know beside. Pure.

use super::{Facts, NovaFacts, PlannedGuest};
use crate::nova::{MigrationStatus, Server};
use crate::recovery::evacuation::choice;
use crate::recovery::evacuation::request::{How, wanted};
use crate::recovery::evacuation::treatment::{Beside, Target, Treatment, treat};

/// Guests as planned, in the order of Nova's list.
pub(super) fn planned(facts: &Facts, nova: &NovaFacts, target: &Target) -> Vec<PlannedGuest> {
    let how = How::of(target, &facts.own_nova_host, &facts.storage, facts.attach_only);
    let planned = |server: &Server| PlannedGuest {
        server: server.id.to_string(),
        name: server.name.clone(),
        vm_state: server.vm_state.to_string(),
        treatment: treatment(server, &how, facts, nova),
    };
    nova.servers.iter().map(planned).collect()
}

/// What will be done, in one line.
fn treatment(server: &Server, how: &How, facts: &Facts, nova: &NovaFacts) -> String {
    let beside = Beside {
        live_migrations: &nova.live_migrations,
        asked: false,
        reset: &facts.reset_and_evacuate,
        surroundings: &nova.surroundings,
        only_opted_in: facts.recover_only_opted_in,
    };
    let asked = |what: &str| match wanted(server, how) {
        Ok(wanted) => format!("{what}{}", wanted.text()),
        Err(why) => format!("hold: {why}"),
    };
    match treat(server, beside) {
        Treatment::Evacuate => asked("evacuate: "),
        Treatment::Reset { why } => asked(&format!("reset, evacuate, stop: {why}; ")),
        Treatment::Exclude { why } => format!("exclude: {why}"),
        Treatment::Refuse { why } => format!("refuse: {why}"),
        Treatment::Hold { why } => format!("hold: {why}"),
    }
}

/// What a person should know: what could not be read, doubtful marks, guests on their way here.
pub(super) fn notes(facts: &Facts, nova: &NovaFacts) -> Vec<String> {
    let mut notes = nova.surroundings.unread.clone();
    for server in &nova.servers {
        let wish = choice::wish(server, &nova.surroundings, facts.recover_only_opted_in);
        let (_, _, urgency) = choice::urgency(&server.metadata);
        notes.extend(wish.doubts.into_iter().chain(urgency).map(|doubt| format!("{}: {doubt}", server.name)));
    }
    notes.extend(arriving(nova));
    notes
}

/// Guests on their way to the dead host are still their source's, and nobody's to evacuate: what
/// Nova places here in the end is found when the last known guest is done.
fn arriving(nova: &NovaFacts) -> Vec<String> {
    let over = |status: &MigrationStatus| match status {
        MigrationStatus::Completed
        | MigrationStatus::Failed
        | MigrationStatus::Error
        | MigrationStatus::Cancelled
        | MigrationStatus::Done => true,
        MigrationStatus::Accepted | MigrationStatus::PreMigrating | MigrationStatus::Other(_) => false,
    };
    nova.live_migrations
        .iter()
        .filter(|m| m.dest.as_ref() == Some(&nova.host) && !over(&m.status))
        .map(|m| {
            format!(
                "guest {} was being migrated here from {} ({}): not ours unless Nova places it here",
                m.server, m.source, m.status
            )
        })
        .collect()
}
