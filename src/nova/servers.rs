//! Guests as Nova sees them: one, or all on one host.
//!
//! Strict about what decisions are made on (id, host, vm_state, task_state, image, volumes), lenient
//! about the rest. The derived `status` is read for one thing only: `UNKNOWN` marks the partial record of a
//! cell that is down.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::http::Answer;
use super::ids::{Microversion, NovaHost, ServerId};
use super::task_state::TaskState;

/// 2.47 shows the flavor itself, 2.69 partial records instead of a 500, 2.73 the lock's reason.
pub(super) const VERSION: Microversion = Microversion::two(73);
/// Nova's own limit of a page.
const PAGE: usize = 1000;
/// More pages than any host has guests for: an end to a list that never ends.
pub(super) const MAX_PAGES: usize = 100;

/// What a guest is, by Nova's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum VmState {
    /// Running, as far as Nova knows.
    Active,
    /// Being made.
    Building,
    /// Paused in memory.
    Paused,
    /// Suspended to disk.
    Suspended,
    /// Shut off.
    Stopped,
    /// Running from a rescue image.
    Rescued,
    /// Resized and not confirmed.
    Resized,
    /// Deleted, but can be restored.
    SoftDeleted,
    /// Deleted.
    Deleted,
    /// Some operation failed; it says nothing about the disk.
    Error,
    /// Shelved, still on its host.
    Shelved,
    /// Shelved, on no host.
    ShelvedOffloaded,
    /// One that this program does not know.
    Other(String),
}

const VM_STATES: [(&str, VmState); 12] = [
    ("active", VmState::Active),
    ("building", VmState::Building),
    ("paused", VmState::Paused),
    ("suspended", VmState::Suspended),
    ("stopped", VmState::Stopped),
    ("rescued", VmState::Rescued),
    ("resized", VmState::Resized),
    ("soft-delete", VmState::SoftDeleted),
    ("deleted", VmState::Deleted),
    ("error", VmState::Error),
    ("shelved", VmState::Shelved),
    ("shelved_offloaded", VmState::ShelvedOffloaded),
];

impl From<String> for VmState {
    fn from(word: String) -> Self {
        VM_STATES.into_iter().find(|(known, _)| *known == word).map_or(Self::Other(word), |(_, state)| state)
    }
}

impl From<VmState> for String {
    fn from(state: VmState) -> Self {
        match state {
            VmState::Other(word) => word,
            known => VM_STATES
                .into_iter()
                .find(|(_, state)| *state == known)
                .map_or_else(Self::new, |(word, _)| word.to_owned()),
        }
    }
}

impl std::fmt::Display for VmState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&String::from(self.clone()))
    }
}

/// What the hypervisor last told Nova; stale once the host is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum PowerState {
    /// 0: nothing known.
    NoState,
    /// 1.
    Running,
    /// 3.
    Paused,
    /// 4.
    Shutdown,
    /// 6.
    Crashed,
    /// 7.
    Suspended,
    /// A number that this program does not know.
    Other(i64),
}

impl From<i64> for PowerState {
    fn from(number: i64) -> Self {
        match number {
            0 => Self::NoState,
            1 => Self::Running,
            3 => Self::Paused,
            4 => Self::Shutdown,
            6 => Self::Crashed,
            7 => Self::Suspended,
            other => Self::Other(other),
        }
    }
}

impl From<PowerState> for i64 {
    fn from(state: PowerState) -> Self {
        match state {
            PowerState::NoState => 0,
            PowerState::Running => 1,
            PowerState::Paused => 3,
            PowerState::Shutdown => 4,
            PowerState::Crashed => 6,
            PowerState::Suspended => 7,
            PowerState::Other(number) => number,
        }
    }
}

/// The flavor a guest was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flavor {
    /// Its name then.
    #[serde(rename = "original_name")]
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory, MiB.
    #[serde(rename = "ram")]
    pub ram_mib: u64,
    /// Root disk, GiB; 0 also where the image decides.
    #[serde(rename = "disk")]
    pub disk_gib: u64,
    /// A further local disk, GiB: what is lost with it no image has.
    #[serde(rename = "ephemeral")]
    pub ephemeral_gib: u64,
    /// Properties.
    pub extra_specs: BTreeMap<String, String>,
}

/// A guest, as Nova says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Its name, which need not be unique.
    pub name: String,
    /// The service host that has it; `None` where it is on none (shelved, never scheduled).
    pub host: Option<NovaHost>,
    /// The hypervisor's name, which may differ from the host's.
    pub hypervisor_hostname: Option<String>,
    /// What it is.
    pub vm_state: VmState,
    /// What is being done with it (`rebuilding`, `powering-off`, ...); `None` is the normal case.
    pub task_state: Option<TaskState>,
    /// What the hypervisor last said.
    pub power_state: PowerState,
    /// Whether its owner or an administrator locked it.
    pub locked: bool,
    /// Why, where they said so.
    pub locked_reason: Option<String>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// The image that it was made from; `None` when it was booted from a volume. A guest made from a
    /// snapshot of one that was booted from a volume has both an image and volumes.
    pub image: Option<String>,
    /// Its attached volumes.
    pub volumes: Vec<String>,
    /// Its flavor.
    pub flavor: Flavor,
    /// Its project.
    pub project: Option<String>,
    /// Whether it ever ran: Nova refuses to evacuate one that never did.
    pub launched: bool,
    /// Nova's message of the fault that made it ERROR.
    pub fault: Option<String>,
    /// Server groups; only [`Cloud::server`](super::Cloud::server) shows them.
    pub server_groups: Vec<String>,
}

/// As it comes. `Some(None)` is null, `None` is absent.
#[derive(Deserialize)]
struct Record {
    id: ServerId,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(rename = "OS-EXT-SRV-ATTR:host", default, deserialize_with = "present")]
    host: Option<Option<NovaHost>>,
    #[serde(rename = "OS-EXT-SRV-ATTR:hypervisor_hostname", default)]
    hypervisor_hostname: Option<String>,
    #[serde(rename = "OS-EXT-STS:vm_state", default)]
    vm_state: Option<VmState>,
    #[serde(rename = "OS-EXT-STS:task_state", default, deserialize_with = "present")]
    task_state: Option<Option<String>>,
    #[serde(rename = "OS-EXT-STS:power_state", default)]
    power_state: Option<PowerState>,
    #[serde(default)]
    locked: Option<bool>,
    #[serde(default)]
    locked_reason: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    image: Value,
    #[serde(rename = "os-extended-volumes:volumes_attached", default)]
    volumes: Option<Vec<Volume>>,
    #[serde(default)]
    flavor: Flavor,
    #[serde(rename = "tenant_id", default)]
    project: Option<String>,
    #[serde(rename = "OS-SRV-USG:launched_at", default)]
    launched_at: Option<String>,
    #[serde(default)]
    fault: Option<Fault>,
    #[serde(default)]
    server_groups: Vec<String>,
}

#[derive(Deserialize)]
struct Volume {
    id: String,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

fn server(answer: &Answer, row: Value) -> Result<Server, NovaError> {
    let id = row.get("id").and_then(Value::as_str).unwrap_or("(no id)").chars().take(80).collect::<String>();
    let record: Record =
        serde_json::from_value(row).map_err(|error| answer.malformed(format!("server {id}: {error}")))?;
    if record.status == "UNKNOWN" {
        return Err(NovaError::CellDown { call: answer.call.clone(), what: format!("server {id}") });
    }
    let lacks =
        |field: &str| answer.malformed(format!("server {id} has no {field}; is the user an administrator?"));
    Ok(Server {
        name: record.name.unwrap_or_default(),
        host: record.host.ok_or_else(|| lacks("OS-EXT-SRV-ATTR:host"))?,
        hypervisor_hostname: record.hypervisor_hostname,
        vm_state: record.vm_state.ok_or_else(|| lacks("OS-EXT-STS:vm_state"))?,
        task_state: record.task_state.ok_or_else(|| lacks("OS-EXT-STS:task_state"))?.map(TaskState::from),
        power_state: record.power_state.ok_or_else(|| lacks("OS-EXT-STS:power_state"))?,
        locked: record.locked.ok_or_else(|| lacks("locked"))?,
        locked_reason: record.locked_reason,
        metadata: record.metadata,
        image: image(&record.image).ok_or_else(|| lacks("image that can be understood"))?,
        volumes: record
            .volumes
            .ok_or_else(|| lacks("os-extended-volumes:volumes_attached"))?
            .into_iter()
            .map(|volume| volume.id)
            .collect(),
        flavor: record.flavor,
        project: record.project,
        launched: record.launched_at.is_some(),
        fault: record.fault.map(|fault| fault.message),
        server_groups: record.server_groups,
        id: record.id,
    })
}

/// The empty text is Nova's word for *booted from a volume*; anything else but an image with an id
/// could be taken for it, and is not.
fn image(shown: &Value) -> Option<Option<String>> {
    match shown {
        Value::String(text) if text.is_empty() => Some(None),
        other => other.get("id").and_then(Value::as_str).map(|id| Some(id.to_owned())),
    }
}

#[derive(Deserialize)]
struct OnePage {
    servers: Vec<Value>,
    #[serde(default)]
    servers_links: Vec<Link>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    rel: String,
}

impl Link {
    pub(super) fn has_next(links: &[Self]) -> bool {
        links.iter().any(|link| link.rel == "next")
    }
}

#[derive(Deserialize)]
struct One {
    server: Value,
}

impl NovaClient {
    pub(super) async fn read_servers_on(&self, host: &NovaHost) -> Result<Vec<Server>, NovaError> {
        // Before and after: a filtered list leaves out a cell that is down without a word.
        self.require_cell_of(host).await?;
        let servers = self.read_pages_of(host).await?;
        self.require_cell_of(host).await?;
        Ok(servers)
    }

    async fn read_pages_of(&self, host: &NovaHost) -> Result<Vec<Server>, NovaError> {
        let mut servers: Vec<Server> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut pages = 0;
        loop {
            let mut call = NovaCall::read(&["servers", "detail"], VERSION)
                .with("all_tenants", "1")
                .with("host", host.as_str())
                .with("limit", PAGE.to_string());
            if let Some(last) = servers.last() {
                call = call.with("marker", last.id.as_str());
            }
            let answer = self.call(&call).await?;
            let last_page = page(&answer, host, &mut seen, &mut servers)?;
            if last_page {
                return Ok(servers);
            }
            pages += 1;
            if pages == MAX_PAGES {
                return Err(answer.malformed(format!("the list does not end after {pages} pages")));
            }
        }
    }

    pub(super) async fn read_server(&self, id: &ServerId) -> Result<Option<Server>, NovaError> {
        let answer = match self.call(&NovaCall::read(&["servers", id.as_str()], VERSION)).await {
            Ok(answer) => answer,
            Err(NovaError::NotFound { message, .. }) if message.contains(id.as_str()) => return Ok(None),
            Err(error) => return Err(error),
        };
        one(&answer, id).map(Some)
    }
}

/// Adds the guests of one page; whether it is the last.
fn page(
    answer: &Answer,
    host: &NovaHost,
    seen: &mut BTreeSet<ServerId>,
    servers: &mut Vec<Server>,
) -> Result<bool, NovaError> {
    let page: OnePage = answer.json()?;
    let last_page = page.servers.is_empty() || !Link::has_next(&page.servers_links);
    for row in page.servers {
        let server = server(answer, row)?;
        // Nova drops filters that a user may not use, and answers with something else.
        if server.host.as_ref() != Some(host) {
            let on = server.host.as_ref().map_or("no host", NovaHost::as_str);
            return Err(
                answer.malformed(format!("asked for guests on {host}, got server {} on {on}", server.id))
            );
        }
        if !seen.insert(server.id.clone()) {
            return Err(answer.malformed(format!("server {} is listed twice", server.id)));
        }
        servers.push(server);
    }
    Ok(last_page)
}

fn one(answer: &Answer, id: &ServerId) -> Result<Server, NovaError> {
    let found = server(answer, answer.json::<One>()?.server)?;
    if found.id != *id {
        return Err(answer.malformed(format!("asked for server {id}, got {}", found.id)));
    }
    Ok(found)
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl NovaClient {
    pub(crate) fn servers_in(body: &[u8], host: &NovaHost) -> Result<Vec<Server>, NovaError> {
        let mut servers = Vec::new();
        page(&Answer::of_200(body), host, &mut BTreeSet::new(), &mut servers).map(|_| servers)
    }

    pub(crate) fn server_in(body: &[u8], id: &ServerId) -> Result<Server, NovaError> {
        one(&Answer::of_200(body), id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A guest that runs on compute1, booted from nothing, with nothing special to it: what the tests
    /// of decisions change.
    pub(crate) fn guest() -> Server {
        Server {
            id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
            name: "web".into(),
            host: Some("compute1".parse().unwrap()),
            hypervisor_hostname: None,
            vm_state: VmState::Active,
            task_state: None,
            power_state: PowerState::Running,
            locked: false,
            locked_reason: None,
            metadata: BTreeMap::new(),
            image: None,
            volumes: vec![],
            flavor: Flavor::default(),
            project: None,
            launched: true,
            fault: None,
            server_groups: vec![],
        }
    }

    #[test]
    fn only_the_empty_text_says_booted_from_a_volume() {
        use serde_json::json;
        assert_eq!(image(&json!("")), Some(None));
        assert_eq!(image(&json!({"id": "i", "links": []})), Some(Some("i".to_owned())));
        for bad in [json!(null), json!({}), json!({"id": null}), json!("i"), json!([]), json!(0)] {
            assert_eq!(image(&bad), None, "{bad}");
        }
    }

    #[test]
    fn states_are_read_and_written_as_nova_spells_them() {
        for (word, state) in VM_STATES {
            assert_eq!(VmState::from(word.to_owned()), state);
            assert_eq!(String::from(state), word);
        }
        assert_eq!(VmState::from("new".to_owned()), VmState::Other("new".to_owned()));
        for number in -1..=9 {
            assert_eq!(i64::from(PowerState::from(number)), number);
        }
    }
}
