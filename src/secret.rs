//! Secrets: what a key of the tree may say instead of a password, and how it becomes one.
//!
//! The original's contract is a plain password in `config/*/password`. Beside it a value may be a
//! reference, so that a copy of the tree reveals nothing: `file:/path` or `env:NAME`. What is
//! resolved is a [`SecretString`], which is wiped when dropped and never printed; neither the
//! reference nor an error shows a plain value.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use crate::local::open::OpenError;
use crate::local::says::SecretFileError;
use crate::local::{Asked, Leave, Local, Refused};
use crate::say::short;

/// The largest secret. An SSH private key (RSA 16384, PEM) has about 12 KiB.
pub const MAX_SECRET_BYTES: usize = 16 * 1024;

/// Why a secret cannot be had. None of them shows what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// `age:` values are written by a version that can seal.
    #[error(
        "the secret is sealed (age:), which this version cannot open: a later version can; use file:/path or env:NAME"
    )]
    Sealed,
    /// Nothing there.
    #[error("{place} is empty")]
    Empty {
        /// Where the secret was looked for.
        place: String,
    },
    /// `file:` wants an absolute path: the working directory of a Consul handler is nobody's promise.
    #[error("{}: the path of a secret is absolute, as in file:/etc/nova-ha/bmc-password", short(place))]
    RelativePath {
        /// The reference as it came.
        place: String,
    },
    /// The file cannot be read, or is not one that may be.
    #[error("cannot read the secret from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: OpenError,
    },
    /// This machine's local.toml does not allow it.
    #[error("the secret is not looked for")]
    Refused {
        /// Why.
        source: Box<Refused>,
    },
    /// Larger than any password or key.
    #[error("{place} is larger than {limit} bytes, no password or key is")]
    TooLarge {
        /// Where the secret was looked for.
        place: String,
        /// The bound.
        limit: usize,
    },
    /// Bytes that are no text.
    #[error("{place} is not UTF-8 text")]
    NotText {
        /// Where the secret was looked for.
        place: String,
    },
    /// The environment variable is not set.
    #[error("the environment variable {name} is not set")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// `env:` with a name that no environment has.
    #[error("{:?} is no name of an environment variable", short(name))]
    VariableName {
        /// The name as it came.
        name: String,
    },
}

impl SecretError {
    /// What this machine's local.toml says against it, where that is the cause.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused { source } => Some(source),
            Self::Sealed
            | Self::Empty { .. }
            | Self::RelativePath { .. }
            | Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::NotText { .. }
            | Self::NotSet { .. }
            | Self::VariableName { .. } => None,
        }
    }
}

/// A secret, or where it is. Parsed with [`SecretRef::parse`]; turned into the secret, each time it
/// is needed, with [`SecretRef::resolve`], so that a changed file counts at once.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// The password itself, as the original stores it.
    Plain(SecretString),
    /// A file, readable by root on every HA node.
    File(PathBuf),
    /// An environment variable of the executable.
    Env(String),
}

impl SecretRef {
    /// Reads the value of a key. A plain password that begins with `file:`, `env:` or `age:` cannot
    /// be stored as such; put it into a file.
    ///
    /// # Errors
    /// An empty value, a sealed one, a relative path, or a name no variable has.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.starts_with("age:") {
            return Err(SecretError::Sealed);
        }
        if let Some(path) = text.strip_prefix("file:") {
            if !Path::new(path).is_absolute() {
                return Err(SecretError::RelativePath { place: text.to_owned() });
            }
            return Ok(Self::File(PathBuf::from(path)));
        }
        if let Some(name) = text.strip_prefix("env:") {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(SecretError::VariableName { name: name.to_owned() });
            }
            return Ok(Self::Env(name.to_owned()));
        }
        if text.is_empty() {
            return Err(SecretError::Empty { place: "the secret".to_owned() });
        }
        if text.len() > MAX_SECRET_BYTES {
            return Err(SecretError::TooLarge { place: "the secret".to_owned(), limit: MAX_SECRET_BYTES });
        }
        Ok(Self::Plain(SecretString::from(text)))
    }

    /// Whether the tree holds the secret itself, which `doctor` warns about.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// What this machine's root is asked for before it is read; nothing of a plain value.
    pub fn asked(&self) -> Option<Asked> {
        match self {
            Self::Plain(_) => None,
            Self::File(path) => Some(Asked::SecretFile(path.clone())),
            Self::Env(name) => Some(Asked::Variable(name.clone())),
        }
    }

    /// The secret. One line end at the end of a file is not part of it: editors and `echo` add one.
    ///
    /// # Errors
    /// The file or variable may not be read by this machine's local.toml, cannot be, is empty, too large, or not text.
    pub fn resolve(&self, local: &Local) -> Result<SecretString, SecretError> {
        let place = self.to_string();
        match self {
            Self::Plain(secret) => Ok(secret.clone()),
            Self::Env(name) => {
                if let Leave::Refused(source) = local.leave(&Asked::Variable(name.clone())) {
                    return Err(SecretError::Refused { source });
                }
                let value =
                    std::env::var_os(name).ok_or_else(|| SecretError::NotSet { name: name.clone() })?;
                let text = value.into_string().map_err(|_| SecretError::NotText { place: place.clone() })?;
                if text.len() > MAX_SECRET_BYTES {
                    return Err(SecretError::TooLarge { place, limit: MAX_SECRET_BYTES });
                }
                not_empty(text, place)
            }
            Self::File(path) => {
                let opened = local.secret_file(path, MAX_SECRET_BYTES).map_err(|error| match error {
                    SecretFileError::Refused(source) => SecretError::Refused { source },
                    SecretFileError::Open(source) => SecretError::Read { path: path.clone(), source },
                })?;
                let text = String::from_utf8(opened.bytes)
                    .map_err(|_| SecretError::NotText { place: place.clone() })?;
                let stripped = text.strip_suffix('\n').unwrap_or(&text);
                let stripped = stripped.strip_suffix('\r').unwrap_or(stripped);
                not_empty(stripped.to_owned(), place)
            }
        }
    }
}

fn not_empty(text: String, place: String) -> Result<SecretString, SecretError> {
    if text.is_empty() {
        return Err(SecretError::Empty { place });
    }
    Ok(SecretString::from(text))
}

impl TryFrom<String> for SecretRef {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        Self::parse(&text)
    }
}

impl fmt::Display for SecretRef {
    /// Where the secret is; never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("a plain value (not shown)"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use secrecy::ExposeSecret;

    use super::*;

    /// A machine without a local.toml.
    fn local() -> Local {
        Local::read(Path::new("/nonexistent/local.toml"))
    }

    fn file_with(bytes: &[u8]) -> (tempfile::TempDir, SecretRef) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, bytes).unwrap();
        (folder, SecretRef::parse(&format!("file:{}", path.display())).unwrap())
    }

    #[test]
    fn a_plain_value_is_the_secret_and_is_never_printed() {
        let plain = SecretRef::parse("Test123.").unwrap();
        assert_eq!(plain.resolve(&local()).unwrap().expose_secret(), "Test123.");
        let shown = format!("{plain} {plain:?} {:?}", plain.resolve(&local()).unwrap());
        assert!(!shown.contains("Test123."), "{shown}");
    }

    #[test]
    fn a_file_loses_its_last_line_end_and_nothing_else() {
        for (bytes, secret) in
            [("pw\n", "pw"), ("pw", "pw"), ("pw\r\n", "pw"), (" p w \n", " p w "), ("a\nb\n\n", "a\nb\n")]
        {
            let (_folder, reference) = file_with(bytes.as_bytes());
            assert_eq!(reference.resolve(&local()).unwrap().expose_secret(), secret);
        }
    }

    #[test]
    fn what_is_no_secret_is_an_error_that_does_not_show_it() {
        let (_keep, empty) = file_with(b"\n");
        assert!(matches!(empty.resolve(&local()), Err(SecretError::Empty { .. })));
        let (_keep, large) = file_with(&[b'x'; MAX_SECRET_BYTES + 1]);
        assert!(matches!(
            large.resolve(&local()),
            Err(SecretError::Read { source: OpenError::TooLarge { .. }, .. })
        ));
        let (_keep, binary) = file_with(b"secret\xff");
        let error = binary.resolve(&local()).unwrap_err();
        assert!(matches!(error, SecretError::NotText { .. }));
        assert!(!format!("{error} {error:?}").contains("secret\\xff"));
        let folder = SecretRef::parse("file:/").unwrap().resolve(&local()).unwrap_err();
        assert!(matches!(folder, SecretError::Read { source: OpenError::NotAFile { .. }, .. }));
        let absent = SecretRef::parse("file:/nonexistent/pw").unwrap().resolve(&local()).unwrap_err();
        assert!(absent.to_string().contains("/nonexistent/pw") && absent.source().is_some());
    }

    #[test]
    fn references_that_cannot_be_followed_are_refused_when_read() {
        assert!(matches!(SecretRef::parse(""), Err(SecretError::Empty { .. })));
        assert!(matches!(SecretRef::parse("file:pw"), Err(SecretError::RelativePath { .. })));
        assert!(matches!(SecretRef::parse("env:"), Err(SecretError::VariableName { .. })));
        assert!(matches!(SecretRef::parse("env:A=B"), Err(SecretError::VariableName { .. })));
        let sealed = SecretRef::parse("age:xyz").unwrap_err().to_string();
        assert!(sealed.contains("later version") && !sealed.contains("xyz"), "{sealed}");
    }

    #[test]
    fn a_variable_is_read_and_its_absence_named() {
        // Cargo sets this one for every test; setting one of our own is unsafe code.
        let set = SecretRef::parse("env:CARGO_PKG_NAME").unwrap();
        assert_eq!(set.resolve(&local()).unwrap().expose_secret(), "nova-ha");
        let absent = SecretRef::parse("env:NOVA_HA_NO_SUCH_VARIABLE").unwrap().resolve(&local()).unwrap_err();
        assert!(absent.to_string().contains("NOVA_HA_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn a_machine_whose_root_does_not_allow_it_reads_no_file_and_no_variable() {
        let (folder, file) = file_with(b"pw");
        let toml = folder.path().join("local.toml");
        for text in ["", "x = 1"] {
            std::fs::write(&toml, text).unwrap();
            let local = Local::read(&toml);
            for reference in [&file, &SecretRef::parse("env:CARGO_PKG_NAME").unwrap()] {
                let error = reference.resolve(&local).unwrap_err();
                assert!(matches!(error, SecretError::Refused { .. }), "{text:?} {error:?}");
            }
            let plain = SecretRef::parse("Test123.").unwrap();
            assert!(plain.resolve(&local).is_ok(), "a plain value needs nobody's leave");
        }
        std::fs::write(
            &toml,
            format!("secret_folders = [{:?}]\nsecret_variables = [\"CARGO_PKG_NAME\"]", folder.path()),
        )
        .unwrap();
        let local = Local::read(&toml);
        assert_eq!(file.resolve(&local).unwrap().expose_secret(), "pw");
        assert!(SecretRef::parse("env:CARGO_PKG_NAME").unwrap().resolve(&local).is_ok());
    }

    #[test]
    fn a_reference_can_stand_in_json() {
        let reference: SecretRef = serde_json::from_str("\"file:/etc/pw\"").unwrap();
        assert_eq!(reference.to_string(), "file:/etc/pw");
        let error = serde_json::from_str::<SecretRef>("\"age:s3cret\"").unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }
}
