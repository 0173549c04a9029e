//! The terms of a power-off: its numbers, what allows a command, and what a device said last.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::fence::FenceError;
use crate::policy::Policy;

/// The numbers of a power-off.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Consecutive reads of *off* that prove it; two at least.
    pub reads: u32,
    /// Pause between two of them.
    pub pause: Duration,
    /// Wall clock for a level that has no deadline of its own.
    pub level_deadline: Duration,
    /// Wall clock for one power-off command. Below the lock-delay: once the lease is lost, another
    /// may hold it that much later.
    pub attempt: Duration,
    /// How long after a command a machine that is still on gets another: BMCs lose commands. Above
    /// the time that healthy ones take (sushy-emulator: up to 11 s; they may get a second one, which
    /// is harmless).
    pub again_after: Duration,
}

impl Settings {
    /// The policy's numbers.
    pub fn of(policy: &Policy) -> Self {
        Self {
            reads: policy.off_reads,
            pause: policy.off_read_pause,
            level_deadline: policy.fence_deadline,
            attempt: (policy.lock_delay * 3 / 4).clamp(Duration::from_secs(1), Duration::from_secs(20)),
            again_after: Duration::from_secs(10),
        }
    }
}

/// What allows a power-off command, asked right before each. A level may go on for a minute with a device that does not
/// answer; what was true when it began is not enough for a command that is sent at its end.
#[async_trait(?Send)]
pub trait Permission {
    /// Whether the next command may be sent, now. In a recovery that is asked of Consul: the clock of an HA node whose
    /// virtual machine was paused does not know of it.
    ///
    /// # Errors
    /// It may not, and nothing further may be done.
    async fn check(&self) -> Result<(), LeaseLost>;
}

/// The permission is gone: another may be acting already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permission to power off is gone: {why}")]
pub struct LeaseLost {
    /// What happened to it.
    pub why: String,
}

/// What a level read last.
#[derive(Debug)]
pub enum Why {
    /// The machine is on.
    StillOn,
    /// The answer was neither on nor off.
    Unknown {
        /// The device's words.
        said: String,
    },
    /// Off, but not often enough in a row before the deadline.
    Unsteady {
        /// Consecutive reads of *off*.
        seen: u32,
    },
    /// No answer.
    NoAnswer {
        /// The last error.
        error: FenceError,
    },
    /// Proved by this level, while another still says *on*: one of the two is another machine's.
    Contradicted {
        /// The device that says *on*.
        by: String,
    },
}

/// The outcome, unless the time is up first; then what was going on is dropped, which kills a tool.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = clock.sleep(limit) => None,
    }
}

impl Why {
    /// Whether a person may say that the device is without power: it was asked, and nobody answered.
    pub(super) fn may_be_without_power(&self) -> bool {
        match self {
            Self::NoAnswer { error } => error.may_be_without_power(),
            Self::StillOn | Self::Unknown { .. } | Self::Unsteady { .. } | Self::Contradicted { .. } => false,
        }
    }
}
