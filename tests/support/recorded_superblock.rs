//! The md superblocks of `tests/data/disks/superblocks.txt`.

/// A recorded superblock, with the sector where it was.
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests")]
pub(crate) fn recorded(name: &str) -> (u64, Vec<u8>) {
    let line = include_str!("../data/disks/superblocks.txt")
        .lines()
        .find(|line| line.split(' ').next() == Some(name))
        .unwrap();
    let mut words = line.split(' ').skip(1);
    let sector = words.next().unwrap().parse().unwrap();
    let hex = words.next().unwrap();
    let mut block: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    block.resize(4096, 0);
    (sector, block)
}
