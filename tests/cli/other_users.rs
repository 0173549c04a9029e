//! What Consul starts as a user of its own: it works with the folders as consul-watches/tmpfiles/nova-ha.conf makes them, and
//! nothing that this user leaves leads root elsewhere.
//!
//! They need root, to become another user; where the tests run as somebody else they say so and end.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::site::Site;
use crate::support::sshd::Sshd;

/// nobody's number, taken for Consul's user.
const CONSUL: u32 = 65_534;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: only root can become another user");
    }
    root
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A machine's folders: `run` of root, `monitor` of Consul's user, and `tokens`.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        for name in ["run", "monitor", "tokens", "log"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            set(&folder.path().join(name), 0o755);
        }
        chown(folder.path().join("monitor"), Some(CONSUL), Some(CONSUL)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As the documented mode of a token file: root's, for Consul's group to read.
    fn token(&self, name: &str) -> PathBuf {
        let path = self.path("tokens").join(name);
        fs::write(&path, "11111111-2222-3333-4444-555555555555\n").unwrap();
        chown(&path, Some(0), Some(CONSUL)).unwrap();
        set(&path, 0o640);
        path
    }

    fn run_as(&self, uid: u32, program: &Path, args: &[&str], env: &[(&str, &Path)]) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups"]);
        command
            .arg(program)
            .args(args)
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(env.iter().copied()).output().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_and_mark_failed_work_as_consuls_user_and_leave_their_marks_in_its_own_folder() {
    if !is_root() {
        return;
    }
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1", "--ssh-user", "root", "--consul-node", "node1"]).await.ok();
    // Nobody listens there: what the probe finds is that the host does not answer, and it records it.
    let host =
        ["host", "add", "compute1", "--ssh-user", "root", "--ssh-address", "127.0.0.1", "--ssh-port", "9"];
    site.run_stdin(&[&host[..], &["--ssh-password-file", "-"]].concat(), "hunter2").await.ok();
    let machine = Machine::new();
    let address = format!("127.0.0.1:{}", site.agent.port);
    let run = |program: &str, args: &[&str], token: &str| {
        let token = machine.token(token);
        let monitor = machine.path("monitor");
        let env = [
            ("CONSUL_HTTP_ADDR", Path::new(&address)),
            ("CONSUL_HTTP_TOKEN_FILE", token.as_path()),
            ("NOVA_HA_RUN_DIR", monitor.as_path()),
            ("NOVA_HA_STATE_DIR", monitor.as_path()),
        ];
        let done = machine.run_as(CONSUL, Path::new(program), args, &env);
        (
            done.status.code(),
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)),
        )
    };
    let (code, said) = run(env!("CARGO_BIN_EXE_nova-ha-probe"), &["compute1", "--ha-node", "ha1"], "probe");
    assert!(code == Some(1) && !said.contains("denied"), "{code:?} {said}");
    let host = nova_ha::keys::host(&"compute1".parse().unwrap());
    let record = site.value(&host.observer(&"ha1".parse().unwrap())).await.unwrap_or_default();
    assert!(record.contains("\"fails\":1"), "{said} {record}");
    let (code, said) =
        run(env!("CARGO_BIN_EXE_nova-ha-mark-failed"), &["--sweep", "--ha-node", "ha1"], "mark-failed");
    assert!(code == Some(0) || code == Some(1), "{code:?} {said}");
    assert!(!said.contains("cannot be told") && !said.contains("cannot be remembered"), "{said}");
    let left = machine.path("monitor").join("observer-version");
    assert_eq!(fs::metadata(&left).map(|is| is.uid()).ok(), Some(CONSUL), "{said}");
    // Root's folder is not this user's.
    assert_eq!(fs::read_dir(machine.path("run")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_as_consuls_user_pins_in_its_own_folder_or_says_how_to_make_it() {
    if !is_root() {
        return;
    }
    let (site, server, machine) = (Site::start().await, Sshd::start("ed25519"), Machine::new());
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1", "--ssh-user", "root", "--consul-node", "node1"]).await.ok();
    let port = server.port.to_string();
    let host = [
        "host",
        "add",
        "compute1",
        "--ssh-user",
        &server.user,
        "--ssh-address",
        "127.0.0.1",
        "--ssh-port",
        &port,
    ];
    let key = ["--ssh-private-key-file", "-"];
    site.run_stdin(&[&host[..], &key].concat(), &server.private_key).await.ok();
    let address = format!("127.0.0.1:{}", site.agent.port);
    let (state, monitor) = (machine.path("lib/nova-ha-monitor"), machine.path("monitor"));
    let probe = || {
        let env = [
            ("CONSUL_HTTP_ADDR", Path::new(&address)),
            ("NOVA_HA_RUN_DIR", monitor.as_path()),
            ("NOVA_HA_STATE_DIR", state.as_path()),
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_nova-ha-probe"));
        let done = machine.run_as(CONSUL, program, &["compute1", "--ha-node", "ha1"], &env);
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    fs::create_dir(machine.path("lib")).unwrap();
    set(&machine.path("lib"), 0o755);
    let (code, said) = probe();
    assert_eq!(code, Some(0), "{said}");
    let fix = format!("as root: install -d -o {CONSUL} -m 0755 {}", state.display());
    assert!(said.contains("its SSH host key is not pinned") && said.trim_end().ends_with(&fix), "{said}");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(CONSUL), Some(CONSUL)).unwrap();
    assert_eq!(probe(), (Some(0), "OK compute1: management healthy\n".to_owned()));
    let kept = state.join("first-seen/compute1");
    assert_eq!(fs::metadata(&kept).unwrap().uid(), CONSUL);
    assert!(fs::read_to_string(&kept).unwrap().contains(&server.host_key));
}

/// `start-recover` beside a `nova-ha-recover` that says that it ran, and a `systemctl` that says what it was asked.
fn start_recover(machine: &Machine, has_systemd: bool) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("consul-watches/start-recover");
    let systemd = machine.path(if has_systemd { "" } else { "no-systemd" });
    let text = fs::read_to_string(script).unwrap().replace("/run/systemd/system", systemd.to_str().unwrap());
    let asked = machine.path("monitor").join("asked");
    let program = |name: &str, text: &str| {
        fs::write(machine.path(name), text).unwrap();
        set(&machine.path(name), 0o755);
    };
    program(
        "start-recover",
        &text.replace("systemctl ", &format!("{} ", machine.path("systemctl").display())),
    );
    program("nova-ha-recover", "#!/bin/sh\necho ran\n");
    program("systemctl", &format!("#!/bin/sh\necho \"$*\" >>{}\n", asked.display()));
    machine.path("start-recover")
}

fn started(machine: &Machine, uid: u32, program: &Path) -> (bool, String) {
    let (run, monitor, log) = (machine.path("run"), machine.path("monitor"), machine.path("log"));
    let env = [
        ("NOVA_HA_RUN_DIR", run.as_path()),
        ("NOVA_HA_MONITOR_DIR", monitor.as_path()),
        ("NOVA_HA_LOG_DIR", log.as_path()),
    ];
    let done = machine.run_as(uid, program, &[], &env);
    (
        done.status.success(),
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)),
    )
}

#[test]
fn consuls_user_asks_for_a_recovery_by_a_file_of_its_own_and_by_nothing_else() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let program = start_recover(&machine, true);
    let (ok, said) = started(&machine, CONSUL, &program);
    assert!(ok && said.contains("asked nova-ha-recover.path"), "{said}");
    assert_eq!(fs::metadata(machine.path("monitor").join("start-recover")).unwrap().uid(), CONSUL);
    let asked = fs::read_to_string(machine.path("monitor").join("asked")).unwrap();
    assert_eq!(asked, "cat nova-ha-recover.service\nis-active --quiet nova-ha-recover.path\n");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("consul-watches/systemd/nova-ha-recover.path");
    assert!(fs::read_to_string(unit).unwrap().contains("\nPathChanged=/run/nova-ha-monitor/start-recover\n"));
}

#[test]
fn start_recover_of_root_follows_no_link_and_uses_no_folder_that_others_may_write() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let program = start_recover(&machine, false);
    let (run, log) = (machine.path("run"), machine.path("log"));
    let precious = machine.path("precious");
    fs::write(&precious, "secret\n").unwrap();
    let keeps = |why: &str| assert_eq!(fs::read_to_string(&precious).unwrap(), "secret\n", "{why}");
    let refused = |why: &str, next: &str| {
        let (ok, said) = started(&machine, 0, &program);
        assert!(!ok && said.contains(next), "{why}: {said}");
        keeps(why);
    };
    for name in ["start-recover.next", "start-recover.running"] {
        symlink(&precious, run.join(name)).unwrap();
        refused(name, &format!("is a link: rm {}", run.join(name).display()));
        fs::remove_file(run.join(name)).unwrap();
    }
    chown(&run, Some(CONSUL), None).unwrap();
    refused("another's folder", &format!("chown root: {}", run.display()));
    chown(&run, Some(0), None).unwrap();
    for mode in [0o757, 0o1777] {
        set(&run, mode);
        refused("a folder for all", &format!("chmod go-w {}", run.display()));
    }
    set(&run, 0o755);
    // The log is not worth a recovery.
    symlink(&precious, log.join("recover.log")).unwrap();
    let (ok, said) = started(&machine, 0, &program);
    assert!(ok && said.contains("recover.log is not written"), "{said}");
    keeps("its log");
    fs::remove_file(log.join("recover.log")).unwrap();
    // What an earlier version left can be locked by everybody, and is this version's lock too.
    fs::write(run.join("start-recover.running"), "").unwrap();
    set(&run.join("start-recover.running"), 0o644);
    assert!(started(&machine, 0, &program).0);
    let end = Instant::now() + Duration::from_secs(10);
    while !fs::read_to_string(log.join("recover.log")).unwrap_or_default().contains("ran") {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::metadata(run.join("start-recover.running")).unwrap().mode() & 0o777, 0o600);
}
