//! External programs: the one place that starts any.
//!
//! What a program gets: an absolute path from a fixed list of folders, an environment of `PATH` and
//! `LC_ALL` and nothing else, the bytes of its stdin and then end of file, `/` as its folder, a process
//! group of its own. A secret goes through stdin: there is no way here to put one into an environment,
//! which its children would inherit. What it may do: run until its deadline and say 64 KiB on each of
//! stdout and stderr. When it ends, however it ends, and also when the caller stops waiting, its whole
//! process group is killed: a BMC tool that hangs in a grandchild would otherwise hold a session on the
//! BMC, and might switch something long after we gave up.
//!
//! Not promised: a grandchild that made a session of its own (`setsid`) escapes the group. Its hold
//! on our pipes does not keep us: output is awaited for a moment only once the group is dead.

pub mod trust;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Where programs are looked for, in this order. `PATH` is not asked: who sets it could choose what
/// runs as root.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The `PATH` that a program sees (fence agents look for their own tools).
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The most that is kept of stdout, and of stderr. The rest is read and dropped, so that a program
/// which talks too much still ends.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// How long to wait for the ends of the pipes once the process group is dead: they close at once
/// unless a process that left the group still holds them.
const DRAIN: Duration = Duration::from_millis(500);

/// How long to wait for a killed program to be reaped. Only one stuck in the kernel takes longer.
const REAP: Duration = Duration::from_secs(2);

/// Why a program did not run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// In none of the folders.
    #[error("the program {name} is not installed (looked in {PATH})")]
    NotInstalled {
        /// Its name.
        name: String,
    },
    /// A relative path, or a name with a path in it.
    #[error("{name:?} is not the name of a program, nor an absolute path")]
    Name {
        /// What was given.
        name: String,
    },
    /// The kernel did not start it.
    #[error("cannot start {}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It was started, and then could not be watched; it was killed.
    #[error("cannot wait for {}", path.display())]
    Wait {
        /// The program.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal, which was not ours.
    Signal(i32),
    /// Killed by us at the deadline. Whatever it was doing may have happened.
    Deadline,
}

/// A program that ended, and what it said.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How.
    pub ended: Ended,
    /// At most [`MAX_OUTPUT_BYTES`] of its stdout.
    pub stdout: Captured,
    /// At most [`MAX_OUTPUT_BYTES`] of its stderr.
    pub stderr: Captured,
}

/// What a program wrote on one stream.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// The first bytes of it.
    pub bytes: Vec<u8>,
    /// Whether there was more than is kept, or might have been: the stream had not ended.
    pub cut: bool,
}

/// A program to run, with everything it gets.
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    stdin: Option<SecretString>,
    deadline: Duration,
}

impl Program {
    /// The program of this name, from the fixed folders.
    ///
    /// # Errors
    /// No such program, or the name is a path.
    pub fn named(name: &str, deadline: Duration) -> Result<Self, ProgramError> {
        if name.is_empty() || name.contains('/') {
            return Err(ProgramError::Name { name: name.to_owned() });
        }
        let path = FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| ProgramError::NotInstalled { name: name.to_owned() })?;
        Self::at(path, deadline)
    }

    /// The program at this absolute path.
    ///
    /// # Errors
    /// The path is relative.
    pub fn at(path: impl Into<PathBuf>, deadline: Duration) -> Result<Self, ProgramError> {
        let path = path.into();
        if !path.is_absolute() {
            return Err(ProgramError::Name { name: path.display().to_string() });
        }
        Ok(Self { path, args: Vec::new(), stdin: None, deadline })
    }

    /// Adds arguments. They are visible to every user of the machine: never a secret.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// What it reads on stdin before end of file. Without it stdin is `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, text: SecretString) -> Self {
        self.stdin = Some(text);
        self
    }

    /// Runs it to its end or its deadline. Dropping the future kills it.
    ///
    /// # Errors
    /// It could not be started or watched. A program that fails is no error here: see
    /// [`Finished::ended`].
    pub async fn run(self) -> Result<Finished, ProgramError> {
        let started = Instant::now();
        let path = self.path.clone();
        let finished = self.run_from(started).await?;
        // By these the time that is ours is told from theirs. Arguments may be long; they are in the caller's line.
        let seconds = started.elapsed().as_secs_f64();
        tracing::debug!(program = %path.display(), seconds, ended = ?finished.ended, "program");
        Ok(finished)
    }

    async fn run_from(self, started: Instant) -> Result<Finished, ProgramError> {
        let mut child = self
            .command()
            .spawn()
            .map_err(|source| ProgramError::Start { path: self.path.clone(), source })?;
        // Declared after `child`, so dropped before it: the group is killed while its leader is not
        // reaped, and its number can therefore not be anybody else's.
        let mut group = Group::of(&child);
        let watch = |source| ProgramError::Wait { path: self.path.clone(), source };
        let pid = group.0.ok_or_else(|| watch(io::Error::other("the child has no process id")))?;

        let mut finished =
            Finished { ended: Ended::Deadline, stdout: Captured::default(), stderr: Captured::default() };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut talk = Box::pin(async {
            tokio::join!(
                feed(stdin, self.stdin.as_ref()),
                drain(stdout, &mut finished.stdout),
                drain(stderr, &mut finished.stderr)
            );
        });
        let left = self.deadline.saturating_sub(started.elapsed());
        let mut exited = Box::pin(tokio::time::timeout(left, exit_of(pid)));
        let mut said_all = false;
        let ready = loop {
            tokio::select! {
                ready = &mut exited => break ready.ok(),
                () = &mut talk, if !said_all => said_all = true,
            }
        };
        group.kill();
        if !said_all {
            // A stream that is still held open afterwards keeps its `cut` mark.
            let _ = tokio::time::timeout(DRAIN, &mut talk).await;
        }
        drop(talk);
        let in_time = ready.transpose().map_err(watch)?.is_some();
        match tokio::time::timeout(REAP, child.wait()).await {
            Ok(Ok(status)) if in_time => {
                finished.ended = match (status.code(), status.signal()) {
                    (Some(code), _) => Ended::Exit(code),
                    (None, Some(signal)) => Ended::Signal(signal),
                    (None, None) => return Err(watch(io::Error::other("neither exit status nor signal"))),
                };
            }
            Ok(Err(source)) => return Err(watch(source)),
            Ok(Ok(_)) | Err(_) => {}
        }
        Ok(finished)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// The process group of a child that is not reaped yet; killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // It fails only when no member is left.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until a child has ended, and leaves it to be reaped: until then its number, which is also
/// its group's, cannot be given to another.
async fn exit_of(child: Pid) -> io::Result<()> {
    // Registered before the first look, so that no end falls in between.
    let mut ends = signal(SignalKind::child())?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while rustix::process::waitid(WaitId::Pid(child), options)?.is_none() {
        ends.recv().await;
    }
    Ok(())
}

async fn feed(stdin: Option<tokio::process::ChildStdin>, text: Option<&SecretString>) {
    if let (Some(mut stdin), Some(text)) = (stdin, text) {
        // A program that does not read its stdin to the end is judged by what it says.
        let _ = stdin.write_all(text.expose_secret().as_bytes()).await;
    }
}

async fn drain(stream: Option<impl AsyncRead + Unpin>, into: &mut Captured) {
    let Some(mut stream) = stream else { return };
    let mut dropped = false;
    into.cut = true;
    let mut chunk = [0_u8; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        let room = MAX_OUTPUT_BYTES.saturating_sub(into.bytes.len());
        dropped |= read > room;
        into.bytes.extend(chunk.iter().take(read.min(room)));
    }
    into.cut = dropped;
}

/// Makes an executable script for a test. A shell writes it: had this process the file open for
/// writing while another test's thread forks, the kernel would refuse to run it (`ETXTBSY`).
#[cfg(test)]
pub(crate) fn write_script(path: &Path, script: &str) {
    let write = r##"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""##;
    let status =
        std::process::Command::new("/bin/sh").args(["-c", write, "sh"]).arg(path).arg(script).status();
    assert!(status.unwrap().success(), "cannot write {}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Program {
        Program::named("sh", deadline).unwrap().args(["-c", script])
    }

    const LONG: Duration = Duration::from_secs(20);

    fn alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn gone(pid: &str) -> bool {
        for _ in 0..100 {
            if !alive(pid) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn a_program_gets_only_what_it_is_given() {
        let program = shell("env; cat; pwd", LONG).stdin(SecretString::from("action=status\n"));
        let said = String::from_utf8(program.run().await.unwrap().stdout.bytes).unwrap();
        let mut names: Vec<_> =
            said.lines().filter_map(|l| l.split_once('=')).map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "PATH", "PWD", "action"], "{said}");
        assert!(said.ends_with("action=status\n/\n"), "{said}");
    }

    #[tokio::test]
    async fn exit_status_and_signal_are_told_apart() {
        assert_eq!(shell("exit 2", LONG).run().await.unwrap().ended, Ended::Exit(2));
        assert_eq!(shell("kill -TERM $$", LONG).run().await.unwrap().ended, Ended::Signal(15));
    }

    #[tokio::test]
    async fn output_is_bounded_and_a_talker_still_ends() {
        let finished = shell("head -c 1000000 /dev/zero; exit 3", LONG).run().await.unwrap();
        assert_eq!(finished.ended, Ended::Exit(3));
        assert_eq!((finished.stdout.bytes.len(), finished.stdout.cut), (MAX_OUTPUT_BYTES, true));
        assert!(!finished.stderr.cut);
    }

    #[tokio::test]
    async fn the_whole_group_dies_at_the_deadline() {
        let started = Instant::now();
        let finished =
            shell("sleep 600 & echo $!; sleep 600", Duration::from_millis(300)).run().await.unwrap();
        assert_eq!(finished.ended, Ended::Deadline);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(gone(std::str::from_utf8(&finished.stdout.bytes).unwrap()).await);
    }

    #[tokio::test]
    async fn a_child_left_behind_dies_with_the_program_and_does_not_hold_us() {
        let started = Instant::now();
        let finished = shell("sleep 600 & echo $!; exit 0", LONG).run().await.unwrap();
        assert_eq!(finished.ended, Ended::Exit(0));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(gone(std::str::from_utf8(&finished.stdout.bytes).unwrap()).await);
    }

    #[tokio::test]
    async fn a_child_in_another_session_does_not_hold_us() {
        let started = Instant::now();
        let finished = shell("setsid sleep 4 & echo said; sleep 0.3; exit 0", LONG).run().await.unwrap();
        assert_eq!((finished.ended, finished.stdout.cut), (Ended::Exit(0), true));
        assert_eq!(finished.stdout.bytes, b"said\n");
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn who_stops_waiting_kills_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}.new; mv {0}.new {0}; wait", file.display());
        let waiting = tokio::spawn(shell(&script, LONG).run());
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        waiting.abort();
        assert!(gone(&std::fs::read_to_string(&file).unwrap()).await);
    }

    #[test]
    fn only_absolute_paths_and_installed_names_run() {
        assert!(matches!(Program::named("../bin/sh", LONG), Err(ProgramError::Name { .. })));
        assert!(matches!(Program::at("bin/sh", LONG), Err(ProgramError::Name { .. })));
        let absent = Program::named("nova-ha-no-such-program", LONG).err().unwrap();
        assert!(absent.to_string().contains("nova-ha-no-such-program"));
    }
}
