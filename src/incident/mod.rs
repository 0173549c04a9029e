//! The one noun between the two halves: an incident, one failure epoch of one host.
//!
//! Everything here is plain data and pure functions. The monitor opens an incident with the
//! evidence it judged on; the recovery writes its journal. [`status`] is the one function from
//! (status, event) to status that serves live recording and replay; [`step`] holds the table of a
//! recovery with the point of no return marked in it; [`guest`] is the ledger of one guest.

pub mod append;
pub mod attention;
pub mod devices;
pub mod dump_grace;
pub mod evidence;
pub mod facts;
pub mod guest;
pub mod guests_seen;
pub mod held_guests;
pub mod journal;
pub mod lead;
pub mod note;
pub mod on_ha_nodes;
pub mod open;
pub mod opening;
pub mod record;
pub mod retry;
pub mod said;
pub mod sentences;
pub mod settled;
pub mod status;
pub mod step;
pub mod through;
pub mod timeline;

pub use record::IncidentRecord;
pub use status::Status;
pub use step::{Phase, Step};

/// Begins every `disabled_reason` that a recovery writes into Nova; the incident's id follows. A host
/// that was disabled before keeps its reason, so ours says that it was enabled.
pub const DISABLED_REASON: &str = "nova-ha: incident ";

/// Begins the `disabled_reason` of a nova-compute that is kept out of scheduling as a spare, by
/// `rejoin --swap-roles`; the HA node's name follows. It is no recovery's, and is taken back when that
/// machine becomes a host again.
pub const SPARE_REASON: &str = "nova-ha: spare ";
