//! Who a disk is, on every machine that sees it: its world-wide name.
//!
//! The same name is written differently by the kernel (`naa.5000cca0...`), udev (`0x5000cca0...`),
//! `scsi_id` and the original (`35000cca0...`) and multipath (`mpath-35000cca0...`). Whatever is
//! not clearly one of these is no name: a wrong match could join a stranger's disk to an array.

use std::fmt;

use crate::say::short;

/// A disk's world-wide name in the kernel's form, `naa.`, `eui.`, `t10.`, `nvme.` or `uuid.` and the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(String);

/// What cannot be a disk's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is no world-wide name of a disk", short(.0))]
pub struct BadDiskId(String);

/// A T10 name has vendor, model and serial number; more than this is no name.
const MAX_CHARS: usize = 160;

impl DiskId {
    /// Reads any of the forms above.
    ///
    /// # Errors
    /// It is none of them, or a name that says nothing (all zeros).
    pub fn parse(text: &str) -> Result<Self, BadDiskId> {
        let text = text.trim();
        let bad = || BadDiskId(text.chars().take(40).collect());
        if text.len() > MAX_CHARS || text.contains(|c: char| c.is_control() || c == '/') {
            return Err(bad());
        }
        let bare = text.strip_prefix("mpath-").or(text.strip_prefix("wwn-")).unwrap_or(text);
        let found = if let Some(hex) = bare.strip_prefix("naa.").or(bare.strip_prefix("0x")) {
            naa(hex)
        } else if let Some(hex) = bare.strip_prefix("eui.") {
            eui(hex)
        } else if let Some(rest) = bare.strip_prefix("t10.") {
            words(rest).map(|rest| format!("t10.{rest}"))
        } else if let Some(rest) = bare.strip_prefix("nvme.") {
            words(rest).map(|rest| format!("nvme.{rest}"))
        } else if let Some(rest) = bare.strip_prefix("uuid.") {
            words(rest).map(|rest| format!("uuid.{rest}"))
        } else if let Some(hex) = bare.strip_prefix('3') {
            naa(hex)
        } else if let Some(hex) = bare.strip_prefix('2') {
            eui(hex)
        } else if let Some(rest) = bare.strip_prefix('1') {
            words(rest).map(|rest| format!("t10.{rest}"))
        } else {
            None
        };
        // Each form may be longer here than it came, and whoever reads it from the tree reads it with this very function.
        found.filter(|name| name.len() <= MAX_CHARS).map(Self).ok_or_else(bad)
    }

    /// In `scsi_id`'s form where it has one: what the original writes into the tree.
    pub fn scsi_id(&self) -> String {
        match self.0.split_once('.') {
            Some(("naa", rest)) => format!("3{rest}"),
            Some(("eui", rest)) if rest.len() == 16 => format!("2{rest}"),
            Some(("t10", rest)) => format!("1{rest}"),
            Some(_) | None => self.0.clone(),
        }
    }

    /// The kernel's form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex_of(text: &str) -> Option<String> {
    let good = text.bytes().all(|b| b.is_ascii_hexdigit()) && text.bytes().any(|b| b != b'0');
    good.then(|| text.to_ascii_lowercase())
}

/// NAA 2, 3 and 5 have 64 bits, NAA 6 has 128. udev's `ID_WWN` has only the first half of an NAA 6,
/// which all disks of one box may share: it is refused.
fn naa(hex: &str) -> Option<String> {
    let digits = match hex.bytes().next()? {
        b'2' | b'3' | b'5' => 16,
        b'6' => 32,
        _ => return None,
    };
    (hex.len() == digits).then(|| hex_of(hex)).flatten().map(|hex| format!("naa.{hex}"))
}

fn eui(hex: &str) -> Option<String> {
    matches!(hex.len(), 16 | 24 | 32).then(|| hex_of(hex)).flatten().map(|hex| format!("eui.{hex}"))
}

/// The kernel pads with blanks, `scsi_id` makes one `_` of each run of them.
fn words(text: &str) -> Option<String> {
    let joined = text.split_ascii_whitespace().collect::<Vec<_>>().join("_");
    // An empty name, or one of zeros only.
    let says = joined.bytes().any(|b| b.is_ascii_alphanumeric() && b != b'0');
    (says && joined.len() >= 8).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_one_name_is_that_name() {
        for (forms, canonical, scsi_id) in [
            (
                &[
                    "naa.5000cca04dab0000",
                    "0x5000cca04dab0000",
                    "35000cca04dab0000",
                    "wwn-0x5000CCA04DAB0000",
                ][..],
                "naa.5000cca04dab0000",
                "35000cca04dab0000",
            ),
            (
                &["naa.60014050000abd150000000000000000", "mpath-360014050000abd150000000000000000"],
                "naa.60014050000abd150000000000000000",
                "360014050000abd150000000000000000",
            ),
            (&["eui.0025385b71b00d21", "20025385b71b00d21"], "eui.0025385b71b00d21", "20025385b71b00d21"),
            (
                &["eui.00000000000000008ce38ee20c1b6801"],
                "eui.00000000000000008ce38ee20c1b6801",
                "eui.00000000000000008ce38ee20c1b6801",
            ),
            (
                &["t10.ATA     QEMU HARDDISK    QM00001             ", "1ATA_QEMU_HARDDISK_QM00001"],
                "t10.ATA_QEMU_HARDDISK_QM00001",
                "1ATA_QEMU_HARDDISK_QM00001",
            ),
            (
                &["nvme.1b36-6465-51454d55-00000001"],
                "nvme.1b36-6465-51454d55-00000001",
                "nvme.1b36-6465-51454d55-00000001",
            ),
        ] {
            for form in forms {
                let id = DiskId::parse(form).unwrap();
                assert_eq!((id.as_str(), id.scsi_id()), (canonical, scsi_id.to_owned()), "{form}");
            }
        }
    }

    #[test]
    fn what_could_be_two_disks_is_no_name() {
        for bad in [
            "",
            "sda",
            "0x6001405000abd150",
            "naa.0000000000000000",
            "eui.0000000000000000",
            "naa.5000cca04dab000",
            "naa.5000cca04dab000g",
            "35000cca04dab00001",
            "0x0025385b71b00d21",
            "t10.",
            "uuid.00000000-0000-0000-0000-000000000000",
            "SQEMU_QEMU_HARDDISK_1",
            "naa.5000cca04dab0000/..",
            &format!("1{}", "x".repeat(159)),
        ] {
            assert!(DiskId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
