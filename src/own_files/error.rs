//! Why a file or a folder of ours is not used.

use std::io;
use std::path::PathBuf;

/// Why it is not used. The text has the command that puts it right.
#[derive(Debug, thiserror::Error)]
pub enum OwnFileError {
    /// The kernel refused.
    #[error("cannot {doing} {}{}", path.display(), fix.as_deref().unwrap_or_default())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Of what.
        path: PathBuf,
        /// What would help, where that is known.
        fix: Option<String>,
        /// The cause.
        source: io::Error,
    },
    /// It would lead to another file.
    #[error("{} is a link, and is not followed: rm {0}", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is no {expected}: rm -r {0}", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// A folder, or a regular file.
        expected: &'static str,
    },
    /// Its owner could change it, or put something else in its place.
    #[error("{} belongs to uid {uid}, who could change it: chown {owner}: {0}", path.display())]
    Owner {
        /// The folder or file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Whose it must be: `root`, or a number.
        owner: String,
    },
    /// Others could change it, or put something else in its place.
    #[error("{} may be written by others ({mode:04o}): chmod go-w {0}", path.display())]
    Writable {
        /// The folder or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a file of somewhere else too.
    #[error("{} has {names} names, one of them elsewhere: rm {0}", path.display())]
    OtherNames {
        /// The file.
        path: PathBuf,
        /// How many.
        names: u64,
    },
    /// Larger than anything that we write.
    #[error("{} is larger than {limit} bytes, which nothing of ours is: rm {0}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: usize,
    },
}

impl OwnFileError {
    /// It, and what the kernel said, where the text does not end with a command: that is known only of one cause.
    pub fn with_cause(&self) -> String {
        match self {
            Self::Io { fix: Some(_), .. } => self.to_string(),
            Self::Io { source, fix: None, .. } => format!("{self}: {source}"),
            Self::Link { .. }
            | Self::Kind { .. }
            | Self::Owner { .. }
            | Self::Writable { .. }
            | Self::OtherNames { .. }
            | Self::TooLarge { .. } => self.to_string(),
        }
    }
}
