//! The half that asks: is the host dead? Consul and SSH only; it can power nothing off.
//!
//! [`probe`] looks at one machine and leaves evidence, [`mark`] judges and opens incidents. Neither
//! imports the recovery half, the fence drivers or the Nova client.

pub mod mark;
pub mod probe;
