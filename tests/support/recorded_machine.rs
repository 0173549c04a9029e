//! A machine whose sysfs, procfs, udev and device nodes are files in a folder of the test.

use std::io::{Seek, SeekFrom, Write};

use super::recorded_superblock::recorded;
use super::{Roots, recorded_tree};

/// It lasts as long as this.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    /// Where everything is.
    pub(crate) roots: Roots,
}

#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests")]
impl Machine {
    /// From a recorded tree.
    pub(crate) fn of(recorded: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        recorded_tree::unpack(recorded, folder.path());
        let at = |path: &str| folder.path().join(path);
        let roots = Roots { sys: at("sys"), proc: at("proc"), udev: at("run/udev/data"), dev: at("dev") };
        Self { folder, roots }
    }

    /// Adds to the tree, or changes it.
    pub(crate) fn set(&self, recorded: &str) {
        recorded_tree::unpack(recorded, self.folder.path());
    }

    /// An empty device of this size.
    pub(crate) fn device(&self, name: &str, bytes: u64) {
        let path = self.roots.dev.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
    }

    /// A device of 24 MiB with this superblock of `tests/data/disks/superblocks.txt`.
    pub(crate) fn superblock(&self, name: &str, superblock: &str) {
        self.device(name, 24 << 20);
        let (sector, block) = recorded(superblock);
        let mut file = std::fs::OpenOptions::new().write(true).open(self.roots.dev.join(name)).unwrap();
        file.seek(SeekFrom::Start(sector * 512)).unwrap();
        file.write_all(&block).unwrap();
    }
}
