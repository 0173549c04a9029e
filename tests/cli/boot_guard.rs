//! `nova-ha-boot-guard` as systemd and a person run it: against a real Consul, and without one.

use std::time::Duration;

use crate::support::consul_agent::Agent;
use crate::support::recorded_machine::Machine;
use assert_cmd::Command;
use nova_ha::keys::{self, MachineKeys};
use nova_ha::store::{Op, Store, TxnOutcome};
use nova_ha::tree::boot_guard::Override;
use nova_ha::tree::record::parse;
use serde_json::json;

const BIN: &str = env!("CARGO_BIN_EXE_nova-ha-boot-guard");
/// Nobody listens there.
const NO_CONSUL: &str = "127.0.0.1:9";

fn host() -> MachineKeys {
    keys::host(&"compute1".parse().unwrap())
}

struct World {
    agent: Agent,
    state: tempfile::TempDir,
    disks: Machine,
}

/// A compute host with one RAID10 of four disks and XFS on it, which its superblocks call `compute1:instances`.
const RAID10: &str = include_str!("../data/disks/raid10-sas.txt");
const ARRAY: &str = "d39ac4e4:a56fab61:d4af28db:9db625d6";
/// It before anything of it runs.
const STOPPED: &str = "/sys/block/md1/md/array_state = clear";
const DISKS: [&str; 4] = ["sda", "sdb", "sdc", "sdd"];

impl World {
    async fn new() -> Self {
        let world = Self {
            agent: Agent::start(json!({})).await,
            state: tempfile::tempdir().unwrap(),
            disks: Machine::of(
                &RAID10
                    .replace("a3a88330-384e-dff1-0c12-6dedb8d8ca93", "d39ac4e4a56fab61d4af28db9db625d6")
                    .replace("a3a88330:384edff1:0c126ded:b8d8ca93", "d39ac4e4:a56fab61:d4af28db:9db625d6"),
            ),
        };
        world.disks.set(STOPPED);
        world.meta("g1").await;
        world.set(&host().general(), "").await;
        world.set(&host().failed(), "False").await;
        world.set(&host().runtime_config(), "{}").await;
        world
    }

    /// The host published its array and filesystem, and these superblocks are on its disks.
    async fn with_array(superblocks: [&str; 4]) -> Self {
        let world = Self::new().await;
        let member = |at: usize| json!({"disk": format!("naa.5000cca04dab000{at}"), "kind": "scsi", "slot": at, "in_sync": true});
        let members: Vec<_> = (0..4).map(member).collect();
        let config = json!({
            "version": 1,
            "md_arrays": {ARRAY: {
                "uuid": ARRAY, "name": "compute1:instances", "level": "raid10", "num_devices": "4",
                "metadata": "1.2", "members": members,
            }},
            "filesystems": [{
                "uuid": "b74093a0-8a58-4938-9a65-e42ff579694c", "fs_type": "xfs",
                "mountpoint": "/var/lib/nova/instances", "array": ARRAY,
            }],
            "instances_path": "/var/lib/nova/instances",
        });
        world.set(&host().runtime_config(), &config.to_string()).await;
        for (disk, superblock) in DISKS.iter().zip(superblocks) {
            world.disks.superblock(disk, superblock);
        }
        world
    }

    /// Without `--once`, as systemd starts it: what it says within 10 s, and whether it ended.
    fn gate(&self, more: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(&self.address(), more);
        let output = command.timeout(Duration::from_secs(10)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn storage_was_let_start(&self) -> bool {
        self.state.path().join("run/boot-guard/storage").exists()
    }

    async fn meta(&self, generation: &str) {
        let meta = json!({"version": 1, "generation": generation, "created_at": "2026-01-01T00:00:00Z"});
        self.set(keys::META, &meta.to_string()).await;
    }

    async fn set(&self, key: &str, value: &str) {
        self.transact(Op::Set(key.to_owned(), value.into())).await;
    }

    async fn transact(&self, op: Op) {
        let done = self.agent.client().transact(&[op]).await.unwrap();
        assert!(matches!(done, TxnOutcome::Committed(_)));
    }

    fn command(&self, consul: &str, more: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command
            .env_clear()
            .env("CONSUL_HTTP_ADDR", consul)
            .env("NOVA_HA_RUN_DIR", self.state.path().join("run"))
            .args(["--host", "compute1", "--interval", "100ms", "--state-dir"])
            .arg(self.state.path())
            .arg("--sysfs")
            .arg(&self.disks.roots.sys)
            .arg("--procfs")
            .arg(&self.disks.roots.proc)
            .arg("--udev-data")
            .arg(&self.disks.roots.udev)
            .arg("--dev")
            .arg(&self.disks.roots.dev)
            .args(more)
            .timeout(Duration::from_secs(30));
        command
    }

    fn run_at(&self, consul: &str, more: &[&str]) -> (i32, String) {
        let output = self.command(consul, more).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout) + &text(output.stderr))
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.agent.port)
    }

    fn once(&self) -> (i32, String) {
        self.run_at(&self.address(), &["--once"])
    }

    async fn recorded(&self) -> Option<Override> {
        let entry = self.agent.client().get(&host().boot_guard()).await.unwrap()?;
        Some(parse(&entry.key, &entry.value).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_its_own_only_where_the_tree_says_so_in_full() {
    let world = World::new().await;
    let (code, text) = world.once();
    assert_eq!((code, text.as_str()), (0, "compute1: its storage and guests are its own\n"));

    world.set(&host().failed(), "True").await;
    let (code, text) = world.once();
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("not its own: status/failed is True"), "{text}");
    assert!(text.contains("next: nova-ha host show compute1"), "{text}");

    // What is neither, and what is not there (or may not be read), is no answer.
    world.set(&host().failed(), "Flase").await;
    let (code, text) = world.once();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("cannot tell") && text.contains("Flase"), "{text}");
    world.transact(Op::Delete(host().failed())).await;
    let (code, text) = world.once();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("status/failed is missing"), "{text}");
    world.set(&host().failed(), "False").await;
    world.transact(Op::Delete(host().runtime_config())).await;
    let (code, text) = world.once();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("internal/runtime_config is missing"), "{text}");
    let (code, text) = world.run_at(NO_CONSUL, &["--once"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("cannot reach Consul"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_as_long_as_it_takes_and_says_why() {
    let world = World::new().await;
    world.set(&host().failed(), "True").await;
    let mut command = std::process::Command::new(BIN);
    command
        .env_clear()
        .env("CONSUL_HTTP_ADDR", world.address())
        .env("NOVA_HA_RUN_DIR", world.state.path().join("run"))
        .args(["--host", "compute1", "--interval", "100ms", "--state-dir"])
        .arg(world.state.path())
        .stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!ended.is_finished(), "it must not end while the host has failed");
    world.set(&host().failed(), "False").await;
    let output = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    // Each state once, however often it was asked.
    assert_eq!(text.matches("not its own").count(), 1, "{text}");
    assert!(text.ends_with("its storage and guests are its own\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_was_made_anew_is_not_believed_until_a_person_says_so() {
    let world = World::new().await;
    assert_eq!(world.once().0, 0);
    world.meta("g2").await;
    let (code, text) = world.once();
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("made anew") && text.contains("--override compute1"), "{text}");
    let (code, text) = world.run_at(&world.address(), &["--override", "compute1", "--by", "maria"]);
    assert_eq!(code, 0, "{text}");
    // From now on this is the tree that it knows; the word itself was for one boot.
    std::fs::remove_file(world.state.path().join("boot-guard/override.json")).unwrap();
    assert_eq!(world.once(), (0, "compute1: its storage and guests are its own\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_word_counts_offline_for_one_boot_and_is_recorded_when_consul_answers() {
    let world = World::new().await;
    world.set(&host().failed(), "True").await;
    for (more, why) in [
        (vec!["--override", "compute2", "--by", "maria"], "this host is compute1, not compute2"),
        (vec!["--override", "compute1"], "--by"),
        (vec!["--override", "compute1", "--by", " "], "say who you are"),
    ] {
        let (code, text) = world.run_at(NO_CONSUL, &more);
        assert!(code != 0 && text.contains(why), "{code} {text}");
    }
    assert_eq!(world.once().0, 3, "nothing was changed by what was refused");

    let word = ["--override", "compute1", "--by", "maria", "--reason", "site is dark"];
    let (code, text) = world.run_at(NO_CONSUL, &word);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("overridden by maria for this boot (not in the tree yet)"), "{text}");
    assert_eq!(world.recorded().await, None);
    // The unit that waits finds it, and Consul answers by now.
    let (code, text) = world.once();
    assert_eq!((code, text.as_str()), (0, "compute1: overridden by maria for this boot\n"));
    let recorded = world.recorded().await.unwrap();
    assert_eq!((recorded.by.as_str(), recorded.reason.as_deref()), ("maria", Some("site is dark")));
    assert!(recorded.recorded);

    // Another boot: the word counts no more.
    let file = world.state.path().join("boot-guard/override.json");
    let other = std::fs::read_to_string(&file).unwrap().replace(&recorded.boot_id, "another boot");
    std::fs::write(&file, &other).unwrap();
    assert_eq!(world.once().0, 3);
    // One that never got into the tree does so as soon as this host is its own again.
    std::fs::write(&file, other.replace("\"recorded\":true", "\"recorded\":false")).unwrap();
    world.transact(Op::Delete(host().boot_guard())).await;
    world.set(&host().failed(), "False").await;
    assert_eq!(world.once().0, 0);
    assert_eq!(world.recorded().await.unwrap().boot_id, "another boot");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_remembers_and_cannot_read_is_no_first_time() {
    let world = World::new().await;
    assert_eq!(world.once().0, 0);
    let known = world.state.path().join("boot-guard/known.json");
    std::fs::write(&known, "{\"version\":1,").unwrap();
    let (code, text) = world.once();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("known.json") && text.contains("cannot tell"), "{text}");
}

const OWN: [&str; 4] = ["raid10-1.2-slot0", "raid10-1.2-slot3", "raid10-1.2-slot0", "raid10-1.2-slot3"];

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_has_forgotten_a_takeover_is_contradicted_by_the_disks() {
    let world = World::with_array(OWN).await;
    assert_eq!(world.once(), (0, "compute1: its storage and guests are its own\n".to_owned()));
    // Consul is restored from before the incident: it says *mine* to a host whose array an HA node has.
    world.disks.superblock("sdb", "raid10-1.2-slot0-taken");
    let (code, text) = world.once();
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the disks say that HA node ha1 has array compute1:instances"), "{text}");
    assert!(text.contains("next: on ha1: nova-ha-recover compute1 --release-storage"), "{text}");
    assert!(text.contains("--override compute1"), "{text}");
    let (code, text) = world.gate(&[]);
    assert!(code.is_none() && !world.storage_was_let_start(), "it waits: {text}");
    // A person who knows better is believed, for this boot.
    assert_eq!(world.run_at(&world.address(), &["--override", "compute1", "--by", "maria"]).0, 0);
    assert!(!world.storage_was_let_start(), "who types starts nothing");
    let (code, text) = world.gate(&[]);
    assert!(code == Some(0) && text.contains("overridden by maria"), "{text}");
    assert!(world.storage_was_let_start());
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_that_cannot_be_read_are_no_answer_until_one_can() {
    let world = World::with_array(OWN).await;
    for disk in DISKS {
        std::fs::remove_file(world.disks.roots.dev.join(disk)).unwrap();
    }
    let (code, text) = world.once();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("array compute1:instances: sda: No such file"), "{text}");
    assert!(text.contains("next: lsblk"), "{text}");
    world.disks.superblock("sdc", OWN[2]);
    assert_eq!(world.once().0, 0, "who asks once does not wait for the others");
    let (code, text) = world.gate(&["--wait-for-disks", "1s"]);
    assert!(code == Some(0) && text.contains("waiting for 3 of its 4 disks"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn word_is_left_that_the_storage_waited_and_not_where_it_did_not() {
    let world = World::with_array(OWN).await;
    assert_eq!(world.once().0, 0);
    assert!(!world.storage_was_let_start(), "who asks once starts nothing");
    // Something assembled the array before anybody asked.
    world.disks.set("/sys/block/md1/md/array_state = clean");
    let (code, text) = world.gate(&[]);
    assert!(code == Some(0) && text.contains("but md1 ran before this was asked"), "{text}");
    assert!(text.contains("docs/boot-guard.md") && !world.storage_was_let_start(), "{text}");
    world.disks.set(STOPPED);
    assert_eq!(world.gate(&[]).0, Some(0));
    assert!(world.storage_was_let_start());
    // It runs by now, and the unit is started once more.
    world.disks.set("/sys/block/md1/md/array_state = clean");
    let (code, text) = world.gate(&[]);
    assert_eq!((code, text.as_str()), (Some(0), "compute1: its storage and guests are its own\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nova_compute_waits_for_its_guests_filesystem() {
    let world = World::with_array(OWN).await;
    let compute =
        |more: &[&str]| world.run_at(&world.address(), &[&["--for", "compute", "--once"], more].concat());
    let (code, text) = compute(&[]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("b74093a0-8a58-4938-9a65-e42ff579694c is not mounted at /var/lib/nova/instances"),
        "{text}"
    );
    assert!(text.contains("next: systemctl status nova-ha-guest-storage"), "{text}");
    world.disks.set("/sys/block/md1/md/array_state = clean");
    assert_eq!(compute(&[]), (0, "compute1: its storage and guests are its own\n".to_owned()));
    // Another filesystem is mounted there.
    world.disks.set("/proc/self/mountinfo = 36 22 8:1 / /var/lib/nova/instances rw - ext4 /dev/sdz1 rw");
    assert_eq!(compute(&[]).0, 3);
    assert!(!world.storage_was_let_start());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_says_whose_the_guests_are_and_not_that_their_filesystem_is_there() {
    let world = World::with_array(OWN).await;
    world.set(&host().failed(), "True").await;
    let word = ["--override", "compute1", "--by", "maria"];
    assert_eq!(world.run_at(&world.address(), &word).0, 0);
    let compute = |consul: &str| world.run_at(consul, &["--for", "compute", "--once"]);
    let (code, text) = compute(&world.address());
    assert!(code == 3 && text.contains("is not mounted at /var/lib/nova/instances"), "{code} {text}");
    // It is remembered which one it is.
    let (code, text) = compute(NO_CONSUL);
    assert!(code == 3 && text.contains("is not mounted at /var/lib/nova/instances"), "{code} {text}");
    world.disks.set("/sys/block/md1/md/array_state = clean");
    for consul in [&world.address(), NO_CONSUL] {
        let (code, text) = compute(consul);
        assert!(code == 0 && text.contains("overridden by maria"), "{code} {text}");
    }
    // What cannot be read is not *none*.
    std::fs::write(world.state.path().join("boot-guard/needs.json"), "").unwrap();
    let (code, text) = compute(NO_CONSUL);
    assert!(code == 1 && text.contains("needs.json: it is empty"), "{code} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_without_consul_is_recorded_by_who_waits_for_it() {
    let world = World::new().await;
    let record = |consul: &str| world.run_at(consul, &["--record"]);
    assert_eq!(record(NO_CONSUL), (0, String::new()), "nothing was said");
    let word = ["--override", "compute1", "--by", "maria"];
    assert_eq!(world.run_at(NO_CONSUL, &word).0, 0);
    let mut waiting = world.command(NO_CONSUL, &["--record"]);
    let output = waiting.timeout(Duration::from_secs(2)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code().is_none(), "it waits for Consul: {text}");
    assert_eq!(text, "compute1: the override by maria is not in the tree yet\n");
    assert_eq!(world.recorded().await, None);
    let (code, text) = record(&world.address());
    assert!(code == 0 && text.contains("the override by maria is in the tree"), "{code} {text}");
    assert_eq!(world.recorded().await.unwrap().by, "maria");
}
