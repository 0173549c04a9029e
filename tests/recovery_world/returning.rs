//! An HA node that was voted dead comes back alive, with the storage, while another one has its incident: the two
//! never wait for each other.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, join3};
use nova_ha::incident::journal::{Event, JournalEntry};
use nova_ha::incident::status::State;
use nova_ha::keys;

use super::md::{all_runs_on, staged};
use super::seams::{FIRST_EVACUATE, Fault};
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HA_NODES, Universe};

const MINUTE: Duration = Duration::from_secs(60);

/// The timer of an HA node: its `recover`, again and again, until a time; an HA node that is cut off loses what runs.
async fn timer(stage: &Stage, node: &str, until: Duration) {
    let is_dead = || stage.universe.lock().unwrap().machines[node].dead;
    while stage.time.now() < until {
        if !is_dead() {
            let process = stage.process(node, None);
            let mut run = pin!(process.run());
            std::future::poll_fn(|context| match run.as_mut().poll(context) {
                Poll::Pending if !is_dead() => Poll::Pending,
                Poll::Ready(_) | Poll::Pending => Poll::Ready(()),
            })
            .await;
        }
        stage.time.sleep(Duration::from_secs(40)).await;
    }
}

/// All three HA nodes at work for so long.
fn all_at_work(stage: &Stage, length: Duration) {
    let until = stage.time.now() + length;
    let [one, two, three] = HA_NODES.map(|node| timer(stage, node, until));
    block_on(&stage.time, join3(one, two, three));
    stage.with(|_| ());
}

/// ha1 and its BMC are cut off, or on the net again.
fn cut_off(u: &mut Universe) {
    u.machines.get_mut("ha1").unwrap().bmc = false;
    u.dies("ha1");
}

fn back(u: &mut Universe) {
    u.machines.get_mut("ha1").unwrap().bmc = true;
    u.returns("ha1");
}

fn handed_back(stage: &Stage) -> usize {
    let is = |entry: &&JournalEntry| matches!(entry.what, Event::HandedBack { .. });
    stage.journal().iter().filter(is).count()
}

fn shot(stage: &Stage, node: &str) -> bool {
    stage.with(|u| u.effects.iter().any(|effect| effect.what == format!("off {node}")))
}

#[test]
fn one_that_comes_back_with_the_array_gets_its_incident_back_and_goes_on() {
    let stage = staged();
    let all = {
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run());
        process.calls()
    };
    let from = all.iter().position(|name| name == "mount").unwrap();
    let mut returned = 0;
    for (at, name) in all.iter().enumerate().skip(from).step_by(5) {
        let what = format!("ha1 is cut off after call {at} ({name})");
        let stage = staged();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        stage.with(cut_off);
        all_at_work(&stage, 10 * MINUTE);
        // Where all guests had arrived, nothing of the disks is needed: closed, or a person looks at them.
        if stage.record().status.state != State::Active {
            continue;
        }
        returned += 1;
        stage.with(back);
        all_at_work(&stage, 30 * MINUTE);
        all_runs_on(&stage, "ha1", &what);
        assert_eq!(handed_back(&stage), 1, "{what}: {:#?}", stage.journal());
        assert!(!shot(&stage, "ha1"), "{what}");
        let in_use =
            stage.with(|u| u.kv.get(&keys::ha_node(&"ha2".parse().unwrap()).in_use()).unwrap().value);
        assert_eq!(in_use, b"False", "{what}: it has nothing of it");
    }
    assert!(returned >= 3, "only {returned} came back to an incident that waited");
}

#[test]
fn nobody_adopts_from_one_that_came_back_while_its_lock_lapsed() {
    type Staged = fn() -> Stage;
    let shared: Staged = Stage::with_dead_host;
    for (name, storage) in [("shared", shared), ("md", staged)] {
        for outage in [50, 55, 60, 65, 70] {
            let what = format!("{name}: back after {outage} s");
            let stage = storage();
            let fault = Some((FIRST_EVACUATE, Fault::DiesAfter));
            let _died = block_on(&stage.time, stage.process("ha1", fault).run());
            stage.with(cut_off);
            stage.wait(Duration::from_secs(45));
            let returns = async {
                stage.time.sleep(Duration::from_secs(outage - 45)).await;
                stage.with(back);
            };
            block_on(&stage.time, join(timer(&stage, "ha2", stage.time.now() + MINUTE), returns));
            let adopted = stage
                .journal()
                .iter()
                .any(|entry| matches!(entry.what, Event::Adopted { .. }) && entry.by == "ha2");
            assert!(!adopted, "{what}: {:#?}", stage.journal());
            all_at_work(&stage, 10 * MINUTE);
            stage.nothing_was_broken(&what);
            assert_eq!(stage.record().status.state, State::Closed, "{what}: {:#?}", stage.journal());
        }
    }
}

/// Numbers of a seed, of which none is like its neighbour.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn a_holder_that_flaps_never_leaves_everybody_waiting() {
    type Change = fn(&mut Universe);
    let array: Change = Universe::on_an_array;
    let mut ends = std::collections::BTreeMap::new();
    for seed in 0..12_u64 {
        for (name, storage) in
            [("md", array), ("exec", Universe::on_a_pool), ("shared", |_: &mut Universe| ())]
        {
            let what = format!("{name}, seed {seed}");
            let mut dice = Dice(seed * 7 + 1);
            let stage = Stage::with_dead_host();
            stage.with(storage);
            // Where in its work it is cut off first.
            let at = usize::try_from(60 + dice.up_to(140)).unwrap();
            let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
            for _ in 0..1 + dice.up_to(4) {
                stage.with(|u| {
                    cut_off(u);
                    // Now and then its BMC has a switch of its own.
                    u.machines.get_mut("ha1").unwrap().bmc = dice.up_to(4) == 0;
                });
                all_at_work(&stage, Duration::from_secs(30 + dice.up_to(500)));
                if !stage.with(|u| u.machines["ha1"].power_on) {
                    break;
                }
                stage.with(back);
                all_at_work(&stage, Duration::from_secs(5 + dice.up_to(300)));
            }
            stage.with(|u| {
                if !u.machines["ha1"].power_on {
                    u.machines.get_mut("ha1").unwrap().bmc = true;
                }
            });
            all_at_work(&stage, 30 * MINUTE);
            stage.nothing_was_broken(&what);
            let state = stage.record().status.state;
            let word = match &state {
                State::Active => "active",
                State::Held { .. } => "held",
                State::Withdrawn => "withdrawn",
                State::Abandoned => "abandoned",
                State::Closed => "closed",
            };
            *ends.entry((name, word, handed_back(&stage))).or_insert(0) += 1;
            assert_ne!(state, State::Active, "{what}: everybody waits: {:#?}", stage.journal());
        }
    }
    let back: usize = ends.iter().filter(|((.., back), _)| *back > 0).map(|(_, count)| count).sum();
    assert!(back >= 2, "too few schedules come to what this is about: {ends:?}");
}

#[test]
fn what_was_asked_before_an_adoption_is_no_answer_to_it() {
    let stage = staged();
    let all = {
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run());
        process.calls()
    };
    let mounted = all.iter().position(|name| name == "mount").unwrap();
    let stage = staged();
    let _died = block_on(&stage.time, stage.process("ha1", Some((mounted, Fault::DiesAfter))).run());
    // It asked when another one had the incident once; then it died, and its timer is gone.
    let key = keys::incident(&super::universe::incident()).ask(&"ha1".parse().unwrap());
    stage.with(|u| u.kv.put(&key, r#"{"version":1}"#));
    stage.with(cut_off);
    stage.wait(MINUTE);
    let _reports = block_on(&stage.time, stage.process("ha2", None).run());
    assert_eq!(stage.record().holder.map(|node| node.to_string()).as_deref(), Some("ha2"));
    assert!(stage.with(|u| u.kv.get(&key)).is_none(), "the adoption has taken it away");
}

/// ha1 has the pool, ha2 had the incident in between, and ha1 has it again: what it took in its first time it has still.
#[test]
fn one_that_took_the_storage_in_an_earlier_time_gives_the_incident_back_to_nobody() {
    let mut met = 0;
    for away in (60..400).step_by(20) {
        let what = format!("ha2 is away for {away} s");
        let stage = Stage::with_dead_host();
        stage.with(Universe::on_a_pool);
        let fault = Some((FIRST_EVACUATE, Fault::DiesBefore));
        let _died = block_on(&stage.time, stage.process("ha1", fault).run());
        assert!(stage.with(|u| u.pool_on.as_deref() == Some("ha1")), "{what}");
        stage.with(cut_off);
        block_on(&stage.time, timer(&stage, "ha2", stage.time.now() + 4 * MINUTE));
        stage.with(|u| {
            u.machines.get_mut("ha2").unwrap().bmc = false;
            u.dies("ha2");
            back(u);
        });
        let until = stage.time.now() + 20 * MINUTE;
        let ha2_returns = async {
            stage.time.sleep(Duration::from_secs(away)).await;
            met += usize::from(stage.record().holder.is_some_and(|holder| holder.as_str() == "ha1"));
            stage.with(|u| u.returns("ha2"));
            timer(&stage, "ha2", until).await;
        };
        block_on(&stage.time, join(timer(&stage, "ha1", until), ha2_returns));
        stage.nothing_was_broken(&what);
        assert!(stage.with(|u| u.pool_on.as_deref() == Some("ha1")), "{what}: {:#?}", stage.journal());
    }
    assert!(met > 3, "ha1 had it again in {met} runs only");
}
