//! Whether what a device says is known to be said by the device.
//!
//! A power state is a word that came over a network. Where nothing shows who said it, anyone on that network can say
//! that a machine is off. What becomes of such a word is in [`proof`](super::proof): alone it proves nothing.

use std::collections::BTreeMap;
use std::fmt;

/// By which way a device's answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The device shows that it is the one: by a certificate that is judged, or by knowing the password.
    Shown,
    /// Through a fence agent; what it does is its own matter, and nothing in its options says otherwise.
    Agent,
    /// Anyone on the way can answer in its place.
    Open(Gap),
}

/// Why anyone on the way can answer in a device's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// `http://`: nothing is encrypted.
    PlainHttp,
    /// TLS, and nobody looks whose certificate it is.
    UnjudgedCertificate,
    /// An IPMI cipher suite whose packets are not signed.
    UnsignedIpmi {
        /// Its number.
        cipher: u8,
    },
    /// Of a level of several, one device is silent, and a person said that it carries no power.
    PersonsWord,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PersonsWord => f.write_str("of one device by a person's word"),
            Self::PlainHttp => f.write_str("plain http"),
            Self::UnjudgedCertificate => f.write_str("https with a certificate that nobody looks at"),
            Self::UnsignedIpmi { cipher } => write!(f, "IPMI cipher suite {cipher}, which signs nothing"),
        }
    }
}

/// Cipher suites of IPMI 2.0 (22.15.2) that log in by the password, sign each packet and encrypt it.
pub const GOOD_CIPHERS: [u8; 4] = [3, 8, 12, 17];

/// The one among them that is no more than SHA-1.
pub const WEAK_CIPHER: u8 = 3;

/// Of the numbers that the standard knows, those that do not sign their packets: 0 does not even log in.
const UNSIGNED_CIPHERS: [u8; 4] = [0, 1, 6, 15];

impl Channel {
    /// Of an IPMI session.
    pub fn of_ipmi(cipher: u8) -> Self {
        match UNSIGNED_CIPHERS.contains(&cipher) {
            true => Self::Open(Gap::UnsignedIpmi { cipher }),
            false => Self::Shown,
        }
    }

    /// Of an agent with these options. What is not said there is not known.
    pub fn of_agent(options: &BTreeMap<String, String>) -> Self {
        let option = |name: &str| {
            let found = options.iter().find(|(key, _)| key.replace('-', "_") == name);
            found.map(|(_, value)| value.trim().to_ascii_lowercase())
        };
        let is_on =
            |name: &str| option(name).is_some_and(|v| matches!(v.as_str(), "1" | "on" | "yes" | "true"));
        if is_on("ssl_insecure") {
            return Self::Open(Gap::UnjudgedCertificate);
        }
        match option("cipher").and_then(|cipher| cipher.parse().ok()) {
            Some(cipher) => match Self::of_ipmi(cipher) {
                Self::Shown | Self::Agent => Self::Agent,
                open @ Self::Open(_) => open,
            },
            None => Self::Agent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_signs_nothing_is_open() {
        let open: Vec<u8> = (0..=19).filter(|c| Channel::of_ipmi(*c) != Channel::Shown).collect();
        assert_eq!(open, UNSIGNED_CIPHERS);
        assert!(GOOD_CIPHERS.iter().all(|cipher| Channel::of_ipmi(*cipher) == Channel::Shown));
    }

    #[test]
    fn an_agents_options_may_say_that_it_believes_anyone() {
        let of = |key: &str, value: &str| Channel::of_agent(&BTreeMap::from([(key.into(), value.into())]));
        for (key, value) in [("ssl_insecure", "1"), ("ssl-insecure", "On"), ("cipher", "0")] {
            assert!(matches!(of(key, value), Channel::Open(_)), "{key}={value}");
        }
        for (key, value) in [("ssl_insecure", "0"), ("ip", "1"), ("cipher", "17")] {
            assert_eq!(of(key, value), Channel::Agent, "{key}={value}");
        }
    }
}
