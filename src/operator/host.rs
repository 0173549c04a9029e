//! `nova-ha host`: the hosts that are protected.

use clap::{Args, Subcommand, ValueEnum};
use tokio::time::Instant;

use super::OperatorError;
use super::accept::{self, AcceptArgs};
use super::answer::{Answer, Outcome, done};
use super::bmc::{self, Judged};
use super::cluster::{Catalog, Cluster};
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::fault::faults_text;
use super::guest::none_is_held;
use super::leave::{self, BeingSet};
use super::machine_options::{MachineOptions, Setting};
use super::machine_view::{HostView, MachineDetails, hosts_table};
use super::reset::ResetNote;
use super::through::{GoneArgs, Return, all_are_through};
use super::watch::Watching;
use crate::keys::{self, MachineKeys};
use crate::names::{Epoch, HostName, IncidentId, is_one};
use crate::store::{Op, Store};
use crate::tree::TreeError;
use crate::tree::flag;
use crate::tree::machine::OtherNames;
use crate::tree::nova_names::TreeMachine;
use crate::tree::record::{Record, bytes};

/// What can be done with hosts.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Add a host, or change one with --replace. Nothing else ever creates one.
    Add(Box<AddArgs>),
    /// All hosts and their flags.
    List,
    /// Everything about one host; of secrets only whether they are set.
    Show {
        /// The host.
        name: String,
    },
    /// Bind hosts to what they published about themselves: a recovery acts by that from then on.
    Accept(AcceptArgs),
    /// Remove a host and all its keys.
    Remove(RemoveArgs),
}

/// `nova-ha host add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The host, as it shall be called in the tree; best its Consul node name.
    pub name: HostName,
    /// How to reach it, and how to power it off.
    #[command(flatten)]
    pub options: MachineOptions,
    /// Whether the host runs a Consul agent.
    #[arg(long, value_enum)]
    pub agent: Option<Agent>,
    /// With --nova-host: what the host has published that Nova calls it is wrong, and is taken out of its runtime
    /// info. A host that lives publishes again: correct its nova.conf first.
    #[arg(long, requires_all = ["replace", "nova_host"])]
    pub forget_published_nova_host: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as its help")]
    pub gone: GoneArgs,
}

/// `nova-ha host remove`, `nova-ha ha-node remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The machine.
    pub name: String,
    /// The same name once more, instead of typing it when asked.
    #[arg(long, value_name = "NAME")]
    pub yes: Option<String>,
}

/// `config/agent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Agent {
    /// It runs one (the default).
    Consul,
    /// It runs none: its serfHealth is never asked for.
    None,
}

/// Runs one of them.
pub async fn run(command: HostCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        HostCommand::Add(args) => add(*args, store).await,
        HostCommand::List => list(store).await,
        HostCommand::Show { name } => show(&name, store).await,
        HostCommand::Accept(args) => accept::run(args, store).await,
        HostCommand::Remove(args) => remove(args, store).await,
    }
}

async fn add(args: AddArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let keys = keys::host(&args.name);
    let mut settings = args.options.settings(&keys)?;
    settings.extend(args.agent.map(|agent| {
        let text = match agent {
            Agent::Consul => "consul",
            Agent::None => "none",
        };
        (keys.agent(), text.into())
    }));
    let machine = TreeMachine::Host(args.name.clone());
    let (epoch, note) = first_epoch(&args, store).await?;
    settings.extend(note);
    let skeleton = skeleton(&keys, epoch);
    let published = match args.forget_published_nova_host {
        true => Published::WithoutNovaHost,
        false => Published::Stays,
    };
    let added = Added {
        what: "host",
        name: args.name.as_str(),
        keys: &keys,
        machine,
        published,
        skeleton: &skeleton,
    };
    add_machine(store, added, &args.options, &settings).await
}

/// The epoch that a host begins with: one that was removed after its recovery comes back as a reset host does, and is
/// protected from its next failure on. Where nobody reset it, the machines that held its last incident are through with that,
/// and the incident keeps of which of them that was only said.
async fn first_epoch(args: &AddArgs, store: &dyn Store) -> Result<(Epoch, Option<Setting>), OperatorError> {
    let host = &args.name;
    let doing = format!("add host {host}");
    let cluster = Cluster::read(store, &doing).await?;
    let last = cluster.incidents.iter().filter(|id| id.host() == host).max_by_key(|id| id.epoch());
    let Some(last) = last.filter(|_| !cluster.hosts.contains(host)) else { return Ok((Epoch(0), None)) };
    let key = keys::incident(last).reset();
    let was_reset = store
        .get(&key)
        .await
        .map_err(|source| tree(&doing)(TreeError::Read { what: key.clone(), source }))?;
    let mut note = None;
    if was_reset.is_none() {
        let (gone, since) = (args.gone.gone.as_slice(), Instant::now());
        let command = format!("nova-ha host add {host} ...");
        let back = Return { host, id: last, gone, doing: "added", command: &command, since };
        all_are_through(&cluster, &back, store).await?;
        note = Some((key, bytes(&ResetNote::of_an_added_host(gone))));
    }
    Ok((Epoch(last.epoch().0 + 1), note))
}

/// The keys that every host has: the original's, and of ours those that the marking transaction
/// compares. A token may compare an absent key only if it may also write it (Consul asks `write`
/// for `check-not-exists`), and the monitor's token shall not.
fn skeleton(keys: &MachineKeys, epoch: Epoch) -> Vec<Setting> {
    vec![
        (keys.failed(), flag::text(false).into()),
        (keys.recovered(), flag::text(false).into()),
        (keys.number_fails(), "0".into()),
        (keys.runtime_config(), "{}".into()),
        (keys.general(), Vec::new()),
        (keys.epoch(), epoch.to_string().into()),
        (keys.maintenance(), flag::text(false).into()),
    ]
}

/// What a machine has published about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// It stays as it is.
    Stays,
    /// What Nova calls the machine is taken out of it.
    WithoutNovaHost,
}

/// The runtime info without what Nova calls the machine; nothing where it does not say. What this build does not know of
/// the document stays.
fn without_nova_host(cluster: &Cluster, keys: &MachineKeys) -> Result<Option<Setting>, TreeError> {
    let Some(entry) = cluster.snapshot.get(&keys.runtime_config()) else { return Ok(None) };
    let mut published: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&entry.value)
        .map_err(|error| TreeError::Malformed { key: entry.key.clone(), why: error.to_string() })?;
    let said = published.remove("nova_host");
    Ok(said.map(|_| (entry.key.clone(), serde_json::Value::Object(published).to_string().into_bytes())))
}

/// A machine that is added, or changed.
pub(super) struct Added<'a> {
    /// *host*, *HA node*.
    pub(super) what: &'static str,
    pub(super) name: &'a str,
    pub(super) keys: &'a MachineKeys,
    /// The same as a machine of the tree.
    pub(super) machine: TreeMachine,
    /// What becomes of what it has published.
    pub(super) published: Published,
    /// What every machine of its kind has.
    pub(super) skeleton: &'a [Setting],
}

/// Looks again after so many refusals: somebody may be adding a whole rack at the same time.
const MOST_LOOKS: usize = 20;

/// Adds a machine, or changes one with `--replace`.
pub(super) async fn add_machine(
    store: &dyn Store,
    added: Added<'_>,
    options: &MachineOptions,
    settings: &[Setting],
) -> Result<Answer, OperatorError> {
    let doing = format!("add {} {}", added.what, added.name);
    let mut looks = 0;
    let mut judged: Option<Judged> = None;
    loop {
        looks += 1;
        let cluster = Cluster::read(store, &doing).await?;
        may_be_added(added.what, added.name, options.replace, &cluster)?;
        is_one_nova_host(&added, options, &cluster)?;
        let wanted = may_be_set_here(&added, options.replace, settings, &cluster)?;
        let judged = match &judged {
            Some(judged) => judged,
            None => {
                let whose = (&added.machine, added.keys);
                let mut judged_now = bmc::judged(&cluster, &doing, whose, options, settings).await?;
                judged_now.said.extend(bmc::twin(&cluster, &added.machine, settings));
                judged.insert(judged_now)
            }
        };
        match write(store, &cluster, &doing, &added, options, &judged.settings).await {
            // Another machine was added meanwhile: its name may be this one in another case.
            Err(OperatorError::Moved { .. }) if !options.replace && looks < MOST_LOOKS => {}
            written => {
                let generate = still_to_generate(&added, &cluster, options);
                return written?.answer(&added, options.replace, &judged.said, generate, wanted);
            }
        }
    }
}

/// A name is new, or there and to be changed; and no other machine has it in another case.
fn may_be_added(
    what: &'static str,
    name: &str,
    replace: bool,
    cluster: &Cluster,
) -> Result<(), OperatorError> {
    if !replace && name.ends_with('.') {
        let why = format!(
            "{name} ends with a dot, and is one name with {}: leave it out",
            name.trim_end_matches('.')
        );
        return Err(OperatorError::Input { option: "NAME".into(), why });
    }
    let hosts = cluster.hosts.iter().map(|host| ("host", host.to_string()));
    let ha_nodes = cluster.ha_nodes.iter().map(|node| ("HA node", node.to_string()));
    let mut same = false;
    for (kind, other) in hosts.chain(ha_nodes) {
        if kind == what && other == name {
            same = true;
        } else if other == name {
            return Err(OperatorError::Exists { what: kind, name: name.into() });
        } else if is_one(&other, name) {
            return Err(OperatorError::CaseClash { name: name.into(), what: kind, other });
        }
    }
    match (same, replace) {
        (true, false) => Err(OperatorError::Exists { what, name: name.into() }),
        (false, true) => Err(OperatorError::Unknown { what, name: name.into(), like: None }),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Each Nova host is one machine: the guests of a Nova host are evacuated because the machine that is bound to it is off.
fn is_one_nova_host(
    added: &Added<'_>,
    options: &MachineOptions,
    cluster: &Cluster,
) -> Result<(), OperatorError> {
    let binds = !options.replace || options.nova_host.is_some();
    let nova_host = options.nova_host.as_deref().unwrap_or(added.name);
    let twins = cluster.nova_names.others(&added.machine, nova_host);
    match twins.first() {
        Some(twin) if binds => Err(OperatorError::Input {
            option: "--nova-host".into(),
            why: format!(
                "{twin} is bound to Nova host {nova_host} already; each Nova host is one machine \
                 (openstack compute service list; nova-ha host show {})",
                twin.name()
            ),
        }),
        Some(_) | None => Ok(()),
    }
}

/// What of it an HA node's root has to allow first; refused where this is one that does not.
fn may_be_set_here(
    added: &Added<'_>,
    replace: bool,
    settings: &[Setting],
    cluster: &Cluster,
) -> Result<Vec<String>, OperatorError> {
    let doing = if replace { "changed" } else { "added" };
    leave::ask(&BeingSet { machine: &added.machine, keys: added.keys, settings, doing }, cluster)
}

/// What was written.
struct Written(usize);

impl Written {
    fn answer(
        self,
        added: &Added<'_>,
        replace: bool,
        said: &[String],
        generate: Vec<String>,
        to_allow: Vec<String>,
    ) -> Result<Answer, OperatorError> {
        let (action, name) = (if added.what == "host" { "host add" } else { "ha-node add" }, added.name);
        let (outcome, mut text) = match (self.0, replace) {
            (0, _) => (Outcome::AlreadySo, format!("{name}: already so, nothing was written")),
            (keys, true) => (Outcome::Changed, format!("{name}: changed, {keys} keys written")),
            (keys, false) => (Outcome::Changed, format!("{name}: added, {keys} keys written")),
        };
        for line in said {
            text += &format!("\n{line}");
        }
        if self.0 > 0 && !generate.is_empty() {
            text += "\nnot in force before this is generated anew:";
            for line in &generate {
                text += &format!("\n  {line}");
            }
        }
        if self.0 > 0 && !to_allow.is_empty() {
            text += "\nits HA nodes' root has a word in what is run and read there (local.toml):";
            for line in &to_allow {
                text += &format!("\n  {line}");
            }
        }
        done(outcome, action, name, text)
    }
}

/// What the machines' agents do not know yet: nobody probes a host that was added and not generated, and no token sees it.
/// Of one that is only changed, what is written into the files is what Consul calls it.
fn still_to_generate(added: &Added<'_>, cluster: &Cluster, options: &MachineOptions) -> Vec<String> {
    if options.replace && options.consul_node.is_none() {
        return Vec::new();
    }
    let mut lines =
        vec!["with ACLs, first: nova-ha generate acl --out DIR; consul acl policy update ...".into()];
    let config = |kind: &str, name: &str| {
        format!("on {name}: nova-ha generate consul-config --{kind} {name} --out DIR; consul reload")
    };
    let mut nodes: Vec<String> = cluster.ha_nodes.iter().map(ToString::to_string).collect();
    if added.what == "host" {
        lines.push(config("host", added.name));
    } else if !nodes.iter().any(|node| node == added.name) {
        nodes.push(added.name.to_owned());
    }
    lines.extend(nodes.iter().map(|node| config("ha-node", node)));
    lines.push("then: nova-ha status   (says who is not seen, and why)".into());
    lines
}

/// One transaction: what is named, compared with what was read, and what every machine of its
/// kind has and this one lacks.
async fn write(
    store: &dyn Store,
    cluster: &Cluster,
    doing: &str,
    added: &Added<'_>,
    options: &MachineOptions,
    settings: &[Setting],
) -> Result<Written, OperatorError> {
    let (keys, mut settings) = (added.keys, settings.to_vec());
    if options.has_names() {
        let before: Option<OtherNames> = cluster.snapshot.record(&keys.names()).map_err(tree(doing))?;
        let before = before.unwrap_or_default();
        let names = OtherNames {
            version: OtherNames::VERSION,
            consul_node: options.consul_node.clone().or(before.consul_node),
            nova_host: options.nova_host.clone().or(before.nova_host),
            hypervisor_hostname: options.hypervisor.clone().or(before.hypervisor_hostname),
        };
        settings.push((keys.names(), bytes(&names)));
    }
    if added.published == Published::WithoutNovaHost {
        settings.extend(without_nova_host(cluster, keys).map_err(tree(doing))?);
    }
    let lacking = added.skeleton.iter().filter(|(key, _)| cluster.snapshot.get(key).is_none()).cloned();
    let mut ops = vec![cluster.meta_unchanged()];
    for (key, value) in settings.into_iter().chain(lacking) {
        let seen = cluster.snapshot.get(&key);
        if seen.is_none_or(|entry| entry.value != value) {
            ops.push(Op::replace(key, value, seen));
        }
    }
    let written = ops.len() - 1;
    // Two that are added or bound at the same time see each other.
    if !options.replace || options.nova_host.is_some() {
        let key = keys::MACHINES_ADDED;
        let before: u64 = cluster.snapshot.number(key).map_err(tree(doing))?.unwrap_or(0);
        ops.push(Op::replace(key, before.wrapping_add(1).to_string(), cluster.snapshot.get(key)));
    }
    if written > 0 {
        commit(store, doing, &ops).await?;
    }
    Ok(Written(written))
}

async fn list(store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(serde::Serialize)]
    struct Hosts<'a> {
        hosts: &'a [HostView],
    }
    let cluster = Cluster::read(store, "list the hosts").await?;
    let catalog = Catalog::read(store).await;
    let watching = Watching::read(store, &cluster, &catalog).await;
    let hosts: Vec<HostView> =
        cluster.hosts.iter().map(|host| HostView::of(&cluster, &catalog, &watching, host)).collect();
    let text = match hosts.is_empty() {
        true => "no hosts yet; add one: nova-ha host add NAME ...".to_owned(),
        false => hosts.iter().fold(hosts_table(&hosts), |text, one| text + &faults_text(&one.faults)),
    };
    let faulty = hosts.iter().any(|host| !host.faults.is_empty());
    Ok(Answer::new(text, &Hosts { hosts: &hosts })?.with_code(super::answer::code(faulty, false)))
}

async fn show(name: &str, store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(serde::Serialize)]
    struct Host<'a> {
        host: &'a HostView,
        config: &'a MachineDetails,
    }
    let cluster = Cluster::read(store, &format!("show host {name}")).await?;
    let host = cluster.host(name)?;
    let catalog = Catalog::read(store).await;
    let watching = Watching::read(store, &cluster, &catalog).await;
    let view = HostView::of(&cluster, &catalog, &watching, &host);
    let details = MachineDetails::of(&cluster.snapshot, &keys::host(&host));
    let text = format!("{}{}", view.text(), details.text());
    let faulty = !view.faults.is_empty() || !details.faults.is_empty();
    Ok(Answer::new(text, &Host { host: &view, config: &details })?
        .with_code(super::answer::code(faulty, false)))
}

async fn remove(args: RemoveArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let doing = format!("remove host {}", args.name);
    let cluster = Cluster::read(store, &doing).await?;
    let host = cluster.host(&args.name)?;
    if let Some(id) = cluster.open_incident(&host).map_err(tree(&doing))? {
        return Err(OperatorError::OpenIncident { host, id, doing: "removed" });
    }
    let epoch = cluster.snapshot.number(&keys::host(&host).epoch()).map_err(tree(&doing))?.unwrap_or(0);
    let ended = IncidentId::new(host.clone(), Epoch(epoch));
    let ended = cluster.incidents.contains(&ended).then_some(ended);
    none_is_held(&host, ended.as_ref(), "removed", &cluster, store).await?;
    for node in &cluster.ha_nodes {
        let held_for = cluster.snapshot.text(&keys::ha_node(node).in_use_by()).map_err(tree(&doing))?;
        let of_it = held_for.filter(|id| id.parse().is_ok_and(|id: IncidentId| *id.host() == host));
        if let Some(id) = of_it {
            return Err(OperatorError::NotNow {
                name: host.to_string(),
                doing: "removed",
                why: format!(
                    "HA node {node} is in use for its incident {id}, and only its reset frees that one"
                ),
                next: Some(format!("nova-ha reset {host} --maintenance --by NAME")),
            });
        }
    }
    confirm(
        host.as_str(),
        args.yes.as_deref(),
        &format!("This removes host {host} with all its keys; it will not be protected any more."),
        &format!("nova-ha host remove {host}"),
    )?;
    let keys = keys::host(&host);
    let mut ops = vec![cluster.meta_unchanged()];
    // Whoever opens an incident meanwhile writes `failed` in the same transaction.
    ops.push(Op::unchanged(keys.failed(), cluster.snapshot.get(&keys.failed())));
    // Nor is its last incident opened again.
    ops.extend(ended.map(|id| keys::incident(&id).incident()).map(|key| {
        let seen = cluster.snapshot.get(&key);
        Op::unchanged(key, seen)
    }));
    ops.push(Op::DeleteTree(keys.all()));
    commit(store, &doing, &ops).await?;
    done(
        Outcome::Changed,
        "host remove",
        host.as_str(),
        format!("{host}: removed\nnow generate anew: nova-ha generate consul-config, nova-ha generate acl"),
    )
}
