//! Recorded trees of /sys, /proc and /run/udev: one text file, `PATH = VALUE` per line, `\n` for a
//! newline within a value. `#` begins a comment.

use std::path::Path;

/// Makes the files below `root`.
#[allow(clippy::unwrap_used, reason = "a helper of tests")]
pub(crate) fn unpack(recorded: &str, root: &Path) {
    for (path, value) in recorded.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" = "))
    {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.replace("\\n", "\n") + "\n").unwrap();
    }
}
