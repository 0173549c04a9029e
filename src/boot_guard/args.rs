//! The command line of `nova-ha-boot-guard`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::owner::What;
use crate::disks::Roots;
use crate::names::HostName;
use crate::run_dir;

/// Asks Consul and the disks whose this host's storage and guests are, and ends when they are this
/// host's own.
///
/// Made for systemd, before the guests' arrays and nova-compute. Asks without limit, and says why it
/// waits. Exit 0: they are this host's own, or a person said so with --override.
#[derive(Debug, Parser)]
#[command(name = "nova-ha-boot-guard", version)]
pub struct Args {
    /// This host's name in the tree; by default the machine's host name.
    #[arg(long, env = "NOVA_HA_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// What waits for the answer: storage (the guests' arrays, whose disks are asked too), or compute
    /// (nova-compute, which waits for the guests' filesystems), which may also start while `nova-ha
    /// rejoin` is giving the host back.
    #[arg(long = "for", value_enum, default_value_t = What::Storage, value_name = "WHAT")]
    pub what: What,
    /// Ask once: exit 0 (its own), 3 (not its own, or not ready) or 1 (cannot tell).
    #[arg(long, conflicts_with = "override_host")]
    pub once: bool,
    /// Wait until the tree has the last override, and end; at once where there is none.
    #[arg(long, conflicts_with_all = ["once", "override_host"])]
    pub record: bool,
    /// Pause between two questions.
    #[arg(long, default_value = "5s", value_parser = pause, value_name = "DURATION")]
    pub interval: Duration,
    /// A person's word for this boot, offline too: HOST typed in full. Only when no other machine has
    /// this host's disks and guests. It is recorded in the tree when Consul answers.
    #[arg(long = "override", value_name = "HOST", requires = "by")]
    pub override_host: Option<HostName>,
    /// Who says so.
    #[arg(long, value_name = "NAME", requires = "override_host", value_parser = who)]
    pub by: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", requires = "override_host")]
    pub reason: Option<String>,
    /// How long after its start disks that are not here may still come.
    #[arg(long, default_value = "30s", value_parser = pause, value_name = "DURATION")]
    pub wait_for_disks: Duration,
    /// Where the kernel and udev say what they say.
    #[command(flatten)]
    pub roots: Roots,
    /// Where it leaves word that it let this boot's storage start.
    #[arg(long, env = "NOVA_HA_RUN_DIR", default_value = run_dir::ROOTS, value_name = "FOLDER", hide = true)]
    pub run_dir: PathBuf,
    /// What this machine remembers over boots.
    #[arg(
        long,
        env = "NOVA_HA_STATE_DIR",
        default_value = "/var/lib/nova-ha",
        value_name = "FOLDER",
        hide = true
    )]
    pub state_dir: PathBuf,
}

impl Args {
    /// This machine's own host name, as its kernel has it.
    pub fn machine_name() -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a duration such as 5s or 500ms".to_owned())?;
    Duration::try_from(signed)
        .ok()
        .filter(|pause| (100..=3_600_000).contains(&pause.as_millis()))
        .ok_or_else(|| "expected 100ms to 1h".to_owned())
}

fn who(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say who you are: --by NAME".into()),
        name => Ok(name.chars().take(80).collect()),
    }
}
