//! Levels of several devices: a machine with two feeds is off when both are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::real::{Bmc, Chassis, Held, dead_port, host, levels, settings};
use async_trait::async_trait;
use nova_ha::clock::{Clock, SystemClock};
use nova_ha::fence::off::{Settings, Why, power_off_with, prove_off_with};
use nova_ha::fence::{
    Changed, Channel, Device, DeviceOff, DeviceWords, FenceError, FenceLevels, Identity, LeaseLost, Level,
    NotOff, Permission, PowerState, PowerSwitch, Privilege, power_off, prove_off,
};

fn two(first: &str, second: &str) -> FenceLevels {
    levels(&format!(r#"{{"version":2,"levels":[{{"devices":[{first},{second}],"deadline_seconds":4}}]}}"#))
}

#[tokio::test]
async fn two_feeds_are_switched_at_once_and_both_prove_it() {
    let (a, b) = (Bmc::start(Chassis::Obeys, "1"), Bmc::start(Chassis::Obeys, "1"));
    let both = two(&a.level("test", "Test123.", ""), &b.level("test", "Test123.", ""));
    let on = prove_off(&both, &SystemClock, &settings()).await.unwrap_err();
    assert!(on.to_string().contains("one of 2 devices that must all be off"), "{on}");
    assert_eq!((a.commands(), b.commands()), (0, 0));
    let (said, changed) = power_off(&both, &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!((changed, a.is_on(), b.is_on()), (Changed::Yes, false, false));
    let by = said.by_itself().unwrap().by().to_owned();
    assert!(by.contains(&a.port.to_string()) && by.contains(&b.port.to_string()), "{by}");
    let (_, again) = power_off(&both, &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!(again, Changed::AlreadySo);
}

#[tokio::test]
async fn one_feed_that_is_on_or_silent_is_no_proof() {
    let (off, lies) = (Bmc::start(Chassis::Obeys, "0"), Bmc::start(Chassis::Lies, "1"));
    let (good, on) = (off.level("test", "Test123.", ""), lies.level("test", "Test123.", ""));
    let dead = format!(
        r#"{{"driver":"ipmi","address":"127.0.0.1","port":{},"user":"test","password":"x","cipher":3}}"#,
        dead_port()
    );
    for (what, both) in
        [("on", two(&good, &on)), ("on, first", two(&on, &good)), ("silent", two(&good, &dead))]
    {
        let error = power_off(&both, &SystemClock, &settings(), &Held).await.unwrap_err();
        let NotOff::NotProved { levels, .. } = &error else { panic!("{what}: {error}") };
        assert_eq!(levels.len(), 1, "{what}: the other one proved its own: {error}");
        assert_eq!(matches!(levels[0].why, Why::StillOn), what != "silent", "{what}: {error}");
        assert_eq!(matches!(levels[0].why, Why::NoAnswer { .. }), what == "silent", "{what}: {error}");
    }
    assert_eq!(off.commands(), 0, "the feed that is off gets no command");
    // By itself it would have been one: of two levels, one is enough.
    let apart = levels(&format!(r#"{{"version":1,"levels":[{good}]}}"#));
    assert!(prove_off(&apart, &SystemClock, &settings()).await.is_ok());
}

/// A device whose answers are a function of how often it was asked.
struct Fake {
    name: &'static str,
    asked: AtomicU32,
    says: fn(u32) -> PowerState,
    pause: Duration,
    takes: Option<Duration>,
}

impl Fake {
    fn device(name: &'static str, says: fn(u32) -> PowerState, pause: Duration) -> Device {
        Device::new(Box::new(Self { name, asked: AtomicU32::new(0), says, pause, takes: None }), None)
    }
}

#[async_trait]
impl PowerSwitch for Fake {
    async fn read(&self) -> Result<PowerState, FenceError> {
        tokio::time::sleep(self.pause).await;
        Ok((self.says)(self.asked.fetch_add(1, Ordering::SeqCst)))
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
        tokio::time::sleep(self.takes.unwrap_or_default()).await;
        Ok(())
    }
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        Ok(None)
    }
    fn command_takes(&self) -> Option<Duration> {
        self.takes
    }
    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        Ok(Privilege::Allowed)
    }
    fn channel(&self) -> Channel {
        Channel::Shown
    }
    fn describe(&self) -> String {
        self.name.to_owned()
    }
}

#[tokio::test]
async fn a_feed_that_comes_back_while_the_other_is_proved_is_no_proof() {
    let quick = Duration::ZERO;
    let slow = Duration::from_millis(150);
    let comes_back = |asked: u32| if asked < 3 { PowerState::Off } else { PowerState::On };
    let off = |_: u32| PowerState::Off;
    let both = |first: fn(u32) -> PowerState| {
        let devices = vec![Fake::device("feed A", first, quick), Fake::device("feed B", off, slow)];
        FenceLevels::new(host(), vec![Level::of(devices, None)])
    };
    let error = prove_off(&both(comes_back), &SystemClock, &settings()).await.unwrap_err();
    assert!(error.to_string().contains("feed A and feed B"), "{error}");
    assert!(prove_off(&both(off), &SystemClock, &settings()).await.is_ok());
}

/// A device of which each look is this, and how often it was told to switch off.
struct Says {
    name: &'static str,
    asked: AtomicU32,
    says: fn(u32) -> Option<PowerState>,
    commands: std::sync::Arc<AtomicU32>,
}

#[async_trait]
impl PowerSwitch for Says {
    async fn read(&self) -> Result<PowerState, FenceError> {
        let silent = || FenceError::Unreachable {
            device: self.name.into(),
            doing: "be asked",
            source: "no answer".into(),
        };
        if self.name == REFUSES {
            let (device, said) = (self.name.into(), "invalid password".into());
            return Err(FenceError::Denied { device, doing: "read the power", said });
        }
        (self.says)(self.asked.fetch_add(1, Ordering::SeqCst)).ok_or_else(silent)
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
        self.commands.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        Ok(None)
    }
    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        Ok(Privilege::Allowed)
    }
    fn channel(&self) -> Channel {
        Channel::Shown
    }
    fn describe(&self) -> String {
        self.name.to_owned()
    }
}

/// What a device is called that answers, and refuses the password.
const REFUSES: &str = "feed that refuses";

#[tokio::test]
async fn no_word_counts_for_a_device_that_answers_and_refuses() {
    let device = |name, says| {
        Device::new(
            Box::new(Says { name, asked: AtomicU32::new(0), says, commands: std::sync::Arc::default() }),
            None,
        )
    };
    let devices = vec![device("feed A", |_| Some(PowerState::Off)), device(REFUSES, |_| None)];
    let levels = FenceLevels::new(host(), vec![Level::of(devices, Some(Duration::from_secs(1)))]);
    let not = prove_off_with(&levels, &SystemClock, &settings(), &word_for(2)).await.unwrap_err();
    assert!(not.silent().is_empty(), "it has power: {not}");
}

/// ann's word for this device of the first level.
fn word_for(device: usize) -> DeviceWords {
    let incident = "host1@0".parse().unwrap();
    let word = DeviceOff {
        version: 1,
        host: "host1".parse().unwrap(),
        incident,
        level: 1,
        device,
        name: "feed".into(),
        described: "config/fence@7".into(),
        by: "ann".into(),
        at: jiff::Timestamp::now(),
        ttl_seconds: 600,
        ended: None,
    };
    let about = (&word.incident, word.of());
    DeviceWords::of(vec![word.counts(about, "config/fence@7", &SystemClock, SystemClock.boottime()).unwrap()])
}

#[tokio::test]
async fn a_persons_word_stands_for_a_silent_device_beside_one_that_is_read_and_for_nothing_else() {
    type Look = fn(u32) -> Option<PowerState>;
    let off: Look = |_| Some(PowerState::Off);
    let on: Look = |_| Some(PowerState::On);
    let silent: Look = |_| None;
    let odd: Look = |asked| (asked == 0).then(|| PowerState::Unknown("booting".into()));
    let was_on: Look = |asked| (asked == 0).then_some(PowerState::On);
    let was_off: Look = |asked| (asked == 0).then_some(PowerState::Off);
    for (what, first, second, speaks_for, is_proved) in [
        ("a silent one with a word", off, silent, 2, true),
        ("a silent one that stands first", silent, off, 1, true),
        ("it said off once, and nothing then", off, was_off, 2, true),
        ("nobody spoke for the silent one", off, silent, 1, false),
        ("it says on", off, on, 2, false),
        ("it said on in this try", off, was_on, 2, false),
        ("it said neither in this try", off, odd, 2, false),
        ("the other is on", on, silent, 2, false),
        ("the other is silent too", silent, silent, 2, false),
    ] {
        let commands = std::sync::Arc::new(AtomicU32::new(0));
        let device = |name, says| {
            let commands = std::sync::Arc::clone(&commands);
            Device::new(Box::new(Says { name, asked: AtomicU32::new(0), says, commands }), None)
        };
        let levels = |deadline| {
            let devices = vec![device("feed A", first), device("feed B", second)];
            FenceLevels::new(host(), vec![Level::of(devices, Some(deadline))])
        };
        let began = Instant::now();
        let both = levels(Duration::from_secs(if is_proved { 30 } else { 1 }));
        let words = word_for(speaks_for);
        let read = prove_off_with(&both, &SystemClock, &settings(), &words).await;
        assert_eq!(read.is_ok(), is_proved, "{what}: {read:?}");
        assert_eq!(commands.load(Ordering::SeqCst), 0, "{what}");
        let (_, switched) = (
            prove_off(&levels(Duration::from_secs(1)), &SystemClock, &settings()).await.unwrap_err(),
            power_off_with(
                &levels(Duration::from_secs(1)),
                &SystemClock,
                &settings(),
                &Held,
                &word_for(speaks_for),
            )
            .await,
        );
        assert_eq!(switched.is_ok(), is_proved, "{what}: {switched:?}");
        if let Ok(said) = read {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}: it waited for what is silent");
            assert!(commands.load(Ordering::SeqCst) > 0, "{what}: a silent one is told to switch off too");
            assert!(said.by().contains("(silent, by the word of ann at "), "{}", said.by());
            assert!(said.by_itself().is_err(), "{what}: it proves nothing by itself");
        }
        let heard = !words.heard().is_empty();
        assert_eq!(
            heard,
            ["it says on", "it said on in this try", "it said neither in this try"].contains(&what),
            "{what}"
        );
    }
    // All of a level by words: nothing was read.
    let none: Look = |_| None;
    let silent = |name| {
        let commands = std::sync::Arc::default();
        Device::new(Box::new(Says { name, asked: AtomicU32::new(0), says: none, commands }), None)
    };
    let both = FenceLevels::new(
        host(),
        vec![Level::of(vec![silent("A"), silent("B")], Some(Duration::from_secs(1)))],
    );
    let words = |of: usize| word_for(of).word(format!("1.{of}").parse().ok()).unwrap().clone();
    let all = DeviceWords::of(vec![words(1), words(2)]);
    assert!(prove_off_with(&both, &SystemClock, &settings(), &all).await.is_err());
}

/// A lease that is lost at the third look.
struct LostLater(AtomicU32);

#[async_trait(?Send)]
impl Permission for LostLater {
    async fn check(&self) -> Result<(), LeaseLost> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Ok(()),
            _ => Err(LeaseLost { why: "the session lapsed".into() }),
        }
    }
}

#[tokio::test]
async fn a_command_that_takes_longer_than_an_attempt_ends_with_the_lease() {
    let takes = Some(Duration::from_secs(30));
    let on = |_: u32| PowerState::On;
    let (name, asked, pause) = ("a message", AtomicU32::new(0), Duration::ZERO);
    let device = Device::new(Box::new(Fake { name, asked, says: on, pause, takes }), None);
    let level = Level::of(vec![device], Some(Duration::from_secs(60)));
    let brief = Settings { attempt: Duration::from_millis(100), ..settings() };
    let (started, lease) = (Instant::now(), LostLater(AtomicU32::new(0)));
    let error =
        power_off(&FenceLevels::new(host(), vec![level]), &SystemClock, &brief, &lease).await.unwrap_err();
    assert!(matches!(error, NotOff::Lease { commands: 1, .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(lease.0.load(Ordering::SeqCst), 3);
}
