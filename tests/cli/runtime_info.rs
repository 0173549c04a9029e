//! `nova-ha-runtime-info` as Consul runs it: against a real Consul, with a DMI and disks of its own.

use std::time::Duration;

use crate::support::consul_agent::Agent;
use crate::support::recorded_machine::Machine;
use assert_cmd::Command;
use nova_ha::keys;
use nova_ha::store::{Entry, Op, Store, TxnOutcome};
use nova_ha::tree::runtime_config::RuntimeConfig;
use nova_ha::tree::runtime_config::arrays::MdArray;
use serde_json::json;

const BIN: &str = env!("CARGO_BIN_EXE_nova-ha-runtime-info");
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ";
const KEY: &str = "ha_cluster/compute_nodes/compute1/internal/runtime_config";

/// A compute host with one RAID10 of four disks and XFS on it.
const RAID10: &str = include_str!("../data/disks/raid10-sas.txt");
const ARRAY: &str = "a3a88330:384edff1:0c126ded:b8d8ca93";

struct World {
    agent: Agent,
    machine: tempfile::TempDir,
    disks: Machine,
}

impl World {
    async fn new() -> Self {
        let world = Self {
            agent: Agent::start(json!({})).await,
            machine: tempfile::tempdir().unwrap(),
            disks: Machine::of(
                "/proc/self/mountinfo = 22 1 0:20 / / rw - overlay overlay rw\n/sys/block/loop0/dev = 7:0",
            ),
        };
        let meta = json!({"version": 1, "generation": "g", "created_at": "2026-01-01T00:00:00Z"});
        world.set(keys::META, &meta.to_string()).await;
        world.set(&keys::host(&"compute1".parse().unwrap()).general(), "").await;
        world.dmi("product_uuid", "4C4C4544-0031-4210-8052-B4C04F4D3232");
        world.dmi("product_serial", "1B1R2M2");
        world.dmi("sys_vendor", "Dell Inc.");
        world.dmi("product_name", "PowerEdge R740xd");
        world.file("ssh/ssh_host_ed25519_key.pub", &format!("{HOST_KEY} root@compute1\n"));
        world.file("ssh/ssh_host_ed25519_key", "PRIVATE");
        world.file("nova.conf", "[DEFAULT]\nhost = compute-one\n");
        world
    }

    fn dmi(&self, name: &str, text: &str) {
        self.disks.set(&format!("/sys/class/dmi/id/{name} = {text}"));
    }

    /// The boot guard let this boot's storage start.
    fn boot_guard_ran(&self) {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        self.file("run/boot-guard/storage", &boot);
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.machine.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    async fn set(&self, key: &str, value: &str) {
        let done = self.agent.client().transact(&[Op::Set(key.to_owned(), value.into())]).await.unwrap();
        assert!(matches!(done, TxnOutcome::Committed(_)));
    }

    async fn published(&self) -> Option<(RuntimeConfig, Entry)> {
        let entry = self.agent.client().get(KEY).await.unwrap()?;
        Some((RuntimeConfig::parse(KEY, &entry.value).unwrap(), entry))
    }

    fn run(&self, host: &str, more: &[&str]) -> (i32, String) {
        let path = |name: &str| self.machine.path().join(name);
        let mut command = Command::new(BIN);
        command
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", self.agent.port))
            .env("NOVA_HA_RUN_DIR", path("run"))
            .args(["--host", host, "--sysfs"])
            .arg(&self.disks.roots.sys)
            .arg("--procfs")
            .arg(&self.disks.roots.proc)
            .arg("--udev-data")
            .arg(&self.disks.roots.udev)
            .arg("--dev")
            .arg(&self.disks.roots.dev)
            .arg("--ssh-dir")
            .arg(path("ssh"))
            .arg("--nova-conf")
            .arg(path("nova.conf"))
            .args(more)
            .timeout(Duration::from_secs(30));
        let output = command.output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        (output.status.code().unwrap(), line.trim_end().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_publishes_once_and_writes_again_only_when_something_changed() {
    let world = World::new().await;
    let (exit, line) = world.run("compute1", &["--dry-run"]);
    let planned: RuntimeConfig = serde_json::from_str(&line).unwrap();
    assert_eq!((exit, world.published().await.is_none()), (0, true), "a dry run writes nothing");
    assert_eq!(planned.ssh_host_keys, [HOST_KEY]);
    assert_eq!(world.run("compute1", &[]), (0, "OK compute1: runtime info published".to_owned()));
    let (config, first) = world.published().await.unwrap();
    assert_eq!(config.system_uuid.as_deref(), Some("4c4c4544-0031-4210-8052-b4c04f4d3232"));
    assert_eq!(config.system_serial.as_deref(), Some("1B1R2M2"));
    assert_eq!(config.hw_model.as_deref(), Some("Dell Inc."));
    assert_eq!(config.hw_product.as_deref(), Some("PowerEdge R740xd"));
    assert_eq!(config.nova_host.as_deref(), Some("compute-one"));
    assert!(config.hypervisor_hostname.is_some() && config.version == 1);
    assert!(!String::from_utf8(first.value.clone()).unwrap().contains("PRIVATE"));
    assert_eq!(world.run("compute1", &[]), (0, "OK compute1: runtime info unchanged".to_owned()));
    assert_eq!(world.published().await.unwrap().1, first, "not for the time alone");
    world.dmi("product_serial", "OTHER");
    assert_eq!(world.run("compute1", &[]).0, 0);
    assert_eq!(world.published().await.unwrap().0.system_serial.as_deref(), Some("OTHER"));
    // Where nova-compute runs in a container of its own, what Nova calls it is not known here: no guess is published.
    std::fs::remove_file(world.machine.path().join("nova.conf")).unwrap();
    assert_eq!(world.run("compute1", &[]).0, 0);
    assert_eq!(world.published().await.unwrap().0.nova_host, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_keeps_its_value() {
    let world = World::new().await;
    assert_eq!(world.run("compute1", &[]).0, 0);
    std::fs::remove_dir_all(&world.disks.roots.sys).unwrap();
    world.dmi("product_serial", "To Be Filled By O.E.M.");
    let (exit, line) = world.run("compute1", &[]);
    assert_eq!(exit, 1);
    assert!(line.contains("product_uuid: ") && line.contains("product_serial is a placeholder"), "{line}");
    assert!(line.contains("block devices: "), "{line}");
    let config = world.published().await.unwrap().0;
    assert_eq!(config.system_serial.as_deref(), Some("1B1R2M2"));
    assert!(config.system_uuid.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_originals_document_keeps_its_arrays() {
    let world = World::new().await;
    let arrays = json!({"a:b:c:d": {"level": "raid10", "num_devices": "4"}});
    world
        .set(
            KEY,
            &json!({"md_arrays": arrays, "hw_model": "x", "time": {"timestamp": 1.5, "datetime": "d"}})
                .to_string(),
        )
        .await;
    let (exit, line) = world.run("compute1", &[]);
    assert_eq!(exit, 1, "{line}");
    assert!(line.contains("array a:b:c:d is published and does not run here"), "{line}");
    let config = world.published().await.unwrap().0;
    assert_eq!(serde_json::to_value(config.md_arrays).unwrap(), arrays);
    assert_eq!((config.version, config.hw_model.as_deref()), (1, Some("Dell Inc.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_array_and_filesystem_are_published_and_written_only_when_they_change() {
    let world = World::new().await;
    world.disks.set(RAID10);
    world.boot_guard_ran();
    assert_eq!(world.run("compute1", &[]), (0, "OK compute1: runtime info published".to_owned()));
    let (config, first) = world.published().await.unwrap();
    let array = MdArray::of(ARRAY, &config.md_arrays[ARRAY]).unwrap();
    assert_eq!((array.name.as_str(), array.members.len(), array.places()), ("compute1:md1", 4, Some(4)));
    assert_eq!(config.filesystems[0].mountpoint, "/var/lib/nova/instances");
    assert_eq!(config.instances_path.as_deref(), Some("/var/lib/nova/instances"));
    assert_eq!(config.boot_guard, Some(true));
    // The original reads strings, and members by the name that `scsi_id` prints.
    let original = &config.md_arrays[ARRAY];
    assert_eq!((&original["num_devices"], &original["state"]), (&json!("4"), &json!("clean")));
    assert_eq!(original["devices"]["35000cca04dab0000"]["type"], "scsi");
    for state in ["active", "active-idle", "write-pending", "read-auto", "clean"] {
        world
            .disks
            .set(&format!("/sys/block/md1/md/array_state = {state}\n/sys/block/md1/md/sync_action = resync"));
        assert_eq!(world.run("compute1", &[]), (0, "OK compute1: runtime info unchanged".to_owned()));
    }
    assert_eq!(world.published().await.unwrap().1, first);
    world.disks.set("/sys/block/md1/md/degraded = 1\n/sys/block/md1/md/dev-sdd/state = spare");
    let said = "OK compute1: runtime info published; DEGRADED: compute1:md1";
    assert_eq!(world.run("compute1", &[]), (0, said.to_owned()));
    let config = world.published().await.unwrap().0;
    assert_eq!(MdArray::of(ARRAY, &config.md_arrays[ARRAY]).unwrap().degraded, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_that_is_stopped_or_unreadable_stays_published_until_a_person_says_otherwise() {
    let world = World::new().await;
    world.disks.set(RAID10);
    assert_eq!(world.run("compute1", &[]).0, 0);
    let before = world.published().await.unwrap().0;
    assert_eq!(before.boot_guard, Some(false), "it has an array, and the guard did not run");
    for (change, said) in [
        ("/sys/block/md1/md/array_state = nonsense", "md1: array_state says"),
        ("/sys/block/md1/md/array_state = inactive", "does not work"),
        ("/sys/block/md1/md/array_state = clear", "--forget-array a3a88330"),
    ] {
        world.disks.set(change);
        let (exit, line) = world.run("compute1", &[]);
        assert!(exit == 1 && line.contains(said), "{line}");
        let now = world.published().await.unwrap().0;
        assert_eq!((&now.md_arrays, &now.filesystems), (&before.md_arrays, &before.filesystems), "{change}");
    }
    Command::new(BIN).args(["--host", "compute1", "--forget-array", "a3a88330"]).assert().code(1);
    assert_eq!(world.run("compute1", &["--forget-array", ARRAY]).0, 0);
    let now = world.published().await.unwrap().0;
    assert!(now.md_arrays.is_empty() && now.filesystems.is_empty());
    assert_eq!(world.run("compute1", &[]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_whose_disks_are_all_here_and_no_members_any_more_is_published_no_longer() {
    let world = World::new().await;
    let recorded = "d39ac4e4:a56fab61:d4af28db:9db625d6";
    let is_that_one = RAID10
        .replace("a3a88330-384e-dff1-0c12-6dedb8d8ca93", "d39ac4e4a56fab61d4af28db9db625d6")
        .replace(ARRAY, recorded);
    world.disks.set(&is_that_one);
    assert_eq!(world.run("compute1", &[]).0, 0);
    world.disks.set("/sys/block/md1/md/array_state = clear");
    for disk in ["sda", "sdb", "sdc"] {
        world.disks.device(disk, 24 << 20);
    }
    world.disks.superblock("sdd", "raid10-1.2-slot3");
    assert_eq!(world.run("compute1", &[]).0, 1);
    assert!(world.published().await.unwrap().0.md_arrays.contains_key(recorded));
    world.disks.device("sdd", 24 << 20);
    assert_eq!(world.run("compute1", &[]).0, 0);
    assert!(world.published().await.unwrap().0.md_arrays.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_the_same_time_do_not_get_into_each_others_way() {
    let world = World::new().await;
    for _ in 0..4 {
        world.agent.client().transact(&[Op::Delete(KEY.into())]).await.unwrap();
        let ended: Vec<(i32, String)> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..6).map(|_| scope.spawn(|| world.run("compute1", &[]))).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert!(ended.iter().all(|(exit, _)| *exit == 0), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_may_not_touch_is_refused() {
    let world = World::new().await;
    for (value, wanted) in [(r#"{"version": 2}"#, "version 2"), ("[", "cannot be understood")] {
        world.set(KEY, value).await;
        let (exit, line) = world.run("compute1", &[]);
        assert!(exit == 1 && line.contains(wanted), "{line}");
        assert_eq!(world.agent.client().get(KEY).await.unwrap().unwrap().value, value.as_bytes());
    }
    let (exit, line) = world.run("compute", &[]);
    assert!(exit == 1 && line.contains("nova-ha host add compute"), "{line}");
    assert_eq!(world.run("a/b", &[]).0, 1);
    assert!(world.agent.client().list("ha_cluster/compute_nodes/compute/").await.unwrap().is_empty());
    world.agent.client().transact(&[Op::Delete(keys::META.into())]).await.unwrap();
    let (exit, line) = world.run("compute1", &[]);
    assert!(exit == 1 && line.contains("nova-ha init"), "{line}");
}

#[test]
fn a_usage_error_is_a_warning() {
    Command::new(BIN).arg("--no-such-option").assert().code(1);
    Command::new(BIN).arg("--help").assert().code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_another_one_by_its_firmware_says_so() {
    let world = World::new().await;
    let other = keys::host(&"compute2".parse().unwrap());
    world.set(&other.general(), "").await;
    // In the other byte order.
    let uuid = "44454c4c-3100-1042-8052-b4c04f4d3232";
    let publishes =
        |serial: &str| json!({"version": 1, "system_uuid": uuid, "system_serial": serial}).to_string();
    world.set(&other.runtime_config(), &publishes("2B2B2B2")).await;
    for _ in 0..2 {
        let (exit, line) = world.run("compute1", &[]);
        assert_eq!(exit, 0, "the serial numbers tell them apart: {line}");
        assert!(line.contains("twin of host compute2") && line.contains("one UUID on both"), "{line}");
    }
    world.set(&other.runtime_config(), &publishes("1b1r2m2")).await;
    let (exit, line) = world.run("compute1", &[]);
    assert_eq!(exit, 1, "{line}");
    assert!(line.contains("host compute2 publishes it too") && line.contains("--bmc-identity"), "{line}");
}
