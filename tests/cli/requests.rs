//! How many requests of Consul an execution costs: probes run every few seconds for every host, and a
//! judgement must not take longer because there are many healthy hosts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::site::Site;
use nova_ha::keys;
use nova_ha::store::Op;

const PROBE: &str = env!("CARGO_BIN_EXE_nova-ha-probe");
const MARK: &str = env!("CARGO_BIN_EXE_nova-ha-mark-failed");

/// Before a Consul: passes everything on, and keeps the first line of each request.
struct Counted {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Counted {
    fn before(consul: u16) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let port = crate::support::sshd::server(move |client| {
            let server = TcpStream::connect(("127.0.0.1", consul)).unwrap();
            let (back, kept) =
                ((server.try_clone().unwrap(), client.try_clone().unwrap()), Arc::clone(&kept));
            std::thread::spawn(move || pass(client, server, |text| keep(&kept, text)));
            std::thread::spawn(move || pass(back.0, back.1, |_| ()));
        });
        Self { port, lines }
    }

    /// Runs it; the requests that it made, and its exit code.
    async fn of(&self, program: &str, args: &[&str]) -> (Vec<String>, i32) {
        let run = tempfile::tempdir().unwrap();
        let mut command = assert_cmd::Command::new(program);
        command
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", self.port))
            .env("NOVA_HA_RUN_DIR", run.path())
            .env("NOVA_HA_STATE_DIR", run.path())
            .env("NOVA_HA_NODE", "ha1")
            .args(args)
            .write_stdin("")
            .timeout(Duration::from_secs(60));
        self.lines.lock().unwrap().clear();
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (self.lines.lock().unwrap().clone(), output.status.code().unwrap())
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&str)) {
    let mut block = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut block) {
        see(&String::from_utf8_lossy(&block[..length]));
        if to.write_all(&block[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn keep(kept: &Mutex<Vec<String>>, text: &str) {
    let requests = text.lines().filter(|line| line.ends_with(" HTTP/1.1")).map(str::to_owned);
    kept.lock().unwrap().extend(requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_host_costs_a_probe_one_request() {
    let (site, sshd) = (Site::start().await, crate::support::sshd::Sshd::start("ed25519"));
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1", "--storage", "shared", "--consul-node", "node1"]).await.ok();
    site.run(&["host", "add", "n1", "--bmc-ip", "127.0.0.1", "--bmc-user", "admin"]).await.ok();
    let host = keys::host(&"n1".parse().unwrap());
    for (field, value) in [
        ("user", sshd.user.as_str()),
        ("private_key", &sshd.private_key),
        ("port", &sshd.port.to_string()),
        ("host_key", &sshd.host_key),
        ("address", "127.0.0.1"),
    ] {
        site.put(&host.ssh_field(field), value).await;
    }
    let before = site.tree().await;
    let (requests, code) = Counted::before(site.agent.port).of(PROBE, &["n1"]).await;
    assert_eq!((requests.len(), code), (1, 0), "{requests:?}");
    assert_eq!(before, site.tree().await, "it wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_costs_no_more_requests_with_many_hosts() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1", "--storage", "shared", "--consul-node", "node1"]).await.ok();
    site.run(&["host", "add", "n1", "--bmc-ip", "127.0.0.1", "--bmc-user", "admin"]).await.ok();
    let counted = Counted::before(site.agent.port);
    let (few, code) = counted.of(MARK, &[]).await;
    assert!(code == 0 && few.len() <= 9, "{code}: {few:?}");
    for start in (0..200).step_by(50) {
        let hosts = (start..start + 50).map(|number| format!("ha_cluster/compute_nodes/h{number}/general"));
        site.write(&hosts.map(|key| Op::Set(key, Vec::new())).collect::<Vec<_>>()).await;
    }
    let (many, code) = counted.of(MARK, &[]).await;
    assert_eq!((many.len(), code), (few.len(), 0), "{many:?}");
}
