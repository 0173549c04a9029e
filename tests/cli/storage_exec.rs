//! The storage program's contract, with real processes: the example of docs/storage-exec.md, and
//! programs that do not keep it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nova_ha::program::Ended;
use nova_ha::recovery::site_programs::SitePrograms;
use nova_ha::recovery::storage::answer::Answer;
use nova_ha::recovery::storage::contract::{Order, VERSION, Verb, answer};
use nova_ha::recovery::world::{Programs, Said};
use serde_json::Value;

const GUESTS: [&str; 2] = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];

/// On an HA node without a local.toml.
fn programs() -> SitePrograms {
    SitePrograms { local_file: "/nonexistent/local.toml".into() }
}

/// A pool with compute1's guests, and the HA node's mountpoint, on one filesystem.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for guest in GUESTS {
            std::fs::create_dir_all(folder.path().join("pool/compute1").join(guest)).unwrap();
            std::fs::write(folder.path().join("pool/compute1").join(guest).join("disk"), guest).unwrap();
        }
        std::fs::create_dir(folder.path().join("instances")).unwrap();
        Self { folder }
    }

    fn mountpoint(&self) -> PathBuf {
        self.folder.path().join("instances")
    }

    fn pool(&self) -> PathBuf {
        self.folder.path().join("pool")
    }

    async fn run(&self, program: &Path, verb: Verb, deadline: Duration) -> (Said, Answer) {
        let mountpoint = self.mountpoint();
        let order = Order {
            version: VERSION,
            verb,
            incident: "compute1@0",
            host: "compute1",
            nova_host: "compute1",
            ha_node: "ha1",
            mountpoint: &mountpoint,
            runtime_info: &Value::Null,
            guests: GUESTS.to_vec(),
            off: (verb == Verb::Take).then_some("ipmi"),
        };
        let stdin = serde_json::to_string(&order).unwrap();
        let args = [self.pool().to_str().unwrap().to_owned()];
        let said = programs().run(program, &args, stdin, deadline).await.unwrap();
        let answer = answer(&said, &mountpoint);
        (said, answer)
    }

    async fn example(&self, verb: Verb) -> Answer {
        // A copy: a checkout may be another user's, or its group's.
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/storage-exec-move-directory");
        let text = std::fs::read_to_string(example).unwrap();
        let program = self.write(&text);
        self.run(&program, verb, Duration::from_secs(30)).await.1
    }

    /// A program that does as the shell script says. A shell writes it: had this process the file open
    /// for writing while another test's thread forks, the kernel would refuse to run it.
    fn script(&self, script: &str) -> PathBuf {
        self.write(&format!("#!/bin/sh\n{script}"))
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("program");
        let write = r##"printf '%s\n' "$2" > "$1" && chmod 755 "$1""##;
        let mut shell = std::process::Command::new("/bin/sh");
        assert!(shell.args(["-c", write, "sh"]).arg(&path).arg(text).status().unwrap().success());
        path
    }

    fn moved(&self) -> usize {
        std::fs::read_dir(self.mountpoint()).unwrap().count()
    }
}

#[tokio::test]
async fn the_example_moves_the_guests_once_and_back() {
    let site = Site::new();
    for _ in 0..2 {
        assert!(matches!(site.example(Verb::Check).await, Answer::Ready { .. }));
        assert_eq!(site.moved(), 0, "a check changed something");
    }
    for _ in 0..2 {
        assert!(matches!(site.example(Verb::Take).await, Answer::Taken { .. }));
        assert!(matches!(site.example(Verb::Check).await, Answer::Taken { .. }));
        assert_eq!(site.moved(), 2);
    }
    for guest in GUESTS {
        assert_eq!(std::fs::read_to_string(site.mountpoint().join(guest).join("disk")).unwrap(), guest);
    }
    assert!(matches!(site.example(Verb::Release).await, Answer::Ready { .. }));
    assert_eq!(site.moved(), 0);
}

#[tokio::test]
async fn the_example_goes_on_where_a_kill_left_it_and_refuses_what_it_cannot_know() {
    let site = Site::new();
    let from = |guest: &str| site.pool().join("compute1").join(guest);
    std::fs::rename(from(GUESTS[0]), site.mountpoint().join(GUESTS[0])).unwrap();
    assert!(matches!(site.example(Verb::Check).await, Answer::Ready { .. }));
    assert!(matches!(site.example(Verb::Take).await, Answer::Taken { .. }));
    assert_eq!(site.moved(), 2);
    // A directory of a guest that was moved already: which of the two is the newer?
    std::fs::create_dir(from(GUESTS[0])).unwrap();
    for verb in [Verb::Check, Verb::Take] {
        let answer = site.example(verb).await;
        assert!(
            matches!(&answer, Answer::Refused { detail } if detail.contains("both places")),
            "{answer:?}"
        );
    }
    // Another machine has them.
    std::fs::remove_dir(from(GUESTS[0])).unwrap();
    std::fs::remove_dir_all(site.mountpoint()).unwrap();
    std::fs::create_dir(site.mountpoint()).unwrap();
    let answer = site.example(Verb::Check).await;
    assert!(
        matches!(&answer, Answer::Refused { detail } if detail.contains("of 2 guests none")),
        "{answer:?}"
    );
    std::fs::remove_dir_all(site.pool()).unwrap();
    assert!(matches!(site.example(Verb::Check).await, Answer::Refused { .. }));
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_all_its_children_and_nothing_is_known() {
    let site = Site::new();
    let mark = site.mountpoint().join("mark");
    let program = site.script(&format!(
        "(sleep 2; touch {}) &\necho '{{\"version\":1,\"state\":\"taken\",\"detail\":\"\",\"mounted\":[{{\"what\":\"x\",\"where\":\"{}\"}}]}}'\nsleep 600",
        mark.display(),
        site.mountpoint().display()
    ));
    let began = Instant::now();
    let (said, answer) = site.run(&program, Verb::Take, Duration::from_millis(700)).await;
    assert_eq!(said.ended, Ended::Deadline);
    assert!(matches!(answer, Answer::CannotTell { .. }), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!mark.exists(), "a child of it worked on");
}

#[tokio::test]
async fn a_program_that_breaks_off_or_talks_too_much_says_nothing() {
    let site = Site::new();
    for (script, expected) in [
        ("exit 0", "cannot be understood"),
        ("cat >/dev/null; echo no such pool >&2; exit 7", "exit code 7; it says: no such pool"),
        ("kill -SEGV $$", "signal 11"),
        ("head -c 1000000 /dev/zero | tr '\\0' ' '", "more than is read"),
        ("cat", "missing field `state`"),
    ] {
        let program = site.script(script);
        let (_, answer) = site.run(&program, Verb::Check, Duration::from_secs(20)).await;
        assert!(
            matches!(&answer, Answer::CannotTell { why } if why.contains(expected)),
            "{script}: {answer:?}"
        );
    }
    let why =
        programs().run(Path::new("/nonexistent/program"), &[], String::new(), Duration::from_secs(1)).await;
    assert!(why.is_err_and(|why| why.contains("/nonexistent/program")));
}

#[tokio::test]
async fn a_program_that_others_could_change_is_not_run() {
    let site = Site::new();
    let mark = site.mountpoint().join("mark");
    let program = site.script(&format!("touch {}", mark.display()));
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o775)).unwrap();
    let said = programs().run(&program, &[], String::new(), Duration::from_secs(20)).await;
    let fix = format!("chmod go-w {}", program.display());
    assert!(said.as_ref().is_err_and(|why| why.contains(&fix)), "{said:?}");
    assert!(!mark.exists(), "it was run");
}

#[tokio::test]
async fn a_command_line_that_the_ha_nodes_root_does_not_name_is_not_run() {
    let site = Site::new();
    let mark = site.mountpoint().join("mark");
    let program = site.script(&format!("touch {}", mark.display()));
    let toml = site.folder.path().join("local.toml");
    let programs = SitePrograms { local_file: toml.clone() };
    let run = async |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        programs.run(&program, &args, String::new(), Duration::from_secs(20)).await
    };
    let line = format!("storage_programs = [\"{} --pool tank\"]\n", program.display());
    for (text, args, why) in [
        ("", &["--pool", "tank"][..], "does not allow the storage program"),
        (&line, &["--pool", "tank2"], "does not allow the storage program"),
        (&line, &[], "does not allow the storage program"),
        ("storage_programs = [", &["--pool", "tank"], "cannot be used: line 1"),
    ] {
        std::fs::write(&toml, text).unwrap();
        let said = run(args).await;
        assert!(
            said.as_ref().is_err_and(|said| said.contains(why) && said.contains("; next: ")),
            "{text:?} {said:?}"
        );
        assert!(!mark.exists(), "{text:?} {args:?} was run");
    }
    std::fs::write(&toml, &line).unwrap();
    assert_eq!(run(&["--pool", "tank"]).await.unwrap().ended, Ended::Exit(0));
    assert!(mark.exists());
}

#[test]
fn a_release_waits_for_a_sweep_and_beside_a_recovery_it_is_not_called_done() {
    let folder = tempfile::tempdir().unwrap();
    let busy = nova_ha::recovery::single::Single::take(folder.path()).unwrap();
    let mut release = std::process::Command::new(env!("CARGO_BIN_EXE_nova-ha-recover"));
    release
        .env_clear()
        .env("CONSUL_HTTP_ADDR", "no address")
        .args([
            "compute1",
            "--release-storage",
            "--yes",
            "compute1",
            "--by",
            "ann",
            "--ha-node",
            "ha1",
            "--run-dir",
        ])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let output = release.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        said.starts_with("compute1: not released: a recovery runs here") && said.contains("next: "),
        "{said}"
    );
    let waiting = release.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(busy);
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("cannot use Consul"), "{output:?}");
}

#[tokio::test]
async fn the_example_gives_back_all_that_it_took_and_is_not_ready_before() {
    let site = Site::new();
    // On no ledger: nova-ha never heard of it.
    let unnamed = "00000000-0000-4000-8000-00000000000f";
    std::fs::create_dir(site.pool().join("compute1").join(unnamed)).unwrap();
    assert!(matches!(site.example(Verb::Take).await, Answer::Taken { .. }));
    assert_eq!(site.moved(), 3);
    // A release that was killed half way.
    let of = |folder: PathBuf| folder.join(GUESTS[0]);
    std::fs::rename(of(site.mountpoint()), of(site.pool().join("compute1"))).unwrap();
    assert!(matches!(site.example(Verb::Release).await, Answer::Ready { .. }));
    assert_eq!(site.moved(), 0);
    assert!(site.pool().join("compute1").join(unnamed).is_dir());
    // One that is in both places cannot be given back, and is not called so.
    std::fs::create_dir(of(site.mountpoint())).unwrap();
    assert!(!matches!(site.example(Verb::Release).await, Answer::Ready { .. }));
}
