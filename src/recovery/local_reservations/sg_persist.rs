//! What sg_persist is asked, and what it says (sg3-utils 1.46 and 1.48; its exit codes are of sg3_utils(8)).

use std::path::Path;

use tokio::time::Instant;

use crate::chain::chain;
use crate::disks::reservation_key::ReservationKey;
use crate::program::{Ended, Finished, Program};
use crate::say;

const PROGRAM: &str = "sg_persist";
/// *Write exclusive*: whoever holds it writes, everybody reads.
const TYPE: &str = "--prout-type=1";
/// Exit codes: the disk does not know the command, or a part of it.
const ILLEGAL_REQUEST: i32 = 5;
const INVALID_OPCODE: i32 = 9;
/// It has done nothing, and may do it when it is asked again: something happened to it since it was last asked, which it
/// says once; it was interrupted, or had too much to do.
const ASK_AGAIN: [i32; 4] = [6, 11, 26, 27];
const CONFLICT: i32 = 24;
/// A disk with many paths and many happenings says each once.
const MOST_ATTENTIONS: u32 = 5;
/// Not to look who the disk is, and to open it for reading: by default it is opened for writing too, whatever is asked, and
/// each close makes udev look at the disk anew, beside whom mdadm is to open it next. The kernel takes both kinds of command
/// by either, from who may send raw ones (`CAP_SYS_RAWIO`) and from nobody else.
const ALWAYS: [&str; 2] = ["--no-inquiry", "--readonly"];
const READ_KEYS: &[&str] = &["--in", "--read-keys"];
/// Of a program's own words.
const MAX_CHARS: usize = 120;

/// The program, with the time that all of it may take.
#[derive(Debug)]
pub(super) struct SgPersist {
    deadline: Instant,
}

/// What a disk said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said<T> {
    Good(T),
    /// Somebody else's reservation is in the way.
    Conflict,
    /// It does not know what it was asked.
    Unsupported,
    /// It failed, and said so; it may have been done all the same.
    Other(String),
    /// Nothing, in its time: not even whether it keeps reservations is known.
    Unclear(String),
}

impl<T> Said<T> {
    pub(super) fn good(self) -> Option<T> {
        match self {
            Said::Good(value) => Some(value),
            Said::Conflict | Said::Unsupported | Said::Other(_) | Said::Unclear(_) => None,
        }
    }

    fn map<U>(self, read: impl FnOnce(T) -> Result<U, String>) -> Said<U> {
        match self {
            Said::Good(value) => read(value).map_or_else(Said::Other, Said::Good),
            Said::Conflict => Said::Conflict,
            Said::Unsupported => Said::Unsupported,
            Said::Other(why) => Said::Other(why),
            Said::Unclear(why) => Said::Unclear(why),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Said::Good(_) => "done",
            Said::Conflict => "reservation conflict",
            Said::Unsupported => "not supported",
            Said::Other(why) | Said::Unclear(why) => why,
        }
    }
}

/// A reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) key: ReservationKey,
    /// Whether everybody who is registered holds it.
    pub(super) by_all: bool,
}

impl SgPersist {
    /// # Errors
    /// It is not installed.
    pub(super) fn find(deadline: Instant) -> Result<Self, String> {
        let within = deadline.saturating_duration_since(Instant::now());
        match Program::named(PROGRAM, within) {
            Ok(_) => Ok(Self { deadline }),
            Err(_) => Err(format!("{PROGRAM} (sg3-utils) is not installed")),
        }
    }

    /// Makes this machine known to the disk by its key, whatever it was known by before. A disk that says that it failed
    /// may have done it: Linux's own target does where it cannot write down what it keeps.
    pub(super) async fn register(&self, node: &Path, key: ReservationKey) -> Said<()> {
        let said = self.run(node, &["--out", "--register-ignore", &format!("--param-sark={key}")]).await;
        match said.map(done) {
            failed @ (Said::Other(_) | Said::Unclear(_)) => {
                match self.run(node, READ_KEYS).await.map(|said| keys(&said)) {
                    Said::Good(keys) if keys.contains(&key) => Said::Good(()),
                    Said::Good(_)
                    | Said::Conflict
                    | Said::Unsupported
                    | Said::Other(_)
                    | Said::Unclear(_) => failed,
                }
            }
            said => said,
        }
    }

    /// Reserves it; what this machine has reserved so already is well.
    pub(super) async fn reserve(&self, node: &Path, key: ReservationKey) -> Said<()> {
        self.run(node, &["--out", "--reserve", &format!("--param-rk={key}"), TYPE]).await.map(done)
    }

    /// Takes the reservation, and aborts what its holder has under way.
    pub(super) async fn preempt(&self, node: &Path, key: ReservationKey, from: Held) -> Said<()> {
        // One that all hold goes from all of them, and only so (SPC-4, 5.13.11.2.5).
        let theirs = if from.by_all { "0".to_owned() } else { from.key.to_string() };
        let (ours, theirs) = (format!("--param-rk={key}"), format!("--param-sark={theirs}"));
        self.run(node, &["--out", "--preempt-abort", &ours, &theirs, TYPE]).await.map(done)
    }

    /// Who has reserved it.
    pub(super) async fn holder(&self, node: &Path) -> Said<Option<Held>> {
        self.run(node, &["--in", "--read-reservation"]).await.map(|said| held(&said))
    }

    /// Takes a key off a disk that has it, and with it the reservation. What the disk says of that is believed only when
    /// its keys have been read again.
    ///
    /// # Errors
    /// It may still be there.
    pub(super) async fn forget(&self, node: &Path, key: ReservationKey) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..2 {
            match self.run(node, READ_KEYS).await.map(|said| keys(&said)) {
                Said::Good(keys) if keys.contains(&key) => {}
                Said::Good(_) | Said::Unsupported => return Ok(()),
                said @ (Said::Conflict | Said::Other(_) | Said::Unclear(_)) => {
                    return Err(said.text().to_owned());
                }
            }
            if !why.is_empty() {
                break;
            }
            why = self.run(node, &["--out", "--register-ignore", "--param-sark=0"]).await.text().to_owned();
        }
        Err(format!("key {key} is still on it: {why}"))
    }

    async fn run(&self, node: &Path, args: &[&str]) -> Said<String> {
        let mut last = Said::Other("unit attention".to_owned());
        for _ in 0..MOST_ATTENTIONS {
            let within = self.deadline.saturating_duration_since(Instant::now());
            if within.is_zero() {
                return Said::Unclear(format!("no time is left for {PROGRAM}"));
            }
            let program = match Program::named(PROGRAM, within) {
                Ok(program) => program.args(ALWAYS).args(args).args([node]),
                Err(error) => return Said::Other(chain(&error)),
            };
            match program.run().await {
                Ok(done) if is_to_be_asked_again(done.ended) => last = Said::Other(words(&done)),
                Ok(done) => return read(&done),
                Err(error) => return Said::Other(chain(&error)),
            }
        }
        last
    }
}

fn is_to_be_asked_again(ended: Ended) -> bool {
    matches!(ended, Ended::Exit(code) if ASK_AGAIN.contains(&code))
}

fn done(_: String) -> Result<(), String> {
    Ok(())
}

fn read(done: &Finished) -> Said<String> {
    match done.ended {
        Ended::Exit(0) if done.stdout.cut => Said::Other(format!("{PROGRAM} says more than is read")),
        Ended::Exit(0) => Said::Good(String::from_utf8_lossy(&done.stdout.bytes).into_owned()),
        Ended::Exit(CONFLICT) => Said::Conflict,
        Ended::Exit(ILLEGAL_REQUEST | INVALID_OPCODE) => Said::Unsupported,
        Ended::Exit(_) => Said::Other(words(done)),
        Ended::Signal(_) | Ended::Deadline => Said::Unclear(words(done)),
    }
}

/// The last line that it said, and how it ended.
fn words(done: &Finished) -> String {
    let said = String::from_utf8_lossy(&done.stderr.bytes);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("not a word");
    let plain: String = last.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{PROGRAM}: {} ({:?})", say::clauses(&plain, MAX_CHARS), done.ended)
}

/// The reservation in what *read reservation* says. What is not understood is no *nobody*, and two are no answer.
fn held(said: &str) -> Result<Option<Held>, String> {
    let kind = said.lines().find_map(|line| line.split_once("type:")).map(|(_, kind)| kind);
    let is_nobodys = said.contains("there is NO reservation held");
    match (is_nobodys, listed(said)?.as_slice(), kind) {
        (true, [], None) => Ok(None),
        (false, [key], Some(kind)) => Ok(Some(Held { key: *key, by_all: kind.contains("all registrants") })),
        _ => Err(not_understood(said)),
    }
}

/// The keys in what *read keys* says. A key that is not understood may be anybody's, ours too; and a text without keys says that
/// there are none in so many words, or says nothing.
fn keys(said: &str) -> Result<Vec<ReservationKey>, String> {
    let keys = listed(said)?;
    match (said.contains("there are NO registered reservation keys"), keys.is_empty()) {
        (true, true) | (false, false) => Ok(keys),
        (true, false) | (false, true) => Err(not_understood(said)),
    }
}

/// Keys, each in a line of its own, alone or after `Key=`.
fn listed(said: &str) -> Result<Vec<ReservationKey>, String> {
    let is_key = |line: &&str| line.starts_with("Key=") || line.starts_with("0x");
    let read = |line: &str| {
        ReservationKey::parse(line.strip_prefix("Key=").unwrap_or(line)).map_err(|_| not_understood(said))
    };
    said.lines().map(str::trim).filter(is_key).map(read).collect()
}

fn not_understood(said: &str) -> String {
    let said = say::clauses(said, MAX_CHARS);
    format!("{PROGRAM} says what is not understood: {said:?}")
}

/// For [`crate::fuzzing`]: the reservation's key, and all keys.
#[cfg(any(test, fuzzing))]
pub(crate) type KeysSaid = (Result<Option<ReservationKey>, String>, Option<Vec<ReservationKey>>);

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn said(done: &Finished) -> KeysSaid {
    let holder = match read(done).map(|said| held(&said)) {
        Said::Good(held) => Ok(held.map(|held| held.key)),
        failed @ (Said::Conflict | Said::Unsupported | Said::Other(_) | Said::Unclear(_)) => {
            Err(failed.text().to_owned())
        }
    };
    (holder, read(done).map(|said| keys(&said)).good())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Captured;

    fn key(text: &str) -> ReservationKey {
        ReservationKey::parse(text).unwrap()
    }

    #[test]
    fn a_reservation_is_read_with_its_kind() {
        let said = |kind: &str| {
            format!(
                "  PR generation=0x4, Reservation follows:\n    Key=0x6e68335855192ff0\n    scope: LU_SCOPE,  type: {kind}\n"
            )
        };
        let ours = key("6e68335855192ff0");
        for (kind, by_all) in [
            ("Write Exclusive", false),
            ("Write Exclusive, registrants only", false),
            ("Write Exclusive, all registrants", true),
            ("Exclusive Access, all registrants", true),
        ] {
            assert_eq!(held(&said(kind)), Ok(Some(Held { key: ours, by_all })), "{kind}");
        }
        assert_eq!(held("  PR generation=0x1, there is NO reservation held\n"), Ok(None));
        let nobodys = "  PR generation=0x1, there is NO reservation held\n";
        let two = said("Write Exclusive").replace("    scope", "    Key=0x1\n    scope");
        for strange in [
            "",
            "  PR generation=0x4, Reservation follows:\n",
            "Key=0x1\n",
            &format!("{nobodys}{}", said("Write Exclusive")),
            &format!("{nobodys}    Key=none\n"),
            &two,
            &said("Write Exclusive").replace("0x6e68", "0x+6e6"),
        ] {
            assert!(held(strange).unwrap_err().contains("not understood"), "{strange:?}");
        }
    }

    #[test]
    fn keys_are_read_one_a_line() {
        let said =
            "  PR generation=0x3, 2 registered reservation keys follow:\n    0x6e68335855192ff0\n    0x1\n";
        assert_eq!(keys(said), Ok(vec![key("6e68335855192ff0"), key("1")]));
        let none = "  PR generation=0x0, there are NO registered reservation keys\n";
        assert_eq!(keys(none), Ok(vec![]));
        // One that is not understood may be the very one that is looked for.
        for strange in
            ["", "PR", &format!("{none}0x1\n"), &said.replace("0x1", "0x1g"), &said.replace("0x1", "0x")]
        {
            assert!(keys(strange).unwrap_err().contains("not understood"), "{strange:?}");
        }
    }

    #[test]
    fn what_was_cut_is_no_answer() {
        let said = "  PR generation=0x0, there is NO reservation held\n".into();
        let stdout = Captured { bytes: said, cut: true };
        let mut done = Finished { ended: Ended::Exit(0), stdout, stderr: Captured::default() };
        assert!(matches!(read(&done), Said::Other(_)));
        done.stdout.cut = false;
        assert!(matches!(read(&done), Said::Good(_)));
    }

    #[test]
    fn an_exit_code_is_what_the_disk_said() {
        let finished = |ended, stderr: &str| Finished {
            ended,
            stdout: Captured::default(),
            stderr: Captured { bytes: stderr.into(), cut: false },
        };
        let said = |code| read(&finished(Ended::Exit(code), "PR out: command failed\n"));
        assert_eq!(said(0), Said::Good(String::new()));
        assert_eq!(said(24), Said::Conflict);
        assert_eq!((said(5), said(9)), (Said::Unsupported, Said::Unsupported));
        for other in [said(2), said(15), said(99)] {
            assert!(matches!(other, Said::Other(_)), "{other:?}");
        }
        for ended in [Ended::Deadline, Ended::Signal(9)] {
            let unclear = read(&finished(ended, ""));
            assert!(matches!(unclear, Said::Unclear(_)), "{unclear:?}");
        }
        assert_eq!(said(15).text(), "sg_persist: PR out: command failed (Exit(15))");
    }
}
