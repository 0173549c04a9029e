//! What can be said of a machine on the command line: options that hosts and HA nodes share.
//!
//! [`MachineOptions::settings`] turns them into keys and values, everything validated, before
//! anything is read or written.

use clap::{Args, ValueEnum};
use secrecy::ExposeSecret;

use super::OperatorError;
use super::secret_input::{self, Source};
use crate::confirm::line;
use crate::fence::certificate::Pin;
use crate::fence::channel::GOOD_CIPHERS;
use crate::fence::{FenceConfig, Mark};
use crate::keys::MachineKeys;
use crate::tree::{TreeError, flag};

/// A key and the value it is to have.
pub type Setting = (String, Vec<u8>);

/// What a BMC speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BmcDriver {
    /// IPMI over LAN, through ipmitool.
    Ipmi,
    /// Redfish over HTTPS.
    Redfish,
}

/// How to reach a machine, and how to power it off.
#[derive(Debug, Clone, Default, Args)]
pub struct MachineOptions {
    /// Address of the BMC.
    #[arg(long, value_name = "ADDRESS")]
    pub bmc_ip: Option<String>,
    /// Port of the BMC (IPMI: UDP 623; Redfish: TCP 443).
    #[arg(long, value_name = "PORT")]
    pub bmc_port: Option<u16>,
    /// The BMC's account; it must have the right to power off.
    #[arg(long, value_name = "NAME")]
    pub bmc_user: Option<String>,
    /// File with the BMC's password, or with a reference (file:/path, env:NAME); - is stdin.
    #[arg(long, value_name = "FILE")]
    pub bmc_password_file: Option<Source>,
    /// What the BMC speaks.
    #[arg(long, value_enum)]
    pub bmc_driver: Option<BmcDriver>,
    /// IPMI cipher suite (17 for modern BMCs, 3 for old ones; 8 and 12 are taken too).
    #[arg(long, value_name = "N", value_parser = cipher)]
    pub bmc_cipher: Option<u8>,
    /// Key of the certificate of its Redfish BMC, sha256:HEX (docs/bmc.md): no other is spoken to.
    #[arg(long, value_name = "sha256:HEX", conflicts_with_all = ["bmc_ca", "bmc_insecure", "pin_bmc"])]
    pub bmc_pin: Option<Pin>,
    /// Look at the certificates of all its Redfish levels now, and pin what they show.
    #[arg(long, conflicts_with_all = ["bmc_ca", "bmc_insecure"])]
    pub pin_bmc: bool,
    /// File with the authorities (PEM) that sign the certificate of its Redfish BMC; the same path on each HA node.
    #[arg(long, value_name = "PATH", conflicts_with = "bmc_insecure")]
    pub bmc_ca: Option<String>,
    /// Take a BMC in whose place anyone on its network can answer: http, or a certificate that nobody looks at.
    #[arg(long)]
    pub bmc_insecure: bool,
    /// System UUID or serial number that this BMC must report, so that no other machine is shot.
    #[arg(long, value_name = "UUID|SERIAL")]
    pub bmc_identity: Option<String>,
    /// Who looked, and says that its BMC is this machine's, where the BMC cannot say so itself; with --bmc-shows.
    #[arg(long, value_name = "NAME", requires = "bmc_shows")]
    pub bmc_confirmed_by: Option<String>,
    /// What that BMC shows of itself, as nova-ha-recover HOST --plan shows it; another device ends the word.
    #[arg(long, value_name = "MARK", requires = "bmc_confirmed_by")]
    pub bmc_shows: Option<Mark>,
    /// Account for the SSH probe.
    #[arg(long, value_name = "NAME")]
    pub ssh_user: Option<String>,
    /// File with its password, or with a reference (file:/path, env:NAME); - is stdin.
    #[arg(long, value_name = "FILE")]
    pub ssh_password_file: Option<Source>,
    /// File with its private key, or with a reference (file:/path, env:NAME); - is stdin.
    #[arg(long, value_name = "FILE")]
    pub ssh_private_key_file: Option<Source>,
    /// Port of the SSH server.
    #[arg(long, value_name = "PORT")]
    pub ssh_port: Option<u16>,
    /// Address to probe, where it is not the machine's name.
    #[arg(long, value_name = "ADDRESS")]
    pub ssh_address: Option<String>,
    /// File with the pinned public host keys, one a line (as ssh-keyscan prints, or *.pub).
    #[arg(long, value_name = "FILE")]
    pub ssh_host_key_file: Option<Source>,
    /// File with the ordered fence levels (JSON); - is stdin. Absent: IPMI from the BMC's options.
    #[arg(long, value_name = "FILE")]
    pub fence_file: Option<Source>,
    /// What Consul calls this machine, where it is not its name.
    #[arg(long, value_name = "NAME")]
    pub consul_node: Option<String>,
    /// What Nova calls its compute service, where it is not its name.
    #[arg(long, value_name = "NAME")]
    pub nova_host: Option<String>,
    /// What Nova calls its hypervisor, where it is not its name.
    #[arg(long, value_name = "NAME")]
    pub hypervisor: Option<String>,
    /// Change a machine that is there: only what is named here.
    #[arg(long)]
    pub replace: bool,
}

impl MachineOptions {
    /// Keys and values of what was named, validated. `config/names` is not among them: it is one
    /// record, merged with the one that is there.
    pub fn settings(&self, keys: &MachineKeys) -> Result<Vec<Setting>, OperatorError> {
        self.one_stdin()?;
        let mut settings: Vec<Setting> = Vec::new();
        let mut set = |key: String, value: Option<String>| {
            settings.extend(value.map(|value| (key, value.into_bytes())));
        };
        set(keys.bmc_field("ip"), checked("--bmc-ip", self.bmc_ip.as_deref(), address)?);
        set(keys.bmc_field("port"), port("--bmc-port", self.bmc_port)?);
        set(keys.bmc_field("user"), checked("--bmc-user", self.bmc_user.as_deref(), word)?);
        set(keys.bmc_field("driver"), self.bmc_driver.map(|driver| driver.as_stored().to_owned()));
        set(keys.bmc_field("cipher"), self.bmc_cipher.map(|cipher| cipher.to_string()));
        set(keys.bmc_field("ca"), checked("--bmc-ca", self.bmc_ca.as_deref(), ca_file)?);
        if self.fence_file.is_none() {
            set(keys.bmc_field("insecure"), self.bmc_insecure.then(|| flag::text(true).to_owned()));
        }
        set(keys.bmc_field("identity"), checked("--bmc-identity", self.bmc_identity.as_deref(), line)?);
        set(keys.ssh_field("user"), checked("--ssh-user", self.ssh_user.as_deref(), word)?);
        set(keys.ssh_field("port"), port("--ssh-port", self.ssh_port)?);
        set(keys.ssh_field("address"), checked("--ssh-address", self.ssh_address.as_deref(), address)?);
        if let Some(source) = &self.ssh_host_key_file {
            set(keys.ssh_field("host_key"), Some(host_keys(&source.text("--ssh-host-key-file")?)?));
        }
        if let Some(source) = &self.fence_file {
            set(keys.fence(), Some(fence(&source.text("--fence-file")?)?));
        }
        if let Some(source) = &self.bmc_password_file {
            let secret = secret_input::password(source, "--bmc-password-file")?;
            set(keys.bmc_field("password"), Some(secret.expose_secret().to_owned()));
        }
        if let Some(source) = &self.ssh_password_file {
            let secret = secret_input::password(source, "--ssh-password-file")?;
            set(keys.ssh_field("password"), Some(secret.expose_secret().to_owned()));
        }
        if let Some(source) = &self.ssh_private_key_file {
            let secret = secret_input::private_key(source, "--ssh-private-key-file")?;
            set(keys.ssh_field("private_key"), Some(secret.expose_secret().to_owned()));
        }
        checked("--bmc-confirmed-by", self.bmc_confirmed_by.as_deref(), line)?;
        for (option, name) in [
            ("--consul-node", &self.consul_node),
            ("--nova-host", &self.nova_host),
            ("--hypervisor", &self.hypervisor),
        ] {
            checked(option, name.as_deref(), address)?;
        }
        Ok(settings)
    }

    /// A person's word about whose its BMC is.
    pub(super) fn confirms(&self) -> Option<(&str, &Mark)> {
        self.bmc_confirmed_by.as_deref().map(str::trim).zip(self.bmc_shows.as_ref())
    }

    /// Whether anything was said of how its BMC is reached.
    pub(super) fn names_bmc(&self) -> bool {
        self.names_its_address()
            || self.bmc_confirmed_by.is_some()
            || self.bmc_user.is_some()
            || self.bmc_cipher.is_some()
            || self.bmc_pin.is_some()
            || self.bmc_ca.is_some()
            || self.pin_bmc
            || self.bmc_insecure
    }

    /// Whether anything was said of where its BMC is: there may be another one now.
    pub(super) fn names_its_address(&self) -> bool {
        self.bmc_ip.is_some()
            || self.bmc_port.is_some()
            || self.bmc_driver.is_some()
            || self.fence_file.is_some()
    }

    /// Whether any of the names others use was given.
    pub fn has_names(&self) -> bool {
        self.consul_node.is_some() || self.nova_host.is_some() || self.hypervisor.is_some()
    }

    /// Standard input can be read once.
    fn one_stdin(&self) -> Result<(), OperatorError> {
        let sources = [
            &self.bmc_password_file,
            &self.ssh_password_file,
            &self.ssh_private_key_file,
            &self.ssh_host_key_file,
            &self.fence_file,
        ];
        if sources.iter().filter(|source| source.as_ref() == Some(&Source::Stdin)).count() > 1 {
            return Err(input("-", "standard input can be read only once: put the others into files"));
        }
        Ok(())
    }
}

impl BmcDriver {
    /// As `config/bmc/driver` holds it.
    fn as_stored(self) -> &'static str {
        match self {
            BmcDriver::Ipmi => "ipmi",
            BmcDriver::Redfish => "redfish",
        }
    }
}

fn input(option: &str, why: impl Into<String>) -> OperatorError {
    OperatorError::Input { option: option.into(), why: why.into() }
}

/// A text that passes a check, trimmed.
pub(crate) fn checked(
    option: &str,
    text: Option<&str>,
    check: fn(&str) -> Result<(), &'static str>,
) -> Result<Option<String>, OperatorError> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    check(text).map_err(|why| input(option, why))?;
    Ok(Some(text.to_owned()))
}

fn port(option: &str, port: Option<u16>) -> Result<Option<String>, OperatorError> {
    match port {
        Some(0) => Err(input(option, "0 is no port")),
        other => Ok(other.map(|port| port.to_string())),
    }
}

/// An IP address or a host name: what cannot be read as an option, a path or a URL.
pub(crate) fn address(text: &str) -> Result<(), &'static str> {
    if text.parse::<std::net::IpAddr>().is_ok() || text.parse::<crate::names::HostName>().is_ok() {
        return Ok(());
    }
    Err("it is neither an IP address nor a name (A-Z a-z 0-9 . _ -)")
}

/// A cipher suite of IPMI that a machine's life may hang on.
fn cipher(text: &str) -> Result<u8, String> {
    let suite = text.parse().ok().filter(|suite| GOOD_CIPHERS.contains(suite));
    suite.ok_or_else(|| "only 17, 12, 8 and 3 log in, sign and encrypt".to_owned())
}

/// A file that each HA node has.
fn ca_file(text: &str) -> Result<(), &'static str> {
    match text.starts_with('/') {
        true => line(text),
        false => Err("it is no absolute path"),
    }
}

/// One word of printable characters that cannot be read as an option.
pub(crate) fn word(text: &str) -> Result<(), &'static str> {
    if text.contains(char::is_whitespace) {
        return Err("it contains a space");
    }
    line(text)
}

/// Host keys one a line, `TYPE BASE64`: the host field that `ssh-keyscan` prints first, comments
/// and empty lines are dropped.
fn host_keys(text: &str) -> Result<String, OperatorError> {
    use base64::Engine as _;
    let mut kept = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace().skip_while(|word| !is_key_type(word));
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
            return Err(input("--ssh-host-key-file", "a line is no host key (ssh-ed25519 AAAA...)"));
        };
        let decoded = base64::engine::general_purpose::STANDARD.decode(blob).unwrap_or_default();
        // RFC 4253 6.6: the blob begins with the length and name of its type.
        let named = decoded.get(4..4 + kind.len()).is_some_and(|name| name == kind.as_bytes());
        if !named {
            return Err(input(
                "--ssh-host-key-file",
                format!("the {kind} key is cut or not of the type it says"),
            ));
        }
        kept.push(format!("{kind} {blob}"));
    }
    if kept.is_empty() {
        return Err(input("--ssh-host-key-file", "it holds no host key"));
    }
    Ok(kept.join("\n"))
}

fn is_key_type(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-")
}

/// Fence levels that the recovery will understand, stored as they came.
fn fence(text: &str) -> Result<String, OperatorError> {
    FenceConfig::parse_new("--fence-file", text.as_bytes()).map_err(|error| match error {
        TreeError::Malformed { why, .. } => input("--fence-file", why),
        other => input("--fence-file", other.to_string()),
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ2wsTxhoBVFuPcuS1qNmIuTDkXBTNyWl8oDqYZXqCwF";

    #[test]
    fn host_keys_are_kept_without_hosts_and_comments() {
        let text = format!("# comment\nnode1 ssh-ed25519 {KEY}\n\nssh-ed25519 {KEY} root@node1\n");
        assert_eq!(host_keys(&text).unwrap(), format!("ssh-ed25519 {KEY}\nssh-ed25519 {KEY}"));
        for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &format!("ssh-rsa {KEY}"), "no key at all"] {
            assert!(host_keys(bad).is_err(), "{bad:?} was taken for a host key");
        }
    }

    #[test]
    fn what_could_be_an_option_or_two_lines_is_refused() {
        for bad in ["", "-h", "a\nb", "a\0"] {
            assert!(line(bad).is_err() && word(bad).is_err() && address(bad).is_err(), "{bad:?}");
        }
        assert!(
            address("10.0.0.1").is_ok() && address("fe80::1").is_ok() && address("bmc-1.example").is_ok()
        );
        assert!(address("http://bmc").is_err() && address("a b").is_err());
    }
}
