//! What an operator may decide. The defaults are here, in code; `ha_cluster/policy` holds only
//! what differs from them.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

pub use self::explained::{Setting, Subject, explained, settings};
pub use self::filesystems::is_one_type;
use crate::keys;
use crate::names::HostName;
use crate::tree::formats::Kind;
use crate::tree::record::Record;
use crate::tree::{Snapshot, TreeError};

mod explained;
mod filesystems;

mod span {
    //! Durations as people write them: `10s`, `15m`, `500ms`.
    use super::{Duration, SignedDuration};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let signed = SignedDuration::try_from(*value).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{signed:#}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let signed: SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
        Duration::try_from(signed).map_err(|_| serde::de::Error::custom(format!("{text:?} is negative")))
    }
}

/// One way to be dead: all of these planes failed, and what the agent's `serfHealth` must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Planes that must all have failed.
    pub planes: Vec<String>,
    /// Whether `serfHealth` must be critical too (yes unless a site says otherwise, for hosts
    /// whose agent lives but whose guests do not).
    #[serde(default = "yes")]
    pub agent_must_be_critical: bool,
}

fn yes() -> bool {
    true
}

/// Hosts that fail together (a rack, a power feed), with a limit of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// How many of them may be suspect, or have an incident of the last hour, at once.
    pub limit: usize,
}

impl Domain {
    /// Whether a host is in it.
    pub fn has(&self, host: &HostName) -> bool {
        self.hosts.iter().any(|name| host.is_one_with(name))
    }
}

/// How many hosts may be suspect, or have an incident of the last hour, at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StormLimits {
    /// Up to so many a quorum is enough. At least 1.
    pub by_quorum: usize,
    /// Up to so many are believed where every HA node votes so and sees another compute host healthy. Beyond, it
    /// is a storm. Not below `by_quorum`.
    pub by_all: usize,
}

/// Markings by votes within 24 h that need no person, however small the site is.
const LEAST_DAY_LIMIT: usize = 4;

/// HA nodes and hosts from which two hosts at once are believed. With fewer hosts, two of them are most of the site.
const HA_NODES_FOR_TWO: usize = 3;
const HOSTS_FOR_TWO: usize = 4;

/// All settings, complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Format version.
    pub version: u64,
    /// Time between two probes of one machine. `threshold` intervals are the detection time.
    #[serde(with = "span")]
    pub probe_interval: Duration,
    /// Wall clock given to one probe; below `probe_interval`, or checks would queue.
    #[serde(with = "span")]
    pub probe_deadline: Duration,
    /// Consecutive failed probes that make a vote.
    pub threshold: u64,
    /// Votes needed; absent means a majority of the configured HA nodes.
    pub quorum: Option<usize>,
    /// Whether one observer alone may decide; absent means *yes with one configured, no with one left*.
    pub single_observer: Option<bool>,
    /// Ways to be dead; any of them suffices.
    pub rules: Vec<Rule>,
    /// `address:port` of things that a lone observer must still reach; with none named, another
    /// host or the Consul leader.
    pub anchors: Vec<String>,
    /// Suspects and incidents of the last hour allowed at once. Absent means min(HA nodes, 10 % of hosts), at least 1;
    /// and 2 with at least three HA nodes and four hosts, where all HA nodes vote and see another host healthy.
    pub storm_limit: Option<usize>,
    /// Hosts that may be marked by votes within 24 h; absent means max(4, 10 % of hosts). Then a person decides.
    pub storm_limit_day: Option<usize>,
    /// Failure domains with limits of their own.
    pub domains: Vec<Domain>,
    /// How long nobody is marked after a storm, self-doubt or a lost leader, and how long an
    /// observer that just started must have seen a host healthy before its vote counts.
    #[serde(with = "span")]
    pub cooldown: Duration,
    /// Session TTL of a recovery: at least 10 s (Consul's limit).
    #[serde(with = "span")]
    pub session_ttl: Duration,
    /// Lock-delay of a recovery: at most 60 s (Consul's limit). One attempt of an effect stays below it.
    #[serde(with = "span")]
    pub lock_delay: Duration,
    /// An effect starts only while the last good renewal is younger than the TTL less this.
    #[serde(with = "span")]
    pub lease_margin: Duration,
    /// Consecutive reads of exactly *off* that prove a host off.
    pub off_reads: u32,
    /// Pause between two of them.
    #[serde(with = "span")]
    pub off_read_pause: Duration,
    /// Wall clock for one fence level to prove *off*.
    #[serde(with = "span")]
    pub fence_deadline: Duration,
    /// How long, in all, a host that announces a crash dump (fence_kdump) is left to finish it before its
    /// power is cut; 0s: not at all. However often it is announced and whoever recovers it, the fence
    /// is delayed by no more than this (docs/kdump.md).
    #[serde(with = "span")]
    pub kdump_grace: Duration,
    /// How long without an announcement means that no dump is being written, or none any more. Above
    /// the interval of the hosts' `fence_kdump_send` (10 s unless told), with room for a lost one or two.
    /// With a grace, the fence of every host that announces nothing waits that long.
    #[serde(with = "span")]
    pub kdump_listen: Duration,
    /// How long after it opened an incident that waits for a person, or stands still, is a warning of the sweep's check;
    /// from then on it is critical.
    #[serde(with = "span")]
    pub attention_after: Duration,
    /// A proof of *off* older than this is read anew before the next irreversible step.
    #[serde(with = "span")]
    pub proof_max_age: Duration,
    /// Allows fencing through a BMC whose identity nobody knows.
    pub allow_unidentified_bmc: bool,
    /// Guests with a local disk are asked for so that Nova fails where the target does not see the
    /// disk, also on shared storage, instead of building it anew from the image (see ADR 0014).
    pub attach_only: bool,
    /// Wall clock for a look at the disks, or for the storage program's own (docs/storage-exec.md).
    #[serde(with = "span")]
    pub storage_check_deadline: Duration,
    /// Wall clock for a mount, a replay of the filesystem's log included, or for the storage program to take the
    /// storage. It may be above `lock_delay`: an adopter proves this HA node off before it takes the storage
    /// itself.
    #[serde(with = "span")]
    pub storage_take_deadline: Duration,
    /// Storage `md`: how old what a host published of its disks may be when its incident opens. Above
    /// the heartbeat of `nova-ha-runtime-info` (a day), or a healthy host is not recovered.
    #[serde(with = "span")]
    pub md_record_max_age: Duration,
    /// Storage `md`: whether an array is taken that has lost members, as long as it has all its data.
    pub md_allow_degraded: bool,
    /// Storage `md`: whether the disks of what is taken are reserved for the HA node that takes it (SCSI-3), where they can be.
    pub md_reserve_disks: bool,
    /// Storage `md`: types of filesystem that are mounted. What is on a dead host's disks is read by this machine's kernel, so a
    /// type is here only if the kernel's code for it is trusted with foreign disks (see ADR 0040). `ext4` stands for ext3 too.
    pub md_filesystems: Vec<String>,
    /// Storage `md`: whether a host is recovered whose boot guard did not let its storage start. When such a
    /// host comes back, nothing but the name on its disks keeps it from them.
    pub allow_host_without_boot_guard: bool,
    /// Whether a host is left unclaimed while there is no room for all of its guests. Without it those
    /// with room are recovered, by priority. Where placement cannot tell, nothing is blocked.
    pub capacity_blocks: bool,
    /// Evacuations under way at once.
    pub evacuation_parallel: usize,
    /// Wall clock for one guest's evacuation before it is given to a person.
    #[serde(with = "span")]
    pub evacuation_deadline: Duration,
    /// Pause between two looks at Nova's migrations.
    #[serde(with = "span")]
    pub evacuation_poll: Duration,
    /// How long an evacuation without an answer is looked for in Nova before its token is revoked, so that it can be
    /// asked for again. Above the time that a busy Nova takes to work on a request: one that it is at work on would
    /// fail with its token.
    #[serde(with = "span")]
    pub post_settle: Duration,
    /// vm_states that Nova evacuates only from ERROR and that are reset for it (`os-resetState`) and
    /// stopped in the end: of *paused*, *rescued* and *suspended*. The first two by default: their
    /// memory went with the host, so nothing is given up. A suspended guest's is on the host's disk.
    pub reset_and_evacuate: Vec<String>,
    /// Whether only guests are recovered that someone opted in (by metadata, image, flavor or host
    /// aggregate); by default all are but those that someone opted out.
    pub recover_only_opted_in: bool,
    /// How long less urgent guests wait for a more urgent one that stands still.
    #[serde(with = "span")]
    pub priority_patience: Duration,
    /// How often nova-compute reports to Nova on this cloud's hosts: `report_interval` of `nova.conf`, the longest of
    /// them. No guest is evacuated before the dead host's record in Nova has stood still for this and 5 s more.
    #[serde(with = "span")]
    pub nova_report_interval: Duration,
    /// For how long Nova may take a token that was revoked: `token_cache_time` of `nova.conf` (section
    /// `keystone_authtoken`). So long an evacuate without an answer waits after its token was revoked until it is asked
    /// for again. Not below it, or Nova may hear both.
    #[serde(with = "span")]
    pub nova_token_cache_time: Duration,
    /// Closed incidents kept in the tree.
    pub keep_closed_incidents: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: 1,
            probe_interval: Duration::from_secs(10),
            probe_deadline: Duration::from_secs(8),
            threshold: 3,
            quorum: None,
            single_observer: None,
            rules: vec![Rule { planes: vec!["management".into()], agent_must_be_critical: true }],
            anchors: Vec::new(),
            storm_limit: None,
            storm_limit_day: None,
            domains: Vec::new(),
            cooldown: Duration::from_secs(15 * 60),
            session_ttl: Duration::from_secs(15),
            lock_delay: Duration::from_secs(60),
            lease_margin: Duration::from_secs(5),
            off_reads: 3,
            off_read_pause: Duration::from_secs(1),
            fence_deadline: Duration::from_secs(60),
            kdump_grace: Duration::ZERO,
            kdump_listen: Duration::from_secs(30),
            attention_after: Duration::from_secs(10 * 60),
            proof_max_age: Duration::from_secs(30),
            allow_unidentified_bmc: false,
            attach_only: true,
            capacity_blocks: false,
            storage_check_deadline: Duration::from_secs(30),
            storage_take_deadline: Duration::from_secs(5 * 60),
            md_record_max_age: Duration::from_secs(49 * 60 * 60),
            md_allow_degraded: true,
            md_reserve_disks: true,
            md_filesystems: ["xfs", "ext4"].map(str::to_owned).into(),
            allow_host_without_boot_guard: false,
            evacuation_parallel: 16,
            evacuation_deadline: Duration::from_secs(15 * 60),
            evacuation_poll: Duration::from_secs(2),
            post_settle: Duration::from_secs(60),
            reset_and_evacuate: vec!["paused".into(), "rescued".into()],
            recover_only_opted_in: false,
            priority_patience: Duration::from_secs(2 * 60),
            nova_report_interval: Duration::from_secs(10),
            nova_token_cache_time: Duration::from_secs(5 * 60),
            keep_closed_incidents: 100,
        }
    }
}

/// Settings that the build 7763f26 does not know, each with the version of the policy that added it: that build refuses
/// a policy that holds one, and with it every judgement, probe and recovery. So `nova-ha policy set` refuses them while
/// such a build is configured.
pub const ADDED: &[(&str, u64)] = &[
    ("attention_after", 2),
    ("md_filesystems", 2),
    ("nova_report_interval", 2),
    ("nova_token_cache_time", 2),
    ("storm_limit_day", 2),
];

/// The version of the policy that first has this setting.
pub fn since(key: &str) -> u64 {
    ADDED.iter().find(|(added, _)| *added == key).map_or(Kind::Policy.baseline(), |(_, version)| *version)
}

impl Record for Policy {
    const VERSION: u64 = Kind::Policy.newest();
}

impl Policy {
    /// The policy of a snapshot; absent means the defaults.
    pub fn of(snapshot: &Snapshot) -> Result<Self, TreeError> {
        let policy: Policy = snapshot.record(keys::POLICY)?.unwrap_or_default();
        match policy.faults().first() {
            None => Ok(policy),
            Some(why) => Err(TreeError::Malformed { key: keys::POLICY.into(), why: why.clone() }),
        }
    }

    /// What cannot work, each with the number it must stay above or below.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, why: &str| {
            if !holds {
                faults.push(why.to_owned());
            }
        };
        demand(self.threshold >= 2, "threshold: at least 2, one failed probe proves nothing");
        demand(self.probe_interval >= Duration::from_secs(1), "probe_interval: at least 1s");
        demand(
            self.probe_deadline < self.probe_interval.max(Duration::from_secs(2)),
            "probe_deadline: below probe_interval (or below 2s)",
        );
        demand(
            self.session_ttl >= Duration::from_secs(10),
            "session_ttl: at least 10s, Consul takes no less",
        );
        demand(self.lock_delay <= Duration::from_secs(60), "lock_delay: at most 60s, Consul takes no more");
        demand(
            self.lock_delay >= Duration::from_secs(2),
            "lock_delay: at least 2s, an attempt of an effect must fit",
        );
        demand(self.lease_margin < self.session_ttl, "lease_margin: below session_ttl");
        demand(self.off_reads >= 2, "off_reads: at least 2 consecutive reads of off");
        demand(!self.rules.is_empty(), "rules: at least one way to be dead");
        demand(self.rules.iter().all(|r| !r.planes.is_empty()), "rules: each names at least one plane");
        demand(self.quorum != Some(0), "quorum: at least 1");
        demand(self.storm_limit != Some(0), "storm_limit: at least 1; to pause everything use maintenance");
        demand(
            self.storm_limit_day != Some(0),
            "storm_limit_day: at least 1; to pause everything use maintenance",
        );
        demand(self.domains.iter().all(|d| d.limit >= 1), "domains: each limit at least 1");
        demand((1..=256).contains(&self.evacuation_parallel), "evacuation_parallel: 1 to 256");
        demand(self.evacuation_poll >= Duration::from_millis(100), "evacuation_poll: at least 100ms");
        demand(
            !self.storage_check_deadline.is_zero() && !self.storage_take_deadline.is_zero(),
            "storage_check_deadline, storage_take_deadline: above 0s",
        );
        demand(
            self.md_record_max_age >= Duration::from_secs(60),
            "md_record_max_age: at least 1m, above the heartbeat of nova-ha-runtime-info",
        );
        demand(
            !self.md_filesystems.is_empty() && self.md_filesystems.iter().all(|fs_type| is_one_type(fs_type)),
            "md_filesystems: at least one, each as mount -t has it (xfs), no list and no no...",
        );
        demand(
            self.reset_and_evacuate.iter().all(|s| matches!(s.as_str(), "paused" | "rescued" | "suspended")),
            "reset_and_evacuate: of paused, rescued and suspended",
        );
        demand(
            self.kdump_grace <= Duration::from_secs(60 * 60),
            "kdump_grace: at most 1h, its guests are down for so long",
        );
        demand(
            self.kdump_grace.is_zero() || self.kdump_listen <= self.kdump_grace,
            "kdump_listen: at most kdump_grace, the wait ends there",
        );
        demand(self.kdump_listen >= Duration::from_secs(1), "kdump_listen: at least 1s");
        demand(
            (Duration::from_secs(1)..=Duration::from_secs(10 * 60)).contains(&self.nova_report_interval),
            "nova_report_interval: 1s to 10m, as report_interval of nova.conf says",
        );
        demand(
            self.nova_token_cache_time <= Duration::from_secs(24 * 60 * 60),
            "nova_token_cache_time: at most 24h, as token_cache_time of nova.conf says",
        );
        demand(self.proof_max_age >= Duration::from_secs(5), "proof_max_age: at least 5s");
        faults
    }

    /// Votes needed among `electors` HA nodes of `configured`: never shrinks by itself.
    pub fn quorum_of(&self, configured: usize) -> usize {
        self.quorum.unwrap_or(configured / 2 + 1)
    }

    /// The storm guard's limits for the whole site. Without a setting they are below the number of hosts.
    pub fn storm_limits_for(&self, ha_nodes: usize, hosts: usize) -> StormLimits {
        if let Some(limit) = self.storm_limit {
            return StormLimits { by_quorum: limit, by_all: limit };
        }
        let by_quorum = ha_nodes.min(hosts / 10).max(1);
        let two = if ha_nodes >= HA_NODES_FOR_TWO && hosts >= HOSTS_FOR_TWO { 2 } else { 1 };
        StormLimits { by_quorum, by_all: by_quorum.max(two) }
    }

    /// How many hosts may be marked by votes within 24 h.
    pub fn storm_limit_day_for(&self, hosts: usize) -> usize {
        self.storm_limit_day.unwrap_or_else(|| (hosts / 10).max(LEAST_DAY_LIMIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_enough_and_durations_read_as_people_write_them() {
        let policy: Policy =
            serde_json::from_str(r#"{"version":1,"probe_interval":"2s","cooldown":"15m"}"#).unwrap();
        assert_eq!(policy.probe_interval, Duration::from_secs(2));
        assert_eq!(policy, Policy { probe_interval: Duration::from_secs(2), ..Policy::default() });
        let text = serde_json::to_string(&Policy::default()).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), Policy::default());
        assert!(text.contains(r#""cooldown":"15m""#), "{text}");
        assert!(serde_json::from_str::<Policy>(r#"{"version":1,"treshold":3}"#).is_err());
        assert!(Policy::default().faults().is_empty());
    }

    /// What the build 7763f26 has; a policy with any other key is refused by it as a whole.
    const KNOWN_TO_7763F26: &str = "version probe_interval probe_deadline threshold quorum single_observer rules anchors \
        storm_limit domains cooldown session_ttl lock_delay lease_margin off_reads off_read_pause fence_deadline kdump_grace \
        kdump_listen proof_max_age allow_unidentified_bmc attach_only storage_check_deadline storage_take_deadline \
        md_record_max_age md_allow_degraded md_reserve_disks allow_host_without_boot_guard capacity_blocks \
        evacuation_parallel evacuation_deadline evacuation_poll post_settle reset_and_evacuate recover_only_opted_in \
        priority_patience keep_closed_incidents";

    #[test]
    fn each_setting_that_an_older_build_refuses_has_the_version_that_added_it() {
        let serde_json::Value::Object(all) = serde_json::to_value(Policy::default()).unwrap() else {
            panic!()
        };
        let known: Vec<&str> = KNOWN_TO_7763F26.split_whitespace().collect();
        for key in all.keys() {
            assert_eq!(since(key) == Kind::Policy.baseline(), known.contains(&key.as_str()), "{key}");
        }
        let newest = ADDED.iter().map(|(_, version)| *version).fold(Kind::Policy.baseline(), u64::max);
        assert_eq!(newest, Kind::Policy.newest(), "src/tree/formats/kind.rs and ADDED");
    }

    #[test]
    fn a_crash_dump_is_given_no_time_by_default_and_never_more_than_an_hour() {
        let faults = |grace: u64, listen: u64| {
            let (kdump_grace, kdump_listen) = (Duration::from_secs(grace), Duration::from_secs(listen));
            Policy { kdump_grace, kdump_listen, ..Policy::default() }.faults()
        };
        assert!(Policy::default().kdump_grace.is_zero());
        for (grace, listen, good) in [
            (0, 30, true),
            (300, 30, true),
            (3600, 30, true),
            (3601, 30, false),
            (20, 30, false),
            (20, 0, false),
        ] {
            assert_eq!(
                faults(grace, listen).is_empty(),
                good,
                "{grace} {listen}: {:?}",
                faults(grace, listen)
            );
        }
    }

    #[test]
    fn the_quorum_is_a_majority_of_the_configured() {
        let policy = Policy::default();
        assert_eq!([1, 2, 3, 4, 5].map(|n| policy.quorum_of(n)), [1, 2, 2, 3, 3]);
        let limits = |ha_nodes, hosts| {
            let limits = policy.storm_limits_for(ha_nodes, hosts);
            (limits.by_quorum, limits.by_all)
        };
        assert_eq!(
            [limits(3, 3), limits(3, 4), limits(2, 100), limits(3, 1000)],
            [(1, 1), (1, 2), (2, 2), (3, 3)]
        );
        assert_eq!([0, 3, 40, 50, 1000].map(|hosts| policy.storm_limit_day_for(hosts)), [4, 4, 4, 5, 100]);
    }
}
