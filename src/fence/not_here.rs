//! A fence level that this machine's root does not allow: it stands in its place among the others, and answers nothing.

use async_trait::async_trait;

use super::{Channel, FenceError, Identity, PowerState, PowerSwitch, Privilege};

/// See the module.
pub(super) struct NotHere {
    /// Why, with the next command.
    pub(super) why: String,
}

impl NotHere {
    fn error(&self) -> FenceError {
        FenceError::Settings { device: self.describe(), why: self.why.clone() }
    }
}

#[async_trait]
impl PowerSwitch for NotHere {
    async fn read(&self) -> Result<PowerState, FenceError> {
        Err(self.error())
    }

    async fn switch_off(&self) -> Result<(), FenceError> {
        Err(self.error())
    }

    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        Err(self.error())
    }

    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        Ok(Privilege::Denied(self.why.clone()))
    }

    /// It says nothing that a proof could be made of.
    fn channel(&self) -> Channel {
        Channel::Agent
    }

    fn describe(&self) -> String {
        "a level that is not used here".to_owned()
    }
}
