//! A cloud to play on: two hosts whose names begin alike, one target, and a back door that moves them.

use std::time::{Duration, Instant};

use nova_ha::nova::{Cloud, CloudSettings, Environment, NovaClient, Server, Timing};
use serde_json::{Value, json};

use super::cloud::SimCloud;
pub(crate) use super::cloud::host;

/// Of a boot of a host, and of an evacuation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Stage {
    /// The simulated cloud, where it is not the lab's: it ends with the stage.
    #[allow(dead_code, reason = "held, and asked through its back door")]
    simulated: Option<SimCloud>,
    back_door: String,
    http: reqwest::Client,
    pub(crate) client: NovaClient,
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
        let cloud = SimCloud::start(json!({"hosts": ["node1", "node10"], "ha_nodes": ["ha1"],
            "heartbeats": "auto", "evacuate_seconds": 0.2, "max_limit": 3}));
        let client = NovaClient::new(cloud.by_password(json!({})), Timing::default());
        Self { back_door: cloud.base.clone(), simulated: Some(cloud), http: http(), client }
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
