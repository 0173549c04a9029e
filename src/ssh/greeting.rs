//! What a machine says in the clear, before its SSH banner and up to its first packet.
//!
//! An sshd that takes no more logins says so and hangs up: *Exceeded MaxStartups*, *Not allowed at this time* (a source
//! that failed some logins, since OpenSSH 9.8), or a message to disconnect with a reason. Words take a machine that lives,
//! so they are read where libssh2 knows nothing but a connection that ended.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use crate::say::short;

/// How an SSH banner begins; whatever comes before it are lines for people (RFC 4253, 4.2).
pub(super) const BANNER: &[u8] = b"SSH-";

/// Somebody else's words as far as they are kept.
const MOST_WORDS: usize = 512;

/// A line for people ends at once where it begins; what drips is no line.
const LINE: Duration = Duration::from_millis(500);

/// The words that stand where the banner belongs, left where they are: libssh2 reads them again. `None` where a banner
/// begins, where the other side hung up without a word, or said nothing for half of what is left: it may wait for us.
pub(super) fn words_before_banner(socket: &TcpStream, attempt: &Attempt) -> Option<String> {
    let begun = Instant::now();
    let patience = attempt.left().ok()? / 2;
    let mut first = None;
    let mut window = [0_u8; MOST_WORDS];
    loop {
        let left = patience.checked_sub(begun.elapsed()).filter(|left| !left.is_zero())?;
        socket.set_read_timeout(Some(left)).ok()?;
        let read = socket.peek(&mut window);
        let seen = match read {
            Ok(length) => window.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        if seen.is_empty() || seen.starts_with(BANNER) {
            return None;
        }
        let since: Instant = *first.get_or_insert_with(Instant::now);
        // A first part of the banner may come alone.
        let is_begun = BANNER.starts_with(seen);
        let is_whole = seen.contains(&b'\n') || seen.len() == MOST_WORDS;
        if !is_begun && (is_whole || since.elapsed() >= LINE) {
            return words(seen);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How a machine greets a connection of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It names its algorithms.
    Algorithms,
    /// It hangs up, and says why.
    Words(String),
    /// Neither.
    Nothing,
}

/// Asks the same machine anew: after both banners its first packet, in the clear, is SSH_MSG_KEXINIT, or SSH_MSG_DISCONNECT
/// with a reason for people (RFC 4253, 4.2, 6, 7.1 and 11.1).
pub(super) fn ask_anew(socket: &TcpStream, attempt: &Attempt) -> Greeting {
    let ask = || -> std::io::Result<Greeting> {
        let left = || attempt.left().map_err(|_| ErrorKind::TimedOut);
        let mut stream = TcpStream::connect_timeout(&socket.peer_addr()?, left()?)?;
        stream.set_read_timeout(Some(left()?))?;
        stream.write_all(b"SSH-2.0-nova-ha\r\n")?;
        greeting(&mut BufReader::new(stream.take(MOST)), || left().is_ok())
    };
    ask().unwrap_or(Greeting::Nothing)
}

/// A server may send lines before its banner; none of ours sends this much.
const MOST: u64 = 16 * 1024;

const DISCONNECT: u8 = 1;
const KEXINIT: u8 = 20;

fn greeting(reader: &mut impl BufRead, is_time_left: impl Fn() -> bool) -> std::io::Result<Greeting> {
    let mut said = Vec::new();
    loop {
        let mut line = Vec::new();
        // Whoever hangs up in anger may do so in mid-line, or reset the connection behind it.
        let read = reader.read_until(b'\n', &mut line);
        if line.starts_with(BANNER) && line.ends_with(b"\n") {
            break;
        }
        // The banner itself, as far as it came.
        if !line.is_empty() && (line.starts_with(BANNER) || BANNER.starts_with(&line)) {
            return Ok(Greeting::Nothing);
        }
        said.extend_from_slice(&line);
        if !matches!(read, Ok(length) if length > 0) {
            return Ok(words(&said).map_or(Greeting::Nothing, Greeting::Words));
        }
        if !is_time_left() {
            return Ok(Greeting::Nothing);
        }
    }
    // Length of the packet, length of its padding, kind of message.
    let mut head = [0_u8; 6];
    reader.read_exact(&mut head)?;
    match head.last() {
        Some(&KEXINIT) => Ok(Greeting::Algorithms),
        Some(&DISCONNECT) => {
            // A number for programs, and a text with its length.
            let mut numbers = [0_u8; 8];
            reader.read_exact(&mut numbers)?;
            let [_, _, _, _, length @ ..] = numbers;
            let mut text = Vec::new();
            reader.take(u64::from(u32::from_be_bytes(length))).read_to_end(&mut text)?;
            Ok(words(&text).map_or(Greeting::Nothing, Greeting::Words))
        }
        _ => Ok(Greeting::Nothing),
    }
}

/// As a part of a sentence of ours; nothing where nobody could read it.
fn words(said: &[u8]) -> Option<String> {
    let kept = String::from_utf8_lossy(said.get(..MOST_WORDS).unwrap_or(said)).into_owned();
    let line = kept
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let has_a_word = line.chars().filter(|c| c.is_alphanumeric()).count() > 1;
    has_a_word.then(|| short(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greets(bytes: &[u8]) -> Greeting {
        greeting(&mut &*bytes, || true).unwrap_or(Greeting::Nothing)
    }

    fn disconnect(length: u32, text: &[u8]) -> Vec<u8> {
        let head: [u8; 6] = [0, 0, 0, 99, 4, DISCONNECT];
        [&b"SSH-2.0-x\r\n"[..], &head, &[0, 0, 0, 12], &length.to_be_bytes(), text].concat()
    }

    #[test]
    fn what_is_said_is_told_from_algorithms_and_from_nothing() {
        for (what, bytes, expected) in [
            ("a line", &b"Not allowed at this time\r\n"[..], Some("Not allowed at this time")),
            ("no line end", b"Exceeded MaxStartups", Some("Exceeded MaxStartups")),
            ("two lines", b"Sorry.\r\nSystem is booting up.\r\n", Some("Sorry. System is booting up.")),
            ("a reason", &disconnect(10, b"Too many c\0"), Some("Too many c")),
            ("a length that lies", &disconnect(u32::MAX, b"Go away"), Some("Go away")),
            ("no reason", &disconnect(0, b""), None),
            ("nothing", b"", None),
            ("line ends only", b"\r\n\r\n", None),
            ("a banner only", b"SSH-2.0-x\r\n", None),
            ("half a banner", b"SSH-2.0", None),
            ("a line and half a banner", b"Hello\r\nSS", None),
            ("what a terminal obeys", b"\x1b[2JGo\x07 away\r\n", Some("[2JGo away")),
            ("another packet", b"SSH-2.0-x\r\n\0\0\0\x09\x04\x02xx", None),
            ("bytes", b"\xff\xfe\x00\x01", None),
        ] {
            let expected = expected.map_or(Greeting::Nothing, |words| Greeting::Words(words.to_owned()));
            assert_eq!(greets(bytes), expected, "{what}");
        }
        assert_eq!(greets(b"hello\r\nSSH-2.0-x\r\n\0\0\x04\x00\x04\x14xxxx"), Greeting::Algorithms);
    }

    #[test]
    fn words_are_no_longer_than_a_person_reads() {
        let Greeting::Words(said) = greets(&b"word ".repeat(100_000)) else { panic!() };
        assert!(said.chars().count() <= 303 && said.ends_with("..."), "{said}");
    }
}
