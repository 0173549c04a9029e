//! A BMC in whose place anyone on the network can answer: its *off* moves nobody while the host can be heard.

use std::time::Duration;

use nova_ha::fence::{Channel, Gap};
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::recovery::report::{Report, Result as Said};
use nova_ha::ssh::{Answer, Failure, Unknown};
use nova_ha::tree::sign::Sign;

use super::stage::Stage;
use super::universe::{HOST, Machine};
use super::words::confirm_off;

/// Dead by its votes alone, as on a site that does not ask for the agent.
const BY_VOTES: &str = r#"{"version":1,"storm_limit":3,"off_reads":2,"rules":[{"planes":["management"],"agent_must_be_critical":false}]}"#;

/// With guests one after the other, and proofs that are asked anew between them.
const ONE_BY_ONE: &str =
    r#"{"version":1,"storm_limit":3,"off_reads":2,"evacuation_parallel":1,"proof_max_age":"5s"}"#;

fn machine(stage: &Stage, change: impl FnOnce(&mut Machine)) {
    stage.with(|u| change(u.machines.get_mut(HOST).unwrap()));
}

/// compute1 was marked and lives, its power is on; somebody on the network of its BMC says that it is off.
fn called_off(gap: Gap) -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.kv.put(keys::POLICY, BY_VOTES));
    machine(&stage, |m| {
        m.channel = Channel::Open(gap);
        m.is_called_off = true;
    });
    stage
}

fn posts(stage: &Stage) -> usize {
    stage.with(|u| u.effects.iter().filter(|effect| effect.what.starts_with("POST")).count())
}

fn said(reports: &[Report]) -> String {
    reports.iter().map(|report| format!("{}\n{}\n", report.text, report.next.join("\n"))).collect()
}

/// What one run says; nothing of the host's was touched by it.
fn waits(stage: &Stage, what: &str) -> String {
    let reports = stage.recover("ha1");
    stage.nothing_was_broken(what);
    let text = said(&reports);
    assert!(reports.iter().all(|report| report.result == Said::Waiting), "{what}: {text}");
    assert_eq!(posts(stage), 0, "{what}: {text}");
    stage.with(|u| assert!(!u.services[HOST].forced_down, "{what}: it was declared down: {text}"));
    assert!(text.contains("anyone on its network can say so"), "{what}: {text}");
    assert!(text.contains("nova-ha host add compute1 --replace"), "{what}: {text}");
    text
}

#[test]
fn a_lying_bmc_moves_nobodys_guests_whatever_silenced_the_host_elsewhere() {
    let other_key = || Some(Answer::OtherKey);
    let refused = || Some(Answer::No(Failure::Refused));
    let unknown =
        || Some(Answer::CannotTell(Unknown::Unresolved { address: HOST.into(), why: "no such name".into() }));
    for gap in [Gap::PlainHttp, Gap::UnjudgedCertificate, Gap::UnsignedIpmi { cipher: 0 }] {
        type Lives = fn(&mut Machine);
        let gossips: Lives = |m| m.gossips = true;
        let answers_on: Lives = |m| m.answers_on = Some("storage");
        for (what, lives, noise, expected) in [
            ("its SSH was pulled, its agent gossips", gossips, None, "serfHealth passing"),
            ("it answers on another plane", answers_on, None, "on plane storage"),
            ("its agent was pulled, it refuses connections", |_| (), refused(), "connection refused"),
            ("it has a new host key", |_| (), other_key(), "another host key"),
            ("nobody can tell where it is", |_| (), unknown(), "cannot look up"),
        ] as [(&str, Lives, Option<Answer>, &str); 5]
        {
            let stage = called_off(gap);
            machine(&stage, |m| {
                lives(m);
                m.noise = noise;
            });
            // Until the probes have written what they see.
            stage.wait(Duration::from_secs(30));
            let text = waits(&stage, what);
            assert!(text.contains(expected), "{what}: {text}");
        }
    }
}

#[test]
fn a_host_that_answers_with_its_own_key_is_held_and_its_bmc_is_not_believed() {
    let stage = called_off(Gap::PlainHttp);
    stage.with(|u| u.ordered = true);
    // Behind a firewall that opens after the look before the shot.
    machine(&stage, |m| m.noise = Some(Answer::No(Failure::NoRoute)));
    let process = stage.process("ha1", None);
    super::time::block_on(&stage.time, async {
        let opens = async {
            loop {
                stage.time.sleep(Duration::from_millis(20)).await;
                if process.calls().iter().any(|call| call == "power")
                    && stage.record().status.started.is_some()
                {
                    return machine(&stage, |m| m.noise = Some(Answer::Yes));
                }
            }
        };
        futures_util::future::join(process.run(), opens).await
    });
    stage.nothing_was_broken("held");
    assert!(matches!(stage.record().status.state, State::Held { .. }), "{:#?}", stage.journal());
    assert_eq!(posts(&stage), 0);
}

#[test]
fn a_host_that_is_off_is_recovered_by_a_bmc_of_which_nobody_knows_who_it_is() {
    for agent in [None, Some("none")] {
        let stage = Stage::with_dead_host();
        machine(&stage, |m| m.channel = Channel::Open(Gap::PlainHttp));
        if let Some(agent) = agent {
            // Of one without an agent gossip says nothing, and nothing is asked.
            stage.with(|u| u.kv.put(&keys::host(&HOST.parse().unwrap()).agent(), agent));
            machine(&stage, |m| m.gossips = true);
        }
        stage.recover_until_settled("ha1");
        stage.all_is_recovered("by http");
        let journal = format!("{:?}", stage.journal());
        assert!(journal.contains("by plain http; nobody answers at"), "{journal}");
    }
}

#[test]
fn what_is_known_to_be_the_bmcs_word_needs_nothing_beside_it() {
    for channel in [Channel::Shown, Channel::Agent] {
        let stage = Stage::with_dead_host();
        machine(&stage, |m| {
            m.channel = channel;
            m.noise = Some(Answer::OtherKey);
        });
        stage.recover_until_settled("ha1");
        stage.all_is_recovered("another machine has its address");
    }
}

#[test]
fn a_person_who_looked_leads_on() {
    let stage = called_off(Gap::PlainHttp);
    machine(&stage, |m| m.noise = Some(Answer::No(Failure::Refused)));
    let text = waits(&stage, "refused");
    assert!(
        text.contains("confirm-off compute1 --by NAME --ttl 10m --although-its-address-answers"),
        "{text}"
    );
    // Its plug is pulled; a machine that stands in front of it has its address.
    machine(&stage, |m| m.power_on = false);
    confirm_off(&stage, [Sign::Address]);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("by ann's word");
}

#[test]
fn a_host_that_is_heard_later_ends_what_was_begun() {
    let stage = called_off(Gap::PlainHttp);
    // Nobody hears it: the first readings are believed, which is what is left to whoever silences a host everywhere.
    machine(&stage, |m| m.power_on = false);
    stage.with(|u| u.kv.put(keys::POLICY, ONE_BY_ONE));
    let process = stage.process("ha1", None);
    super::time::block_on(&stage.time, async {
        let gossips = async {
            loop {
                stage.time.sleep(Duration::from_millis(20)).await;
                if stage.record().status.past_no_return && stage.with(|u| u.services[HOST].forced_down) {
                    return machine(&stage, |m| m.gossips = true);
                }
            }
        };
        let later = futures_util::future::join(process.run(), gossips);
        later.await
    });
    stage.nothing_was_broken("heard later");
    assert_ne!(stage.record().status.state, State::Closed, "{:#?}", stage.journal());
}
