//! Strategy `md`: the dead host's own arrays, on disks that this HA node sees too (docs/storage-md.md).
//!
//! [`wanted`] is what a takeover is to have here, [`members`] whether enough of an array is here, `as_left`
//! whether its host wrote while it was off, [`decide`] what follows from one look: all of them pure. [`check`] looks
//! and decides, [`take`] does what follows and looks again until all of it is here, [`give_back`] is the way back.
//!
//! What it must never do: write to a member while the host that had it is not proved off; take an array that is
//! not the published one, or that another HA node has; mount over what is not its own.

mod as_left;
pub mod check;
pub mod decide;
#[cfg(test)]
pub(crate) mod example;
pub mod give_back;
pub mod members;
mod reserve;
pub mod take;
pub mod wanted;
pub mod whose;
