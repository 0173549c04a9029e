//! `nova-ha confirm-off HOST --device LEVEL.DEVICE`: a person's word that one silent device of a fence level carries no power.
//!
//! It is about a device that an HA node found silent, as the tree described it then; the other devices of that level are read by
//! the HA nodes as ever. A device that answers speaks for itself: against *on* no word is taken, and beside *off* none is needed.

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::confirm::confirm;
use super::confirm_off::{ConfirmOffArgs, its_incident, look_at};
use super::error::tree;
use super::incident::Open;
use super::person::{person, quoted};
use super::table::when;
use crate::evidence::signs::text;
use crate::fence::device_off::as_described;
use crate::fence::{DeviceOff, FenceConfig, OneOf, PowerState};
use crate::incident::devices::{DeviceAnswer, DeviceSeen, DevicesSeen};
use crate::incident::opening;
use crate::keys;
use crate::local::{self, Local};
use crate::names::HostName;
use crate::store::{Op, Store};
use crate::tree::Snapshot;
use crate::tree::formats::Kind;
use crate::tree::record::{Record, bytes};

/// Stores the word in the host's open incident.
pub(super) async fn run(
    args: &ConfirmOffArgs,
    of: OneOf,
    store: &dyn Store,
) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("confirm that a device of {} is off", args.host);
    let cluster = Cluster::read(store, &doing).await?;
    let host = cluster.host(&args.host)?;
    let id = its_incident(&cluster, &host, &doing)?;
    let open = Open::read(store, &id, &doing).await?;
    let incident = keys::incident(&id);
    let (key, seen_key) = (incident.device_off(&of.to_string()), incident.devices());
    let read = Snapshot::read(store, "what its devices answered", &[key.clone(), seen_key.clone()]).await;
    let read = read.map_err(tree(&doing))?;
    let seen: Option<DevicesSeen> = read.record(&seen_key).map_err(tree(&doing))?;
    let refused = |why: String, next: String| OperatorError::NotNow {
        name: format!("device {of} of {host}"),
        doing: "confirmed off",
        why,
        next: Some(next),
    };
    let Some((seen, device)) = seen.as_ref().and_then(|seen| Some((seen, find(seen, of)?))) else {
        let why =
            format!("no HA node has found it silent beside others of its level{}", known(seen.as_ref()));
        return Err(refused(why, format!("nova-ha incident show {id}")));
    };
    // Of a token that may not see how it is powered off the HA nodes look whether it is still so described.
    let hidden = cluster.hidden.contains(&keys::host(&host).all());
    if !hidden && as_described(&cluster.snapshot, &keys::host(&host)) != seen.described {
        let why = format!("how {host} is powered off was changed since {} asked it", seen.node);
        return Err(refused(
            why,
            format!("when an HA node has asked it again: {}", command(args, &host, of)),
        ));
    }
    let answers = match asked(&cluster, &host, device).await {
        Some(answer) => answer,
        None => device.answer,
    };
    match answers {
        DeviceAnswer::Silent => {}
        DeviceAnswer::Off => {
            let text = format!(
                "{}: not needed, it reads off by itself\nsee: nova-ha incident show {id}",
                device.name
            );
            return done(Outcome::AlreadySo, "confirm-off", host.as_str(), text);
        }
        DeviceAnswer::On => {
            let why = format!("{} says that it is on", device.name);
            return Err(refused(why, format!("look at it again: nova-ha host show {host}")));
        }
        DeviceAnswer::Unknown => {
            let why = format!("{} answers, and says neither on nor off: {}", device.name, device.said);
            return Err(refused(
                why,
                format!("look at {host} itself; if it is off: nova-ha confirm-off {host} --by NAME"),
            ));
        }
    }
    let signs = look_at(store, &host).await?.signs;
    if !signs.is_empty() {
        let next = format!("look at {host} itself; if it is off: nova-ha confirm-off {host} --by NAME");
        return Err(refused(
            format!("beside a word for a device {host} has to be silent: {}", text(&signs)),
            next,
        ));
    }
    let (others, warning) = (others(seen, of), warning(&host, of, device));
    let warning = format!("{warning}\nBeside your word the HA nodes have to read off themselves: {others}.");
    confirm(host.as_str(), args.yes.as_deref(), &warning, &command(args, &host, of))?;
    let word = DeviceOff {
        version: DeviceOff::VERSION,
        host: host.clone(),
        incident: id.clone(),
        level: of.level,
        device: of.device,
        name: device.name.clone(),
        described: seen.described.clone(),
        by,
        at: jiff::Timestamp::now(),
        ttl_seconds: args.ttl.as_secs(),
        ended: None,
    };
    let mut ops = vec![
        cluster.meta_unchanged(),
        opening::unchanged(&open.tree, &id),
        Op::unchanged(seen_key.clone(), read.get(&seen_key)),
        Op::replace(key.clone(), bytes(&word), read.get(&key)),
    ];
    ops.extend(open.wake());
    commit(store, &doing, &ops).await?;
    let mut said = format!(
        "{host}, device {of}: confirmed off in {id} for {} s; {others} has to read off beside it\n\
         an answer of that device, or a sign of life, ends it; see: nova-ha incident show {id}",
        args.ttl.as_secs()
    );
    // To such an HA node there is no word: it goes on waiting.
    if let Err(behind) = cluster.formats().allows(Kind::DeviceOff, DeviceOff::VERSION) {
        said += &format!("\nnot every HA node heeds it: {behind}");
    }
    done(Outcome::Changed, "confirm-off", host.as_str(), said)
}

fn find(seen: &DevicesSeen, of: OneOf) -> Option<&DeviceSeen> {
    seen.devices.iter().find(|device| (device.level, device.device) == (of.level, of.device))
}

fn warning(host: &HostName, of: OneOf, device: &DeviceSeen) -> String {
    format!(
        "If {} still carries power, {host} may run on it: its guests will run twice and their disks will be destroyed.\n\
         Confirm only what you have seen yourself: {} ({}) has no power.",
        device.name,
        device.name,
        of.spot()
    )
}

/// What the HA nodes have to read themselves.
fn others(seen: &DevicesSeen, of: OneOf) -> String {
    let others = seen.devices.iter().filter(|device| device.level == of.level && device.device != of.device);
    others.map(|device| device.name.as_str()).collect::<Vec<_>>().join(" and ")
}

/// What was found, for whoever names another device.
fn known(seen: Option<&DevicesSeen>) -> String {
    let Some(seen) = seen else { return String::new() };
    let one =
        |device: &DeviceSeen| format!("{}.{} {}: {}", device.level, device.device, device.name, device.said);
    let devices: Vec<String> = seen.devices.iter().map(one).collect();
    format!("; {} found at {}: {}", seen.node, when(seen.at), devices.join("; "))
}

fn command(args: &ConfirmOffArgs, host: &HostName, of: OneOf) -> String {
    format!(
        "nova-ha confirm-off {host} --device {of} --by {} --ttl {}s",
        quoted(&args.by),
        args.ttl.as_secs()
    )
}

/// What the device says here, now; nothing where it cannot be asked from here.
async fn asked(cluster: &Cluster, host: &HostName, seen: &DeviceSeen) -> Option<DeviceAnswer> {
    let config = FenceConfig::of(&cluster.snapshot, &keys::host(host)).ok()?;
    let levels = config.build(host.clone(), &Local::read(&local::file())).ok()?;
    let of = OneOf { level: seen.level, device: seen.device };
    let device = levels.devices().find(|device| OneOf::of(device.spot()) == Some(of))?;
    Some(match device.switch().read().await {
        Ok(PowerState::On) => DeviceAnswer::On,
        Ok(PowerState::Off) => DeviceAnswer::Off,
        Ok(PowerState::Unknown(_)) => DeviceAnswer::Unknown,
        Err(_) => DeviceAnswer::Silent,
    })
}
