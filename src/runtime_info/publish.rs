//! One run: read the published document, look at the machine, write by compare-and-set if due.

use std::time::Duration;

use super::args::Args;
use super::collect::{Found, collect};
use super::merge::{is_due, merge};
use crate::bindings::Claims;
use crate::clock::Clock;
use crate::exit::probe::{PASSING, WARNING};
use crate::identity::Identity;
use crate::keys;
use crate::names::HostName;
use crate::store::{Op, Store, TxnOutcome};
use crate::tree::meta::Meta;
use crate::tree::nova_names::TreeMachine;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::{Snapshot, TreeError};

/// Below the deadline of the whole run.
const LOOK: Duration = Duration::from_secs(12);

/// The result of one run; good as a Consul check.
#[derive(Debug, Clone)]
pub struct Report {
    /// 0, or 1 when something could not be read, written or understood.
    pub exit: u8,
    /// One line for people.
    pub line: String,
    /// The document as it is (or with `--dry-run` would be) published.
    pub document: Option<RuntimeConfig>,
}

impl Report {
    /// Nothing was published.
    pub fn fault(host: &str, why: &str) -> Self {
        let line = format!("WARNING {host}: runtime info not published: {why}");
        Self { exit: WARNING, line: line.replace(['\n', '\r'], " "), document: None }
    }
}

/// How often it is tried: Consul runs the check while a person does, and whoever writes first wins.
const TRIES: usize = 3;

/// Publishes, or says why not.
pub async fn publish(store: &dyn Store, args: &Args, host: &HostName, clock: &dyn Clock) -> Report {
    match run(store, args, host, clock).await {
        Ok(Some(report)) => report,
        Ok(None) => Report::fault(host.as_str(), &format!("it changed meanwhile, in each of {TRIES} tries")),
        Err(error) => {
            let text = match &error {
                TreeError::Read { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            Report::fault(host.as_str(), &format!("{text}{hint}"))
        }
    }
}

/// A disk that hangs keeps its thread; the check still says so in time.
async fn look(args: &Args, host: &HostName, present: &RuntimeConfig) -> Result<Found, String> {
    let (args, host, present) = (args.clone(), host.clone(), present.clone());
    let looking = tokio::task::spawn_blocking(move || collect(&args, &host, &present));
    match tokio::time::timeout(LOOK, looking).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("this machine's disks took longer than {LOOK:?}")),
    }
}

async fn run(
    store: &dyn Store,
    args: &Args,
    host: &HostName,
    clock: &dyn Clock,
) -> Result<Option<Report>, TreeError> {
    for _ in 0..TRIES {
        if let Some(report) = once(store, args, host, clock).await? {
            return Ok(Some(report));
        }
    }
    Ok(None)
}

/// `None`: what is published changed since it was read.
async fn once(
    store: &dyn Store,
    args: &Args,
    host: &HostName,
    clock: &dyn Clock,
) -> Result<Option<Report>, TreeError> {
    let keys = keys::host(host);
    let key = keys.runtime_config();
    let wanted = [keys::META.to_owned(), keys.general(), key.clone()];
    let snapshot = Snapshot::read(store, &key, &wanted).await?;
    Meta::of(&snapshot)?;
    // The original creates both keys with a host; one that has neither was never added.
    if snapshot.get(&keys.general()).is_none() && snapshot.get(&key).is_none() {
        return Err(TreeError::Unknown { what: "host", name: host.to_string() });
    }
    let entry = snapshot.get(&key);
    let present = match entry {
        Some(entry) => RuntimeConfig::parse(&key, &entry.value)?,
        None => RuntimeConfig::default(),
    };
    // Later than what was read: else the time of a run that was quicker than this one is in the future, and each of them
    // would write over the other.
    let now = clock.wall();
    let mut asked_for = present.clone();
    asked_for.md_arrays.retain(|uuid, _| !args.forget_array.contains(uuid));
    let found = match look(args, host, &asked_for).await {
        Ok(found) => found,
        Err(why) => return Ok(Some(Report::fault(host.as_str(), &why))),
    };
    let next = merge(&present, &found, &args.forget_array, now);
    let due = is_due(&present, &next, now);
    if due && !args.dry_run {
        let bytes = serde_json::to_vec(&next)
            .map_err(|e| TreeError::Malformed { key: key.clone(), why: e.to_string() })?;
        let outcome = store
            .transact(&[Op::replace(key.clone(), bytes, entry)])
            .await
            .map_err(|source| TreeError::Read { what: key.clone(), source })?;
        if let TxnOutcome::Refused(_) = outcome {
            tracing::info!(host = host.as_str(), "what is published changed meanwhile, looking again");
            return Ok(None);
        }
    }
    let twins = twins(store, host, &next, due).await;
    let done = match (due, args.dry_run) {
        (true, false) => "published",
        (true, true) => "would be published",
        (false, _) => "unchanged",
    };
    tracing::info!(host = host.as_str(), done, unread = found.unread.join("; "), "runtime info");
    // Nothing of it is unknown, and mdadm's monitor warns; but this line may be all that somebody sees.
    let degraded: Vec<&str> =
        found.disks.arrays.values().filter(|array| array.degraded > 0).map(|a| a.name.as_str()).collect();
    let degraded = match degraded.is_empty() {
        true => String::new(),
        false => format!("; DEGRADED: {}", degraded.join(", ")),
    };
    let mut unread = found.unread.clone();
    let mut said = degraded;
    match twins {
        Twins::None => {}
        Twins::ToldApart(twin) => said.push_str(&format!("; {twin}")),
        Twins::Same(twin) => unread.push(twin),
    }
    let (exit, line) = match unread.is_empty() {
        true => (PASSING, format!("OK {host}: runtime info {done}{said}")),
        false => {
            let unread = unread.join("; ").replace(['\n', '\r'], " ");
            (WARNING, format!("WARNING {host}: runtime info {done}, but {unread}{said}"))
        }
    };
    Ok(Some(Report { exit, line, document: Some(if due { next } else { present }) }))
}

/// Whether another machine has what this one's firmware says it is.
enum Twins {
    None,
    /// A part of it.
    ToldApart(String),
    /// All of it: as long as nobody binds them apart, neither of the two is recovered.
    Same(String),
}

/// In a larger tree, the others are read only when something is written.
const FEW_MACHINES: usize = 100;

/// As far as this host's token sees the others: with ACLs it sees none of them, and `nova-ha status` says it.
async fn twins(store: &dyn Store, host: &HostName, published: &RuntimeConfig, due: bool) -> Twins {
    let machine = TreeMachine::Host(host.clone());
    let identity = Identity {
        uuid: published.system_uuid.clone(),
        serial: published.system_serial.clone(),
        ..Identity::default()
    };
    let machines = TreeMachine::all(store).await.map_or(0, |machines| machines.len());
    if machines < 2 || !(due || machines <= FEW_MACHINES) {
        return Twins::None;
    }
    let Ok(claims) = Claims::read(store).await else { return Twins::None };
    match (claims.rival_of_identity(&machine, &identity), claims.twin_of_identity(&machine, &identity)) {
        (Some(rival), _) => Twins::Same(format!(
            "its UUID and serial number are those of another machine: {rival}; nobody can tell their BMCs apart; next: \
             nova-ha host add {host} --replace --bmc-identity SERIAL"
        )),
        (None, Some(twin)) => Twins::ToldApart(twin.text()),
        (None, None) => Twins::None,
    }
}
