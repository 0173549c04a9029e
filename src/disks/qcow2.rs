//! The header of a qcow2 image: which other files whoever opens the image opens with it. Pure.
//!
//! Source: qemu's `docs/interop/qcow2.txt`, and where that leaves it open what `block/qcow2.c` does. An image can name a
//! *backing file* (what was never written is read from there) and an *external data file* (all of the data is there,
//! read and written). Both are names of any file or device of the machine that opens the image (CVE-2024-32498).
//!
//! Anything that is not as it must be is an error: what nova-ha does not understand qemu may. Only what
//! the format itself calls safe to ignore, header extensions of other types, is passed over.

/// The first bytes of every qcow image.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// As much of an image as [`header`] needs. The backing file's name follows the extensions, which are some hundred bytes
/// long; the format allows it anywhere in the first cluster (64 KiB by default).
pub const HEADER_BYTES: usize = 64 * 1024;

/// Length of the header of version 2, and the least of version 3.
const LENGTH_2: u64 = 72;
const LENGTH_3: u64 = 104;

/// qemu's own limits.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
const MOST_NAME: u32 = 1023;

/// Incompatible features: dirty, corrupt, external data file, compression type, extended L2 entries.
const KNOWN_FEATURES: u64 = 0b1_1111;
const EXTERNAL_DATA_FILE: u64 = 1 << 2;

/// Header extensions.
const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// What an image's header says about other files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The file that it is an overlay of.
    pub backing: Option<Backing>,
    /// Whether its data is in another file, by the feature bit or by a name of one.
    pub has_data_file: bool,
}

/// A backing file, as the image names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// A path, or any other word by which qemu opens something (`nbd://...`, `json:{...}`). Not empty.
    pub name: Vec<u8>,
    /// Its format; without one qemu looks at its content.
    pub format: Option<Vec<u8>>,
}

/// Why a header cannot be understood. For people: what follows *its header*.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is no qcow image at all.
    #[error("is no qcow2 header")]
    Magic,
    /// Something that it must have is not in the first [`HEADER_BYTES`].
    #[error("goes on where its first {HEADER_BYTES} bytes, or the file, end")]
    Short,
    /// Neither 2 nor 3.
    #[error("is of version {0}, not 2 or 3")]
    Version(u32),
    /// Outside of what qemu takes.
    #[error("says clusters of 2^{0} bytes")]
    Cluster(u32),
    /// Shorter than its version's, or longer than a cluster.
    #[error("says that it is {0} bytes long")]
    Length(u32),
    /// Incompatible features that nova-ha does not know.
    #[error("has incompatible features that are not known: {0:#x}")]
    Features(u64),
    /// The backing file's name is not where, or as long as, it may be.
    #[error("says that the name of its backing file is {length} bytes long, at {at}")]
    BackingName {
        /// Where, from the image's first byte.
        at: u64,
        /// In bytes.
        length: u32,
    },
    /// An extension that does not end before the extensions do.
    #[error("has an extension of {0} bytes, too long for its place")]
    Extension(u32),
}

/// Reads the header from the first [`HEADER_BYTES`] of an image, or all of it where it is shorter.
///
/// # Errors
/// It is no qcow2 header, or one that is not understood to the end.
pub fn header(image: &[u8]) -> Result<Header, Malformed> {
    if !image.starts_with(&MAGIC) {
        return Err(Malformed::Magic);
    }
    let version = word(image, 4)?;
    let (features, length) = match version {
        2 => (0, LENGTH_2),
        3 => (long(image, 72)?, u64::from(word(image, 100)?)),
        other => return Err(Malformed::Version(other)),
    };
    let bits = word(image, 20)?;
    if !CLUSTER_BITS.contains(&bits) {
        return Err(Malformed::Cluster(bits));
    }
    let cluster = 1_u64 << bits;
    let least = if version == 2 { LENGTH_2 } else { LENGTH_3 };
    if !(least..=cluster).contains(&length) {
        return Err(Malformed::Length(u32::try_from(length).unwrap_or(u32::MAX)));
    }
    if features & !KNOWN_FEATURES != 0 {
        return Err(Malformed::Features(features & !KNOWN_FEATURES));
    }
    let name = backing_name(image, length, cluster)?;
    // As qemu does: up to the backing file's name, or to the end of the first cluster.
    let end = name.as_ref().map_or(cluster, |(at, _)| *at);
    let extensions = extensions(image, length, end)?;
    Ok(Header {
        backing: name.map(|(_, name)| Backing { name, format: extensions.backing_format }),
        has_data_file: features & EXTERNAL_DATA_FILE != 0 || extensions.has_data_file_name,
    })
}

/// Where the backing file's name is, and the name.
fn backing_name(image: &[u8], header: u64, cluster: u64) -> Result<Option<(u64, Vec<u8>)>, Malformed> {
    let (at, length) = (long(image, 8)?, word(image, 16)?);
    if at == 0 {
        // Without a name its length means nothing.
        return Ok(None);
    }
    let fits = at >= header && at.checked_add(length.into()).is_some_and(|end| end <= cluster);
    if !fits || !(1..=MOST_NAME).contains(&length) {
        return Err(Malformed::BackingName { at, length });
    }
    Ok(Some((at, bytes(image, at, length.into())?.to_vec())))
}

#[derive(Default)]
struct Extensions {
    backing_format: Option<Vec<u8>>,
    has_data_file_name: bool,
}

/// All of them; of two that say the same the last counts, as in qemu.
fn extensions(image: &[u8], from: u64, end: u64) -> Result<Extensions, Malformed> {
    let mut found = Extensions::default();
    let mut at = from;
    while end.saturating_sub(at) >= 8 {
        let kind = word(image, at)?;
        let length = word(image, at + 4)?;
        at += 8;
        if kind == END {
            break;
        }
        if u64::from(length) > end - at {
            return Err(Malformed::Extension(length));
        }
        match kind {
            BACKING_FORMAT => found.backing_format = Some(bytes(image, at, length.into())?.to_vec()),
            DATA_FILE_NAME => found.has_data_file_name = true,
            _ => {}
        }
        at = at.saturating_add(u64::from(length).next_multiple_of(8));
    }
    Ok(found)
}

fn bytes(image: &[u8], at: u64, length: u64) -> Result<&[u8], Malformed> {
    let range = |at: u64| usize::try_from(at).ok();
    let found = (|| image.get(range(at)?..range(at.checked_add(length)?)?))();
    found.ok_or(Malformed::Short)
}

fn word(image: &[u8], at: u64) -> Result<u32, Malformed> {
    let four = bytes(image, at, 4)?.try_into();
    four.map(u32::from_be_bytes).map_err(|_| Malformed::Short)
}

fn long(image: &[u8], at: u64) -> Result<u64, Malformed> {
    let eight = bytes(image, at, 8)?.try_into();
    eight.map(u64::from_be_bytes).map_err(|_| Malformed::Short)
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
