//! Starts `python3 -m simcloud` on a free port and speaks to its back door.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nova_ha::nova::{Cloud, CloudSettings, Environment, NovaClient, NovaHost, Server, Timing};
use serde_json::{Value, json};

/// Short enough that a test of a timeout takes a second.
pub(crate) fn timing() -> Timing {
    Timing {
        connect: Duration::from_secs(2),
        attempt: Duration::from_millis(1500),
        read: Duration::from_secs(10),
        effect: Duration::from_secs(4),
        read_tries: 3,
        backoff: Duration::from_millis(20),
        backoff_limit: Duration::from_secs(1),
        body_limit: 8 * 1024 * 1024,
    }
}

pub(crate) struct SimCloud {
    process: Child,
    pub(crate) base: String,
    pub(crate) folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl Drop for SimCloud {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two hosts whose names begin alike, one reserve, 9 + 1 guests, evacuations in 0.2 s.
pub(crate) fn seed() -> Value {
    let mut guests: Vec<Value> = (0..9).map(|n| json!({"name": format!("g{n}"), "host": "node1"})).collect();
    guests.push(json!({"name": "other", "host": "node10"}));
    json!({
        "hosts": ["node1", {"name": "node10", "hypervisor_hostname": "node10.example.org"}], "ha_nodes": ["ha1"],
        "heartbeats": "auto", "evacuate_seconds": 0.2, "max_limit": 4, "guests": guests,
    })
}

pub(crate) fn with(mut seed: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        seed[name] = value.clone();
    }
    seed
}

impl SimCloud {
    pub(crate) fn start(seed: Value) -> Self {
        Self::start_with(seed, |_| Vec::new())
    }

    /// `arguments` makes more arguments, and any files that they name, in the given folder.
    pub(crate) fn start_with(seed: Value, arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seed_file = folder.path().join("seed.json");
        std::fs::write(&seed_file, seed.to_string()).unwrap();
        let log = folder.path().join("log.jsonl");
        let mut process = Command::new("python3")
            .args(["-m", "simcloud", "--listen", "127.0.0.1:0", "--seed"])
            .arg(&seed_file)
            .arg("--log")
            .arg(&log)
            .args(arguments(folder.path()))
            .env("PYTHONPATH", PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("integration"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 in PATH");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("simcloud listens on ").expect("simcloud starts").to_owned();
        // Needed even for http where no CA bundle is installed, and it trusts nobody.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http =
            reqwest::Client::builder().tls_certs_only([]).tls_danger_accept_invalid_certs(true).no_proxy();
        Self { process, base, folder, http: http.build().unwrap() }
    }

    pub(crate) async fn sim(&self, path: &str, body: Value) {
        let answer = self.http.post(format!("{}/_sim/{path}", self.base)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.sim("faults", fault).await;
    }

    pub(crate) async fn clear_faults(&self) {
        self.http.delete(format!("{}/_sim/faults", self.base)).send().await.unwrap();
    }

    pub(crate) async fn state(&self) -> Value {
        self.http.get(format!("{}/_sim/state", self.base)).send().await.unwrap().json().await.unwrap()
    }

    /// How many requests of this method had this in their path.
    pub(crate) async fn requests(&self, route: &str) -> u64 {
        let state = self.state().await;
        let counts = state["requests"].as_object().unwrap();
        counts.iter().filter(|(name, _)| name.contains(route)).map(|(_, count)| count.as_u64().unwrap()).sum()
    }

    pub(crate) async fn posts(&self) -> Vec<Value> {
        self.state().await["evacuate_posts"].as_array().unwrap().clone()
    }

    /// Its `clouds.yaml` with `cloud` as the entry `lab`, and a `secure.yaml` with the secrets.
    pub(crate) fn settings(&self, cloud: Value, secure: Value) -> CloudSettings {
        let write = |name: &str, entry: Value| {
            std::fs::write(self.folder.path().join(name), json!({"clouds": {"lab": entry}}).to_string())
                .unwrap();
        };
        write("clouds.yaml", cloud);
        write("secure.yaml", secure);
        let file = self.folder.path().join("clouds.yaml").display().to_string();
        let variables = [("OS_CLIENT_CONFIG_FILE".to_owned(), file)].into();
        let env = Environment { variables, ..Environment::default() };
        CloudSettings::load(Some("lab"), &env).unwrap()
    }

    pub(crate) fn by_password(&self, changes: Value) -> CloudSettings {
        let auth = json!({"auth_url": self.base, "username": "admin", "project_name": "admin",
            "user_domain_name": "Default", "project_domain_name": "Default"});
        let entry = json!({"auth": auth, "region_name": "RegionOne"});
        self.settings(with(entry, changes), json!({"auth": {"password": "secret"}}))
    }

    pub(crate) fn client(&self) -> NovaClient {
        NovaClient::new(self.by_password(json!({})), timing())
    }

    /// Its power is cut and Nova is told so.
    pub(crate) async fn die(&self, name: &str, client: &NovaClient) {
        self.sim("hosts", json!({"host": name, "alive": false})).await;
        let service = client.service(&host(name)).await.unwrap().unwrap();
        client.set_forced_down(&service.id, true).await.unwrap();
    }
}

pub(crate) fn host(name: &str) -> NovaHost {
    name.parse().unwrap()
}

pub(crate) async fn guest(client: &NovaClient, on: &str, name: &str) -> Server {
    client.servers_on(&host(on)).await.unwrap().into_iter().find(|server| server.name == name).unwrap()
}

/// Polls until the condition gives something, for 10 s at most.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, condition: impl Fn() -> F) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
