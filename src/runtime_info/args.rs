//! The command line of `nova-ha-runtime-info`.

use std::path::PathBuf;

use clap::Parser;

use crate::disks::{Roots, md_uuid};
use crate::run_dir;

/// Publishes what a recovery of this host will need: its md arrays and their filesystems, system
/// UUID, serial, SSH host keys and Nova names.
///
/// Made for a Consul script check or cron. Exits 0 when everything is published, 1 with a line that
/// says what could not be read. Writes only when something changed, and once a day.
#[derive(Debug, Clone, Parser)]
#[command(name = "nova-ha-runtime-info", version)]
pub struct Args {
    /// This host's name in the tree; by default the machine's host name.
    #[arg(long, env = "NOVA_HA_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// Where the kernel and udev say what they say.
    #[command(flatten)]
    pub roots: Roots,
    /// Where sshd keeps its host keys (*.pub).
    #[arg(long, default_value = "/etc/ssh", value_name = "FOLDER")]
    pub ssh_dir: PathBuf,
    /// Nova's configuration, for its name of this host and its instances_path; not being there is
    /// no fault.
    #[arg(long, default_value = "/etc/nova/nova.conf", value_name = "FILE")]
    pub nova_conf: PathBuf,
    /// A person's word that this array is no more: it is published no longer, unless it runs here.
    #[arg(long, value_name = "UUID", value_parser = array)]
    pub forget_array: Vec<String>,
    /// Where the boot guard leaves word that it ran in this boot.
    #[arg(long, env = "NOVA_HA_RUN_DIR", default_value = run_dir::ROOTS, value_name = "FOLDER", hide = true)]
    pub run_dir: PathBuf,
    /// Say what root's last run on this machine said, and publish nothing: for a check of a Consul that
    /// is not root (root's runs: nova-ha-runtime-info.timer).
    #[arg(long, conflicts_with_all = ["dry_run", "json", "forget_array"])]
    pub last: bool,
    /// Print the document that would be published, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the published document as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// This machine's own host name.
    pub fn machine_name() -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

fn array(text: &str) -> Result<String, String> {
    md_uuid::uuid(text).ok_or_else(|| "expected the UUID of an array, as mdadm writes it".to_owned())
}
