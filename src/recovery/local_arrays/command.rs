//! The programs' arguments, and what is kept of what they say. The arguments are pure.
//!
//! Tried on mdadm 4.2 and Linux 6.1 (Debian 12):
//!
//! - `--config=none`: neither mdadm.conf nor its `AUTO`, `HOMEHOST` or `DEVICE` have a say. With the devices named,
//!   only they are looked at, and with `--uuid` only those that are this array's count.
//! - Without `--run` mdadm starts nothing that has fewer members than it had last (`need all 4 to start it`), and
//!   leaves nothing behind. `--no-degraded` is for `--scan` only.
//! - `--force` calls stale members current, and a parity right that may not be: only for mirrors, with the very members
//!   named of which it is known (see `members.rs`). Of those it makes as many current as the array needs, and writes that
//!   into them before it assembles, `--readonly` or not. Always with `--run`: alone it may start nothing.
//! - `--readonly` leaves every byte of each member as it was, from assembly to stop, also of an array that was not
//!   stopped cleanly. But where members with an internal bitmap are one event apart, the kernel brings the counts in
//!   that bitmap's header up to date. With `--update=name` the name and the superblock's checksum change and nothing
//!   else.
//! - A raid5 that has lost a member and was not stopped cleanly is not started, `--run` or not, and nothing is left
//!   behind (`--update=name` has written the name by then).
//! - mdadm waits for udev's link by itself, or makes it where udev does not run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chain::chain;
use crate::disks::owner_mark;
use crate::policy::is_one_type;
use crate::program::{Ended, Finished, Program};
use crate::recovery::arrays::{How, Start};
use crate::say;

/// Of what a host left on its disks nothing is a device, a program with its owner's rights, or a program. Neither nova-compute nor qemu
/// runs anything from there: firmware, its variables and a vTPM's state are elsewhere, and images are only read and written.
const OPTIONS: &str = "nodev,nosuid,noexec";

/// Of a program's own words.
const MAX_CHARS: usize = 200;

/// What makes the array of this UUID of these nodes.
///
/// # Errors
/// mdadm cannot write that name, or the UUID is none.
pub(super) fn assemble(
    uuid: &str,
    start: Start,
    how: &How,
    nodes: &[PathBuf],
) -> Result<Vec<OsString>, String> {
    let digits = uuid.get(..8).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let digits = digits.ok_or_else(|| format!("{uuid:?} is no array's UUID"))?;
    let mut args = vec![
        "--assemble".into(),
        format!("/dev/md/nova-{digits}").into(),
        "--config=none".into(),
        format!("--uuid={uuid}").into(),
    ];
    match start {
        Start::Whole => {}
        Start::Degraded => args.push("--run".into()),
        Start::Forced => args.extend(["--run".into(), "--force".into()]),
    }
    match how {
        How::ReadOnly => args.push("--readonly".into()),
        How::Named(name) => args.extend(update(name)?),
    }
    args.extend(nodes.iter().map(OsString::from));
    Ok(args)
}

/// What writes a name, and nothing else, into the members at these nodes.
///
/// # Errors
/// As of [`assemble`].
pub(super) fn rename(uuid: &str, name: &str, nodes: &[PathBuf]) -> Result<Vec<OsString>, String> {
    // Degraded or not: it is only made to be stopped.
    let mut args = assemble(uuid, Start::Degraded, &How::ReadOnly, &[])?;
    args.extend(update(name)?);
    args.extend(nodes.iter().map(OsString::from));
    Ok(args)
}

fn update(name: &str) -> Result<[OsString; 3], String> {
    let options = owner_mark::update_options(name);
    Ok(options.ok_or_else(|| format!("mdadm cannot write the name {name:?}"))?.map(OsString::from))
}

pub(super) fn stop(node: &Path) -> Vec<OsString> {
    vec!["--stop".into(), node.into()]
}

/// # Errors
/// The type or the place are none that mount would take as they are meant.
pub(super) fn mount(node: &Path, fs_type: &str, at: &Path) -> Result<Vec<OsString>, String> {
    if !is_one_type(fs_type) {
        return Err(format!("{fs_type:?} is no type of filesystem"));
    }
    let options = ["-t", fs_type, "-o", OPTIONS];
    let mut args: Vec<OsString> = options.map(OsString::from).to_vec();
    args.extend([node.into(), absolute(at)?]);
    Ok(args)
}

/// # Errors
/// The place is not absolute.
pub(super) fn unmount(at: &Path) -> Result<Vec<OsString>, String> {
    Ok(vec![absolute(at)?])
}

fn absolute(at: &Path) -> Result<OsString, String> {
    at.is_absolute().then(|| at.into()).ok_or_else(|| format!("{} is no absolute path", at.display()))
}

/// Its own time is in whole seconds, and 0 means not to wait.
pub(super) fn settle(within: Duration) -> Vec<OsString> {
    vec!["settle".into(), format!("--timeout={}", within.as_secs()).into()]
}

/// Runs one.
///
/// # Errors
/// It is not installed, did not end well, or not in time: it may have done it all the same.
pub(super) async fn run(name: &str, args: &[OsString], within: Duration) -> Result<(), String> {
    if within.is_zero() {
        return Err(format!("no time is left for {name}"));
    }
    let program = Program::named(name, within).map_err(|error| chain(&error))?.args(args);
    outcome(name, &program.run().await.map_err(|error| chain(&error))?, within)
}

fn outcome(name: &str, done: &Finished, within: Duration) -> Result<(), String> {
    let ended = match done.ended {
        Ended::Exit(0) => return Ok(()),
        Ended::Exit(code) => format!("exit {code}"),
        Ended::Signal(signal) => format!("signal {signal}"),
        Ended::Deadline => format!("not done within {within:.1?}"),
    };
    match last_words(done) {
        Some(said) if said.starts_with(&format!("{name}:")) => Err(format!("{said} ({ended})")),
        Some(said) => Err(format!("{name}: {said} ({ended})")),
        None => Err(format!("{name}: {ended}, without a word")),
    }
}

/// The last line that it said, of its errors if there are any.
fn last_words(done: &Finished) -> Option<String> {
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some(say::clauses(&plain, MAX_CHARS))
    };
    last(&done.stderr.bytes).or_else(|| last(&done.stdout.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Captured;

    const UUID: &str = "a3a88330:384edff1:0c126ded:b8d8ca93";

    fn nodes() -> Vec<PathBuf> {
        vec!["/dev/sdc".into(), "/dev/dm-0".into()]
    }

    fn words(args: &[OsString]) -> String {
        args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_the_array_that_is_meant_is_assembled_and_only_from_these_disks() {
        let common = format!("--assemble /dev/md/nova-a3a88330 --config=none --uuid={UUID}");
        let named = How::Named("nova-ha.ha1:md1".into());
        let update = "--update=name --homehost=nova-ha.ha1 --name=md1";
        for (start, how, options) in [
            (Start::Whole, &How::ReadOnly, "--readonly".to_owned()),
            (Start::Degraded, &How::ReadOnly, "--run --readonly".to_owned()),
            (Start::Whole, &named, update.to_owned()),
            (Start::Degraded, &named, format!("--run {update}")),
            (Start::Forced, &named, format!("--run --force {update}")),
        ] {
            let args = assemble(UUID, start, how, &nodes()).unwrap();
            assert_eq!(words(&args), format!("{common} {options} /dev/sdc /dev/dm-0"));
        }
        let args = rename(UUID, "compute1:md1", &nodes()).unwrap();
        let update = "--update=name --homehost=compute1 --name=md1";
        assert_eq!(words(&args), format!("{common} --run --readonly {update} /dev/sdc /dev/dm-0"));
    }

    #[test]
    fn what_cannot_be_written_exactly_is_not_tried() {
        for name in ["", "12345678901234567890123456789:md1"] {
            let why = rename(UUID, name, &nodes()).unwrap_err();
            assert!(why.contains("cannot write the name"), "{why}");
            assert!(assemble(UUID, Start::Whole, &How::Named(name.into()), &nodes()).is_err());
        }
        assert!(assemble("../../x", Start::Whole, &How::ReadOnly, &nodes()).is_err());
    }

    #[test]
    fn a_filesystem_is_mounted_as_what_it_is_where_it_is_meant() {
        let args = mount(Path::new("/dev/md127"), "xfs", Path::new("/var/lib/nova/instances")).unwrap();
        assert_eq!(words(&args), "-t xfs -o nodev,nosuid,noexec /dev/md127 /var/lib/nova/instances");
        for fs_type in ["", "xfs,ext4", "noxfs", "-a"] {
            assert!(mount(Path::new("/dev/md127"), fs_type, Path::new("/srv")).is_err(), "{fs_type}");
        }
        assert!(mount(Path::new("/dev/md127"), "xfs", Path::new("-srv")).is_err());
        assert_eq!(words(&unmount(Path::new("/srv")).unwrap()), "/srv");
        assert!(unmount(Path::new("--lazy")).is_err());
        assert_eq!(words(&stop(Path::new("/dev/md127"))), "--stop /dev/md127");
    }

    #[test]
    fn a_failure_is_told_in_one_line_of_the_programs_own() {
        let done = |ended, stderr: &str, stdout: &str| {
            let captured = |text: &str| Captured { bytes: text.into(), cut: false };
            let done = Finished { ended, stdout: captured(stdout), stderr: captured(stderr) };
            outcome("mdadm", &done, Duration::from_secs(20)).map_err(|why| why.clone())
        };
        assert_eq!(done(Ended::Exit(0), "mdadm: /dev/md/x has been started with 4 drives.\n", ""), Ok(()));
        let said = |ended, stderr, stdout| done(ended, stderr, stdout).unwrap_err();
        assert_eq!(said(Ended::Exit(2), "mdadm: a is busy\nmdadm: b\n\n", "x"), "mdadm: b (exit 2)");
        assert_eq!(said(Ended::Exit(1), "", "mount(2)\tfailed"), "mdadm: mount(2) failed (exit 1)");
        assert_eq!(said(Ended::Deadline, "", ""), "mdadm: not done within 20.0s, without a word");
    }
}
