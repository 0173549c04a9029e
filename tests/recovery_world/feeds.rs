//! A host with two feeds, each with a device of its own: one dies with its feed, and a person speaks for it alone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::fence::device_off::as_described;
use nova_ha::fence::{
    Channel, Device, DeviceOff, FenceError, Identity, Level, PowerState, PowerSwitch, Privilege,
};
use nova_ha::incident::devices::{DeviceAnswer, DevicesSeen};
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::recovery::report::Report;
use nova_ha::ssh::{Answer, Failure};
use nova_ha::tree::Snapshot;
use nova_ha::tree::record::{bytes, parse};

use super::schedules::weather::{Kind, Request};
use super::seams::Process;
use super::stage::Stage;
use super::time::wall;
use super::universe::{Feed, HOST, Universe, incident};

const MINUTE: Duration = Duration::from_secs(60);

/// The level of a machine with two feeds.
pub(crate) fn feeds(process: &Arc<Process>, machine: &str) -> Level {
    let feed = |number| {
        let switch = SimFeed { process: Arc::clone(process), machine: machine.to_owned(), number };
        Device::new(Box::new(switch), None)
    };
    Level::of(vec![feed(0), feed(1)], None)
}

struct SimFeed {
    process: Arc<Process>,
    machine: String,
    number: usize,
}

impl SimFeed {
    fn silent(&self) -> FenceError {
        FenceError::Unreachable { device: self.describe(), doing: "be asked", source: "no answer".into() }
    }

    async fn ask<T>(&self, name: &str, act: impl FnOnce(&mut Universe) -> T) -> Result<T, FenceError> {
        let answers = |u: &Universe| u.machines[&self.machine].feeds.unwrap()[self.number].answers;
        let asked = |u: &mut Universe| if answers(u) { Ok(act(u)) } else { Err(self.silent()) };
        self.process.call(name, || self.silent(), asked).await
    }
}

#[async_trait]
impl PowerSwitch for SimFeed {
    async fn read(&self) -> Result<PowerState, FenceError> {
        let on = |u: &mut Universe| u.machines[&self.machine].feeds.unwrap()[self.number].on;
        Ok(if self.ask("power", on).await? { PowerState::On } else { PowerState::Off })
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
        let (node, machine, number) = (self.process.node.clone(), self.machine.clone(), self.number);
        let silent = self.silent();
        let act = move |u: &mut Universe| {
            let feeds = u.machines.get_mut(&machine).unwrap().feeds.as_mut().unwrap();
            if !feeds[number].answers {
                return Err(silent);
            }
            feeds[number].on = feeds[number].stuck;
            if feeds.iter().all(|feed| !feed.on) {
                u.switch_off(&node, &machine);
            }
            Ok(())
        };
        self.process.send(Request::new("switch off", Kind::Off), || self.silent(), act).await
    }
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        self.ask("identity", |_| ()).await?;
        Ok(Some(Identity { serial: Some(format!("SN-{}", self.machine)), ..Identity::default() }))
    }
    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        self.ask("privilege", |_| Privilege::Allowed).await
    }
    fn channel(&self) -> Channel {
        Channel::Shown
    }
    fn describe(&self) -> String {
        format!("PDU {} of {}", ["A", "B"][self.number], self.machine)
    }
}

const ON: Feed = Feed { answers: true, on: true, stuck: false };
/// Its PDU died with it.
const DEAD: Feed = Feed { answers: false, on: false, stuck: false };

fn with(a: Feed, b: Feed) -> Stage {
    let stage = Stage::with_dead_host();
    set(&stage, a, b);
    stage
}

fn set(stage: &Stage, a: Feed, b: Feed) {
    stage.with(|u| {
        let machine = u.machines.get_mut(HOST).unwrap();
        machine.feeds = Some([a, b]);
        machine.power_on = a.on || b.on;
    });
}

/// As what the tree describes how compute1 is powered off.
fn described(stage: &Stage) -> String {
    let host = keys::host(&HOST.parse().unwrap());
    let mut tree = Snapshot::default();
    tree.extend(stage.with(|u| u.kv.below(&host.config())));
    as_described(&tree, &host)
}

fn word(stage: &Stage, device: usize) -> DeviceOff {
    DeviceOff {
        version: 1,
        host: HOST.parse().unwrap(),
        incident: incident(),
        level: 1,
        device,
        name: "a PDU".into(),
        described: described(stage),
        by: "ann".into(),
        at: wall(stage.time.now()),
        ttl_seconds: 600,
        ended: None,
    }
}

fn say(stage: &Stage, word: &DeviceOff) {
    let key = keys::incident(&incident()).device_off(&word.of().to_string());
    stage.with(|u| u.kv.put(&key, bytes(word)));
}

fn said_of(stage: &Stage, device: usize) -> DeviceOff {
    let key = keys::incident(&incident()).device_off(&format!("1.{device}"));
    let entry = stage.with(|u| u.kv.get(&key)).unwrap();
    parse(&entry.key, &entry.value).unwrap()
}

fn seen(stage: &Stage) -> Option<DevicesSeen> {
    let entry = stage.with(|u| u.kv.get(&keys::incident(&incident()).devices()))?;
    Some(parse(&entry.key, &entry.value).unwrap())
}

fn text(reports: &[Report]) -> String {
    reports.iter().map(|report| format!("{}\n{}\n", report.text, report.next.join("\n"))).collect()
}

/// What one run says; it moves nobody.
fn waits(stage: &Stage, what: &str) -> String {
    let said = text(&stage.recover("ha1"));
    stage.nothing_was_broken(what);
    let asked = stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("POST")));
    assert!(!asked && stage.record().status.state == State::Active, "{what}: {said}");
    assert!(said.contains("waiting"), "{what}: {said}");
    said
}

#[test]
fn of_two_feeds_the_silent_one_is_spoken_for_and_the_other_is_read() {
    let stage = with(ON, DEAD);
    let said = waits(&stage, "nobody spoke");
    assert!(said.contains("PDU A of compute1: power on, identity matches"), "{said}");
    assert!(said.contains("PDU B of compute1") && said.contains("no answer"), "{said}");
    assert!(said.contains("nova-ha confirm-off compute1 --device 1.2 --by NAME"), "{said}");
    let found = seen(&stage).unwrap();
    let answers: Vec<_> = found.devices.iter().map(|device| (device.device, device.answer)).collect();
    assert_eq!(answers, [(1, DeviceAnswer::On), (2, DeviceAnswer::Silent)]);
    assert_eq!(found.described, described(&stage));
    say(&stage, &word(&stage, 2));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("with a word for B");
    let off = format!("{:?}", stage.journal());
    assert!(off.contains("silent, by the word of ann at"), "{off}");
}

#[test]
fn a_word_for_one_device_is_none_for_another_and_words_alone_prove_nothing() {
    let stage = with(ON, DEAD);
    say(&stage, &word(&stage, 1));
    waits(&stage, "a word for A, which answers on");
    assert!(said_of(&stage, 1).ended.unwrap().seen.contains("says on"));
    let stage = with(DEAD, DEAD);
    say(&stage, &word(&stage, 1));
    say(&stage, &word(&stage, 2));
    waits(&stage, "of both feeds nothing was read");
    // A level of one device has none of several: for a silent BMC there is the word for the host.
    let stage = Stage::with_dead_host();
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
    say(&stage, &word(&stage, 1));
    let said = waits(&stage, "one BMC");
    assert!(!said.contains("--device"), "{said}");
    assert!(seen(&stage).is_none());
}

#[test]
fn a_word_that_is_not_of_this_device_incident_or_time_proves_nothing() {
    let later = |word: DeviceOff| DeviceOff { incident: "compute1@7".parse().unwrap(), ..word };
    let of_other_host = |word: DeviceOff| DeviceOff { host: "compute2".parse().unwrap(), ..word };
    for (what, change, expected) in [
        ("another epoch", &later as &dyn Fn(DeviceOff) -> DeviceOff, "compute1@7"),
        ("another host", &of_other_host, "not about this one"),
        ("nobody", &|word| DeviceOff { by: " ".into(), ..word }, "names nobody"),
        ("no time", &|word| DeviceOff { ttl_seconds: 0, ..word }, "1 s to 24 h"),
        ("too much time", &|word| DeviceOff { ttl_seconds: 86_401, ..word }, "1 s to 24 h"),
        ("no description", &|word| DeviceOff { described: String::new(), ..word }, "say it again"),
        ("of a newer build", &|word| DeviceOff { version: 99, ..word }, "has format version 99"),
    ] {
        let stage = with(ON, DEAD);
        let changed = change(word(&stage, 2));
        let key = keys::incident(&incident()).device_off("1.2");
        let mut value: serde_json::Value = serde_json::from_slice(&bytes(&changed)).unwrap();
        value["version"] = changed.version.into();
        stage.with(|u| u.kv.put(&key, serde_json::to_vec(&value).unwrap()));
        let said = waits(&stage, what);
        assert!(said.contains(expected), "{what}: {said}");
    }
    // Of an earlier incident of the host: nobody looks there.
    let stage = with(ON, DEAD);
    let earlier: nova_ha::names::IncidentId = "compute1@7".parse().unwrap();
    let of_it = DeviceOff { incident: earlier.clone(), ..word(&stage, 2) };
    stage.with(|u| u.kv.put(&keys::incident(&earlier).device_off("1.2"), bytes(&of_it)));
    waits(&stage, "the word of another incident");
    // Its time is over.
    let stage = with(ON, DEAD);
    say(&stage, &word(&stage, 2));
    stage.wait(MINUTE * 11);
    waits(&stage, "eleven minutes later");
    // What is no word at all is none, and stops nothing.
    let stage = with(ON, DEAD);
    for (key, value) in [("1.2", "{"), ("2.x", "{}"), ("0.0", "")] {
        stage.with(|u| u.kv.put(&keys::incident(&incident()).device_off(key), value));
    }
    waits(&stage, "bad data");
    set(&stage, ON, ON);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("bad data beside devices that answer");
}

#[test]
fn whoever_changes_how_the_host_is_powered_off_ends_the_word() {
    let host = keys::host(&HOST.parse().unwrap());
    for key in [host.fence(), host.bmc_field("ip"), host.bmc_field("identity"), host.bound()] {
        let stage = with(ON, DEAD);
        say(&stage, &word(&stage, 2));
        let value = if key == host.bound() { r#"{"version":1}"# } else { "sn-compute1" };
        stage.with(|u| u.kv.put(&key, value));
        let said = text(&stage.recover("ha1"));
        stage.nothing_was_broken(&key);
        let asked = stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("POST")));
        assert!(!asked, "{key}: {said}");
        if key != host.bound() {
            assert!(said.contains("say it again"), "{key}: {said}");
        }
    }
}

#[test]
fn a_device_that_answers_on_speaks_for_itself_from_then_on() {
    // It says on whatever it is told.
    let stage = with(ON, DEAD);
    say(&stage, &word(&stage, 2));
    set(&stage, ON, Feed { stuck: true, ..ON });
    waits(&stage, "B says on");
    let over = said_of(&stage, 2).ended.unwrap();
    assert!(over.seen.contains("says on"), "{over:?}");
    // It is silent again: the word is over for good.
    set(&stage, Feed { on: false, ..ON }, Feed { answers: false, ..ON });
    stage.wait(MINUTE);
    let said = waits(&stage, "B is silent again");
    assert!(said.contains("is over since"), "{said}");
    // One that obeys is read like any other, and nobody's word is needed.
    let stage = with(ON, DEAD);
    say(&stage, &word(&stage, 2));
    set(&stage, ON, ON);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("both obey");
    assert!(said_of(&stage, 2).ended.is_some());
}

/// ann was at the wrong rack: the host lives on feed B.
#[test]
fn a_wrong_word_moves_nobody_while_the_host_can_be_heard() {
    let lives = Feed { answers: false, ..ON };
    let stage = with(Feed { on: false, ..ON }, lives);
    say(&stage, &word(&stage, 2));
    stage.with(|u| u.machines.get_mut(HOST).unwrap().noise = Some(Answer::No(Failure::Refused)));
    for _ in 0..3 {
        let said = waits(&stage, "its kernel refuses connections");
        assert!(said.contains("counts only while compute1 is silent"), "{said}");
        stage.wait(MINUTE);
    }
    // It answers after the word.
    let stage = with(Feed { on: false, ..ON }, lives);
    stage.with(|u| u.nova_is_away = true);
    stage.recover("ha1");
    say(&stage, &word(&stage, 2));
    stage.with(|u| u.returns(HOST));
    stage.wait(Duration::from_secs(5));
    stage.recover("ha2");
    assert!(said_of(&stage, 2).ended.unwrap().seen.contains("saw it answer"));
}

/// B dies after the power was proved off, in the middle of the evacuation.
#[test]
fn a_feed_that_dies_in_the_middle_waits_for_a_word_and_no_longer() {
    let stage = with(ON, ON);
    stage.with(|u| {
        u.kv.put(keys::POLICY, r#"{"version":1,"storm_limit":3,"off_reads":2,"proof_max_age":"5s"}"#);
        u.nova_is_away = false;
    });
    set(&stage, Feed { on: false, ..ON }, DEAD);
    waits(&stage, "B died at once");
    say(&stage, &word(&stage, 2));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("with proofs that are asked anew");
    assert!(seen(&stage).is_some());
}
