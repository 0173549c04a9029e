//! Where the name of a backing file leads. Pure, and by its text alone: to look a foreign name up would be to follow it.

use std::path::{Component, Path};

/// Where Nova keeps the images that guests' disks are overlays of (`[image_cache] subdirectory_name`, by default).
pub const BASE: &str = "_base";

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads<'a> {
    /// To this file of the guest's own folder.
    Folder(&'a str),
    /// To this file of [`BASE`].
    Base(&'a str),
    /// Anywhere else, or nobody can tell.
    Elsewhere,
}

/// Where it leads from an image in the folder `folder`. `mountpoints` are all the names of the place that the guests' folders
/// and [`BASE`] are in.
///
/// Relative names are relative to the image. qemu takes what has a colon before the first slash for a protocol, and `json:` for
/// options: both lead elsewhere.
pub fn leads<'a>(name: &'a [u8], folder: &str, mountpoints: &[impl AsRef<Path>]) -> Leads<'a> {
    let Ok(name) = std::str::from_utf8(name) else { return Leads::Elsewhere };
    if !name.starts_with('/') {
        return match name.strip_prefix("../") {
            Some(rest) => below(rest, folder),
            None => plain(name).map_or(Leads::Elsewhere, Leads::Folder),
        };
    }
    let rest = mountpoints.iter().find_map(|mountpoint| {
        // Without a slash at its end, and without `.`.
        let normal: std::path::PathBuf = mountpoint.as_ref().components().collect();
        let is_plain =
            normal.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let rest = name.strip_prefix(normal.to_str().filter(|_| is_plain)?)?;
        rest.strip_prefix('/')
    });
    rest.map_or(Leads::Elsewhere, |rest| below(rest, folder))
}

fn below<'a>(rest: &'a str, folder: &str) -> Leads<'a> {
    match rest.split_once('/') {
        Some((BASE, file)) => plain(file).map_or(Leads::Elsewhere, Leads::Base),
        Some((first, file)) if first == folder => plain(file).map_or(Leads::Elsewhere, Leads::Folder),
        Some(_) | None => Leads::Elsewhere,
    }
}

/// The name of a file, as Nova makes them: no slash, no colon, nothing that anybody reads as something else.
fn plain(name: &str) -> Option<&str> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (!matches!(name, "" | "." | "..") && name.bytes().all(is_usual)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "00000000-0000-4000-8000-000000000001";

    #[test]
    fn a_backing_file_is_in_the_folder_or_in_base_or_elsewhere() {
        let own = format!("/instances/{FOLDER}/disk.base");
        let other = "/instances/00000000-0000-4000-8000-000000000002/disk";
        for (name, expected) in [
            ("/instances/_base/40d1_20", Leads::Base("40d1_20")),
            ("/srv/nova/_base/40d1", Leads::Base("40d1")),
            ("../_base/40d1", Leads::Base("40d1")),
            (&own, Leads::Folder("disk.base")),
            ("disk.base", Leads::Folder("disk.base")),
            (&format!("../{FOLDER}/disk"), Leads::Folder("disk")),
            // Another guest's, another's machine's, a device, and whatever does not say plainly where it leads.
            (other, Leads::Elsewhere),
            ("../00000000-0000-4000-8000-000000000002/disk", Leads::Elsewhere),
            ("/etc/shadow", Leads::Elsewhere),
            ("/dev/sda", Leads::Elsewhere),
            ("/instances/_base", Leads::Elsewhere),
            ("/instances/_base/", Leads::Elsewhere),
            ("/instances/_base/../../etc/shadow", Leads::Elsewhere),
            ("/instances/_base/..", Leads::Elsewhere),
            ("/instances/_base/a/b", Leads::Elsewhere),
            ("/instances//_base/40d1", Leads::Elsewhere),
            ("//instances/_base/40d1", Leads::Elsewhere),
            ("/instances/_base2/40d1", Leads::Elsewhere),
            ("/instances2/_base/40d1", Leads::Elsewhere),
            ("/instances/_base/40d1\n", Leads::Elsewhere),
            ("/instances/_base/40d1\0", Leads::Elsewhere),
            ("../../etc/shadow", Leads::Elsewhere),
            ("./disk", Leads::Elsewhere),
            ("", Leads::Elsewhere),
            (".", Leads::Elsewhere),
            ("..", Leads::Elsewhere),
            ("json:{\"driver\":\"nbd\"}", Leads::Elsewhere),
            ("nbd:unix:/run/x", Leads::Elsewhere),
            ("file:disk", Leads::Elsewhere),
            ("fat:x", Leads::Elsewhere),
        ] {
            assert_eq!(leads(name.as_bytes(), FOLDER, &["/instances/", "/srv/nova"]), expected, "{name:?}");
        }
        assert_eq!(leads(b"/instances/_base/\xff", FOLDER, &["/instances"]), Leads::Elsewhere);
        // A mountpoint that does not say plainly where it is names nothing.
        assert_eq!(leads(b"/x/../instances/_base/a", FOLDER, &["/x/../instances"]), Leads::Elsewhere);
        assert_eq!(leads(b"/_base/a", FOLDER, &[""; 0]), Leads::Elsewhere);
    }
}
