//! Whether a program that somebody named in the tree may be run: who can write the tree must not
//! choose what any user of this machine could have put there.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a program is not run. The text has the fix.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// It is not absolute.
    #[error("{} is no absolute path", path.display())]
    Relative {
        /// What was given.
        path: PathBuf,
    },
    /// It, or a folder on the way to it, cannot be looked at.
    #[error("cannot look at {}", path.display())]
    Look {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is a folder, a link, a device.
    #[error("{} is no regular file: name the program itself", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// Its owner could change it.
    #[error("{} is owned by uid {uid}, neither root nor the user running this: chown root {0}", path.display())]
    Owner {
        /// It, or a folder or link on the way to it.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Others could change it.
    #[error("{} may be written by its group or by everybody ({mode:04o}): chmod go-w {0}", path.display())]
    Writable {
        /// The program.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Anybody could put another program in its place.
    #[error("folder {} may be written by everybody ({mode:04o}): chmod o-w {0}", path.display())]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Looks at a program and at every folder on the way to it, also behind links, and gives its path
/// without them. Owners are root or the user running this; the program is a regular file that its
/// owner alone may write; no folder may be written by everybody, unless it is sticky: what is in such
/// a one only its owner replaces. A folder's group is not looked at: `/usr/local` has one on Debian.
///
/// Not promised: an owner that changes it between this look and the start. That is root, or we.
///
/// # Errors
/// What is wrong first, with its path.
pub fn check(program: &Path) -> Result<PathBuf, Untrusted> {
    check_as(program, rustix::process::geteuid().as_raw())
}

fn check_as(program: &Path, me: u32) -> Result<PathBuf, Untrusted> {
    if !program.is_absolute() {
        return Err(Untrusted::Relative { path: program.to_owned() });
    }
    let (Some(folder), Some(name)) = (program.parent(), program.file_name()) else {
        return Err(Untrusted::NoFile { path: program.to_owned() });
    };
    let real =
        folder.canonicalize().map_err(|source| Untrusted::Look { path: program.to_owned(), source })?;
    for folder in folder.ancestors().chain(real.ancestors()) {
        let is = owned(folder, me)?;
        let mode = is.mode() & 0o7777;
        if is.is_dir() && mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            return Err(Untrusted::OpenFolder { path: folder.to_owned(), mode });
        }
    }
    let path = real.join(name);
    let is = owned(&path, me)?;
    let mode = is.mode() & 0o7777;
    if !is.is_file() {
        return Err(Untrusted::NoFile { path });
    }
    if mode & GROUP_OR_OTHERS_WRITE != 0 {
        return Err(Untrusted::Writable { path, mode });
    }
    Ok(path)
}

/// What is there itself, not what it links to, if its owner is root or we.
fn owned(path: &Path, me: u32) -> Result<Metadata, Untrusted> {
    let is = path.symlink_metadata().map_err(|source| Untrusted::Look { path: path.to_owned(), source })?;
    match is.uid() {
        uid if uid == 0 || uid == me => Ok(is),
        uid => Err(Untrusted::Owner { path: path.to_owned(), uid }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// `FOLDER/sbin/take`, 0755 both.
    fn site() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("sbin/take");
        fs::create_dir(folder.path().join("sbin")).unwrap();
        fs::write(&program, "#!/bin/sh\n").unwrap();
        set(&folder.path().join("sbin"), 0o755);
        set(&program, 0o755);
        (folder, program)
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refused(program: &Path) -> String {
        check(program).expect_err(&program.display().to_string()).to_string()
    }

    #[test]
    fn a_program_that_only_its_owner_may_write_is_run_by_its_real_path() {
        let (folder, program) = site();
        assert_eq!(check(&program).unwrap(), program.canonicalize().unwrap());
        symlink(folder.path().join("sbin"), folder.path().join("link")).unwrap();
        assert_eq!(check(&folder.path().join("link/take")).unwrap(), program.canonicalize().unwrap());
        // As /tmp is.
        set(folder.path(), 0o1777);
        assert!(check(&program).is_ok());
    }

    #[test]
    fn a_program_that_others_may_write_is_named_with_the_fix() {
        let (_folder, program) = site();
        for mode in [0o775, 0o757, 0o722] {
            set(&program, mode);
            let why = refused(&program);
            assert!(why.contains(&format!("({mode:04o}): chmod go-w {}", program.display())), "{why}");
        }
    }

    #[test]
    fn a_folder_that_everybody_may_write_is_named_with_the_fix() {
        let (folder, program) = site();
        for open in [folder.path().join("sbin"), folder.path().to_owned()] {
            set(&open, 0o777);
            let why = refused(&program);
            assert!(why.contains(&format!("(0777): chmod o-w {}", open.display())), "{why}");
            set(&open, 0o755);
        }
        // Also one that is only reached behind a link.
        let outer = tempfile::tempdir().unwrap();
        symlink(folder.path().join("sbin"), outer.path().join("link")).unwrap();
        set(folder.path(), 0o777);
        assert!(refused(&outer.path().join("link/take")).contains("chmod o-w"));
    }

    #[test]
    fn a_program_of_another_user_is_named_with_the_fix() {
        let (_folder, program) = site();
        let whose = fs::metadata(&program).unwrap().uid();
        if whose == 0 {
            // Root alone can give a file away.
            std::os::unix::fs::chown(&program, Some(65_534), None).unwrap();
            let why = refused(&program);
            assert!(
                why.contains(&format!(
                    "uid 65534, neither root nor the user running this: chown root {}",
                    program.display()
                )),
                "{why}"
            );
            assert!(check_as(&program, 65_534).is_ok(), "its owner may run it");
        } else {
            assert!(matches!(check_as(&program, whose + 1), Err(Untrusted::Owner { .. })));
        }
    }

    #[test]
    fn what_is_no_regular_file_is_no_program() {
        let (folder, program) = site();
        let link = folder.path().join("sbin/link");
        symlink(&program, &link).unwrap();
        for bad in [link.as_path(), &folder.path().join("sbin"), Path::new("/dev/null"), Path::new("/")] {
            assert!(refused(bad).contains("no regular file"), "{}", bad.display());
        }
        assert!(refused(Path::new("sbin/take")).contains("no absolute path"));
        assert!(matches!(check(&folder.path().join("absent")), Err(Untrusted::Look { .. })));
    }
}
