//! Whether a BMC belongs to the machine that is to be fenced.
//!
//! A mistyped address powers off a healthy machine and calls a running one off. So the BMC is asked
//! who it is, and its answer is compared with what the machine published about itself, or a person
//! pinned. What cannot be compared is *cannot tell*, never a match.

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

/// What a machine, or its BMC, states about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// System UUID, as stated, in any spelling and byte order.
    pub uuid: Option<String>,
    /// Serial number of the system, as stated.
    pub serial: Option<String>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that both state agrees, and that is at least one thing.
    Matches,
    /// Something that both state differs.
    Differs {
        /// What the machine published or a person pinned.
        expected: String,
        /// What the BMC states.
        found: String,
    },
    /// Nothing to compare; why.
    CannotTell(String),
}

/// What vendors leave in the serial number; compared in lower case.
const NO_SERIALS: [&str; 14] = [
    "to be filled by o.e.m.",
    "to be filled by oem",
    "default string",
    "system serial number",
    "chassis serial number",
    "not specified",
    "not applicable",
    "not available",
    "none",
    "unknown",
    "n/a",
    "0123456789",
    "123456789",
    "1234567890",
];

/// What AMI's and others' firmware leaves in the UUID, in both byte orders.
const NO_UUIDS: [u128; 2] = [0x03000200_0400_0500_0006_000700080009, 0x00020003_0004_0005_0006_000700080009];

impl Identity {
    /// What a person pinned in one text: a UUID, or else a serial number.
    pub fn pinned(text: &str) -> Self {
        let text = text.trim().to_owned();
        match Uuid::parse_str(&text) {
            Ok(_) => Self { uuid: Some(text), serial: None },
            Err(_) => Self { uuid: None, serial: Some(text) },
        }
    }

    /// The UUID, if it tells machines apart.
    fn usable_uuid(&self) -> Option<Uuid> {
        let uuid = Uuid::parse_str(self.uuid.as_deref()?.trim()).ok()?;
        let distinct: BTreeSet<u8> = uuid.as_bytes().iter().copied().collect();
        let placeholder = distinct.len() < 2 || NO_UUIDS.contains(&uuid.as_u128());
        (!placeholder).then_some(uuid)
    }

    /// The serial number, if it tells machines apart.
    fn usable_serial(&self) -> Option<&str> {
        let serial = self.serial.as_deref()?.trim();
        let distinct: BTreeSet<char> = serial.chars().filter(|c| c.is_alphanumeric()).collect();
        let placeholder = distinct.len() < 2 || NO_SERIALS.contains(&serial.to_lowercase().as_str());
        (!placeholder).then_some(serial)
    }

    /// Whether this states anything that tells machines apart.
    pub fn is_usable(&self) -> bool {
        self.usable_uuid().is_some() || self.usable_serial().is_some()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = "none";
        let (uuid, serial) = (self.uuid.as_deref(), self.serial.as_deref());
        write!(f, "UUID {}, serial {}", uuid.unwrap_or(none), serial.unwrap_or(none))
    }
}

/// Compares what is expected with what a BMC states.
pub fn compare(expected: &Identity, found: &Identity) -> Verdict {
    let uuids = expected.usable_uuid().zip(found.usable_uuid()).map(|(a, b)| same_uuid(a, b));
    let serials = expected.usable_serial().zip(found.usable_serial()).map(|(a, b)| a == b);
    match (uuids, serials) {
        (Some(false), _) | (_, Some(false)) => {
            Verdict::Differs { expected: expected.to_string(), found: found.to_string() }
        }
        (Some(true), _) | (_, Some(true)) => Verdict::Matches,
        (None, None) => Verdict::CannotTell(format!(
            "nothing to compare: expected {expected}; the BMC states {found} (placeholders do not count)"
        )),
    }
}

/// Equal in any byte order that is in use: as RFC 4122 writes it; as SMBIOS stores it, its first
/// three fields little-endian; as IPMI 2.0 (20.8) orders it, all of it reversed; or both.
fn same_uuid(a: Uuid, b: Uuid) -> bool {
    let smbios = |uuid: Uuid| Uuid::from_bytes(uuid.to_bytes_le());
    let reversed = |uuid: Uuid| Uuid::from_u128(uuid.as_u128().swap_bytes());
    [b, smbios(b), reversed(b), reversed(smbios(b)), smbios(reversed(b))].contains(&a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(text: &str) -> Identity {
        Identity { uuid: Some(text.to_owned()), serial: None }
    }

    fn serial(text: &str) -> Identity {
        Identity { uuid: None, serial: Some(text.to_owned()) }
    }

    const RFC: &str = "33221100-5544-7766-8899-aabbccddeeff";

    #[test]
    fn one_uuid_matches_itself_in_every_spelling_and_byte_order() {
        for same in [
            RFC,
            "33221100-5544-7766-8899-AABBCCDDEEFF",
            "33221100554477668899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeeff",
            "ffeeddcc-bbaa-9988-6677-445500112233",
            "ffeeddcc-bbaa-9988-7766-554433221100",
        ] {
            let both = [compare(&uuid(RFC), &uuid(same)), compare(&uuid(same), &uuid(RFC))];
            assert_eq!(both, [Verdict::Matches, Verdict::Matches], "{same}");
        }
    }

    #[test]
    fn another_machine_differs() {
        let other = uuid("33221100-5544-7766-8899-aabbccddeefe");
        assert!(matches!(compare(&uuid(RFC), &other), Verdict::Differs { .. }));
        assert!(matches!(compare(&serial("ABC123"), &serial("abc123")), Verdict::Differs { .. }));
        assert_eq!(compare(&serial("ABC123"), &serial(" ABC123\n")), Verdict::Matches);
    }

    #[test]
    fn a_serial_that_differs_is_not_outvoted_by_the_uuid() {
        let expected = Identity { serial: Some("A1".into()), ..uuid(RFC) };
        let found = Identity { serial: Some("B2".into()), ..uuid(RFC) };
        assert!(matches!(compare(&expected, &found), Verdict::Differs { .. }));
    }

    #[test]
    fn placeholders_tell_nothing() {
        for nothing in [
            uuid("00000000-0000-0000-0000-000000000000"),
            uuid("ffffffff-ffff-ffff-ffff-ffffffffffff"),
            uuid("03000200-0400-0500-0006-000700080009"),
            uuid("not a uuid"),
            serial("To be filled by O.E.M."),
            serial("0000000"),
            serial("  "),
            serial("0123456789"),
            Identity::default(),
        ] {
            assert!(!nothing.is_usable(), "{nothing}");
            assert!(matches!(compare(&nothing, &nothing), Verdict::CannotTell(_)), "{nothing}");
        }
        assert!(matches!(compare(&uuid(RFC), &serial("ABC123")), Verdict::CannotTell(_)));
    }

    #[test]
    fn a_person_pins_either() {
        assert_eq!(Identity::pinned(RFC), uuid(RFC));
        assert_eq!(Identity::pinned("CZJ12345\n"), serial("CZJ12345"));
    }
}
