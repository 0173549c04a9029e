//! Our checks on a real Consul agent: they belong to the service `nova-ha` and to nobody else, a watch on checks fires
//! for them, and an agent that still has those of the node changes over when it is told to reload.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::site::Site;
use crate::support::consul_agent::Agent;
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(30);

/// An HA node with a service of somebody else, on which our scripts may run.
fn ha_node() -> Value {
    json!({ "enable_local_script_checks": true, "services": [{ "name": "keystone", "port": 5000 }] })
}

/// Executables of ours that do what a dead host makes them do. The watch's leaves what it was told.
struct Bin(tempfile::TempDir);

impl Bin {
    fn new() -> Self {
        let bin = Self(tempfile::tempdir().unwrap());
        bin.script("nova-ha-probe", "echo CRITICAL node2; exit 2");
        let told = bin.told();
        bin.script(
            "nova-ha-mark-failed",
            &format!("[ \"$1\" = --sweep ] && exit 0; cat >> {}; echo >> {0}", told.display()),
        );
        bin.script("start-recover", "exit 0");
        bin
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn told(&self) -> PathBuf {
        self.0.path().join("told")
    }

    /// The service of the probe's check each time that the watch fired for it.
    fn probes_told(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.told()).unwrap_or_default();
        let views = text.lines().filter_map(|line| serde_json::from_str::<Option<Vec<Value>>>(line).ok());
        views
            .flatten()
            .flatten()
            .filter(|check| check["CheckID"] == "nova-ha-probe:node2")
            .map(|check| check["ServiceName"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The tree of a site whose HA node is `node1`, and what is generated for it.
async fn generated(site: &Site, bin: &Bin) -> Value {
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "node1"]).await.ok();
    site.run(&["host", "add", "node2"]).await.ok();
    site.run(&["policy", "set", "probe_deadline", "800ms"]).await.ok();
    site.run(&["policy", "set", "probe_interval", "1s"]).await.ok();
    let out = tempfile::tempdir().unwrap();
    let (dir, bin) = (out.path().to_str().unwrap(), bin.0.path().to_str().unwrap());
    let args = ["generate", "consul-config", "--ha-node", "node1", "--out", dir, "--bin-dir", bin];
    site.run(&args).await.ok();
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(out.path().join("nova-ha.json")).unwrap()).unwrap();
    config
}

/// What was generated before the checks had a service: the same checks, of the node.
fn of_the_node(config: &Value) -> Value {
    let mut old = config.clone();
    let services = old.as_object_mut().unwrap().remove("services").unwrap();
    old["checks"] = services[0]["checks"].clone();
    old
}

fn put(conf: &Path, config: &Value) {
    std::fs::write(conf.join("nova-ha.json"), config.to_string()).unwrap();
}

/// Our checks as the catalog has them: id, service, status.
async fn checks(agent: &Agent) -> Vec<(String, String, String)> {
    let all = agent.ask("health/node/node1").await;
    let word = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let mut ours: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["CheckID"].as_str().unwrap().starts_with("nova-ha"))
        .map(|check| (word(check, "CheckID"), word(check, "ServiceName"), word(check, "Status")))
        .collect();
    ours.sort();
    ours
}

async fn keystone_passes(agent: &Agent) -> bool {
    !agent.ask("health/service/keystone?passing").await.as_array().unwrap().is_empty()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !is_so().await {
        assert!(Instant::now() < end, "not within {WAIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn probe(service: &str) -> (String, String, String) {
    ("nova-ha-probe:node2".into(), service.into(), "critical".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_takes_no_other_service_of_an_ha_node_out_of_consul() {
    let (site, bin) = (Site::with(ha_node()).await, Bin::new());
    let agent = &site.agent;
    put(&agent.conf(), &generated(&site, &bin).await);
    agent.reload().await;
    until("the probe of the dead host is critical", async || checks(agent).await.contains(&probe("nova-ha")))
        .await;
    assert!(keystone_passes(agent).await, "another service of the HA node was taken out with it");
    until("the watch on checks fires for it", async || bin.probes_told().contains(&"nova-ha".to_owned()))
        .await;
    assert!(checks(agent).await.iter().all(|(_, service, _)| service == "nova-ha"));
    // As an unchanged state is told once, whatever the watch is told besides.
    let told = bin.probes_told().len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(bin.probes_told().len(), told, "the same state woke the watch again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_the_checks_of_the_node_changes_over_when_it_reloads() {
    let (site, bin) = (Site::with(ha_node()).await, Bin::new());
    let agent = &site.agent;
    let config = generated(&site, &bin).await;
    put(&agent.conf(), &of_the_node(&config));
    agent.reload().await;
    until("the probe is critical, of the node", async || checks(agent).await.contains(&probe(""))).await;
    assert!(!keystone_passes(agent).await, "this is what the service of our own is for");
    put(&agent.conf(), &config);
    agent.reload().await;
    until("none of our checks is the node's any more", async || {
        let all = checks(agent).await;
        all.len() == 2 && all.iter().all(|(_, service, _)| service == "nova-ha")
    })
    .await;
    assert!(keystone_passes(agent).await);
    until("the probe is critical again", async || checks(agent).await.contains(&probe("nova-ha"))).await;
    assert!(keystone_passes(agent).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_acls_the_agent_needs_its_new_policy_before_it_reloads() {
    let (site, bin) = (Site::with_acl_and(ha_node()).await, Bin::new());
    let agent = &site.agent;
    let config = generated(&site, &bin).await;
    let out = tempfile::tempdir().unwrap();
    site.run(&["generate", "acl", "--out", out.path().to_str().unwrap()]).await.ok();
    let new = std::fs::read_to_string(out.path().join("nova-ha-agent-node1.hcl")).unwrap();
    let ours = "service \"nova-ha\" {\n  policy = \"write\"\n}\n";
    assert!(new.contains(ours), "{new}");
    let keystone = "service \"keystone\" {\n  policy = \"write\"\n}\n";
    let old = agent.token("old", &new.replace(ours, keystone)).await;
    let new = agent.token("new", &format!("{new}{keystone}")).await;
    let run_as = |token: &str| {
        let tokens = json!({ "acl": { "tokens": { "default": token, "agent": token } } });
        std::fs::write(agent.conf().join("tokens.json"), tokens.to_string()).unwrap();
    };
    run_as(&old);
    put(&agent.conf(), &of_the_node(&config));
    agent.reload().await;
    until("the probe is critical, of the node", async || checks(agent).await.contains(&probe(""))).await;
    put(&agent.conf(), &config);
    agent.reload().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(checks(agent).await.contains(&probe("")), "Consul keeps what it had");
    run_as(&new);
    agent.reload().await;
    until("the checks are of the service", async || {
        checks(agent).await.iter().all(|(_, service, _)| service == "nova-ha")
    })
    .await;
    assert!(keystone_passes(agent).await);
}
