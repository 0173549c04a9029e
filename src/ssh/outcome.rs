//! What a login told us: alive, failed, or nothing at all.

use std::fmt;
use std::time::Duration;

use super::host_key::Fingerprint;

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Looking up the address: our resolver, not the machine.
    Resolving,
    /// The TCP connection.
    Connecting,
    /// The SSH banner and the key exchange.
    Handshake,
    /// Password or key.
    Authenticating,
    /// The command.
    Command,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolving => "name look-up",
            Stage::Connecting => "connect",
            Stage::Handshake => "SSH handshake",
            Stage::Authenticating => "login",
            Stage::Command => "command",
        })
    }
}

/// What a login found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Logged in (and the command, if any, exited 0).
    Alive,
    /// The machine did not do what a healthy one does.
    Failed(Failure),
    /// Nothing is known about the machine's health: never counted as a failure.
    CannotTell(Unknown),
}

/// Why a machine counts as failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody answered in time.
    #[error("timed out in {stage} after {}", seconds(*.after))]
    TimedOut {
        /// How far it came.
        stage: Stage,
        /// The deadline.
        after: Duration,
    },
    /// The machine's kernel (or a firewall) refuses the port.
    #[error("connection refused")]
    Refused,
    /// No way there.
    #[error("no route to host")]
    NoRoute,
    /// The connection ended before anybody was asked for a password.
    #[error("closed the connection in {stage}")]
    Closed {
        /// How far it came.
        stage: Stage,
    },
    /// The connection broke in another way.
    #[error("{what}")]
    Broken {
        /// The system's words.
        what: String,
    },
    /// The port is open, but what answers does not speak SSH.
    #[error("does not speak SSH")]
    NotSsh,
    /// The command ran and did not exit 0.
    #[error("command exited {status}")]
    CommandFailed {
        /// Its exit status.
        status: i32,
    },
    /// The command was killed.
    #[error("command was killed by SIG{signal}")]
    CommandKilled {
        /// The signal's name.
        signal: String,
    },
}

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The address means nothing to our resolver.
    #[error("cannot look up {address}: {why}")]
    Unresolved {
        /// What was looked up.
        address: String,
        /// The resolver's words.
        why: String,
    },
    /// Another key than those pinned: another machine, a reinstalled one, or an attack.
    #[error("host key is not the pinned one, no password was sent")]
    OtherHostKey {
        /// The one that it showed, where it showed any.
        shown: Option<Fingerprint>,
    },
    /// No host key type, cipher or key exchange in common: the machine answered.
    #[error("no host key type or cipher in common, no password was sent")]
    NothingInCommon,
    /// The machine answered and refused our credentials: it is alive, and we are misconfigured.
    #[error("login as {user} rejected: the machine answers, the credentials are wrong")]
    Rejected {
        /// The account.
        user: String,
    },
    /// It said something else than its banner before anybody was asked for a password: too many logins at once, a source that
    /// failed some, a machine that boots, or a tarpit, which never comes to an end. It lives, and whether it is healthy nobody
    /// was told.
    #[error("the machine answers and takes no login now; it says: {words}")]
    RefusesInWords {
        /// Its words, cut to a line.
        words: String,
    },
    /// It hung up while we logged in, as sshd does after too many wrong passwords.
    #[error("hung up during the login as {user}: the machine answers, are the credentials right?")]
    HungUp {
        /// The account.
        user: String,
    },
    /// sshd reads a `Banner` of up to 1 MiB, a message of libssh2 has 40,000 bytes at most.
    #[error(
        "the machine answers with a banner of more than 35,000 bytes, too long to log in: shorten its sshd's Banner"
    )]
    LongBanner,
    /// The private key cannot be used.
    #[error("the private key cannot be used")]
    BadKey,
    /// The machine's shell does not know the command, or the account may not run any.
    #[error("cannot run the command: {why}")]
    NoCommand {
        /// Why.
        why: String,
    },
    /// The machine answered, in a way that libssh2 has no word for.
    #[error("it answers, in a way that is not understood: {what}")]
    NotUnderstood {
        /// libssh2's words.
        what: String,
    },
    /// A fault on our side.
    #[error("own fault: {what}")]
    Own {
        /// What it was.
        what: String,
    },
}

/// Whether the machine with a pinned key answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It does: whatever says that it is off is wrong.
    Yes,
    /// Something answers there, with another key.
    OtherKey,
    /// Something answers there with a host key, and none is pinned to compare it with.
    NotPinned,
    /// Nobody does.
    No(Failure),
    /// Nothing is known.
    CannotTell(Unknown),
}

impl Answer {
    /// Whether something at this address is up, which did not say who it is: a kernel that takes a connection or
    /// refuses it, or an sshd that is too busy to come to its key in time. A machine without power does none of it.
    pub fn is_of_somebody(&self) -> bool {
        match self {
            Answer::No(failure) => match failure {
                Failure::Refused | Failure::NotSsh | Failure::Closed { .. } => true,
                Failure::TimedOut { stage, .. } => !matches!(stage, Stage::Resolving | Stage::Connecting),
                Failure::NoRoute | Failure::Broken { .. } => false,
                Failure::CommandFailed { .. } | Failure::CommandKilled { .. } => true,
            },
            Answer::CannotTell(why) => match why {
                Unknown::NothingInCommon | Unknown::NotUnderstood { .. } | Unknown::RefusesInWords { .. } => {
                    true
                }
                Unknown::Rejected { .. } | Unknown::HungUp { .. } | Unknown::NoCommand { .. } => true,
                Unknown::LongBanner => true,
                Unknown::Unresolved { .. }
                | Unknown::OtherHostKey { .. }
                | Unknown::BadKey
                | Unknown::Own { .. } => false,
            },
            Answer::NotPinned => true,
            Answer::Yes | Answer::OtherKey => false,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Answer::Yes => "its own host key".into(),
            Answer::OtherKey => "another host key".into(),
            Answer::NotPinned => "a host key, and none is pinned to compare it with".into(),
            Answer::No(failure) => failure.to_string(),
            Answer::CannotTell(why) => why.to_string(),
        }
    }
}

fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{} s", duration.as_secs()),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}
