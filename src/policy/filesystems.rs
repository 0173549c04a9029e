//! Which types of filesystem are mounted from the disks of a dead host: the kernel of an HA node reads what the host left
//! (docs/decisions/0040). Pure.

use std::collections::BTreeSet;

use super::Policy;

impl Policy {
    /// Whether a filesystem of this type is mounted from the disks of a dead host. `bound` are the types that an operator
    /// accepted of it; `None` where nobody bound the host. Such a host goes on as before there was a list, as long as nobody
    /// has set one.
    pub fn mounts_of(&self, fs_type: &str, bound: Option<&BTreeSet<String>>) -> bool {
        let is_accepted = match bound {
            Some(types) => types.contains(fs_type),
            None => self.md_filesystems == Self::default().md_filesystems,
        };
        is_one_type(fs_type) && (is_accepted || self.mounts(fs_type))
    }

    /// Whether the list itself has this type. ext3 is read by the kernel's code for ext4.
    pub fn mounts(&self, fs_type: &str) -> bool {
        let read_by = if fs_type == "ext3" { "ext4" } else { fs_type };
        [fs_type, read_by].iter().any(|name| self.md_filesystems.iter().any(|known| known == name))
    }

    /// Why a filesystem of a type that is not among them is not mounted.
    pub fn why_not_mounted(&self, fs_type: &str) -> String {
        match is_one_type(fs_type) {
            true => format!(
                "its type is {fs_type}, and policy md_filesystems has {}",
                self.md_filesystems.join(", ")
            ),
            false => format!("the host says that its type is {fs_type:?}, which is none"),
        }
    }

    /// The command after which it is mounted. The type is the host's word and a person types the command, so there is none
    /// for what is no type.
    pub fn how_to_mount(&self, fs_type: &str) -> Option<String> {
        let all = self.md_filesystems.iter().map(String::as_str).chain([fs_type]);
        let quoted: Vec<String> = all.map(|name| format!("\"{name}\"")).collect();
        is_one_type(fs_type).then(|| format!("nova-ha policy set md_filesystems '[{}]'", quoted.join(",")))
    }
}

/// Whether it is one type of filesystem and nothing that leaves a choice to mount: `xfs,ext4` and `noxfs` do.
pub fn is_one_type(fs_type: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !fs_type.is_empty() && !fs_type.starts_with("no") && fs_type.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xfs_and_ext4_are_mounted_from_foreign_disks_and_others_where_the_policy_names_them() {
        let mounted = |policy: &Policy| {
            ["xfs", "ext4", "ext3", "ext2", "btrfs", "hfsplus", "xfs,ext4", ""]
                .map(|fs_type| policy.mounts(fs_type))
        };
        let policy = |types: &[&str]| Policy {
            md_filesystems: types.iter().map(|name| (*name).to_owned()).collect(),
            ..Policy::default()
        };
        assert_eq!(mounted(&Policy::default()), [true, true, true, false, false, false, false, false]);
        assert_eq!(mounted(&policy(&["btrfs"])), [false, false, false, false, true, false, false, false]);
        assert_eq!(mounted(&policy(&["ext3"])), [false, false, true, false, false, false, false, false]);
        for bad in [&[][..], &[""], &["xfs,ext4"], &["noxfs"], &["-a"], &["xfs", "EXT4"]] {
            assert_eq!(policy(bad).faults().len(), 1, "{bad:?}");
        }
    }
}
