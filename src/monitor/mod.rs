//! The half that asks: is the host dead? Consul and SSH only; it can power nothing off.
//!
//! [`probe`] looks at one machine and leaves evidence, [`mark`] judges and opens incidents. Neither
//! imports the recovery half, the fence drivers or the Nova client. [`leaderless`] is what both remember of a Consul without a
//! leader, [`readers`] what the probe may write.

pub mod leaderless;
pub mod mark;
pub mod probe;
pub mod readers;
