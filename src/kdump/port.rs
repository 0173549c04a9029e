//! The port on which announcements are heard, of both address families, for one machine.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};

use super::message;

/// A name server that does not answer must not hold up a fence.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// Datagrams taken at one look, of each family: a flood costs messages of the host, which shortens the
/// wait, and never an endless look.
const MOST_AT_ONCE: usize = 4096;

/// What was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Announcements from an address of the machine.
    pub own: u64,
    /// Whatever came from any other address.
    pub foreign: u64,
    /// What came from the machine and announces nothing.
    pub other: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.own = self.own.saturating_add(more.own);
        self.foreign = self.foreign.saturating_add(more.foreign);
        self.other = self.other.saturating_add(more.other);
    }
}

/// Why nothing can be heard.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Whose announcements would count is not known.
    #[error("no address of {names} is known: {why}")]
    NoAddress {
        /// What was looked up.
        names: String,
        /// What the resolver said.
        why: String,
    },
    /// Something else listens there, or it is not allowed.
    #[error("UDP port {port} cannot be listened on: {why}")]
    Bind {
        /// Which.
        port: u16,
        /// For each family.
        why: String,
    },
}

/// Open sockets, and whose words count.
#[derive(Debug)]
pub struct Port {
    sockets: Vec<UdpSocket>,
    own: BTreeSet<IpAddr>,
}

impl Port {
    /// Listens from now on for announcements from any address of these names. One family that cannot be
    /// listened on is said in the log and leaves the other.
    ///
    /// # Errors
    /// None of the names has an address, or no family can be listened on.
    pub async fn open(names: &[String], port: u16) -> Result<Self, PortError> {
        let own = resolved(names).await?;
        let mut refused = Vec::new();
        let mut sockets = Vec::new();
        for (family, opened) in [("IPv4", listen_v4(port)), ("IPv6", listen_v6(port))] {
            match opened {
                Ok(socket) => sockets.push(socket),
                Err(error) => {
                    tracing::info!(port, family, %error, "crash dumps are not heard over this family");
                    refused.push(format!("{family}: {error}"));
                }
            }
        }
        match sockets.is_empty() {
            true => Err(PortError::Bind { port, why: refused.join("; ") }),
            false => Ok(Self { sockets, own }),
        }
    }

    /// What came since the last look. Does not wait.
    pub fn heard(&self) -> Tally {
        let mut tally = Tally::default();
        // One byte more than a message: a longer datagram is not taken for one.
        let mut buffer = [0; message::BYTES + 1];
        for socket in &self.sockets {
            for _ in 0..MOST_AT_ONCE {
                let (length, from) = match socket.recv_from(&mut buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    // Nothing more is there; or the socket is broken, and then nothing is heard.
                    Err(_) => break,
                };
                tally += self.judged(buffer.get(..length).unwrap_or_default(), from.ip());
            }
        }
        tally
    }

    fn judged(&self, datagram: &[u8], from: IpAddr) -> Tally {
        match (self.own.contains(&from.to_canonical()), message::is_announcement(datagram)) {
            (true, true) => Tally { own: 1, ..Tally::default() },
            (true, false) => Tally { other: 1, ..Tally::default() },
            (false, _) => Tally { foreign: 1, ..Tally::default() },
        }
    }
}

async fn resolved(names: &[String]) -> Result<BTreeSet<IpAddr>, PortError> {
    let mut found = BTreeSet::new();
    let mut refused = Vec::new();
    let look = async {
        for name in names {
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(addresses) => found.extend(addresses.map(|address| address.ip().to_canonical())),
                Err(error) => refused.push(format!("{name}: {error}")),
            }
        }
    };
    if tokio::time::timeout(RESOLVE_DEADLINE, look).await.is_err() {
        refused.push(format!("no answer within {}s", RESOLVE_DEADLINE.as_secs()));
    }
    match found.is_empty() {
        true => Err(PortError::NoAddress { names: names.join(", "), why: refused.join("; ") }),
        false => Ok(found),
    }
}

fn listen_v4(port: u16) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// IPv6 alone: with mapped addresses in it, the port would be taken for IPv4 already.
fn listen_v6(port: u16) -> std::io::Result<UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    Ok(UdpSocket::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"\x40\x2a\x30\x1b\x01\0\0\0";

    fn port(own: &[&str]) -> Port {
        Port { sockets: Vec::new(), own: own.iter().map(|a| a.parse().unwrap()).collect() }
    }

    #[test]
    fn only_the_machines_own_addresses_announce_its_dump() {
        let port = port(&["10.0.0.1", "fd00::1"]);
        let of = |from: &str, datagram| port.judged(datagram, from.parse().unwrap());
        for own in ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"] {
            assert_eq!(of(own, MESSAGE), Tally { own: 1, ..Tally::default() }, "{own}");
            assert_eq!(of(own, b"hello"), Tally { other: 1, ..Tally::default() }, "{own}");
        }
        for foreign in ["10.0.0.10", "10.0.0.2", "fd00::2", "::1", "127.0.0.1"] {
            assert_eq!(of(foreign, MESSAGE), Tally { foreign: 1, ..Tally::default() }, "{foreign}");
        }
    }

    #[tokio::test]
    async fn a_machine_without_an_address_is_an_error_that_names_it() {
        let error = Port::open(&["no-such-machine.invalid".into()], 0).await.unwrap_err();
        assert!(error.to_string().contains("no-such-machine.invalid"), "{error}");
    }
}
