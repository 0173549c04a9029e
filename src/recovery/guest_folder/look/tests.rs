//! Folders on a real filesystem, with images made as bytes; and, where qemu-img is, with its own.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;
use crate::disks::qcow2::Malformed;
use crate::disks::qcow2::example::{Example, RAW, alone, over};

const GUEST: &str = "00000000-0000-4000-8000-000000000001";

/// A mountpoint with `_base` and one guest's folder, as Nova leaves them.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for folder in [BASE, GUEST] {
            std::fs::create_dir(place.0.path().join(folder)).unwrap();
        }
        place.base("40d1", &[0; 4096]);
        place.disk(&over(place.name("_base/40d1").as_bytes(), Some(RAW)).bytes());
        place.file("console.log", b"# no disk\nversion=1\n");
        place.file("disk.config", &[0; 4096]);
        place.file(DISK_INFO, format!(r#"{{"{}": "qcow2"}}"#, place.name("x/disk")).as_bytes());
        place
    }

    /// A path below it, as text.
    fn name(&self, below: &str) -> String {
        self.0.path().join(below).to_str().unwrap().to_owned()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(GUEST).join(file)
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn disk(&self, bytes: &[u8]) {
        self.file("disk", bytes);
    }

    fn base(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(BASE).join(name), bytes).unwrap();
    }

    fn found(&self) -> Option<Strange> {
        Instances::open(self.0.path()).unwrap().strange(GUEST).unwrap()
    }

    fn said(&self) -> String {
        self.found().map_or_else(|| "nothing".into(), |strange| strange.to_string())
    }
}

/// What a folder of which one thing is changed is said to be.
fn with(change: impl FnOnce(&Place)) -> Option<Strange> {
    let place = Place::new();
    change(&place);
    place.found()
}

fn with_disk(example: &Example) -> Option<Strange> {
    with(|place| place.disk(&example.bytes()))
}

#[test]
fn what_nova_leaves_is_not_strange() {
    assert_eq!(Place::new().said(), "nothing");
    let nothing = |change: &dyn Fn(&Place)| assert_eq!(with(change), None);
    nothing(&|place| place.disk(&[0; 4096]));
    nothing(&|place| place.disk(&alone().bytes()));
    nothing(&|place| place.disk(&over(b"../_base/40d1", None).bytes()));
    // A disk without a file in `_base`: Nova fetches that.
    nothing(&|place| std::fs::remove_file(place.0.path().join("_base/40d1")).unwrap());
    nothing(&|place| std::fs::remove_dir_all(place.0.path().join(BASE)).unwrap());
    // A base that nobody converted (`force_raw_images`), and one from before Nova said its format.
    nothing(&|place| place.base("40d1", &alone().bytes()));
    nothing(&|place| {
        place.file("disk.eph0", &over(place.name("_base/ephemeral_1_40d1d2c").as_bytes(), None).bytes());
        place.base("ephemeral_1_40d1d2c", &[0; 512]);
    });
    nothing(&|place| {
        place.file("disk.rescue", &over(place.name("_base/40d1").as_bytes(), Some(b"qcow2")).bytes())
    });
    // An overlay of a file of its own folder, which is looked at like the disk.
    nothing(&|place| {
        std::fs::rename(place.path("disk"), place.path("disk.snap1")).unwrap();
        place.disk(&over(b"disk.snap1", Some(b"qcow2")).bytes());
    });
    nothing(&|place| std::fs::create_dir(place.path("folder")).unwrap());
    nothing(&|place| std::fs::remove_file(place.path(DISK_INFO)).unwrap());
    nothing(&|place| place.file(DISK_INFO, b"\n"));
    nothing(&|place| place.file("kernel", b"MZ"));
    nothing(&|place| std::fs::remove_dir_all(place.path("")).unwrap());
}

#[test]
fn whatever_is_no_file_is_strange_under_any_name_and_nothing_of_it_is_opened() {
    for name in ["disk", "disk.config", "disk.info", "console.log", "kernel", "zz", "disk.swap"] {
        for target in ["/etc/shadow", "/dev/sda", "/nonexistent", "../_base/40d1"] {
            let found = with(|place| {
                let _ = std::fs::remove_file(place.path(name));
                symlink(target, place.path(name)).unwrap();
            });
            assert_eq!(found, Some(Strange::Link { file: name.into() }), "{target}");
        }
        // To open it for reading would wait until somebody writes.
        let found = with(|place| {
            let _ = std::fs::remove_file(place.path(name));
            let made = rustix::fs::mknodat(CWD, place.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
            made.unwrap();
        });
        assert_eq!(found, Some(Strange::Special { file: name.into() }));
    }
    let mut listener = None;
    let found = with(|place| listener = Some(UnixListener::bind(place.path("socket")).unwrap()));
    assert_eq!(found, Some(Strange::Special { file: "socket".into() }));
}

#[test]
fn an_image_that_names_what_is_not_its_own_is_strange() {
    let other = "00000000-0000-4000-8000-000000000002";
    for name in
        ["/etc/shadow", "/dev/sda", &format!("../{other}/disk"), "json:{\"driver\":\"nbd\"}", "console.log"]
    {
        let names = shown(name.as_bytes());
        assert_eq!(
            with_disk(&over(name.as_bytes(), Some(RAW))),
            Some(Strange::Backing { file: "disk".into(), names })
        );
    }
    // The same place by another name, as another host would call it.
    let found = with_disk(&over(b"/nova/instances/_base/40d1", Some(RAW)));
    assert!(matches!(found, Some(Strange::Backing { .. })), "{found:?}");
    let data = Some(Strange::DataFile { file: "disk".into() });
    assert_eq!(with_disk(&Example { features: 1 << 2, ..alone() }), data);
    assert_eq!(with_disk(&Example { features: 1 << 2, ..over(b"../_base/40d1", Some(RAW)) }), data);
    let found = with(|place| place.file("disk.config", &over(b"/etc/shadow", None).bytes()));
    assert!(matches!(found, Some(Strange::Backing { file, .. }) if file == "disk.config"));
    // Every file is looked at, also one that only another image would name.
    let found = with(|place| {
        place.disk(&over(b"elsewhere", None).bytes());
        place.file("elsewhere", &over(b"/etc/shadow", None).bytes());
    });
    assert!(matches!(found, Some(Strange::Backing { file, .. }) if file == "elsewhere"));
}

/// What is said of a disk's format is the dead host's word, or the setting of this machine's Nova.
#[test]
fn the_content_counts_whatever_disk_info_says() {
    let found = with(|place| {
        place.file(DISK_INFO, format!(r#"{{"{}": "raw"}}"#, place.name("x/disk")).as_bytes());
        place.disk(&over(b"/etc/shadow", None).bytes());
    });
    assert!(matches!(found, Some(Strange::Backing { .. })), "{found:?}");
    let vmdk = Some(Strange::Format { file: "disk".into(), format: "vmdk".into() });
    assert_eq!(with(|place| place.disk(b"# Disk DescriptorFile\nversion=1\n")), vmdk);
    assert_eq!(with(|place| place.file(DISK_INFO, br#"{"/a/disk": "raw", "/b/disk": "vmdk"}"#)), vmdk);
    for text in [&b"{"[..], b"[]", br#"{"a": 1}"#, b"\xff", &[b' '; MOST_DISK_INFO + 1]] {
        let found = with(|place| place.file(DISK_INFO, text));
        assert!(matches!(found, Some(Strange::DiskInfo { .. })), "{found:?}");
    }
    let found = with_disk(&over(b"../_base/40d1", Some(b"vmdk")));
    assert!(matches!(&found, Some(Strange::Format { format, .. }) if format == "vmdk"), "{found:?}");
}

#[test]
fn a_header_that_is_not_understood_is_strange() {
    for bytes in [&b"QFI\xfb"[..], b"QFI\xfb\0\0\0\x01", &alone().bytes()[..100]] {
        let found = with(|place| place.disk(bytes));
        assert!(matches!(found, Some(Strange::Header { .. })), "{found:?}");
    }
    let found = with_disk(&Example { features: 1 << 9, ..alone() });
    assert_eq!(found, Some(Strange::Header { file: "disk".into(), why: Malformed::Features(1 << 9) }));
}

#[test]
fn a_base_that_does_not_stand_for_itself_is_strange() {
    let why = |change: &dyn Fn(&Place)| match with(change) {
        Some(Strange::Base { base, why, .. }) if base == "40d1" => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&|place| place.base("40d1", &over(b"40d1.base", None).bytes())), BaseFault::NamesOthers);
    let data = Example { features: 1 << 2, ..alone() }.bytes();
    assert_eq!(why(&|place| place.base("40d1", &data)), BaseFault::NamesOthers);
    assert_eq!(why(&|place| place.base("40d1", b"KDMV")), BaseFault::NamesOthers);
    assert_eq!(why(&|place| place.base("40d1", b"QFI\xfb")), BaseFault::Header(Malformed::Short));
    let instead = |place: &Place, make: &dyn Fn(&Path)| {
        let path = place.0.path().join("_base/40d1");
        std::fs::remove_file(&path).unwrap();
        make(&path);
    };
    assert_eq!(
        why(&|place| instead(place, &|path| symlink("/etc/shadow", path).unwrap())),
        BaseFault::NoFile
    );
    assert_eq!(why(&|place| instead(place, &|path| std::fs::create_dir(path).unwrap())), BaseFault::NoFile);
    let found = with(|place| {
        std::fs::remove_dir_all(place.0.path().join(BASE)).unwrap();
        symlink("/etc", place.0.path().join(BASE)).unwrap();
    });
    assert_eq!(found, Some(Strange::NoBaseFolder));
    let found = with(|place| {
        std::fs::remove_dir_all(place.0.path().join(BASE)).unwrap();
        std::fs::write(place.0.path().join(BASE), "x").unwrap();
    });
    assert_eq!(found, Some(Strange::NoBaseFolder));
}

#[test]
fn a_folder_with_more_files_than_any_guest_has_is_strange_and_is_not_read_to_its_end() {
    let found = with(|place| (0..MOST_ENTRIES).for_each(|number| place.file(&format!("x{number}"), b"")));
    assert_eq!(found, Some(Strange::Crowded { most: MOST_ENTRIES }));
}

#[test]
fn the_place_may_be_reached_through_a_link_and_be_called_so() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("instances");
    symlink(place.0.path(), &link).unwrap();
    for name in [place.name("_base/40d1"), format!("{}/_base/40d1", link.display())] {
        place.disk(&over(name.as_bytes(), Some(RAW)).bytes());
        assert_eq!(Instances::open(&link).unwrap().strange(GUEST), Ok(None), "{name}");
    }
    // A guest's folder is the host's word: no link is followed to it.
    let other = "00000000-0000-4000-8000-000000000002";
    symlink(GUEST, place.0.path().join(other)).unwrap();
    assert!(Instances::open(place.0.path()).unwrap().strange(other).is_err());
}

#[test]
fn what_qemu_img_makes_is_judged_as_it_was_meant() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        println!("qemu-img is not installed here: only images of our own making were looked at");
        return;
    }
    let made = |options: &dyn Fn(&Place) -> Vec<String>| {
        let place = Place::new();
        place.base("secret", &[0; 4096]);
        std::fs::write(place.0.path().join("secret"), [0; 4096]).unwrap();
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", "qcow2"]).args(options(&place)).arg(place.path("disk")).arg("1M");
        let done = command.current_dir(place.path("")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        place.found()
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(made(&|_| vec![]), None);
    assert_eq!(made(&|_| words(&["-F", "raw", "-b", "../_base/40d1"])), None);
    assert_eq!(made(&|place| words(&["-F", "raw", "-b", &place.name("_base/40d1")])), None);
    let elsewhere = made(&|place| words(&["-F", "raw", "-b", &place.name("secret")]));
    assert!(matches!(elsewhere, Some(Strange::Backing { .. })), "{elsewhere:?}");
    let data = made(&|_| words(&["-o", "data_file=data"]));
    assert_eq!(data, Some(Strange::DataFile { file: "disk".into() }));
}
