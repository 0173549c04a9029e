//! Why a guest's folder is not for nova-compute here.

use std::fmt;

use crate::disks::qcow2::Malformed;
use crate::say::short;

/// Of a foreign name, in a sentence.
const MOST_CHARS: usize = 80;

/// One thing in it that must not be opened. The guest is held; a person looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strange {
    /// A link.
    Link {
        /// Its name in the folder.
        file: String,
    },
    /// Neither a file nor a folder: a device, a FIFO or a socket.
    Special {
        /// Its name in the folder.
        file: String,
    },
    /// More entries than any guest has; nobody looked at each.
    Crowded {
        /// How many are looked at.
        most: usize,
    },
    /// An image whose backing file is neither in its folder nor in `_base`.
    Backing {
        /// The image.
        file: String,
        /// What it names.
        names: String,
    },
    /// An image with an external data file.
    DataFile {
        /// The image.
        file: String,
    },
    /// An image whose header is not understood.
    Header {
        /// The image.
        file: String,
        /// Why.
        why: Malformed,
    },
    /// Of a format that can name other files, by its content or by what says so.
    Format {
        /// The file.
        file: String,
        /// Its format.
        format: String,
    },
    /// `disk.info` that is not what Nova writes.
    DiskInfo {
        /// Why.
        why: String,
    },
    /// The file in `_base` that an image is an overlay of is none that stands for itself.
    Base {
        /// The image.
        file: String,
        /// The file in `_base`.
        base: String,
        /// Why.
        why: BaseFault,
    },
    /// `_base` is a link, or no folder.
    NoBaseFolder,
}

/// What is wrong with a file in `_base`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseFault {
    /// A link, a folder, a device, ...
    NoFile,
    /// An image that names a further file.
    NamesOthers,
    /// An image whose header is not understood.
    Header(Malformed),
}

/// A foreign name as it is said: escaped, and not longer than it is worth.
pub fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(MOST_CHARS + 1).collect();
    let cut = text.chars().count() > MOST_CHARS;
    let kept: String = text.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect();
    if cut { format!("{kept}...") } else { kept }
}

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strange::Link { file } => {
                write!(f, "its {file} is a link, which may lead to any file of this machine")
            }
            Strange::Special { file } => write!(f, "its {file} is neither a file nor a folder"),
            Strange::Crowded { most } => {
                write!(f, "there are more than {most} files in it, and nobody looked at all")
            }
            Strange::Backing { file, names } => {
                write!(
                    f,
                    "its {file} is an overlay of {names:?}, which is neither in its folder nor in _base here"
                )
            }
            Strange::DataFile { file } => {
                write!(f, "its {file} has its data in another file (external data file)")
            }
            Strange::Header { file, why } => write!(f, "its {file} is an image whose header {why}"),
            Strange::Format { file, format } => {
                write!(
                    f,
                    "its {file} is said to be, or looks like, {format}: only raw and qcow2 name no file unseen"
                )
            }
            Strange::DiskInfo { why } => write!(f, "its disk.info is not as Nova writes it: {}", short(why)),
            Strange::Base { file, base, why } => {
                write!(f, "its {file} is an overlay of _base/{base}, which ")?;
                match why {
                    BaseFault::NoFile => write!(f, "is no file"),
                    BaseFault::NamesOthers => {
                        write!(f, "names a further file: what Nova keeps there names none")
                    }
                    BaseFault::Header(why) => write!(f, "is an image whose header {why}"),
                }
            }
            Strange::NoBaseFolder => write!(f, "_base beside it is a link, or no folder"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_is_told_escaped_and_cut() {
        assert_eq!(shown(b"/etc/shadow"), "/etc/shadow");
        assert_eq!(shown(b"a\x1b[2J\n"), "a\\u{1b}[2J\\n");
        let long = shown(&[b'x'; 5000]);
        assert!(long.len() < 100 && long.ends_with("x..."), "{long}");
    }
}
