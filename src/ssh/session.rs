//! The blocking side: the only file that talks to libssh2.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use secrecy::ExposeSecret;
use ssh2::{ErrorCode, ExtendedData, KeyboardInteractivePrompt, MethodType, Prompt, Session};

use super::attempt::{Attempt, Credential, Login, Stop, Target};
use super::greeting::{BANNER, Greeting, ask_anew, words_before_banner};
use super::host_key::{self, Fingerprint, PinnedKey};
use super::outcome::{Failure, Stage, Unknown};

/// libssh2's error numbers that are told apart here (libssh2.h, `LIBSSH2_ERROR_*`).
mod code {
    pub(super) const NONE_GIVEN: i32 = -1;
    pub(super) const BANNER_RECV: i32 = -2;
    pub(super) const BANNER_SEND: i32 = -3;
    pub(super) const KEX_FAILURE: i32 = -5;
    pub(super) const SOCKET_SEND: i32 = -7;
    pub(super) const KEY_EXCHANGE_FAILURE: i32 = -8;
    pub(super) const TIMEOUT: i32 = -9;
    pub(super) const SOCKET_DISCONNECT: i32 = -13;
    pub(super) const PROTO: i32 = -14;
    pub(super) const PASSWORD_EXPIRED: i32 = -15;
    pub(super) const FILE: i32 = -16;
    pub(super) const METHOD_NONE: i32 = -17;
    pub(super) const AUTHENTICATION_FAILED: i32 = -18;
    pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(super) const CHANNEL_FAILURE: i32 = -21;
    pub(super) const CHANNEL_REQUEST_DENIED: i32 = -22;
    pub(super) const SOCKET_TIMEOUT: i32 = -30;
    pub(super) const METHOD_NOT_SUPPORTED: i32 = -33;
    pub(super) const OUT_OF_BOUNDARY: i32 = -41;
    pub(super) const SOCKET_RECV: i32 = -43;
}

/// A verified connection. The second handle on the socket tells *closed* from *misunderstood*.
pub(super) struct Shaken {
    session: Session,
    socket: TcpStream,
}

fn own(what: impl ToString) -> Stop {
    Stop::Unknown(Unknown::Own { what: what.to_string() })
}

/// A TCP connection, nothing more.
pub(super) fn open(target: &Target, attempt: &Attempt) -> Result<TcpStream, Stop> {
    attempt.enter(Stage::Resolving);
    connect(&addresses(target)?, attempt)
}

/// Connects, exchanges keys and compares the host key. Nothing secret was sent when this returns.
pub(super) fn handshake(target: &Target, attempt: &Attempt) -> Result<Shaken, Stop> {
    let stream = open(target, attempt)?;
    // Without it the small packets of a handshake wait for each other's acknowledgements (50 ms).
    stream.set_nodelay(true).map_err(own)?;
    let socket = stream.try_clone().map_err(own)?;
    let mut session = Session::new().map_err(own)?;
    if let Some(methods) = host_key::preference(&target.pins) {
        session.method_pref(MethodType::HostKey, &methods).map_err(own)?;
    }
    attempt.enter(Stage::Handshake);
    let words = words_before_banner(&socket, attempt);
    session.set_tcp_stream(stream);
    arm(&session, attempt)?;
    if let Err(error) = session.handshake() {
        // Lines that a banner followed were passed over: what went wrong then went wrong without them.
        let is_ssh = session.banner_bytes().is_some_and(|banner| banner.starts_with(BANNER));
        return Err(handshake_stopped(&error, &socket, attempt, words.filter(|_| !is_ssh)));
    }
    if !target.pins.is_empty() {
        let shown = session.host_key().map(|(wire, _kind)| wire);
        if !shown.is_some_and(|wire| target.pins.iter().any(|pin| pin.is(wire))) {
            return Err(Stop::Unknown(Unknown::OtherHostKey { shown: shown.map(Fingerprint::of) }));
        }
    }
    Ok(Shaken { session, socket })
}

/// The whole login, and the host key of who let us in, where that can be pinned.
pub(super) fn log_in(login: &Login, attempt: &Attempt) -> Result<Option<PinnedKey>, Stop> {
    let shaken = handshake(&login.target, attempt)?;
    attempt.enter(Stage::Authenticating);
    authenticate(&shaken.session, login, attempt)?;
    if let Some(command) = &login.command {
        attempt.enter(Stage::Command);
        run(&shaken, command, attempt)?;
    }
    let shown = shaken.session.host_key().and_then(|(wire, _kind)| PinnedKey::of_wire(wire));
    // A polite end keeps the host's log free of errors; the login has already succeeded.
    if arm(&shaken.session, attempt).is_ok() {
        let _already_known = shaken.session.disconnect(None, "nova-ha probe done", None);
    }
    Ok(shown)
}

fn addresses(target: &Target) -> Result<Vec<SocketAddr>, Stop> {
    let failed = |why: String| Stop::Unknown(Unknown::Unresolved { address: target.address.clone(), why });
    let found: Vec<SocketAddr> = (target.address.as_str(), target.port)
        .to_socket_addrs()
        .map_err(|e| failed(e.to_string()))?
        .collect();
    match found.is_empty() {
        true => Err(failed("no address".to_owned())),
        false => Ok(found),
    }
}

/// The first address that answers. Each gets an equal share of what is left, so that a dead IPv6
/// address does not use up the time of the living IPv4 one.
fn connect(addresses: &[SocketAddr], attempt: &Attempt) -> Result<TcpStream, Stop> {
    attempt.enter(Stage::Connecting);
    let mut last = attempt.timed_out();
    for (index, address) in addresses.iter().enumerate() {
        let remaining = u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
        match TcpStream::connect_timeout(address, attempt.left()? / remaining) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = connect_stopped(&error, attempt),
        }
    }
    Err(last)
}

/// Which failures to connect say something about the machine, and which only about us.
fn connect_stopped(error: &std::io::Error, attempt: &Attempt) -> Stop {
    match error.kind() {
        ErrorKind::ConnectionRefused => Stop::Failed(Failure::Refused),
        // Also *network unreachable*: where hosts announce their own routes, that is how a dead one
        // looks. An observer that has lost its own network doubts itself (policy), not here.
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Stop::Failed(Failure::NoRoute),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => attempt.timed_out(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            Stop::Failed(Failure::Closed { stage: Stage::Connecting })
        }
        // No descriptors left, a local packet filter, a bad own address: ours.
        _ => own(error),
    }
}

/// Gives the next libssh2 call what is left of the time.
fn arm(session: &Session, attempt: &Attempt) -> Result<(), Stop> {
    let left = attempt.left()?.as_millis();
    session.set_timeout(u32::try_from(left).unwrap_or(u32::MAX).max(1));
    Ok(())
}

fn number(error: &ssh2::Error) -> i32 {
    match error.code() {
        ErrorCode::Session(code) | ErrorCode::SFTP(code) => code,
    }
}

/// Whether the other side is gone. libssh2 reports a connection that closes in mid-exchange with
/// the same numbers as an exchange that it did not like.
fn is_closed(socket: &TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return false;
    }
    match socket.peek(&mut [0_u8; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// `words` stood where the banner belongs. Whoever speaks lives, whether it hangs up then or never comes to its banner, as a
/// tarpit and every other service do: a machine that hangs says nothing.
fn handshake_stopped(
    error: &ssh2::Error,
    socket: &TcpStream,
    attempt: &Attempt,
    words: Option<String>,
) -> Stop {
    let refused = |words| Stop::Unknown(Unknown::RefusesInWords { words });
    let closed = || match words.clone().map_or_else(|| ask_anew(socket, attempt), Greeting::Words) {
        Greeting::Words(words) => refused(words),
        Greeting::Algorithms | Greeting::Nothing => Stop::Failed(Failure::Closed { stage: Stage::Handshake }),
    };
    let out_of_time = || words.clone().map_or_else(|| attempt.timed_out(), refused);
    match number(error) {
        code::TIMEOUT | code::SOCKET_TIMEOUT => out_of_time(),
        code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND | code::BANNER_SEND => closed(),
        // Either it said what it speaks and hung up, because it found as we did that we have nothing in
        // common (an answer), or it hung up before (none). libssh2 has one number for both.
        code::KEX_FAILURE | code::METHOD_NONE if is_closed(socket) => match ask_anew(socket, attempt) {
            Greeting::Algorithms => Stop::Unknown(Unknown::NothingInCommon),
            Greeting::Words(words) => refused(words),
            Greeting::Nothing => Stop::Failed(Failure::Closed { stage: Stage::Handshake }),
        },
        code::KEX_FAILURE | code::METHOD_NONE => Stop::Unknown(Unknown::NothingInCommon),
        _ if is_closed(socket) => closed(),
        code::BANNER_RECV | code::PROTO => Stop::Failed(Failure::NotSsh),
        code::NONE_GIVEN | code::KEY_EXCHANGE_FAILURE if attempt.left().is_err() => out_of_time(),
        _ => Stop::Unknown(Unknown::NotUnderstood { what: error.to_string() }),
    }
}

struct OnePassword<'a>(&'a Login);

impl KeyboardInteractivePrompt for OnePassword<'_> {
    fn prompt<'a>(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        let answer = match &self.0.credential {
            Credential::Password(password) => password.expose_secret(),
            Credential::PrivateKey(_) => "",
        };
        // A question that is echoed is not one for a password.
        prompts.iter().map(|p| if p.echo { String::new() } else { answer.to_owned() }).collect()
    }
}

/// As every SSH client begins: which methods may this account use? sshd shows its banner with the answer, so one that libssh2
/// cannot read is told here from credentials that are wrong.
fn methods(session: &Session, login: &Login, attempt: &Attempt) -> Result<String, Stop> {
    arm(session, attempt)?;
    match session.auth_methods(&login.user) {
        Ok(methods) => Ok(methods.to_owned()),
        Err(error) => match number(&error) {
            code::TIMEOUT | code::SOCKET_TIMEOUT => Err(attempt.timed_out()),
            code::OUT_OF_BOUNDARY => Err(Stop::Unknown(Unknown::LongBanner)),
            // The login itself finds out.
            _ => Ok(String::new()),
        },
    }
}

fn authenticate(session: &Session, login: &Login, attempt: &Attempt) -> Result<(), Stop> {
    let methods = methods(session, login, attempt)?;
    // The account needs none.
    if session.authenticated() {
        return Ok(());
    }
    arm(session, attempt)?;
    let first = match &login.credential {
        Credential::PrivateKey(key) => {
            session.userauth_pubkey_memory(&login.user, None, key.expose_secret(), None)
        }
        Credential::Password(password) => session.userauth_password(&login.user, password.expose_secret()),
    };
    let Err(error) = first else { return Ok(()) };
    // `PasswordAuthentication no` with PAM behind keyboard-interactive is a common default.
    if number(&error) == code::AUTHENTICATION_FAILED && matches!(login.credential, Credential::Password(_)) {
        let has = |wanted: &str| methods.split(',').any(|method| method == wanted);
        if has("keyboard-interactive") && !has("password") {
            arm(session, attempt)?;
            let asked = session.userauth_keyboard_interactive(&login.user, &mut OnePassword(login));
            return asked.map_err(|error| auth_stopped(&error, login, attempt));
        }
    }
    Err(auth_stopped(&error, login, attempt))
}

/// After the host key was checked the machine has proved that it lives as far as sshd. What ends
/// the login now is either silence (a host whose disks are gone hangs here: failed) or an answer
/// that is about our credentials. sshd hangs up instead of answering after `MaxAuthTries`, so a
/// hang-up here is *cannot tell* too; a machine that died in this moment fails the next probe.
fn auth_stopped(error: &ssh2::Error, login: &Login, attempt: &Attempt) -> Stop {
    let user = login.user.clone();
    match number(error) {
        code::TIMEOUT | code::SOCKET_TIMEOUT => attempt.timed_out(),
        code::AUTHENTICATION_FAILED
        | code::PUBLICKEY_UNVERIFIED
        | code::METHOD_NOT_SUPPORTED
        | code::PASSWORD_EXPIRED => Stop::Unknown(Unknown::Rejected { user }),
        code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND => {
            Stop::Unknown(Unknown::HungUp { user })
        }
        code::FILE => Stop::Unknown(Unknown::BadKey),
        code::NONE_GIVEN if matches!(login.credential, Credential::PrivateKey(_)) => {
            Stop::Unknown(Unknown::BadKey)
        }
        _ => own(error),
    }
}

/// Shells say 127 for a command that they cannot find: a typing error of ours. 126 (found, cannot
/// be executed) is what a dead disk gives, and counts as failed.
const COMMAND_NOT_FOUND: i32 = 127;

fn run(shaken: &Shaken, command: &str, attempt: &Attempt) -> Result<(), Stop> {
    let session = &shaken.session;
    let stopped = |error: &ssh2::Error| match number(error) {
        code::TIMEOUT | code::SOCKET_TIMEOUT => attempt.timed_out(),
        code::CHANNEL_FAILURE | code::CHANNEL_REQUEST_DENIED => {
            Stop::Unknown(Unknown::NoCommand { why: "the account may not run commands".to_owned() })
        }
        _ if is_closed(&shaken.socket) => Stop::Failed(Failure::Closed { stage: Stage::Command }),
        _ => own(error),
    };
    arm(session, attempt)?;
    let mut channel = session.channel_session().map_err(|e| stopped(&e))?;
    arm(session, attempt)?;
    channel.exec(command).map_err(|e| stopped(&e))?;
    // Its output is not wanted, but a full window would block it, on stderr too.
    channel.handle_extended_data(ExtendedData::Merge).map_err(|e| stopped(&e))?;
    let mut buffer = [0_u8; 4096];
    loop {
        arm(session, attempt)?;
        match channel.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => return Err(attempt.timed_out()),
            Err(error) if is_closed(&shaken.socket) => {
                tracing::debug!(%error, "the connection ended while the command ran");
                return Err(Stop::Failed(Failure::Closed { stage: Stage::Command }));
            }
            Err(error) => return Err(own(error)),
        }
    }
    arm(session, attempt)?;
    channel.wait_close().map_err(|e| stopped(&e))?;
    if let Some(signal) = channel.exit_signal().map_err(|e| stopped(&e))?.exit_signal {
        return Err(Stop::Failed(Failure::CommandKilled { signal }));
    }
    match channel.exit_status().map_err(|e| stopped(&e))? {
        0 => Ok(()),
        COMMAND_NOT_FOUND => {
            Err(Stop::Unknown(Unknown::NoCommand { why: "not found on the machine (127)".to_owned() }))
        }
        status => Err(Stop::Failed(Failure::CommandFailed { status })),
    }
}
