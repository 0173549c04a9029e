//! Block devices by their kernel names, and who they are.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{DiskId, Roots, md_uuid, pairs, read, read_if_there};

/// What a disk is, for the reader of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A SCSI, SAS, SATA or FC disk: one path.
    Scsi,
    /// An NVMe namespace; the kernel joins its paths itself.
    Nvme,
    /// A device-mapper multipath map.
    Multipath,
}

/// Where a device belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A disk, or a partition of one.
    Disk {
        /// Its name everywhere.
        id: DiskId,
        /// What it is here.
        kind: Kind,
        /// The partition's number.
        partition: Option<u32>,
    },
    /// Another md array, by its UUID where that can be read.
    Md(Option<String>),
    /// Nobody knows; why.
    Unknown(String),
}

/// A block device: a whole one, or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name here.
    pub name: String,
    /// Who it is.
    pub identity: Identity,
    /// Its size in sectors of 512 bytes; 0: no medium. None where the kernel does not say.
    pub sectors: Option<u64>,
}

/// Who the disks are by the links that udev made, with their kernel names: read once, when the first one is asked for that
/// nothing else names.
type Links = OnceCell<Vec<(String, DiskId)>>;

impl Identity {
    /// Who a partition of it is.
    fn part(&self, number: Option<u32>) -> Self {
        match (self, number) {
            (Self::Disk { id, kind, partition: None }, Some(number)) => {
                Self::Disk { id: id.clone(), kind: *kind, partition: Some(number) }
            }
            (Self::Disk { .. }, _) => Self::Unknown("it is no plain partition".into()),
            (Self::Md(_) | Self::Unknown(_), _) => self.clone(),
        }
    }
}

impl Roots {
    /// A folder of sysfs's `block`.
    pub(super) fn block(&self, name: &str) -> PathBuf {
        self.sys.join("block").join(name)
    }

    /// The kernel names of all whole devices, sorted. `!` stands for `/` in them.
    ///
    /// # Errors
    /// sysfs cannot be listed.
    pub fn block_names(&self) -> io::Result<Vec<String>> {
        let mut names = std::fs::read_dir(self.sys.join("block"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// All block devices, each followed by its partitions. One that goes away meanwhile is left out.
    ///
    /// # Errors
    /// sysfs cannot be listed.
    pub fn devices(&self) -> io::Result<Vec<Device>> {
        let mut found = Vec::new();
        let links = Links::new();
        for name in self.block_names()? {
            let (folder, identity) = (self.block(&name), self.identify_part(&name, None, &links));
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // One path of an NVMe disk that has several: it has no node, and the disk itself is listed beside it.
            if read_if_there(&folder.join("hidden")).ok().flatten().as_deref() == Some("1") {
                continue;
            }
            found.push(Device { name: name.clone(), identity: identity.clone(), sectors: sectors(&folder) });
            for entry in entries {
                let folder = entry?.path();
                let part = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // The kernel names a partition by its disk. Thirty other files and folders are beside it, and to open what is
                // not in them took most of a look's time.
                if !part.starts_with(&name) {
                    continue;
                }
                let Some(number) = read_if_there(&folder.join("partition")).ok().flatten() else { continue };
                let identity = identity.part(number.parse().ok());
                found.push(Device { name: part, identity, sectors: sectors(&folder) });
            }
        }
        Ok(found)
    }

    /// udev's properties of the device `MAJOR:MINOR`; empty where udev knows nothing of it.
    pub fn udev_properties(&self, number: &str) -> BTreeMap<String, String> {
        read(&self.udev.join(format!("b{number}"))).map(|text| pairs::udev(&text)).unwrap_or_default()
    }

    /// The node of a device.
    pub fn node(&self, name: &str) -> PathBuf {
        self.dev.join(name.replace('!', "/"))
    }

    /// The whole device that `name` is a partition of, with its number; `None` where it is whole.
    fn parent(&self, name: &str) -> io::Result<Option<(String, u32)>> {
        if self.block(name).is_dir() {
            return Ok(None);
        }
        for disk in self.block_names()? {
            if let Some(number) = read_if_there(&self.block(&disk).join(name).join("partition"))? {
                let number = number.parse().map_err(|_| io::Error::other("partition is no number"))?;
                return Ok(Some((disk, number)));
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no block device {name}")))
    }

    /// The kernel name of the whole disk that a device is, or is a partition of.
    pub(super) fn disk_of(&self, name: &str) -> String {
        self.parent(name).ok().flatten().map_or_else(|| name.to_owned(), |(disk, _)| disk)
    }

    /// The serial number that a disk says, where the kernel has it: it read it when it found the disk.
    pub(super) fn serial(&self, name: &str) -> Option<String> {
        /// Before the number: kind of device, page, and two bytes of length.
        const HEAD: usize = 4;
        let folder = self.block(&self.disk_of(name)).join("device");
        let page = std::fs::read(folder.join("vpd_pg80")).ok();
        let text = match page.as_deref().and_then(|page| page.get(HEAD..)) {
            Some(number) => String::from_utf8_lossy(number).into_owned(),
            None => read_if_there(&folder.join("serial")).ok().flatten()?,
        };
        let serial: String = text.chars().filter(|c| !c.is_control()).collect();
        Some(serial.trim().to_owned()).filter(|serial| !serial.is_empty())
    }

    /// The number of an NVMe namespace on its disk.
    pub(super) fn namespace(&self, name: &str) -> Option<String> {
        read_if_there(&self.block(&self.disk_of(name)).join("nsid")).ok().flatten()
    }

    /// Who the device of this kernel name is.
    pub fn identify(&self, name: &str) -> Identity {
        let (disk, partition) = match self.parent(name) {
            Ok(None) => (name.to_owned(), None),
            Ok(Some((disk, number))) => (disk, Some(number)),
            Err(error) => return Identity::Unknown(error.to_string()),
        };
        self.identify_part(&disk, partition, &Links::new())
    }

    /// Who a whole device is, or a partition of it.
    fn identify_part(&self, disk: &str, partition: Option<u32>, links: &Links) -> Identity {
        let folder = self.block(disk);
        if folder.join("md").is_dir() {
            return Identity::Md(md_uuid::uuid_of(self, disk));
        }
        match read_if_there(&folder.join("dm/uuid")) {
            Ok(None) => {}
            Ok(Some(uuid)) => return of_dm(&uuid, partition),
            Err(error) => return Identity::Unknown(error.to_string()),
        }
        let kind = if disk.starts_with("nvme") { Kind::Nvme } else { Kind::Scsi };
        match self.disk_id(disk, links) {
            Ok(id) => Identity::Disk { id, kind, partition },
            Err(why) => Identity::Unknown(why),
        }
    }

    /// The kernel's own word first (it read the disk's VPD page when it found it), then udev's, then the links
    /// that udev made.
    fn disk_id(&self, disk: &str, links: &Links) -> Result<DiskId, String> {
        let folder = self.block(disk);
        let mut why = "it has no world-wide name".to_owned();
        for file in ["device/wwid", "wwid"] {
            match read_if_there(&folder.join(file)) {
                Ok(Some(text)) => match DiskId::parse(&text) {
                    Ok(id) => return Ok(id),
                    Err(error) => why = error.to_string(),
                },
                Ok(None) => {}
                Err(error) => why = format!("its world-wide name: {error}"),
            }
        }
        let properties =
            read(&folder.join("dev")).map(|number| self.udev_properties(&number)).unwrap_or_default();
        ["ID_WWN_WITH_EXTENSION", "ID_WWN", "ID_SERIAL"]
            .iter()
            .filter_map(|key| properties.get(*key))
            .find_map(|text| DiskId::parse(text).ok())
            .or_else(|| {
                let links = links.get_or_init(|| self.links());
                links.iter().find(|(name, _)| name == disk).map(|(_, id)| id.clone())
            })
            .ok_or(why)
    }

    /// `/dev/disk/by-id/wwn-...`, and the device that each points at.
    fn links(&self) -> Vec<(String, DiskId)> {
        let Ok(entries) = std::fs::read_dir(self.dev.join("disk/by-id")) else { return Vec::new() };
        let link = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let id = name.starts_with("wwn-").then(|| DiskId::parse(&name).ok()).flatten()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            Some((target.file_name()?.to_str()?.to_owned(), id))
        };
        entries.flatten().filter_map(link).collect()
    }
}

fn sectors(folder: &Path) -> Option<u64> {
    read(&folder.join("size")).ok()?.parse().ok()
}

/// `mpath-WWID`, or `partN-mpath-WWID` as kpartx names a partition of one.
fn of_dm(uuid: &str, partition: Option<u32>) -> Identity {
    let (map, of_map) = match uuid.strip_prefix("part").and_then(|rest| rest.split_once('-')) {
        Some((number, map)) => match number.parse() {
            Ok(number) => (map, Some(number)),
            Err(_) => (uuid, None),
        },
        None => (uuid, None),
    };
    if !map.starts_with("mpath-") {
        return Identity::Unknown(format!(
            "it is a device-mapper device ({})",
            map.chars().take(40).collect::<String>()
        ));
    }
    match DiskId::parse(map) {
        Ok(id) => Identity::Disk { id, kind: Kind::Multipath, partition: of_map.or(partition) },
        Err(error) => Identity::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::recorded_tree::unpack;

    fn machine(recorded: &str) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        unpack(recorded, folder.path());
        let at = |path: &str| folder.path().join(path);
        let roots = Roots { sys: at("sys"), proc: at("proc"), udev: at("run/udev/data"), dev: at("dev") };
        (folder, roots)
    }

    fn shown(identity: &Identity) -> String {
        match identity {
            Identity::Disk { id, kind, partition } => format!("{kind:?} {id} {partition:?}"),
            Identity::Md(uuid) => format!("Md {uuid:?}"),
            Identity::Unknown(why) => format!("Unknown {why}"),
        }
    }

    #[test]
    fn a_device_is_who_it_is_whatever_it_is_called() {
        let (_folder, roots) = machine(include_str!("../../tests/data/disks/kinds.txt"));
        for (name, expected) in [
            ("sda", "Scsi naa.5000cca04dab0000 None"),
            ("sda2", "Scsi naa.5000cca04dab0000 Some(2)"),
            ("sdb", "Scsi naa.60014050000abd150000000000000000 None"),
            ("sdc", "Unknown \"naa.0000000000000000\" is no world-wide name of a disk"),
            ("nvme0n1", "Nvme eui.0025385b71b00d21 None"),
            ("nvme0n1p3", "Nvme eui.0025385b71b00d21 Some(3)"),
            ("dm-0", "Multipath naa.60014050000abd150000000000000000 None"),
            ("dm-1", "Multipath naa.60014050000abd150000000000000000 Some(1)"),
            ("dm-2", "Unknown it is a device-mapper device (LVM-"),
            ("md127", "Md Some(\"a3a88330:384edff1:0c126ded:b8d8ca93\")"),
            ("vda", "Unknown it has no world-wide name"),
            ("sdz", "Unknown there is no block device sdz"),
        ] {
            let found = shown(&roots.identify(name));
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }

    #[test]
    fn every_device_is_listed_with_its_partitions() {
        let (_folder, roots) = machine(include_str!("../../tests/data/disks/kinds.txt"));
        let listed = roots.devices().unwrap();
        for name in ["sda", "sda2", "nvme0n1", "nvme0n1p3", "dm-1", "md127", "sdc", "vda"] {
            let found: Vec<_> = listed.iter().filter(|device| device.name == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].identity, roots.identify(name), "{name}");
        }
        assert_eq!((listed.len(), listed[0].sectors), (11, None));
    }

    #[test]
    fn without_sysfs_and_udev_the_links_say_it() {
        let (folder, roots) = machine("/sys/block/sdq/dev = 65:0\n");
        std::fs::create_dir_all(folder.path().join("dev/disk/by-id")).unwrap();
        let link = |name: &str, target: &str| {
            std::os::unix::fs::symlink(target, folder.path().join("dev/disk/by-id").join(name)).unwrap();
        };
        link("wwn-0x5000cca04dab0009", "../../sdq");
        link("wwn-0x5000cca04dab0009-part1", "../../sdq1");
        link("wwn-0x5000cca04dab0008", "../../sdr");
        assert_eq!(shown(&roots.identify("sdq")), "Scsi naa.5000cca04dab0009 None");
    }
}
