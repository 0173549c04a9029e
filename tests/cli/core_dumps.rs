//! A crash of an executable that holds secrets leaves nothing of its memory on a disk.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Each executable with a command that asks Consul something, and the path of a request of it.
const ALL: [(&str, &[&str]); 6] = [
    (env!("CARGO_BIN_EXE_nova-ha"), &["status"]),
    (env!("CARGO_BIN_EXE_nova-ha-probe"), &["node1", "--ha-node", "ha1"]),
    (env!("CARGO_BIN_EXE_nova-ha-mark-failed"), &["--sweep", "--ha-node", "ha1"]),
    (env!("CARGO_BIN_EXE_nova-ha-recover"), &["--ha-node", "ha1", "--plan"]),
    (env!("CARGO_BIN_EXE_nova-ha-runtime-info"), &["--host", "node1"]),
    (env!("CARGO_BIN_EXE_nova-ha-boot-guard"), &["--for", "compute", "--host", "node1"]),
];

#[test]
fn an_executable_that_crashes_in_the_middle_of_its_work_writes_no_core() {
    for (program, args) in ALL {
        // A Consul that takes a connection and says nothing: what asks it has its token in memory by then.
        let consul = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh", program])
            .args(args)
            .current_dir(folder.path())
            .env("CONSUL_HTTP_ADDR", format!("http://{}", consul.local_addr().unwrap()))
            .env("CONSUL_HTTP_TOKEN", "11111111-2222-3333-4444-555555555555")
            .env("NOVA_HA_RUN_DIR", folder.path().join("run"))
            .env("NOVA_HA_STATE_DIR", folder.path().join("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut asked = [0; 4];
        consul.accept().unwrap().0.read_exact(&mut asked).unwrap();
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<&str> = core.split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{program}: {core}");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::ABORT).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false), "{program}");
        assert!(!folder.path().join("core").exists());
    }
}
