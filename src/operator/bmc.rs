//! How a machine's BMC is reached: what is newly said of that is looked at before it is written, and what was said before is
//! shown by `nova-ha status`.

use super::OperatorError;
use super::cluster::Cluster;
use super::error::held_back;
use super::fault::Fault;
use super::machine_options::{MachineOptions, Setting};
use crate::bindings::Part;
use crate::chain::chain;
use crate::fence::certificate::Pin;
use crate::fence::pins::RedfishLevel;
use crate::fence::redfish::{Certificate, look};
use crate::fence::spot::Spot;
use crate::fence::weakness::{Verdict, Weakness, weaknesses};
use crate::fence::{FenceConfig, Machine, Mark};
use crate::identity::Identity;
use crate::keys::{self, MachineKeys};
use crate::store::Entry;
use crate::tree::Snapshot;
use crate::tree::flag;
use crate::tree::formats::Kind;
use crate::tree::nova_names::TreeMachine;

/// What is to be written, and what a person should know of it.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) settings: Vec<Setting>,
    pub(super) said: Vec<String>,
}

impl Judged {
    fn set(&mut self, setting: Option<Setting>) {
        let Some(setting) = setting else { return };
        self.settings.retain(|(key, _)| *key != setting.0);
        self.settings.push(setting);
    }
}

/// A person's word about whose the BMC is: in its level, where it has levels.
fn confirmed(
    cluster: &Cluster,
    doing: &str,
    tree: &Snapshot,
    keys: &MachineKeys,
    (by, shows): (&str, &Mark),
) -> Result<Vec<Setting>, OperatorError> {
    let option = "--bmc-confirmed-by";
    let Some(levels) = tree.get(&keys.fence()) else {
        return Ok(vec![
            (keys.bmc_field("confirmed_by"), by.as_bytes().to_vec()),
            (keys.bmc_field("shows"), shows.to_string().into_bytes()),
        ]);
    };
    cluster.formats().allows(Kind::Fence, 2).map_err(held_back(doing))?;
    let config = FenceConfig::of(tree, keys).map_err(|why| refused(option, &chain(&why)))?;
    let [only] = config.own_devices()[..] else {
        let why = "it has not exactly one level of driver ipmi or redfish: say it in that level of --fence-file, with \
                   \"identity_confirmed_by\" and \"identity_shown\"";
        return Err(refused(option, why));
    };
    let value = FenceConfig::confirmed(&levels.value, only, by, shows);
    Ok(vec![(keys.fence(), value.map_err(|why| refused(option, &why.to_string()))?.into_bytes())])
}

/// Looks at the certificates of Redfish levels that are new, and pins what nobody has signed; refuses what is weak and newly
/// set. Of a machine whose BMC is not named nothing is looked at.
///
/// # Errors
/// It is refused, with what to type instead.
pub(super) async fn judged(
    cluster: &Cluster,
    doing: &str,
    (machine, keys): (&TreeMachine, &MachineKeys),
    options: &MachineOptions,
    settings: &[Setting],
) -> Result<Judged, OperatorError> {
    let mut judged = Judged { settings: settings.to_vec(), said: Vec::new() };
    if !options.names_bmc() {
        return Ok(judged);
    }
    let machine = &of_tree(machine);
    judged.settings.extend(replaced(&cluster.snapshot, keys, options));
    let after = with(&cluster.snapshot, &judged.settings);
    let Ok(config) = FenceConfig::of(&after, keys) else {
        // What is missing, or cannot be understood, status says.
        return match options.bmc_pin.is_some() || options.pin_bmc {
            true => Err(refused("--bmc-pin", "no fence level of it can be understood")),
            false => Ok(judged),
        };
    };
    let pins = pins(&config, machine, options, &mut judged.said).await?;
    let is_pinned = options.fence_file.is_some() && config.needs_newest();
    let setting = match (after.get(&keys.fence()), pins.first()) {
        (None, Some((_, pin))) => Some((keys.bmc_field("pin"), pin.to_string().into_bytes())),
        (Some(levels), pin) if pin.is_some() || is_pinned => {
            cluster.formats().allows(Kind::Fence, 2).map_err(held_back(doing))?;
            let pinned = FenceConfig::pinned(&levels.value, &pins)
                .map_err(|why| refused("--fence-file", &why.to_string()))?;
            Some((keys.fence(), pinned.into_bytes()))
        }
        (None | Some(_), _) => None,
    };
    judged.set(setting);
    if let Some(word) = options.confirms() {
        let tree = with(&cluster.snapshot, &judged.settings);
        let settings = confirmed(cluster, doing, &tree, keys, word)?;
        settings.into_iter().for_each(|setting| judged.set(Some(setting)));
    }
    let before =
        FenceConfig::of(&cluster.snapshot, keys).map(|config| weaknesses(&config)).unwrap_or_default();
    let after = FenceConfig::of(&with(&cluster.snapshot, &judged.settings), keys);
    let after = after.map(|config| weaknesses(&config)).unwrap_or_default();
    let is_new =
        |weak: &&Weakness| !before.iter().any(|old| old.device == weak.device && old.what == weak.what);
    for weak in after.iter().filter(is_new) {
        let text = weak.text(machine);
        match weak.verdict() {
            Verdict::Said => judged.said.push(text),
            Verdict::Typed if options.bmc_insecure => judged.said.push(text),
            Verdict::Typed => {
                let why = format!("{text}; {}, or --bmc-insecure if it must be so", weak.next(machine));
                return Err(refused("--bmc-insecure", &why));
            }
            Verdict::Refused => {
                let option = if options.fence_file.is_some() { "--fence-file" } else { "--bmc-cipher" };
                return Err(refused(option, &format!("{text}; {}", weak.next(machine))));
            }
        }
    }
    Ok(judged)
}

fn refused(option: &str, why: &str) -> OperatorError {
    OperatorError::Input { option: option.to_owned(), why: why.to_owned() }
}

fn of_tree(machine: &TreeMachine) -> Machine {
    match machine {
        TreeMachine::Host(host) => Machine::Host(host.clone()),
        TreeMachine::HaNode(node) => Machine::HaNode(node.clone()),
    }
}

/// The tree as it will be.
fn with(tree: &Snapshot, settings: &[Setting]) -> Snapshot {
    let mut tree = tree.clone();
    let entry = |(key, value): &Setting| Entry {
        key: key.clone(),
        value: value.clone(),
        modify_index: 0,
        session: None,
    };
    tree.extend(settings.iter().map(entry));
    tree
}

/// How the certificate was judged before, where something else is said now.
fn replaced(tree: &Snapshot, keys: &MachineKeys, options: &MachineOptions) -> Vec<Setting> {
    let is_set = |key: &String| tree.get(key).is_some_and(|entry| !entry.value.trim_ascii().is_empty());
    let fields: &[&str] = match (options.bmc_ca.is_some(), options.bmc_insecure, options.bmc_pin.is_some()) {
        (true, _, _) => &["pin", "insecure"],
        (_, true, _) if options.fence_file.is_none() => &["pin", "ca"],
        (_, _, true) => &["ca", "insecure"],
        (false, _, false) => &[],
    };
    let value = |field: &str| match field {
        "insecure" => flag::text(false).as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let settings = fields.iter().map(|field| (keys.bmc_field(field), value(field)));
    settings.filter(|(key, _)| is_set(key)).collect()
}

/// The pins that are typed, or that the BMCs show.
async fn pins(
    config: &FenceConfig,
    machine: &Machine,
    options: &MachineOptions,
    said: &mut Vec<String>,
) -> Result<Vec<(Spot, Pin)>, OperatorError> {
    let levels: Vec<RedfishLevel> = config.redfish_levels();
    let levels: Vec<&RedfishLevel> = levels.iter().filter(|level| level.url.scheme() == "https").collect();
    if let Some(pin) = options.bmc_pin {
        return match levels.as_slice() {
            [only] => Ok(vec![(only.spot, pin)]),
            [] => Err(refused("--bmc-pin", "it has no Redfish level with https")),
            _ => Err(refused(
                "--bmc-pin",
                "it has several Redfish levels: --pin-bmc, or --fence-file with their pins",
            )),
        };
    }
    if levels.is_empty() && options.pin_bmc {
        return Err(refused("--pin-bmc", "it has no Redfish level with https"));
    }
    let is_new = options.names_its_address() && !options.bmc_insecure;
    let mut pins = Vec::new();
    for level in levels.into_iter().filter(|level| options.pin_bmc || (is_new && !level.is_judged)) {
        let at = format!("{} ({})", level.spot, level.url.origin().ascii_serialization());
        match look(&level.url).await {
            Certificate::Signed(_) if !options.pin_bmc => {
                said.push(format!("{at}: an authority that this machine trusts has signed its certificate"));
            }
            Certificate::Signed(pin) | Certificate::Unsigned(pin) => {
                said.push(format!(
                    "{at}: pinned the key of the certificate that it shows: {pin}; compare it with what the BMC itself says"
                ));
                pins.push((level.spot, pin));
            }
            Certificate::NotSeen(why) if options.pin_bmc => {
                return Err(refused(
                    "--pin-bmc",
                    &format!("{at}: its certificate cannot be seen from here: {why}"),
                ));
            }
            Certificate::NotSeen(why) => said.push(format!(
                "{at}: its certificate was not looked at: {why}; where it can be reached: {} --pin-bmc",
                machine.changed_by()
            )),
        }
    }
    Ok(pins)
}

/// What is weak about how the machines' devices are reached: what waits for a person, with the command that settles it, and
/// what is only said.
pub(super) fn weak(cluster: &Cluster) -> (Vec<Fault>, Vec<String>) {
    let hosts = cluster.hosts.iter().map(|host| (Machine::Host(host.clone()), keys::host(host)));
    let ha_nodes = cluster.ha_nodes.iter().map(|node| (Machine::HaNode(node.clone()), keys::ha_node(node)));
    let (mut remarks, mut notes) = (Vec::new(), Vec::new());
    for (machine, keys) in hosts.chain(ha_nodes) {
        let Ok(config) = FenceConfig::of(&cluster.snapshot, &keys) else { continue };
        for weak in weaknesses(&config) {
            match weak.verdict() {
                Verdict::Said => notes.push(weak.text(&machine)),
                Verdict::Typed | Verdict::Refused => {
                    remarks.push(Fault { what: weak.text(&machine), next: Some(weak.next(&machine)) });
                }
            }
        }
    }
    (remarks, notes)
}

/// Machines that share a part of their identity: what a person should settle, and what is only said. Where nothing is left that
/// tells them apart, the machine is *unprotected*, and says so itself.
pub(super) fn twins(cluster: &Cluster) -> (Vec<Fault>, Vec<String>) {
    let hosts = cluster.hosts.iter().cloned().map(TreeMachine::Host);
    let ha_nodes = cluster.ha_nodes.iter().cloned().map(TreeMachine::HaNode);
    let (mut remarks, mut notes) = (Vec::new(), Vec::new());
    for machine in hosts.chain(ha_nodes) {
        let known = cluster.claims.expected(&machine).filter(|known| known.doubt().is_none());
        let Some(twin) = known.and_then(|known| known.twin()) else { continue };
        let what = format!("{machine}: {}", twin.text());
        match twin.what {
            // A BMC that states nothing but its UUID, as by IPMI, is nobody's.
            Part::Uuid => {
                let next = format!(
                    "{} --bmc-identity SERIAL   (a number that stands on this one only, and that its BMC states)",
                    of_tree(&machine).changed_by()
                );
                remarks.push(Fault { what, next: Some(next) });
            }
            Part::Serial => notes.push(what),
        }
    }
    (remarks, notes)
}

/// The same of one machine that is added or changed: what is typed for it, or else known of it, against all others.
pub(super) fn twin(cluster: &Cluster, machine: &TreeMachine, settings: &[Setting]) -> Option<String> {
    let is_typed = |(key, _): &&Setting| *key == machine.keys().bmc_field("identity");
    let typed =
        settings.iter().find(is_typed).map(|(_, text)| Identity::pinned(&String::from_utf8_lossy(text)));
    let (rival, twin) = match typed {
        Some(typed) => {
            let claims = &cluster.claims;
            (claims.rival_of_identity(machine, &typed), claims.twin_of_identity(machine, &typed))
        }
        None => {
            let known = cluster.claims.expected(machine)?;
            (known.doubt().map(|doubt| doubt.rival), known.twin())
        }
    };
    let text = match (rival, twin) {
        (Some(rival), _) => {
            format!("{rival}: nobody can tell which of the two a BMC belongs to that states this")
        }
        (None, twin) => twin?.text(),
    };
    Some(format!("{machine}: {text}"))
}
