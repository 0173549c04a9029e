//! What devices and their tools say: power, who they are, and crash dumps.

use std::sync::OnceLock;

use secrecy::SecretString;
use url::Url;

use super::holds::{CANARY, error, json, line, which};
use crate::fence::agent::Agent;
use crate::fence::certificate::Pin;
use crate::fence::ipmi::{Ipmi, IpmiAccess};
use crate::fence::redfish::{Redfish, RedfishAccess, Verify};
use crate::fence::{PowerState, Privilege};
use crate::identity::{Identity, Verdict, compare};
use crate::kdump::message::is_announcement;
use crate::program::{Captured, Ended, Finished};

/// How a tool ended, whether its output was cut, and what it said: stderr after a zero byte.
pub(super) fn finished(data: &[u8]) -> Option<Finished> {
    let (how, rest) = data.split_first_chunk::<2>()?;
    let [ended, cut] = how;
    let ended = match ended {
        b'a' => Ended::Exit(0),
        b's' => Ended::Signal(9),
        b'd' => Ended::Deadline,
        other => Ended::Exit(i32::from(other.wrapping_sub(b'a'))),
    };
    let mut halves = rest.splitn(2, |byte| *byte == 0);
    let captured = |bytes: Option<&[u8]>, cut| Captured { bytes: bytes.unwrap_or_default().to_vec(), cut };
    Some(Finished {
        ended,
        stdout: captured(halves.next(), *cut == b'c'),
        stderr: captured(halves.next(), false),
    })
}

fn lines(finished: &Finished, wanted: &str) -> usize {
    String::from_utf8_lossy(&finished.stdout.bytes).lines().filter(|line| line.trim_end() == wanted).count()
}

/// Off is one exact line and nothing of the other, whole; what is shown has no secret.
pub(super) fn ipmitool(data: &[u8]) {
    let Some(finished) = finished(data) else { return };
    let bmc = Ipmi::new(IpmiAccess {
        address: "127.0.0.1".to_owned(),
        port: 623,
        user: "admin".to_owned(),
        password: SecretString::from(CANARY),
        cipher: 17,
        privilege: None,
    });
    let (power, identity, privilege, refusal) = bmc.said(&finished);
    let (on, off) = (lines(&finished, "Chassis Power is on"), lines(&finished, "Chassis Power is off"));
    let is_whole = !finished.stdout.cut;
    assert_eq!(power == PowerState::Off, is_whole && off == 1 && on == 0);
    assert_eq!(power == PowerState::On, is_whole && on == 1 && off == 0);
    if let PowerState::Unknown(why) = &power {
        line(why);
    }
    if let Privilege::Denied(why) | Privilege::CannotTell(why) = &privilege {
        line(why);
    }
    line(&refusal.to_string());
    if let Some(identity) = identity {
        assert!(identity.uuid.is_some_and(|uuid| uuid::Uuid::try_parse(&uuid).is_ok()));
    }
}

/// Off is exit 2 with one exact line, and nothing of the other.
pub(super) fn agent(data: &[u8]) {
    let Some(finished) = finished(data) else { return };
    let power = Agent::power_said(&finished, &SecretString::from(CANARY));
    let (on, off) = (lines(&finished, "Status: ON"), lines(&finished, "Status: OFF"));
    let is_off = finished.ended == Ended::Exit(2) && off == 1 && on == 0 && !finished.stdout.cut;
    assert_eq!(power == PowerState::Off, is_off);
    assert!(power != PowerState::On || finished.ended == Ended::Exit(0));
    if let PowerState::Unknown(why) = &power {
        line(why);
    }
}

fn service() -> Option<&'static Redfish> {
    static SERVICE: OnceLock<Option<Redfish>> = OnceLock::new();
    let made = SERVICE.get_or_init(|| {
        let url = Url::parse("http://127.0.0.1:8000").ok()?;
        let password = SecretString::from(CANARY);
        Redfish::new(RedfishAccess {
            url,
            user: "admin".into(),
            password,
            system: None,
            verify: Verify::System,
            limit: std::time::Duration::from_secs(1),
        })
        .ok()
    });
    made.as_ref()
}

/// Off is the one word, and a reset goes nowhere but below the system that was identified.
pub(super) fn redfish(data: &[u8]) {
    let (Some((kind, body)), Some(service)) = (which(data, 2), service()) else { return };
    if kind == 0 {
        match service.collection_said(body) {
            Ok(url) => assert!(url.as_str().starts_with("http://127.0.0.1:8000/redfish/v1/"), "{url}"),
            Err(why) => error(&why),
        }
        return;
    }
    let Ok(system) = Url::parse("http://127.0.0.1:8000/redfish/v1/Systems/1") else { return };
    let (power, _, target) = match service.system_said(&system, body) {
        Ok(said) => said,
        Err(why) => return error(&why),
    };
    if let Some(said) = json(body) {
        let word = said.get("PowerState");
        assert_eq!(power == PowerState::Off, word == Some(&"Off".into()), "{word:?}");
        assert_eq!(power == PowerState::On, word == Some(&"On".into()), "{word:?}");
    }
    if let PowerState::Unknown(why) = &power {
        line(why);
    }
    match target {
        Ok(target) => {
            assert!(target.as_str().starts_with("http://127.0.0.1:8000/redfish/v1/Systems/1/"), "{target}");
            assert!(target.query().is_none() && target.fragment().is_none(), "{target}");
        }
        Err(why) => error(&why),
    }
}

/// Two statements of who a machine is, a line each. What tells no machines apart never matches.
pub(super) fn identity(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let [first, second, pin] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let (first, second) = (Identity::pinned(first), Identity::pinned(second));
    let both = [compare(&first, &second), compare(&second, &first)];
    let matches = both.each_ref().map(|verdict| *verdict == Verdict::Matches);
    assert_eq!(matches[0], matches[1], "it depends on who is asked first");
    assert!(!matches[0] || (first.is_usable() && second.is_usable()), "{first} matches {second}");
    assert!(!first.is_usable() || compare(&first, &first) == Verdict::Matches, "{first} is not itself");
    if let Ok(pin) = pin.parse::<Pin>() {
        assert_eq!(pin.to_string().parse::<Pin>().ok(), Some(pin));
    }
}

/// Nothing but the eight bytes of version 1, in one of two byte orders, announces a dump.
pub(super) fn kdump(data: &[u8]) {
    let (little, big) = (b"\x40\x2a\x30\x1b\x01\0\0\0", b"\x1b\x30\x2a\x40\0\0\0\x01");
    assert_eq!(is_announcement(data), data == little || data == big);
}
