//! The real `fence_kdump_send` of fence-agents, as a crash kernel runs it, against the port that listens.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use nova_ha::kdump::{Port, PortError, Tally};

/// Where the package fence-agents has it.
const SENDER: &str = "/usr/libexec/fence-agents/fence_kdump_send";

/// One that nobody listens on just now.
fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

/// Sends this many announcements, a second apart.
fn send(port: u16, family: &str, to: &str, count: u32) {
    let sent = Command::new(SENDER)
        .args(["-p", &port.to_string(), "-f", family, "-c", &count.to_string(), "-i", "1", to])
        .status()
        .expect("fence_kdump_send: apt-get install fence-agents");
    assert!(sent.success(), "{sent}");
}

fn until(port: &Port, what: impl Fn(&Tally) -> bool) -> Tally {
    let began = Instant::now();
    let mut tally = Tally::default();
    while !what(&tally) {
        assert!(began.elapsed() < Duration::from_secs(10), "{tally:?}");
        std::thread::sleep(Duration::from_millis(20));
        tally += port.heard();
    }
    tally
}

#[tokio::test]
async fn the_real_sender_is_heard_over_ipv4_and_ipv6() {
    for (family, address) in [("ipv4", "127.0.0.1"), ("ipv6", "::1")] {
        let number = free_port();
        let port = Port::open(&[address.to_owned()], number).await.unwrap();
        assert_eq!(port.heard(), Tally::default());
        send(number, family, address, 3);
        let heard = until(&port, |tally| tally.own >= 3);
        assert_eq!(heard, Tally { own: 3, ..Tally::default() }, "{family}");
    }
}

#[tokio::test]
async fn the_real_sender_of_another_machine_is_ignored_and_counted() {
    let number = free_port();
    // What is sent to 127.0.0.1 comes from there; the host is another one.
    let port = Port::open(&["127.0.0.2".to_owned()], number).await.unwrap();
    send(number, "ipv4", "127.0.0.1", 2);
    let heard = until(&port, |tally| tally.foreign >= 2);
    assert_eq!(heard, Tally { foreign: 2, ..Tally::default() });
}

#[tokio::test]
async fn what_the_host_sends_beside_it_is_no_announcement() {
    let number = free_port();
    let port = Port::open(&["127.0.0.1".to_owned()], number).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in [&b""[..], b"hello", b"\x40\x2a\x30\x1b\x01\0\0\0 and more", &[0; 60_000]] {
        socket.send_to(datagram, ("127.0.0.1", number)).unwrap();
    }
    let heard = until(&port, |tally| tally.other >= 4);
    assert_eq!(heard, Tally { other: 4, ..Tally::default() });
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_an_error_that_names_it() {
    let number = free_port();
    let names = ["127.0.0.1".to_owned()];
    let first = Port::open(&names, number).await.unwrap();
    let refused = Port::open(&names, number).await.unwrap_err();
    assert!(matches!(refused, PortError::Bind { port, .. } if port == number), "{refused}");
    assert!(refused.to_string().contains(&number.to_string()), "{refused}");
    // It is free again with who had it.
    drop(first);
    Port::open(&names, number).await.unwrap();
}

/// A flood takes no longer to look at than its bound.
#[tokio::test]
async fn a_flood_never_makes_an_endless_look() {
    let number = free_port();
    let port = Port::open(&["127.0.0.1".to_owned()], number).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
    for _ in 0..20_000 {
        let _full = socket.send_to(b"x", ("127.0.0.1", number));
    }
    let began = Instant::now();
    assert!(port.heard().foreign <= 4096);
    assert!(began.elapsed() < Duration::from_secs(2));
}
