//! nova-compute services: read one, force it down, disable, enable.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::ids::{Microversion, NovaHost, ServiceId};

/// 2.53 brought UUIDs and one PUT; 2.69 shows a service in a cell that is down as UNKNOWN instead of
/// leaving it out.
pub(super) const VERSION: Microversion = Microversion::two(69);
const BINARY: &str = "nova-compute";

/// What Nova derives from `forced_down` and the age of the last report (60 s by default).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// Not forced down, and a report that is young enough; may be a minute stale.
    Up,
    /// Forced down, or silent.
    Down,
}

/// Whether the scheduler may place guests there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceStatus {
    /// It may.
    Enabled,
    /// It may not.
    Disabled,
}

/// A nova-compute service, as Nova says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputeService {
    /// Its id.
    pub id: ServiceId,
    /// Its host.
    pub host: NovaHost,
    /// Whether it lives.
    pub state: ServiceState,
    /// Whether it is in general use.
    pub status: ServiceStatus,
    /// Why not, where somebody said so.
    pub disabled_reason: Option<String>,
    /// Whether somebody declared it down.
    pub forced_down: bool,
    /// When it last reported (UTC, Nova's spelling); for people.
    pub updated_at: Option<String>,
    /// Its availability zone.
    pub zone: Option<String>,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Value>,
}

impl NovaClient {
    /// All nova-compute services that Nova can tell of; one in a cell that is down is left out.
    ///
    /// # Errors
    /// Nova does not answer, or not as it should.
    pub async fn compute_services(&self) -> Result<Vec<ComputeService>, NovaError> {
        let call = NovaCall::read(&["os-services"], VERSION).with("binary", BINARY);
        let answer = self.call(&call).await?;
        let rows = answer.json::<Services>()?.services;
        let ours = rows.into_iter().filter(|row| {
            let text = |name: &str| row.get(name).and_then(Value::as_str);
            text("binary") == Some(BINARY) && text("status") != Some("UNKNOWN")
        });
        ours.map(|row| {
            serde_json::from_value(row).map_err(|error| answer.malformed(format!("a service: {error}")))
        })
        .collect()
    }

    pub(super) async fn read_service(&self, host: &NovaHost) -> Result<Option<ComputeService>, NovaError> {
        let call =
            NovaCall::read(&["os-services"], VERSION).with("binary", BINARY).with("host", host.as_str());
        let answer = self.call(&call).await?;
        let rows = answer.json::<Services>()?.services;
        let mut found = None;
        for row in rows {
            let text = |name: &str| row.get(name).and_then(Value::as_str);
            // Exact, whatever a later Nova makes of its filter.
            if text("host") != Some(host.as_str()) || text("binary") != Some(BINARY) {
                continue;
            }
            if text("status") == Some("UNKNOWN") {
                return Err(NovaError::CellDown { call: answer.call, what: format!("host {host}") });
            }
            let service: ComputeService = serde_json::from_value(row)
                .map_err(|error| answer.malformed(format!("the service of host {host}: {error}")))?;
            if found.replace(service).is_some() {
                return Err(answer.malformed(format!("there are two nova-compute services on host {host}")));
            }
        }
        Ok(found)
    }

    /// That Nova knows the host and that its cell answers; lists filtered by host leave out a cell
    /// that is down without a word.
    pub(super) async fn require_cell_of(&self, host: &NovaHost) -> Result<(), NovaError> {
        match self.read_service(host).await? {
            Some(_) => Ok(()),
            None => Err(NovaError::NoSuchHost { host: host.clone() }),
        }
    }

    pub(super) async fn update_service(&self, service: &ServiceId, body: Value) -> Result<(), NovaError> {
        let path = ["os-services", service.as_str()];
        self.call(&NovaCall::effect(Method::PUT, &path, VERSION, body)).await.map(drop)
    }

    pub(super) async fn disable_service(&self, service: &ServiceId, reason: &str) -> Result<(), NovaError> {
        let length = reason.chars().count();
        if !(1..=255).contains(&length) {
            let why = format!("a disabled_reason has 1 to 255 characters, this one has {length}");
            return Err(NovaError::NotSent { why });
        }
        self.update_service(service, json!({"status": "disabled", "disabled_reason": reason})).await
    }
}
