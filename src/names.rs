//! Names and ids, parsed once at the edge into types that cannot be wrong.
//!
//! Consul's catalog merges node names that differ only in case while its KV store does not, so
//! names compare by their exact spelling and uniqueness ignoring case is checked where names are
//! added ([`is_one`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::say::short;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty or longer than 253 characters.
    #[error("a {what} has 1 to 253 characters, this one has {length}")]
    Length {
        /// What was being named.
        what: &'static str,
        /// Characters found.
        length: usize,
    },
    /// A character that could change the meaning of a key, a path or a command line.
    #[error("{:?} is no {what}: only A-Z a-z 0-9 . _ - are allowed, found {found:?}", short(text))]
    Character {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
        /// The first offending character.
        found: char,
    },
    /// `.` and `..` are path steps; a leading `-` would be read as an option by a program.
    #[error("{:?} is no {what}: it may not be a path step or begin with '-'", short(text))]
    Reserved {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
    },
    /// An incident id is `HOST@EPOCH`.
    #[error("{:?} is no incident id: expected HOST@EPOCH, for example compute1@0", short(text))]
    IncidentId {
        /// The text as it came.
        text: String,
    },
}

/// Whether two names are one. Consul's catalog, DNS and Nova's database ignore case, and a dot at the end of a name in DNS says
/// no more than that it is a whole one.
pub fn is_one(a: &str, b: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).to_owned();
    bare(a).eq_ignore_ascii_case(&bare(b))
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > 253 {
        return Err(NameError::Length { what, length: text.chars().count() });
    }
    if let Some(found) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        return Err(NameError::Character { what, text: text.to_owned(), found });
    }
    if text == "." || text == ".." || text.starts_with('-') {
        return Err(NameError::Reserved { what, text: text.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as it is spelled in keys.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether two names are one: see [`is_one`].
            pub fn is_one_with(&self, other: &str) -> bool {
                is_one(&self.0, other)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check($what, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name!(
    /// A compute host, as spelled under `ha_cluster/compute_nodes/`.
    HostName,
    "host name"
);
name!(
    /// An HA node (a spare that watches and recovers), as spelled under `ha_cluster/ha_nodes/`.
    HaNodeName,
    "HA node name"
);

/// How often a host was reset: votes of another epoch never count, and each epoch has at most one
/// incident. Raised by `nova-ha reset` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One failure epoch of one host: `HOST@EPOCH`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentId {
    host: HostName,
    epoch: Epoch,
}

impl IncidentId {
    /// The incident of this host in this epoch.
    pub fn new(host: HostName, epoch: Epoch) -> Self {
        Self { host, epoch }
    }

    /// The host that died.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// The epoch in which it died.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.host, self.epoch))
    }
}

impl FromStr for IncidentId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::IncidentId { text: text.to_owned() };
        let (host, epoch) = text.rsplit_once('@').ok_or_else(bad)?;
        // `+7` and `07` would parse as numbers and name the same incident twice.
        if epoch.is_empty()
            || !epoch.bytes().all(|b| b.is_ascii_digit())
            || (epoch.len() > 1 && epoch.starts_with('0'))
        {
            return Err(bad());
        }
        Ok(Self { host: host.parse()?, epoch: Epoch(epoch.parse().map_err(|_| bad())?) })
    }
}

impl TryFrom<String> for IncidentId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_whatever_their_case_and_a_dot_at_the_end() {
        for (a, b, one) in [
            ("compute1", "COMPUTE1", true),
            ("compute1.", "compute1", true),
            ("c1.example.org.", "C1.example.org", true),
            ("compute1", "compute10", false),
            ("c1.example.org", "c1", false),
            ("compute1..", "compute1", false),
        ] {
            assert_eq!((is_one(a, b), is_one(b, a)), (one, one), "{a} {b}");
        }
    }

    #[test]
    fn names_that_could_change_a_key_or_a_command_line_are_refused() {
        for bad in ["", "a/b", "..", ".", "-rf", "a b", "a\n", "é", "a@1", &"x".repeat(254)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?} was taken for a host name");
        }
        for good in ["node1", "node1.example.org", "A_b-9", &"x".repeat(253)] {
            assert!(good.parse::<HostName>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn an_incident_id_has_one_spelling() {
        let id: IncidentId = "node1.example.org@12".parse().unwrap();
        assert_eq!((id.host().as_str(), id.epoch()), ("node1.example.org", Epoch(12)));
        assert_eq!(id.to_string(), "node1.example.org@12");
        for bad in [
            "node1",
            "node1@",
            "node1@01",
            "node1@+1",
            "node1@-1",
            "node1@x",
            "@1",
            "node1@99999999999999999999",
        ] {
            assert!(bad.parse::<IncidentId>().is_err(), "{bad:?} was taken for an incident id");
        }
    }
}
