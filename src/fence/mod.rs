//! Fencing: power a machine off, and prove it.
//!
//! The one promise: nothing here calls a machine off that was not read as exactly *off*, several
//! times in a row, by one device, just now. A result code is a hint, *unknown* is not off, and a
//! device which says OK and leaves the machine on is found out. Never `cycle` (it answers before
//! the power is gone), never a soft power-off (a hung system ignores it), never power on.
//!
//! Start at [`off`] (the order of things), then [`proof`] (what a proof is and who can make one).
//! [`channel`] tells the devices whose word is their own from those in whose place anyone can answer;
//! [`silence`] is what the word of the latter needs beside it.
//! [`config`] reads `config/fence`, [`levels`] is what comes of it; [`ipmi`], [`redfish`] and
//! [`agent`] talk to devices through [`switch::PowerSwitch`]; [`crate::identity`] finds a BMC that
//! belongs to another machine.
//!
//! Only the recovery half and the operator's commands may import this module: an executable of the
//! monitor half must be unable to power anything off.

pub mod agent;
pub mod certificate;
pub mod channel;
pub mod config;
pub mod device_off;
mod distrust;
pub mod error;
mod fields;
pub mod ipmi;
mod kinds;
mod level_config;
pub mod levels;
pub mod machine;
pub mod mark;
pub mod next;
mod no_session;
mod not_here;
pub mod off;
pub mod pins;
mod presence;
pub mod proof;
pub mod redfish;
mod said;
mod shipped;
pub mod silence;
pub mod spot;
pub mod switch;
pub mod weakness;

pub use channel::{Channel, Gap};
pub use config::{ConfigError, FenceConfig};
pub use device_off::{DeviceOff, DeviceWord, DeviceWords};
pub use distrust::Distrust;
pub use error::FenceError;

pub use crate::identity::{Identity, Unclear, Verdict};
pub use levels::{Device, FenceLevels, Level};
pub use machine::Machine;
pub use mark::{Confirmed, Mark};
pub use next::Next;
pub use no_session::NoSession;
pub use off::{Changed, LeaseLost, NotOff, Permission, power_off, prove_off};
pub use proof::{ConfirmOff, Hearsay, PoweredOff, SaidOff};
pub use silence::Silence;
pub use spot::{OneOf, Spot};
pub use switch::{PowerState, PowerSwitch, Privilege, Seen};
