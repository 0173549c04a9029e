//! A host's md arrays and their filesystems, as it published them.
//!
//! The original's array has `uuid`, `name`, `level`, `num_devices`, `state` and `devices` (by the name
//! that `scsi_id` prints), all of them strings. Ours has these too, so that the original reads what we
//! write, and beside them what a takeover needs: members with their places.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MdArray {
    /// In mdadm's form, `a3a88330:384edff1:0c126ded:b8d8ca93`.
    #[serde(default)]
    pub uuid: String,
    /// The name in its superblocks, `compute1:md1`.
    #[serde(default)]
    pub name: String,
    /// `raid10`, ...
    #[serde(default)]
    pub level: String,
    /// How many places it has, in digits.
    #[serde(default)]
    pub num_devices: String,
    /// `clean`, ...: what the original wrote. It changes from one moment to the next, so ours is always `clean`
    /// for an array that works.
    #[serde(default)]
    pub state: String,
    /// The original: members by the name that `scsi_id` prints.
    #[serde(default)]
    pub devices: BTreeMap<String, OriginalDevice>,
    /// Ours: its members. Empty in what the original wrote.
    #[serde(default)]
    pub members: Vec<Member>,
    /// Ours: the kernel's number of the layout; its meaning depends on the level.
    #[serde(default)]
    pub layout: Option<u32>,
    /// Ours: `1.2`, ...
    #[serde(default)]
    pub metadata: Option<String>,
    /// Ours: how many places are empty.
    #[serde(default)]
    pub degraded: u32,
}

/// A member as the original wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalDevice {
    /// `scsi`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// What `scsi_id` prints of the disk.
    #[serde(default)]
    pub uuid: String,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The disk's world-wide name, in the kernel's form.
    pub disk: String,
    /// The partition's number, where it is one.
    #[serde(default)]
    pub partition: Option<u32>,
    /// `scsi`, `nvme` or `multipath`: what it is on this host.
    #[serde(default)]
    pub kind: String,
    /// Its place in the array; none for a spare.
    #[serde(default)]
    pub slot: Option<u32>,
    /// Whether it has all the data of its place.
    #[serde(default)]
    pub in_sync: bool,
}

/// One mounted filesystem on an array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its UUID, in the form of its own tools.
    pub uuid: String,
    /// `xfs`, `ext4`, ...
    pub fs_type: String,
    /// Where it is mounted on the host.
    pub mountpoint: String,
    /// The UUID of the array that it is on.
    pub array: String,
}

impl MdArray {
    /// Reads one entry of `md_arrays`. `uuid` is its key there.
    ///
    /// # Errors
    /// It is no array, or says another UUID than its key.
    pub fn of(uuid: &str, value: &serde_json::Value) -> Result<Self, String> {
        let mut array: Self =
            serde_json::from_value(value.clone()).map_err(|e| format!("array {uuid}: {e}"))?;
        if array.uuid.is_empty() {
            uuid.clone_into(&mut array.uuid);
        }
        if array.uuid != uuid {
            return Err(format!("array {uuid} says that it is {}", array.uuid));
        }
        Ok(array)
    }

    /// How many places it has; `None` where it does not say.
    pub fn places(&self) -> Option<u32> {
        self.num_devices.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_original_wrote_is_read() {
        let value = serde_json::json!({
            "devices": {"36001405123400001": {"type": "scsi", "uuid": "36001405123400001"}},
            "level": "raid10", "name": "compute1:0", "num_devices": "4", "state": "clean",
            "uuid": "9c4b2d0e:1a2b3c4d:5e6f7081:92a3b4c5"
        });
        let array = MdArray::of("9c4b2d0e:1a2b3c4d:5e6f7081:92a3b4c5", &value).unwrap();
        assert_eq!((array.places(), array.level.as_str()), (Some(4), "raid10"));
        assert_eq!(array.devices["36001405123400001"].kind, "scsi");
        assert!(array.members.is_empty());
        assert!(MdArray::of("another", &value).unwrap_err().contains("9c4b2d0e"));
        assert!(MdArray::of("x", &serde_json::json!({"level": 4})).is_err());
    }
}
