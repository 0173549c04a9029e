//! The steps, one file each: precheck, act, confirm.

pub mod declare_down;
pub mod dump;
pub mod evacuate;
pub mod fence;
pub mod ready_target;
pub mod retry;
pub mod shot;
pub mod take_storage;
pub mod verify;
