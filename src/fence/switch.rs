//! The seam to a device that can cut a machine's power.

use std::time::Duration;

use async_trait::async_trait;

use super::{Channel, FenceError, Identity, Mark};

/// What a device says about the power. Three-valued: only an exact *off* is [`PowerState::Off`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerState {
    /// Exactly *on*.
    On,
    /// Exactly *off*.
    Off,
    /// An answer that is neither, in the device's words (one line, cut).
    Unknown(String),
}

/// One look at the power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The power now.
    pub power: PowerState,
    /// Which machine the very same answer says that it is about; nothing where it does not say.
    pub identity: Option<Identity>,
}

/// Whether the account may switch off. Reading proves nothing: an IPMI account of USER privilege
/// reads the power and cannot switch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privilege {
    /// The device says so.
    Allowed,
    /// The device says no; why.
    Denied(String),
    /// The device cannot be asked without trying; why.
    CannotTell(String),
}

/// One device that can cut one machine's power. Every call ends within a deadline of its own.
#[async_trait]
pub trait PowerSwitch: Send + Sync {
    /// The power now. An error is *no answer*; an answer that is neither on nor off is
    /// [`PowerState::Unknown`].
    async fn read(&self) -> Result<PowerState, FenceError>;

    /// The power now, with what the same answer says of whose it is.
    async fn look(&self) -> Result<Seen, FenceError> {
        Ok(Seen { power: self.read().await?, identity: None })
    }

    /// Cuts the power, hard, at once. What it answers is a hint: some devices say OK and do
    /// nothing, some refuse because the machine is off already, some do it and lose the answer.
    async fn switch_off(&self) -> Result<(), FenceError>;

    /// Which machine the device says it is; `None` where it has no way to say.
    async fn identity(&self) -> Result<Option<Identity>, FenceError>;

    /// The same with all that the device can be asked for: where the first answer does not tell machines apart.
    async fn identity_in_full(&self) -> Result<Option<Identity>, FenceError> {
        self.identity().await
    }

    /// What the device shows of itself, by which a person's word can be bound to it. What cannot be asked for it shows nothing.
    async fn shows(&self) -> Result<Mark, FenceError> {
        Ok(Mark::Nothing)
    }

    /// How long a command may take, where that is longer than of a power switch.
    fn command_takes(&self) -> Option<Duration> {
        None
    }

    /// Whether [`PowerSwitch::switch_off`] would be allowed, found out without doing it.
    async fn can_switch_off(&self) -> Result<Privilege, FenceError>;

    /// By which way its answers come: whether they are known to be its own.
    fn channel(&self) -> Channel;

    /// Kind, address and account for people; never a secret.
    fn describe(&self) -> String;

    /// The command by which a person asks it for the power, where there is one; never a secret.
    fn by_hand(&self) -> Option<String> {
        None
    }
}
