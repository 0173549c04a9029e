//! Recoveries that last: what was true when the run began is asked again, and what is only waited for leaves no trace.

use std::time::Duration;

use nova_ha::incident::journal::Event;
use nova_ha::incident::status::State;
use nova_ha::keys;

use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HOST, Machine};

fn machine(stage: &Stage, act: impl FnOnce(&mut Machine)) {
    stage.with(|u| act(u.machines.get_mut(HOST).unwrap()));
}

#[test]
fn a_bmc_that_is_another_machines_since_the_run_began_proves_nothing_any_more() {
    let stage = Stage::with_dead_host();
    // One guest at a time, each takes 5 s; so long a reading of the power counts.
    let policy =
        r#"{"version":1,"storm_limit":3,"off_reads":2,"evacuation_parallel":1,"proof_max_age":"5s"}"#;
    stage.with(|u| {
        u.kv.put(keys::POLICY, policy);
        u.machines.get_mut("compute3").unwrap().power_on = false;
    });
    let process = stage.process("ha1", None);
    let reports = block_on(&stage.time, async {
        let readdressed = async {
            while !process.calls().iter().any(|name| name == "evacuate") {
                stage.time.sleep(Duration::from_millis(5)).await;
            }
            // Somebody gives the address to the BMC of a spare that is off, and plugs the host in.
            machine(&stage, |m| m.bmc_is_of = Some("compute3".into()));
        };
        futures_util::future::join(process.run(), readdressed).await.0
    });
    let said = format!("{reports:?}");
    assert!(said.contains("is ANOTHER machine's"), "{said}");
    let posts = stage.with(|u| u.effects.iter().filter(|e| e.what.starts_with("POST ")).count());
    assert_eq!(posts, 1, "{said}");
    machine(&stage, |m| m.bmc_is_of = None);
    stage.wait(Duration::from_secs(60));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("its address is its own again");
}

#[test]
fn an_incident_that_waits_does_not_grow_with_every_sweep() {
    let stage = Stage::with_dead_host();
    let calls = {
        let stage = Stage::with_dead_host();
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run());
        process.calls()
    };
    let fenced = calls.iter().position(|name| name == "forced_down").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((fenced, Fault::DiesBefore))).run());
    // Its address answers, so that *off* alone is not enough: it waits for a person.
    let nobody_says = nova_ha::ssh::Answer::NotPinned;
    machine(&stage, |m| m.noise = Some(nobody_says));
    let (mut lengths, mut terms) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        stage.wait(Duration::from_secs(60));
        stage.recover("ha1");
        let journal = stage.journal();
        lengths.push(journal.len());
        terms.push(journal.last().unwrap().term);
    }
    stage.nothing_was_broken("it waits");
    assert_eq!(stage.record().status.state, State::Active);
    let last = stage.journal().pop().unwrap();
    assert!(matches!(last.what, Event::Adopted { .. }), "{last:?}");
    assert_eq!(lengths[5], lengths[1], "{lengths:?}");
    assert!(terms.windows(2).all(|pair| pair[0] < pair[1]), "each run has a term of its own: {terms:?}");
    machine(&stage, |m| m.noise = None);
    stage.wait(Duration::from_secs(60));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("it is silent");
}
