//! The guests' part of a plan: what becomes of each, the room they find, and what a person should know
//! beside. Pure.

use super::facts::{Facts, NovaFacts, PlannedGuest};
use crate::nova::{MigrationStatus, Room, Server};
use crate::recovery::capacity::{self, Fit, Need};
use crate::recovery::evacuation::choice::{self, Urgency};
use crate::recovery::evacuation::order::urgencies;
use crate::recovery::evacuation::request::{How, wanted};
use crate::recovery::evacuation::treatment::{Beside, Target, Treatment, treat};

/// Guests as planned, with the room that those who are to be evacuated find, in the order of Nova's
/// list.
pub(super) fn planned(facts: &Facts, nova: &NovaFacts, target: &Target) -> Vec<PlannedGuest> {
    let how = How::of(target, &facts.own_nova_host, &facts.storage, facts.attach_only);
    let mut planned = Vec::new();
    let mut moving: Vec<usize> = Vec::new();
    for (index, server) in nova.servers.iter().enumerate() {
        let (moves, treatment) = treatment(server, &how, facts, nova);
        moving.extend(moves.then_some(index));
        planned.push(PlannedGuest {
            server: server.id.to_string(),
            name: server.name.clone(),
            vm_state: server.vm_state.to_string(),
            treatment,
            room: None,
        });
    }
    // The most urgent are asked for first, and find their room first.
    let aggregates = &nova.surroundings.aggregates;
    let urgency: Vec<Urgency> =
        nova.servers.iter().map(|server| choice::urgency(server, aggregates).0).collect();
    let urgency = urgencies(urgency.iter());
    moving.sort_by_key(|index| std::cmp::Reverse(urgency.get(*index)));
    let needs: Vec<Need> = moving.iter().filter_map(|index| nova.servers.get(*index)).map(Need::of).collect();
    for (index, fit) in moving.iter().zip(fits(&needs, nova, target)) {
        if let Some(guest) = planned.get_mut(*index) {
            guest.room = Some(fit);
        }
    }
    planned
}

fn fits(needs: &[Need], nova: &NovaFacts, target: &Target) -> Vec<Fit> {
    let Ok(rooms) = &nova.rooms else { return vec![Fit::CannotTell; needs.len()] };
    let usable = |room: &&Room| match target {
        Target::Scheduler => room.host != nova.host,
        Target::Host { host, .. } => room.host == *host,
    };
    capacity::fit(needs, &rooms.iter().filter(usable).cloned().collect::<Vec<_>>())
}

/// Whether it is to be evacuated, and what will be done, in one line.
fn treatment(server: &Server, how: &How, facts: &Facts, nova: &NovaFacts) -> (bool, String) {
    let beside = Beside {
        live_migrations: &nova.live_migrations,
        asked: false,
        reset: &facts.reset_and_evacuate,
        surroundings: &nova.surroundings,
        only_opted_in: facts.recover_only_opted_in,
    };
    let asked = |what: &str| match wanted(server, how) {
        Ok(wanted) => (true, format!("{what}{}", wanted.text())),
        Err(why) => (false, format!("hold: {why}")),
    };
    match treat(server, beside) {
        Treatment::Evacuate => asked("evacuate: "),
        Treatment::Reset { why } => asked(&format!("reset, evacuate, stop: {why}; ")),
        Treatment::Exclude { why } => (false, format!("exclude: {why}")),
        Treatment::Refuse { why } => (false, format!("refuse: {why}")),
        Treatment::Hold { why } => (false, format!("hold: {why}")),
    }
}

/// One line on the room; why nobody can tell, where that is so.
pub(super) fn said_of_room(planned: &[PlannedGuest], nova: &NovaFacts, target: Option<&Target>) -> String {
    let names = |fit: Fit| -> Vec<&str> {
        planned.iter().filter(|guest| guest.room == Some(fit)).map(|guest| guest.name.as_str()).collect()
    };
    let (fits, waits) = (names(Fit::Fits).len(), names(Fit::Waits));
    let on = match target {
        Some(Target::Host { host, .. }) => format!(" on {host}"),
        Some(Target::Scheduler) | None => String::new(),
    };
    match (&nova.rooms, waits.as_slice()) {
        (Err(why), _) => format!("cannot tell: {why}"),
        (Ok(_), []) => format!("placement has room{on} for all {fits}"),
        (Ok(_), _) => {
            format!("placement has room{on} for {fits}, and none for {}: {}", waits.len(), waits.join(", "))
        }
    }
}

/// What a person should know: what could not be read, doubtful marks, guests on their way here.
pub(super) fn notes(facts: &Facts, nova: &NovaFacts) -> Vec<String> {
    let mut notes = facts.weak_ways.clone();
    notes.extend(nova.surroundings.unread.iter().cloned());
    for server in &nova.servers {
        let wish = choice::wish(server, &nova.surroundings, facts.recover_only_opted_in);
        let (_, urgency) = choice::urgency(server, &nova.surroundings.aggregates);
        notes.extend(wish.doubts.into_iter().chain(urgency).map(|doubt| format!("{}: {doubt}", server.name)));
    }
    notes.extend(arriving(nova));
    notes.extend(beside(facts, nova));
    notes
}

/// A second nova-compute on the machine that is powered off: nobody recovers its guests.
fn beside(facts: &Facts, nova: &NovaFacts) -> Vec<String> {
    let host = facts.id.host();
    match &nova.beside {
        Ok(others) => others
            .iter()
            .map(|other| {
                format!(
                    "Nova has nova-compute {other} at the address of {} as well: if it is on {host}, its guests lose \
                     their power with that and are not recovered (openstack server list --all-projects --host {other})",
                    nova.host
                )
            })
            .collect(),
        Err(why) => {
            vec![format!("whether another nova-compute is on {host} cannot be told: {why}")]
        }
    }
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
