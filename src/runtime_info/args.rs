//! The command line of `nova-ha-runtime-info`.

use std::path::PathBuf;

use clap::Parser;

/// Publishes what a recovery of this host will need: its system UUID, serial, SSH host keys and
/// Nova names.
///
/// Made for a Consul script check or cron. Exits 0 when everything is published, 1 with a line that
/// says what could not be read. Writes only when something changed, and once a day.
#[derive(Debug, Parser)]
#[command(name = "nova-ha-runtime-info", version)]
pub struct Args {
    /// This host's name in the tree; by default the machine's host name.
    #[arg(long, env = "NOVA_HA_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// Where sysfs is mounted.
    #[arg(long, default_value = "/sys", value_name = "FOLDER")]
    pub sysfs: PathBuf,
    /// Where sshd keeps its host keys (*.pub).
    #[arg(long, default_value = "/etc/ssh", value_name = "FOLDER")]
    pub ssh_dir: PathBuf,
    /// Nova's configuration, for its name of this host; not being there is no fault.
    #[arg(long, default_value = "/etc/nova/nova.conf", value_name = "FILE")]
    pub nova_conf: PathBuf,
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
