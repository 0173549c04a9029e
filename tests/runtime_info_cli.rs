//! `nova-ha-runtime-info` as Consul runs it: against a real Consul, with a DMI of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic too"
)]

mod support {
    pub(crate) mod consul_agent;
}

use std::time::Duration;

use assert_cmd::Command;
use nova_ha::keys;
use nova_ha::store::{Entry, Op, Store, TxnOutcome};
use nova_ha::tree::runtime_config::RuntimeConfig;
use serde_json::json;
use support::consul_agent::Agent;

const BIN: &str = env!("CARGO_BIN_EXE_nova-ha-runtime-info");
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ";
const KEY: &str = "ha_cluster/compute_nodes/compute1/internal/runtime_config";

struct World {
    agent: Agent,
    machine: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let world = Self { agent: Agent::start(json!({})).await, machine: tempfile::tempdir().unwrap() };
        let meta = json!({"version": 1, "generation": "g", "created_at": "2026-01-01T00:00:00Z"});
        world.set(keys::META, &meta.to_string()).await;
        world.set(&keys::host(&"compute1".parse().unwrap()).general(), "").await;
        world.file("sys/class/dmi/id/product_uuid", "4C4C4544-0031-4210-8052-B4C04F4D3232\n");
        world.file("sys/class/dmi/id/product_serial", "1B1R2M2\n");
        world.file("sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
        world.file("ssh/ssh_host_ed25519_key.pub", &format!("{HOST_KEY} root@compute1\n"));
        world.file("ssh/ssh_host_ed25519_key", "PRIVATE");
        world.file("nova.conf", "[DEFAULT]\nhost = compute-one\n");
        world
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
            .args(["--host", host, "--sysfs"])
            .arg(path("sys"))
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
    assert_eq!(config.nova_host.as_deref(), Some("compute-one"));
    assert!(config.hypervisor_hostname.is_some() && config.version == 1);
    assert!(!String::from_utf8(first.value.clone()).unwrap().contains("PRIVATE"));
    assert_eq!(world.run("compute1", &[]), (0, "OK compute1: runtime info unchanged".to_owned()));
    assert_eq!(world.published().await.unwrap().1, first, "not for the time alone");
    world.file("sys/class/dmi/id/product_serial", "OTHER\n");
    assert_eq!(world.run("compute1", &[]).0, 0);
    assert_eq!(world.published().await.unwrap().0.system_serial.as_deref(), Some("OTHER"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_keeps_its_value() {
    let world = World::new().await;
    assert_eq!(world.run("compute1", &[]).0, 0);
    std::fs::remove_dir_all(world.machine.path().join("sys")).unwrap();
    world.file("sys/class/dmi/id/product_serial", "To Be Filled By O.E.M.\n");
    let (exit, line) = world.run("compute1", &[]);
    assert_eq!(exit, 1);
    assert!(line.contains("product_uuid: ") && line.contains("product_serial is a placeholder"), "{line}");
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
    assert_eq!(world.run("compute1", &[]).0, 0);
    let config = world.published().await.unwrap().0;
    assert_eq!(serde_json::to_value(config.md_arrays).unwrap(), arrays);
    assert_eq!((config.version, config.hw_model.as_deref()), (1, Some("Dell Inc.")));
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
