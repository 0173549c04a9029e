//! Our own client for keystone v3 and the few calls of Nova that a recovery makes.
//!
//! Start reading at [`cloud`]: the trait [`Cloud`] is all that the recovery sees, and a simulated
//! world can stand behind it. [`NovaClient`] is the real one: [`clouds`] says where the cloud is and
//! who we are, [`auth`] and [`catalog`] get a token and Nova's address, [`http`] makes one call
//! with a deadline and a bounded answer, [`client`] adds the token, the microversion and
//! retries, a file for each endpoint what it says, and `as_cloud` all of them behind the seam; [`tokens`] and `revoke` is how an
//! effect that nobody answered is kept from being heard later.
//!
//! What it must never do: take silence for an answer. A timeout, a 5xx, a partial record or a cell
//! that is down is an error that says *cannot tell*, never an empty list and never a failure of a
//! guest. Only reads are repeated; an effect goes out once, and its error says whether it may have
//! happened ([`NovaError::effect_may_have_happened`]).

pub(crate) mod as_cloud;
pub mod auth;
pub mod catalog;
pub mod client;
pub mod cloud;
pub mod clouds;
pub mod environment;
pub mod error;
pub mod evacuate;
pub mod http;
mod hypervisors;
pub mod ids;
pub mod marks;
pub mod migrations;
pub mod ownership;
pub mod placement;
mod revoke;
pub mod servers;
pub mod services;
pub mod task_state;
pub mod token;
pub mod tokens;

mod clouds_file;
mod clouds_regions;
mod clouds_values;

pub use client::NovaClient;
pub use cloud::{Cloud, CloudInfo};
pub use clouds::CloudSettings;
pub use environment::Environment;
pub use error::{ConfigError, NovaError};
pub use evacuate::EvacuateRequest;
pub use http::Timing;
pub use ids::{Microversion, NovaHost, RequestId, ServerId, ServiceId, TokenId};
pub use marks::{Aggregate, Image, ServerGroup};
pub use migrations::{Migration, MigrationStatus};
pub use placement::Room;
pub use servers::{PowerState, Server, VmState};
pub use services::{ComputeService, Reports, ServiceState, ServiceStatus};
pub use task_state::TaskState;
pub use token::Token;
pub use tokens::KeptTokens;
