//! Why a fence device did not do what it was asked.

use std::time::Duration;

use super::certificate::Pin;
use super::{Distrust, Identity, Next, NoSession};
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
    /// No session. ipmitool may print the same line for a dead BMC and for a wrong password: then the BMC was asked without a
    /// session whether it is there.
    #[error("{device}: no session to {doing}: {cause}: {said}")]
    NoSession {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// Why, as far as it is known.
        cause: NoSession,
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
    /// Its certificate is none that this machine believes; nothing was sent to it.
    #[error("{device}: {distrust}, and it was not asked to {doing}")]
    Untrusted {
        /// The device.
        device: String,
        /// What was being attempted.
        doing: &'static str,
        /// What is wrong with the certificate.
        distrust: Distrust,
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
            Self::Elsewhere { .. } | Self::OldTls { .. } | Self::Untrusted { .. } => false,
        }
    }

    /// Whether the device may be without power: nobody answered. One that refuses, shows a certificate or says something that
    /// is not understood has power, and of one that was not asked nothing is known.
    pub fn may_be_without_power(&self) -> bool {
        match self {
            Self::NoSession { cause, .. } => *cause == NoSession::Silent,
            // An agent's own words do not tell a silent device from one that refuses.
            Self::Unreachable { .. } | Self::Deadline { .. } | Self::Failed { .. } => true,
            Self::Tool { .. } | Self::Denied { .. } | Self::Settings { .. } | Self::Malformed { .. } => false,
            Self::OtherCertificate { .. } | Self::OtherMachine { .. } => false,
            Self::Elsewhere { .. } | Self::OldTls { .. } | Self::Untrusted { .. } => false,
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
            Self::Elsewhere { .. } | Self::OldTls { .. } | Self::Untrusted { .. } => false,
        }
    }

    /// The operator's next command; `change` is what changes how the machine is reached, `by_hand` how a person asks the device,
    /// where there is a way.
    pub fn next(&self, change: &str, by_hand: Option<&str>) -> Next {
        let asked = |then: String| match by_hand {
            Some(by_hand) => Next::Look(format!("{by_hand}; {then}")),
            None => Next::Look(then),
        };
        match self {
            Self::Tool { source, .. } => {
                Next::Look(format!("on this HA node: install or mend what talks to it ({source})"))
            }
            Self::NoSession { cause, .. } => match cause.option() {
                Some(option) => Next::Setting(format!("{change} {option}")),
                None => asked(cause.look(change)),
            },
            Self::Unreachable { .. } | Self::Deadline { .. } => asked(NoSession::Silent.look(change)),
            Self::OtherCertificate { shown, .. } => Next::Setting(format!(
                "whose BMC is it? {change} --bmc-ip ADDRESS; if its certificate was renewed: {change} --bmc-pin {shown}"
            )),
            Self::OtherMachine { .. } => Next::Look(format!("whose BMC is it? {change} --bmc-ip ADDRESS")),
            Self::Elsewhere { .. } => Next::Setting(format!(
                "if that is where it is, name it: {change} --fence-file FILE   (\"url\" and \"system\": docs/bmc.md)"
            )),
            Self::Untrusted { distrust, .. } => Next::Setting(distrust.next(change)),
            Self::OldTls { .. } => Next::Look(format!(
                "newer firmware; or by IPMI: {change} --bmc-driver ipmi   (docs/bmc.md, \"BMCs that are too old\")"
            )),
            Self::Denied { .. } => Next::Setting(format!(
                "its account: {change} --bmc-user NAME --bmc-password-file FILE   (docs/bmc.md)"
            )),
            Self::Settings { .. } => Next::Setting(format!("{change} --fence-file FILE   (docs/bmc.md)")),
            Self::Failed { .. } | Self::Malformed { .. } => {
                asked(format!("{change} --fence-file FILE   (docs/bmc.md)"))
            }
        }
    }
}
