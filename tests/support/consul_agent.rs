//! A real Consul server of one node, on loopback, with a folder of its own, gone on drop.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nova_ha::consul::{Address, Consul, Settings};
use nova_ha::store::{Op, Store, TxnOutcome};
use secrecy::SecretString;
use serde_json::{Value, json};

/// The token that may do everything on an agent with ACLs.
pub(crate) const MASTER: &str = "5e7a1c8e-0000-4000-8000-00000000face";

pub(crate) struct Agent {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    acl: bool,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Never skipped silently: without Consul these tests fail.
pub(crate) fn program() -> PathBuf {
    let cache = std::env::var_os("NOVA_HA_LAB_CACHE").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        cache
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .map(|cache| cache.join("nova-ha-lab"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("NOVA_HA_TEST_CONSUL")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join("consul")))
        .chain(cache.into_iter().flat_map(|cache| ["consul/usr/bin/consul", "bin/consul"].map(|at| cache.join(at))))
        .find(|path| path.is_file())
        .expect("no consul in $NOVA_HA_TEST_CONSUL, PATH or the lab's cache: `integration/lab test quick` installs it")
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

impl Agent {
    /// Starts the process; `extra` is merged into its configuration. What is put into [`Agent::conf`] later it reads when
    /// it is told to reload.
    pub(crate) fn spawn(folder: tempfile::TempDir, extra: Value) -> Self {
        let [port, serf, server] = free_ports();
        let acl = extra.get("acl").is_some();
        let mut config = json!({
            "server": true, "bootstrap_expect": 1, "node_name": "node1", "datacenter": "dc1",
            "data_dir": folder.path().join("data"), "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "log_level": "WARN", "disable_update_check": true, "performance": { "raft_multiplier": 1 },
            "ports": { "http": port, "https": -1, "grpc": -1, "dns": -1,
                       "serf_lan": serf, "serf_wan": -1, "server": server },
        });
        merge(&mut config, extra);
        let file = folder.path().join("consul.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let conf = folder.path().join("conf");
        std::fs::create_dir_all(&conf).unwrap();
        let child = Command::new(program())
            .args(["agent", "-config-file"])
            .arg(&file)
            .arg("-config-dir")
            .arg(&conf)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder, port, acl }
    }

    /// Starts it and waits until it leads, is healthy and takes writes.
    pub(crate) async fn start(extra: Value) -> Self {
        let mut agent = Self::spawn(tempfile::tempdir().unwrap(), extra);
        let consul = agent.client();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let write = consul.transact(&[Op::Set("test/ready".into(), vec![])]).await;
            let health = consul.serf_health().await;
            if matches!(write, Ok(TxnOutcome::Committed(_))) && health.as_ref().is_ok_and(|h| !h.is_empty()) {
                return agent;
            }
            let exited = agent.child.try_wait().unwrap();
            assert!(
                Instant::now() < end && exited.is_none(),
                "consul did not get ready ({exited:?}): {write:?} {health:?}\n{}",
                std::fs::read_to_string(agent.folder.path().join("log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// With ACLs on, default deny.
    pub(crate) async fn start_with_acl(extra: Value) -> Self {
        let mut config = json!({ "acl": { "enabled": true, "default_policy": "deny",
            "tokens": { "master": MASTER, "agent": MASTER } } });
        merge(&mut config, extra);
        Self::start(config).await
    }

    /// The folder of further configuration.
    pub(crate) fn conf(&self) -> PathBuf {
        self.folder.path().join("conf")
    }

    /// `consul reload`.
    pub(crate) async fn reload(&self) {
        self.put("agent/reload", &Value::Null).await;
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(Address::Http(format!("127.0.0.1:{}", self.port)));
        settings.token = self.acl.then(|| SecretString::from(MASTER.to_owned()));
        settings
    }

    pub(crate) fn client(&self) -> Consul {
        Consul::new(&self.settings()).unwrap()
    }

    pub(crate) fn client_with_token(&self, token: &str) -> Consul {
        let mut settings = self.settings();
        settings.token = Some(SecretString::from(token.to_owned()));
        Consul::new(&settings).unwrap()
    }

    /// A token with these rules (HCL).
    pub(crate) async fn token(&self, name: &str, rules: &str) -> String {
        let policy = self.put("acl/policy", &json!({ "Name": name, "Rules": rules })).await;
        let token = self.put("acl/token", &json!({ "Policies": [{ "ID": policy["ID"] }] })).await;
        token["SecretID"].as_str().unwrap().to_owned()
    }

    /// A token with several policies, of these names and rules.
    #[allow(dead_code, reason = "each test file uses its part")]
    pub(crate) async fn token_of(&self, policies: &[(String, String)]) -> String {
        let mut ids = Vec::new();
        for (name, rules) in policies {
            let known = self.ask("acl/policies").await;
            let known =
                known.as_array().unwrap().iter().find(|policy| policy["Name"] == name.as_str()).cloned();
            let policy = match known {
                Some(policy) => policy,
                None => self.put("acl/policy", &json!({ "Name": name, "Rules": rules })).await,
            };
            ids.push(json!({ "ID": policy["ID"] }));
        }
        let token = self.put("acl/token", &json!({ "Policies": ids })).await;
        token["SecretID"].as_str().unwrap().to_owned()
    }

    /// What Consul answers to a path below `/v1/`.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}/v1/{path}", self.port);
        let answer = client.get(url).header("X-Consul-Token", MASTER).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Value {
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}/v1/{path}", self.port);
        let answer = client.put(url).header("X-Consul-Token", MASTER).json(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }
}

/// A CA, and a certificate of `localhost` and one of a client signed by it, made with `openssl`.
pub(crate) fn certificates(folder: &Path) {
    let openssl = |args: &str| {
        let done = Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
        let done = done.expect("the openssl program is needed to make test certificates");
        assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
    std::fs::write(folder.join("server.ext"), "subjectAltName=DNS:server.dc1.consul\n").unwrap();
    std::fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for name in ["server", "client"] {
        openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ));
    }
}
