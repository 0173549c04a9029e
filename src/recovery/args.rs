//! The command line of `nova-ha-recover`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::confirm::person;
use crate::run_dir;

/// Recovers the guests of dead hosts: claims an incident, fences the host, evacuates every guest,
/// proves each one, and closes. Loops until nothing is claimable.
///
/// Safe to run at any time on any HA node, and again: it resumes what an earlier run of this HA node
/// began, and adopts what a dead HA node left.
///
/// Consul is found through CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN_FILE and the other standard variables,
/// the cloud through clouds.yaml (its name is config/os_cloud of this HA node) or OS_* variables.
///
/// Exit codes: 0 all recovered or nothing to do; 1 nothing could be read or done; 3 something
/// waits, is held, or was recovered in part: the line says what, and the next command.
#[derive(Debug, Parser)]
#[command(name = "nova-ha-recover", version)]
pub struct Args {
    /// This host's incident only.
    #[arg(value_name = "HOST")]
    pub host: Option<String>,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub plan: bool,
    /// How long one run goes on trying an incident that it has claimed and that waits.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub patience: Duration,
    /// This HA node's name in the tree; by default the machine's host name.
    #[arg(long, env = "NOVA_HA_NODE", value_name = "NAME")]
    pub ha_node: Option<String>,
    /// Where the lock of this boot lies.
    #[arg(long, env = "NOVA_HA_RUN_DIR", default_value = run_dir::ROOTS, value_name = "FOLDER", hide = true)]
    pub run_dir: PathBuf,
    /// Where this HA node remembers what it took.
    #[arg(
        long,
        env = "NOVA_HA_STATE_DIR",
        default_value = "/var/lib/nova-ha",
        value_name = "FOLDER",
        hide = true
    )]
    pub state_dir: PathBuf,
    /// Give the storage of HOST, whose incident is over, back: with storage md unmounted,
    /// stopped and named as before, with exec its program's `release`. Refused while any guest is on this HA node.
    #[arg(long, requires = "host", requires = "yes", requires = "by", conflicts_with = "plan")]
    pub release_storage: bool,
    /// With --release-storage: the host's name, once more.
    #[arg(long, value_name = "HOST", requires = "release_storage")]
    pub yes: Option<String>,
    /// With --release-storage: who says so.
    #[arg(long, value_name = "NAME", requires = "release_storage", value_parser = person)]
    pub by: Option<String>,
    /// JSON instead of lines.
    #[arg(long)]
    pub json: bool,
    /// Say how far it is while it runs: a line for each guest that is accounted for and one every few
    /// seconds for all of them (with --json one object a line), before the result.
    #[arg(long)]
    pub progress: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no time like 30s or 5m"))?;
    Duration::try_from(signed).map_err(|_| format!("{text:?} is negative"))
}
