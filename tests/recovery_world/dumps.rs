//! A dead host that writes a crash dump: how long its fence waits, whatever is announced by whomever.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::incident::journal::Event;
use nova_ha::incident::lead::Lead;
use nova_ha::incident::record::Order;
use nova_ha::incident::said::OrderRecord;
use nova_ha::incident::status::State;
use nova_ha::incident::step::Step;
use nova_ha::incident::{IncidentRecord, dump_grace::DumpGrace};
use nova_ha::kdump::Tally;
use nova_ha::keys;
use nova_ha::recovery::world::{Dumps, Listening};
use nova_ha::tree::record::{bytes, parse};

use super::seams::{Fault, Process};
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HOST, incident};

pub(crate) struct SimDumps(pub(crate) Arc<Process>);

#[async_trait]
impl Dumps for SimDumps {
    async fn listen(&self, names: &[String]) -> Result<Box<dyn Listening>, String> {
        assert_eq!(names, [HOST]);
        let node = self.0.node.clone();
        let taken = || "it is in use".to_owned();
        self.0.call("listen", taken, |u| if u.deaf.contains(&node) { Err(taken()) } else { Ok(()) }).await?;
        Ok(Box::new(SimEar { process: Arc::clone(&self.0), since: self.0.time.now() }))
    }
}

struct SimEar {
    process: Arc<Process>,
    since: Duration,
}

impl Listening for SimEar {
    fn heard(&mut self) -> Tally {
        let now = self.process.time.now();
        let since = std::mem::replace(&mut self.since, now);
        let universe = self.process.universe.lock().unwrap();
        let dumps = universe.announcements.filter(|_| universe.machines[HOST].power_on);
        let Some((from, until, every)) = dumps else { return Tally::default() };
        let sent_by = |at: Duration| match at.min(until).checked_sub(from) {
            Some(after) => after.as_millis() / every.as_millis() + 1,
            None => 0,
        };
        Tally { own: u64::try_from(sent_by(now) - sent_by(since)).unwrap(), ..Tally::default() }
    }
}

const GRACE: Duration = Duration::from_secs(120);
const LISTEN: Duration = Duration::from_secs(25);
/// What a recovery takes from its begin to the shot beside any wait, its calls included.
const WORK: Duration = Duration::from_secs(12);
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

/// A dead host, and a policy that gives a crash dump its time.
fn stage() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        let policy =
            r#"{"version":1,"storm_limit":3,"off_reads":2,"kdump_grace":"120s","kdump_listen":"25s"}"#;
        u.kv.put(keys::POLICY, policy);
    });
    stage
}

/// From now on for this long, every ten seconds, as fence_kdump_send does.
fn announces(stage: &Stage, length: Duration) {
    let from = stage.time.now() + Duration::from_secs(3);
    stage.with(|u| u.announcements = Some((from, from + length, Duration::from_secs(10))));
}

/// When its power was cut, counted from `since`.
fn shot(stage: &Stage, since: Duration) -> Option<Duration> {
    let off = format!("off {HOST}");
    stage.with(|u| u.effects.iter().find(|e| e.what == off).map(|e| e.at - since))
}

fn grace(stage: &Stage) -> Option<DumpGrace> {
    let entry = stage.with(|u| u.kv.get(&keys::incident(&incident()).kdump()))?;
    Some(parse(&entry.key, &entry.value).unwrap())
}

/// What the journal says about the dump.
fn said(stage: &Stage) -> String {
    let facts = stage.journal().into_iter().find_map(|entry| match entry.what {
        Event::Started { step: Step::Fence, facts, .. } => Some(facts),
        _ => None,
    });
    facts.unwrap_or_default().into_iter().find(|fact| fact.starts_with("kdump: ")).unwrap_or_default()
}

#[test]
fn a_dump_is_left_to_finish_and_the_fence_follows_when_it_has_ended() {
    let stage = stage();
    announces(&stage, Duration::from_secs(50));
    let since = stage.time.now();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("a dump of 50 s");
    let shot = shot(&stage, since).unwrap();
    // The last message came at 53 s.
    assert!(
        (Duration::from_secs(53) + LISTEN..Duration::from_secs(53) + LISTEN + WORK).contains(&shot),
        "{shot:?}"
    );
    assert!(said(&stage).contains("announced 6 times and left to finish"), "{}", said(&stage));
}

#[test]
fn a_host_that_announces_nothing_is_listened_to_once() {
    let stage = stage();
    let since = stage.time.now();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("no dump");
    let shot = shot(&stage, since).unwrap();
    assert!((LISTEN..LISTEN + WORK).contains(&shot), "{shot:?}");
    assert!(said(&stage).contains("none announced within 25s"), "{}", said(&stage));
}

#[test]
fn announcements_without_end_delay_the_fence_by_the_grace_and_no_more() {
    let stage = stage();
    announces(&stage, FOR_EVER);
    let since = stage.time.now();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("a dump without end");
    let shot = shot(&stage, since).unwrap();
    assert!((GRACE..GRACE + WORK).contains(&shot), "{shot:?}");
    assert!(said(&stage).contains("not ended within the 120s"), "{}", said(&stage));
}

#[test]
fn without_a_grace_nobody_listens() {
    let stage = Stage::with_dead_host();
    announces(&stage, FOR_EVER);
    let since = stage.time.now();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    stage.all_is_recovered("no grace");
    assert!(!process.calls().iter().any(|call| call == "listen"));
    assert!(shot(&stage, since).unwrap() < WORK);
    assert_eq!((grace(&stage), said(&stage)), (None, String::new()));
}

/// Each run dies after it has waited a while, and pays for what it had not waited yet.
#[test]
fn over_runs_that_are_killed_again_and_again_the_grace_is_one() {
    let calls = {
        let stage = stage();
        announces(&stage, FOR_EVER);
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run());
        process.calls()
    };
    let listen = calls.iter().position(|call| call == "listen").unwrap();
    let shot_at = calls.iter().position(|call| call == "switch off").unwrap();
    assert!(shot_at - listen > 40, "{calls:?}");
    for at in (listen..shot_at).step_by(3) {
        let what = format!("each run is killed at call {at} ({})", calls[at]);
        let stage = stage();
        announces(&stage, FOR_EVER);
        let since = stage.time.now();
        let mut between = Duration::ZERO;
        for _ in 0..6 {
            let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
            stage.nothing_was_broken(&what);
            stage.wait(Duration::from_secs(1));
            between += Duration::from_secs(1) + WORK;
        }
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
        let shot = shot(&stage, since).unwrap();
        assert!(shot < GRACE + between + WORK, "{what}: {shot:?}");
        assert!(grace(&stage).unwrap().charged() <= GRACE, "{what}: {:?}", grace(&stage));
    }
}

#[test]
fn an_adopter_waits_for_what_is_left_of_the_grace() {
    let stage = stage();
    announces(&stage, FOR_EVER);
    let calls_of_half_the_grace = 75;
    let process = stage.process("ha1", Some((calls_of_half_the_grace, Fault::DiesAfter)));
    assert!(block_on(&stage.time, process.run()).is_none());
    let used = grace(&stage).unwrap().charged();
    assert!(!used.is_zero() && used < GRACE, "{used:?}");
    stage.with(|u| {
        u.dies("ha1");
        u.machines.get_mut("ha1").unwrap().power_on = false;
    });
    // Until it is voted dead and its session has lapsed.
    stage.wait(Duration::from_secs(100));
    let since = stage.time.now();
    stage.recover_until_settled("ha2");
    stage.all_is_recovered("adopted in mid-wait");
    let shot = shot(&stage, since).unwrap();
    assert!(shot < GRACE - used + WORK, "{used:?} were used up, and the adopter waited {shot:?}");
}

#[test]
fn a_port_that_is_taken_is_said_and_keeps_no_fence_from_going_on() {
    let stage = stage();
    announces(&stage, FOR_EVER);
    stage.with(|u| u.deaf.insert("ha1".into()));
    let since = stage.time.now();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("deaf");
    assert!(shot(&stage, since).unwrap() < WORK);
    assert!(said(&stage).contains("it is in use"), "{}", said(&stage));
}

#[test]
fn what_cannot_be_read_of_the_grace_counts_as_used_up() {
    let stage = stage();
    announces(&stage, FOR_EVER);
    stage.with(|u| u.kv.put(&keys::incident(&incident()).kdump(), r#"{"version":9}"#));
    let since = stage.time.now();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("unreadable grace");
    assert!(shot(&stage, since).unwrap() < WORK);
    assert!(said(&stage).contains("not waited for"), "{}", said(&stage));
}

#[test]
fn a_host_that_lives_again_after_its_dump_is_not_shot() {
    let stage = stage();
    announces(&stage, Duration::from_secs(30));
    let time = Arc::clone(&stage.time);
    let process = stage.process("ha1", None);
    block_on(&time, async {
        let mut recovery = std::pin::pin!(process.run());
        tokio::select! {
            _ = &mut recovery => panic!("it ended before the host was back"),
            () = time.sleep(Duration::from_secs(45)) => stage.with(|u| u.returns(HOST)),
        }
        recovery.await
    });
    stage.nothing_was_broken("it lives again");
    assert_eq!(stage.record().status.state, State::Withdrawn, "{:#?}", stage.journal());
    assert!(stage.with(|u| u.effects.clone()).is_empty());
}

#[test]
fn a_persons_hold_ends_the_wait_and_nothing_is_shot() {
    let stage = stage();
    announces(&stage, FOR_EVER);
    let time = Arc::clone(&stage.time);
    let process = stage.process("ha1", None);
    let since = time.now();
    block_on(&time, async {
        let mut recovery = std::pin::pin!(process.run());
        tokio::select! {
            _ = &mut recovery => panic!("it ended before it was held"),
            () = time.sleep(Duration::from_secs(30)) => stage.with(|u| {
                super::stage::say(u, Lead::Hold { reason: "wait".into() });
            }),
        }
        recovery.await
    });
    assert!(time.now() - since < Duration::from_secs(45), "the hold is seen within a slice");
    stage.nothing_was_broken("held");
    assert_eq!(shot(&stage, since), None);
    stage.resume();
    stage.wait(Duration::from_secs(70));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("led out of the hold");
}

#[test]
fn a_persons_order_ends_the_wait_and_the_power_is_cut() {
    let stage = stage();
    announces(&stage, FOR_EVER);
    let time = Arc::clone(&stage.time);
    let process = stage.process("ha1", None);
    let since = time.now();
    block_on(&time, async {
        let mut recovery = std::pin::pin!(process.run());
        tokio::select! {
            _ = &mut recovery => panic!("it ended before the order"),
            () = time.sleep(Duration::from_secs(30)) => stage.with(|u| {
                let key = keys::incident(&incident()).incident();
                let record: IncidentRecord = parse(&key, &u.kv.get(&key).unwrap().value).unwrap();
                let order = Order::new("maria".into(), record.opened_at);
                let order = OrderRecord::new(incident(), &order);
                u.kv.put(&keys::incident(&incident()).order(), bytes(&order));
            }),
        }
        recovery.await
    });
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("ordered");
    let shot = shot(&stage, since).unwrap();
    assert!(shot < Duration::from_secs(60), "{shot:?}");
    assert!(said(&stage).contains("by the order of maria"), "{}", said(&stage));
}
