//! `nova-ha-probe`: looks at one machine, leaves evidence while it fails, and says so in one line.
//!
//! What it must never do: make a fault of our own look like a dead machine. Exit code 2 (critical)
//! exists for one case only, a plane that failed `threshold` times in a row and was recorded; Consul
//! away, a bad key, a typing error or a panic is exit code 1.
//!
//! A healthy run is one read. The evidence is this observer's own record, compared and set with the
//! host's epoch in one transaction; a recorded failure is what `mark-failed` judges, a check's
//! status only wakes it.
//!
//! Start at [`run()`], then [`decide`] (the pure rule); [`planes`] looks, [`evidence`] reads and
//! writes, [`count`] follows with `number_fails`.

pub mod args;
pub mod count;
pub mod decide;
pub mod evidence;
mod own_pin;
pub mod planes;
pub mod report;
pub mod run;
pub mod run_dir;

pub use args::{Args, Settings};
pub use report::Report;
pub use run::run;
