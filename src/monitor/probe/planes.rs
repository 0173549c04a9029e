//! Looking: the login and the TCP checks, all at once.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;

use super::args::{Machine, Settings};
use super::decide::{Finding, Findings};
use crate::chain::chain;
use crate::local::{self, Local};
use crate::secret::SecretRef;
use crate::ssh::{self, Answer, Credential, Login, Outcome, PinnedKey, Target, Unknown};
use crate::tree::machine::SshAccess;
use crate::tree::observer::PlaneAnswer;

/// Asks every plane, each within `deadline`.
pub async fn look(settings: &Settings, access: &SshAccess, deadline: Duration) -> Findings {
    let address = settings
        .address
        .clone()
        .or_else(|| access.address.clone())
        .unwrap_or_else(|| settings.machine.name().to_owned());
    let mut asked = JoinSet::new();
    let address_of_key = address.clone();
    let (plane, place) = (settings.plane.clone(), format!("{address}:{}", access.port));
    match way(settings, access, &address) {
        Ok(Way::KeyExchange(pins)) => {
            let (machine, port) = (settings.machine.clone(), access.port);
            asked.spawn(async move {
                let outcome =
                    by_key(ssh::answers_with_pinned_key(&address_of_key, port, &pins, deadline).await);
                (plane, with_next(&machine, &outcome, finding(&place, outcome.clone())))
            });
        }
        Ok(Way::Login(login)) => {
            let machine = settings.machine.clone();
            asked.spawn(async move {
                let outcome = ssh::log_in(login, deadline).await;
                (plane, with_next(&machine, &outcome, finding(&place, outcome.clone())))
            });
        }
        Err(why) => {
            asked.spawn(async move { (plane, Finding { answer: PlaneAnswer::CannotTell, why }) });
        }
    }
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
    findings
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
        Unknown::OtherHostKey => Some("--ssh-host-key-file FILE"),
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
}

/// A host is logged in to, because one that hangs answers a key exchange for a long time. An HA node whose key is bound is
/// not: whoever has one HA node's secrets must not be on the others.
fn way(settings: &Settings, access: &SshAccess, address: &str) -> Result<Way, String> {
    match &settings.machine {
        Machine::Peer(_) if !access.host_keys.is_empty() => Ok(Way::KeyExchange(pins(settings, access)?)),
        Machine::Peer(_) | Machine::Host(_) => login(settings, access, address).map(Way::Login),
    }
}

fn pins(settings: &Settings, access: &SshAccess) -> Result<Vec<PinnedKey>, String> {
    let field = settings.machine.keys().ssh_field("host_key");
    PinnedKey::parse_all(&access.host_keys).map_err(|error| format!("{field}: {error}"))
}

/// What the answer to a key exchange says of a machine.
fn by_key(answer: Answer) -> Outcome {
    match answer {
        Answer::Yes => Outcome::Alive,
        Answer::OtherKey | Answer::NotPinned => Outcome::CannotTell(Unknown::OtherHostKey),
        Answer::No(failure) => Outcome::Failed(failure),
        Answer::CannotTell(why) => Outcome::CannotTell(why),
    }
}

/// What to log in with. Everything missing here is ours, so nothing is known about the machine.
fn login(settings: &Settings, access: &SshAccess, address: &str) -> Result<Login, String> {
    let keys = settings.machine.keys();
    let pins = pins(settings, access)?;
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
