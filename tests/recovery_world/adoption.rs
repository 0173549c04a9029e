//! The HA node that works on an incident dies, at every single call; another takes over by the rules.

use std::time::Duration;

use nova_ha::incident::guest::GuestState;
use nova_ha::incident::status::State;

use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;

fn calls() -> Vec<String> {
    let stage = Stage::with_dead_host();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    process.calls()
}

/// ha1 dies at this call; `off` says whether its BMC shows it off, or does not answer.
fn ha1_dies(at: usize, fault: Fault, off: bool) -> Stage {
    let stage = Stage::with_dead_host();
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
    stage.with(|u| {
        u.dies("ha1");
        let machine = u.machines.get_mut("ha1").unwrap();
        machine.power_on = !off;
        machine.bmc = off;
    });
    stage
}

#[test]
fn another_ha_node_finishes_what_one_that_is_proved_off_began_at_any_call() {
    for (at, name) in calls().iter().enumerate() {
        let what = format!("ha1 dies and is off, call {at} ({name})");
        let stage = ha1_dies(at, Fault::DiesAfter, true);
        // Alive by its serfHealth a moment ago, and not voted dead yet: hands off.
        stage.recover("ha2");
        stage.nothing_was_broken(&what);
        stage.wait(Duration::from_secs(60));
        stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        stage.is_closed_without("ha1", "ha2", &what);
    }
}

#[test]
fn a_post_of_a_dead_ha_node_that_is_not_proved_off_is_never_repeated() {
    for (at, name) in calls().iter().enumerate().filter(|(_, name)| *name == "evacuate" || *name == "write") {
        let what = format!("ha1 dies, nobody knows whether it is off, call {at} ({name})");
        // Its POST arrives long after: only a guest that was held is safe from a second one.
        let stage = ha1_dies(at, Fault::DiesAndPostsLater(Duration::from_secs(400)), false);
        stage.wait(Duration::from_secs(60));
        stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        stage.wait(Duration::from_secs(600));
        stage.nothing_was_broken(&what);
        if stage.record().status.state != State::Closed {
            let held =
                |guest: &nova_ha::incident::guest::GuestEntry| matches!(guest.state, GuestState::Held { .. });
            let person = stage.guests().values().any(held) || stage.is_held_for_guests_on("ha1");
            assert!(person, "{what}: {:#?}", stage.journal());
            // A person looked and leads on: the evacuation that arrived meanwhile is attached to.
            // Whoever is free takes it up, not only the one that held it.
            stage.resume();
            let adopter = if at % 2 == 0 { "ha2" } else { "ha3" };
            stage.recover_until_settled(adopter);
            if stage.is_held_for_guests_on("ha1") {
                stage.with(|u| u.returns("ha1"));
                // It is back, and whether its guests survived that, a person sees.
                for _ in 0..2 {
                    stage.resume();
                    stage.recover_until_settled(adopter);
                }
            }
            stage.all_is_recovered(&what);
        }
    }
}

#[test]
fn an_adopter_that_crashes_does_not_forget_that_the_first_holder_may_still_act() {
    let calls = calls();
    let post = calls.iter().position(|name| name == "evacuate").unwrap();
    let late = Fault::DiesAndPostsLater(Duration::from_secs(600));
    let stage = ha1_dies(post, late, false);
    stage.wait(Duration::from_secs(60));
    let adopter = stage.process("ha2", None);
    let length = {
        let _reports = block_on(&stage.time, adopter.run());
        adopter.calls().len()
    };
    for at in (0..length).step_by(3) {
        let what = format!("the adopter dies at call {at}");
        let stage = ha1_dies(post, late, false);
        stage.wait(Duration::from_secs(60));
        let _died = block_on(&stage.time, stage.process("ha2", Some((at, Fault::DiesAfter))).run());
        stage.wait(Duration::from_secs(1));
        stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        stage.wait(Duration::from_secs(900));
        stage.nothing_was_broken(&what);
    }
}
