//! A person's word that a host is off: what contradicts it, and what ends it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::clock::{BootInstant, Clock};
use nova_ha::fence::ConfirmOff;
use nova_ha::keys;
use nova_ha::monitor::mark::order::SecondWord;
use nova_ha::recovery::options::Options;
use nova_ha::recovery::report::Report;
use nova_ha::recovery::run::run;
use nova_ha::ssh::{Answer, Failure, Stage as SshStage};
use nova_ha::tree::record::{bytes, parse};
use nova_ha::tree::sign::Sign;

use super::stage::Stage;
use super::time::{Time, block_on, wall};
use super::universe::{HOST, incident};

const MINUTE: Duration = Duration::from_secs(60);

/// ann says that compute1 is off, for ten minutes, although she knows of these signs.
pub(crate) fn confirm_off(stage: &Stage, although: impl IntoIterator<Item = Sign>) {
    let word = ConfirmOff {
        version: 1,
        host: HOST.parse().unwrap(),
        incident: incident(),
        by: "ann".into(),
        at: wall(stage.time.now()),
        ttl_seconds: 600,
        although: although.into_iter().collect::<BTreeSet<_>>(),
        ended: None,
    };
    stage.with(|u| u.kv.put(&keys::incident(&incident()).confirm_off(), bytes(&word)));
}

fn word(stage: &Stage) -> ConfirmOff {
    let entry = stage.with(|u| u.kv.get(&keys::incident(&incident()).confirm_off())).unwrap();
    parse(&entry.key, &entry.value).unwrap()
}

fn with_silent_bmc() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
    stage
}

/// As when its plug is pulled.
fn has_no_power(stage: &Stage) {
    stage.with(|u| u.machines.get_mut(HOST).unwrap().power_on = false);
}

fn noise(stage: &Stage, answer: Option<Answer>) {
    stage.with(|u| u.machines.get_mut(HOST).unwrap().noise = answer);
}

fn asked_nova(stage: &Stage) -> bool {
    stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("POST")))
}

fn said(reports: &[Report]) -> String {
    reports.iter().map(|report| format!("{}\n{}\n", report.text, report.next.join("\n"))).collect()
}

#[test]
fn a_word_that_nothing_contradicts_counts() {
    let stage = with_silent_bmc();
    has_no_power(&stage);
    confirm_off(&stage, []);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("confirmed off");
}

/// ann was at the wrong machine: compute1 is well by every observer. It hangs then, and its kernel takes TCP.
#[test]
fn a_word_for_a_healthy_host_that_hangs_later_evacuates_nobody() {
    let named: [&[Sign]; 3] = [
        &[],
        &[Sign::Agent, Sign::Observers],
        &[Sign::Agent, Sign::Observers, Sign::Address, Sign::UnknownKey, Sign::OwnKey],
    ];
    for named in named {
        for seen_between in [true, false] {
            let stage = Stage::with_votes();
            stage.with(|u| u.returns(HOST));
            stage.wait(Duration::from_secs(1));
            super::orders::order(&stage, SecondWord::Given);
            stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
            confirm_off(&stage, named.iter().copied());
            if seen_between {
                stage.recover("ha1");
            }
            stage.with(|u| u.dies(HOST));
            let hangs = Failure::TimedOut { stage: SshStage::Handshake, after: Duration::from_secs(3) };
            noise(&stage, Some(Answer::No(hangs)));
            for _ in 0..8 {
                stage.wait(MINUTE);
                let what = said(&stage.recover("ha1"));
                assert!(!asked_nova(&stage), "{named:?} {seen_between}: {what}");
                assert!(what.contains("the confirmation of ann"), "{named:?} {seen_between}: {what}");
            }
            stage.nothing_was_broken("a wrong word");
        }
    }
}

#[test]
fn against_an_address_that_answers_a_word_counts_only_if_it_was_known_and_named() {
    let stage = with_silent_bmc();
    has_no_power(&stage);
    noise(&stage, Some(Answer::No(Failure::Refused)));
    confirm_off(&stage, []);
    let what = said(&stage.recover("ha1"));
    assert!(what.contains("does not say --although-its-address-answers"), "{what}");
    // Named without that anybody knew of it: here the word is older than what the journal says.
    let stage = with_silent_bmc();
    has_no_power(&stage);
    noise(&stage, Some(Answer::No(Failure::Refused)));
    confirm_off(&stage, [Sign::Address]);
    let what = said(&stage.recover("ha1"));
    assert!(!asked_nova(&stage) && what.contains("older than what was found out"), "{what}");
    assert!(what.contains("--although-its-address-answers"), "the next command: {what}");
    // Now it is there, and the word is given again.
    confirm_off(&stage, [Sign::Address]);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("a load balancer has its address");
}

#[test]
fn against_its_own_host_key_no_word_counts() {
    let stage = with_silent_bmc();
    noise(&stage, Some(Answer::Yes));
    let every = [Sign::OwnKey, Sign::UnknownKey, Sign::Address, Sign::Agent, Sign::Observers];
    confirm_off(&stage, every);
    let what = said(&stage.recover("ha1"));
    assert!(!asked_nova(&stage), "{what}");
}

#[test]
fn a_sign_of_life_after_the_word_ends_it_for_good() {
    let stage = with_silent_bmc();
    has_no_power(&stage);
    confirm_off(&stage, []);
    // Somebody powers it on, before any HA node could act; another HA node sees it.
    stage.with(|u| u.returns(HOST));
    stage.wait(Duration::from_secs(5));
    stage.with(|u| u.nova_is_away = true);
    stage.recover("ha2");
    assert_eq!(word(&stage).ended.unwrap().sign, Sign::Observers);
    // It hangs, without a sound.
    stage.with(|u| {
        u.dies(HOST);
        u.nova_is_away = false;
    });
    stage.wait(MINUTE);
    let what = said(&stage.recover("ha1"));
    assert!(!asked_nova(&stage), "{what}");
    assert!(what.contains("the confirmation of ann is over since"), "{what}");
}

/// A machine whose wall clock is two hours behind.
struct Behind(Arc<Time>);

#[async_trait]
impl Clock for Behind {
    fn boottime(&self) -> BootInstant {
        BootInstant::since_boot(self.0.now())
    }
    fn wall(&self) -> jiff::Timestamp {
        wall(self.0.now()) - jiff::SignedDuration::from_hours(2)
    }
    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[test]
fn a_clock_that_is_behind_does_not_move_the_time_of_a_word() {
    for saw_it_when_it_was_given in [true, false] {
        let stage = with_silent_bmc();
        has_no_power(&stage);
        confirm_off(&stage, []);
        let recover = || {
            let mut world = stage.process("ha1", None).world();
            world.clock = Box::new(Behind(Arc::clone(&stage.time)));
            let options = Options { only: None, plan_only: false, patience: Duration::ZERO };
            said(&block_on(&stage.time, run(&world, &options)).unwrap())
        };
        if saw_it_when_it_was_given {
            let what = recover();
            assert!(what.contains("one of the two clocks is wrong"), "{what}");
            // The observers' clocks say nothing.
            stage.with(|u| u.returns(HOST));
        }
        // It is 10:05, and this machine's clock says that it is five minutes after the word.
        stage.wait(MINUTE * 125);
        let what = recover();
        assert!(!asked_nova(&stage), "{saw_it_when_it_was_given}: {what}");
        let why = if saw_it_when_it_was_given { "saw it first" } else { "by the clock of ha" };
        assert!(what.contains(why), "{saw_it_when_it_was_given}: {what}");
    }
}

#[test]
fn a_word_that_the_token_of_a_check_can_write_proves_nothing() {
    let stage = with_silent_bmc();
    stage.recover("ha1");
    confirm_off(&stage, []);
    let keys = keys::incident(&incident());
    stage.with(|u| {
        let word = u.kv.get(&keys.confirm_off()).unwrap().value.clone();
        u.kv.put(&keys.confirm_off_within(), word);
        u.kv.remove(&keys.confirm_off());
    });
    stage.wait(MINUTE);
    let what: String = stage.recover("ha1").iter().map(|report| report.text.clone()).collect();
    assert!(!asked_nova(&stage), "{what}");
    assert!(what.contains("was given by an older nova-ha and does not count"), "{what}");
}
