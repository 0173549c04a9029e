//! Who a machine is, by what its firmware and its BMC say: which UUIDs and serial numbers tell machines apart, and when two
//! statements are of one machine.
//!
//! A mistyped address powers off a healthy machine and calls a running one off. So the BMC is asked
//! who it is, and its answer is compared with what the machine published about itself, or a person
//! pinned. What cannot be compared is *cannot tell*, never a match. Whether another machine of the tree claims the same is
//! for [`crate::bindings`] to see.

mod placeholders;

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
    /// Further numbers that are on it: of its chassis, of its board, and what Dell calls the service tag. Which of them a
    /// firmware calls the serial number of the system differs from vendor to vendor.
    pub also: Vec<String>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They are one machine.
    Matches,
    /// They are two.
    Differs {
        /// What the machine published or a person pinned.
        expected: String,
        /// What the BMC states.
        found: String,
    },
    /// Nobody can tell; why.
    CannotTell(Unclear),
}

/// Why nobody can tell whether a device is a machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// The device has no way to say which machine it powers.
    NotStated,
    /// Nothing of what both state can be compared.
    NotComparable {
        /// What the machine published or a person pinned.
        expected: Identity,
        /// What the BMC states.
        found: Identity,
    },
    /// It states what another machine claims with the same right.
    Claimed {
        /// For people.
        why: String,
        /// What settles it.
        next: String,
    },
    /// A person said whose it is, and it shows itself otherwise since: it is another device.
    NotAsConfirmed {
        /// The person.
        by: String,
        /// What it showed of itself.
        then: String,
        /// What it shows now.
        now: String,
    },
    /// It was asked, and did not answer that; why.
    NotAnswered(String),
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStated => f.write_str("the device cannot say which machine it powers"),
            Self::NotComparable { expected, found } => write!(
                f,
                "nothing to compare: expected {expected}; the BMC states {found} (placeholders do not count)"
            ),
            Self::Claimed { why, next: _ } => f.write_str(why),
            Self::NotAsConfirmed { by, then, now } => {
                write!(
                    f,
                    "{by} said whose it is when it showed {then}, and it shows {now} now: it is another device"
                )
            }
            Self::NotAnswered(why) => f.write_str(why),
        }
    }
}

impl Identity {
    /// What a person pinned in one text: a UUID, or else a serial number.
    pub fn pinned(text: &str) -> Self {
        let text = text.trim().to_owned();
        match Uuid::parse_str(&text) {
            Ok(_) => Self { uuid: Some(text), ..Self::default() },
            Err(_) => Self { serial: Some(text), ..Self::default() },
        }
    }

    /// The UUID, if it tells machines apart.
    fn usable_uuid(&self) -> Option<Uuid> {
        let uuid = Uuid::parse_str(self.uuid.as_deref()?.trim()).ok()?;
        let placeholder = placeholders::is_of_few_bytes(uuid)
            || placeholders::UUIDS.iter().any(|known| same_uuid(uuid, Uuid::from_u128(*known)));
        (!placeholder).then_some(uuid)
    }

    /// The numbers that tell machines apart: in lower case, without blanks.
    fn serials(&self) -> BTreeSet<String> {
        let texts = self.serial.iter().chain(&self.also);
        texts.filter_map(|text| usable_serial(text)).collect()
    }

    /// Whether this states anything that tells machines apart.
    pub fn is_usable(&self) -> bool {
        self.has_uuid() || self.has_serial()
    }

    /// Whether it has a UUID that tells machines apart.
    pub fn has_uuid(&self) -> bool {
        self.usable_uuid().is_some()
    }

    /// Whether it has a number that does.
    pub fn has_serial(&self) -> bool {
        !self.serials().is_empty()
    }

    /// Whether both state the same UUID; nothing where one of them states none that tells machines apart.
    pub fn same_uuid(&self, other: &Self) -> Option<bool> {
        self.usable_uuid().zip(other.usable_uuid()).map(|(a, b)| same_uuid(a, b))
    }

    /// Whether both state one and the same number. It is another one only where both state that of the *system*: the number of
    /// a board or of a chassis beside it tells nothing.
    pub fn same_serial(&self, other: &Self) -> Option<bool> {
        let of_the_system = |of: &Self| of.serial.as_deref().and_then(usable_serial).is_some();
        match self.have_one_in_common(other)? {
            true => Some(true),
            false => (of_the_system(self) && of_the_system(other)).then_some(false),
        }
    }

    fn have_one_in_common(&self, other: &Self) -> Option<bool> {
        let (own, theirs) = (self.serials(), other.serials());
        (!own.is_empty() && !theirs.is_empty()).then(|| !own.is_disjoint(&theirs))
    }

    /// A number that both state, and a third does not.
    pub fn serial_of_both_but(&self, other: &Self, third: &Self) -> Option<String> {
        let (own, theirs, third) = (self.serials(), other.serials(), third.serials());
        own.intersection(&theirs).find(|serial| !third.contains(*serial)).cloned()
    }

    /// Whether another statement contradicts this one: whoever made both is two machines, or lies.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.same_uuid(other) == Some(false) || self.have_one_in_common(other) == Some(false)
    }

    /// The same with all that another statement adds.
    pub fn with(mut self, more: Self) -> Self {
        let known = |own: &Self, text: &String| own.serial.iter().chain(&own.also).any(|have| have == text);
        self.uuid = self.uuid.or(more.uuid);
        let mut others = more.also;
        match (&self.serial, more.serial) {
            (None, serial) => self.serial = serial,
            (Some(_), serial) => others.extend(serial),
        }
        for text in others {
            if !known(&self, &text) {
                self.also.push(text);
            }
        }
        self
    }
}

/// A serial number as it is compared, if it tells machines apart.
fn usable_serial(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    (!placeholders::is_no_serial(&text)).then_some(text)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = "none";
        let (uuid, serial) = (self.uuid.as_deref(), self.serial.as_deref());
        write!(f, "UUID {}, serial {}", uuid.unwrap_or(none), serial.unwrap_or(none))?;
        if !self.also.is_empty() {
            write!(f, ", also {}", self.also.join(", "))?;
        }
        Ok(())
    }
}

/// Compares what is expected with what a BMC states, as far as no other machine claims anything of it.
///
/// A UUID decides where both state one: beside an equal one another serial number is a note at most, as vendors put the
/// number of the board, of the chassis or of the system there.
pub fn compare(expected: &Identity, found: &Identity) -> Verdict {
    let (uuid, serial) = (expected.same_uuid(found), expected.same_serial(found));
    match uuid.or(serial) {
        Some(true) => Verdict::Matches,
        Some(false) => Verdict::Differs { expected: expected.to_string(), found: found.to_string() },
        None => {
            Verdict::CannotTell(Unclear::NotComparable { expected: expected.clone(), found: found.clone() })
        }
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
        Identity { uuid: Some(text.to_owned()), ..Identity::default() }
    }

    fn serial(text: &str) -> Identity {
        Identity { serial: Some(text.to_owned()), ..Identity::default() }
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
        assert!(matches!(compare(&serial("ABC123"), &serial("ABC124")), Verdict::Differs { .. }));
        // Blades share the number of their chassis: another UUID is another machine, whatever else is equal.
        let (one, two) = (serial("CH1-5"), serial("CH1-5"));
        let (one, two) = (Identity { uuid: Some(RFC.into()), ..one }, Identity { uuid: other.uuid, ..two });
        assert!(matches!(compare(&one, &two), Verdict::Differs { .. }));
    }

    #[test]
    fn a_serial_number_is_compared_without_its_case_and_blanks() {
        for same in ["abc123", " ABC123\n", "ABC 123", "ABC123        "] {
            assert_eq!(compare(&serial("ABC123"), &serial(same)), Verdict::Matches, "{same:?}");
        }
    }

    #[test]
    fn any_number_that_is_on_the_machine_is_its_serial_number() {
        // As an iDRAC states it: the part id of the board, and the service tag elsewhere.
        let idrac = Identity { also: vec!["ABC1D23".into()], ..serial("CNFCP0088I00AF") };
        for pinned in ["ABC1D23", "abc1d23 ", "CNFCP0088I00AF"] {
            assert_eq!(compare(&Identity::pinned(pinned), &idrac), Verdict::Matches, "{pinned}");
        }
        assert!(matches!(compare(&serial("XYZ9Z99"), &idrac), Verdict::Differs { .. }));
    }

    #[test]
    fn the_number_of_a_board_or_a_chassis_alone_is_no_other_machine() {
        let board = |number: &str| Identity { also: vec![number.into()], ..Identity::default() };
        let system = serial("ABC1D23");
        assert!(matches!(compare(&system, &board("CNFCP00")), Verdict::CannotTell(_)));
        assert_eq!(compare(&system, &board("abc1d23")), Verdict::Matches);
        // But one device has one.
        assert!(board("CNFCP00").contradicts(&board("CNFCP99")) && !board("A-1").contradicts(&board("a-1")));
    }

    #[test]
    fn beside_an_equal_uuid_another_serial_number_is_a_note() {
        let expected = Identity { serial: Some("ABC1D23".into()), ..uuid(RFC) };
        let found = Identity { serial: Some("CNFCP0088I00AF".into()), ..uuid(RFC) };
        assert_eq!(compare(&expected, &found), Verdict::Matches);
        assert!(
            expected.contradicts(&found),
            "one device that states first this and then that is not believed"
        );
    }

    #[test]
    fn placeholders_tell_nothing() {
        for nothing in [
            uuid("00000000-0000-0000-0000-000000000000"),
            uuid("ffffffff-ffff-ffff-ffff-ffffffffffff"),
            uuid("00000000-0000-4000-8000-000000000000"),
            uuid("03000200-0400-0500-0006-000700080009"),
            uuid("00020003-0004-0005-0006-000700080009"),
            uuid("fefefefe-fefe-fefe-fefe-fefefefefefe"),
            uuid("00010203-0405-0607-0809-0A0B0C0D0E0F"),
            uuid("03020100-0504-0706-0809-0a0b0c0d0e0f"),
            uuid("6AB5B300-538D-1014-9FB5-B0684D007B53"),
            uuid("not a uuid"),
            serial("To be filled by O.E.M."),
            serial("To Be Filled By O.E.M"),
            serial("NULL"),
            serial("0000000"),
            serial("  "),
            serial("-"),
            serial("."),
            serial("0123456789"),
            serial("1234567890"),
            serial("123456"),
            Identity { also: vec!["Default string".into()], ..serial("XXXXXXX") },
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

    #[test]
    fn what_two_answers_of_one_device_say_is_put_together() {
        let both = uuid(RFC).with(Identity { also: vec!["B".into(), "A".into()], ..serial("A") });
        assert_eq!(both, Identity { also: vec!["B".into()], serial: Some("A".into()), ..uuid(RFC) });
    }
}
