//! What is read from files and standard input: secrets, keys, fence configurations.
//!
//! A secret comes in here and goes into its key: never through argv (any user of the machine can
//! read it there), never into an error or a log. Its file may hold a reference (`file:/path`,
//! `env:NAME`) instead of the secret; the reference is what is stored.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use super::OperatorError;
use crate::secret::SecretRef;

/// Larger than any key or fence configuration; far below Consul's 512 KiB for a transaction.
const MAX_BYTES: u64 = 64 * 1024;

/// A file, or standard input written as `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input, to its end.
    Stdin,
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(text.into()) })
    }
}

impl Source {
    /// All of it, as text.
    pub fn text(&self, option: &str) -> Result<String, OperatorError> {
        let mut bytes = Vec::new();
        let read = match self {
            Source::File(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            }
            Source::Stdin => std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes),
        };
        read.map_err(|source| OperatorError::File { doing: "read", path: self.path().into(), source })?;
        let refuse = |why: &str| OperatorError::Input { option: option.into(), why: why.into() };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(refuse("it is larger than 64 KiB"));
        }
        // The error of the conversion would carry the bytes.
        String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))
    }

    fn path(&self) -> &Path {
        match self {
            Source::File(path) => path,
            Source::Stdin => Path::new("standard input"),
        }
    }
}

/// A password: one line, its newline cut off.
pub fn password(source: &Source, option: &str) -> Result<SecretString, OperatorError> {
    let text = SecretString::from(source.text(option)?);
    let line = text.expose_secret().trim_end_matches(['\n', '\r']);
    let refuse = |why: &str| Err(OperatorError::Input { option: option.into(), why: why.into() });
    if line.is_empty() {
        return refuse("it is empty");
    }
    if line.chars().any(char::is_control) {
        return refuse("a password is one line without control characters");
    }
    reference_is_whole(line, option)?;
    Ok(SecretString::from(line))
}

/// A private key in PEM, or a reference to one.
pub fn private_key(source: &Source, option: &str) -> Result<SecretString, OperatorError> {
    let text = SecretString::from(source.text(option)?);
    let key = text.expose_secret().trim();
    if key.starts_with("file:") || key.starts_with("env:") {
        reference_is_whole(key, option)?;
        return Ok(SecretString::from(key));
    }
    if key.starts_with("-----BEGIN ") && key.ends_with("-----") && key.contains("PRIVATE KEY") {
        return Ok(SecretString::from(format!("{key}\n")));
    }
    Err(OperatorError::Input {
        option: option.into(),
        why: "it is neither a private key in PEM nor a reference (file:/path, env:NAME)".into(),
    })
}

fn reference_is_whole(text: &str, option: &str) -> Result<(), OperatorError> {
    match SecretRef::parse(text) {
        Ok(_) => Ok(()),
        // The error names a reference, never a plain value.
        Err(error) => Err(OperatorError::Input { option: option.into(), why: error.to_string() }),
    }
}

/// How a stored secret is shown: that it is there, and where it comes from, never what it is.
pub fn shown(stored: Option<&str>) -> Option<String> {
    stored.map(|text| match text.split_once(':') {
        Some(("file" | "env", _)) if !text.contains('\n') => format!("({text})"),
        _ => "(set)".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (folder, Source::File(path))
    }

    #[test]
    fn a_password_is_one_line_and_keeps_its_inner_spaces() {
        let (_folder, source) = file(" pass word \n");
        assert_eq!(password(&source, "--p").unwrap().expose_secret(), " pass word ");
        for bad in ["", "\n", "two\nlines\n", "nul\0", "file:relative", "env:", "env:A-B"] {
            let (_folder, source) = file(bad);
            let error = password(&source, "--p").unwrap_err();
            assert!(error.to_string().starts_with("--p: "), "{error}");
        }
    }

    #[test]
    fn an_error_never_repeats_what_was_in_the_file() {
        let (_folder, source) = file("hunter2\nhunter3\n");
        assert!(!format!("{:?}", password(&source, "--p").unwrap_err()).contains("hunter"));
        assert!(!format!("{:?}", private_key(&source, "--p").unwrap_err()).contains("hunter"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, b"hunter2\xff").unwrap();
        assert!(!format!("{:?}", password(&Source::File(path), "--p").unwrap_err()).contains("104"));
    }

    #[test]
    fn only_a_reference_is_shown_of_a_secret() {
        assert_eq!(shown(Some("file:/etc/pw")).unwrap(), "(file:/etc/pw)");
        assert_eq!(shown(Some("env:PW")).unwrap(), "(env:PW)");
        assert_eq!(shown(Some("hunter2")).unwrap(), "(set)");
        assert_eq!(shown(Some("age:xyz")).unwrap(), "(set)");
        assert_eq!(shown(None), None);
    }
}
