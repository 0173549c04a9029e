//! What each setting is for, in words: what `nova-ha policy explain` and docs/reference.md show.
//!
//! Defaults are not here: they are `Policy::default`'s. A setting without a row fails a test.

/// What a setting decides about; one heading of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Probes.
    Noticing,
    /// Votes and their guards.
    Judging,
    /// The right to act.
    Lease,
    /// Power.
    Fencing,
    /// The guests' disks.
    Storage,
    /// Guests and Nova.
    Guests,
    /// Incidents and their ends.
    Incidents,
}

impl Subject {
    /// All, in the order of a recovery.
    pub const ALL: [Subject; 7] = [
        Subject::Noticing,
        Subject::Judging,
        Subject::Lease,
        Subject::Fencing,
        Subject::Storage,
        Subject::Guests,
        Subject::Incidents,
    ];

    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Subject::Noticing => "Probes",
            Subject::Judging => "Votes and guards",
            Subject::Lease => "The lock of a recovery",
            Subject::Fencing => "Power",
            Subject::Storage => "The guests' disks",
            Subject::Guests => "Guests and Nova",
            Subject::Incidents => "Incidents",
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// As `policy set` takes it.
    pub name: &'static str,
    /// What it decides about.
    pub subject: Subject,
    /// What a value is: a duration, a number, ...
    pub unit: &'static str,
    /// Which values are taken; empty where all of the unit are.
    pub range: &'static str,
    /// What it does.
    pub about: &'static str,
}

const DURATION: &str = "duration";
const NUMBER: &str = "number";
const SWITCH: &str = "true, false";

const fn row(
    name: &'static str,
    subject: Subject,
    unit: &'static str,
    range: &'static str,
    about: &'static str,
) -> Setting {
    Setting { name, subject, unit, range, about }
}

/// All settings, in the order of a recovery.
const SETTINGS: [Setting; 41] = [
    row(
        "probe_interval",
        Subject::Noticing,
        DURATION,
        "at least 1s",
        "Time between two probes of one machine. `threshold` intervals are the time until a dead host is noticed.",
    ),
    row(
        "probe_deadline",
        Subject::Noticing,
        DURATION,
        "below probe_interval, or below 2s",
        "Wall clock for one probe. A longer one would make Consul's checks queue.",
    ),
    row(
        "threshold",
        Subject::Noticing,
        NUMBER,
        "at least 2",
        "Consecutive failed probes of one HA node that make its vote.",
    ),
    row(
        "rules",
        Subject::Judging,
        "list of {\"planes\": [...], \"agent_must_be_critical\": true}",
        "at least one rule, each with a plane",
        "The ways to be dead; any of them suffices. A rule names planes that must all have failed, and whether Consul must \
         have lost the host's agent too.",
    ),
    row(
        "quorum",
        Subject::Judging,
        NUMBER,
        "at least 1",
        "Votes needed. By default a majority of the configured HA nodes. Where two or more may vote, one vote is never \
         enough.",
    ),
    row(
        "single_observer",
        Subject::Judging,
        SWITCH,
        "",
        "Whether one HA node alone may decide. By default yes where one is configured, and no where one is left of two.",
    ),
    row(
        "anchors",
        Subject::Judging,
        "list of ADDRESS:PORT",
        "",
        "What a lone observer must still reach before it may decide. With none named: another host, or the Consul leader.",
    ),
    row(
        "storm_limit",
        Subject::Judging,
        NUMBER,
        "at least 1",
        "Hosts that may be suspect, or have an incident of the last hour, at once; above it nobody is marked. By default \
         the smaller one of the number of HA nodes and 10 % of the hosts, at least 1; and 2 with three HA nodes and four \
         hosts, where all HA nodes vote so and see another host healthy.",
    ),
    row(
        "storm_limit_day",
        Subject::Judging,
        NUMBER,
        "at least 1",
        "Hosts that may be marked by votes within 24 h; then a person decides. By default the larger one of 4 and 10 % of \
         the hosts.",
    ),
    row(
        "domains",
        Subject::Judging,
        "list of {\"name\": ..., \"hosts\": [...], \"limit\": N}",
        "each limit at least 1",
        "Failure domains (a rack, a power feed), each with a storm limit of its own.",
    ),
    row(
        "cooldown",
        Subject::Judging,
        DURATION,
        "",
        "How long nobody is marked after a storm, or an HA node that doubted itself has no vote; and how long an HA node that \
         just started, or had no Consul leader, has a vote only on hosts that it has seen healthy since.",
    ),
    row(
        "session_ttl",
        Subject::Lease,
        DURATION,
        "at least 10s (Consul's limit)",
        "TTL of the Consul session that holds an incident's lock.",
    ),
    row(
        "lock_delay",
        Subject::Lease,
        DURATION,
        "2s to 60s (Consul's limit)",
        "How long nobody may take a lock that was lost. One attempt of an effect takes less.",
    ),
    row(
        "lease_margin",
        Subject::Lease,
        DURATION,
        "below session_ttl",
        "An effect starts only while the last good renewal of the session is younger than `session_ttl` less this.",
    ),
    row(
        "off_reads",
        Subject::Fencing,
        NUMBER,
        "at least 2",
        "Consecutive reads of exactly *off* that prove a host off.",
    ),
    row("off_read_pause", Subject::Fencing, DURATION, "", "Pause between two of these reads."),
    row(
        "fence_deadline",
        Subject::Fencing,
        DURATION,
        "",
        "Wall clock for one fence level to prove *off*, before the next level is tried.",
    ),
    row(
        "proof_max_age",
        Subject::Fencing,
        DURATION,
        "at least 5s",
        "A proof of *off* that is older is read anew before the next step that cannot be undone.",
    ),
    row(
        "allow_unidentified_bmc",
        Subject::Fencing,
        SWITCH,
        "",
        "Allows fencing through a BMC of which nobody knows whose it is. It may be another machine's.",
    ),
    row(
        "kdump_grace",
        Subject::Fencing,
        DURATION,
        "at most 1h",
        "How long, in all, a host that announces a crash dump is left to finish it before its power is cut; 0s: not at all.",
    ),
    row(
        "kdump_listen",
        Subject::Fencing,
        DURATION,
        "1s to kdump_grace, where there is one",
        "How long without an announcement means that no dump is being written, or none any more. With a grace, the fence \
         of every host waits that long.",
    ),
    row(
        "storage_check_deadline",
        Subject::Storage,
        DURATION,
        "above 0s",
        "Wall clock for a look at the disks, or for the `check` of the storage program.",
    ),
    row(
        "storage_take_deadline",
        Subject::Storage,
        DURATION,
        "above 0s",
        "Wall clock for a mount, the replay of the filesystem's log included, or for the `take` of the storage program.",
    ),
    row(
        "md_record_max_age",
        Subject::Storage,
        DURATION,
        "at least 1m",
        "Storage md: how old the record that a host published of its disks may be when its incident opens. \
         A host publishes at least once a day.",
    ),
    row(
        "md_allow_degraded",
        Subject::Storage,
        SWITCH,
        "",
        "Storage md: whether an array that lost members is taken, as long as all of its data is there.",
    ),
    row(
        "md_reserve_disks",
        Subject::Storage,
        SWITCH,
        "",
        "Storage md: whether the disks are reserved for the HA node that takes them (SCSI-3), where they can be.",
    ),
    row(
        "md_filesystems",
        Subject::Storage,
        "list of types, as mount -t has them",
        "at least one",
        "Storage md: types of filesystem that are mounted. The kernel of the HA node reads a dead host's disk, so name only \
         types whose code you trust with it. `ext4` stands for ext3 too.",
    ),
    row(
        "allow_host_without_boot_guard",
        Subject::Storage,
        SWITCH,
        "",
        "Storage md: whether a host is recovered whose boot guard did not let its storage start. When such a host comes \
         back, nothing but the name on its disks keeps it from them.",
    ),
    row(
        "attach_only",
        Subject::Guests,
        SWITCH,
        "",
        "Asks for guests with a local disk so that Nova fails where the target does not see the disk, also on shared \
         storage; otherwise Nova builds the disk anew from the image there.",
    ),
    row(
        "capacity_blocks",
        Subject::Guests,
        SWITCH,
        "",
        "Leaves a host unclaimed while there is no room for all of its guests. By default those with room are recovered.",
    ),
    row(
        "recover_only_opted_in",
        Subject::Guests,
        SWITCH,
        "",
        "Recovers only guests that somebody opted in. By default all are recovered but those that somebody opted out.",
    ),
    row(
        "reset_and_evacuate",
        Subject::Guests,
        "list of paused, rescued, suspended",
        "",
        "States that are reset to ERROR for the evacuation, because Nova refuses them otherwise, and stopped in the end. \
         A suspended guest loses its saved memory by it.",
    ),
    row(
        "evacuation_parallel",
        Subject::Guests,
        NUMBER,
        "1 to 256",
        "Evacuations of one incident that are under way at once.",
    ),
    row(
        "priority_patience",
        Subject::Guests,
        DURATION,
        "",
        "How long less urgent guests wait for a more urgent one that stands still.",
    ),
    row(
        "evacuation_poll",
        Subject::Guests,
        DURATION,
        "at least 100ms",
        "Pause between two looks at Nova's migrations.",
    ),
    row(
        "evacuation_deadline",
        Subject::Guests,
        DURATION,
        "",
        "Wall clock for one guest's evacuation, before the guest is held for a person.",
    ),
    row(
        "post_settle",
        Subject::Guests,
        DURATION,
        "",
        "How long an evacuation without an answer is looked for in Nova before its token is revoked, so that it can be \
         asked for again. Longer than a busy Nova needs to take up a request.",
    ),
    row(
        "nova_token_cache_time",
        Subject::Guests,
        DURATION,
        "at most 24h",
        "For how long Nova may take a revoked token: the longest `token_cache_time` of your `nova.conf` files \
         (keystone_authtoken). After its token was revoked, an evacuation without an answer waits so long before it is asked for \
         again.",
    ),
    row(
        "nova_report_interval",
        Subject::Guests,
        DURATION,
        "1s to 10m",
        "How often nova-compute reports to Nova: the longest `report_interval` of your `nova.conf` files. No guest is \
         evacuated before the dead host's record has stood still for this and 5 s more.",
    ),
    row(
        "attention_after",
        Subject::Incidents,
        DURATION,
        "",
        "How long after its opening an incident that waits for a person, or stands still, turns the sweep's check from \
         *warning* to *critical*.",
    ),
    row("keep_closed_incidents", Subject::Incidents, NUMBER, "", "Ended incidents that are kept in Consul."),
];

/// The rows of all settings.
pub fn settings() -> &'static [Setting] {
    &SETTINGS
}

/// The row of a setting.
pub fn explained(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::policy::Policy;

    #[test]
    fn each_setting_has_one_row_and_each_row_is_a_setting() {
        let Value::Object(all) = serde_json::to_value(Policy::default()).unwrap() else { panic!() };
        let known: BTreeSet<&str> = all.keys().map(String::as_str).filter(|key| *key != "version").collect();
        let rows: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(rows, known, "src/policy/explained.rs and src/policy.rs");
        assert_eq!(rows.len(), SETTINGS.len(), "a setting has two rows");
        for setting in &SETTINGS {
            assert!(Subject::ALL.contains(&setting.subject) && !setting.about.is_empty(), "{}", setting.name);
        }
    }

    /// For each end of a range: a value that is just taken, and one that is just not.
    fn edges() -> Vec<(&'static str, Value, Value)> {
        vec![
            ("probe_interval", json!("1s"), json!("999ms")),
            ("probe_deadline", json!("9s"), json!("10s")),
            ("threshold", json!(2), json!(1)),
            ("rules", json!([{"planes": ["management"]}]), json!([])),
            ("rules", json!([{"planes": ["management"]}]), json!([{"planes": []}])),
            ("quorum", json!(1), json!(0)),
            ("storm_limit", json!(1), json!(0)),
            ("storm_limit_day", json!(1), json!(0)),
            (
                "domains",
                json!([{"name": "a", "hosts": [], "limit": 1}]),
                json!([{"name": "a", "hosts": [], "limit": 0}]),
            ),
            ("session_ttl", json!("10s"), json!("9s")),
            ("lock_delay", json!("2s"), json!("1s")),
            ("lock_delay", json!("60s"), json!("61s")),
            ("lease_margin", json!("14s"), json!("15s")),
            ("off_reads", json!(2), json!(1)),
            ("proof_max_age", json!("5s"), json!("4s")),
            ("kdump_grace", json!("1h"), json!("3601s")),
            ("kdump_listen", json!("1s"), json!("0s")),
            ("kdump_listen", json!("5m"), json!("301s")),
            ("storage_check_deadline", json!("1ms"), json!("0s")),
            ("storage_take_deadline", json!("1ms"), json!("0s")),
            ("md_record_max_age", json!("1m"), json!("59s")),
            ("md_filesystems", json!(["xfs"]), json!([])),
            ("evacuation_parallel", json!(1), json!(0)),
            ("evacuation_parallel", json!(256), json!(257)),
            ("evacuation_poll", json!("100ms"), json!("99ms")),
            ("nova_token_cache_time", json!("24h"), json!("86401s")),
            ("nova_report_interval", json!("1s"), json!("999ms")),
            ("nova_report_interval", json!("10m"), json!("601s")),
        ]
    }

    #[test]
    fn each_range_is_the_one_that_is_kept() {
        let policy = |name: &str, value: &Value| {
            // What bounds the one that is tried.
            let grace = if name == "kdump_listen" { "5m" } else { "0s" };
            let deadline = if name == "probe_interval" { "500ms" } else { "8s" };
            let mut all = json!({ "version": 1, "kdump_grace": grace, "probe_deadline": deadline });
            all[name] = value.clone();
            serde_json::from_value::<Policy>(all).unwrap_or_else(|error| panic!("{name} {value}: {error}"))
        };
        for (name, taken, refused) in edges() {
            assert_eq!(policy(name, &taken).faults(), Vec::<String>::new(), "{name} {taken}");
            let faults = policy(name, &refused).faults();
            assert!(faults.iter().any(|fault| fault.contains(name)), "{name} {refused}: {faults:?}");
        }
        let tried: BTreeSet<&str> = edges().into_iter().map(|(name, ..)| name).collect();
        let with_range: BTreeSet<&str> =
            SETTINGS.iter().filter(|setting| !setting.range.is_empty()).map(|setting| setting.name).collect();
        assert_eq!(tried, with_range, "a range that nobody tried");
    }
}
