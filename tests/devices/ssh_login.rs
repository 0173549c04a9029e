//! Logins against a real sshd, and against servers that no machine should be taken for.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::sshd::{Sshd, closed_port, make_key, server};
use nova_ha::ssh::{
    Answer, Credential, Failure, Login, Outcome, PinnedKey, Stage, Target, Unknown, answers_with_pinned_key,
    log_in, log_in_and_see, port_answers,
};
use secrecy::SecretString;

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
        let seen = log_in_and_see(login(&sshd, &[]), DEADLINE).await;
        assert_eq!(
            seen,
            (Outcome::Alive, pins(&[&sshd.host_key]).pop()),
            "{kind}, not pinned: its key is seen"
        );
    }
}

#[tokio::test]
async fn the_key_of_who_does_not_let_us_in_is_not_seen() {
    let sshd = Sshd::start("ed25519");
    let (outcome, seen) = log_in_and_see(with_password(&sshd, &[]), DEADLINE).await;
    assert!(
        matches!(outcome, Outcome::CannotTell(Unknown::Rejected { .. })) && seen.is_none(),
        "{outcome:?}"
    );
    let failing = Login { command: Some("false".into()), ..login(&sshd, &[]) };
    assert_eq!(log_in_and_see(failing, DEADLINE).await.1, None);
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
    let shown = Some(pins(&[&sshd.host_key])[0].fingerprint());
    assert_eq!(outcome, Outcome::CannotTell(Unknown::OtherHostKey { shown }));
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

/// What an sshd says that takes no more logins at once; after the words it hangs up.
#[tokio::test]
async fn an_sshd_that_refuses_in_words_lives() {
    let sshd = Sshd::start_with("ed25519", "MaxStartups 1:100:1");
    // The one that it may have: it waits for a login that never comes.
    let mut held = std::net::TcpStream::connect(("127.0.0.1", sshd.port)).unwrap();
    std::io::Read::read_exact(&mut held, &mut [0_u8; 8]).unwrap();
    let refuses = |words: &str| Unknown::RefusesInWords { words: words.to_owned() };
    let outcome = log_in(login(&sshd, &[&sshd.host_key]), DEADLINE).await;
    assert_eq!(outcome, Outcome::CannotTell(refuses("Exceeded MaxStartups")), "{}", sshd.log());
    let answer = answers_with_pinned_key("127.0.0.1", sshd.port, &pins(&[&sshd.host_key]), DEADLINE).await;
    assert!(answer.is_of_somebody(), "{answer:?}");
    drop(held);

    let mut disconnect = b"SSH-2.0-dropbear_2024.86\r\n".to_vec();
    disconnect.extend([0, 0, 0, 32, 4, 1, 0, 0, 0, 12, 0, 0, 0, 14]);
    disconnect.extend(b"Too many users\0\0\0\0\0\0\0\0");
    let banner_first = b"Welcome to c1.\r\nSSH-2.0-OpenSSH_9.8\r\n".to_vec();
    let long = "Not allowed at this time. ".repeat(100);
    let known = [
        (&b"Not allowed at this time\r\n"[..], Some("Not allowed at this time")),
        (
            b"System is booting up. Unprivileged users are not permitted to log in yet.",
            Some("System is booting up. Un"),
        ),
        (b"\x1b[31mNo\x1b[0m more\r\n", Some("[31mNo [0m more")),
        (long.as_bytes(), Some("Not allowed at this time. Not")),
        (&disconnect, Some("Too many users")),
        // A banner, with or without a line before it, and then nothing: as a machine that dies.
        (&banner_first, None),
        (b"SSH-2.0-OpenSSH_9.8\r\n", None),
        (b"", None),
    ];
    for (said, words) in known {
        let bytes = said.to_vec();
        let port = server(move |mut stream| {
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            std::thread::sleep(Duration::from_millis(50));
        });
        let (outcome, answer) = (
            log_in(at(port), DEADLINE).await,
            answers_with_pinned_key("127.0.0.1", port, &pins(&[&sshd.host_key]), DEADLINE).await,
        );
        match (words, &outcome) {
            (Some(words), Outcome::CannotTell(Unknown::RefusesInWords { words: heard })) => {
                assert!(heard.starts_with(words) && heard.chars().count() < 310, "{heard}");
                assert!(!heard.chars().any(char::is_control), "{heard:?}");
            }
            (None, Outcome::Failed(Failure::Closed { stage: Stage::Handshake })) => {}
            other => panic!("{other:?}"),
        }
        assert!(answer.is_of_somebody(), "{answer:?}");
    }
}

/// sshd reads a `Banner` of up to 1 MiB, and shows it in the middle of a login.
#[tokio::test]
async fn a_long_banner_is_no_fault_of_ours() {
    for (size, is_read) in [(30_000, true), (60_000, false), (200_000, false)] {
        let folder = tempfile::tempdir().unwrap();
        let banner = folder.path().join("banner");
        std::fs::write(&banner, "All that you do here is written down. ".repeat(size / 38)).unwrap();
        let sshd = Sshd::start_with("ed25519", &format!("Banner {}", banner.display()));
        let by_key = log_in(login(&sshd, &[&sshd.host_key]), DEADLINE).await;
        let by_password = log_in(with_password(&sshd, &[&sshd.host_key]), DEADLINE).await;
        let long = Outcome::CannotTell(Unknown::LongBanner);
        let rejected = Outcome::CannotTell(Unknown::Rejected { user: sshd.user.clone() });
        assert_eq!(by_key, if is_read { Outcome::Alive } else { long.clone() }, "{size}: {}", sshd.log());
        assert_eq!(by_password, if is_read { rejected } else { long }, "{size}: {}", sshd.log());
    }
}

/// A line of whatever length before the banner is for people, and passed over.
#[tokio::test]
async fn lines_before_the_banner_are_passed_over() {
    let sshd = Sshd::start("ed25519");
    for length in [100, 9_000, 50_000] {
        let behind = sshd.port;
        let port = server(move |mut client| {
            let mut sshd = std::net::TcpStream::connect(("127.0.0.1", behind)).unwrap();
            let _ = client.write_all(format!("{}\r\n", "Welcome. ".repeat(length / 9)).as_bytes());
            let (mut to, mut from) = (sshd.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut sshd, &mut client));
        });
        let mut login = login(&sshd, &[&sshd.host_key]);
        login.target.port = port;
        assert_eq!(log_in(login, DEADLINE).await, Outcome::Alive, "{length}");
    }
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
    // As a machine whose banner was the last that it could say, with or without a line before it.
    let after_banner = server(|mut stream| {
        let _ = stream.write_all(b"Welcome to c1.\r\nSSH-2.0-OpenSSH_9.8\r\n");
        std::thread::spawn(move || (std::thread::sleep(Duration::from_secs(30)), drop(stream)));
    });
    for port in [hung, drip(b"SSH-2.0-x"), after_banner] {
        let began = Instant::now();
        let outcome = log_in(at(port), after).await;
        assert_eq!(outcome, Outcome::Failed(Failure::TimedOut { stage: Stage::Handshake, after }));
        assert!(began.elapsed() < after + Duration::from_millis(300), "{:?}", began.elapsed());
    }
    // A tarpit, and a service that greets and waits, are programs of a machine that lives.
    let greets = server(|mut stream| {
        let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n");
        std::thread::spawn(move || (std::thread::sleep(Duration::from_secs(30)), drop(stream)));
    });
    for (port, said) in [(drip(b"x9 f\r\n"), "x9"), (greets, "220 mail")] {
        let began = Instant::now();
        match log_in(at(port), after).await {
            Outcome::CannotTell(Unknown::RefusesInWords { words }) => {
                assert!(words.starts_with(said), "{words}")
            }
            other => panic!("{said}: {other:?}"),
        }
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
