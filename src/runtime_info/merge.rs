//! What is published next, and whether it is worth a write. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::collect::{Found, NovaHostFound};
use crate::published_disks::{namesakes, of_the_guests};
use crate::tree::runtime_config::arrays::{Filesystem, MdArray};
use crate::tree::runtime_config::{PublishedAt, RuntimeConfig, VERSION};

/// The original wrote a new time in every run, and with it woke every watch on the tree once per
/// host and interval. The time alone is written once a day, so that people see that it still runs.
pub const HEARTBEAT: Duration = Duration::from_secs(24 * 60 * 60);

/// The next document. What could not be read keeps its published value: a sysfs that is not there
/// today does not unmake the UUID of yesterday. `forgotten` are arrays that are no more by a person's word.
pub fn merge(present: &RuntimeConfig, found: &Found, forgotten: &[String], now: Timestamp) -> RuntimeConfig {
    let md_arrays = arrays_of(present, found, forgotten);
    let mut next = RuntimeConfig {
        version: VERSION,
        hw_model: found.vendor.clone().or_else(|| present.hw_model.clone()),
        hw_product: found.product.clone().or_else(|| present.hw_product.clone()),
        filesystems: filesystems(present, found, &md_arrays),
        md_arrays,
        instances_path: found.instances_path.clone().or_else(|| present.instances_path.clone()),
        boot_guard: found.boot_guard.or(present.boot_guard),
        time: Some(published_at(now)),
        system_uuid: found.uuid.clone().or_else(|| present.system_uuid.clone()),
        system_serial: found.serial.clone().or_else(|| present.system_serial.clone()),
        ssh_host_keys: match found.host_keys.is_empty() {
            true => present.ssh_host_keys.clone(),
            false => found.host_keys.clone(),
        },
        nova_host: match &found.nova_host {
            NovaHostFound::Is(name) => Some(name.clone()),
            NovaHostFound::NoNova => None,
            NovaHostFound::Unread => present.nova_host.clone(),
        },
        hypervisor_hostname: found.hypervisor.clone().or_else(|| present.hypervisor_hostname.clone()),
        guests_mounted_in: None,
    };
    next.guests_mounted_in = guests_mounted_in(&next, found);
    next
}

/// This boot, if all that holds the guests is mounted in it. What cannot be read is not mounted.
fn guests_mounted_in(next: &RuntimeConfig, found: &Found) -> Option<String> {
    let wanted = of_the_guests(next);
    let is_mounted = !wanted.is_empty() && wanted.iter().all(|fs| found.disks.filesystems.contains(fs));
    found.boot.clone().filter(|_| is_mounted)
}

fn arrays_of(
    present: &RuntimeConfig,
    found: &Found,
    forgotten: &[String],
) -> BTreeMap<String, serde_json::Value> {
    let disks = &found.disks;
    let mut next = present.md_arrays.clone();
    next.retain(|uuid, _| !disks.gone.contains(uuid) && !forgotten.contains(uuid));
    let as_value = |array: &MdArray| serde_json::to_value(array).ok();
    for (uuid, array) in &disks.arrays {
        next.extend(as_value(array).map(|value| (uuid.clone(), value)));
    }
    // By a name that two disks share nobody goes, so what leaves it out is better.
    let is_better = |uuid: &String| match present.md_arrays.get(uuid).map(|value| MdArray::of(uuid, value)) {
        None => true,
        Some(published) => published.is_ok_and(|array| namesakes(&array).is_some()),
    };
    for (uuid, array) in disks.partial.iter().filter(|(uuid, _)| is_better(uuid)) {
        next.extend(as_value(array).map(|value| (uuid.clone(), value)));
    }
    next
}

/// What is mounted, and of what was published all that may only be unmounted at this moment.
fn filesystems(
    present: &RuntimeConfig,
    found: &Found,
    md_arrays: &BTreeMap<String, serde_json::Value>,
) -> Vec<Filesystem> {
    let disks = &found.disks;
    let is_replaced = |known: &Filesystem| {
        disks.filesystems.iter().any(|fs| fs.uuid == known.uuid || fs.mountpoint == known.mountpoint)
    };
    let mut next: Vec<Filesystem> = present
        .filesystems
        .iter()
        .filter(|fs| {
            md_arrays.contains_key(&fs.array) && !disks.unmade.contains(&fs.uuid) && !is_replaced(fs)
        })
        .chain(disks.filesystems.iter().filter(|fs| md_arrays.contains_key(&fs.array)))
        .cloned()
        .collect();
    next.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    next
}

/// Whether to write: something but the time changed, or the published time is a day old (or from
/// the future, after a clock was set back).
pub fn is_due(present: &RuntimeConfig, next: &RuntimeConfig, now: Timestamp) -> bool {
    let timeless = |config: &RuntimeConfig| RuntimeConfig { time: None, ..config.clone() };
    if timeless(present) != timeless(next) {
        return true;
    }
    let Some(then) = &present.time else { return true };
    let age = now.as_millisecond() as f64 / 1000.0 - then.timestamp;
    !(0.0..HEARTBEAT.as_secs_f64()).contains(&age)
}

fn published_at(now: Timestamp) -> PublishedAt {
    PublishedAt {
        timestamp: now.as_millisecond() as f64 / 1000.0,
        // The original's form, in UTC.
        datetime: now.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime_info::arrays;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_alone_is_written_once_a_day() {
        let found = Found { uuid: Some("u".into()), ..Found::default() };
        let first = merge(&RuntimeConfig::default(), &found, &[], at(1_000_000));
        assert!(is_due(&RuntimeConfig::default(), &first, at(1_000_000)));
        for (later, due) in [(0, false), (10, false), (86_399, false), (86_400, true), (-5, true)] {
            let now = at(1_000_000 + later);
            assert_eq!(is_due(&first, &merge(&first, &found, &[], now), now), due, "{later}");
        }
        let changed = Found { uuid: Some("v".into()), ..Found::default() };
        assert!(is_due(&first, &merge(&first, &changed, &[], at(1_000_001)), at(1_000_001)));
    }

    #[test]
    fn what_cannot_be_read_keeps_its_published_value() {
        let mut present = RuntimeConfig {
            system_uuid: Some("u".into()),
            ssh_host_keys: vec!["k".into()],
            ..RuntimeConfig::default()
        };
        present.md_arrays.insert("a".into(), serde_json::json!({"level": "raid10"}));
        let next = merge(&present, &Found::default(), &[], at(0));
        assert_eq!((next.system_uuid, next.ssh_host_keys), (present.system_uuid, present.ssh_host_keys));
        assert_eq!(next.md_arrays, present.md_arrays);
        assert_eq!(next.version, VERSION);
    }

    fn array(uuid: &str, degraded: u32) -> MdArray {
        MdArray { uuid: uuid.into(), degraded, ..MdArray::default() }
    }

    fn filesystem(uuid: &str, mountpoint: &str, array: &str) -> Filesystem {
        Filesystem {
            uuid: uuid.into(),
            fs_type: "xfs".into(),
            mountpoint: mountpoint.into(),
            array: array.into(),
        }
    }

    /// Published: an array `a` with a filesystem `f`.
    fn with_disks() -> RuntimeConfig {
        let disks = arrays::Found {
            arrays: [("a".to_owned(), array("a", 0))].into(),
            filesystems: vec![filesystem("f", "/var/lib/nova/instances", "a")],
            ..arrays::Found::default()
        };
        merge(&RuntimeConfig::default(), &Found { disks, ..Found::default() }, &[], at(0))
    }

    fn next(disks: arrays::Found, forgotten: &[String]) -> RuntimeConfig {
        merge(&with_disks(), &Found { disks, ..Found::default() }, forgotten, at(1))
    }

    #[test]
    fn an_array_stays_until_it_is_clear_that_it_is_no_more() {
        let present = with_disks();
        let bad_look = next(arrays::Found::default(), &[]);
        assert_eq!((&bad_look.md_arrays, &bad_look.filesystems), (&present.md_arrays, &present.filesystems));
        assert!(!is_due(&present, &bad_look, at(1)));
        let in_part = arrays::Found {
            partial: [("a".to_owned(), array("a", 1)), ("b".to_owned(), array("b", 1))].into(),
            ..arrays::Found::default()
        };
        let next_one = next(in_part, &[]);
        assert_eq!(next_one.md_arrays["a"], present.md_arrays["a"]);
        assert!(next_one.md_arrays.contains_key("b"), "better than nothing");
        // What was published with one name for two disks gives way.
        let mut shared = with_disks();
        let member = |slot: u32| serde_json::json!({ "disk": "naa.5000cca04dab0000", "kind": "scsi", "slot": slot, "in_sync": true });
        shared.md_arrays.get_mut("a").unwrap()["members"] = serde_json::json!([member(0), member(1)]);
        let in_part =
            arrays::Found { partial: [("a".to_owned(), array("a", 1))].into(), ..arrays::Found::default() };
        let better = merge(&shared, &Found { disks: in_part, ..Found::default() }, &[], at(1));
        assert_ne!(better.md_arrays["a"], shared.md_arrays["a"]);
        let gone = arrays::Found { gone: ["a".to_owned()].into(), ..arrays::Found::default() };
        let forgotten = next(arrays::Found::default(), &["a".to_owned()]);
        for none in [next(gone, &[]), forgotten] {
            assert!(none.md_arrays.is_empty() && none.filesystems.is_empty());
        }
        let runs =
            arrays::Found { arrays: [("a".to_owned(), array("a", 1))].into(), ..arrays::Found::default() };
        let degraded = next(runs, &["a".to_owned()]);
        assert!(degraded.md_arrays.contains_key("a"), "what runs here is not forgotten");
        assert!(is_due(&present, &degraded, at(1)), "a lost member matters");
    }

    #[test]
    fn a_filesystem_stays_until_another_has_its_place() {
        let mounted = |uuid: &str, at: &str| arrays::Found {
            filesystems: vec![filesystem(uuid, at, "a")],
            ..arrays::Found::default()
        };
        let unmade = arrays::Found { unmade: ["f".to_owned()].into(), ..arrays::Found::default() };
        let uuids = |next: RuntimeConfig| {
            next.filesystems
                .into_iter()
                .map(|fs| format!("{} {}", fs.uuid, fs.mountpoint))
                .collect::<Vec<_>>()
        };
        let here = "/var/lib/nova/instances";
        assert_eq!(uuids(next(mounted("g", "/srv"), &[])), ["g /srv", &format!("f {here}")]);
        assert_eq!(uuids(next(mounted("f", "/srv"), &[])), ["f /srv"]);
        assert_eq!(uuids(next(mounted("g", here), &[])), [format!("g {here}")]);
        assert!(uuids(next(unmade, &[])).is_empty());
    }

    #[test]
    fn that_the_guests_are_mounted_is_said_of_this_boot_and_of_no_other() {
        let disks = |mounted: &[(&str, &str)]| arrays::Found {
            arrays: [("a".to_owned(), array("a", 0))].into(),
            filesystems: mounted.iter().map(|(uuid, at)| filesystem(uuid, at, "a")).collect(),
            ..arrays::Found::default()
        };
        let (root, guests) = (("r", "/"), ("f", "/var/lib/nova/instances"));
        let at_boot = |present: &RuntimeConfig, mounted: &[(&str, &str)], boot: Option<&str>| {
            let found = Found { disks: disks(mounted), boot: boot.map(str::to_owned), ..Found::default() };
            merge(present, &found, &[], at(0))
        };
        let before = at_boot(&RuntimeConfig::default(), &[root, guests], Some("b1"));
        assert_eq!(before.guests_mounted_in.as_deref(), Some("b1"));
        for (mounted, boot, expected) in [
            (&[root][..], Some("b2"), None),
            (&[], Some("b2"), None),
            (&[root, guests], None, None),
            (&[root, guests], Some("b2"), Some("b2")),
        ] {
            let now = at_boot(&before, mounted, boot);
            assert_eq!(now.guests_mounted_in.as_deref(), expected, "{mounted:?} {boot:?}");
            assert!(is_due(&before, &now, at(0)), "a host that booted says so");
        }
        let again = at_boot(&before, &[root, guests], Some("b1"));
        assert!(!is_due(&before, &again, at(0)));
        assert_eq!(
            at_boot(&RuntimeConfig::default(), &[], Some("b1")).guests_mounted_in,
            None,
            "it has none"
        );
    }

    #[test]
    fn whether_the_boot_guard_ran_stays_published_where_nobody_can_tell() {
        let after = |before, found| {
            let present = RuntimeConfig { boot_guard: before, ..RuntimeConfig::default() };
            merge(&present, &Found { boot_guard: found, ..Found::default() }, &[], at(0)).boot_guard
        };
        assert_eq!(after(Some(true), None), Some(true));
        assert_eq!(after(Some(true), Some(false)), Some(false));
        assert_eq!(after(None, Some(true)), Some(true));
    }
}
