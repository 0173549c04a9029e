//! Looking: the login and the TCP checks, all at once.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;

use super::args::{Machine, Settings};
use super::decide::{Finding, Findings};
use super::own_pin::{NoTrust, Trust};
use crate::chain::chain;
use crate::local::{self, Local};
use crate::secret::SecretRef;
use crate::ssh::{self, Answer, Credential, Fingerprint, Login, Outcome, PinnedKey, Target, Unknown};
use crate::tree::machine::SshAccess;
use crate::tree::observer::PlaneAnswer;

/// What was seen.
pub(super) struct Looked {
    /// Of each plane.
    pub(super) findings: Findings,
    /// What became of the login, or of the key exchange in its place.
    pub(super) let_in: LetIn,
}

/// Whether a machine let us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LetIn {
    /// It did, with this host key, where that is one that can be pinned.
    Yes(Option<PinnedKey>),
    /// It did not, or nobody tried.
    No,
}

/// Asks every plane, each within `deadline`.
pub(super) async fn look(
    settings: &Settings,
    access: &SshAccess,
    trust: &Result<Trust, NoTrust>,
    deadline: Duration,
) -> Looked {
    let address = settings
        .address
        .clone()
        .or_else(|| access.address.clone())
        .unwrap_or_else(|| settings.machine.name().to_owned());
    let mut asked = JoinSet::new();
    // Told by the one task that asks at the door.
    let (tell, told) = std::sync::mpsc::channel();
    let door = Door {
        machine: settings.machine.clone(),
        address: address.clone(),
        port: access.port,
        first_seen: trust.as_ref().ok().and_then(Trust::first_seen).map(PinnedKey::fingerprint),
        deadline,
    };
    let (plane, way) = (settings.plane.clone(), way(settings, access, trust, &address));
    asked.spawn(async move {
        let found = match way {
            Ok(way) => {
                let (finding, let_in) = door.ask(way).await;
                let _listens_to_the_end = tell.send(let_in);
                finding
            }
            Err(why) => Finding { answer: PlaneAnswer::CannotTell, why },
        };
        (plane, found)
    });
    for check in settings.tcp.iter().cloned() {
        let address = check.address.unwrap_or_else(|| address.clone());
        asked.spawn(async move {
            let outcome = ssh::port_answers(&address, check.port, deadline).await;
            (check.plane, finding(&format!("{address}:{}", check.port), outcome))
        });
    }
    let mut findings = Findings::new();
    while let Some(answer) = asked.join_next().await {
        // A task that panicked has no answer: its plane must not look healthy.
        let (plane, found) = answer.unwrap_or_else(|error| {
            (settings.plane.clone(), Finding { answer: PlaneAnswer::CannotTell, why: error.to_string() })
        });
        let worst = match findings.remove(&plane) {
            Some(present) if badness(present.answer) >= badness(found.answer) => present,
            Some(_) | None => found,
        };
        findings.insert(plane, worst);
    }
    Looked { findings, let_in: told.try_recv().unwrap_or(LetIn::No) }
}

/// Checks that share a plane: the worst answer counts.
fn badness(answer: PlaneAnswer) -> u8 {
    match answer {
        PlaneAnswer::Healthy => 0,
        PlaneAnswer::CannotTell => 1,
        PlaneAnswer::Failed => 2,
    }
}

fn finding(place: &str, outcome: Outcome) -> Finding {
    let (answer, why) = match outcome {
        Outcome::Alive => (PlaneAnswer::Healthy, String::new()),
        Outcome::Failed(why) => (PlaneAnswer::Failed, format!("{place} {why}")),
        Outcome::CannotTell(why) => (PlaneAnswer::CannotTell, format!("{place} {why}")),
    };
    Finding { answer, why }
}

/// A login that finds out nothing is for a person to mend: its words end with the command.
fn with_next(machine: &Machine, outcome: &Outcome, found: Finding) -> Finding {
    match outcome {
        Outcome::Alive | Outcome::Failed(_) => found,
        Outcome::CannotTell(unknown) => match option_for(unknown) {
            Some(option) => {
                Finding { why: format!("{}; {}", found.why, machine.command_to_set(option)), ..found }
            }
            None => found,
        },
    }
}

/// The option that is wrong or missing, where it is one.
fn option_for(unknown: &Unknown) -> Option<&'static str> {
    match unknown {
        Unknown::Unresolved { .. } => Some("--ssh-address ADDRESS"),
        Unknown::OtherHostKey { .. } => Some("--ssh-host-key-file FILE"),
        Unknown::Rejected { .. } | Unknown::HungUp { .. } => {
            Some("--ssh-user NAME --ssh-private-key-file FILE")
        }
        Unknown::BadKey => Some("--ssh-private-key-file FILE"),
        // Its sshd and its load are to be looked at, nothing of ours.
        Unknown::NothingInCommon
        | Unknown::RefusesInWords { .. }
        | Unknown::LongBanner
        | Unknown::NoCommand { .. }
        | Unknown::NotUnderstood { .. }
        | Unknown::Own { .. } => None,
    }
}

/// How a machine is asked.
enum Way {
    /// For its own host key, which an operator bound: no account and no secret.
    KeyExchange(Vec<PinnedKey>),
    /// By a login.
    Login(Login),
    /// Only whether anybody is there: why nobody is logged in to.
    Doubted(String),
}

/// Where a machine is asked.
struct Door {
    machine: Machine,
    address: String,
    port: u16,
    /// The key that this HA node saw first, where it is logged in to by that.
    first_seen: Option<Fingerprint>,
    deadline: Duration,
}

impl Door {
    async fn ask(&self, way: Way) -> (Finding, LetIn) {
        let place = format!("{}:{}", self.address, self.port);
        let exchange = |pins: Vec<PinnedKey>| async move {
            ssh::answers_with_pinned_key(&self.address, self.port, &pins, self.deadline).await
        };
        let (outcome, key) = match way {
            Way::KeyExchange(pins) => (by_key(exchange(pins).await), None),
            Way::Login(login) => ssh::log_in_and_see(login, self.deadline).await,
            Way::Doubted(why) => {
                let found = match exchange(Vec::new()).await {
                    // Nobody is there, whoever it would be.
                    Answer::No(failure) => finding(&place, Outcome::Failed(failure)),
                    Answer::Yes | Answer::OtherKey | Answer::NotPinned | Answer::CannotTell(_) => {
                        Finding { answer: PlaneAnswer::CannotTell, why: format!("{place} {why}") }
                    }
                };
                return (found, LetIn::No);
            }
        };
        let found = match (&outcome, &self.first_seen) {
            (Outcome::CannotTell(Unknown::OtherHostKey { shown: Some(shown) }), Some(first)) => {
                let host = self.machine.name();
                tracing::warn!(host, %shown, %first, "it shows another SSH host key than was first seen here");
                let why = format!(
                    "{place} shows SSH host key {shown:#}, not {first:#} as first seen here; no password was sent"
                );
                Finding { answer: PlaneAnswer::CannotTell, why }
            }
            _ => finding(&place, outcome.clone()),
        };
        let let_in = if outcome == Outcome::Alive { LetIn::Yes(key) } else { LetIn::No };
        (with_next(&self.machine, &outcome, found), let_in)
    }
}

/// A host is logged in to, because one that hangs answers a key exchange for a long time. An HA node whose key is bound is
/// not: whoever has one HA node's secrets must not be on the others.
fn way(
    settings: &Settings,
    access: &SshAccess,
    trust: &Result<Trust, NoTrust>,
    address: &str,
) -> Result<Way, String> {
    let trust = match trust {
        Ok(trust) => trust,
        Err(NoTrust::BadSetting(why)) => return Err(why.clone()),
        Err(NoTrust::Doubt(why)) => return Ok(Way::Doubted(why.clone())),
    };
    match (&settings.machine, trust) {
        (Machine::Peer(_), Trust::Bound(keys) | Trust::Published(keys)) => Ok(Way::KeyExchange(keys.clone())),
        (Machine::Peer(_), Trust::FirstSeen(_) | Trust::Nobodys | Trust::Unkept(_))
        | (Machine::Host(_), _) => login(settings, access, trust.pins(), address).map(Way::Login),
    }
}

/// What the answer to a key exchange says of a machine.
fn by_key(answer: Answer) -> Outcome {
    match answer {
        Answer::Yes => Outcome::Alive,
        Answer::OtherKey | Answer::NotPinned => Outcome::CannotTell(Unknown::OtherHostKey { shown: None }),
        Answer::No(failure) => Outcome::Failed(failure),
        Answer::CannotTell(why) => Outcome::CannotTell(why),
    }
}

/// What to log in with. Everything missing here is ours, so nothing is known about the machine.
fn login(
    settings: &Settings,
    access: &SshAccess,
    pins: Vec<PinnedKey>,
    address: &str,
) -> Result<Login, String> {
    let keys = settings.machine.keys();
    let set = |option| settings.machine.command_to_set(option);
    let user = access
        .user
        .clone()
        .ok_or_else(|| format!("{} is missing; {}", keys.ssh_field("user"), set("--ssh-user NAME")))?;
    // Only a reference asks for it; a plain secret costs no look at a file.
    let local = || Local::read(&local::file());
    let resolve = |field: &str, stored: &str| {
        SecretRef::parse(stored).and_then(|reference| reference.resolve(&local())).map_err(|error| {
            let key = keys.ssh_field(field);
            let all = chain(&error);
            tracing::error!(key, error = all, "the secret cannot be had");
            // The check's line has room for little.
            let why = match error.refused() {
                Some(refused) => refused.in_short().to_owned(),
                None => error.to_string(),
            };
            format!("{key}: {why}")
        })
    };
    let credential = match (&access.private_key, &access.password) {
        (Some(stored), _) => {
            // Reading a key of the tree trims it, and a PEM text ends with a line end.
            let key = resolve("private_key", stored)?;
            Credential::PrivateKey(SecretString::from(format!("{}\n", key.expose_secret().trim_end())))
        }
        (None, Some(stored)) => Credential::Password(resolve("password", stored)?),
        (None, None) => {
            let next = set("--ssh-private-key-file FILE");
            return Err(format!("no password or private_key in {}; {next}", keys.ssh()));
        }
    };
    let target = Target { address: address.to_owned(), port: access.port, pins };
    Ok(Login { target, user, credential, command: settings.command.clone() })
}
