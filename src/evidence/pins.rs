//! The SSH host keys that a machine is known by, ready to be compared.

use crate::chain::chain;
use crate::keys::MachineKeys;
use crate::ssh::{Answer, PinnedKey, Reach};
use crate::tree::host_keys::HostKeys;
use crate::tree::machine::SshAccess;
use crate::tree::published::Published;
use crate::tree::seen_keys::SeenKeys;
use crate::tree::{Snapshot, TreeError};

/// The keys of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    known: Vec<PinnedKey>,
    first_seen: Vec<PinnedKey>,
}

impl Pins {
    /// An operator's; or else those that it published, and those that HA nodes saw first. What of its own word cannot be
    /// understood is no key: without one nobody says of an answer whose it is. `snapshot` has its `config/ssh/`,
    /// `internal/runtime_config` and `internal/observers/`.
    ///
    /// # Errors
    /// A key that an operator bound cannot be understood.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys, ssh: &SshAccess) -> Result<Self, TreeError> {
        let known = match HostKeys::of(ssh, &Published::of(snapshot, keys)) {
            HostKeys::Bound(lines) => {
                let known = PinnedKey::parse_all(&lines).map_err(|why| TreeError::Malformed {
                    key: keys.ssh_field("host_key"),
                    why: chain(&why),
                })?;
                return Ok(Self { known, first_seen: Vec::new() });
            }
            HostKeys::Published(lines) => PinnedKey::parse_known(&lines),
            HostKeys::Unknown => Vec::new(),
        };
        let seen = SeenKeys::of(snapshot, keys);
        let seen: Vec<&str> = seen.all().map(|(key, _)| key).collect();
        Ok(Self { known, first_seen: PinnedKey::parse_known(&seen) })
    }

    /// Those by which the machine is told from every other one.
    pub fn known(&self) -> &[PinnedKey] {
        &self.known
    }

    /// Who answers at an address, for a look before something that must not happen to a machine that lives.
    ///
    /// A key that HA nodes only saw counts in one direction: whoever has it is the machine, and lives. Another key at its
    /// address says nothing: one HA node's first sight may have been somebody else, or the machine was installed anew, and to
    /// take it for another machine would let a living host be shot, or its guests be started twice. Nor may an HA node
    /// whose record is forged have more power than to hold a recovery up.
    pub async fn who_answers(&self, reach: &dyn Reach, address: &str, port: u16) -> Answer {
        let all = [self.known.as_slice(), self.first_seen.as_slice()].concat();
        match reach.answers(address, port, &all).await {
            Answer::OtherKey if self.known.is_empty() && !self.first_seen.is_empty() => Answer::NotPinned,
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// A machine at whose address one key answers.
    struct Shows(PinnedKey);

    #[async_trait]
    impl Reach for Shows {
        async fn answers(&self, _: &str, _: u16, pins: &[PinnedKey]) -> Answer {
            match pins {
                [] => Answer::NotPinned,
                pins if pins.contains(&self.0) => Answer::Yes,
                _ => Answer::OtherKey,
            }
        }
    }

    #[tokio::test]
    async fn a_key_that_was_only_seen_says_that_the_host_lives_and_never_that_it_is_another_machine() {
        let key = |letter: char| {
            let base64 =
                format!("AAAAC3NzaC1lZDI1NTE5AAAAI{letter}BUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ");
            PinnedKey::parse(&format!("ssh-ed25519 {base64}")).unwrap()
        };
        let (own, other) = (key('F'), key('G'));
        let pins = |known: &[&PinnedKey], seen: &[&PinnedKey]| Pins {
            known: known.iter().copied().cloned().collect(),
            first_seen: seen.iter().copied().cloned().collect(),
        };
        for (known, seen, expected) in [
            (&[][..], &[][..], Answer::NotPinned),
            (&[], &[&own], Answer::Yes),
            (&[], &[&other, &own], Answer::Yes),
            (&[], &[&other], Answer::NotPinned),
            (&[&own], &[], Answer::Yes),
            (&[&other], &[], Answer::OtherKey),
            (&[&other], &[&own], Answer::Yes),
        ] {
            let answer = pins(known, seen).who_answers(&Shows(own.clone()), "compute1", 22).await;
            assert_eq!(answer, expected, "known {known:?}, seen {seen:?}");
        }
    }
}
