//! Why a fence device did not do what it was asked.

use std::time::Duration;

use super::Identity;
use super::certificate::Pin;
use crate::program::ProgramError;
use crate::say::short;

/// Why a fence device did not do what it was asked. `device` is [`describe`]: no secrets in it, nor
/// in what the device said.
///
/// [`describe`]: super::PowerSwitch::describe
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The tool that talks to the device did not run.
    #[error("{device}: cannot run its tool to {doing}")]
    Tool {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The cause.
        source: ProgramError,
    },
    /// No session. A dead BMC and a wrong password answer alike (ipmitool prints the same line),
    /// so which of the two it is cannot be said.
    #[error(
        "{device}: no session to {doing}; the BMC is dead or unreachable, or the user, password or cipher suite is wrong (IPMI answers alike): {said}"
    )]
    NoSession {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The tool's words.
        said: String,
    },
    /// No connection, or it broke before an answer.
    #[error("{device}: no connection to {doing}")]
    Unreachable {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The cause; its address is removed, as it may carry a user.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Whoever answered has another key than the one that is pinned; nothing was sent to it.
    #[error(
        "{device}: it shows another certificate than the pinned one, and was not asked to {doing}: pinned {pinned}, shown {shown}; \
         if its certificate was renewed: nova-ha host add NAME --replace --bmc-pin {shown}"
    )]
    OtherCertificate {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// By which key it is known.
        pinned: Box<Pin>,
        /// Whose key was shown.
        shown: Box<Pin>,
    },
    /// It stated that it is another machine's than it did first; nothing was sent to it.
    #[error("{device}: it stated {first} first, and {now} now: it was not told to switch off")]
    OtherMachine {
        /// The device.
        device: String,
        /// What it stated first.
        first: Box<Identity>,
        /// What it states now.
        now: Box<Identity>,
    },
    /// It sends whoever asks somewhere else, where a password is not taken to.
    #[error(
        "{device}: asked to {doing}, it points elsewhere (HTTP {status}): {to}; only a slash at the end is followed, and only to read"
    )]
    Elsewhere {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The status.
        status: u16,
        /// Where to.
        to: String,
    },
    /// It has no TLS in common with us.
    #[error(
        "{device}: it is too old for our TLS (1.2 or 1.3, with a key exchange by ECDHE): {why}; it was not asked to {doing}"
    )]
    OldTls {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// What the handshake failed of.
        why: String,
    },
    /// The deadline passed; the effect may have happened.
    #[error("{device}: no answer within {deadline:?} to {doing}")]
    Deadline {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The deadline that passed.
        deadline: Duration,
    },
    /// The account is not accepted, or may not do this.
    #[error("{device}: not permitted to {doing}: {said}")]
    Denied {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The device's words.
        said: String,
    },
    /// The device answered with an error.
    #[error("{device}: failed to {doing}: {said}")]
    Failed {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// The device's words, or how its tool ended.
        said: String,
    },
    /// The answer is not what its protocol says.
    #[error("{device}: the answer to {doing} cannot be understood: {}", short(why))]
    Malformed {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The configuration of the device cannot be used.
    #[error("{device}: {why}")]
    Settings {
        /// The device.
        device: String,
        /// What is wrong with it.
        why: String,
    },
}

impl FenceError {
    /// Whether the same call may succeed a moment later. A missing session may be a wrong password,
    /// and may be a BMC that is busy: it is worth retrying.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoSession { .. } | Self::Unreachable { .. } | Self::Deadline { .. } => true,
            Self::Failed { .. } | Self::Malformed { .. } => true,
            Self::Tool { .. } | Self::Denied { .. } | Self::Settings { .. } => false,
            Self::OtherCertificate { .. } | Self::OtherMachine { .. } => false,
            Self::Elsewhere { .. } | Self::OldTls { .. } => false,
        }
    }

    /// Whether a power-off that ended so may have happened all the same.
    pub fn effect_may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Deadline { .. } => true,
            Self::Failed { .. } | Self::Malformed { .. } => true,
            Self::Tool { source, .. } => matches!(source, ProgramError::Wait { .. }),
            Self::NoSession { .. } | Self::Denied { .. } | Self::Settings { .. } => false,
            Self::OtherCertificate { .. } | Self::OtherMachine { .. } => false,
            Self::Elsewhere { .. } | Self::OldTls { .. } => false,
        }
    }

    /// The operator's next command; `change` is what changes how the machine is reached.
    pub fn next(&self, change: &str) -> String {
        match self {
            Self::Tool { source, .. } => {
                format!("on this HA node: install or mend what talks to it ({source})")
            }
            Self::NoSession { .. } => format!(
                "does it answer at all? ping it, and look at its user, password and cipher suite: {change} --bmc-user NAME \
                 --bmc-password-file FILE"
            ),
            Self::Unreachable { .. } | Self::Deadline { .. } => format!(
                "it is silent: look at it, its cable and its network; if it is somewhere else now: {change} --bmc-ip ADDRESS"
            ),
            Self::OtherCertificate { .. } | Self::OtherMachine { .. } => {
                format!("whose BMC is it? {change} --bmc-ip ADDRESS")
            }
            Self::Elsewhere { .. } => format!(
                "if that is where it is, name it: {change} --fence-file FILE   (\"url\" and \"system\": docs/bmc.md)"
            ),
            Self::OldTls { .. } => {
                format!(
                    "newer firmware; or by IPMI: {change} --bmc-driver ipmi   (docs/bmc.md, \"BMCs that are too old\")"
                )
            }
            Self::Denied { .. } => {
                format!("its account: {change} --bmc-user NAME --bmc-password-file FILE   (docs/bmc.md)")
            }
            Self::Failed { .. } | Self::Malformed { .. } | Self::Settings { .. } => {
                format!("{change} --fence-file FILE   (docs/bmc.md)")
            }
        }
    }
}
