//! `nova-ha status`: what Consul says, what the tree says, and what is in the way.

use serde::Serialize;

use super::OperatorError;
use super::answer::{Answer, code};
use super::bmc;
use super::cloud::NovaSays;
use super::cluster::{Catalog, Cluster, ConsulSays};
use super::cooldown::CooldownView;
use super::eyes::from_here;
use super::fault::{Fault, faults_text, look, next_text};
use super::incident_view::{IncidentLine, incidents_table};
use super::machine_view::{HaNodeView, HostView, ha_nodes_table, hosts_table};
use super::md_filesystems;
use super::offer::Offer;
use super::seen;
use super::table::field;
use super::unsaid;
use super::watch::Watching;
use super::weak_points::weak_points;
use crate::attention::Row;
use crate::chain::chain;
use crate::columns::wrap;
use crate::evidence::stranded::stranded;
use crate::incident::held_guests::HeldGuests;
use crate::keys;
use crate::names::{HaNodeName, HostName};
use crate::policy::Policy;
use crate::store::Store;
use crate::tree::first_sight::{self, own_words};
use crate::tree::foreign::Foreign;
use crate::tree::storage::{Storage, Strategy};
use crate::tree::{Snapshot, TreeError};

/// Everything on one screen.
#[derive(Debug, Serialize)]
struct Status {
    generation: String,
    hosts: Vec<HostView>,
    ha_nodes: Vec<HaNodeView>,
    /// Incidents that have not ended.
    open_incidents: Vec<IncidentLine>,
    cooldown: Option<CooldownView>,
    /// Votes needed, and HA nodes whose own agent passes.
    quorum: Option<Quorum>,
    /// HA nodes that hold the others back: nothing that they do not read is written.
    held_back_by: Vec<HaNodeName>,
    /// Whether one of the warnings needs a person now.
    #[serde(skip)]
    is_warned: bool,
    /// What keeps the cluster as a whole from being protected.
    warnings: Vec<String>,
    /// What the policy promises less than one may think; nothing waits for a person.
    weak_points: Vec<String>,
    /// What is wrong with an HA node as a watcher, or with a host that Nova keeps out of service; each with what to type.
    remarks: Vec<Fault>,
    /// What Nova says of the hosts that we had disabled.
    nova: NovaSays,
    /// Keys that belong to no machine; keys of the cluster that cannot be understood.
    faults: Vec<Fault>,
}

#[derive(Debug, Serialize)]
struct Quorum {
    needed: usize,
    passing: usize,
    configured: usize,
}

/// Shows it.
pub async fn run(store: &dyn Store) -> Result<Answer, OperatorError> {
    let cluster = Cluster::read(store, "show the status").await?;
    let catalog = Catalog::read(store).await;
    let watching = Watching::read(store, &cluster, &catalog).await;
    let status = Status::of(store, &cluster, &catalog, &watching).await;
    let faulty = !status.faults.is_empty()
        || status.hosts.iter().any(|host| !host.faults.is_empty())
        || status.ha_nodes.iter().any(|node| !node.faults.is_empty());
    let attention = status.open_incidents.iter().any(IncidentLine::needs_a_person)
        || status.hosts.iter().any(HostView::needs_a_person)
        || status.is_warned
        || !status.remarks.is_empty();
    Ok(Answer::new(status.text(), &status)?.with_code(code(faulty, attention)))
}

impl Status {
    async fn of(store: &dyn Store, cluster: &Cluster, catalog: &Catalog, watching: &Watching) -> Self {
        let tree = &cluster.snapshot;
        let mut faults: Vec<Fault> = cluster
            .strays
            .iter()
            .map(|key| {
                let why = "its name is neither a machine's nor an incident's".to_owned();
                TreeError::Malformed { key: key.clone(), why }.into()
            })
            .collect();
        let policy = look(&mut faults, Policy::of(tree));
        let now = jiff::Timestamp::now();
        let cooldown = look(&mut faults, CooldownView::of(cluster, now)).flatten();
        let mut open_incidents = Vec::new();
        for id in &cluster.incidents {
            match IncidentLine::of(store, cluster, id).await {
                Ok(line) if line.is_over() => {}
                Ok(line) => open_incidents.push(line),
                Err(error) => faults.push(error.into()),
            }
        }
        let hosts: Vec<HostView> =
            cluster.hosts.iter().map(|host| HostView::of(cluster, catalog, watching, host)).collect();
        let ha_nodes: Vec<HaNodeView> =
            cluster.ha_nodes.iter().map(|node| HaNodeView::of(cluster, catalog, node)).collect();
        let quorum = policy.as_ref().map(|policy| Quorum {
            needed: policy.quorum_of(ha_nodes.len()),
            passing: ha_nodes.iter().filter(|node| node.consul_says == Some(ConsulSays::Passing)).count(),
            configured: ha_nodes.len(),
        });
        let mut warnings = warnings(catalog, quorum.as_ref(), cooldown.as_ref());
        let mut weak_points =
            policy.as_ref().map_or_else(Vec::new, |policy| weak_points(policy, ha_nodes.len(), hosts.len()));
        if !policy.as_ref().is_some_and(|policy| policy.allow_unidentified_bmc) {
            warnings.extend(cluster.ha_nodes.iter().filter_map(|node| unidentified(tree, node)));
        }
        // Not what an upgrade that goes on holds back: it is said, and waits for nobody tonight.
        let is_warned = !warnings.is_empty();
        let behind = cluster.formats().behind();
        warnings.extend(behind.iter().map(|behind| format!("{}; next: {}", behind.text(), behind.hint())));
        let nova = NovaSays::read(cluster).await;
        let mut remarks = watching.warnings();
        remarks.extend(guests_on_dead_ha_nodes(store).await);
        remarks.extend(held_guests(store, &mut faults).await);
        remarks.extend(cluster.ha_nodes.iter().filter_map(|node| in_use_for_another(tree, node)));
        remarks.extend(cluster.formats().stopped().map(|(node, stopped)| Fault {
            what: format!("HA node {node} recovers nothing: {}", stopped.why),
            next: Some(stopped.next.clone()),
        }));
        remarks.extend(unsaid::first_sights(cluster));
        remarks.extend(by_their_own_word(cluster));
        let (twins, same_serials) = bmc::twins(cluster);
        remarks.extend(twins);
        remarks.extend(seen::first(cluster));
        remarks.extend(seen::otherwise(cluster));
        remarks.extend(cluster.hosts.iter().filter_map(|host| publishes_otherwise(cluster, host)));
        remarks.extend(cluster.formats().remarks().map(|(node, remark)| Fault {
            what: format!("HA node {node}: {}", remark.why),
            next: Some(remark.next.clone()),
        }));
        remarks.extend(nova.kept_out(cluster, &hosts));
        if let Some(policy) = &policy {
            remarks.extend(md_filesystems::not_mounted(cluster, policy));
        }
        let (weak_ways, noted) = bmc::weak(cluster);
        remarks.extend(weak_ways);
        weak_points.extend(noted);
        weak_points.extend(same_serials);
        weak_points.extend(hidden(cluster));
        Self {
            is_warned,
            held_back_by: behind.into_iter().map(|behind| behind.node).collect(),
            generation: cluster.meta.generation.clone(),
            remarks,
            nova,
            hosts,
            ha_nodes,
            open_incidents,
            cooldown,
            quorum,
            warnings,
            weak_points,
            faults,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.hosts.is_empty() {
            text += "no hosts yet; add one: nova-ha host add NAME ...\n";
        } else {
            text += &hosts_table(&self.hosts);
        }
        text.push('\n');
        if self.ha_nodes.is_empty() {
            text += "no HA nodes yet; add one: nova-ha ha-node add NAME ...\n";
        } else {
            text += &ha_nodes_table(&self.ha_nodes);
        }
        text.push('\n');
        if self.open_incidents.is_empty() {
            text += "no open incidents\n";
        } else {
            text += &incidents_table(&self.open_incidents);
            for next in self.open_incidents.iter().flat_map(|line| &line.next) {
                text += &next_text(next);
            }
        }
        let unprotected: Vec<&HostView> =
            self.hosts.iter().filter(|host| !host.unprotected.is_empty()).collect();
        if !unprotected.is_empty() {
            text += "\nUNPROTECTED\n";
            for host in unprotected {
                text += &field(&format!("  {}", host.name), Some(&host.why()), 20);
            }
        }
        let watched: Vec<&HostView> = self.hosts.iter().filter(|host| host.watched.is_some()).collect();
        if !watched.is_empty() {
            text += "\nNOT WATCHED BY ALL\n";
            for host in watched {
                text += &field(&format!("  {}", host.name), host.watched.as_deref(), 20);
            }
        }
        // Each command once: what is not generated on an HA node is so for every host.
        let mut next: Vec<&String> = Vec::new();
        for command in self.hosts.iter().flat_map(|host| &host.next) {
            if !next.contains(&command) {
                next.push(command);
            }
        }
        text += &next.into_iter().map(|command| next_text(command)).collect::<String>();
        if !self.warnings.is_empty() {
            text.push('\n');
            for warning in &self.warnings {
                text += &format!("WARNING  {}\n", wrap(warning, 9));
            }
        }
        for point in &self.weak_points {
            text += &format!("\nNOTE  {}\n", wrap(point, 6));
        }
        if !self.remarks.is_empty() {
            text.push('\n');
            for remark in &self.remarks {
                text += &format!("WARNING  {}\n", wrap(&remark.what, 9));
                text += &remark.next.as_deref().map(next_text).unwrap_or_default();
            }
        }
        if let Some(why) = &self.nova.why_not {
            let said = format!("Nova was not asked which hosts it keeps disabled for us: {why}");
            text += &format!("\n{}\n", wrap(&said, 0));
        }
        let all: Vec<Fault> = self
            .hosts
            .iter()
            .flat_map(|host| host.faults.clone())
            .chain(self.ha_nodes.iter().flat_map(|node| node.faults.clone()))
            .chain(self.faults.clone())
            .collect();
        if !all.is_empty() {
            text.push('\n');
            text += &faults_text(&all);
        }
        text
    }
}

/// What this token does not see is not judged, and that is said.
fn hidden(cluster: &Cluster) -> Option<String> {
    let (machines, are) = match cluster.hidden.len() {
        0 => return None,
        1 => ("machine", "is"),
        _ => ("machines", "are"),
    };
    Some(format!(
        "this token may not read how {} {machines} {are} powered off: whether that is set up is not judged here",
        cluster.hidden.len()
    ))
}

fn warnings(catalog: &Catalog, quorum: Option<&Quorum>, cooldown: Option<&CooldownView>) -> Vec<String> {
    let mut warnings: Vec<String> = catalog.doubt.iter().cloned().collect();
    if let Some(q) = quorum.filter(|q| q.passing < q.needed) {
        warnings.push(format!(
            "{} of {} HA nodes pass in Consul, {} votes are needed: nobody can be marked now",
            q.passing, q.configured, q.needed
        ));
    }
    if let Some(q) = quorum.filter(|q| q.passing == q.needed && q.passing < q.configured) {
        warnings.push(format!(
            "{} of {} HA nodes pass in Consul: with one less nobody can be marked",
            q.passing, q.configured
        ));
    }
    warnings.extend(cooldown.map(CooldownView::warning));
    warnings
}

/// Guests that were recovered to an HA node that is dead: nobody recovers them. Where that cannot be seen it is said.
async fn guests_on_dead_ha_nodes(store: &dyn Store) -> Vec<Fault> {
    let cannot = |why: String, next: Option<String>| {
        let what = format!("whether HA nodes that have guests live cannot be seen: {why}");
        vec![Fault { what, next }]
    };
    let witness = match from_here(store) {
        Ok(witness) => witness,
        Err(error) => return cannot(chain(&error), None),
    };
    match stranded(&witness).await {
        Ok(found) => found.into_iter().map(|stranded| in_one(stranded.row())).collect(),
        Err(error) => cannot(chain(&error), error.hint()),
    }
}

/// Guests that ended incidents left held: each waits for a person.
async fn held_guests(store: &dyn Store, faults: &mut Vec<Fault>) -> Vec<Fault> {
    match HeldGuests::read(store).await {
        Ok(held) => {
            faults.extend(held.unreadable.into_iter().map(Fault::from));
            held.guests.iter().map(|guest| in_one(guest.row())).collect()
        }
        Err(error) => {
            faults.push(error.into());
            Vec::new()
        }
    }
}

/// Hosts that so many names are said of; the others are counted.
const NAMED: usize = 5;

/// Hosts that a recovery would act on by their own word, because nobody bound anything.
fn by_their_own_word(cluster: &Cluster) -> Option<Fault> {
    let of_it = |host: &HostName| {
        let words = own_words(&cluster.snapshot, &keys::host(host));
        (!words.is_empty()).then(|| format!("{host} ({})", first_sight::text(&words)))
    };
    let hosts: Vec<String> = cluster.hosts.iter().filter_map(of_it).collect();
    let more = hosts.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let named = hosts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    (!hosts.is_empty()).then(|| Fault {
        what: format!(
            "first sight: what a recovery acts by is known by the hosts' own word only, and changes when a host publishes \
             otherwise: {named}{more}"
        ),
        next: Some("nova-ha host accept --all --by NAME   (shows it first)".into()),
    })
}

/// A host that publishes otherwise than it is bound to: that is said, and not used.
fn publishes_otherwise(cluster: &Cluster, host: &HostName) -> Option<Fault> {
    let differences = Offer::of(cluster, host).differences();
    (!differences.is_empty()).then(|| Fault {
        what: format!(
            "host {host} publishes otherwise than it is bound to, which is not used: {}",
            differences.join("; ")
        ),
        next: Some(format!(
            "nova-ha host accept {host} --by NAME   (if its parts were replaced; shows it first)"
        )),
    })
}

fn in_one(row: Row) -> Fault {
    Fault { what: row.text, next: (!row.next.is_empty()).then(|| row.next.join("; ")) }
}

/// An HA node that takes nothing, and for nothing of ours. A key that cannot be read is among its own faults.
fn in_use_for_another(tree: &Snapshot, node: &HaNodeName) -> Option<Fault> {
    let flag = Foreign::in_use(tree, node).ok().flatten()?;
    Some(Fault { what: flag.text(), next: Some(flag.next()) })
}

/// An HA node that nobody could power off if it died with the arrays of a host: another one believes only a BMC that says
/// which machine it belongs to.
fn unidentified(tree: &Snapshot, node: &HaNodeName) -> Option<String> {
    let keys = keys::ha_node(node);
    let takes_arrays = Storage::of(tree, &keys).is_ok_and(|storage| storage.strategy == Strategy::Md);
    let identity = [keys.bmc_field("identity"), keys.runtime_config()];
    let is_known = identity.iter().any(|key| tree.get(key).is_some_and(|e| !e.value.trim_ascii().is_empty()));
    (takes_arrays && !is_known).then(|| {
        format!(
            "HA node {node}: nobody knows how its BMC names itself: if it dies with a host's arrays, no other HA node takes \
             them; nova-ha ha-node add {node} --replace --bmc-identity UUID"
        )
    })
}
