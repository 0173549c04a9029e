//! `config/fence`: which devices can cut a machine's power, in the order to try them.
//!
//! Each level is one device. The next is tried when the one before could not *prove* the machine
//! off within its deadline. Without `config/fence` there is one level: IPMI by `config/bmc`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use super::agent::{Agent, may_be_set};
use super::ipmi::{self, Ipmi, IpmiAccess, SessionPrivilege};
use super::redfish::{Redfish, RedfishAccess, Verify};
use super::{FenceError, FenceLevels, Level, Machine, PowerSwitch};
use crate::keys::MachineKeys;
use crate::secret::{SecretError, SecretRef};
use crate::tree::{Snapshot, TreeError};

/// The format version of `config/fence` that this build reads.
pub const VERSION: u64 = 1;

/// A level that takes longer is left for the next, whatever its `deadline_seconds`.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// The largest CA file.
const MAX_CA_BYTES: usize = 256 * 1024;

/// Why the fence levels of a machine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is missing or cannot be understood; the error names it.
    #[error("the fencing of this machine is not configured")]
    Tree(#[source] TreeError),
    /// A password cannot be had.
    #[error("{key}: cannot get the {what}")]
    Secret {
        /// The key that holds it or refers to it.
        key: String,
        /// Which one.
        what: String,
        /// The cause.
        source: SecretError,
    },
    /// A level cannot be made.
    #[error("{key}: level {level} cannot be used")]
    Level {
        /// The key that describes it.
        key: String,
        /// Its number, from 1.
        level: usize,
        /// The cause.
        source: FenceError,
    },
    /// A CA file cannot be read.
    #[error("{key}: cannot read the CA file {}", path.display())]
    Ca {
        /// The key that names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl ConfigError {
    /// The operator's next command.
    pub fn hint(&self, machine: &Machine) -> String {
        let add = match machine {
            Machine::Host(host) => format!("nova-ha host add {host} --replace"),
            Machine::HaNode(node) => format!("nova-ha ha-node add {node} --replace"),
        };
        let option = |key: &str| match key.rsplit('/').next() {
            Some("ip") => "--bmc-ip ADDRESS",
            Some("user") => "--bmc-user NAME",
            Some("password" | "bmc") | None => "--bmc-password-file FILE",
            Some(_) => "--fence-file FILE",
        };
        match self {
            ConfigError::Tree(TreeError::Missing { key }) => format!("{add} {}", option(key)),
            ConfigError::Tree(source) => source.hint().unwrap_or_else(|| format!("{add} ...")),
            ConfigError::Secret { key, .. } => format!("{add} {}", option(key.trim_end_matches('/'))),
            ConfigError::Level { .. } | ConfigError::Ca { .. } => format!("{add} --fence-file FILE"),
        }
    }
}

/// The levels as configured; secrets are not resolved yet.
#[derive(Debug, Clone)]
pub struct FenceConfig {
    key: String,
    levels: Vec<LevelConfig>,
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

/// The value of `config/fence`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(rename = "version")]
    _version: u64,
    levels: Vec<LevelConfig>,
}

/// One level as stored.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "driver", rename_all = "lowercase", deny_unknown_fields)]
enum LevelConfig {
    /// A BMC by IPMI.
    Ipmi {
        address: String,
        #[serde(default = "default_port")]
        port: u16,
        user: String,
        password: SecretRef,
        #[serde(default = "default_cipher")]
        cipher: u8,
        #[serde(default)]
        privilege: SessionPrivilege,
        deadline_seconds: Option<u64>,
    },
    /// A BMC by Redfish.
    Redfish {
        url: String,
        user: String,
        password: SecretRef,
        system: Option<String>,
        #[serde(default = "yes")]
        verify: bool,
        ca: Option<PathBuf>,
        deadline_seconds: Option<u64>,
    },
    /// A fence agent.
    Agent {
        agent: String,
        #[serde(default)]
        options: BTreeMap<String, String>,
        #[serde(default)]
        secret_options: BTreeMap<String, SecretRef>,
        identity_confirmed_by: Option<String>,
        deadline_seconds: Option<u64>,
    },
}

fn default_port() -> u16 {
    ipmi::DEFAULT_PORT
}

fn default_cipher() -> u8 {
    ipmi::DEFAULT_CIPHER
}

fn yes() -> bool {
    true
}

impl FenceConfig {
    /// Reads `config/fence`, or else `config/bmc/`, of a host or an HA node.
    ///
    /// # Errors
    /// Neither is there, or something in them cannot be understood; the error names the key.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Self, ConfigError> {
        match snapshot.get(&keys.fence()) {
            Some(entry) => Self::parse(&keys.fence(), &entry.value),
            None => Self::of_bmc(snapshot, keys),
        }
        .map_err(ConfigError::Tree)
    }

    /// Reads the value of a `config/fence` key.
    ///
    /// # Errors
    /// It is newer than this build, not understood, or has no level.
    pub fn parse(key: &str, value: &[u8]) -> Result<Self, TreeError> {
        let malformed = |why: String| TreeError::Malformed { key: key.to_owned(), why };
        let head: Versioned = serde_json::from_slice(value).map_err(|e| malformed(e.to_string()))?;
        match head.version {
            None | Some(0) => return Err(malformed("it has no version".into())),
            Some(found) if found > VERSION => {
                return Err(TreeError::Newer { key: key.to_owned(), found, known: VERSION });
            }
            Some(_) => {}
        }
        let stored: Stored = serde_json::from_slice(value).map_err(|e| malformed(e.to_string()))?;
        if stored.levels.is_empty() {
            return Err(malformed("it has no level".into()));
        }
        for (number, level) in (1..).zip(&stored.levels) {
            level.check().map_err(|why| malformed(format!("level {number}: {why}")))?;
        }
        Ok(Self { key: key.to_owned(), levels: stored.levels })
    }

    fn of_bmc(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Self, TreeError> {
        let malformed = |key: String, why: String| TreeError::Malformed { key, why };
        let needed = |field: &str| {
            let key = keys.bmc_field(field);
            snapshot.text(&key)?.ok_or(TreeError::Missing { key })
        };
        let driver = keys.bmc_field("driver");
        let driver_name = snapshot.text(&driver)?;
        let (address, user) = (needed("ip")?, needed("user")?);
        let key = keys.bmc_field("password");
        // Not `text`, which trims: spaces may be part of a password.
        let raw = snapshot.get(&key).filter(|entry| !entry.value.is_empty());
        let raw = raw.ok_or_else(|| TreeError::Missing { key: key.clone() })?;
        let text = std::str::from_utf8(&raw.value).map_err(|e| malformed(key.clone(), e.to_string()))?;
        let password = SecretRef::parse(text).map_err(|e| malformed(key, e.to_string()))?;
        let port = snapshot.number::<u16>(&keys.bmc_field("port"))?;
        let level = match driver_name.as_deref() {
            None | Some("ipmi") => LevelConfig::Ipmi {
                address,
                port: port.unwrap_or(ipmi::DEFAULT_PORT),
                user,
                password,
                cipher: snapshot.number(&keys.bmc_field("cipher"))?.unwrap_or(ipmi::DEFAULT_CIPHER),
                privilege: SessionPrivilege::default(),
                deadline_seconds: None,
            },
            Some("redfish") => {
                let bracketed = if address.contains(':') { format!("[{address}]") } else { address };
                let url = format!("https://{bracketed}:{}", port.unwrap_or(443));
                let (system, ca, deadline_seconds) = (None, None, None);
                LevelConfig::Redfish { url, user, password, system, verify: true, ca, deadline_seconds }
            }
            Some(other) => {
                let why =
                    format!("{other:?} is neither ipmi nor redfish; anything else goes into config/fence");
                return Err(malformed(driver, why));
            }
        };
        level.check().map_err(|why| malformed(keys.bmc(), why))?;
        Ok(Self { key: keys.bmc(), levels: vec![level] })
    }

    /// Whether the tree holds a password itself, not a reference to one.
    pub fn has_plain_secret(&self) -> bool {
        self.levels.iter().flat_map(LevelConfig::secrets).any(SecretRef::is_plain)
    }

    /// The devices, with their secrets, ready to be asked.
    ///
    /// # Errors
    /// A secret, CA file or agent is not there; the error names the key.
    pub fn build(&self, machine: impl Into<Machine>) -> Result<FenceLevels, ConfigError> {
        let levels = (1..).zip(&self.levels).map(|(number, level)| self.build_level(number, level));
        Ok(FenceLevels::new(machine, levels.collect::<Result<_, _>>()?))
    }

    fn build_level(&self, number: usize, config: &LevelConfig) -> Result<Level, ConfigError> {
        let unusable = |source| ConfigError::Level { key: self.key.clone(), level: number, source };
        let secret = |what: &str, reference: &SecretRef| -> Result<SecretString, ConfigError> {
            let what = format!("{what} of level {number}");
            reference.resolve().map_err(|source| ConfigError::Secret { key: self.key.clone(), what, source })
        };
        let mut confirmed_by = None;
        let switch: Box<dyn PowerSwitch> = match config {
            LevelConfig::Ipmi { address, port, user, password, cipher, privilege, .. } => {
                Box::new(Ipmi::new(IpmiAccess {
                    address: address.clone(),
                    port: *port,
                    user: user.clone(),
                    password: secret("password", password)?,
                    cipher: *cipher,
                    privilege: *privilege,
                }))
            }
            LevelConfig::Redfish { url, user, password, system, verify, ca, .. } => {
                let verify = match ca {
                    Some(path) => Verify::Ca(self.read_ca(path)?),
                    None if *verify => Verify::System,
                    None => Verify::Not,
                };
                let access = RedfishAccess {
                    url: parse_url(url).map_err(|why| {
                        unusable(FenceError::Settings { device: "redfish".to_owned(), why })
                    })?,
                    user: user.clone(),
                    password: secret("password", password)?,
                    system: system.clone(),
                    verify,
                };
                Box::new(Redfish::new(access).map_err(unusable)?)
            }
            LevelConfig::Agent { agent, options, secret_options, identity_confirmed_by, .. } => {
                confirmed_by.clone_from(identity_confirmed_by);
                let secrets = secret_options
                    .iter()
                    .map(|(option, reference)| Ok((option.clone(), secret(option, reference)?)))
                    .collect::<Result<_, ConfigError>>()?;
                Box::new(Agent::new(agent, options.clone(), secrets).map_err(unusable)?)
            }
        };
        Ok(Level { switch, deadline: config.deadline(), identity_confirmed_by: confirmed_by })
    }

    fn read_ca(&self, path: &PathBuf) -> Result<Vec<u8>, ConfigError> {
        use std::io::Read;
        let failed = |source| ConfigError::Ca { key: self.key.clone(), path: path.clone(), source };
        let mut pem = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_CA_BYTES as u64).read_to_end(&mut pem).map_err(failed)?;
        Ok(pem)
    }
}

impl LevelConfig {
    fn deadline_seconds(&self) -> Option<u64> {
        match self {
            Self::Ipmi { deadline_seconds, .. }
            | Self::Redfish { deadline_seconds, .. }
            | Self::Agent { deadline_seconds, .. } => *deadline_seconds,
        }
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline_seconds().map(Duration::from_secs)
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Ipmi { password, .. } | Self::Redfish { password, .. } => vec![password],
            Self::Agent { secret_options, .. } => secret_options.values().collect(),
        }
    }

    /// What serde cannot say.
    fn check(&self) -> Result<(), String> {
        if self.deadline().is_some_and(|d| d.is_zero() || d > MAX_DEADLINE) {
            return Err(format!("deadline_seconds is 1 to {}", MAX_DEADLINE.as_secs()));
        }
        match self {
            Self::Ipmi { address, port, user, .. } => {
                let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '%');
                if address.is_empty() || address.starts_with('-') || !address.chars().all(name) {
                    return Err(format!("{address:?} is neither a name nor an address"));
                }
                if *port == 0 {
                    return Err("0 is no port".into());
                }
                // IPMI 2.0 has 16 bytes for it; more would be cut to another user's name.
                if user.len() > 16 || user.contains('\0') {
                    return Err("an IPMI user has at most 16 bytes".into());
                }
                Ok(())
            }
            Self::Redfish { verify: false, ca: Some(_), .. } => {
                Err("a CA file and \"verify\": false contradict each other".into())
            }
            Self::Redfish { url, .. } => parse_url(url).map(|_| ()),
            Self::Agent { options, secret_options, .. } => {
                options.keys().chain(secret_options.keys()).try_for_each(|option| may_be_set(option))
            }
        }
    }
}

/// The text is not shown: somebody may have written a password into it.
fn parse_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("its url cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::store::Entry;

    const THREE: &str = r#"{"version":1,"levels":[
        {"driver":"ipmi","address":"10.0.0.1","user":"u","password":"s3cret","deadline_seconds":30},
        {"driver":"redfish","url":"https://10.0.0.1","user":"u","password":"env:CARGO_PKG_NAME","verify":false},
        {"driver":"agent","agent":"fence_dummy","options":{"type":"file"},
         "secret_options":{"password":"s3cret"},"identity_confirmed_by":"maria"}]}"#;

    fn tree(pairs: &[(&str, &str)]) -> (Snapshot, MachineKeys) {
        let keys = keys::host(&"host1".parse().unwrap());
        let mut snapshot = Snapshot::default();
        snapshot.extend(pairs.iter().map(|(key, value)| Entry {
            key: format!("ha_cluster/compute_nodes/host1/config/{key}"),
            value: value.as_bytes().to_vec(),
            modify_index: 1,
            session: None,
        }));
        (snapshot, keys)
    }

    fn of(pairs: &[(&str, &str)]) -> Result<FenceConfig, TreeError> {
        let (snapshot, keys) = tree(pairs);
        FenceConfig::of(&snapshot, &keys).map_err(|error| match error {
            ConfigError::Tree(error) => error,
            other => panic!("{other}"),
        })
    }

    fn built(config: &FenceConfig) -> Vec<String> {
        let levels = config.build("host1".parse::<crate::names::HostName>().unwrap()).unwrap();
        levels.levels().iter().map(|level| level.switch().describe()).collect()
    }

    #[test]
    fn levels_keep_their_order_and_show_no_secret() {
        let config = of(&[("fence", THREE)]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
        assert!(config.has_plain_secret());
        let shown = built(&config);
        assert_eq!(
            shown,
            ["ipmi 10.0.0.1:623 as \"u\"", "redfish https://10.0.0.1 as \"u\"", "agent fence_dummy"]
        );
        let levels = config.build("host1".parse::<crate::names::HostName>().unwrap()).unwrap();
        assert_eq!(levels.levels()[0].deadline(), Some(Duration::from_secs(30)));
        assert_eq!(levels.levels()[2].identity_confirmed_by(), Some("maria"));
    }

    #[test]
    fn without_levels_the_originals_keys_are_ipmi() {
        let bmc = [("bmc/ip", "10.0.0.1"), ("bmc/user", "test"), ("bmc/password", "Test123.")];
        assert_eq!(built(&of(&bmc).unwrap()), ["ipmi 10.0.0.1:623 as \"test\""]);
        let port = [&bmc[..], &[("bmc/port", "6230"), ("bmc/cipher", "3")]].concat();
        assert_eq!(built(&of(&port).unwrap()), ["ipmi 10.0.0.1:6230 as \"test\""]);
        let redfish = [&bmc[..], &[("bmc/driver", "redfish")]].concat();
        assert_eq!(built(&of(&redfish).unwrap()), ["redfish https://10.0.0.1 as \"test\""]);
    }

    #[test]
    fn a_missing_credential_names_its_key() {
        let bmc = [("bmc/ip", "10.0.0.1"), ("bmc/user", "test"), ("bmc/password", "Test123.")];
        for (missing, (field, _)) in bmc.iter().enumerate() {
            let rest: Vec<_> =
                bmc.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, pair)| *pair).collect();
            let empty = [&rest[..], &[(*field, "")]].concat();
            for pairs in [rest, empty] {
                let error = of(&pairs).unwrap_err();
                let key = format!("ha_cluster/compute_nodes/host1/config/{field}");
                assert!(matches!(&error, TreeError::Missing { key: k } if *k == key), "{error}");
            }
        }
        let dangling = [&bmc[..2], &[("bmc/password", "file:/nonexistent/pw")]].concat();
        let config = of(&dangling).unwrap();
        let error = config.build("host1".parse::<crate::names::HostName>().unwrap()).err().unwrap();
        assert!(error.to_string().contains("host1/config/bmc/"), "{error}");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let newer = THREE.replace("\"version\":1", "\"version\":2,\"later\":true");
        assert!(matches!(of(&[("fence", &newer)]), Err(TreeError::Newer { found: 2, known: 1, .. })));
        for (from, to) in [
            ("\"version\":1,", ""),
            ("\"user\":\"u\"", "\"usr\":\"u\""),
            ("\"driver\":\"ipmi\"", "\"driver\":\"noop\""),
            ("\"deadline_seconds\":30", "\"deadline_seconds\":0"),
            ("\"deadline_seconds\":30", "\"deadline_seconds\":30,\"colour\":1"),
            ("10.0.0.1", "-Hevil"),
            ("\"verify\":false", "\"verify\":false,\"ca\":\"/ca.pem\""),
            ("\"type\":\"file\"", "\"debug_file\":\"/etc/cron.d/x\""),
            ("{\"password\":\"s3cret\"}", "{\"password\":\"s3cret\",\"ssh-options\":\"-o ProxyCommand=x\"}"),
            ("{", ""),
        ] {
            let broken = THREE.replacen(from, to, 1);
            let error = of(&[("fence", &broken)]).err();
            assert!(matches!(error, Some(TreeError::Malformed { .. })), "{from} -> {to}: {error:?}");
            assert!(!format!("{error:?}").contains("s3cret"));
        }
        assert!(matches!(of(&[("fence", r#"{"version":1,"levels":[]}"#)]), Err(TreeError::Malformed { .. })));
    }
}
