//! Values of keys of the tree.

use super::holds::{bounded, error, json, sentence, which};
use crate::boot_guard::memory::Known;
use crate::disks::DiskId;
use crate::fence::{ConfirmOff, DeviceOff, FenceConfig};
use crate::incident::Status;
use crate::incident::devices::DevicesSeen;
use crate::incident::dump_grace::DumpGrace;
use crate::incident::evidence::Evidence;
use crate::incident::guest::GuestEntry;
use crate::incident::guests_seen::GuestsSeen;
use crate::incident::journal::JournalEntry;
use crate::incident::lead::Word;
use crate::incident::note::WaitingNote;
use crate::incident::opening::Opening;
use crate::incident::record::{Holder, IncidentRecord};
use crate::incident::said::OrderRecord;
use crate::incident::settled::Settled;
use crate::incident::through::Through;
use crate::keys;
use crate::named::Named;
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::operator::rejoin::note_rewritten;
use crate::operator::reset::ResetNote;
use crate::policy::Policy;
use crate::published_disks;
use crate::recovery::hand_back::Ask;
use crate::recovery::plan::Plan;
use crate::recovery::takeovers::Takeover;
use crate::secret::SecretRef;
use crate::store::Entry;
use crate::tree::boot_guard::Override;
use crate::tree::bound::Bound;
use crate::tree::cooldown::Cooldown;
use crate::tree::formats::{Formats, Kind, published as formats_published};
use crate::tree::machine::{self, OtherNames, SshAccess, Targets};
use crate::tree::maintenance::Maintenance;
use crate::tree::meta::Meta;
use crate::tree::observer::{ObserverRecord, PlaneAnswer};
use crate::tree::published::Published;
use crate::tree::record::{self, Record};
use crate::tree::returning::Returning;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::MdArray;
use crate::tree::storage::{Storage, Strategy};
use crate::tree::{Snapshot, TreeError};

type Rewrite = fn(&str, &[u8]) -> Result<Vec<u8>, TreeError>;

fn rewrite<T: Record>(key: &str, value: &[u8]) -> Result<Vec<u8>, TreeError> {
    record::parse::<T>(key, value).map(|record| record::bytes(&record))
}

/// Every kind of record, as `a`, `b`, ... of a seed: after `z` come `{`, `|`, `}` and `~`.
pub(super) const RECORDS: [(&str, Rewrite); 30] = [
    ("incident", rewrite::<IncidentRecord>),
    ("lock", rewrite::<Holder>),
    ("journal", rewrite::<JournalEntry>),
    ("guests", rewrite::<GuestEntry>),
    ("plan", rewrite::<Plan>),
    ("evidence", rewrite::<Evidence>),
    ("preflight", rewrite::<WaitingNote>),
    ("gone", rewrite::<Through>),
    ("kdump", rewrite::<DumpGrace>),
    ("confirm_off", rewrite::<ConfirmOff>),
    ("cooldown", rewrite::<Cooldown>),
    ("observers", rewrite::<ObserverRecord>),
    ("maintenance", rewrite::<Maintenance>),
    ("names", rewrite::<OtherNames>),
    ("bound", rewrite::<Bound>),
    ("guests_seen", rewrite::<GuestsSeen>),
    ("takeover", rewrite::<Takeover>),
    ("ask", rewrite::<Ask>),
    ("reset", rewrite::<ResetNote>),
    ("swap", note_rewritten),
    ("boot_guard", rewrite::<Override>),
    ("known", rewrite::<Known>),
    ("returning", rewrite::<Returning>),
    ("meta", rewrite::<Meta>),
    ("opened", rewrite::<Opening>),
    ("hold", rewrite::<Word>),
    ("order", rewrite::<OrderRecord>),
    ("settled", rewrite::<Settled>),
    ("device_off", rewrite::<DeviceOff>),
    ("devices", rewrite::<DevicesSeen>),
];

/// A record that is read is written and read again as it was; one that is refused is refused in one sentence.
pub(super) fn record(data: &[u8]) {
    let Some((kind, value)) = which(data, RECORDS.len()) else { return };
    let Some((name, rewrite)) = RECORDS.get(kind) else { return };
    written_as_read(*rewrite, name, value);
    if let Ok(observer) = record::parse::<ObserverRecord>("k", value) {
        votes(&observer, value);
    }
}

fn written_as_read(rewrite: Rewrite, name: &str, value: &[u8]) {
    match rewrite(name, value) {
        Ok(stored) => {
            assert!(!stored.is_empty(), "{name}: it cannot be stored");
            bounded(stored.len(), value);
            assert_eq!(rewrite(name, &stored).ok(), Some(stored), "{name} is not what was written");
        }
        Err(why) => error(&why),
    }
}

/// A plane failed only where its observer says so, in this very word.
fn votes(observer: &ObserverRecord, value: &[u8]) {
    let Some(said) = json(value) else { return };
    for (plane, record) in &observer.planes {
        let word = said.get("planes").and_then(|planes| planes.get(plane)?.get("answer")?.as_str());
        let is_failed = record.answer == PlaneAnswer::Failed;
        assert_eq!(is_failed, word == Some("failed"), "{plane}: {word:?}");
    }
}

/// A journal, one entry a line. No event takes the point of no return back, and none follows the end.
pub(super) fn journal(data: &[u8]) {
    let entries: Vec<JournalEntry> =
        data.split(|byte| *byte == b'\n').filter_map(|line| record::parse("k", line).ok()).collect();
    let mut status = Status::default();
    for entry in &entries {
        let next = match status.after(&entry.what) {
            Ok(next) => next,
            Err(why) => {
                error(&why);
                continue;
            }
        };
        assert!(!status.past_no_return || next.past_no_return, "{:?} undoes a shot", entry.what);
        assert!(!status.is_over() || next.is_over(), "{:?} opens what has ended", entry.what);
        status = next;
    }
    let replayed = Status::replay(&entries);
    if let Err(why) = &replayed {
        error(why);
    }
}

/// What a machine published. Whoever reads the whole of it and whoever reads one field read the same.
pub(super) fn runtime_info(data: &[u8]) {
    let published = Published::parse("k", data);
    published.faults().iter().for_each(|why| error(why));
    match RuntimeConfig::parse("k", data) {
        Ok(config) => {
            assert_eq!(published.nova_host().ok(), Some(config.nova_host.clone()));
            assert_eq!(published.system_uuid().ok(), Some(config.system_uuid.clone()));
            assert_eq!(published.system_serial().ok(), Some(config.system_serial.clone()));
            assert_eq!(published.ssh_host_keys().ok(), Some(config.ssh_host_keys.clone()));
            let stored = serde_json::to_vec(&config).unwrap_or_default();
            bounded(stored.len(), data);
            assert_eq!(RuntimeConfig::parse("k", &stored).ok().as_ref(), Some(&config));
            assert!(published.disks().is_ok());
        }
        Err(why) => error(&why),
    }
    let Ok(disks) = published.disks() else { return };
    let _ = published_disks::of_the_guests(&disks);
    assert!(published_disks::instances_path(&disks).to_str().is_some());
    for (uuid, value) in &disks.md_arrays {
        match MdArray::of(uuid, value).and_then(|array| published_disks::places(&array).map(|p| (array, p))) {
            // Two members at one place would let one disk stand for another.
            Ok((array, places)) => assert!(array.members.is_empty() || places.len() <= array.members.len()),
            Err(why) => sentence(&why),
        }
    }
}

/// What is newly set is taken only where it would be used.
pub(super) fn fence_config(data: &[u8]) {
    let read = FenceConfig::parse("k", data);
    let new = FenceConfig::parse_new("k", data);
    match &read {
        Ok(config) => {
            let refused = config.never_told();
            refused.iter().for_each(|why| error(why));
            assert_eq!(new.is_ok(), refused.is_empty());
        }
        Err(why) => {
            error(why);
            assert!(new.is_err());
        }
    }
}

/// A policy without faults has limits that somebody can be dead by, and that stop somewhere.
pub(super) fn policy(data: &[u8]) {
    written_as_read(rewrite::<Policy>, "policy", data);
    let mut tree = Snapshot::default();
    tree.extend([entry(keys::POLICY, data)]);
    match Policy::of(&tree) {
        Ok(policy) => {
            assert!(policy.threshold >= 2 && policy.off_reads >= 2 && !policy.rules.is_empty());
            assert!(policy.rules.iter().all(|rule| !rule.planes.is_empty()), "dead by nothing");
            assert!(policy.probe_deadline > std::time::Duration::ZERO, "no probe has any time");
            for hosts in [0, 1, 3, 100] {
                let limits = policy.storm_limits_for(3, hosts);
                assert!(limits.by_quorum >= 1 && limits.by_all >= limits.by_quorum);
                assert!(policy.quorum_of(hosts) >= 1 && policy.storm_limit_day_for(hosts) >= 1);
            }
        }
        Err(why) => error(&why),
    }
}

/// What HA nodes read, one a line: an HA node whose word cannot be understood holds the others back.
pub(super) fn formats(data: &[u8]) {
    let mut tree = Snapshot::default();
    let mut nodes: Vec<HaNodeName> = Vec::new();
    let mut is_understood = true;
    for (number, line) in data.split(|byte| *byte == b'\n').take(5).enumerate() {
        let Ok(node) = format!("ha{number}").parse() else { continue };
        tree.extend([entry(&keys::ha_node(&node).formats(), line)]);
        match formats_published::Published::parse("k", line) {
            Ok(published) => {
                let stored = serde_json::to_vec(&published).unwrap_or_default();
                assert_eq!(formats_published::Published::parse("k", &stored).ok(), Some(published));
            }
            Err(why) => {
                error(&why);
                is_understood = false;
            }
        }
        nodes.push(node);
    }
    let formats = Formats::of(&tree, &nodes);
    for kind in Kind::ALL {
        let lowest = formats.lowest(kind);
        assert!(is_understood || lowest <= kind.baseline(), "{kind}: {lowest} beside a word not understood");
        if let Err(held) = formats.allows(kind, kind.newest()) {
            sentence(&held.hint());
        }
    }
    formats.behind().iter().for_each(|behind| sentence(&behind.text()));
}

fn entry(key: &str, value: &[u8]) -> Entry {
    Entry { key: key.to_owned(), value: value.to_vec(), modify_index: 1, session: None }
}

/// Keys with plain texts, `KEY=VALUE` a line, of the host `h` and the HA node `n`; and names.
pub(super) fn texts(data: &[u8]) {
    let (Ok(host), Ok(node)) = ("h".parse::<HostName>(), "n".parse::<HaNodeName>()) else { return };
    let mut tree = Snapshot::default();
    for line in data.split(|byte| *byte == b'\n') {
        let mut halves = line.splitn(2, |byte| *byte == b'=');
        let (Some(key), Some(value)) = (halves.next(), halves.next()) else { continue };
        let Ok(key) = std::str::from_utf8(key) else { continue };
        names(key, value);
        let [of_host, of_node] = [keys::host(&host), keys::ha_node(&node)].map(|keys| keys.all() + key);
        tree.extend([entry(&of_host, value), entry(&of_node, value)]);
    }
    for keys in [keys::host(&host), keys::ha_node(&node)] {
        for key in [keys.failed(), keys.in_use()] {
            let _ = tree.flag(&key).map_err(|why| error(&why));
        }
        let _ = tree.number::<u64>(&keys.epoch()).map_err(|why| error(&why));
        let _ = machine::has_agent(&tree, &keys).map_err(|why| error(&why));
        let _ = machine::consul_node(&tree, &keys, "h").map_err(|why| error(&why));
        let _ = Targets::of(&tree, &keys).map_err(|why| error(&why));
        let _ = FenceConfig::of(&tree, &keys).map_err(|why| error(&why));
        match SshAccess::of(&tree, &keys) {
            Ok(access) => assert!(access.port != 0 && access.user.as_deref() != Some("")),
            Err(why) => error(&why),
        }
        match Storage::of(&tree, &keys) {
            Ok(storage) => {
                assert!(!storage.nova_user.starts_with('-'), "a user that is an option");
                let paths = storage.mountpoint.iter().chain(match &storage.strategy {
                    Strategy::Exec { program, .. } => Some(program),
                    Strategy::Shared | Strategy::Md | Strategy::Refused { .. } => None,
                });
                for path in paths {
                    let is_plain =
                        path.is_absolute() && !path.components().any(|part| part.as_os_str() == "..");
                    assert!(is_plain, "{path:?}");
                }
                if let Strategy::Refused { why, .. } = &storage.strategy {
                    sentence(why);
                }
            }
            Err(why) => error(&why),
        }
    }
    let value = |key: &str| tree.get(key).map(|entry| entry.value.as_slice());
    for (asked, key) in Named::of_machine(&keys::host(&host), value).iter() {
        assert!(key.contains("/config/"), "{asked} is asked by {key}");
    }
}

/// A name that is taken has one spelling, and leads to no other key.
fn names(key: &str, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    for found in
        [text.parse::<IncidentId>().map(|id| id.to_string()), text.parse::<HostName>().map(Into::into)]
    {
        match found {
            Ok(name) => assert!(name == *text && !name.contains(['/', ' ', '\n']) && !name.starts_with('-')),
            Err(why) => error(&why),
        }
    }
    if let Some(host) = keys::host_of(key) {
        assert!(
            key.starts_with(&keys::host(&host).all()) || key == keys::host(&host).all().trim_end_matches('/')
        );
    }
    if let Some(id) = keys::incident_of(key) {
        assert!(key.contains(&id.to_string()));
    }
    match SecretRef::parse(&text) {
        Ok(SecretRef::File(path)) => assert!(path.is_absolute()),
        Ok(SecretRef::Env(name)) => assert!(!name.is_empty()),
        Ok(SecretRef::Plain(_)) => {}
        Err(why) => error(&why),
    }
    let _ = DiskId::parse(&text);
}
