//! `/proc/self/mountinfo` (proc(5)): what is mounted where.

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `MAJOR:MINOR` of the filesystem's device; an anonymous one for btrfs, overlay, tmpfs, NFS.
    pub device: String,
    /// The folder of the filesystem that is mounted; `/` unless it is a bind mount.
    pub root: String,
    /// Where.
    pub mountpoint: String,
    /// Options of this mount (`ro`, `nosuid`, ...).
    pub options: Vec<String>,
    /// `xfs`, `ext4`, ...
    pub fs_type: String,
    /// The device as it was named; for people.
    pub source: String,
    /// Options of the filesystem itself.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether nothing can be written through it.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().chain(&self.super_options).any(|option| option == "ro")
    }
}

/// Reads the table, in its order: of two mounts on one place the later one is seen.
///
/// # Errors
/// A line that is not of the form: then nobody knows what else is mounted.
pub fn parse(text: &str) -> Result<Vec<Mount>, String> {
    text.trim_end()
        .lines()
        .map(|line| {
            one(line)
                .ok_or_else(|| format!("the mount table has {:?}", line.chars().take(80).collect::<String>()))
        })
        .collect()
}

fn one(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let mut right = right.split(' ');
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    Some(Mount {
        device: left.next()?.to_owned(),
        root: unescaped(left.next()?),
        mountpoint: unescaped(left.next()?),
        options: list(left.next()?),
        fs_type: right.next()?.to_owned(),
        source: unescaped(right.next()?),
        super_options: list(right.next().unwrap_or_default()),
    })
}

/// Blank, tab, newline and backslash are written in octal.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_whole_or_not_at_all() {
        let text = "\
22 1 0:20 / / rw,relatime shared:1 master:2 - overlay overlay rw,lowerdir=/l
36 22 9:1 / /var/lib/nova/instances rw,relatime - xfs /dev/md1 rw,attr2
37 22 9:1 /a\\040b /mnt/x\\134y ro - xfs /dev/md1 rw,attr2
";
        let mounts = parse(text).unwrap();
        assert_eq!(mounts[1].mountpoint, "/var/lib/nova/instances");
        assert_eq!((mounts[1].device.as_str(), mounts[1].fs_type.as_str()), ("9:1", "xfs"));
        assert_eq!((mounts[2].root.as_str(), mounts[2].mountpoint.as_str()), ("/a b", "/mnt/x\\y"));
        assert_eq!(mounts.iter().map(Mount::is_read_only).collect::<Vec<_>>(), [false, false, true]);
        assert!(parse("36 22 9:1 /\n").is_err());
        let long = parse(&format!("36 22 9:1 /{}\n", "é".repeat(100_000))).unwrap_err();
        assert!(long.len() < 400, "{} bytes", long.len());
        let own = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(parse(&own).unwrap().iter().any(|mount| mount.mountpoint == "/"));
    }
}
