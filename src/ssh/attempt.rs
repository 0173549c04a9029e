//! One attempt: where to, as whom, and how much of its time is left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::host_key::PinnedKey;
use super::outcome::{Failure, Stage, Unknown};

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
    pub(super) fn new(deadline: Duration) -> Self {
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
