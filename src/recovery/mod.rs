//! The half that acts: fence, take the storage, evacuate every guest, prove each one, close.
//!
//! Start reading at [`run()`] (what one execution does), then [`queue`] (what is there to do),
//! [`gather`] and [`plan`] (look, then decide; `--plan` stops here), [`claim`] (one transaction),
//! [`executor`] (the table of [`crate::incident::step`], step by step) and [`steps`].
//!
//! What keeps it safe: [`lease`] bounds every effect; [`journal`] writes intent before it and
//! refuses when anybody else wrote; [`proof`] makes the later steps demand a fresh reading of
//! *off*; the world is reached through the seams of [`world`] only, so that a simulated one can
//! stand there. It never imports the monitor half.

pub mod args;
mod arming;
pub mod arrays;
mod attempt;
pub mod boots;
pub mod capacity;
pub mod carried;
pub mod case;
pub mod claim;
pub mod context;
mod contradiction;
pub mod device_words;
pub mod dump;
pub mod earlier;
pub mod evacuation;
pub mod executor;
pub mod foreign;
pub mod gather;
pub mod guest_folder;
pub mod hand_back;
pub mod hearsay;
mod heed;
pub mod history;
pub mod holder;
mod identified;
pub mod journal;
pub mod lease;
mod level_facts;
pub mod local_arrays;
pub mod local_disks;
pub mod local_reservations;
pub mod note;
pub mod only_said;
pub mod options;
mod own_secrets;
mod own_word;
pub mod plan;
pub mod progress;
pub mod proof;
pub mod prune;
pub mod queue;
mod rarely;
pub mod rejudged;
pub mod release;
pub mod report;
pub mod reports;
pub mod reservations;
pub mod retry;
pub mod run;
mod silence;
pub mod single;
pub mod site_programs;
pub mod steps;
pub mod stop;
pub mod storage;
pub mod surroundings;
pub mod takeovers;
pub mod tenure;
pub mod through;
pub mod twin;
pub mod word;
pub mod world;

pub use args::Args;
pub use options::Options;
pub use report::Report;
pub use run::run;
pub use world::World;
