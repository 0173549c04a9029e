//! A cloud to play on: two hosts whose names begin alike, one target, and a back door that moves them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nova_ha::nova::{Cloud, CloudSettings, Environment, NovaClient, NovaHost, Server, Timing};
use serde_json::{Value, json};

/// Of a boot of a host, and of an evacuation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Stage {
    /// The simulated cloud, where it is not the lab's.
    simulated: Option<(Child, tempfile::TempDir)>,
    back_door: String,
    http: reqwest::Client,
    pub(crate) client: NovaClient,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((process, _)) = &mut self.simulated {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Stage {
    /// A cloud in which every host lives and is in service, with these guests on `node1`.
    pub(crate) async fn with(guests: Value) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stage = match std::env::var("NOVA_HA_CONTRACT") {
            Ok(back_door) => Self::real(back_door).await,
            Err(_) => Self::simulated(),
        };
        let mut guests = guests;
        for guest in guests.as_array_mut().unwrap() {
            guest["host"] = json!("node1");
        }
        stage.tell("guests", guests).await;
        stage
    }

    async fn real(back_door: String) -> Self {
        let settings = CloudSettings::load(Some("lab"), &Environment::of_process()).unwrap();
        let client = NovaClient::new(settings, Timing::default());
        let stage = Self { simulated: None, back_door, http: http(), client };
        stage.tell("fresh", Value::Null).await;
        stage
    }

    fn simulated() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seed = json!({"hosts": ["node1", "node10"], "ha_nodes": ["ha1"], "heartbeats": "auto",
            "evacuate_seconds": 0.2, "max_limit": 3});
        let seed_file = folder.path().join("seed.json");
        std::fs::write(&seed_file, seed.to_string()).unwrap();
        let mut process = Command::new("python3")
            .args(["-m", "simcloud", "--listen", "127.0.0.1:0", "--seed"])
            .arg(&seed_file)
            .env("PYTHONPATH", PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("integration"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 in PATH");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("simcloud listens on ").expect("simcloud starts").to_owned();
        let cloud = json!({"clouds": {"lab": {"region_name": "RegionOne", "auth": {"auth_url": base,
            "username": "admin", "password": "secret", "project_name": "admin",
            "user_domain_name": "Default", "project_domain_name": "Default"}}}});
        std::fs::write(folder.path().join("clouds.yaml"), cloud.to_string()).unwrap();
        let env = Environment { folder: folder.path().to_owned(), ..Environment::default() };
        let client = NovaClient::new(CloudSettings::load(Some("lab"), &env).unwrap(), Timing::default());
        Self { simulated: Some((process, folder)), back_door: base, http: http(), client }
    }

    /// Moves the cloud: `guests`, `hosts`, as the simulated cloud's back door takes it.
    pub(crate) async fn tell(&self, what: &str, body: Value) {
        let answer =
            self.http.post(format!("{}/_sim/{what}", self.back_door)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{what}: {}", answer.text().await.unwrap());
    }

    /// What really is: `guests` by name, with `running_on` and `disk`.
    pub(crate) async fn guest(&self, name: &str) -> Value {
        let answer = self.http.get(format!("{}/_sim/state", self.back_door)).send().await.unwrap();
        let state: Value = answer.json().await.unwrap();
        let guests = state["guests"].as_array().unwrap();
        guests.iter().find(|guest| guest["name"] == name && guest["deleted"] == false).unwrap().clone()
    }

    /// The guest as the client lists it on a host.
    pub(crate) async fn on(&self, name: &str, guest: &str) -> Server {
        let servers = self.client.servers_on(&host(name)).await.unwrap();
        servers.into_iter().find(|server| server.name == guest).unwrap()
    }

    /// `node1` loses its power, and Nova is told so.
    pub(crate) async fn node1_dies(&self) {
        self.tell("hosts", json!({"host": "node1", "alive": false})).await;
        let service = self.client.service(&host("node1")).await.unwrap().unwrap();
        self.client.set_forced_down(&service.id, true).await.unwrap();
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap()
}

pub(crate) fn host(name: &str) -> NovaHost {
    name.parse().unwrap()
}

/// Polls until the condition gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, condition: impl Fn() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
