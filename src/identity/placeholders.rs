//! What firmware states where nobody gave it a number: it tells no machines apart.
//!
//! Vendors write it in many spellings, so that texts are compared by their letters and digits alone, and what has no digit in
//! it is told by the words that it consists of. A number that is taken for a placeholder by mistake costs a person's word;
//! a placeholder that is taken for a number makes two machines one.

use std::collections::BTreeSet;

use uuid::Uuid;

/// The whole text, in lower case, without anything but letters and digits.
const TEXTS: [&str; 15] = [
    "na",
    "no",
    "nil",
    "nan",
    "none",
    "null",
    "oem",
    "tbd",
    "test",
    "eval",
    "iatpass",
    "invalid",
    "unknow",
    "undefined",
    "systemserialnumb",
];

/// Without a digit beside it, a text with one of these was written by nobody who had a number.
const WORDS: [&str; 20] = [
    "tobe",
    "fill",
    "oem",
    "serial",
    "number",
    "default",
    "string",
    "specif",
    "applic",
    "avail",
    "provid",
    "assign",
    "unknown",
    "invalid",
    "undefined",
    "notset",
    "notdefined",
    "notpresent",
    "empty",
    "blank",
];

/// What stands before digits in a row, of the system, the chassis, the board.
const BEFORE: [&str; 8] = ["sn", "ssn", "csn", "bsn", "msn", "sys", "mb", "serial"];

/// So many of them are no chance.
const LEAST_IN_A_ROW: usize = 5;

/// Digits in a row are no number, from whichever they begin, and upwards or downwards.
const IN_A_ROW: [&str; 3] =
    ["0123456789012345678901234567890", "9876543210987654321", "0123456789abcdef0123456789abcdef"];

/// What AMI's and others' firmware leaves in the UUID, and what is in everybody's examples; each in any byte order.
pub(super) const UUIDS: [u128; 6] = [
    0x03000200_0400_0500_0006_000700080009,
    0x12345678_1234_5678_90ab_cddeefaabbcc,
    0x12345678_1234_1234_1234_123456789abc,
    0x12345678_1234_5678_1234_567812345678,
    0x00010203_0405_0607_0809_0a0b0c0d0e0f,
    0x6ab5b300_538d_1014_9fb5_b0684d007b53,
];

/// A UUID of fewer different bytes was written by nobody who had a number: all zero, all ones, and zero with the marks of a
/// version and a variant.
const LEAST_BYTES: usize = 4;

/// Whether it has too few different bytes.
pub(super) fn is_of_few_bytes(uuid: Uuid) -> bool {
    uuid.as_bytes().iter().collect::<BTreeSet<_>>().len() < LEAST_BYTES
}

/// Whether a serial number is none.
pub(super) fn is_no_serial(text: &str) -> bool {
    let text: String = text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let has_digit = text.chars().any(|c| c.is_numeric());
    is_one_character(&text)
        || TEXTS.contains(&text.as_str())
        || (!has_digit && WORDS.iter().any(|word| text.contains(word)))
        || is_a_row(&text, 1)
        || BEFORE
            .iter()
            .filter_map(|before| text.strip_prefix(before))
            .any(|rest| is_a_row(rest, LEAST_IN_A_ROW))
}

/// `0000000`, `XXXXXXX`, nothing at all, and zeros as hexadecimal.
fn is_one_character(text: &str) -> bool {
    let distinct = |text: &str| text.chars().collect::<BTreeSet<_>>().len();
    distinct(text) < 2 || text.strip_prefix("0x").is_some_and(|rest| distinct(rest) < 2)
}

/// Some go on with zeros: 123456789000.
fn is_a_row(digits: &str, least: usize) -> bool {
    let is_row =
        |digits: &str, least| digits.len() >= least && IN_A_ROW.iter().any(|row| row.contains(digits));
    is_row(digits, least) || is_row(digits.trim_end_matches('0'), LEAST_IN_A_ROW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vendors_leave_in_a_serial_number_is_none() {
        for nothing in [
            "To be filled by O.E.M.",
            "To Be Filled By O.E.M. by More String",
            "Fill By OEM",
            "$(DEFAULT_STRING)",
            "Default string",
            "System Serial Number",
            "SystemSerialNumb",
            "Chassis Serial Number",
            "No Serial Number",
            "Not Specified",
            "Not Applicable",
            "Not Available",
            "Not Defined",
            "Not Present",
            "(null string)",
            "N/A",
            "NA",
            "<none>",
            "(empty)",
            "INVALID",
            "Unknow",
            "EVAL",
            "IATPASS",
            "",
            "-",
            "............",
            "0",
            "00000000",
            "0x00000000",
            "0xFFFFFFFF",
            "FFFFFFFFFFFF",
            "NNNNNNN",
            "123456",
            "0123456789",
            "1234567890",
            "12345678901234567890",
            "123456789000",
            "0987654321",
            "9876543210",
            "0123456789ABCDEF",
            "123456789ABCDEF",
            "SN-12345",
            "SN-1234567890",
            "SYS-1234567890",
            "SYS-9876543210",
            "MB-1234567890",
            "SSN12345678901234567",
            "BSN12345678901234567",
        ] {
            assert!(is_no_serial(nothing), "{nothing:?}");
        }
    }

    #[test]
    fn a_number_of_a_machine_is_one() {
        for number in [
            "ABC1D23",
            "CNFCP0088I00AF",
            "E262335X2A00152C",
            "CZJ12345",
            "J101KZ4M",
            "YL4J012345",
            "VMware-56 4d 1f 5e 6a 3c 9b 7d-12 34 56 78 9a bc de f0",
            "SN-1",
            "21CEIA8D0K",
            "SGH123456X",
            "BCDFGHJ",
            "Dell Inc.",
            "FUJITSU",
        ] {
            assert!(!is_no_serial(number), "{number:?}");
        }
    }
}
