//! Who answers at an address, as a seam: a simulated world brings its own.

use std::time::Duration;

use async_trait::async_trait;

use super::host_key::PinnedKey;
use super::login::answers_with_pinned_key;
use super::outcome::Answer;

/// Whether a machine answers with the host key that it is known by.
#[async_trait]
pub trait Reach: Send + Sync {
    /// A handshake only; no credentials are sent.
    async fn answers(&self, address: &str, port: u16, pins: &[PinnedKey]) -> Answer;
}

/// Handshakes over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct SshReach;

/// A host that is off does not answer; a link that is down takes the kernel 5 s to say so.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

#[async_trait]
impl Reach for SshReach {
    async fn answers(&self, address: &str, port: u16, pins: &[PinnedKey]) -> Answer {
        answers_with_pinned_key(address, port, pins, HANDSHAKE_DEADLINE).await
    }
}
