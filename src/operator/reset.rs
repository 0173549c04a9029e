//! `nova-ha reset HOST`: the administrator's one word for *this host is good again*.
//!
//! Flags back to False, the HA node released, the observers' records gone and the epoch raised, in
//! one transaction that compares everything it was decided on: a host that was reset is not shot
//! again on yesterday's votes.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use tokio::time::Instant;

use super::OperatorError;
use super::alive;
use super::answer::{Answer, Outcome, done};
use super::cluster::{Catalog, Cluster};
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::guest::none_is_held;
use super::maintenance;
use super::person::{person, quoted};
use super::through::{GoneArgs, Return, all_are_through};
use crate::incident::IncidentRecord;
use crate::keys;
use crate::names::{Epoch, HaNodeName, HostName, IncidentId};
use crate::store::{Op, Store};
use crate::tree::TreeError;
use crate::tree::flag;
use crate::tree::foreign::Foreign;
use crate::tree::maintenance::Maintenance;
use crate::tree::observer::ObserverRecord;
use crate::tree::record::{Record, bytes};
use crate::tree::storage::Storage;

/// `nova-ha reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The host.
    pub host: String,
    /// Who says so.
    #[arg(long)]
    pub by: String,
    /// Put it into maintenance in the same transaction: for a host that is still off.
    #[arg(long)]
    pub maintenance: bool,
    /// The HA node that took the host's storage is dead or empty: it has nothing of it any more.
    #[arg(long)]
    pub storage_is_released: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as its help")]
    pub gone: GoneArgs,
    /// How long to wait for the HA nodes that held its incident to be through with it (0s: look once).
    #[arg(long, default_value = "2m", value_parser = super::person::time, value_name = "TIME")]
    pub wait: Duration,
    /// The host's name, instead of typing it when asked.
    #[arg(long, value_name = "HOST")]
    pub yes: Option<String>,
}

/// `incidents/{id}/reset`: who declared the host good again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetNote {
    /// Format version.
    pub version: u64,
    /// Who.
    pub by: String,
    /// Wall clock.
    pub at: jiff::Timestamp,
    /// HA nodes of which that person said that they have nothing of the host's storage any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage_said_released: Vec<HaNodeName>,
    /// HA nodes of which that person said that no process of them works on it any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said_gone: Vec<HaNodeName>,
}

impl Record for ResetNote {
    const VERSION: u64 = 1;
}

impl ResetNote {
    /// Of a host that was removed after its recovery and is added again, which is as good as a reset.
    pub(super) fn of_an_added_host(said_gone: &[HaNodeName]) -> Self {
        Self {
            version: Self::VERSION,
            by: "nova-ha host add".into(),
            at: jiff::Timestamp::now(),
            storage_said_released: Vec::new(),
            said_gone: said_gone.to_vec(),
        }
    }
}

/// Looks again after so many refusals: the observers of a host that is off write at every probe, and
/// a person who types its name takes longer than that.
const MOST_LOOKS: usize = 10;

/// Between two looks at who is through.
const PAUSE: Duration = Duration::from_secs(1);

impl ResetArgs {
    /// The same command again.
    fn command(&self, host: &HostName) -> String {
        let maintenance = if self.maintenance { " --maintenance" } else { "" };
        let released = if self.storage_is_released { " --storage-is-released" } else { "" };
        format!("nova-ha reset {host} --by {}{maintenance}{released}", quoted(&self.by))
    }
}

/// Resets one host.
pub async fn run(args: ResetArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("reset host {}", args.host);
    let mut confirmed = false;
    let mut looks = 0;
    let since = Instant::now();
    let mut waits = false;
    loop {
        looks += 1;
        let cluster = Cluster::read(store, &doing).await?;
        let host = cluster.host(&args.host)?;
        let scene = Scene::of(&cluster, host).map_err(tree(&doing))?;
        if scene.open.is_none() && scene.is_already_so(args.maintenance) {
            let text = format!("{}: already so, nothing was written", scene.host);
            return done(Outcome::AlreadySo, "reset", scene.host.as_str(), text);
        }
        allowed(&args, &scene, &cluster, store, &doing).await?;
        if !confirmed {
            confirm(
                scene.host.as_str(),
                args.yes.as_deref(),
                &format!(
                    "This makes {} a healthy host again, to be recovered at its next failure.",
                    scene.host
                ),
                &args.command(&scene.host),
            )?;
            confirmed = true;
        }
        if let Some(id) = scene.incident(&cluster) {
            let (host, gone) = (&scene.host, args.gone.gone.as_slice());
            let command = args.command(host);
            let back = Return { host, id: &id, gone, doing: "reset", command: &command, since };
            match all_are_through(&cluster, &back, store).await {
                Ok(()) => {}
                Err(error) if error.may_pass() && since.elapsed() < args.wait => {
                    if !std::mem::replace(&mut waits, true) {
                        tracing::warn!("{error}");
                    }
                    tokio::time::sleep(PAUSE).await;
                    looks = 0;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        let ops = scene.transaction(&cluster, &by, &args)?;
        match commit(store, &doing, &ops).await {
            Ok(()) => return scene.answer(args.maintenance),
            // Decided again on what is there now.
            Err(OperatorError::Moved { .. }) if looks < MOST_LOOKS => {}
            Err(error) => return Err(error),
        }
    }
}

/// Refuses what must not be reset now.
async fn allowed(
    args: &ResetArgs,
    scene: &Scene,
    cluster: &Cluster,
    store: &dyn Store,
    doing: &str,
) -> Result<(), OperatorError> {
    if let Some(id) = scene.open.clone() {
        return Err(OperatorError::OpenIncident { host: scene.host.clone(), id, doing: "reset" });
    }
    none_is_held(&scene.host, scene.incident(cluster).as_ref(), "reset", cluster, store).await?;
    if let (Some(refused), false) =
        (with_storage(&scene.host, &scene.with_storage, "reset"), args.storage_is_released)
    {
        return Err(refused);
    }
    if let (Some(refused), false) = (scene.recovered_by_another(cluster), args.storage_is_released) {
        return Err(refused);
    }
    if args.maintenance || scene.maintenance.on {
        return Ok(());
    }
    let healthy = scene.is_healthy(cluster, &Catalog::read(store).await).await.map_err(tree(doing))?;
    let Err(why) = healthy else { return Ok(()) };
    let next = format!("nova-ha reset {} --by {} --maintenance", scene.host, quoted(&args.by));
    Err(OperatorError::NotNow {
        name: scene.host.to_string(),
        doing: "reset",
        why: format!("{why}; it would be taken for dead at once"),
        next: Some(format!("repair it first, or keep it in maintenance: {next}")),
    })
}

/// Refuses while an HA node may have the host's storage: freed, it could not be told to release it, and
/// another incident could take a second one there; and the host would start on disks that are in use.
pub(super) fn with_storage(
    host: &HostName,
    nodes: &[HaNodeName],
    doing: &'static str,
) -> Option<OperatorError> {
    let node = nodes.first()?;
    Some(OperatorError::NotNow {
        name: host.to_string(),
        doing,
        why: format!("HA node {node} took its storage, and was not told to release it"),
        next: Some(format!(
            "on {node}: nova-ha-recover {host} --release-storage --yes {host} --by NAME   \
             (if {node} is dead: --storage-is-released), or leave it there: \
             nova-ha rejoin {host} --swap-roles --by NAME"
        )),
    })
}

/// How a host stands, for other commands that end in a reset.
pub(super) struct Standing {
    /// Its open incident.
    pub(super) open: Option<IncidentId>,
    /// What says that it lives, or why it would be taken for dead again.
    pub(super) is_healthy: Result<String, String>,
    /// Whether there is anything to reset.
    pub(super) is_flagged: bool,
    /// Whether the incident of its present epoch came as far as the fence.
    pub(super) was_fenced: bool,
    /// That incident, if it has ended.
    pub(super) ended: Option<IncidentId>,
    /// HA nodes that may have its storage.
    pub(super) with_storage: Vec<HaNodeName>,
    /// Whether it is in maintenance.
    pub(super) is_in_maintenance: bool,
}

impl Standing {
    pub(super) async fn of(cluster: &Cluster, host: &HostName, catalog: &Catalog) -> Result<Self, TreeError> {
        let scene = Scene::of(cluster, host.clone())?;
        Ok(Self {
            is_healthy: scene.is_healthy(cluster, catalog).await?,
            is_flagged: !scene.is_already_so(false),
            was_fenced: scene.was_fenced(cluster)?,
            ended: scene.incident(cluster).filter(|_| scene.open.is_none()),
            is_in_maintenance: scene.maintenance.on,
            with_storage: scene.with_storage,
            open: scene.open,
        })
    }
}

/// What a reset is decided on.
struct Scene {
    host: HostName,
    open: Option<IncidentId>,
    failed: bool,
    recovered: bool,
    epoch: Epoch,
    maintenance: Maintenance,
    observers: Vec<ObserverRecord>,
    /// HA nodes that an incident of this host holds.
    held: Vec<HaNodeName>,
    /// Those of them that may have its storage.
    with_storage: Vec<HaNodeName>,
}

impl Scene {
    fn of(cluster: &Cluster, host: HostName) -> Result<Self, TreeError> {
        let tree = &cluster.snapshot;
        let keys = keys::host(&host);
        let observers = tree
            .below(&keys.observers())
            // One that cannot be understood is no vote, and nobody's refusal; it is deleted with the others.
            .filter_map(|entry| crate::tree::record::parse(&entry.key, &entry.value).ok())
            .collect();
        let mut held = Vec::new();
        let mut with_storage = Vec::new();
        for node in &cluster.ha_nodes {
            let key = keys::ha_node(node).in_use_by();
            let Some(text) = tree.text(&key)? else { continue };
            let id: IncidentId = text.parse().map_err(|error: crate::names::NameError| {
                TreeError::Malformed { key, why: error.to_string() }
            })?;
            if *id.host() == host {
                held.push(node.clone());
                let record: Option<IncidentRecord> = tree.record(&keys::incident(&id).incident())?;
                // Without its record nobody can tell.
                let got_there = record.is_none_or(|record| record.status.got_to_storage());
                if got_there && Storage::of(tree, &keys::ha_node(node))?.strategy.is_taken() {
                    with_storage.push(node.clone());
                }
            }
        }
        Ok(Self {
            open: cluster.open_incident(&host)?,
            failed: tree.flag(&keys.failed())?,
            recovered: tree.flag(&keys.recovered())?,
            epoch: Epoch(tree.number(&keys.epoch())?.unwrap_or(0)),
            maintenance: Maintenance::of(tree, &keys)?,
            observers,
            held,
            with_storage,
            host,
        })
    }

    /// The incident that this epoch had, if any: it has ended, and no other can be opened in it.
    fn incident(&self, cluster: &Cluster) -> Option<IncidentId> {
        let id = IncidentId::new(self.host.clone(), self.epoch);
        cluster.incidents.contains(&id).then_some(id)
    }

    /// Refuses what another's recovery, of the original or by hand, may still have on an HA node: which one that is nobody
    /// wrote down.
    fn recovered_by_another(&self, cluster: &Cluster) -> Option<OperatorError> {
        let tree = &cluster.snapshot;
        let in_use = |node: &HaNodeName| Foreign::in_use(tree, node).ok().flatten();
        let flag = cluster.ha_nodes.iter().find_map(in_use);
        let flag = flag.filter(|_| self.recovered && self.incident(cluster).is_none())?;
        Some(OperatorError::NotNow {
            name: self.host.to_string(),
            doing: "reset",
            why: format!("no incident of ours recovered it, and {}", flag.text()),
            next: Some(format!("{}   (if that is about another host: --storage-is-released)", flag.next())),
        })
    }

    fn was_fenced(&self, cluster: &Cluster) -> Result<bool, TreeError> {
        let Some(id) = self.incident(cluster) else { return Ok(false) };
        Ok(cluster.record(&id)?.status.past_no_return)
    }

    fn is_already_so(&self, maintenance: bool) -> bool {
        let flags = self.failed || self.recovered;
        !flags && self.held.is_empty() && (!maintenance || self.maintenance.on)
    }

    /// What says that the host lives, or why it would be taken for dead again. *Cannot tell* is a why.
    async fn is_healthy(
        &self,
        cluster: &Cluster,
        catalog: &Catalog,
    ) -> Result<Result<String, String>, TreeError> {
        let lives = alive::of(cluster, &self.host, catalog).await?;
        let voters: Vec<String> = self
            .observers
            .iter()
            .filter(|record| record.fails >= record.threshold)
            .map(|record| record.observer.to_string())
            .collect();
        let votes = (!voters.is_empty()).then(|| format!("{} still see it fail", voters.join(", ")));
        Ok(match (lives, votes) {
            (Ok(by), None) => Ok(by),
            (Ok(_), Some(why)) | (Err(why), None) => Err(why),
            (Err(why), Some(votes)) => Err(format!("{why}; {votes}")),
        })
    }

    fn transaction(&self, cluster: &Cluster, by: &str, args: &ResetArgs) -> Result<Vec<Op>, OperatorError> {
        let tree = &cluster.snapshot;
        let keys = keys::host(&self.host);
        let replace = |key: String, value: String| {
            let seen = tree.get(&key);
            Op::replace(key, value, seen)
        };
        let mut ops = vec![
            cluster.meta_unchanged(),
            replace(keys.failed(), flag::text(false).into()),
            replace(keys.recovered(), flag::text(false).into()),
            replace(keys.number_fails(), "0".into()),
            replace(keys.epoch(), Epoch(self.epoch.0 + 1).to_string()),
        ];
        ops.push(match args.maintenance {
            true => {
                let reason = Some("reset while it is not healthy");
                let record = maintenance::record(true, reason, by)?;
                Op::replace(keys.maintenance(), bytes(&record), tree.get(&keys.maintenance()))
            }
            false => Op::unchanged(keys.maintenance(), tree.get(&keys.maintenance())),
        });
        // Whatever `rejoin` began is over.
        ops.extend(tree.get(&keys.returning()).map(|e| Op::DeleteCas(e.key.clone(), e.modify_index)));
        for node in &self.held {
            let node = keys::ha_node(node);
            ops.push(replace(node.in_use(), flag::text(false).into()));
            ops.extend(tree.get(&node.in_use_by()).map(|e| Op::DeleteCas(e.key.clone(), e.modify_index)));
        }
        if let Some(id) = self.incident(cluster) {
            let incident = keys::incident(&id);
            ops.push(Op::unchanged(incident.incident(), tree.get(&incident.incident())));
            let note = ResetNote {
                version: ResetNote::VERSION,
                by: by.into(),
                at: jiff::Timestamp::now(),
                storage_said_released: self.with_storage.clone(),
                said_gone: args.gone.gone.clone(),
            };
            ops.push(Op::Set(incident.reset(), bytes(&note)));
        }
        // Compared one by one, so that a vote cast after our look is not swept away unseen.
        ops.extend(tree.below(&keys.observers()).map(|e| Op::DeleteCas(e.key.clone(), e.modify_index)));
        Ok(ops)
    }

    fn answer(&self, maintain: bool) -> Result<Answer, OperatorError> {
        #[derive(Serialize)]
        struct Reset<'a> {
            outcome: Outcome,
            action: &'static str,
            name: &'a HostName,
            epoch: Epoch,
            released: &'a [HaNodeName],
            maintenance: bool,
        }
        let epoch = Epoch(self.epoch.0 + 1);
        let mut text = format!("{}: reset, epoch {epoch}", self.host);
        for node in &self.held {
            text += &format!("\n{node}: released");
        }
        if maintain {
            text += &format!("\nonce it is repaired: nova-ha maintenance off {}", self.host);
        }
        let maintenance = maintain || self.maintenance.on;
        Answer::new(
            text,
            &Reset {
                outcome: Outcome::Changed,
                action: "reset",
                name: &self.host,
                epoch,
                released: &self.held,
                maintenance,
            },
        )
    }
}
