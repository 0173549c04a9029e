//! The reading rules of the build 7763f26, copied from its source: which shapes it takes, and what it decided by
//! sentences. Not to be changed with the product: it says what an HA node reads that was not upgraded.

#![allow(dead_code, reason = "fields are read by serde alone")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nova_ha::names::{Epoch, HaNodeName, HostName, IncidentId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What that build does with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// It reads it.
    Yes,
    /// It says that the record is newer than itself, and touches nothing.
    Newer,
    /// It says that the record is broken.
    Broken(String),
    /// It reads no record there.
    NoRecord,
}

/// Reads what stands at this key.
pub(crate) fn read(key: &str, value: &[u8]) -> Read {
    let below = |prefix: &str| key.strip_prefix(prefix);
    let record = match key {
        "ha_cluster/policy" => parse::<Policy>(value),
        "ha_cluster/cooldown" => parse::<Cooldown>(value),
        _ => match (below("ha_cluster/incidents/"), below("ha_cluster/")) {
            (Some(rest), _) => match rest.split('/').nth(1).unwrap_or("") {
                "incident" => parse::<IncidentRecord>(value),
                "lock" => parse::<Holder>(value),
                "journal" => parse::<JournalEntry>(value),
                "guests" => parse::<GuestEntry>(value),
                "evidence" => parse::<Evidence>(value),
                "preflight" => parse::<WaitingNote>(value),
                "kdump" => parse::<DumpGrace>(value),
                "confirm_off" => parse::<ConfirmOff>(value),
                _ => return Read::NoRecord,
            },
            (None, Some(rest)) if rest.contains("/internal/observers/") => parse::<ObserverRecord>(value),
            (None, Some(rest)) if rest.ends_with("/config/names") => parse::<OtherNames>(value),
            (None, Some(rest)) if rest.ends_with("/config/maintenance") && value.starts_with(b"{") => {
                parse::<Maintenance>(value)
            }
            (None, _) => return Read::NoRecord,
        },
    };
    match record {
        Ok(()) => Read::Yes,
        Err(refused) => refused,
    }
}

/// Its `tree::record::parse`: the version is looked at before the shape.
fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<(), Read> {
    let broken = |why: serde_json::Error| Read::Broken(why.to_string());
    let head: Versioned = serde_json::from_slice(value).map_err(broken)?;
    match head.version {
        None => return Err(Read::Broken("it has no version".into())),
        Some(found) if found > 1 => return Err(Read::Newer),
        Some(_) => {}
    }
    serde_json::from_slice::<T>(value).map(drop).map_err(broken)
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

/// What its `History` decided by the sentences of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Understood {
    /// A person resumed it that was held because the host lives.
    pub(crate) cut_by_hand: bool,
    /// The strategies by which its storage was taken.
    pub(crate) strategies: Vec<Option<String>>,
}

/// Reads a journal as that build did.
pub(crate) fn understood<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Understood {
    let (mut found, mut lives) = (Understood { cut_by_hand: false, strategies: Vec::new() }, false);
    for value in entries {
        let entry: JournalEntry = serde_json::from_slice(value).unwrap();
        match entry.what {
            Event::Started { step: Step::TakeStorage, facts } => {
                let word = facts.iter().find_map(|fact| fact.strip_prefix("strategy ")).map(str::to_owned);
                found.strategies.push(word);
            }
            Event::Held { reason } => {
                lives = reason.contains("its power reads off, and it writes to its disks: it lives");
            }
            Event::Resumed { .. } => found.cut_by_hand |= std::mem::take(&mut lives),
            _ => {}
        }
    }
    found
}

mod span {
    use super::{Duration, SignedDuration};
    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let signed: SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
        Duration::try_from(signed).map_err(|_| serde::de::Error::custom(format!("{text:?} is negative")))
    }
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Fence,
    DeclareDown,
    TakeStorage,
    ReadyTarget,
    Evacuate,
    Verify,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Open,
    Claimed,
    Fenced,
    DeclaredDown,
    StorageTaken,
    TargetReady,
    Evacuated,
    Verified,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum State {
    Active,
    Held { reason: String },
    Withdrawn,
    Abandoned,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    phase: Phase,
    started: Option<Step>,
    past_no_return: bool,
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
enum Origin {
    Observers,
    Person { by: String },
    Key,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    by: String,
    at: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    version: u64,
    node: HaNodeName,
    session: String,
    term: u64,
    since: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IncidentRecord {
    version: u64,
    id: IncidentId,
    origin: Origin,
    order: Option<Order>,
    opened_by: String,
    opened_at: Timestamp,
    changed_at: Timestamp,
    holder: Option<HaNodeName>,
    head: u64,
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Changed,
    AlreadySo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AdoptionGround {
    SameNode,
    HolderDead { verdict: String },
    NobodyHeld,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberSeen {
    events: u64,
    updated: u64,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
enum Event {
    Claimed { plan_hash: String },
    Adopted { from: Option<HaNodeName>, ground: AdoptionGround },
    Started { step: Step, facts: Vec<String> },
    Finished { step: Step, outcome: Outcome, facts: Vec<String> },
    MembersSeen { members: BTreeMap<String, MemberSeen> },
    FencingHolder { node: HaNodeName, verdict: String },
    HolderFenced { node: HaNodeName, outcome: Outcome, by: String },
    Held { reason: String },
    Resumed { by: String },
    Withdrawn { reason: String },
    Abandoned { by: String },
    Closed { summary: String },
}

#[derive(Debug, Deserialize)]
struct JournalEntry {
    version: u64,
    sequence: u64,
    term: u64,
    by: String,
    at: Timestamp,
    what: Event,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum GuestState {
    Resetting,
    Posting,
    Accepted { request_id: Option<String> },
    Stopping { to: String },
    Recovered { to: String },
    Excluded { why: String },
    Refused { why: String },
    Failed { why: String },
    Held { why: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestEntry {
    version: u64,
    server: String,
    name: String,
    from: String,
    term: u64,
    attempts: u32,
    before: i64,
    migration: Option<i64>,
    vm_state: String,
    #[serde(default)]
    ends_stopped: bool,
    #[serde(default)]
    requests: Vec<String>,
    state: GuestState,
    at: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaneAnswer {
    Healthy,
    Failed,
    CannotTell,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaneRecord {
    answer: PlaneAnswer,
    fails: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObserverLife {
    boot_id: String,
    boottime_ms: u64,
    seen_healthy: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObserverRecord {
    version: u64,
    observer: HaNodeName,
    epoch: Epoch,
    sequence: u64,
    fails: u64,
    threshold: u64,
    planes: BTreeMap<String, PlaneRecord>,
    interval_ms: u64,
    indices: Vec<u64>,
    life: ObserverLife,
    at: Timestamp,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountedVote {
    observer: HaNodeName,
    fails: u64,
    sequence: u64,
    modify_index: u64,
    planes: BTreeMap<String, PlaneRecord>,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    version: u64,
    judged_by: String,
    at: Timestamp,
    detected_at: Timestamp,
    verdict: String,
    votes: Vec<CountedVote>,
    quorum: usize,
    serf: String,
    storm: String,
    anchor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitingNote {
    version: u64,
    node: HaNodeName,
    reasons: Vec<String>,
    next: Vec<String>,
    since: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DumpGrace {
    version: u64,
    charged_ms: u64,
    messages: u64,
    #[serde(default)]
    over: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmOff {
    version: u64,
    host: HostName,
    incident: IncidentId,
    by: String,
    at: jiff::Timestamp,
    ttl_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Storm { counted: usize, limit: usize },
    SelfDoubt { observer: HaNodeName },
    LeaderLost,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cooldown {
    version: u64,
    cause: Cause,
    began_at: Timestamp,
    seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    planes: Vec<String>,
    #[serde(default = "yes")]
    agent_must_be_critical: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Domain {
    name: String,
    hosts: Vec<String>,
    limit: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Policy {
    version: u64,
    #[serde(with = "span")]
    probe_interval: Duration,
    #[serde(with = "span")]
    probe_deadline: Duration,
    threshold: u64,
    quorum: Option<usize>,
    single_observer: Option<bool>,
    rules: Vec<Rule>,
    anchors: Vec<String>,
    storm_limit: Option<usize>,
    domains: Vec<Domain>,
    #[serde(with = "span")]
    cooldown: Duration,
    #[serde(with = "span")]
    session_ttl: Duration,
    #[serde(with = "span")]
    lock_delay: Duration,
    #[serde(with = "span")]
    lease_margin: Duration,
    off_reads: u32,
    #[serde(with = "span")]
    off_read_pause: Duration,
    #[serde(with = "span")]
    fence_deadline: Duration,
    #[serde(with = "span")]
    kdump_grace: Duration,
    #[serde(with = "span")]
    kdump_listen: Duration,
    #[serde(with = "span")]
    proof_max_age: Duration,
    allow_unidentified_bmc: bool,
    attach_only: bool,
    #[serde(with = "span")]
    storage_check_deadline: Duration,
    #[serde(with = "span")]
    storage_take_deadline: Duration,
    #[serde(with = "span")]
    md_record_max_age: Duration,
    md_allow_degraded: bool,
    md_reserve_disks: bool,
    allow_host_without_boot_guard: bool,
    capacity_blocks: bool,
    evacuation_parallel: usize,
    #[serde(with = "span")]
    evacuation_deadline: Duration,
    #[serde(with = "span")]
    evacuation_poll: Duration,
    #[serde(with = "span")]
    post_settle: Duration,
    reset_and_evacuate: Vec<String>,
    recover_only_opted_in: bool,
    #[serde(with = "span")]
    priority_patience: Duration,
    keep_closed_incidents: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintenance {
    version: u64,
    on: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherNames {
    version: u64,
    #[serde(default)]
    consul_node: Option<String>,
    #[serde(default)]
    nova_host: Option<String>,
    #[serde(default)]
    hypervisor_hostname: Option<String>,
}
