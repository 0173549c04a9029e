//! Whether this node reaches anything at all: asked where one observer alone decides.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use async_trait::async_trait;

use crate::judge::scene::Anchor;

/// A way to ask.
#[async_trait]
pub trait Anchors: Send + Sync {
    /// Reached as soon as one of these `address:port` answers.
    async fn reach(&self, candidates: &[String]) -> Anchor;
}

/// Wall clock for all candidates together: they are tried at once. A link that is down takes the
/// kernel 5 s to report, so the deadline is ours.
const DEADLINE: Duration = Duration::from_secs(2);

/// TCP connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpAnchors;

/// An address of this very machine proves nothing about its links.
fn is_our_own(address: &SocketAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok()
}

#[async_trait]
impl Anchors for TcpAnchors {
    async fn reach(&self, candidates: &[String]) -> Anchor {
        let mut tries = tokio::task::JoinSet::new();
        for candidate in candidates.iter().take(16).cloned() {
            tries.spawn(async move {
                let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&candidate).await.ok()?.collect();
                for address in addresses.into_iter().filter(|a| !is_our_own(a)) {
                    if tokio::net::TcpStream::connect(address).await.is_ok() {
                        return Some(candidate);
                    }
                }
                None
            });
        }
        let first = async {
            while let Some(tried) = tries.join_next().await {
                if let Ok(Some(candidate)) = tried {
                    return Some(candidate);
                }
            }
            None
        };
        match tokio::time::timeout(DEADLINE, first).await {
            Ok(Some(candidate)) => Anchor::Reached(candidate),
            Ok(None) | Err(_) if candidates.is_empty() => {
                Anchor::NotReached("none is known: set policy anchors".into())
            }
            Ok(None) | Err(_) => Anchor::NotReached(candidates.join(", ")),
        }
    }
}
