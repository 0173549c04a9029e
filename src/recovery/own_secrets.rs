//! Files of this HA node that hold our own secrets, or that root's cron runs, and that others may read or write: tokens, and
//! the environment of the executables.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tree::formats::published::Remark;

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o022;
/// Much more than an environment.
const LARGEST: u64 = 64 * 1024;
/// More than there are executables.
const MOST: usize = 32;

/// What a person should put right in a folder like `/etc/nova-ha`.
pub(super) fn remarks(folder: &Path, me: &str) -> Vec<Remark> {
    let environments = files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "env"));
    let mut remarks: Vec<Remark> =
        environments.filter_map(|path| remark(&path, me, holds_a_secret(&path))).collect();
    remarks.extend(files(&folder.join("tokens")).into_iter().filter_map(|path| remark(&path, me, true)));
    remarks
}

fn remark(path: &Path, me: &str, is_secret: bool) -> Option<Remark> {
    let is = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let (mode, path) = (is.mode() & 0o7777, path.display());
    // A group is named on purpose, for reading: that of the user as whom Consul runs its checks.
    if is.mode() & OTHERS_WRITE != 0 {
        return Some(Remark {
            why: format!("others there may write {path} ({mode:04o}), which root's executables obey"),
            next: format!("on {me}: chmod go-w,o= {path}"),
        });
    }
    (is_secret && is.mode() & OTHERS_READ != 0).then(|| Remark {
        why: format!("everybody there may read the secret {path} ({mode:04o})"),
        next: format!("on {me}: chmod o= {path}"),
    })
}

/// The name of a file with a token is no secret, and neither is where clouds.yaml lies.
fn holds_a_secret(path: &Path) -> bool {
    if path.metadata().is_ok_and(|is| is.len() > LARGEST || !is.is_file()) {
        return true;
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|line| {
        let name = line.trim_start_matches("export ").split('=').next().unwrap_or_default().trim();
        name == "CONSUL_HTTP_TOKEN" || name.ends_with("PASSWORD") || name.ends_with("SECRET")
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.truncate(MOST);
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_or_a_password_that_everybody_may_read_is_named_and_what_others_may_write_always() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let site = [
            ("tokens/probe", "t", 0o640, None),
            ("tokens/recover", "t", 0o644, Some("chmod o= ")),
            ("tokens/mark-failed", "t", 0o660, Some("chmod go-w,o= ")),
            ("recover.env", "export OS_PASSWORD=x\n", 0o644, Some("chmod o= ")),
            ("mark-failed.env", "CONSUL_HTTP_TOKEN_FILE=/x\n", 0o644, None),
            ("boot-guard.env", "CONSUL_HTTP_TOKEN=x\n", 0o640, None),
            ("other.env", "A=b\n", 0o664, Some("chmod go-w,o= ")),
            ("readme", "OS_PASSWORD=x\n", 0o644, None),
        ];
        let mut expected = Vec::new();
        for (name, text, mode, fix) in site {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            expected.extend(fix.map(|fix| format!("on ha1: {fix}{}", path.display())));
        }
        let mut said: Vec<String> =
            remarks(folder.path(), "ha1").into_iter().map(|remark| remark.next).collect();
        said.sort();
        expected.sort();
        assert_eq!(said, expected);
    }
}
