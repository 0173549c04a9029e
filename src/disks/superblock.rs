//! The UUID of a filesystem from its own superblock, where udev does not say it: XFS (`xfs_dsb`) and
//! ext2 to ext4 (`ext4_super_block`), as their kernel headers lay them out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use uuid::Uuid;

/// Both superblocks end before this.
const BYTES: usize = 2048;

/// Type and UUID of the filesystem on this device; `None` where it is none of those known here. Opens it for
/// reading only.
///
/// # Errors
/// The device cannot be read.
pub fn filesystem(node: &Path) -> io::Result<Option<(&'static str, String)>> {
    let mut block = Vec::with_capacity(BYTES);
    File::open(node)?.take(BYTES as u64).read_to_end(&mut block)?;
    Ok(in_block(&block))
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn said(block: &[u8]) -> Option<(&'static str, String)> {
    in_block(block)
}

fn in_block(block: &[u8]) -> Option<(&'static str, String)> {
    let uuid_at = |at: usize| {
        let bytes: [u8; 16] = block.get(at..at + 16)?.try_into().ok()?;
        let uuid = Uuid::from_bytes(bytes);
        (!uuid.is_nil()).then(|| uuid.to_string())
    };
    let word_at = |at: usize| Some(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?));
    if block.starts_with(b"XFSB") {
        return Some(("xfs", uuid_at(32)?));
    }
    const EXT: usize = 1024;
    if block.get(EXT + 56..EXT + 58)? != [0x53, 0xef] {
        return None;
    }
    let (has_journal, has_extents) = (word_at(EXT + 92)? & 0x4 != 0, word_at(EXT + 96)? & 0x40 != 0);
    let fs_type = match (has_extents, has_journal) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    };
    Some((fs_type, uuid_at(EXT + 104)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn real_filesystems_are_known_by_their_superblocks() {
        let uuid = "b74093a0-8a58-4938-9a65-e42ff579694c";
        for (program, args, expected) in [
            ("mkfs.ext4", vec!["-q", "-F", "-U", uuid], "ext4"),
            ("mkfs.ext3", vec!["-q", "-F", "-U", uuid], "ext3"),
            ("mkfs.ext2", vec!["-q", "-F", "-U", uuid], "ext2"),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(16 << 20).unwrap();
            let made = Command::new(format!("/sbin/{program}")).args(args).arg(file.path()).output().unwrap();
            assert!(made.status.success(), "{program}: {made:?}");
            assert_eq!(filesystem(file.path()).unwrap(), Some((expected, uuid.to_owned())));
        }
    }

    #[test]
    fn an_xfs_superblock_is_known_and_nothing_else_is_a_filesystem() {
        // The first bytes of what mkfs.xfs 6.1 wrote: magic, block size, blocks, ..., UUID at 32.
        let mut block = vec![0; BYTES];
        block.splice(0..8, *b"XFSB\x00\x00\x10\x00");
        assert_eq!(in_block(&block), None, "a UUID of zeros names nothing");
        let uuid = Uuid::parse_str("b74093a0-8a58-4938-9a65-e42ff579694c").unwrap();
        block.splice(32..48, *uuid.as_bytes());
        assert_eq!(in_block(&block), Some(("xfs", uuid.to_string())));
        for nothing in [vec![0; BYTES], block[..40].to_vec(), Vec::new(), vec![0xff; BYTES]] {
            assert_eq!(in_block(&nothing), None);
        }
        assert!(filesystem(Path::new("/nonexistent")).is_err());
    }
}
