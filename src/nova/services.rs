//! nova-compute services: read one, when it last reported, force it down, disable, enable.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::http::Answer;
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
    /// When Nova last wrote its record (UTC, Nova's spelling): at each report of nova-compute (`report_interval`,
    /// 10 s by default), and at each change by the API. The conductor's clock.
    pub updated_at: Option<String>,
    /// Its availability zone.
    pub zone: Option<String>,
}

impl ComputeService {
    /// [`Self::updated_at`] as a time; `None` where Nova says none, or one that cannot be understood.
    pub fn record_moved_at(&self) -> Option<Timestamp> {
        moment(self.updated_at.as_deref()?)
    }
}

/// What one answer of Nova says of the reports of all nova-computes: enough to tell how old those of one host
/// are, without a clock of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// The host's service.
    pub service: ComputeService,
    /// `Date` of this very answer: the API's clock, to the second. `None` where the answer has none.
    pub answered_at: Option<Timestamp>,
    /// The newest [`ComputeService::record_moved_at`] of all other hosts. The same clock wrote it that writes the
    /// host's own, so that a `Date` ahead of that clock makes nobody look silent.
    pub newest_elsewhere: Option<Timestamp>,
}

/// A time of Nova's, which are UTC and say so or say nothing of it.
fn moment(text: &str) -> Option<Timestamp> {
    let civil: jiff::civil::DateTime = text.trim_end_matches('Z').parse().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[derive(Deserialize)]
struct Service {
    service: ComputeService,
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
        all(&self.call(&call).await?)
    }

    pub(super) async fn read_service(&self, host: &NovaHost) -> Result<Option<ComputeService>, NovaError> {
        let call =
            NovaCall::read(&["os-services"], VERSION).with("binary", BINARY).with("host", host.as_str());
        let answer = self.call(&call).await?;
        let rows = answer.json::<Services>()?.services;
        service_of(&answer, &rows, host)
    }

    pub(super) async fn read_reports(&self, host: &NovaHost) -> Result<Option<Reports>, NovaError> {
        reports(&self.call(&NovaCall::read(&["os-services"], VERSION).with("binary", BINARY)).await?, host)
    }

    /// That Nova knows the host and that its cell answers; lists filtered by host leave out a cell
    /// that is down without a word.
    pub(super) async fn require_cell_of(&self, host: &NovaHost) -> Result<(), NovaError> {
        match self.read_service(host).await? {
            Some(_) => Ok(()),
            None => Err(NovaError::NoSuchHost { host: host.clone() }),
        }
    }

    pub(super) async fn update_service(
        &self,
        service: &ServiceId,
        body: Value,
    ) -> Result<ComputeService, NovaError> {
        let path = ["os-services", service.as_str()];
        let answer = self.call(&NovaCall::effect(Method::PUT, &path, VERSION, body)).await?;
        answer.json::<Service>().map(|answer| answer.service)
    }

    pub(super) async fn disable_service(
        &self,
        service: &ServiceId,
        reason: &str,
    ) -> Result<ComputeService, NovaError> {
        let length = reason.chars().count();
        if !(1..=255).contains(&length) {
            let why = format!("a disabled_reason has 1 to 255 characters, this one has {length}");
            return Err(NovaError::NotSent { why });
        }
        self.update_service(service, json!({"status": "disabled", "disabled_reason": reason})).await
    }
}

fn all(answer: &Answer) -> Result<Vec<ComputeService>, NovaError> {
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

fn reports(answer: &Answer, host: &NovaHost) -> Result<Option<Reports>, NovaError> {
    let rows = answer.json::<Services>()?.services;
    let Some(service) = service_of(answer, &rows, host)? else { return Ok(None) };
    let is_elsewhere = |row: &&Value| {
        let name = row.get("host").and_then(Value::as_str);
        name.is_some_and(|name| !name.eq_ignore_ascii_case(host.as_str()))
    };
    let moved = |row: &Value| moment(row.get("updated_at")?.as_str()?);
    let newest_elsewhere = rows.iter().filter(is_elsewhere).filter_map(moved).max();
    Ok(Some(Reports { service, answered_at: answer.date(), newest_elsewhere }))
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl NovaClient {
    pub(crate) fn services_in(body: &[u8]) -> Result<Vec<ComputeService>, NovaError> {
        all(&Answer::of_200(body))
    }

    pub(crate) fn reports_in(body: &[u8], host: &NovaHost) -> Result<Option<Reports>, NovaError> {
        reports(&Answer::of_200(body), host)
    }

    pub(crate) fn changed_service_in(body: &[u8]) -> Result<ComputeService, NovaError> {
        Answer::of_200(body).json::<Service>().map(|answer| answer.service)
    }
}

/// The service of exactly this host, whatever a later Nova makes of its filter.
fn service_of(answer: &Answer, rows: &[Value], host: &NovaHost) -> Result<Option<ComputeService>, NovaError> {
    let mut found = None;
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        if text("host") != Some(host.as_str()) || text("binary") != Some(BINARY) {
            continue;
        }
        if text("status") == Some("UNKNOWN") {
            return Err(NovaError::CellDown { call: answer.call.clone(), what: format!("host {host}") });
        }
        let service: ComputeService = serde_json::from_value(row.clone())
            .map_err(|error| answer.malformed(format!("the service of host {host}: {error}")))?;
        if found.replace(service).is_some() {
            return Err(answer.malformed(format!("there are two nova-compute services on host {host}")));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_nova_are_utc_with_or_without_a_fraction() {
        let whole: Timestamp = "2026-11-22T21:06:26Z".parse().unwrap();
        for text in ["2026-11-22T21:06:26.000000", "2026-11-22T21:06:26", "2026-11-22T21:06:26Z"] {
            assert_eq!(moment(text), Some(whole), "{text}");
        }
        assert!(moment("2026-11-22T21:06:26.036288").unwrap() > whole);
        for text in ["", "now", "2026-13-01T00:00:00"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
