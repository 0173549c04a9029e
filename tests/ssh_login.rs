//! Logins against a real sshd, and against servers that no machine should be taken for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic too"
)]

mod support {
    pub(crate) mod sshd;
}

use std::io::Write;
use std::time::{Duration, Instant};

use nova_ha::ssh::{
    Answer, Credential, Failure, Login, Outcome, PinnedKey, Stage, Target, Unknown, answers_with_pinned_key,
    log_in, port_answers,
};
use secrecy::SecretString;
use support::sshd::{Sshd, closed_port, make_key, server};

const DEADLINE: Duration = Duration::from_secs(10);

fn pins(keys: &[&str]) -> Vec<PinnedKey> {
    PinnedKey::parse_all(keys).unwrap()
}

fn login(sshd: &Sshd, keys: &[&str]) -> Login {
    Login {
        target: Target { address: "127.0.0.1".into(), port: sshd.port, pins: pins(keys) },
        user: sshd.user.clone(),
        credential: Credential::PrivateKey(SecretString::from(sshd.private_key.clone())),
        command: None,
    }
}

fn with_password(sshd: &Sshd, keys: &[&str]) -> Login {
    let credential = Credential::Password(SecretString::from("correct horse battery".to_owned()));
    Login { credential, ..login(sshd, keys) }
}

fn at(port: u16) -> Login {
    Login {
        target: Target { address: "127.0.0.1".into(), port, pins: Vec::new() },
        user: "nobody".into(),
        credential: Credential::Password(SecretString::from("x".to_owned())),
        command: None,
    }
}

fn another_key(kind: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    make_key(&folder.path().join("other"), kind)
}

#[tokio::test]
async fn a_machine_with_its_pinned_key_is_alive() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let sshd = Sshd::start(kind);
        let outcome = log_in(login(&sshd, &[&another_key("ed25519"), &sshd.host_key]), DEADLINE).await;
        assert_eq!(outcome, Outcome::Alive, "{kind}: {}", sshd.log());
        assert_eq!(log_in(login(&sshd, &[]), DEADLINE).await, Outcome::Alive, "{kind}, not pinned");
    }
}

#[tokio::test]
async fn a_wrong_password_is_cannot_tell() {
    let sshd = Sshd::start("ed25519");
    let outcome = log_in(with_password(&sshd, &[&sshd.host_key]), DEADLINE).await;
    assert_eq!(outcome, Outcome::CannotTell(Unknown::Rejected { user: sshd.user.clone() }), "{}", sshd.log());
    assert!(sshd.log().contains("userauth-request"), "the log shows logins: {}", sshd.log());
    let unknown_key = std::fs::read_to_string({
        let folder = tempfile::tempdir().unwrap().keep();
        make_key(&folder.join("k"), "ed25519");
        folder.join("k")
    })
    .unwrap();
    let credential = Credential::PrivateKey(SecretString::from(unknown_key));
    let outcome = log_in(Login { credential, ..login(&sshd, &[&sshd.host_key]) }, DEADLINE).await;
    assert!(matches!(outcome, Outcome::CannotTell(Unknown::Rejected { .. })), "{outcome:?}");
    let credential = Credential::PrivateKey(SecretString::from("no key at all".to_owned()));
    let outcome = log_in(Login { credential, ..login(&sshd, &[&sshd.host_key]) }, DEADLINE).await;
    assert_eq!(outcome, Outcome::CannotTell(Unknown::BadKey));
}

#[tokio::test]
async fn a_password_never_reaches_a_machine_with_another_key() {
    let sshd = Sshd::start("ed25519");
    let outcome = log_in(with_password(&sshd, &[&another_key("ed25519")]), DEADLINE).await;
    assert_eq!(outcome, Outcome::CannotTell(Unknown::OtherHostKey));
    let outcome = log_in(with_password(&sshd, &[&another_key("ecdsa")]), DEADLINE).await;
    assert_eq!(outcome, Outcome::CannotTell(Unknown::NothingInCommon), "pinned key of another type");
    let log = sshd.log();
    assert!(!log.contains("userauth-request") && !log.contains("Failed password"), "{log}");
}

#[tokio::test]
async fn a_command_must_exit_zero() {
    let sshd = Sshd::start("ed25519");
    let run = |command: &str| log_in(Login { command: Some(command.into()), ..login(&sshd, &[]) }, DEADLINE);
    assert_eq!(run("true").await, Outcome::Alive);
    assert_eq!(run("exit 3").await, Outcome::Failed(Failure::CommandFailed { status: 3 }));
    assert!(matches!(run("kill -9 $$").await, Outcome::Failed(Failure::CommandKilled { .. })));
    let missing = run("/nonexistent/program").await;
    assert!(matches!(missing, Outcome::CannotTell(Unknown::NoCommand { .. })), "{missing:?}");
    // More than a window of output on both streams.
    assert_eq!(run("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2").await, Outcome::Alive);
    let began = Instant::now();
    let hung = Login { command: Some("sleep 30".into()), ..login(&sshd, &[]) };
    let outcome = log_in(hung, Duration::from_secs(2)).await;
    let expected = Failure::TimedOut { stage: Stage::Command, after: Duration::from_secs(2) };
    assert_eq!(outcome, Outcome::Failed(expected));
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_port_and_an_early_close_are_failures() {
    assert_eq!(log_in(at(closed_port()), DEADLINE).await, Outcome::Failed(Failure::Refused));
    assert_eq!(port_answers("127.0.0.1", closed_port(), DEADLINE).await, Outcome::Failed(Failure::Refused));
    let closing = server(drop);
    assert_eq!(port_answers("127.0.0.1", closing, DEADLINE).await, Outcome::Alive);
    let outcome = log_in(at(closing), DEADLINE).await;
    assert_eq!(outcome, Outcome::Failed(Failure::Closed { stage: Stage::Handshake }));
    let after_banner = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let outcome = log_in(at(after_banner), DEADLINE).await;
    assert_eq!(outcome, Outcome::Failed(Failure::Closed { stage: Stage::Handshake }));
}

#[tokio::test]
async fn hung_and_dripping_servers_end_at_the_deadline() {
    let hung = server(|stream| {
        std::thread::spawn(move || (std::thread::sleep(Duration::from_secs(30)), drop(stream)));
    });
    let drip = |bytes: &'static [u8]| {
        server(move |mut stream| {
            std::thread::spawn(move || {
                for byte in bytes.iter().cycle() {
                    if stream.write_all(&[*byte]).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        })
    };
    let after = Duration::from_millis(1500);
    for port in [hung, drip(b"SSH-2.0-x"), drip(b"hello\r\n")] {
        let began = Instant::now();
        let outcome = log_in(at(port), after).await;
        assert_eq!(outcome, Outcome::Failed(Failure::TimedOut { stage: Stage::Handshake, after }));
        assert!(began.elapsed() < after + Duration::from_millis(300), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_name_that_we_cannot_look_up_says_nothing_about_the_machine() {
    let mut nowhere = at(22);
    nowhere.target.address = "no-such-name.invalid".into();
    let outcome = log_in(nowhere, DEADLINE).await;
    assert!(matches!(outcome, Outcome::CannotTell(Unknown::Unresolved { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_machine_answers_with_its_own_key_or_not_at_all() {
    let sshd = Sshd::start("ed25519");
    let ask = |port: u16, keys: Vec<PinnedKey>| async move {
        answers_with_pinned_key("127.0.0.1", port, &keys, DEADLINE).await
    };
    assert_eq!(ask(sshd.port, pins(&[&sshd.host_key])).await, Answer::Yes);
    assert_eq!(ask(sshd.port, pins(&[&another_key("ed25519")])).await, Answer::OtherKey);
    let key = pins(&[&sshd.host_key]);
    assert_eq!(ask(closed_port(), key).await, Answer::No(Failure::Refused));
    assert!(!sshd.log().contains("userauth-request"), "{}", sshd.log());
}

#[tokio::test]
async fn without_a_pinned_key_whoever_takes_or_refuses_the_connection_is_there() {
    let sshd = Sshd::start("ed25519");
    let ask = |port: u16| async move {
        answers_with_pinned_key("127.0.0.1", port, &[], Duration::from_secs(2)).await
    };
    let shaken = ask(sshd.port).await;
    assert_eq!(shaken, Answer::NotPinned, "{}", sshd.log());
    assert!(!sshd.log().contains("userauth-request"), "a credential was sent: {}", sshd.log());
    let hung = server(|stream| {
        std::thread::spawn(move || (std::thread::sleep(Duration::from_secs(30)), drop(stream)));
    });
    let refused = ask(closed_port()).await;
    assert_eq!(refused, Answer::No(Failure::Refused));
    for somebody in [shaken, refused, ask(hung).await, ask(server(drop)).await] {
        assert!(somebody.is_of_somebody(), "{somebody:?}");
    }
}
