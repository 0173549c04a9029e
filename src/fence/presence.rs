//! Whether anything speaks IPMI at an address, asked without a session.
//!
//! ipmitool says the same of a dead BMC and of one that refuses the password. A BMC answers *Get Channel Authentication
//! Capabilities* (IPMI 2.0, 22.13) to anyone, since that is how a client begins; a dead one answers nothing.
//!
//! What is found here is for people's eyes and chooses words only: whoever is at the address may say it.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::UdpSocket;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It speaks IPMI.
    Answers,
    /// The machine at the address takes nothing at this port.
    Closed,
    /// Nothing.
    Silent,
}

/// RMCP, IPMI 1.5 without a session, and the command, for the present channel and an administrator, with both checksums.
const ASK: [u8; 23] = [
    0x06, 0x00, 0xff, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x20, 0x18, 0xc8,
    0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5,
];

/// RMCP of class IPMI, whatever follows.
const HEAD: [u8; 4] = [0x06, 0x00, 0xff, 0x07];

/// Datagrams get lost, and a BMC is no fast machine.
const TIMES: u32 = 3;
const EACH: Duration = Duration::from_millis(700);

/// Asks. An address that cannot be looked up or reached is silent.
pub(super) async fn presence(address: &str, port: u16) -> Presence {
    ask(address, port).await.unwrap_or_else(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Presence::Closed,
        _ => Presence::Silent,
    })
}

async fn ask(address: &str, port: u16) -> std::io::Result<Presence> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let looked_up = tokio::time::timeout(EACH, tokio::net::lookup_host((bare, port))).await;
    let Some(to) = looked_up.map_err(std::io::Error::other)??.next() else { return Ok(Presence::Silent) };
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from).await?;
    // Connected, so that the kernel reports a closed port, and passes on nobody else's answer.
    socket.connect(to).await?;
    let mut answer = [0_u8; 64];
    for _ in 0..TIMES {
        socket.send(&ASK).await?;
        if let Ok(length) = tokio::time::timeout(EACH, socket.recv(&mut answer)).await
            && answer.get(..length?).is_some_and(|answer| answer.starts_with(&HEAD))
        {
            return Ok(Presence::Answers);
        }
    }
    Ok(Presence::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port where this is answered to whatever comes; nothing where it is empty.
    async fn at(answer: &'static [u8]) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut asked = [0_u8; 64];
            while let Ok((length, from)) = socket.recv_from(&mut asked).await {
                assert_eq!(asked[..length], ASK);
                if !answer.is_empty() {
                    socket.send_to(answer, from).await.unwrap();
                }
            }
        });
        port
    }

    #[tokio::test]
    async fn who_answers_is_told_from_who_is_silent_and_from_a_closed_port() {
        let answers = at(&[0x06, 0x00, 0xff, 0x07, 0x00]).await;
        assert_eq!(presence("127.0.0.1", answers).await, Presence::Answers);
        assert_eq!(presence("127.0.0.1", at(&[]).await).await, Presence::Silent);
        assert_eq!(presence("127.0.0.1", at(b"HTTP/1.1 400").await).await, Presence::Silent);
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert_eq!(presence("127.0.0.1", closed).await, Presence::Closed);
        assert_eq!(presence("no such name", 623).await, Presence::Silent);
    }
}
