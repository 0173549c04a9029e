//! What is published next, and whether it is worth a write. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::collect::Found;
use crate::tree::runtime_config::{PublishedAt, RuntimeConfig, VERSION};

/// The original wrote a new time in every run, and with it woke every watch on the tree once per
/// host and interval. The time alone is written once a day, so that people see that it still runs.
pub const HEARTBEAT: Duration = Duration::from_secs(24 * 60 * 60);

/// The next document. What could not be read keeps its published value: a sysfs that is not there
/// today does not unmake the UUID of yesterday.
pub fn merge(present: &RuntimeConfig, found: &Found, now: Timestamp) -> RuntimeConfig {
    RuntimeConfig {
        version: VERSION,
        hw_model: found.vendor.clone().or_else(|| present.hw_model.clone()),
        md_arrays: present.md_arrays.clone(),
        filesystems: present.filesystems.clone(),
        instances_path: present.instances_path.clone(),
        boot_guard: present.boot_guard,
        time: Some(published_at(now)),
        system_uuid: found.uuid.clone().or_else(|| present.system_uuid.clone()),
        system_serial: found.serial.clone().or_else(|| present.system_serial.clone()),
        ssh_host_keys: match found.host_keys.is_empty() {
            true => present.ssh_host_keys.clone(),
            false => found.host_keys.clone(),
        },
        nova_host: found.nova_host.clone().or_else(|| present.nova_host.clone()),
        hypervisor_hostname: found.hypervisor.clone().or_else(|| present.hypervisor_hostname.clone()),
    }
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_alone_is_written_once_a_day() {
        let found = Found { uuid: Some("u".into()), ..Found::default() };
        let first = merge(&RuntimeConfig::default(), &found, at(1_000_000));
        assert!(is_due(&RuntimeConfig::default(), &first, at(1_000_000)));
        for (later, due) in [(0, false), (10, false), (86_399, false), (86_400, true), (-5, true)] {
            let now = at(1_000_000 + later);
            assert_eq!(is_due(&first, &merge(&first, &found, now), now), due, "{later}");
        }
        let changed = Found { uuid: Some("v".into()), ..Found::default() };
        assert!(is_due(&first, &merge(&first, &changed, at(1_000_001)), at(1_000_001)));
    }

    #[test]
    fn what_cannot_be_read_keeps_its_published_value() {
        let mut present = RuntimeConfig {
            system_uuid: Some("u".into()),
            ssh_host_keys: vec!["k".into()],
            ..RuntimeConfig::default()
        };
        present.md_arrays.insert("a".into(), serde_json::json!({"level": "raid10"}));
        let next = merge(&present, &Found::default(), at(0));
        assert_eq!((next.system_uuid, next.ssh_host_keys), (present.system_uuid, present.ssh_host_keys));
        assert_eq!(next.md_arrays, present.md_arrays);
        assert_eq!(next.version, VERSION);
    }
}
