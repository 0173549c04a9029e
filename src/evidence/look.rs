//! One look at everything that is judged on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::EvidenceError;
use super::cooling::cooling;
use super::testimonies::testimonies;
use super::wait::{Waiting, until_sequences_rise};
use super::witness::Witness;
use crate::incident::opening;
use crate::incident::record::Origin;
use crate::judge::guard::guards;
use crate::judge::scene::{Anchor, KnownIncident, Observer, Scene, Subject};
use crate::keys::{self, MachineKeys};
use crate::names::{Epoch, HaNodeName, HostName, IncidentId};
use crate::policy::Policy;
use crate::store::{NodeHealth, SerfHealth};
use crate::tree::cooldown::Cooldown;
use crate::tree::formats::Formats;
use crate::tree::incidents::IncidentNames;
use crate::tree::maintenance::Maintenance;
use crate::tree::meta::Meta;
use crate::tree::{Snapshot, TreeError, machine};

/// Which hosts to look at, beside all suspects: the guards count those always.
#[derive(Debug, Clone)]
pub enum About {
    /// All hosts on which an observer has ever reported.
    Suspects,
    /// These too, reported on or not.
    Hosts(Vec<HostName>),
    /// Every configured host: the sweep.
    All,
}

/// What was seen.
pub struct Seen {
    /// The judge's input.
    pub scene: Scene,
    /// The entries as read, for compare-and-set.
    pub tree: Snapshot,
    /// Hosts whose keys, or an incident of theirs, hold something that cannot be understood: they
    /// are not judged, and their fault does not hide the others.
    pub unreadable: BTreeMap<HostName, EvidenceError>,
    /// HA nodes as subjects: their records by the other observers.
    pub ha_subjects: BTreeMap<HaNodeName, Subject>,
    /// How long this look may take. On a machine that was asleep meanwhile, what it saw is not of now.
    pub deadline: Duration,
    /// HA nodes whose keys hold something that cannot be understood. They count as observers for the
    /// quorum, and have no vote: nobody knows which Consul node they are. None is a subject.
    pub unreadable_ha_nodes: BTreeMap<HaNodeName, EvidenceError>,
    /// What the configured HA nodes read: asked before anything is written that an older build refuses.
    pub formats: Formats,
}

/// What all reads of a look may take together, on a slow machine: about ten requests.
const TIME_FOR_READING: Duration = Duration::from_secs(30);

fn tree(source: TreeError) -> EvidenceError {
    EvidenceError::Tree { source }
}

/// One look. `ha_nodes_too` also reads what the observers say of each other (for adoption).
pub async fn look(witness: &Witness<'_>, about: About, ha_nodes_too: bool) -> Result<Seen, EvidenceError> {
    // The serial number of markings is read first: whatever is judged afterwards, a marking that
    // happened since refuses ours.
    let head = [keys::META, keys::RECOVERY_QUEUE, keys::POLICY, keys::COOLDOWN].map(str::to_owned);
    let mut snapshot =
        Snapshot::read(witness.store, "ha_cluster/meta and policy", &head).await.map_err(tree)?;
    Meta::of(&snapshot).map_err(tree)?;
    let policy = Policy::of(&snapshot).map_err(tree)?;
    let cooldown: Option<Cooldown> = snapshot.record(keys::COOLDOWN).map_err(tree)?;
    let cooling = cooldown
        .zip(snapshot.get(keys::COOLDOWN))
        .map(|(cooldown, entry)| cooling(&witness.run_dir, cooldown, entry.modify_index, &witness.life()));

    let names = |what, prefix| async move {
        witness.store.keys(prefix, false).await.map_err(|source| EvidenceError::Store { what, source })
    };
    let host_keys: BTreeSet<String> = names("the hosts", keys::HOSTS).await?.into_iter().collect();
    let ha_keys: BTreeSet<String> = names("the HA nodes", keys::HA_NODES).await?.into_iter().collect();
    let named = IncidentNames::list(witness.store).await.map_err(tree)?;
    let hosts: BTreeSet<HostName> = host_keys
        .iter()
        .filter_map(|key| keys::host_of(key))
        .filter(|h| host_keys.contains(&keys::host(h).general()))
        .collect();
    let ha_nodes: BTreeSet<HaNodeName> = ha_keys
        .iter()
        .filter_map(|key| keys::ha_node_of(key))
        .filter(|node| ha_keys.contains(&keys::ha_node(node).general()))
        .collect();
    if ha_nodes.is_empty() {
        return Err(EvidenceError::Denied { what: "HA node under ha_cluster/ha_nodes/".into() });
    }
    let reported = |host: &HostName| {
        let prefix = keys::host(host).observers();
        host_keys.range(prefix.clone()..).next().is_some_and(|key| key.starts_with(&prefix))
    };
    let mut wanted: BTreeSet<HostName> = hosts.iter().filter(|host| reported(host)).cloned().collect();
    let is_named = matches!(about, About::Hosts(_));
    match about {
        About::Suspects => {}
        About::Hosts(named) => wanted.extend(named.into_iter().filter(|host| hosts.contains(host))),
        About::All => wanted.extend(hosts.iter().cloned()),
    }

    let mut prefixes: Vec<String> = ha_nodes
        .iter()
        .flat_map(|node| {
            let node = keys::ha_node(node);
            let mut read = vec![node.names(), node.formats()];
            if ha_nodes_too {
                read.extend([node.epoch(), node.observers(), node.maintenance(), node.agent()]);
            }
            read
        })
        .collect();
    prefixes.extend(wanted.iter().flat_map(|host| {
        let host = keys::host(host);
        [host.status(), host.epoch(), host.observers(), host.maintenance(), host.agent(), host.names()]
    }));
    prefixes.extend(named.records());
    let rest =
        Snapshot::read(witness.store, "hosts, observers and incidents", &prefixes).await.map_err(tree)?;
    snapshot.merge(rest);

    let health = serf_health(witness).await?;

    let mut observers = BTreeMap::new();
    let mut unreadable_ha_nodes = BTreeMap::new();
    for node in &ha_nodes {
        let serf = match machine::consul_node(&snapshot, &keys::ha_node(node), node.as_str()) {
            Ok(consul_node) => serf_of(&health, &consul_node),
            // It costs this one its vote. One bad key must not leave every host unprotected.
            Err(why) => {
                unreadable_ha_nodes.insert(node.clone(), tree(why));
                None
            }
        };
        observers.insert(node.clone(), Observer { serf });
    }
    let mut subjects = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    for host in &wanted {
        match host_subject(witness, &snapshot, &health, host) {
            Ok(subject) => drop(subjects.insert(host.clone(), subject)),
            Err(why) => drop(unreadable.insert(host.clone(), why)),
        }
    }
    let mut ha_subjects = BTreeMap::new();
    if ha_nodes_too {
        for node in &ha_nodes {
            if unreadable_ha_nodes.contains_key(node) {
                continue;
            }
            let serf = observers.get(node).and_then(|o| o.serf);
            match subject(witness, &snapshot, &keys::ha_node(node), serf) {
                Ok(subject) => drop(ha_subjects.insert(node.clone(), subject)),
                Err(why) => drop(unreadable_ha_nodes.insert(node.clone(), why)),
            }
        }
    }

    let mut waiting: Vec<Waiting<'_>> = subjects
        .iter_mut()
        .map(|(host, subject)| Waiting { keys: keys::host(host), subject })
        .chain(ha_subjects.iter_mut().map(|(node, subject)| Waiting { keys: keys::ha_node(node), subject }))
        .collect();
    let waited = until_sequences_rise(witness, &mut waiting).await?;
    if waited.is_some() {
        // Meanwhile an agent may be back, or that of an observer be lost.
        let health = serf_health(witness).await?;
        for (node, observer) in &mut observers {
            let known = machine::consul_node(&snapshot, &keys::ha_node(node), node.as_str());
            observer.serf = known.ok().and_then(|consul_node| serf_of(&health, &consul_node));
        }
        for (node, subject) in &mut ha_subjects {
            subject.serf = observers.get(node).and_then(|observer| observer.serf);
        }
        for (host, subject) in &mut subjects {
            let known = machine::consul_node(&snapshot, &keys::host(host), host.as_str());
            subject.serf = known.ok().and_then(|consul_node| serf_of(&health, &consul_node));
        }
    }

    let now = witness.clock.wall();
    let mut incidents = Vec::new();
    for id in named.ids {
        match known(&snapshot, &id) {
            Ok(incident) => incidents.extend(incident),
            // It may be open and new: nobody marks its host, and the guards count it.
            Err(why) => {
                incidents.push(KnownIncident {
                    id: id.clone(),
                    open: true,
                    opened_at: now,
                    by_votes: true,
                    is_readable: false,
                });
                unreadable.insert(id.host().clone(), tree(why));
            }
        }
    }
    let mut scene =
        Scene { policy, observers, hosts, subjects, incidents, cooling, anchor: Anchor::NotAsked, now };
    // A host that is named may have its incident already, which is looked away from when it is judged again: then another
    // number of hosts is compared with the limit than here.
    if is_named || needs_anchor(&scene) {
        scene.anchor = anchor(witness, &scene).await?;
    }
    let formats = Formats::of(&snapshot, &ha_nodes);
    let deadline = waited.unwrap_or_default().saturating_add(TIME_FOR_READING);
    Ok(Seen { scene, tree: snapshot, unreadable, ha_subjects, deadline, unreadable_ha_nodes, formats })
}

async fn serf_health(witness: &Witness<'_>) -> Result<Vec<NodeHealth>, EvidenceError> {
    let health = witness
        .store
        .serf_health()
        .await
        .map_err(|source| EvidenceError::Store { what: "serfHealth of the nodes", source })?;
    if health.is_empty() {
        return Err(EvidenceError::Denied { what: "serfHealth of any node".into() });
    }
    Ok(health)
}

/// Consul's node names ignore case.
fn serf_of(health: &[NodeHealth], consul_node: &str) -> Option<SerfHealth> {
    health.iter().find(|node| node.node.eq_ignore_ascii_case(consul_node)).map(|node| node.serf)
}

fn host_subject(
    witness: &Witness<'_>,
    snapshot: &Snapshot,
    health: &[NodeHealth],
    host: &HostName,
) -> Result<Subject, EvidenceError> {
    let keys = keys::host(host);
    let consul_node = machine::consul_node(snapshot, &keys, host.as_str()).map_err(tree)?;
    subject(witness, snapshot, &keys, serf_of(health, &consul_node))
}

fn subject(
    witness: &Witness<'_>,
    snapshot: &Snapshot,
    keys: &MachineKeys,
    serf: Option<SerfHealth>,
) -> Result<Subject, EvidenceError> {
    let maintenance = Maintenance::of(snapshot, keys).map_err(tree)?;
    let (testimonies, unreadable) = testimonies(snapshot, keys, Some(witness));
    Ok(Subject {
        epoch: Epoch(snapshot.number(&keys.epoch()).map_err(tree)?.unwrap_or(0)),
        has_agent: machine::has_agent(snapshot, keys).map_err(tree)?,
        serf,
        testimonies,
        unreadable,
        maintenance: maintenance.on.then(|| maintenance.reason.unwrap_or_else(|| "no reason given".into())),
        failed: snapshot.flag(&keys.failed()).map_err(tree)?,
        recovered: snapshot.flag(&keys.recovered()).map_err(tree)?,
    })
}

fn known(snapshot: &Snapshot, id: &IncidentId) -> Result<Option<KnownIncident>, TreeError> {
    let record = opening::record_of(snapshot, id)?;
    Ok(record.map(|record| KnownIncident {
        // A host that was shot already, and is proved off before anything is asked for, is no more of a storm.
        open: !record.status.is_over() && !record.status.retry,
        id: record.id,
        opened_at: record.opened_at,
        by_votes: match record.origin {
            Origin::Observers => true,
            Origin::Person { .. } | Origin::Key => false,
        },
        is_readable: true,
    }))
}

/// Whether a rule needs it: one or two observers, or more cases than the limit.
fn needs_anchor(scene: &Scene) -> bool {
    scene.observers.len() <= 2 || guards(scene).over.is_crowded
}

async fn anchor(witness: &Witness<'_>, scene: &Scene) -> Result<Anchor, EvidenceError> {
    let mut candidates = scene.policy.anchors.clone();
    if candidates.is_empty() {
        let leader = witness
            .store
            .leader()
            .await
            .map_err(|source| EvidenceError::Store { what: "the leader", source })?;
        candidates.extend(leader);
    }
    Ok(witness.anchors.reach(&candidates).await)
}
