//! `nova-ha rejoin --swap-roles` on a real Consul and the simulated cloud, through the executable.

#[allow(dead_code, reason = "each test file uses its part")]
use std::process::Stdio;
use std::time::Duration;

use crate::cloud::host;
use crate::recovered_host::{HOST, World, ours};
use crate::site::Said;
use nova_ha::incident::{IncidentRecord, Phase};
use nova_ha::keys::{self, MachineKeys};
use nova_ha::nova::{Cloud, ServiceStatus};
use nova_ha::store::{Op, Store};
use nova_ha::tree::record::{bytes, parse};
use serde_json::json;

const SWAP: [&str; 7] = ["rejoin", HOST, "--swap-roles", "--by", "ann", "--yes", HOST];
const HA1: &str = "ha1";
const PASSWORD: &str = "Swordfish7";

fn old() -> (MachineKeys, MachineKeys) {
    (keys::host(&HOST.parse().unwrap()), keys::ha_node(&HA1.parse().unwrap()))
}

fn new() -> (MachineKeys, MachineKeys) {
    (keys::host(&HA1.parse().unwrap()), keys::ha_node(&HOST.parse().unwrap()))
}

/// ha1 took the host's storage, and has it; the host is back.
async fn taken_over() -> World {
    let world = World::recovered(&ours()).await;
    let key = keys::incident(&format!("{HOST}@0").parse().unwrap()).incident();
    let entry = world.site.agent.client().get(&key).await.unwrap().unwrap();
    let mut record: IncidentRecord = parse(&entry.key, &entry.value).unwrap();
    record.status.phase = Phase::Closed;
    world.site.write(&[Op::Set(key, bytes(&record))]).await;
    let (host, ha1) = old();
    // There is one agent here; it says of both that they live.
    world.site.put(&ha1.names(), r#"{"version":1,"consul_node":"node1","nova_host":"ha1"}"#).await;
    world.site.put(&ha1.storage(), "exec").await;
    world.site.put(&ha1.storage_exec(), "/usr/local/sbin/take").await;
    world.site.put(&ha1.nova_mountpoint(), "/var/lib/nova/instances").await;
    world.site.put(&ha1.targets(), r#"{"mode":"this_ha_node"}"#).await;
    world.site.put(&ha1.bmc_field("password"), PASSWORD).await;
    world.site.put(&ha1.bmc_field("ip"), "10.0.2.9").await;
    world.site.put(&host.bmc_field("password"), PASSWORD).await;
    world.site.put(&host.bmc_field("ip"), "10.0.2.1").await;
    // As its runtime-info says once it is back.
    let published = r#"{"version":1,"system_uuid":"u1","boot_guard":false,"md_arrays":{"a":{}}}"#;
    world.site.put(&host.runtime_config(), published).await;
    world
}

impl World {
    async fn swap(&self, more: &[&str]) -> Said {
        let said = self.run(&[&SWAP[..], more].concat()).await;
        assert!(!said.out.contains(PASSWORD) && !said.err.contains(PASSWORD), "{}{}", said.out, said.err);
        said
    }

    async fn value(&self, key: &str) -> Option<String> {
        self.site.value(key).await
    }

    async fn is_swapped(&self) -> bool {
        self.value(&new().0.general()).await.is_some()
    }

    /// Both are what the other was, and nothing of the old is left.
    async fn is_swapped_in_full(&self) {
        let (new_host, new_node) = new();
        for (key, value) in [
            (new_host.failed(), "False"),
            (new_host.recovered(), "False"),
            (new_host.bmc_field("ip"), "10.0.2.9"),
            (new_host.bmc_field("password"), PASSWORD),
            (new_node.in_use(), "False"),
            (new_node.bmc_field("ip"), "10.0.2.1"),
            (new_node.bmc_field("password"), PASSWORD),
            (new_node.storage(), "exec"),
            (new_node.storage_exec(), "/usr/local/sbin/take"),
            (new_node.targets(), r#"{"mode":"this_ha_node"}"#),
            (new_node.epoch(), "1"),
            (new_host.epoch(), "1"),
        ] {
            assert_eq!(self.value(&key).await.as_deref(), Some(value), "{key}");
        }
        let (host, ha1) = old();
        for (key, ..) in self.site.tree().await {
            assert!(!key.starts_with(&host.all()) && !key.starts_with(&ha1.all()), "{key} is left");
        }
        assert_eq!(self.value(&new_host.storage()).await, None);
        let client = self.cloud.client();
        let spare = client.service(&crate::cloud::host(HOST)).await.unwrap().unwrap();
        assert!(!spare.forced_down && spare.status == ServiceStatus::Disabled, "{spare:?}");
        assert_eq!(spare.disabled_reason.as_deref(), Some("nova-ha: spare node1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_stays_and_the_machines_swap_their_roles_last() {
    let world = taken_over().await;
    let said = world.swap(&["--wait", "2s", "--json"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let json = said.json();
    assert!(json["waits_for"].as_str().unwrap().contains("does not report"), "{json}");
    assert_eq!(json["ha_node"], HA1, "{json}");
    let said = world.swap(&["--wait", "0s"]).await;
    assert!(said.out.contains("node1 must be installed anew before it is an HA node"), "{}", said.out);
    assert!(!world.is_swapped().await);
    // Its boot guard lets nova-compute start, so that Nova settles its evacuations, and no storage.
    assert_eq!((world.guard("compute").await, world.guard("storage").await), (0, 3));

    world.start("b");
    let said = world.swap(&["--wait", "30s"]).await.ok();
    world.is_swapped_in_full().await;
    for line in [
        "ha1 is a host now, and node1 an HA node",
        "not installed anew since it failed? Do that first",
        "generate consul-config --host ha1 ",
        "generate consul-config --ha-node node1 ",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    let ha1 = world.cloud.client().service(&host(HA1)).await.unwrap().unwrap();
    assert_eq!(ha1.status, ServiceStatus::Enabled);

    // Once more, it tells the same.
    let before = world.site.tree().await;
    let said = world.swap(&[]).await.ok();
    assert!(said.out.contains("already so, swapped with ha1 by ann"), "{}", said.out);
    assert!(said.out.contains("generate consul-config --host ha1 "), "{}", said.out);
    assert_eq!(world.swap(&["--json"]).await.ok().json()["outcome"], "already_so");
    assert_eq!(world.site.tree().await, before);
    // The tree is one that every other command understands.
    world.run(&["host", "show", HA1]).await.ok();
    world.run(&["ha-node", "show", HOST]).await.ok();
    world.run(&["policy", "check"]).await.ok();
    world.run(&["incident", "show", &format!("{HOST}@0")]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_spare_that_becomes_a_host_takes_new_guests_again() {
    for leave in [false, true] {
        let world = taken_over().await;
        let client = world.cloud.client();
        let ha1 = client.service(&host(HA1)).await.unwrap().unwrap();
        client.disable(&ha1.id, "nova-ha: spare ha1").await.unwrap();
        world.start("b");
        let more: &[&str] = if leave { &["--leave-disabled"] } else { &[] };
        world.swap(&[&["--wait", "30s"], more].concat()).await.ok();
        world.is_swapped_in_full().await;
        let ha1 = client.service(&host(HA1)).await.unwrap().unwrap();
        assert_eq!(ha1.status == ServiceStatus::Disabled, leave);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_and_run_again_it_comes_to_the_same_end() {
    let world = taken_over().await;
    world.start("b");
    for after in [20, 60, 150, 300, 450, 600, 900, 1200, 1500, 1800, 2200, 2400, 2600, 2800, 3000, 3400] {
        let mut child = world.command(&SWAP).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(after)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // All of it, or nothing.
        match world.is_swapped().await {
            true => world.is_swapped_in_full().await,
            false => assert_eq!(world.value(&old().1.in_use()).await.as_deref(), Some("True")),
        }
    }
    world.swap(&["--wait", "30s"]).await.ok();
    world.is_swapped_in_full().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_swapped_is_refused_and_changes_nothing() {
    let world = taken_over().await;
    world.start("b");
    let (host, ha1) = old();
    let before = world.is().await;

    world.run(&[&SWAP[..5], &["--yes", "node2"]].concat()).await.refused("\"node2\" is not node1");
    assert_eq!(world.run(&["rejoin", HOST, "--by", "ann", "--storage-is-not-there"]).await.code, 2);
    assert_eq!(world.swap(&["--storage-is-released"]).await.code, 2);
    world
        .run(&["rejoin", "ha9", "--swap-roles", "--by", "ann", "--yes", "ha9"])
        .await
        .refused("not in the tree");

    // An HA node that sends guests to one of the two.
    world.site.put(&keys::ha_node(&"ha2".parse().unwrap()).general(), "").await;
    let ha2 = keys::ha_node(&"ha2".parse().unwrap());
    world.site.put(&ha2.targets(), r#"{"mode":"hosts","hosts":["other","ha1"]}"#).await;
    world.swap(&[]).await.refused("HA node ha2 names it or ha1").next("ha-node add ha2 --replace --targets");
    world.site.write(&[Op::DeleteTree(ha2.all())]).await;

    // The host may have its former storage: it said nothing since, or that it does.
    for (published, why) in [
        (r#"{"version":1}"#, "nothing that it published since its recovery"),
        (r#"{"version":1,"boot_guard":true}"#, "its boot guard let its former storage start"),
    ] {
        world.site.put(&host.runtime_config(), published).await;
        world.swap(&[]).await.refused(why).next("nova-ha-runtime-info");
    }
    // What Nova calls it is nobody's word but an operator's.
    let published = r#"{"version":1,"boot_guard":false,"nova_host":"of-its-own"}"#;
    world.site.put(&host.runtime_config(), published).await;
    world
        .swap(&[])
        .await
        .refused("it publishes that Nova calls it of-its-own")
        .next("host add node1 --replace --nova-host");
    world.site.put(&host.runtime_config(), r#"{"version":1,"boot_guard":true}"#).await;
    // A person's word does not stand against its own.
    world.swap(&["--storage-is-not-there"]).await.refused("its boot guard let its former storage start");
    world.site.put(&host.runtime_config(), r#"{"version":1,"boot_guard":false}"#).await;
    // What it published before its recovery says nothing about now.
    world.site.put(&host.recovered(), "TRUE").await;
    world.swap(&[]).await.refused("nothing that it published since its recovery");
    world.site.put(&host.runtime_config(), r#"{"version":1,"boot_guard":false} "#).await;

    for (key, value, why) in [
        (host.agent(), "none", "runs no Consul agent"),
        (ha1.names(), r#"{"version":1,"consul_node":"elsewhere"}"#, "not in the catalog"),
        (ha1.storage(), "shared", "no HA node has its storage"),
        (ha1.in_use_by(), "node1@7", "is not the last incident of node1"),
    ] {
        let was = world.value(&key).await;
        world.site.put(&key, value).await;
        world.swap(&[]).await.refused(why);
        match was {
            Some(was) => world.site.put(&key, was).await,
            None => world.site.write(&[Op::Delete(key)]).await,
        }
    }
    assert!(!world.is_swapped().await);
    assert_eq!(world.is().await, before);

    // With its word, where nothing is published.
    world.site.put(&host.runtime_config(), "{}").await;
    let said = world.swap(&["--wait", "30s", "--storage-is-not-there"]).await.ok();
    assert!(said.out.contains("a person says that it has nothing"), "{}", said.out);
    world.is_swapped_in_full().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_incident_and_one_that_the_ha_node_works_on_are_ended_first() {
    let world = World::with_open_incident(&ours()).await;
    world.swap(&[]).await.refused(&format!("incident {HOST}@0 is open")).next("nova-ha incident show");

    let world = taken_over().await;
    world.run(&["host", "add", "node2"]).await.ok();
    let id = crate::open_incident::open(&world.site, "node2@0").await;
    let key = keys::incident(&id).incident();
    let entry = world.site.agent.client().get(&key).await.unwrap().unwrap();
    let mut record: IncidentRecord = parse(&entry.key, &entry.value).unwrap();
    record.holder = Some(HA1.parse().unwrap());
    world.site.write(&[Op::Set(key, bytes(&record))]).await;
    world.swap(&[]).await.refused("it holds incident node2@0").next("nova-ha incident show node2@0");
    assert!(!world.is_swapped().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_nova_that_are_lost_are_read_back() {
    let world = taken_over().await;
    world.start("b");
    for effect in [true, false, true] {
        let fault = json!({"method": "PUT", "path": "/os-services/", "action": "drop", "effect": effect});
        world.cloud.fault(fault).await;
    }
    world.swap(&["--wait", "40s"]).await.ok();
    world.is_swapped_in_full().await;
}
