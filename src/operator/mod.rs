//! The `nova-ha` commands: what people do to the tree, and what it shows them.
//!
//! Every command reads what it decides on in one view ([`cluster`]), decides, and writes in one
//! transaction that compares everything it read ([`commit`]): it happened, or nothing changed. A
//! tree whose sentinel is not visible is never taken for an empty one.
//!
//! Secrets come in through [`secret_input`] (a file or standard input) and go nowhere but into
//! their key. Start at [`cli`].

mod accept;
mod alive;
pub mod answer;
mod apart;
mod bmc;
pub mod cli;
mod cloud;
pub mod cluster;
pub mod commit;
pub mod confirm;
mod confirm_device;
pub mod confirm_off;
pub mod cooldown;
mod device_lines;
pub mod error;
mod eyes;
pub mod fault;
mod free;
pub mod generate;
pub mod guest;
mod guest_view;
mod ha_node;
pub mod host;
pub mod incident;
pub mod incident_view;
pub mod init;
mod leave;
pub mod local;
pub mod machine_options;
pub mod machine_view;
pub mod maintenance;
mod md_filesystems;
mod observer_view;
mod offer;
pub mod person;
pub mod policy;
mod policy_explain;
mod policy_values;
pub mod rejoin;
pub mod reset;
pub mod secret_input;
mod seen;
pub mod status;
pub mod table;
mod through;
pub mod unprotected;
mod unsaid;
pub mod watch;
mod weak_points;

pub use answer::Answer;
pub use cli::Cli;
pub use error::OperatorError;
