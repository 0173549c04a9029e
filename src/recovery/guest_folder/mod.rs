//! A guest's folder as a dead host left it: what of it nova-compute and qemu must not open here.
//!
//! Everything on a taken disk is the dead host's word, and it may have been anybody's: a `disk` that is a link, or an image
//! that names another file, makes qemu on this machine open what the host never could. nova-compute does not look, so we do,
//! before Nova is asked for the guest. What it must never do: open anything that is no regular file, follow a link, read
//! more than the beginning of a file, or believe what stands beside a disk about its format.
//!
//! Start at [`look::Instances::strange`]; [`leads`] is where a name in an image leads, [`strange`] what is said.

pub mod leads;
pub mod look;
pub mod strange;
