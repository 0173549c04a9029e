//! The command line of `nova-ha-probe`, parsed into settings that cannot be wrong.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::keys::{self, MachineKeys};
use crate::names::{HaNodeName, HostName};
use crate::run_dir;

/// Looks at one host over SSH, counts consecutive failures, and says so in one line.
///
/// Made for a Consul script check. Exits 0 when the host answers on every plane, 1 when it fails
/// below the threshold, when nothing can be told, or on any fault of the probe itself, and 2 when the
/// threshold is reached. `nova-ha generate consul-config` writes the check.
#[derive(Debug, Parser)]
#[command(name = "nova-ha-probe", version)]
pub struct Args {
    /// The host, as it is spelled in the tree.
    #[arg(value_name = "HOST")]
    pub host: String,
    /// This HA node's name in the tree; by default the machine's host name.
    #[arg(long, env = "NOVA_HA_NODE", value_name = "NAME")]
    pub ha_node: Option<String>,
    /// HOST is another HA node: its keys are those under ha_nodes/.
    #[arg(long)]
    pub peer: bool,
    /// Connect here; by default config/ssh/address, else the host's name.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Name of the plane that the SSH login is on.
    #[arg(long, default_value = "management", value_parser = plane)]
    pub plane: String,
    /// Consecutive failed probes that make a vote.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub threshold: u64,
    /// Time between two probes, as the check is configured.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub interval: Duration,
    /// Time for one whole probe; below the interval.
    #[arg(long, default_value = "8s", value_parser = duration)]
    pub deadline: Duration,
    /// A TCP port that must accept a connection too, on a plane of its own (by default tcp-PORT).
    /// Checks that share a plane: the worst answer counts.
    #[arg(long = "tcp", value_name = "[PLANE=][ADDRESS:]PORT", value_parser = tcp)]
    pub tcp: Vec<TcpCheck>,
    /// A command that must exit 0 after the login.
    #[arg(long, value_name = "CMD")]
    pub command: Option<String>,
    /// Where this observer remembers whom it has seen healthy since its boot.
    #[arg(long, env = "NOVA_HA_RUN_DIR", default_value_os_t = run_dir::of_the_monitor(), value_name = "FOLDER", hide = true)]
    pub run_dir: PathBuf,
    /// Where this observer keeps the SSH host keys that it saw first.
    #[arg(long, env = "NOVA_HA_STATE_DIR", default_value_os_t = run_dir::state_of_the_monitor(), value_name = "FOLDER", hide = true)]
    pub state_dir: PathBuf,
    /// One line of JSON instead of one line of text.
    #[arg(long)]
    pub json: bool,
}

/// One TCP check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpCheck {
    /// The plane it belongs to.
    pub plane: String,
    /// Where; by default where the login goes.
    pub address: Option<String>,
    /// The port.
    pub port: u16,
}

/// Who is being looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// A compute host.
    Host(HostName),
    /// Another HA node.
    Peer(HaNodeName),
}

impl Machine {
    /// Its keys.
    pub fn keys(&self) -> MachineKeys {
        match self {
            Machine::Host(name) => keys::host(name),
            Machine::Peer(name) => keys::ha_node(name),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Machine::Host(name) => name.as_str(),
            Machine::Peer(name) => name.as_str(),
        }
    }

    /// What it is, as errors call it.
    pub fn what(&self) -> &'static str {
        match self {
            Machine::Host(_) => "host",
            Machine::Peer(_) => "HA node",
        }
    }

    /// The operator's command that sets what is missing of it.
    pub fn command_to_set(&self, option: &str) -> String {
        let add = match self {
            Machine::Host(_) => "host add",
            Machine::Peer(_) => "ha-node add",
        };
        format!("nova-ha {add} {} --replace {option}", self.name())
    }
}

/// Everything a probe needs to know from its caller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is being looked at.
    pub machine: Machine,
    /// Who looks.
    pub observer: HaNodeName,
    /// `--address`.
    pub address: Option<String>,
    /// Plane of the login.
    pub plane: String,
    /// Fails that make a vote.
    pub threshold: u64,
    /// Time between two probes.
    pub interval: Duration,
    /// Time for one.
    pub deadline: Duration,
    /// TCP checks.
    pub tcp: Vec<TcpCheck>,
    /// A command.
    pub command: Option<String>,
    /// Folder of the local marks.
    pub run_dir: PathBuf,
    /// Folder of what outlasts boots.
    pub state_dir: PathBuf,
}

impl Args {
    /// What the arguments mean together.
    ///
    /// # Errors
    /// A name that is none, a deadline that does not fit into the interval, or an unknown host name.
    pub fn settings(&self) -> Result<Settings, String> {
        let observer = match &self.ha_node {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let observer: HaNodeName = observer.parse().map_err(|e| format!("--ha-node: {e}"))?;
        let machine = match self.peer {
            true => Machine::Peer(self.host.parse().map_err(|e| format!("HOST: {e}"))?),
            false => Machine::Host(self.host.parse().map_err(|e| format!("HOST: {e}"))?),
        };
        if machine == Machine::Peer(observer.clone()) {
            return Err(format!("{observer} is this HA node: an HA node is probed by the others"));
        }
        // A probe that may outlast its interval queues up behind itself in Consul.
        if self.deadline >= self.interval.max(Duration::from_secs(2)) {
            return Err("--deadline must be below --interval (or below 2s)".to_owned());
        }
        if self.deadline < Duration::from_millis(500) {
            return Err("--deadline must be at least 500ms".to_owned());
        }
        Ok(Settings {
            machine,
            observer,
            address: self.address.clone(),
            plane: self.plane.clone(),
            threshold: self.threshold,
            interval: self.interval,
            deadline: self.deadline,
            tcp: self.tcp.clone(),
            command: self.command.clone(),
            run_dir: self.run_dir.clone(),
            state_dir: self.state_dir.clone(),
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a duration such as 10s or 500ms".to_owned())?;
    Duration::try_from(signed)
        .ok()
        .filter(|d| (1..=86_400_000).contains(&d.as_millis()))
        .ok_or_else(|| "expected more than nothing and at most a day".to_owned())
}

fn plane(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match (1..=40).contains(&text.len()) && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("a plane is named by 1 to 40 of A-Z a-z 0-9 . _ -".to_owned()),
    }
}

fn tcp(text: &str) -> Result<TcpCheck, String> {
    let (named, rest) = match text.split_once('=') {
        Some((name, rest)) => (Some(plane(name)?), rest),
        None => (None, text),
    };
    let (address, port) = match rest.rsplit_once(':') {
        Some((address, port)) => (Some(address.trim_start_matches('[').trim_end_matches(']')), port),
        None => (None, rest),
    };
    if address.is_some_and(str::is_empty) {
        return Err("the address before ':' is empty".to_owned());
    }
    let port: u16 = port.parse().ok().filter(|p| *p != 0).ok_or("expected a port from 1 to 65535")?;
    Ok(TcpCheck {
        plane: named.unwrap_or_else(|| format!("tcp-{port}")),
        address: address.map(str::to_owned),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_check_is_a_port_with_an_optional_plane_and_address() {
        let check = |plane: &str, address: Option<&str>, port| TcpCheck {
            plane: plane.to_owned(),
            address: address.map(str::to_owned),
            port,
        };
        assert_eq!(tcp("16509").unwrap(), check("tcp-16509", None, 16509));
        assert_eq!(tcp("storage=3260").unwrap(), check("storage", None, 3260));
        assert_eq!(tcp("storage=10.1.0.1:3260").unwrap(), check("storage", Some("10.1.0.1"), 3260));
        assert_eq!(tcp("s=[fe80::1]:22").unwrap(), check("s", Some("fe80::1"), 22));
        for bad in ["", "0", "65536", "=1", "a b=1", ":22", "x:", "storage="] {
            assert!(tcp(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let settings = |args: &[&str]| {
            let all = ["nova-ha-probe", "--ha-node", "ha1"].iter().chain(args);
            Args::try_parse_from(all).unwrap().settings()
        };
        assert!(settings(&["compute1"]).is_ok());
        assert!(settings(&["compute1", "--interval", "1s", "--deadline", "1500ms"]).is_ok());
        for bad in
            [&["a/b"][..], &["ha1", "--peer"], &["c", "--deadline", "10s"], &["c", "--deadline", "1ms"]]
        {
            assert!(settings(bad).is_err(), "{bad:?}");
        }
    }
}
