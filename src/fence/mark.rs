//! By what a device can be known again that cannot say which machine it powers: what it shows of itself.
//!
//! A person who looked says whose it is (`identity_confirmed_by`), and what it showed then is written beside that. Another
//! device at its address shows something else, and the word is over.

use std::fmt;
use std::str::FromStr;

use super::certificate::Pin;

/// What a device shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The key of its certificate.
    Certificate(Pin),
    /// The hardware address of its network port.
    Mac(String),
    /// The serial number in its inventory (FRU).
    Fru(String),
    /// A serial number that it states, and that nobody bound the machine to.
    Serial(String),
    /// Nothing at all. One that shows something is another device; one that shows nothing either is not told from it.
    Nothing,
}

/// A text that is no mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "what a device shows is \"certificate sha256:HEX\", \"mac 00:11:22:33:44:55\", \"fru SERIAL\", \"serial SERIAL\" or \"nothing\", as \
     nova-ha-recover HOST --plan shows it (docs/bmc.md)"
)]
pub struct NoMark;

/// A number as it is compared: in upper case, without blanks.
fn plain(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    let is_shown = !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_graphic());
    (is_shown && !text.contains(['\'', '"', '`', '$', '\\'])).then_some(text)
}

impl Mark {
    /// Of a hardware address as tools print it; nothing where it is none, or is everybody's.
    pub fn mac(text: &str) -> Option<Self> {
        let bytes: Vec<u8> = text
            .trim()
            .split([':', '-'])
            .map(|byte| if byte.len() == 2 { u8::from_str_radix(byte, 16).ok() } else { None })
            .collect::<Option<_>>()?;
        let is_its_own = bytes.len() == 6
            && bytes.iter().any(|byte| *byte != 0)
            && bytes.first().is_some_and(|first| first & 1 == 0);
        let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        is_its_own.then(|| Self::Mac(text.join(":")))
    }

    /// Of a serial number in an inventory.
    pub fn fru(text: &str) -> Option<Self> {
        plain(text).map(Self::Fru)
    }

    /// Of a serial number that is stated.
    pub fn serial(text: &str) -> Option<Self> {
        plain(text).map(Self::Serial)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(pin) => write!(f, "certificate {pin}"),
            Self::Mac(mac) => write!(f, "mac {mac}"),
            Self::Fru(serial) => write!(f, "fru {serial}"),
            Self::Serial(serial) => write!(f, "serial {serial}"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        if text.trim().eq_ignore_ascii_case("nothing") {
            return Ok(Self::Nothing);
        }
        let (kind, value) = text.trim().split_once(' ').ok_or(NoMark)?;
        let found = match kind.to_ascii_lowercase().as_str() {
            "certificate" => value.parse().ok().map(Self::Certificate),
            "mac" => Self::mac(value),
            "fru" => Self::fru(value),
            "serial" => Self::serial(value),
            _ => None,
        };
        found.ok_or(NoMark)
    }
}

/// A person's word that a device belongs to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Who looked.
    pub by: String,
    /// What the device showed of itself then; nothing of one that can show nothing, or that is known by a pinned key.
    pub shown: Option<Mark>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written_and_nothing_else_is_one() {
        let certificate = format!("certificate sha256:{}", "0a".repeat(32));
        for text in
            [certificate.as_str(), "mac 00:1e:67:aa:bb:cc", "fru ABC1D23", "serial CNFCP0088I00AF", "nothing"]
        {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), text);
        }
        for (text, same) in [
            ("MAC 00-1E-67-AA-BB-CC", "mac 00:1e:67:aa:bb:cc"),
            (" fru abc 1d23 ", "fru ABC1D23"),
            ("serial abc1d23", "serial ABC1D23"),
        ] {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), same);
        }
        for none in [
            "",
            "mac",
            "mac 00:1e:67:aa:bb",
            "mac 00:00:00:00:00:00",
            "mac ff:ff:ff:ff:ff:ff",
            "fru ",
            "fru a'b",
            "certificate sha256:00",
            "name maria",
        ] {
            assert_eq!(none.parse::<Mark>(), Err(NoMark), "{none:?}");
        }
    }
}
