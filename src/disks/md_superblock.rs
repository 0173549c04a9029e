//! The md superblock (`struct mdp_superblock_1` of the kernel's md_p.h) on a member, whether its array runs
//! or not: what the disk itself says.
//!
//! Metadata 0.90 and external metadata (IMSM, DDF) are not read: they are no superblock here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::md_uuid;

/// What one superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// 0, 1 or 2 of `1.0`, `1.1` and `1.2`: where on the disk it is.
    pub minor_version: u8,
    /// In mdadm's form, `a3a88330:384edff1:0c126ded:b8d8ca93`.
    pub array: String,
    /// `compute1:md1`, or a mark of [`super::owner_mark`].
    pub set_name: String,
    /// In the same form: this member.
    pub device: String,
    /// `raid10`, ...; the kernel's number where it has no name here.
    pub level: String,
    /// The kernel's number of the layout.
    pub layout: u32,
    /// How many places the array has.
    pub raid_disks: u32,
    /// Sectors of each member that the array uses; 0 where it uses all.
    pub sectors: u64,
    /// Raised with each change of the array: of two members the one with more is newer.
    pub events: u64,
    /// What this member is.
    pub role: Role,
    /// By which number the array knows it, whatever place it has.
    pub number: u32,
    /// Who the members are, as it says: their places by their numbers. Whoever is not among them was given up, or
    /// never was one.
    pub members: BTreeMap<u32, u16>,
    /// Whether it was stopped cleanly: no resync is needed.
    pub is_clean: bool,
    /// Whether a bitmap says which parts differ.
    pub has_bitmap: bool,
    /// Whether this member was still being rebuilt.
    pub is_recovering: bool,
    /// Whether its shape was being changed.
    pub is_reshaping: bool,
    /// When the array was made, in seconds since the epoch.
    pub created: u64,
    /// When this was written, likewise.
    pub updated: u64,
}

/// What a member is to its array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It has this place.
    Place(u16),
    /// It waits for one.
    Spare,
    /// The array had given it up.
    Faulty,
    /// It holds the journal.
    Journal,
}

/// A superblock that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its md superblock is damaged: {0}")]
pub struct Damaged(&'static str);

const MAGIC: u32 = 0xa92b_4efc;
const SECTOR: u64 = 512;
/// Before the roles.
const FIXED: usize = 256;
/// With them: the kernel keeps all of it in one page.
const BYTES: usize = 4096;
/// The low bits of a time are seconds, those above are microseconds.
const SECONDS: u64 = (1 << 40) - 1;

/// Roles that are no place.
const SPARE: u16 = 0xffff;
const FAULTY: u16 = 0xfffe;
const JOURNAL: u16 = 0xfffd;

const FEATURE_BITMAP: u32 = 0x1;
const FEATURE_RECOVERING: u32 = 0x2;
const FEATURE_RESHAPING: u32 = 0x4;

/// The superblock of this device; `None` where there is none. Opens it for reading only.
///
/// Where an older one was left at another place, the array that was made last counts, as for mdadm.
///
/// # Errors
/// The device cannot be read, or all that it has is damaged.
pub fn read(node: &Path) -> io::Result<Option<Superblock>> {
    let mut file = File::open(node)?;
    // The disk may have been written by another machine since somebody here read it. Pipes and the like know no
    // such advice, and have no superblock.
    let _advice = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let size = file.seek(SeekFrom::End(0))?;
    let mut newest: Option<Superblock> = None;
    let mut damaged = None;
    for (minor_version, sector) in places(size / SECTOR) {
        match parse(&block_at(&mut file, sector)?, minor_version, sector) {
            Ok(Some(found)) if newest.as_ref().is_none_or(|known| known.created < found.created) => {
                newest = Some(found);
            }
            Ok(Some(_) | None) => {}
            Err(error) => damaged = Some(error),
        }
    }
    match (newest, damaged) {
        (None, Some(error)) => Err(io::Error::other(error)),
        (newest, _) => Ok(newest),
    }
}

/// Where the superblock of each minor version is, in sectors.
fn places(device_sectors: u64) -> Vec<(u8, u64)> {
    let at_end = device_sectors.checked_sub(16).filter(|at| *at >= 8).map(|at| (0, at & !7));
    at_end.into_iter().chain([(1, 0), (2, 8)]).collect()
}

fn block_at(file: &mut File, sector: u64) -> io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BYTES);
    file.seek(SeekFrom::Start(sector * SECTOR))?;
    file.take(BYTES as u64).read_to_end(&mut block)?;
    Ok(block)
}

/// Reads what is at one of the places. `None`: no superblock, or one that belongs to another place.
///
/// # Errors
/// It is one, and it is not as it was written.
pub fn parse(block: &[u8], minor_version: u8, sector: u64) -> Result<Option<Superblock>, Damaged> {
    let short = Damaged("it ends too early");
    let fields = Fields(block);
    match (fields.u32(0), fields.u32(4), fields.u64(144)) {
        (Some(MAGIC), Some(1), Some(at)) if at == sector => {}
        _ => return Ok(None),
    }
    let max_dev = fields.u32(220).ok_or(short.clone())?;
    let length = usize::try_from(max_dev)
        .ok()
        .and_then(|roles| roles.checked_mul(2)?.checked_add(FIXED))
        .filter(|length| *length <= BYTES)
        .ok_or(Damaged("it has too many members"))?;
    let whole = block.get(..length).ok_or(short.clone())?;
    if fields.u32(216) != Some(checksum(whole)) {
        return Err(Damaged("its checksum is wrong"));
    }
    let read = || {
        let features = fields.u32(8)?;
        let number = fields.u32(160)?;
        let role_of = |number: u32| fields.u16(FIXED + 2 * usize::try_from(number).ok()?);
        let role = if number < max_dev { role_of(number)? } else { SPARE };
        let members = (0..max_dev).filter_map(|number| Some((number, role_of(number)?)));
        Some(Superblock {
            minor_version,
            array: uuid(block.get(16..32)?)?,
            set_name: text(block.get(32..64)?),
            device: uuid(block.get(168..184)?)?,
            level: level(fields.u32(72)?),
            layout: fields.u32(76)?,
            raid_disks: fields.u32(92)?,
            sectors: fields.u64(80)?,
            events: fields.u64(200)?,
            role: match role {
                SPARE => Role::Spare,
                FAULTY => Role::Faulty,
                JOURNAL => Role::Journal,
                place => Role::Place(place),
            },
            number,
            members: members.filter(|(_, role)| *role < JOURNAL).collect(),
            is_clean: fields.u64(208)? == u64::MAX,
            has_bitmap: features & FEATURE_BITMAP != 0,
            is_recovering: features & FEATURE_RECOVERING != 0,
            is_reshaping: features & FEATURE_RESHAPING != 0,
            created: fields.u64(64)? & SECONDS,
            updated: fields.u64(192)? & SECONDS,
        })
    };
    read().map(Some).ok_or(Damaged("it names no array"))
}

/// The sum of its 32-bit words with the checksum's own word as zero, folded once.
fn checksum(whole: &[u8]) -> u32 {
    let mut sum: u64 = 0;
    for (at, word) in whole.chunks(4).enumerate() {
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = *from;
        }
        if at != 216 / 4 {
            sum += u64::from(u32::from_le_bytes(bytes));
        }
    }
    let folded = (sum & u64::from(u32::MAX)) + (sum >> 32);
    u32::try_from(folded & u64::from(u32::MAX)).unwrap_or_default()
}

fn uuid(bytes: &[u8]) -> Option<String> {
    md_uuid::uuid(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Up to the first zero; mdadm also ends it at a newline.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// As sysfs names it.
fn level(number: u32) -> String {
    match number.cast_signed() {
        -1 => "linear".to_owned(),
        number @ (0 | 1 | 4 | 5 | 6 | 10) => format!("raid{number}"),
        other => other.to_string(),
    }
}

/// Little-endian numbers at their offsets.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.0.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.get(at..at + 4)?.try_into().ok()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.0.get(at..at + 8)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests;
