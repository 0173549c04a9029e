//! Every file under `consul-watches/`: the templates as `nova-ha generate` fills them are taken by
//! a real Consul, the policies allow what an executable does and nothing more, and the others are
//! parsed by what reads them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::site::Site;
use nova_ha::store::{Op, Store, StoreError, TxnOutcome};
use serde_json::Value;

fn watches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("consul-watches")
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(watches().join(path)).unwrap()
}

async fn site(site: Site) -> Site {
    site.run(&["init"]).await.ok();
    for node in ["ha1", "ha2"] {
        site.run(&["ha-node", "add", node, "--ssh-user", "root"]).await.ok();
    }
    for host in ["node1", "node10"] {
        let args = ["host", "add", host, "--ssh-user", "root", "--bmc-ip", "10.0.0.1"];
        site.run_stdin(&[&args[..], &["--bmc-password-file", "-"]].concat(), "hunter2").await.ok();
    }
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_takes_what_is_generated() {
    let site = site(Site::start().await).await;
    site.run(&["policy", "set", "probe_deadline", "1500ms"]).await.ok();
    site.run(&["policy", "set", "probe_interval", "2s"]).await.ok();
    let out = tempfile::tempdir().unwrap();
    for (whose, name, tokens) in [
        ("--ha-node", "ha1", true),
        ("--ha-node", "ha2", false),
        ("--host", "node1", true),
        ("--host", "node10", false),
    ] {
        let folder = out.path().join(name);
        let dir = folder.to_str().unwrap();
        let mut args = vec!["generate", "consul-config", whose, name, "--out", dir, "--bin-dir", "/opt/bin/"];
        if tokens {
            args.extend(["--token-dir", "/etc/nova-ha/tokens", "--tcp", "storage=3260"]);
        }
        site.run(&args).await.ok();
        std::fs::write(folder.join("base.json"), r#"{"data_dir":"/nonexistent"}"#).unwrap();
        let checked = Command::new(crate::support::consul_agent::program())
            .arg("validate")
            .arg(&folder)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(out.path().join("ha1/nova-ha.json")).unwrap()).unwrap();
    assert_eq!(config["leave_on_terminate"], false);
    // Never of the node: a critical one would take every other service of it out of Consul.
    assert!(config.get("checks").is_none() && config["services"].as_array().unwrap().len() == 1, "{config}");
    assert_eq!(config["services"][0]["name"], "nova-ha");
    let checks = config["services"][0]["checks"].as_array().unwrap();
    let ids: Vec<&str> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    let expected =
        ["nova-ha-probe:node1", "nova-ha-probe:node10", "nova-ha-probe:ha2", "nova-ha-mark-failed"];
    assert_eq!(ids, expected);
    let probe = &checks[0];
    assert_eq!(
        (&probe["interval"], &probe["timeout"], &probe["status"]),
        (&"2s".into(), &"4500ms".into(), &"warning".into())
    );
    let args: Vec<&str> = probe["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert_eq!(
        args[..4],
        [
            "/usr/bin/env",
            "CONSUL_HTTP_TOKEN_FILE=/etc/nova-ha/tokens/probe",
            "/opt/bin/nova-ha-probe",
            "node1"
        ]
    );
    assert_eq!(config["watches"][0]["state"], "critical");
    assert_eq!(config["watches"][1]["key"], "ha_cluster/recovery_queue");
    let plain = std::fs::read_to_string(out.path().join("ha2/nova-ha.json")).unwrap();
    assert!(!plain.contains("/usr/bin/env") && !plain.contains("TOKEN"), "{plain}");
    let unwatched = ["policy", "set", "rules", r#"[{"planes":["management","storage"]}]"#];
    site.run(&unwatched).await.ok();
    let of_another_user = ["--token-dir", "/etc/nova-ha/tokens", "--consul-user", "consul"];
    let host = ["generate", "consul-config", "--host", "node1", "--out", out.path().to_str().unwrap()];
    let said = site.run(&[&host[..], &of_another_user].concat()).await.ok();
    for next in
        ["enable --now nova-ha-runtime-info.timer", "chown root:root runtime-info boot-guard && chmod 0600"]
    {
        assert!(said.out.contains(next), "{}", said.out);
    }
    let written: Value =
        serde_json::from_str(&std::fs::read_to_string(out.path().join("nova-ha.json")).unwrap()).unwrap();
    let check = &written["services"][0]["checks"][0]["args"];
    assert_eq!(check.as_array().unwrap().last().unwrap(), "--last", "{check}");
    let node = ["generate", "consul-config", "--ha-node", "ha1", "--out", out.path().to_str().unwrap()];
    let said = site.run(&[&node[..], &of_another_user].concat()).await.ok();
    for next in [
        "install -d -o consul -m 0755 /run/nova-ha-monitor /var/lib/nova-ha-monitor,",
        "enable --now nova-ha-recover.path",
        "chown root:consul probe mark-failed && chmod 0640",
        "chown root:root recover && chmod 0600",
    ] {
        assert!(said.out.contains(next), "{}", said.out);
    }
    let again = ["generate", "consul-config", "--ha-node", "ha1", "--out", out.path().to_str().unwrap()];
    assert!(site.run(&again).await.ok().out.contains("storage"), "a plane that nobody looks at is said");
}

/// What a token may, by trying.
struct Tried<'a> {
    site: &'a Site,
    token: String,
}

impl Tried<'_> {
    async fn reads(&self, key: &str) -> bool {
        match self.site.agent.client_with_token(&self.token).get(&format!("ha_cluster/{key}")).await {
            Ok(_) => true,
            Err(StoreError::Denied { .. }) => false,
            Err(other) => panic!("{key}: {other}"),
        }
    }

    async fn writes(&self, key: &str) -> bool {
        let op = Op::Set(format!("ha_cluster/{key}"), b"0".to_vec());
        match self.site.agent.client_with_token(&self.token).transact(&[op]).await {
            Ok(TxnOutcome::Committed(_)) => true,
            Err(StoreError::Denied { .. }) => false,
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_may_what_its_executable_does_and_nothing_more() {
    let site = site(Site::with_acl().await).await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIR1IHyLjqK1rqBEr0rjCJm4gPRzDBqqmIIf8bF8YxNl";
    site.put("ha_cluster/ha_nodes/ha2/config/ssh/host_key", key).await;
    let out = tempfile::tempdir().unwrap();
    site.run(&["generate", "acl", "--out", out.path().to_str().unwrap()]).await.ok();
    let mut tokens = std::collections::BTreeMap::new();
    for file in std::fs::read_dir(out.path()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let rules = std::fs::read_to_string(&path).unwrap();
        let token = site.agent.token(&name, &rules).await;
        tokens.insert(name, Tried { site: &site, token });
    }
    assert_eq!(tokens.len(), 4 + 3 * 2 + 3 * 2);

    let node = "compute_nodes/node1";
    // Name, may read, may not read, may write, may not write.
    type Keys = &'static [&'static str];
    let table: [(&str, Keys, Keys, Keys, Keys); 5] = [
        (
            "nova-ha-probe-ha1",
            &["meta", "compute_nodes/node1/config/ssh/password", "ha_nodes/ha2/config/ssh/host_key"],
            &[
                "compute_nodes/node1/config/bmc/password",
                "compute_nodes/node1/config/fence",
                "policy",
                "ha_nodes/ha2/config/ssh/password",
                "ha_nodes/ha2/config/ssh/private_key",
            ],
            &["compute_nodes/node10/internal/observers/ha1", "compute_nodes/node1/internal/number_fails"],
            &["compute_nodes/node1/status/failed", "compute_nodes/node1/internal/observers/ha2", "meta"],
        ),
        (
            "nova-ha-mark-failed",
            &[
                "policy",
                "compute_nodes/node1/internal/epoch",
                "compute_nodes/node1/config/bound",
                "compute_nodes/node1/config/bmc/identity",
                "ha_nodes/ha1/config/names",
                "ha_nodes/ha1/internal/formats",
            ],
            &["compute_nodes/node1/config/bmc/password", "compute_nodes/node1/config/ssh/password"],
            &["compute_nodes/node1/status/failed", "opened/node1@0", "recovery_queue", "cooldown"],
            &[
                "compute_nodes/node1/status/recovered",
                "incidents/node1@0/incident",
                "compute_nodes/node1/config/maintenance",
                "ha_nodes/ha1/internal/formats",
                "policy",
            ],
        ),
        (
            "nova-ha-recover-ha1",
            &[
                "compute_nodes/node1/config/bmc/password",
                "compute_nodes/node1/config/ssh/address",
                "ha_nodes/ha2/config/ssh/host_key",
                "policy",
            ],
            &[
                "compute_nodes/node1/config/ssh/password",
                "compute_nodes/node10/config/ssh/private_key",
                "ha_nodes/ha2/config/ssh/password",
                "ha_nodes/ha1/config/ssh/private_key",
            ],
            &[
                "compute_nodes/node1/status/recovered",
                "ha_nodes/ha1/internal/formats",
                "ha_nodes/ha2/status/in_use",
                "incidents/node1@0/lock",
            ],
            &[
                "compute_nodes/node1/status/failed",
                "compute_nodes/node1/config/bmc/ip",
                "ha_nodes/ha2/internal/formats",
                "policy",
                "meta",
            ],
        ),
        (
            "nova-ha-runtime-info-node1",
            &["meta", "compute_nodes/node1/general"],
            &["compute_nodes/node1/config/bmc/password", "compute_nodes/node10/general"],
            &["compute_nodes/node1/internal/runtime_config"],
            &["compute_nodes/node10/internal/runtime_config", "compute_nodes/node1/status/failed"],
        ),
        (
            "nova-ha-boot-guard-node1",
            &[
                "meta",
                "compute_nodes/node1/status/failed",
                "compute_nodes/node1/internal/runtime_config",
                "incidents/node1@0/incident",
            ],
            &["compute_nodes/node10/status/failed", "incidents/node10@0/incident"],
            &["compute_nodes/node1/internal/boot_guard"],
            &[
                "compute_nodes/node1/status/failed",
                "compute_nodes/node1/internal/runtime_config",
                "compute_nodes/node10/internal/boot_guard",
            ],
        ),
    ];
    for (name, reads, hidden, writes, closed) in table {
        let tried = &tokens[name];
        for key in reads {
            assert!(tried.reads(key).await, "{name} may not read {key}");
        }
        for key in hidden {
            assert!(!tried.reads(key).await, "{name} may read {key}");
        }
        for key in closed {
            assert!(!tried.writes(key).await, "{name} may write {key}");
        }
        for key in writes {
            assert!(tried.writes(key).await, "{name} may not write {key}");
        }
    }
    // Nobody bound the host key of ha1: it is logged in to, as before.
    assert!(tokens["nova-ha-probe-ha2"].reads("ha_nodes/ha1/config/ssh/password").await);
    for host in ["node1", "node10"] {
        let tried = &tokens[&format!("nova-ha-agent-{host}")];
        assert!(!tried.reads(&format!("{node}/config/ssh/user")).await && !tried.reads("meta").await);
    }
    assert!(tokens["nova-ha-agent-ha1"].reads("recovery_queue").await);

    // A comparison with an absent key needs `write`: the hosts that `host add` makes have them.
    let unchanged = ["epoch", "maintenance"].map(|key| match key {
        "epoch" => format!("ha_cluster/{node}/internal/epoch"),
        _ => format!("ha_cluster/{node}/config/maintenance"),
    });
    let mark = site.agent.client_with_token(&tokens["nova-ha-mark-failed"].token);
    for key in unchanged {
        let entry = mark.get(&key).await.unwrap();
        let outcome = mark.transact(&[Op::unchanged(key.clone(), entry.as_ref())]).await;
        assert!(matches!(outcome, Ok(TxnOutcome::Committed(_))), "{key}: {outcome:?}");
    }
    // Names come from listings, and every configured machine is among them.
    let names = mark.keys("ha_cluster/compute_nodes/", true).await.unwrap();
    assert_eq!(names, ["ha_cluster/compute_nodes/node1/", "ha_cluster/compute_nodes/node10/"]);
    assert!(!mark.serf_health().await.unwrap().is_empty());
    // A tree of the original lacks keys that these policies need: it is said, with the command.
    site.put("ha_cluster/compute_nodes/old/general", "").await;
    let said = site.run(&["generate", "acl", "--out", out.path().to_str().unwrap()]).await.ok();
    assert!(said.out.contains("nova-ha host add old --replace"), "{}", said.out);
}

/// A folder of units as an administrator installs them, beside those of a host with its guests on md.
fn installed_units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &Path, unit: &str| std::fs::write(folder.path().join(name), unit).unwrap();
    for entry in std::fs::read_dir(watches().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir(folder.path().join(&name)).unwrap();
            for drop_in in std::fs::read_dir(&path).unwrap() {
                let drop_in = drop_in.unwrap().path();
                let to = name.join(drop_in.file_name().unwrap());
                write(&to, &std::fs::read_to_string(drop_in).unwrap());
            }
            continue;
        }
        // The executables are not installed here; everything else stays as it is.
        let unit = std::fs::read_to_string(&path).unwrap();
        let program = |line: &str| match line.strip_prefix("ExecStart=") {
            Some(_) => "ExecStart=/bin/true".to_owned(),
            None => line.to_owned(),
        };
        write(&name, &unit.lines().map(program).collect::<Vec<_>>().join("\n"));
    }
    let compute = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    for name in ["nova-compute.service", "openstack-nova-compute.service"] {
        write(Path::new(name), compute);
    }
    // What systemd makes of the line in /etc/fstab that the drop-in names; without nofail it would be a cycle.
    let mount = "[Mount]\nWhat=/dev/null\nWhere=/var/lib/nova/instances\nType=xfs\nOptions=nofail\n";
    write(Path::new("var-lib-nova-instances.mount"), mount);
    folder
}

#[test]
fn systemd_takes_the_units() {
    let folder = installed_units();
    let units: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(units.len(), 10 + 3);
    let done = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("nova-ha") && !said.contains("cycle"), "{said}");
    let recover = text("systemd/nova-ha-recover.service");
    assert!(recover.contains("Type=oneshot") && recover.contains("TimeoutStartSec=infinity"));
}

/// The values of a setting in a unit and its drop-ins.
fn setting(folder: &Path, unit: &str, name: &str) -> Vec<String> {
    let drop_ins = std::fs::read_dir(folder.join(format!("{unit}.d"))).into_iter().flatten();
    let mut files = vec![folder.join(unit)];
    files.extend(drop_ins.map(|entry| entry.unwrap().path()));
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
        .flat_map(|value| value.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn disks_and_nova_compute_start_after_the_guard_only_and_nova_compute_can_without_disks() {
    let folder = installed_units();
    let is_after = |unit: &str, other: &str| {
        ["Requires", "After"]
            .iter()
            .all(|name| setting(folder.path(), unit, name).iter().any(|value| value == other))
    };
    let storage = "nova-ha-guest-storage.service";
    assert!(is_after(storage, "nova-ha-boot-guard@storage.service"));
    assert!(is_after("var-lib-nova-instances.mount", storage));
    for compute in ["nova-compute.service", "openstack-nova-compute.service"] {
        assert!(is_after(compute, "nova-ha-boot-guard@compute.service"));
        for name in ["Requires", "After", "BindsTo", "RequiresMountsFor"] {
            let values = setting(folder.path(), compute, name);
            assert!(values.iter().all(|value| !value.contains("storage") && !value.contains("instances")));
        }
    }
    // An override without Consul lets a guard end, and somebody has to be left to record it.
    let record = "nova-ha-boot-guard-record.service";
    let wanted = setting(folder.path(), "nova-ha-boot-guard@.service", "Wants");
    assert!(wanted.iter().any(|unit| unit == record), "{wanted:?}");
    let after = setting(folder.path(), record, "After");
    assert_eq!(after, ["nova-ha-boot-guard@storage.service", "nova-ha-boot-guard@compute.service"]);
    // A guard of the storage that waits must not hold nova-compute: no order between them, either way.
    let before = setting(folder.path(), "nova-ha-boot-guard@.service", "Before");
    assert_eq!(before, ["shutdown.target"]);
    for guard in ["nova-ha-boot-guard@.service", storage] {
        assert_eq!(setting(folder.path(), guard, "TimeoutStartSec"), ["infinity"]);
    }
}

#[test]
fn mdadm_assembles_nothing_by_itself_and_its_list_is_never_empty() {
    let conf = text("mdadm/nova-ha.conf");
    let lines: Vec<&str> = conf.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["AUTO -all", "ARRAY <ignore> UUID=ffffffff:ffffffff:ffffffff:ffffffff"]);
}

/// `assemble-guest-arrays` with an `mdadm` of the test: what it says and how it ends.
fn assemble_guest_arrays(conf: &str, mdadm: &str) -> (i32, String) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("guest-arrays.conf"), conf).unwrap();
    std::fs::write(at("mdadm"), format!("#!/bin/sh\ncd {}\n{mdadm}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(at("mdadm"), PermissionsExt::from_mode(0o755)).unwrap();
    let done = Command::new("timeout")
        .args(["-s", "KILL", "5"])
        .arg(watches().join("assemble-guest-arrays"))
        .arg(at("guest-arrays.conf"))
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("NOVA_HA_PAUSE", "0.1")
        .output()
        .unwrap();
    (done.status.code().unwrap_or(-1), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn the_guests_arrays_are_assembled_by_uuid_until_all_of_them_run() {
    let conf = "# ours\nARRAY /dev/md/a UUID=AAAAAAAA:00000000:00000000:00000001\n\
                ARRAY /dev/md/b metadata=1.2 UUID=bbbbbbbb:00000000:00000000:00000002 name=x\n";
    let running = "echo ARRAY /dev/md/a UUID=aaaaaaaa:00000000:00000000:00000001";
    // The second one's disks come late.
    let late = format!(
        "case $1 in\n--assemble) echo x >>tries; [ \"$2 $3\" = '--scan --config='$PWD/guest-arrays.conf ];;\n\
         --detail) {running}; [ $(wc -l <tries) -ge 3 ] && {};;\nesac",
        running.replace("/a", "/b").replace("aaaaaaaa", "bbbbbbbb").replace("0001", "0002")
    );
    let (code, said) = assemble_guest_arrays(conf, &late);
    assert_eq!(code, 0, "{said}");
    let missing = "not running: bbbbbbbb:00000000:00000000:00000002";
    assert_eq!(said.matches(missing).count(), 1, "what does not change is said once: {said}");
    // An inactive array does not run, whatever mdadm's exit code says.
    let inactive =
        "[ $1 = --assemble ] || echo INACTIVE-ARRAY /dev/md1 UUID=aaaaaaaa:00000000:00000000:00000001";
    let (code, said) = assemble_guest_arrays(conf, inactive);
    assert!(code != 0 && said.contains("not running: aaaaaaaa"), "{code} {said}");
    let (code, said) = assemble_guest_arrays("AUTO -all\n", "exit 0");
    assert!(code == 1 && said.contains("names no array by UUID"), "{said}");
}

/// `taken-storage-is-here` with an `mdadm` and an `lsblk` of the test, where these takeovers are remembered.
fn taken_storage_is_here(takeovers: &[(&str, &str)], mdadm: &str, lsblk: &str) -> (i32, String) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, said) in [("mdadm", mdadm), ("lsblk", lsblk)] {
        std::fs::write(at(name), format!("#!/bin/sh\n{said}\n")).unwrap();
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    if !takeovers.is_empty() {
        std::fs::create_dir(at("takeovers")).unwrap();
    }
    for (name, text) in takeovers {
        std::fs::write(at("takeovers").join(name), text).unwrap();
    }
    let done = Command::new(watches().join("taken-storage-is-here"))
        .arg(at("takeovers"))
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .output()
        .unwrap();
    (done.status.code().unwrap_or(-1), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn nova_compute_of_an_ha_node_waits_for_all_that_was_taken_there() {
    let one = r#"{"version":1,"incident":"compute1@3","generation":"g","at":"2026-01-01T00:00:00Z","arrays":{
        "a3a88330:384edff1:0c126ded:b8d8ca93":"compute1:md1","bbbbbbbb:384edff1:0c126ded:b8d8ca93":"compute1:md2"}}"#;
    let taken = [("compute1@3.json", one), (".tmpX", "{")];
    let first = "echo 'ARRAY /dev/md/nova-a3a88330 metadata=1.2 name=nova-ha.ha1:md1 UUID=a3a88330:384edff1:0c126ded:b8d8ca93'";
    let second = "echo 'ARRAY /dev/md/nova-bbbbbbbb metadata=1.2 name=nova-ha.ha1:md2 UUID=bbbbbbbb:384edff1:0c126ded:b8d8ca93'";
    let both = format!("{first}; {second}");
    let mounted = "echo; echo /var/lib/nova/instances";
    let first_only = "[ $3 = /dev/md/nova-bbbbbbbb ] || echo /var/lib/nova/instances";
    for (name, takeovers, mdadm, lsblk, expected) in [
        ("nothing was taken", &[][..], "exit 1", "exit 1", None),
        ("all is here", &taken[..], both.as_str(), mounted, None),
        (
            "it booted",
            &taken[..],
            "exit 0",
            "exit 1",
            Some("a3a88330:384edff1:0c126ded:b8d8ca93, taken by compute1@3, does not run"),
        ),
        (
            "one array is away",
            &taken[..],
            first,
            mounted,
            Some("bbbbbbbb:384edff1:0c126ded:b8d8ca93, taken by compute1@3, does not"),
        ),
        (
            "one is not mounted",
            &taken[..],
            both.as_str(),
            first_only,
            Some("(/dev/md/nova-bbbbbbbb), taken by compute1@3, is not mounted"),
        ),
        ("nobody can tell", &taken[..], "exit 1", mounted, Some("mdadm cannot tell")),
        (
            "a broken file",
            &[("compute1@3.json", "{")][..],
            both.as_str(),
            mounted,
            Some("compute1@3.json names no array"),
        ),
    ] {
        let (code, said) = taken_storage_is_here(takeovers, mdadm, lsblk);
        match expected {
            None => assert_eq!((code, said.as_str()), (0, ""), "{name}"),
            Some(why) => {
                assert_eq!(code, 1, "{name}: {said}");
                assert!(said.contains(why) && said.contains("next: docs/storage-md.md"), "{name}: {said}");
            }
        }
    }
    for unit in ["nova-compute", "openstack-nova-compute"] {
        let drop_in = text(format!("systemd-ha-nodes/{unit}.service.d/nova-ha.conf"));
        for line in
            ["ExecStartPre=+/usr/bin/taken-storage-is-here", "Restart=on-failure", "StartLimitIntervalSec=0"]
        {
            assert!(drop_in.lines().any(|found| found == line), "{drop_in}");
        }
    }
}

#[test]
fn nomad_jobs_sweep_without_overlap() {
    for (name, program) in [("recover", "nova-ha-recover"), ("mark-failed", "nova-ha-mark-failed")] {
        let body: Value = hcl::from_str(&text(format!("nomad/nova-ha-{name}.nomad.hcl"))).unwrap();
        let job = &body["job"][format!("nova-ha-{name}")];
        assert_eq!(job["periodic"]["prohibit_overlap"], true, "{job}");
        assert_eq!(job["type"], "sysbatch");
        let task = &job["group"][name]["task"][name];
        assert_eq!(task["driver"], "raw_exec");
        assert_eq!(task["config"]["command"], format!("/usr/bin/{program}"));
        assert_eq!(task["env"]["CONSUL_HTTP_TOKEN_FILE"], format!("/etc/nova-ha/tokens/{name}"));
    }
}

#[test]
fn cron_lines_have_a_time_a_user_and_a_command_that_sh_takes() {
    let cron = text("cron/nova-ha");
    let lines: Vec<&str> = cron.lines().filter(|line| line.starts_with('*')).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let fields: Vec<&str> = line.splitn(7, ' ').collect();
        assert_eq!((fields[..5].concat().as_str(), fields[5]), ("*****", "root"), "{line}");
        assert!(!fields[6].contains('%'), "cron takes % for a newline");
        assert!(Command::new("sh").args(["-n", "-c", fields[6]]).status().unwrap().success(), "{line}");
    }
}

/// `start-recover` in a folder of its own, beside a `nova-ha-recover` that leaves a line and sleeps.
struct StartRecover {
    folder: tempfile::TempDir,
}

impl StartRecover {
    fn new(systemd: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        let here = folder.path().display();
        program(
            "start-recover",
            text("start-recover").replace("/run/systemd/system", systemd.to_str().unwrap()),
        );
        program(
            "nova-ha-recover",
            format!("#!/bin/sh\necho \"run $*\" >>{here}/runs\nsleep 1.5\necho done\n"),
        );
        program("systemctl", format!("#!/bin/sh\necho \"$*\" >>{here}/asked\n"));
        Self { folder }
    }

    fn run(&self) -> Duration {
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let begun = Instant::now();
        let done = Command::new(self.folder.path().join("start-recover"))
            .args(["--ha-node", "ha1"])
            .env_clear()
            .env("PATH", path)
            .env("NOVA_HA_RUN_DIR", self.folder.path().join("run"))
            .env("NOVA_HA_LOG_DIR", self.folder.path().join("log"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        begun.elapsed()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_for(&self, name: &str, count: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.lines(name).len() < count {
            assert!(Instant::now() < end, "{name}: {:?}", self.lines(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn start_recover_does_not_wait_and_at_most_one_waits_behind_the_running_one() {
    let start = StartRecover::new(Path::new("/nonexistent/systemd"));
    for _ in 0..6 {
        // `output` reads to the end of both pipes: a child that kept one open would be waited for.
        let took = start.run();
        assert!(took < Duration::from_millis(1200), "it waited: {took:?}");
        // The first has taken its lock before the next comes.
        start.wait_for("runs", 1);
    }
    start.wait_for("log/recover.log", 2);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(start.lines("runs"), ["run --ha-node ha1"; 2]);
    assert_eq!(start.lines("log/recover.log"), ["done"; 2]);
    assert!(start.lines("asked").is_empty());
}

#[test]
fn start_recover_leaves_it_to_systemd_where_that_runs() {
    let systemd = tempfile::tempdir().unwrap();
    let start = StartRecover::new(systemd.path());
    start.run();
    assert_eq!(
        start.lines("asked"),
        ["cat nova-ha-recover.service", "start --no-block nova-ha-recover.service"]
    );
    assert!(start.lines("runs").is_empty());
    let syntax = Command::new("sh").arg("-n").arg(watches().join("start-recover")).status().unwrap();
    assert!(syntax.success());
}
