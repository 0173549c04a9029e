//! By which key an HA node reserves the disks that it takes (SCSI-3 persistent reservations).
//!
//! A disk keeps the key beside the reservation, and shows it to everybody. So it says of itself that an HA node
//! has the disk, and which: the same HA node has the same key in every boot and every build.

use std::fmt;

use super::owner_mark::fnv;

/// What all of them begin with: `nh`.
const PREFIX: u64 = 0x6e68;
const HASH_BITS: u32 = 48;

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no reservation key: 0x and up to 16 hexadecimal digits")]
pub struct NoKey;

/// A key: eight bytes, never all zero where it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationKey(u64);

impl ReservationKey {
    /// The key of an HA node, by how it is written in a mark: see [`super::owner_mark::holder`].
    pub fn of_holder(holder: &str) -> Self {
        Self(PREFIX << HASH_BITS | fnv(holder) >> (u64::BITS - HASH_BITS))
    }

    /// Whether some HA node made it. Of others nobody but their owner knows whose they are.
    pub fn is_an_ha_nodes(self) -> bool {
        self.0 >> HASH_BITS == PREFIX
    }

    /// As sg_persist writes it, `0x` or not.
    ///
    /// # Errors
    /// It is no hexadecimal number of at most eight bytes.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        // A sign would be taken for a part of the number.
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).ok().filter(|_| is_plain).map(Self).ok_or(NoKey)
    }
}

/// As sg_persist takes it.
impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_ha_nodes_and_always_the_same() {
        let key = ReservationKey::of_holder;
        assert_eq!(key("ha1").to_string(), "0x6e68335855192ff0");
        assert!(key("ha1") != key("ha2") && key("ha1").is_an_ha_nodes());
        assert_eq!(ReservationKey::parse("0x6e68335855192ff0").unwrap(), key("ha1"));
    }

    #[test]
    fn other_keys_are_nobodys_that_we_know() {
        for text in ["0x1", "0xabcdef01", "6e68", "0x0"] {
            assert!(!ReservationKey::parse(text).unwrap().is_an_ha_nodes(), "{text}");
        }
        for text in ["", "0x", "key", "0x11111111111111111", "0x0x1", "+1", "0x+1", " 1"] {
            assert!(ReservationKey::parse(text).is_err(), "{text}");
        }
    }
}
