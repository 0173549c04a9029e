//! Headers: what is understood, and that everything else is an error.

use std::process::Command;

use super::example::{Example, RAW, alone, over};
use super::*;

fn said(example: &Example) -> Result<Header, Malformed> {
    header(&example.bytes())
}

fn backing(name: &[u8], format: Option<&[u8]>) -> Header {
    let backing = Backing { name: name.to_vec(), format: format.map(<[u8]>::to_vec) };
    Header { backing: Some(backing), has_data_file: false }
}

const NOTHING: Header = Header { backing: None, has_data_file: false };

#[test]
fn what_a_header_names_is_read_in_both_versions() {
    const BASE: &[u8] = b"/var/lib/nova/instances/_base/40d1";
    for version in [2, 3] {
        let of = |example: Example| said(&Example { version, ..example });
        assert_eq!(of(alone()), Ok(NOTHING), "{version}");
        assert_eq!(of(over(BASE, Some(RAW))), Ok(backing(BASE, Some(RAW))), "{version}");
        assert_eq!(of(over(BASE, None)), Ok(backing(BASE, None)), "{version}");
        let json: &[u8] = br#"json:{"driver":"nbd"}"#;
        assert_eq!(of(over(json, None)), Ok(backing(json, None)), "{version}");
    }
    // As qemu 0.12 and before wrote it: the name right behind the header, no extension.
    let mut old = Example { version: 2, ..alone() }.bytes();
    old[8..16].copy_from_slice(&72_u64.to_be_bytes());
    old[16..20].copy_from_slice(&4_u32.to_be_bytes());
    old[72..76].copy_from_slice(b"base");
    assert_eq!(header(&old), Ok(backing(b"base", None)));
}

#[test]
fn an_external_data_file_is_seen_by_its_feature_or_by_its_name_alone() {
    let data = Ok(Header { backing: None, has_data_file: true });
    assert_eq!(said(&Example { features: 1 << 2, ..alone() }), data);
    let named = vec![(0x4441_5441, b"/etc/shadow".to_vec())];
    assert_eq!(said(&Example { extensions: named.clone(), ..alone() }), data);
    assert_eq!(said(&Example { version: 2, extensions: named, ..alone() }), data);
}

#[test]
fn extensions_of_other_types_are_passed_over_and_the_last_of_two_counts() {
    let extensions = vec![
        (0x6803_f857, vec![0; 336]),
        (0xe279_2aca, b"qcow2".to_vec()),
        (0x2385_2875, vec![0; 24]),
        (0xe279_2aca, b"vmdk".to_vec()),
    ];
    let example = Example { extensions, ..over(b"base", None) };
    assert_eq!(said(&example), Ok(backing(b"base", Some(b"vmdk"))));
}

#[test]
fn known_features_are_no_fault_and_others_are() {
    for bit in [0, 1, 3, 4] {
        assert_eq!(said(&Example { features: 1 << bit, ..alone() }), Ok(NOTHING), "{bit}");
    }
    for bit in [5, 6, 31, 63] {
        let feature = 1_u64 << bit;
        assert_eq!(
            said(&Example { features: feature | 1, ..alone() }),
            Err(Malformed::Features(feature)),
            "{bit}"
        );
    }
}

#[test]
fn a_header_that_is_not_understood_to_the_end_is_an_error() {
    let with = |at: usize, bytes: &[u8]| {
        let mut image = over(b"base", Some(RAW)).bytes();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        header(&image)
    };
    let name_at = |at: u64, length: u32| {
        let mut image = alone().bytes();
        image[8..16].copy_from_slice(&at.to_be_bytes());
        image[16..20].copy_from_slice(&length.to_be_bytes());
        (header(&image), Err(Malformed::BackingName { at, length }))
    };
    assert_eq!(header(b"QFI"), Err(Malformed::Magic));
    assert_eq!(header(&[0; 512]), Err(Malformed::Magic));
    for version in [0_u32, 1, 4, u32::MAX] {
        assert_eq!(with(4, &version.to_be_bytes()), Err(Malformed::Version(version)));
    }
    for bits in [0_u32, 8, 22, 64, u32::MAX] {
        assert_eq!(with(20, &bits.to_be_bytes()), Err(Malformed::Cluster(bits)));
    }
    for length in [0_u32, 72, 103, (1 << 16) + 1, u32::MAX] {
        assert_eq!(with(100, &length.to_be_bytes()), Err(Malformed::Length(length)));
    }
    for (at, length) in [
        (1, 4),
        (103, 4),
        (112, 0),
        (112, 1024),
        ((1 << 16) - 3, 4),
        (u64::MAX, 4),
        (u64::MAX - 3, 4),
        (1 << 40, 4),
    ] {
        let (found, expected) = name_at(at, length);
        assert_eq!(found, expected, "{at} {length}");
    }
    // The extension of the format says that it is longer than its place.
    for length in [17_u32, 1 << 20, u32::MAX] {
        assert_eq!(with(108, &length.to_be_bytes()), Err(Malformed::Extension(length)));
    }
    // Clusters of 2 MiB, and extensions without an end in what was read.
    let long = Example { cluster_bits: 21, extensions: vec![(7, vec![0; 1 << 20])], ..alone() }.bytes();
    assert_eq!(header(&long[..HEADER_BYTES]), Err(Malformed::Short));
}

/// Cut anywhere, and with any byte changed, it is an answer or an error, and never a panic; and what is cut before its
/// names end is never an image without names.
#[test]
fn no_bytes_whatever_make_it_panic() {
    for example in [alone(), over(b"/etc/shadow", Some(RAW)), Example { version: 2, ..over(b"b", None) }] {
        let whole = example.bytes();
        let all = header(&whole).unwrap();
        for end in 0..200 {
            let found = header(&whole[..end]);
            assert!(found.is_err() || found.as_ref() == Ok(&all), "{end}: {found:?}");
        }
        for at in 0..200 {
            for value in [0, 1, 2, 4, 0x44, 0x7f, 0x80, 0xff] {
                let mut image = whole.clone();
                image[at] = value;
                let _ = header(&image);
                let _ = header(&image[..at]);
            }
        }
    }
    // A small generator of its own: the same bytes in every run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_be_bytes()
    };
    for _ in 0..20_000 {
        let mut image: Vec<u8> = MAGIC.into_iter().chain([0, 0, 0, 2 + next()[0] % 2]).collect();
        image.extend((0..16).flat_map(|_| next()));
        image[20..24].copy_from_slice(&(9 + u32::from(next()[0] % 13)).to_be_bytes());
        let _ = header(&image);
    }
}

#[test]
fn what_qemu_img_makes_is_read_as_it_was_meant() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        println!("qemu-img is not installed here: only images of our own making were read");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, options: &[&str], size: Option<&str>| {
        let path = folder.path().join(name);
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", "qcow2"]).args(options).arg(&path).args(size);
        let done = command.current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        let mut image = std::fs::read(path).unwrap();
        image.truncate(HEADER_BYTES);
        header(&image).unwrap()
    };
    std::fs::write(folder.path().join("base"), vec![0; 1 << 20]).unwrap();
    let base: &[u8] = b"base";
    for compat in ["compat=0.10", "compat=1.1"] {
        assert_eq!(made("alone", &["-o", compat], Some("1M")), NOTHING);
        let over = made("over", &["-o", &format!("{compat},backing_file=base,backing_fmt=raw")], None);
        assert_eq!(over, backing(base, Some(RAW)));
    }
    for options in
        ["cluster_size=512", "cluster_size=2M", "lazy_refcounts=on", "extended_l2=on,cluster_size=128k"]
    {
        assert_eq!(made("alone", &["-o", options], Some("1M")), NOTHING, "{options}");
    }
    let data = made("data", &["-o", "data_file=elsewhere"], Some("1M"));
    assert_eq!(data, Header { backing: None, has_data_file: true });
    let json = r#"json:{"driver":"raw","file":{"driver":"file","filename":"base"}}"#;
    let named = made("json", &["-F", "raw", "-b", json], None);
    assert!(named.backing.is_some_and(|backing| backing.name.starts_with(b"json:")));
}
