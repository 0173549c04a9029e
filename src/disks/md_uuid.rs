//! Which array it is: by the kernel's word, else by udev's.

use std::collections::BTreeMap;

use super::{Roots, read};

/// What udev knows of an array, or of what is over it, by its number. A number is given again as soon as its array was
/// stopped, and udev may be behind: what it says of another array is left out.
pub(super) fn udev_of(roots: &Roots, number: &str, array: Option<&str>) -> BTreeMap<String, String> {
    let known = roots.udev_properties(number);
    let said = known.get("MD_UUID").and_then(|text| uuid(text));
    match (said, array) {
        (Some(said), Some(array)) if said != array => BTreeMap::new(),
        _ => known,
    }
}

/// The UUID of the array of this kernel name: the kernel's word, else udev's.
pub(super) fn uuid_of(roots: &Roots, device: &str) -> Option<String> {
    kernels_uuid(roots, device).or_else(|| {
        let number = read(&roots.block(device).join("dev")).ok()?;
        roots.udev_properties(&number).get("MD_UUID").and_then(|text| uuid(text))
    })
}

/// What the kernel itself says that it is (6.0 and later).
pub(super) fn kernels_uuid(roots: &Roots, device: &str) -> Option<String> {
    let folder = roots.block(device).join("md");
    // Of metadata 0.90, kernel and mdadm write the bytes in different orders.
    let is_1 = read(&folder.join("metadata_version")).is_ok_and(|version| version.starts_with("1."));
    read(&folder.join("uuid")).ok().filter(|_| is_1).as_deref().and_then(uuid)
}

/// An array's UUID in mdadm's form (`a3a88330:384edff1:0c126ded:b8d8ca93`), from it or the kernel's form. Zeros
/// are none.
pub fn uuid(text: &str) -> Option<String> {
    let hex: String = text.trim().chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let good =
        hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()) && hex.bytes().any(|b| b != b'0');
    if !good {
        return None;
    }
    let hex = hex.to_ascii_lowercase();
    let word = |at: usize| hex.get(at..at + 8);
    Some(format!("{}:{}:{}:{}", word(0)?, word(8)?, word(16)?, word(24)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrays_uuid_has_one_form() {
        let mdadm = "3741bab8:56c4a887:2f15d6a6:a98a082a";
        for text in [mdadm, "3741bab8-56c4-a887-2f15-d6a6a98a082a", "3741BAB8:56c4a887:2f15d6a6:a98a082a\n"] {
            assert_eq!(uuid(text).as_deref(), Some(mdadm));
        }
        for bad in
            ["", "00000000-0000-0000-0000-000000000000", "3741bab8", "x741bab8:56c4a887:2f15d6a6:a98a082a"]
        {
            assert_eq!(uuid(bad), None, "{bad}");
        }
    }
}
