//! A host that was recovered and is repaired: its guest runs on ha1, its incident is over, Nova holds it
//! forced down. On a real Consul and the simulated cloud.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nova_ha::incident::journal::{Event, JournalEntry};
use nova_ha::incident::{DISABLED_REASON, IncidentRecord};
use nova_ha::keys;
use nova_ha::nova::{Cloud, EvacuateRequest, ServiceStatus};
use nova_ha::store::{Op, Store};
use nova_ha::tree::record::{bytes, parse};
use serde_json::{Value, json};

use crate::cloud::{SimCloud, guest, host, until};
use crate::site::{Said, Site};

pub(crate) const HOST: &str = "node1";
/// A recovered host: its guest runs on ha1, its incident is over, Nova holds it forced down.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) cloud: Arc<SimCloud>,
    /// nova-computes that report, each with the name of its start.
    beats: Arc<Mutex<BTreeMap<String, String>>>,
}

impl World {
    pub(crate) async fn recovered(disabled_reason: &str) -> Self {
        let world = Self::with_open_incident(disabled_reason).await;
        world.end_incident().await;
        world
    }

    pub(crate) async fn with_open_incident(disabled_reason: &str) -> Self {
        let site = Site::start().await;
        site.run(&["init"]).await.ok();
        site.run(&["ha-node", "add", "ha1"]).await.ok();
        // The agent's own name, so that Consul says that it lives.
        site.run(&["host", "add", HOST]).await.ok();
        let cloud = Arc::new(SimCloud::start(json!({
            "hosts": [HOST], "ha_nodes": ["ha1"], "evacuate_seconds": 0.1, "service_down_seconds": 2,
            "guests": [{"name": "g0", "host": HOST}, {"name": "g1", "host": HOST}],
        })));
        let beats = Arc::new(Mutex::new(BTreeMap::from([
            ("ha1".to_owned(), "a".to_owned()),
            (HOST.into(), "a".into()),
        ])));
        let world = Self { site, cloud, beats };
        world.keep_beating();
        tokio::time::sleep(Duration::from_millis(300)).await;

        let client = world.cloud.client();
        world.stop();
        let service = client.service(&host(HOST)).await.unwrap().unwrap();
        client.set_forced_down(&service.id, true).await.unwrap();
        client.disable(&service.id, disabled_reason).await.unwrap();
        let g0 = guest(&client, HOST, "g0").await;
        client
            .evacuate(
                &g0.id,
                &EvacuateRequest::AttachOnly213 { host: Some(host("ha1")) },
                &client.token().await.unwrap().id,
            )
            .await
            .unwrap();
        let done = || async {
            let found = client.evacuations_of(&g0.id).await.unwrap();
            found.iter().any(|migration| migration.status.to_string() == "done").then_some(())
        };
        until("the evacuation is done", done).await;

        let id = crate::open_incident::open(&world.site, &format!("{HOST}@0")).await;
        world.site.put(&keys::host(id.host()).recovered(), "True").await;
        let ha1 = keys::ha_node(&"ha1".parse().unwrap());
        world.site.put(&ha1.in_use(), "True").await;
        world.site.put(&ha1.in_use_by(), id.to_string()).await;
        world
    }

    pub(crate) async fn end_incident(&self) {
        let keys = keys::incident(&format!("{HOST}@0").parse().unwrap());
        let entry = self.site.agent.client().get(&keys.incident()).await.unwrap().unwrap();
        let mut record: IncidentRecord = parse(&entry.key, &entry.value).unwrap();
        let what = Event::Abandoned { by: "ann".into() };
        record.status = record.status.after(&what).unwrap();
        record.status.past_no_return = true;
        record.head = 1;
        let entry = JournalEntry {
            version: 1,
            sequence: 1,
            term: 0,
            by: "ann".into(),
            machine: None,
            boot: None,
            at: record.opened_at,
            what,
        };
        self.site
            .write(&[Op::Set(keys.incident(), bytes(&record)), Op::Set(keys.journal_entry(1), bytes(&entry))])
            .await;
    }

    fn keep_beating(&self) {
        let (cloud, beats) = (Arc::clone(&self.cloud), Arc::downgrade(&self.beats));
        tokio::spawn(async move {
            while let Some(beats) = beats.upgrade() {
                let rows: Vec<Value> = beats
                    .lock()
                    .unwrap()
                    .iter()
                    .map(|(host, start)| json!({"host": host, "boot": "b", "start": start}))
                    .collect();
                cloud.sim("heartbeat", Value::from(rows)).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }

    /// nova-compute on the host starts, as this start of it.
    pub(crate) fn start(&self, name: &str) {
        self.beats.lock().unwrap().insert(HOST.into(), name.into());
    }

    pub(crate) fn stop(&self) {
        self.beats.lock().unwrap().remove(HOST);
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nova-ha"));
        command
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", self.site.agent.port))
            .envs([
                ("OS_AUTH_URL", self.cloud.base.as_str()),
                ("OS_USERNAME", "admin"),
                ("OS_PASSWORD", "secret"),
                ("OS_PROJECT_NAME", "admin"),
                ("OS_USER_DOMAIN_NAME", "Default"),
                ("OS_PROJECT_DOMAIN_NAME", "Default"),
            ])
            .args(args)
            .stdin(Stdio::null());
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Said {
        self.finish(self.command(args)).await
    }

    pub(crate) async fn finish(&self, mut command: Command) -> Said {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().expect("it ended by itself"),
        }
    }

    /// What the host's boot guard says.
    pub(crate) async fn guard(&self, what: &str) -> i32 {
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nova-ha-boot-guard"));
        command
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", self.site.agent.port))
            .args(["--host", HOST, "--once", "--for", what, "--state-dir"])
            .arg(state.path());
        self.finish(command).await.code
    }

    /// What Nova and the tree say of the host.
    pub(crate) async fn is(&self) -> (bool, bool, Option<String>) {
        let service = self.cloud.client().service(&host(HOST)).await.unwrap().unwrap();
        let failed = self.site.value(&keys::host(&HOST.parse().unwrap()).failed()).await;
        (service.forced_down, service.status == ServiceStatus::Disabled, failed)
    }
}

pub(crate) fn ours() -> String {
    format!("{DISABLED_REASON}{HOST}@0")
}
