//! What the first bytes of a file say about the other files that whoever opens it as a disk opens too. Pure.
//!
//! The format that a disk is *said* to have is no help: it stands beside the disk, in the words of the machine that wrote both.
//! Nova takes it from `nova.conf` (`images_type`), from `disk.info`, or from the content (`qemu-img info`), so the content
//! counts, whatever it is called.

use super::qcow2::{self, Header, Malformed};

/// As much as [`image`] needs of any file that is no qcow image; of such a one it needs [`qcow2::HEADER_BYTES`].
pub const FIRST_BYTES: usize = 2048;

/// What a file is, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Raw, or of a format that names no other file.
    Alone,
    /// qcow2.
    Qcow2(Header),
    /// qcow2, and its header is not understood.
    Malformed(Malformed),
    /// Of another format that can name other files. What it is called.
    CanNameOthers(&'static str),
}

/// Says what a file with these first bytes is, as qemu's own probing would have it. The formats that can name other files, by
/// qemu's block drivers: qcow, qcow2, qed (a backing file), vmdk (extents, a parent) and, before qemu 2.3, cow (a backing file).
pub fn image(first: &[u8]) -> Image {
    if first.starts_with(&qcow2::MAGIC) {
        return match qcow2::header(first) {
            Ok(header) => Image::Qcow2(header),
            Err(why) => Image::Malformed(why),
        };
    }
    let magics = [(&b"QED\0"[..], "qed"), (b"KDMV", "vmdk"), (b"COWD", "vmdk"), (b"OOOM", "cow")];
    match magics.into_iter().find(|(magic, _)| first.starts_with(magic)) {
        Some((_, format)) => Image::CanNameOthers(format),
        None if is_vmdk_text(first) => Image::CanNameOthers("vmdk"),
        None => Image::Alone,
    }
}

/// A VMDK's descriptor is a text: comments and blank lines, then `version=`. Where the comments go on to the end of what was
/// read, it may be one.
fn is_vmdk_text(first: &[u8]) -> bool {
    let mut lines = first.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let said = lines.by_ref().find(|line| !line.is_empty() && !line.starts_with(b"#"));
    match said {
        Some(line) => line.starts_with(b"version="),
        None => first.starts_with(b"#"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::qcow2::example::{alone, over};
    use super::*;

    #[test]
    fn a_file_is_what_its_first_bytes_make_of_it() {
        assert!(matches!(image(&alone().bytes()), Image::Qcow2(Header { backing: None, .. })));
        assert!(matches!(image(&over(b"x", None).bytes()), Image::Qcow2(Header { backing: Some(_), .. })));
        // qcow, the first.
        assert_eq!(image(b"QFI\xfb\0\0\0\x01rest"), Image::Malformed(Malformed::Version(1)));
        assert_eq!(image(b"QFI\xfb"), Image::Malformed(Malformed::Short));
        for (first, format) in [
            (&b"QED\0rest"[..], "qed"),
            (b"KDMV\x01", "vmdk"),
            (b"COWD\x01", "vmdk"),
            (b"OOOM", "cow"),
            (b"# Disk DescriptorFile\nversion=1\nRW 1 FLAT \"/etc/shadow\" 0\n", "vmdk"),
            (b"version=1\n", "vmdk"),
            (b"  \r\n# x\n\nversion=3\r\n", "vmdk"),
            (b"# a comment without an end", "vmdk"),
        ] {
            assert_eq!(image(first), Image::CanNameOthers(format), "{first:?}");
        }
        let mut boot_sector = vec![0xeb, 0x63, 0x90];
        boot_sector.resize(512, 0);
        for first in [
            &b""[..],
            &[0; 512],
            &boot_sector,
            b"conectix",
            b"vhdxfile",
            b"LUKS\xba\xbe",
            b"\n\n",
            b"#!/bin/sh\nversion\n",
        ] {
            assert_eq!(image(first), Image::Alone, "{first:?}");
        }
    }
}
