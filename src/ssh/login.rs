//! The asynchronous front: a thread per attempt, and the deadline outside of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::sync::oneshot;

use super::host_key::PinnedKey;
use super::outcome::{Answer, Failure, Outcome, Stage, Unknown};
use super::session;

/// Where to connect, and whose key must be there.
#[derive(Debug, Clone)]
pub struct Target {
    /// An IP address or a name.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// Keys that the machine may show. Empty: any, which is all that the original could do.
    pub pins: Vec<PinnedKey>,
}

/// What proves who we are.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A password, also for keyboard-interactive.
    Password(SecretString),
    /// A private key without a passphrase, OpenSSH or PEM text.
    PrivateKey(SecretString),
}

/// One login.
#[derive(Debug, Clone)]
pub struct Login {
    /// Where.
    pub target: Target,
    /// Account.
    pub user: String,
    /// Password or key.
    pub credential: Credential,
    /// Run after the login; must exit 0.
    pub command: Option<String>,
}

/// Why an attempt ended early; the blocking side and both fronts share it.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    Unknown(Unknown),
}

/// What the blocking side knows about its time, and tells about its progress.
#[derive(Clone)]
pub(super) struct Attempt {
    /// When the whole attempt must have ended.
    pub(super) end: Instant,
    /// What the caller asked for: the number that people see.
    pub(super) deadline: Duration,
    stage: Arc<Mutex<Stage>>,
}

impl Attempt {
    fn new(deadline: Duration) -> Self {
        // The blocking side ends a little earlier, so that its more exact reason usually wins.
        let inner = deadline.saturating_sub((deadline / 20).min(Duration::from_millis(200)));
        Self { end: Instant::now() + inner, deadline, stage: Arc::new(Mutex::new(Stage::Resolving)) }
    }

    pub(super) fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left; `Err` when nothing is.
    pub(super) fn left(&self) -> Result<Duration, Stop> {
        match self.end.saturating_duration_since(Instant::now()) {
            // libssh2 counts milliseconds, and 0 means *for ever* to it.
            left if left >= Duration::from_millis(1) => Ok(left),
            _ => Err(self.timed_out()),
        }
    }

    /// The deadline passed: the machine's silence, unless our own resolver was the slow one.
    pub(super) fn timed_out(&self) -> Stop {
        match self.stage() {
            Stage::Resolving => Stop::Unknown(Unknown::Unresolved {
                address: "the address".to_owned(),
                why: "the resolver did not answer in time".to_owned(),
            }),
            stage @ (Stage::Connecting | Stage::Handshake | Stage::Authenticating | Stage::Command) => {
                Stop::Failed(Failure::TimedOut { stage, after: self.deadline })
            }
        }
    }
}

/// Runs a blocking attempt on a thread of its own and waits until `deadline`, not longer.
async fn bounded<T, F>(deadline: Duration, work: F) -> Result<T, Stop>
where
    T: Send + 'static,
    F: FnOnce(&Attempt) -> Result<T, Stop> + Send + 'static,
{
    let attempt = Attempt::new(deadline);
    let ours = attempt.clone();
    let (tell, told) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("ssh".to_owned()).spawn(move || {
        // Nobody listens any more when the deadline has passed.
        let _late = tell.send(work(&attempt));
    });
    if let Err(error) = spawned {
        return Err(Stop::Unknown(Unknown::Own { what: format!("cannot start a thread: {error}") }));
    }
    match tokio::time::timeout(deadline, told).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Stop::Unknown(Unknown::Own { what: "the SSH thread panicked".to_owned() })),
        Err(_) => Err(ours.timed_out()),
    }
}

/// Logs in. Ends at `deadline` whatever the other side does; the password leaves this machine only
/// after the host key was found among the pinned ones (where there are any).
pub async fn log_in(login: Login, deadline: Duration) -> Outcome {
    log_in_and_see(login, deadline).await.0
}

/// As [`log_in`]; and the host key that let us in, where the whole login went well and that key can be pinned.
pub async fn log_in_and_see(login: Login, deadline: Duration) -> (Outcome, Option<PinnedKey>) {
    match bounded(deadline, move |attempt| session::log_in(&login, attempt)).await {
        Ok(shown) => (Outcome::Alive, shown),
        Err(Stop::Failed(why)) => (Outcome::Failed(why), None),
        Err(Stop::Unknown(why)) => (Outcome::CannotTell(why), None),
    }
}

/// Whether a TCP port can be connected to; [`Outcome::Alive`] says no more than that.
pub async fn port_answers(address: &str, port: u16, deadline: Duration) -> Outcome {
    let target = Target { address: address.to_owned(), port, pins: Vec::new() };
    match bounded(deadline, move |attempt| session::open(&target, attempt).map(drop)).await {
        Ok(()) => Outcome::Alive,
        Err(Stop::Failed(why)) => Outcome::Failed(why),
        Err(Stop::Unknown(why)) => Outcome::CannotTell(why),
    }
}

/// Whether the machine with one of these keys answers there: a handshake, no login. A key exchange
/// is signed with the host key, so *yes* cannot be had from a recording or a neighbour.
///
/// It connects also where no key is pinned: whoever takes the connection, or refuses it, is there.
pub async fn answers_with_pinned_key(
    address: &str,
    port: u16,
    pins: &[PinnedKey],
    deadline: Duration,
) -> Answer {
    let target = Target { address: address.to_owned(), port, pins: pins.to_vec() };
    match bounded(deadline, move |attempt| session::handshake(&target, attempt).map(drop)).await {
        Ok(()) if pins.is_empty() => Answer::NotPinned,
        Ok(()) => Answer::Yes,
        Err(Stop::Failed(why)) => Answer::No(why),
        Err(Stop::Unknown(Unknown::OtherHostKey { .. })) => Answer::OtherKey,
        Err(Stop::Unknown(why)) => Answer::CannotTell(why),
    }
}
