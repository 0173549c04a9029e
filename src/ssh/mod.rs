//! Logging in to a machine, with every deadline ours and three-valued answers.
//!
//! What it must never do: call a machine failed because *we* could not tell (a wrong password, an
//! unpinned key, a resolver that hangs), send a password to a machine whose host key is not the
//! pinned one, or outlive its deadline.
//!
//! libssh2 blocks, so each attempt runs on a `std::thread` of its own and the overall deadline is
//! enforced outside of it ([`log_in`], [`answers_with_pinned_key`]): a server that hangs, or that
//! drips a byte a second, ends at the deadline. The thread that is left behind holds nothing but
//! its socket and does not hold up the end of the tokio runtime or of the process. (Inside
//! `spawn_blocking` it would: a caller that wraps these calls so must end its runtime with
//! `shutdown_background()`.)
//!
//! Start at [`outcome`], then [`login`]; `session` is the only file that talks to libssh2. What a machine says before
//! its banner, which libssh2 keeps to itself, is in `greeting`.

mod attempt;
mod greeting;
pub mod host_key;
pub mod login;
pub mod outcome;
pub mod reach;
mod session;

pub use attempt::{Credential, Login, Target};
pub use host_key::{Fingerprint, HostKeyError, PinnedKey};
pub use login::{answers_with_pinned_key, log_in, log_in_and_see, port_answers};
pub use outcome::{Answer, Failure, Outcome, Stage, Unknown};
pub use reach::{Reach, SshReach};
