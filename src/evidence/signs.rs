//! What says that a host lives, looked at for a person who says that it is off, or shall be.
//!
//! Votes, the agent's `serfHealth`, and who answers at its address. Each sign has a kind, so that a second
//! word can name what it stands against ([`Sign`]). Silence is no sign of anything.

use std::collections::BTreeSet;

use super::EvidenceError;
use super::look::{About, look};
use super::pins::Pins;
use super::witness::Witness;
use crate::judge::guard::guards;
use crate::judge::scene::Subject;
use crate::judge::{Verdict, judge};
use crate::keys;
use crate::names::HostName;
use crate::ssh::{Answer, Reach};
use crate::store::SerfHealth;
use crate::tree::Snapshot;
use crate::tree::machine::SshAccess;
use crate::tree::sign::Sign;

/// A sign of life, and what was seen, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignSeen {
    /// Of which kind.
    pub sign: Sign,
    /// In words: *its Consul agent answers (serfHealth passing)*.
    pub text: String,
}

impl SignSeen {
    fn new(sign: Sign, text: impl Into<String>) -> Self {
        Self { sign, text: text.into() }
    }
}

/// Several, for people.
pub fn text(signs: &[SignSeen]) -> String {
    signs.iter().map(|seen| seen.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// Those whose kind a person did not name.
pub fn beside(signs: Vec<SignSeen>, named: &BTreeSet<Sign>) -> Vec<SignSeen> {
    signs.into_iter().filter(|seen| !named.contains(&seen.sign)).collect()
}

/// What the votes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signs {
    /// All signs of life.
    pub signs: Vec<SignSeen>,
    /// Why the votes do not say *dead*, if they do not.
    pub not_dead: Option<String>,
}

/// Looks for signs that a host lives: at its address, its agent, and what its observers say.
///
/// # Errors
/// Nobody can look: Consul does not answer, or a key of the host cannot be understood.
pub async fn look_for_life(
    witness: &Witness<'_>,
    reach: &dyn Reach,
    host: &HostName,
) -> Result<Signs, EvidenceError> {
    let mut seen = look(witness, About::Hosts(vec![host.clone()]), false).await?;
    if let Some(error) = seen.unreadable.remove(host) {
        return Err(error);
    }
    let (mut signs, mut not_dead) = (Vec::new(), None);
    if let Some(subject) = seen.scene.subjects.get(host) {
        signs.extend(agent(subject));
        match judge(&seen.scene, host.as_str(), subject, &guards(&seen.scene).doubtful) {
            Verdict::Dead(_) => {}
            Verdict::Alive(why) => {
                signs.push(SignSeen::new(Sign::Observers, format!("observers see it answer ({why})")));
            }
            Verdict::CannotTell(why) => not_dead = Some(why.text()),
        }
    }
    signs.extend(at_its_address(witness, reach, host).await?);
    Ok(Signs { signs, not_dead })
}

/// Its agent's sign.
pub fn agent(subject: &Subject) -> Option<SignSeen> {
    let passes = subject.has_agent && subject.serf == Some(SerfHealth::Passing);
    passes.then(|| SignSeen::new(Sign::Agent, "its Consul agent answers (serfHealth passing)"))
}

/// The sign of whoever answers at its address.
async fn at_its_address(
    witness: &Witness<'_>,
    reach: &dyn Reach,
    host: &HostName,
) -> Result<Option<SignSeen>, EvidenceError> {
    let keys = keys::host(host);
    let tree = |source| EvidenceError::Tree { source };
    let prefixes = [keys::META.to_owned(), keys.ssh_field("address"), keys.ssh_field("port")];
    let of_keys = [keys.ssh_field("host_key"), keys.runtime_config(), keys.observers()];
    let prefixes = prefixes.into_iter().chain(of_keys);
    let snapshot = Snapshot::read(witness.store, "how the host is reached", &prefixes.collect::<Vec<_>>())
        .await
        .map_err(tree)?;
    let ssh = SshAccess::of(&snapshot, &keys).map_err(tree)?;
    let pins = Pins::of(&snapshot, &keys, &ssh).map_err(tree)?;
    let address = ssh.address.clone().unwrap_or_else(|| host.to_string());
    Ok(of_answer(&pins.who_answers(reach, &address, ssh.port).await))
}

/// The sign that an answer at its address is.
pub fn of_answer(answer: &Answer) -> Option<SignSeen> {
    match answer {
        Answer::Yes => Some(SignSeen::new(Sign::OwnKey, "it answers with its own SSH host key")),
        Answer::NotPinned => Some(SignSeen::new(
            Sign::UnknownKey,
            "an SSH server answers at its address, and no host key of it is pinned",
        )),
        somebody if somebody.is_of_somebody() => Some(SignSeen::new(
            Sign::Address,
            format!("its address takes connections or refuses them ({})", somebody.text()),
        )),
        // Another machine, nobody, or nothing known.
        Answer::OtherKey | Answer::No(_) | Answer::CannotTell(_) => None,
    }
}
