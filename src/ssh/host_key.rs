//! Pinned host keys: OpenSSH public keys, compared byte by byte.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::digest::{SHA256, digest};

/// Why a line is no public key that can be pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// Not `TYPE BASE64 [COMMENT]`.
    #[error("{line:?} is no OpenSSH public key: expected, for example, ssh-ed25519 AAAA...")]
    Shape {
        /// The line, cut to 40 characters.
        line: String,
    },
    /// The base64 part is broken, or is a key of another type than the line says.
    #[error("the {kind} key is damaged")]
    Damaged {
        /// The type that the line names.
        kind: String,
    },
    /// A type that libssh2 cannot check.
    #[error(
        "host keys of type {kind} cannot be pinned: use ssh-ed25519, ecdsa-sha2-nistp256/384/521 or ssh-rsa"
    )]
    Type {
        /// The type that the line names.
        kind: String,
    },
}

/// One public host key that a machine may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PinnedKey {
    kind: &'static Kind,
    blob: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    name: &'static str,
    /// What to offer in the key exchange: an RSA key signs under three names.
    methods: &'static str,
}

const KINDS: [Kind; 5] = [
    Kind { name: "ssh-ed25519", methods: "ssh-ed25519" },
    Kind { name: "ecdsa-sha2-nistp256", methods: "ecdsa-sha2-nistp256" },
    Kind { name: "ecdsa-sha2-nistp384", methods: "ecdsa-sha2-nistp384" },
    Kind { name: "ecdsa-sha2-nistp521", methods: "ecdsa-sha2-nistp521" },
    Kind { name: "ssh-rsa", methods: "rsa-sha2-512,rsa-sha2-256,ssh-rsa" },
];

impl PinnedKey {
    /// Reads `TYPE BASE64 [COMMENT]`, as in a `.pub` file.
    ///
    /// # Errors
    /// The line has another shape, a damaged key, or a type that cannot be checked.
    pub fn parse(line: &str) -> Result<Self, HostKeyError> {
        let shape = || HostKeyError::Shape { line: line.chars().take(40).collect() };
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(base64)) = (words.next(), words.next()) else { return Err(shape()) };
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            // A name with a dash is a type that we do not know; anything else is no key at all.
            return Err(match name.contains('-') {
                true => HostKeyError::Type { kind: name.chars().take(40).collect() },
                false => shape(),
            });
        };
        let damaged = || HostKeyError::Damaged { kind: name.to_owned() };
        let blob = STANDARD.decode(base64).map_err(|_| damaged())?;
        match after_name(&blob, name) {
            Some(_) => Ok(Self { kind, blob }),
            None => Err(damaged()),
        }
    }

    /// The key of this wire form; `None` where its type cannot be checked.
    pub fn of_wire(wire: &[u8]) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| after_name(wire, kind.name).is_some())?;
        Some(Self { kind, blob: wire.to_vec() })
    }

    /// Reads several; the first bad one is the error.
    ///
    /// # Errors
    /// As [`PinnedKey::parse`].
    pub fn parse_all<S: AsRef<str>>(lines: &[S]) -> Result<Vec<Self>, HostKeyError> {
        lines.iter().map(|line| Self::parse(line.as_ref())).collect()
    }

    /// Those of several that can be understood: of what a machine publishes about itself, which is nobody's setting.
    pub fn parse_known<S: AsRef<str>>(lines: &[S]) -> Vec<Self> {
        lines.iter().filter_map(|line| Self::parse(line.as_ref()).ok()).collect()
    }

    /// Whether this is the key with this wire form.
    pub fn is(&self, wire: &[u8]) -> bool {
        self.blob == wire
    }

    /// `TYPE BASE64`, as it is pinned.
    pub fn line(&self) -> String {
        format!("{} {}", self.kind.name, STANDARD.encode(&self.blob))
    }

    /// What `ssh-keygen -lf` shows of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }
}

/// The SHA-256 of a host key's wire form, by which people compare keys. The alternate form (`{:#}`) is its beginning, for
/// a line that has little room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of a key of any type.
    pub(super) fn of(wire: &[u8]) -> Self {
        Self(STANDARD_NO_PAD.encode(digest(&SHA256, wire)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// 72 bits: no other key is found that begins so.
        const IN_SHORT: usize = 12;
        match f.alternate() {
            true => write!(f, "SHA256:{}...", self.0.chars().take(IN_SHORT).collect::<String>()),
            false => write!(f, "SHA256:{}", self.0),
        }
    }
}

/// What follows in a wire form that begins with this type, as a length and a name (RFC 4253, 6.6).
fn after_name<'a>(wire: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let length = u32::try_from(name.len()).ok()?.to_be_bytes();
    let rest = wire.strip_prefix(&length)?.strip_prefix(name.as_bytes())?;
    (!rest.is_empty()).then_some(rest)
}

/// The host key methods to offer so that the server shows a key that is pinned: with the default
/// preference it may show one of another type, which would read as a mismatch.
pub(super) fn preference(pins: &[PinnedKey]) -> Option<String> {
    let offered: Vec<&str> = KINDS
        .iter()
        .filter(|kind| pins.iter().any(|pin| pin.kind == *kind))
        .map(|kind| kind.methods)
        .collect();
    (!offered.is_empty()).then(|| offered.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ root@compute1";

    #[test]
    fn a_line_is_a_key_of_the_type_that_it_names() {
        let key = PinnedKey::parse(ED25519).unwrap();
        assert!(key.is(&STANDARD.decode(ED25519.split(' ').nth(1).unwrap()).unwrap()));
        assert!(!key.is(b""));
        assert_eq!(key.line(), ED25519.trim_end_matches(" root@compute1"));
        assert_eq!(PinnedKey::of_wire(&key.blob).as_ref(), Some(&key));
        assert_eq!(PinnedKey::of_wire(b"\0\0\0\x07ssh-dss\0"), None, "of a type that cannot be pinned");
        let lied = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
        assert!(matches!(PinnedKey::parse(&lied), Err(HostKeyError::Damaged { .. })));
        assert!(matches!(PinnedKey::parse("ssh-dss AAAA"), Err(HostKeyError::Type { .. })));
        for bad in ["", "ssh-ed25519", "compute1 ssh-ed25519 AAAA", "SHA256:abc"] {
            assert!(matches!(PinnedKey::parse(bad), Err(HostKeyError::Shape { .. })), "{bad:?}");
        }
        assert!(matches!(PinnedKey::parse("ssh-ed25519 !!"), Err(HostKeyError::Damaged { .. })));
        assert!(PinnedKey::parse_all(&[ED25519, "x"]).is_err());
    }

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_shows() {
        let fingerprint = PinnedKey::parse(ED25519).unwrap().fingerprint();
        assert_eq!(fingerprint.to_string(), "SHA256:77YPHjzSifoJuyeViGNcBphDIj4XBKKzliCKmmwUW5E");
        assert_eq!(format!("{fingerprint:#}"), "SHA256:77YPHjzSifoJ...");
    }

    #[test]
    fn only_pinned_types_are_offered() {
        assert_eq!(preference(&[]), None);
        let key = PinnedKey::parse(ED25519).unwrap();
        assert_eq!(preference(&[key.clone(), key]).as_deref(), Some("ssh-ed25519"));
    }
}
