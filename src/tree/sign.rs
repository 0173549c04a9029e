//! What may say that a machine lives, as the records of people's words name it.

use serde::{Deserialize, Serialize};

/// One kind of sign that a host lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// It answers with its own SSH host key.
    OwnKey,
    /// An SSH server answers at its address, and none of its host keys is pinned.
    UnknownKey,
    /// Whoever has its address takes connections or refuses them.
    Address,
    /// Its Consul agent answers: `serfHealth` passes.
    Agent,
    /// The observers see it answer, or too few of them see it fail.
    Observers,
}
