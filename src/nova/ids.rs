//! Names and ids of Nova's world, parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not one of Nova's names or ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected {expected}")]
pub struct IdError {
    /// What was being named.
    pub what: &'static str,
    /// The text as it came, cut to 80 characters.
    pub text: String,
    /// What it should look like.
    pub expected: &'static str,
}

fn refuse(what: &'static str, text: &str, expected: &'static str) -> IdError {
    IdError { what, text: text.chars().take(80).collect(), expected }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $good:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as Nova spells it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let good: fn(&str) -> bool = $good;
                if good(text) { Ok(Self(text.to_owned())) } else { Err(refuse($what, text, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

id!(
    /// The `host` of a nova-compute service, which may differ from the host's name in Consul and
    /// from its hypervisor's name. The characters are those of Nova's own schema.
    NovaHost,
    "Nova service host",
    "1 to 255 of A-Z a-z 0-9 . _ -",
    |text| {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    }
);
id!(
    /// A server (a guest, in our words).
    ServerId,
    "server id",
    "a UUID",
    is_uuid
);
id!(
    /// A nova-compute service record, from microversion 2.53 on.
    ServiceId,
    "service id",
    "a UUID",
    is_uuid
);
id!(
    /// A request as Nova's logs name it (`req-...`).
    RequestId,
    "request id",
    "1 to 80 printable characters",
    |text| (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

id!(
    /// What we call a token of keystone: it names it in the ledger, and opens nothing.
    TokenId,
    "token's name",
    "a UUID",
    is_uuid
);

impl TokenId {
    /// Of a token that keystone gives now.
    pub fn new_one() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
}

impl RequestId {
    /// A new one, sent along with each request: OpenStack services log it as the *global* request
    /// id, so a request without an answer can still be found there.
    pub fn ours() -> Self {
        Self(format!("req-{}", uuid::Uuid::new_v4()))
    }
}

/// A version of Nova's API, chosen per call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Microversion {
    /// Always 2 so far.
    pub major: u16,
    /// The number after the point.
    pub minor: u16,
}

impl Microversion {
    /// Version `2.minor`.
    pub const fn two(minor: u16) -> Self {
        Self { major: 2, minor }
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Microversion {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || refuse("microversion", text, "MAJOR.MINOR");
        let (major, minor) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self { major: major.parse().map_err(|_| bad())?, minor: minor.parse().map_err(|_| bad())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_could_change_a_path_or_a_query_are_no_ids() {
        for bad in ["", "a/b", "a b", "a?b", "a&host=b", "é", &"x".repeat(256)] {
            assert!(bad.parse::<NovaHost>().is_err(), "{bad:?}");
        }
        for bad in ["", "../x", "01234567-89ab-cdef-0123-456789abcde", "0123456789abcdef0123456789abcdef"] {
            assert!(bad.parse::<ServerId>().is_err(), "{bad:?}");
            assert!(bad.parse::<ServiceId>().is_err(), "{bad:?}");
        }
        assert!("node1.example.org".parse::<NovaHost>().is_ok());
        assert!("01234567-89ab-cdef-0123-456789abcdef".parse::<ServerId>().is_ok());
    }

    #[test]
    fn microversions_compare_by_number() {
        let parsed: Microversion = "2.104".parse().unwrap();
        assert!(parsed > Microversion::two(95) && parsed.to_string() == "2.104");
        assert!("2".parse::<Microversion>().is_err() && "2.x".parse::<Microversion>().is_err());
    }
}
