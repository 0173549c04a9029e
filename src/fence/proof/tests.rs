use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;

use super::streak::{Look, Streak};
use super::*;
use crate::clock::SystemClock;
use crate::fence::FenceError;
use crate::fence::silence::{AgentSays, Looked};
use crate::fence::{Identity, Privilege};
use crate::ssh::{Answer, Failure};
use crate::tree::record;

/// Answers with a script; `None` is no answer.
struct Scripted(Mutex<VecDeque<Option<PowerState>>>);

#[async_trait]
impl PowerSwitch for Scripted {
    async fn read(&self) -> Result<PowerState, FenceError> {
        let next = self.0.lock().unwrap().pop_front().flatten();
        next.ok_or_else(|| FenceError::Settings { device: self.describe(), why: "no answer".into() })
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
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
        "a script".into()
    }
}

#[test]
fn an_off_that_anyone_can_have_said_needs_the_silence_after_it() {
    let machine = || Machine::Host("host1".parse().unwrap());
    let at = |seconds| BootInstant::since_boot(Duration::from_secs(seconds));
    let said = |channel| SaidOff {
        machine: machine(),
        read_at: at(100),
        by: vec![By { device: "bmc".into(), stated: None, word: None, channel }],
    };
    for channel in [Channel::Shown, Channel::Agent] {
        assert!(said(channel).by_itself().is_ok(), "{channel:?}");
    }
    let looked = Looked {
        addresses: vec![("10.0.0.1:22".into(), Answer::No(Failure::NoRoute))],
        agent: AgentSays::Silent,
        planes: Vec::new(),
    };
    for gap in [Gap::PlainHttp, Gap::UnjudgedCertificate, Gap::UnsignedIpmi { cipher: 0 }, Gap::PersonsWord] {
        let hearsay = || said(Channel::Open(gap)).by_itself().unwrap_err();
        let silence = |machine, began| Silence::of(machine, at(began), &looked).unwrap();
        assert!(hearsay().with(&silence(machine(), 99)).is_err(), "{gap}: looked before");
        let other = Machine::Host("host2".parse().unwrap());
        assert!(hearsay().with(&silence(other, 101)).is_err(), "{gap}: another's");
        let proof = hearsay().with(&silence(machine(), 101)).unwrap();
        assert_eq!(proof.read_at(), at(100));
        assert!(proof.by().contains("nobody answers at 10.0.0.1:22"), "{}", proof.by());
    }
}

fn answer() -> impl Strategy<Value = Option<PowerState>> {
    prop_oneof![
        4 => Just(Some(PowerState::Off)),
        1 => Just(Some(PowerState::On)),
        1 => Just(Some(PowerState::Unknown("PoweringOff".into()))),
        1 => Just(None),
    ]
}

proptest! {
    /// A proof comes with the first run of N reads of *off*, and never without one.
    #[test]
    fn only_n_consecutive_reads_of_off_make_a_proof(
        answers in prop::collection::vec(answer(), 0..40),
        needed in 2_u32..6,
    ) {
        let mut run = 0;
        let expected = answers.iter().position(|answer| {
            run = if *answer == Some(PowerState::Off) { run + 1 } else { 0 };
            run == needed
        });
        let switch = Scripted(Mutex::new(answers.iter().cloned().collect()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let proved = runtime.block_on(async {
            let mut streak = Streak::new("host1".parse::<HostName>().unwrap().into(), &switch, needed);
            for index in 0..answers.len() {
                if let Look::Said(_) = streak.look(&switch, &SystemClock).await {
                    return Some(index);
                }
            }
            None
        });
        prop_assert_eq!(proved, expected);
    }
}

struct At(jiff::Timestamp);

#[async_trait]
impl Clock for At {
    fn boottime(&self) -> BootInstant {
        BootInstant::since_boot(Duration::from_secs(1000))
    }
    fn wall(&self) -> jiff::Timestamp {
        self.0
    }
    async fn sleep(&self, _: Duration) {}
}

fn word() -> ConfirmOff {
    ConfirmOff {
        version: 1,
        host: "host1".parse().unwrap(),
        incident: "host1@3".parse().unwrap(),
        by: "maria".into(),
        at: "2026-11-22T10:00:00Z".parse().unwrap(),
        ttl_seconds: 600,
        although: BTreeSet::new(),
        ended: None,
    }
}

/// The boot clock of [`At`] stands there.
fn saw() -> BootInstant {
    BootInstant::since_boot(Duration::from_secs(1000))
}

fn at(time: &str) -> At {
    At(format!("2026-11-22T{time}Z").parse().unwrap())
}

#[test]
fn a_persons_word_counts_from_when_it_was_given_until_its_limit() {
    let incident = "host1@3".parse().unwrap();
    let counts = |time: &str| word().proof(&incident, &at(time), saw()).map(|proof| proof.by().to_owned());
    assert!(counts("10:00:00").unwrap().contains("maria"));
    assert!(counts("10:09:59.999").is_ok());
    let over = |time| matches!(counts(time), Err(ConfirmRefused::Time { .. }));
    assert!(over("10:10:00"));
    assert!(!over("09:59:59.999") && over("09:57:59"), "clocks may differ by two minutes");
    // Seen first when this machine's boot clock was ten minutes younger.
    let long_ago = BootInstant::since_boot(Duration::from_secs(400));
    assert!(word().proof(&incident, &at("10:00:00"), long_ago).is_err());
    let ended = Ended {
        sign: Sign::Agent,
        seen: "its Consul agent answers".into(),
        by: "ha1".parse().unwrap(),
        at: at("10:01:00").0,
    };
    let ended = ConfirmOff { ended: Some(ended), ..word() };
    let refused = ended.proof(&incident, &at("10:02:00"), saw()).unwrap_err();
    assert!(refused.to_string().contains("ha1 saw that its Consul agent answers"), "{refused}");
}

#[test]
fn a_persons_word_counts_only_for_what_it_was_given() {
    let now = at("10:00:01");
    for other in ["host1@4", "host2@3"] {
        let refused = word().proof(&other.parse().unwrap(), &now, saw()).unwrap_err();
        assert!(matches!(refused, ConfirmRefused::Other { .. }), "{other}");
    }
    let incident = "host1@3".parse().unwrap();
    let nobody = ConfirmOff { by: " ".into(), ..word() };
    assert_eq!(nobody.proof(&incident, &now, saw()).unwrap_err(), ConfirmRefused::Nobody);
    for ttl_seconds in [0, 24 * 60 * 60 + 1, u64::MAX] {
        let endless = ConfirmOff { ttl_seconds, ..word() };
        assert_eq!(endless.proof(&incident, &now, saw()).unwrap_err(), ConfirmRefused::Ttl { ttl_seconds });
    }
    let other_host = ConfirmOff { host: "host2".parse().unwrap(), ..word() };
    assert!(other_host.proof(&incident, &now, saw()).is_err());
}

#[test]
fn a_stored_word_is_read_strictly() {
    let stored = record::bytes(&word());
    assert_eq!(record::parse::<ConfirmOff>("k", &stored).unwrap(), word());
    let newer = String::from_utf8(stored).unwrap().replace("\"version\":1", "\"version\":3");
    assert!(record::parse::<ConfirmOff>("k", newer.as_bytes()).is_err());
}

#[test]
fn a_proof_ages() {
    let proof = word().proof(&"host1@3".parse().unwrap(), &at("10:00:00"), saw()).unwrap();
    let now = BootInstant::since_boot(Duration::from_secs(1030));
    assert!(proof.demand_fresh(now, Duration::from_secs(30)).is_ok());
    assert!(proof.demand_fresh(now, Duration::from_secs(29)).is_err());
    assert!(proof.is_of(&"host1".parse().unwrap()) && !proof.is_of(&"host10".parse().unwrap()));
}

/// States who it is with each answer: `None` where it does not.
struct Stating(Mutex<VecDeque<(PowerState, Option<&'static str>)>>);

#[async_trait]
impl PowerSwitch for Stating {
    async fn read(&self) -> Result<PowerState, FenceError> {
        self.look().await.map(|seen| seen.power)
    }
    async fn look(&self) -> Result<Seen, FenceError> {
        let (power, serial) = self.0.lock().unwrap().pop_front().unwrap();
        Ok(Seen { power, identity: serial.map(Identity::pinned) })
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
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
        "a script".into()
    }
}

#[tokio::test]
async fn only_reads_about_one_and_the_same_machine_follow_each_other() {
    for (said, proved) in [
        (&[Some("S-1"), Some("S-1"), Some("S-1")][..], true),
        (&[Some("S-1"), None, Some("s-1 ")], true),
        (&[None, None, None], true),
        (&[Some("S-1"), Some("S-2"), Some("S-1")], false),
        (&[Some("S-1"), Some("S-1"), Some("S-2")], false),
        (&[Some("S-1"), None, Some("S-2")], false),
        (&[Some("S-1"), Some("S-2"), Some("S-2"), Some("S-2")], false),
        (&[Some("S-1"), Some("S-2"), Some("S-2"), Some("S-2"), Some("S-2")], true),
    ] {
        let answers = said.iter().map(|serial| (PowerState::Off, *serial)).collect();
        let switch = Stating(Mutex::new(answers));
        let mut streak = Streak::new(Machine::Host("host1".parse().unwrap()), &switch, 3);
        let mut last = None;
        for _ in said {
            last = Some(streak.look(&switch, &SystemClock).await);
        }
        match (last, proved) {
            (Some(Look::Said(off)), true) => {
                let stated = said.last().copied().flatten().map(|text| text.trim().to_uppercase());
                let kept = off.devices()[0].stated.as_ref().and_then(|identity| identity.serial.clone());
                assert_eq!(kept, stated, "{said:?}");
            }
            (Some(Look::Seen(_)), false) => {}
            (other, _) => panic!("{said:?}: {other:?}"),
        }
    }
}
