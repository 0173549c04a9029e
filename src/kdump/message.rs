//! The one message of the protocol: eight bytes, a magic number and a version.
//!
//! As `agents/kdump/message.h` of fence-agents has it, a packed struct in the byte order of whoever
//! sends. A host need not be of the HA node's architecture, so either order is read.

/// Where it is sent to, unless a site says otherwise.
pub const PORT: u16 = 7410;

/// Its length. A longer one is of a version that nobody has defined.
pub const BYTES: usize = 8;

const MAGIC: u32 = 0x1B30_2A40;
const VERSION: u32 = 1;

/// Whether a datagram announces a crash dump.
pub fn is_announcement(datagram: &[u8]) -> bool {
    let orders: [fn(u32) -> [u8; 4]; 2] = [u32::to_le_bytes, u32::to_be_bytes];
    orders.iter().any(|order| {
        datagram.len() == BYTES && datagram.starts_with(&order(MAGIC)) && datagram.ends_with(&order(VERSION))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_eight_bytes_of_version_1_in_one_byte_order_announce_a_dump() {
        assert!(is_announcement(b"\x40\x2a\x30\x1b\x01\0\0\0"), "as x86 sends it");
        assert!(is_announcement(b"\x1b\x30\x2a\x40\0\0\0\x01"), "as s390x sends it");
        for other in [
            &b""[..],
            b"\x40\x2a\x30\x1b",
            b"\x40\x2a\x30\x1b\x01\0\0",
            b"\x40\x2a\x30\x1b\x01\0\0\0\0",
            b"\x40\x2a\x30\x1b\x02\0\0\0",
            b"\x40\x2a\x30\x1b\0\0\0\x01",
            b"\x40\x2a\x30\x1c\x01\0\0\0",
            &[0; 8],
        ] {
            assert!(!is_announcement(other), "{other:x?}");
        }
    }
}
