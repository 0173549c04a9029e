//! The SSH host key by which this HA node knows a machine of which nobody bound one and which published none: the one that
//! let it in when it first logged in, kept in its own state.
//!
//! From then on only that key is logged in to. A key that an operator binds takes its place at once. One that the machine
//! publishes later does not: the pin is what this HA node saw with its own eyes, and the other is the subject's own word,
//! which whoever has its Consul token writes. Where the two differ nothing is sent to either, and a person is asked.
//!
//! What it must never do: become a vote. A key that differs is *cannot tell*.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::args::Machine;
use crate::own_files::{self, Folder, OwnFileError};
use crate::ssh::PinnedKey;
use crate::tree::host_keys::HostKeys;

/// By which keys a machine is known to this HA node now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// By these, which an operator bound.
    Bound(Vec<PinnedKey>),
    /// By these, which it published.
    Published(Vec<PinnedKey>),
    /// By the one that this HA node saw first.
    FirstSeen(PinnedKey),
    /// By none yet: the one that lets us in is kept.
    Nobodys,
    /// By none, and none can be kept: why.
    Unkept(String),
}

impl Trust {
    /// Keys that it may show; none: any.
    pub(super) fn pins(&self) -> Vec<PinnedKey> {
        match self {
            Trust::Bound(keys) | Trust::Published(keys) => keys.clone(),
            Trust::FirstSeen(key) => vec![key.clone()],
            Trust::Nobodys | Trust::Unkept(_) => Vec::new(),
        }
    }

    /// The key that this HA node saw first, where that is what counts.
    pub(super) fn first_seen(&self) -> Option<&PinnedKey> {
        match self {
            Trust::FirstSeen(key) => Some(key),
            Trust::Bound(_) | Trust::Published(_) | Trust::Nobodys | Trust::Unkept(_) => None,
        }
    }
}

/// Why a machine is not logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoTrust {
    /// What an operator bound cannot be understood.
    BadSetting(String),
    /// What is kept here cannot be understood, or says otherwise than what the machine publishes. Whether anybody is there is
    /// looked at all the same, by a key exchange: a host must not be unwatched because of a doubt about its key.
    Doubt(String),
}

/// The version of a file.
const VERSION: u64 = 1;

/// One file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u64,
    /// `TYPE BASE64`.
    host_key: String,
    /// By the wall clock, for people.
    at: Timestamp,
}

/// What this HA node keeps.
#[derive(Debug, Clone)]
pub(super) struct OwnPins {
    root: PathBuf,
}

impl OwnPins {
    /// In this state folder, which is made when the first is kept.
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn place(machine: &Machine) -> (&'static str, &str) {
        match machine {
            Machine::Host(name) => ("first-seen", name.as_str()),
            Machine::Peer(name) => ("first-seen-peers", name.as_str()),
        }
    }

    /// By which keys a machine is known, with what the tree says of it.
    pub(super) fn trust(&self, machine: &Machine, in_the_tree: &HostKeys) -> Result<Trust, NoTrust> {
        let published = match in_the_tree {
            HostKeys::Bound(lines) => {
                let field = machine.keys().ssh_field("host_key");
                let bad = |error| NoTrust::BadSetting(format!("{field}: {error}"));
                return PinnedKey::parse_all(lines).map(Trust::Bound).map_err(bad);
            }
            HostKeys::Published(lines) => PinnedKey::parse_known(lines),
            HostKeys::Unknown => Vec::new(),
        };
        let own = match self.kept(machine) {
            Ok(own) => own,
            // As before there was such a folder; the run says so.
            Err(Unusable::Folder(error)) if published.is_empty() => {
                return Ok(Trust::Unkept(error.with_cause()));
            }
            Err(Unusable::Folder(_)) => None,
            Err(Unusable::File(why)) => return Err(NoTrust::Doubt(why)),
        };
        match (own, published.first()) {
            (None, None) => Ok(Trust::Nobodys),
            (None, Some(_)) => Ok(Trust::Published(published)),
            (Some(own), None) => Ok(Trust::FirstSeen(own)),
            (Some(own), Some(_)) if published.contains(&own) => Ok(Trust::FirstSeen(own)),
            (Some(own), Some(other)) => Err(NoTrust::Doubt(format!(
                "publishes SSH host key {:#}, not {:#} as first seen here; no password was sent; {}",
                other.fingerprint(),
                own.fingerprint(),
                machine.command_to_set("--ssh-host-key-file FILE")
            ))),
        }
    }

    fn kept(&self, machine: &Machine) -> Result<Option<PinnedKey>, Unusable> {
        let (sub, name) = Self::place(machine);
        let Some(root) = Folder::open(&self.root).map_err(Unusable::Folder)? else { return Ok(None) };
        let Some(folder) = root.within(Some(sub)).map_err(Unusable::Folder)? else { return Ok(None) };
        let unreadable = |why: &str| {
            let path = self.root.join(sub).join(name);
            Unusable::File(format!(
                "is not logged in to: the key first seen here: {why}; rm {}",
                path.display()
            ))
        };
        let bytes = match folder.read(name) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => bytes,
            Err(error) => return Err(unreadable(&error.with_cause())),
        };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error.to_string()))?;
        if kept.version != VERSION {
            return Err(unreadable("a newer nova-ha wrote it"));
        }
        PinnedKey::parse(&kept.host_key).map(Some).map_err(|error| unreadable(&error.to_string()))
    }

    /// Keeps the key that let us in. It is on the disk when this returns: after a power cut of this HA node nobody else
    /// must be the first that it sees.
    fn keep(&self, machine: &Machine, key: &PinnedKey, at: Timestamp) -> Result<(), OwnFileError> {
        let (sub, name) = Self::place(machine);
        let kept = Kept { version: VERSION, host_key: key.line(), at };
        // A record of three plain fields is always JSON.
        let text = serde_json::to_string(&kept).unwrap_or_default();
        own_files::write_whole(&self.root, &format!("{sub}/{name}"), &text)
    }

    /// Forgets what is kept of a machine.
    fn forget(&self, machine: &Machine) -> Result<(), OwnFileError> {
        let (sub, name) = Self::place(machine);
        match Folder::open(&self.root)?.map(|root| root.within(Some(sub))).transpose()?.flatten() {
            Some(folder) => folder.remove(name).map(drop),
            None => Ok(()),
        }
    }

    /// After a login that let us in: keeps the key where nobody knew one, and forgets it where an operator bound one, so
    /// that no old pin counts where that is taken away again.
    pub(super) fn after_login(
        &self,
        machine: &Machine,
        trust: Trust,
        seen: Option<PinnedKey>,
        at: Timestamp,
    ) -> Remembered {
        match (trust, seen) {
            (Trust::FirstSeen(key), _) => Remembered { first_seen: Some(key), unkept: None },
            (Trust::Nobodys, Some(key)) => match self.keep(machine, &key, at) {
                Ok(()) => Remembered { first_seen: Some(key), unkept: None },
                Err(error) => Remembered { first_seen: None, unkept: Some(error.with_cause()) },
            },
            (Trust::Nobodys, None) => Remembered {
                first_seen: None,
                unkept: Some(format!(
                    "of a type that cannot be pinned; {}",
                    machine.command_to_set("--ssh-host-key-file FILE")
                )),
            },
            (Trust::Unkept(why), _) => Remembered { first_seen: None, unkept: Some(why) },
            (Trust::Bound(_), _) => {
                if let Err(error) = self.forget(machine) {
                    tracing::debug!(%error, "an old pin is left, which counts for nothing while a key is bound");
                }
                Remembered::default()
            }
            (Trust::Published(_), _) => Remembered::default(),
        }
    }
}

enum Unusable {
    Folder(OwnFileError),
    File(String),
}

/// What a run knows of a machine by its own eye.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// The key that this HA node saw first, where it counts.
    pub(super) first_seen: Option<PinnedKey>,
    /// Why none is kept, and the command that puts it right.
    pub(super) unkept: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ";

    fn key(line: &str) -> PinnedKey {
        PinnedKey::parse(line).unwrap()
    }

    fn published(lines: &[&str]) -> HostKeys {
        HostKeys::Published(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    struct Here {
        folder: tempfile::TempDir,
        host: Machine,
    }

    impl Here {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), host: Machine::Host("compute1".parse().unwrap()) }
        }

        fn pins(&self) -> OwnPins {
            OwnPins::at(&self.folder.path().join("nova-ha"))
        }

        fn sees(&self, line: &str) -> Remembered {
            let trust = self.pins().trust(&self.host, &HostKeys::Unknown).unwrap();
            self.pins().after_login(&self.host, trust, Some(key(line)), Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn the_first_key_that_lets_us_in_is_the_only_one_until_a_person_binds_another() {
        let here = Here::new();
        assert_eq!(here.pins().trust(&here.host, &HostKeys::Unknown), Ok(Trust::Nobodys));
        let first = here.sees(ONE);
        assert_eq!((first.first_seen, first.unkept), (Some(key(ONE)), None));
        assert_eq!(here.pins().trust(&here.host, &HostKeys::Unknown), Ok(Trust::FirstSeen(key(ONE))));
        let peer = Machine::Peer("compute1".parse().unwrap());
        assert_eq!(here.pins().trust(&peer, &HostKeys::Unknown), Ok(Trust::Nobodys), "another machine");
        let bound = HostKeys::Bound(vec![OTHER.to_owned()]);
        let trust = here.pins().trust(&here.host, &bound);
        assert_eq!(trust, Ok(Trust::Bound(vec![key(OTHER)])));
        here.pins().after_login(&here.host, trust.unwrap(), Some(key(OTHER)), Timestamp::UNIX_EPOCH);
        assert_eq!(here.pins().trust(&here.host, &HostKeys::Unknown), Ok(Trust::Nobodys), "it was forgotten");
    }

    #[test]
    fn what_a_machine_publishes_does_not_take_the_place_of_what_was_seen() {
        let here = Here::new();
        let of = |lines: &[&str]| here.pins().trust(&here.host, &published(lines));
        assert_eq!(of(&[OTHER]), Ok(Trust::Published(vec![key(OTHER)])));
        here.sees(ONE);
        assert_eq!(of(&[OTHER, ONE]), Ok(Trust::FirstSeen(key(ONE))));
        assert!(matches!(of(&[OTHER]), Err(NoTrust::Doubt(_))), "{:?}", of(&[OTHER]));
        assert_eq!(of(&["garbage"]), Ok(Trust::FirstSeen(key(ONE))), "no key at all contradicts nothing");
    }

    #[test]
    fn a_pin_that_cannot_be_understood_opens_no_door() {
        let here = Here::new();
        here.sees(ONE);
        let path = here.folder.path().join("nova-ha/first-seen/compute1");
        let newer = std::fs::read_to_string(&path).unwrap().replace(r#""version":1"#, r#""version":2"#);
        for text in ["", "{", "{}", &newer] {
            std::fs::write(&path, text).unwrap();
            for known in [&HostKeys::Unknown, &published(&[ONE])] {
                let Err(NoTrust::Doubt(why)) = here.pins().trust(&here.host, known) else {
                    panic!("{text:?} is taken for a key");
                };
                assert!(why.contains("rm ") && why.contains("first-seen/compute1"), "{why}");
            }
        }
        let bound = HostKeys::Bound(vec![OTHER.to_owned()]);
        assert_eq!(here.pins().trust(&here.host, &bound), Ok(Trust::Bound(vec![key(OTHER)])));
    }

    #[test]
    fn where_nothing_can_be_kept_it_goes_on_as_before_and_is_said() {
        let here = Here::new();
        let root = here.folder.path().join("nova-ha");
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o777)).unwrap();
        let seen = here.sees(ONE);
        assert_eq!(seen.first_seen, None);
        assert!(seen.unkept.as_ref().is_some_and(|why| why.contains("chmod go-w")), "{:?}", seen.unkept);
        assert_eq!(
            here.pins().trust(&here.host, &published(&[OTHER])),
            Ok(Trust::Published(vec![key(OTHER)]))
        );
    }
}
