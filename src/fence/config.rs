//! `config/fence`: which devices can cut a machine's power, in the order to try them.
//!
//! Each level is one device, or several that all have to be off (two feeds). The next is tried when the one before could not
//! *prove* the machine off within its deadline. Without `config/fence` there is one level: IPMI by `config/bmc`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::agent::Agent;
use super::certificate;
use super::fields::{self, Fields};
use super::ipmi::{self, Ipmi, IpmiAccess};
use super::level_config::{DeviceConfig, LevelConfig, parse_url};
use super::mark::NoMark;
use super::not_here::NotHere;
use super::redfish::{self, Redfish, RedfishAccess, Verify};
use super::spot::Spot;
use super::{Device, FenceError, FenceLevels, Level, Machine, PowerSwitch};
use crate::chain::chain;
use crate::keys::MachineKeys;
use crate::local::{Asked, Leave, Local, Refused, open};
use crate::secret::{SecretError, SecretRef};
use crate::tree::formats::Kind;
use crate::tree::{Snapshot, TreeError};

/// The newest format version of `config/fence` that this build reads; a level with a pin needs 2.
pub const VERSION: u64 = Kind::Fence.newest();

/// The largest CA file.
const MAX_CA_BYTES: usize = 1024 * 1024;

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
        source: open::OpenError,
    },
    /// This machine's local.toml does not allow it.
    #[error("{key}: level {level} is not used here")]
    Refused {
        /// The key that describes it.
        key: String,
        /// Its number, from 1.
        level: usize,
        /// Why.
        source: Box<Refused>,
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
            ConfigError::Refused { source, .. }
            | ConfigError::Secret { source: SecretError::Refused { source }, .. } => source.hint().to_owned(),
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
        let document = fields::json(value).map_err(malformed)?;
        let fields = Fields::of(&document).map_err(malformed)?;
        match fields.number("version", 1, u64::MAX).map_err(malformed)? {
            None => return Err(malformed("it has no \"version\" (1)".into())),
            Some(found) if found > VERSION => {
                return Err(TreeError::Newer { key: key.to_owned(), found, known: VERSION });
            }
            Some(_) => {}
        }
        fields.only(&["version", "levels"]).map_err(malformed)?;
        let Some(levels) = fields.any("levels").and_then(Value::as_array).filter(|levels| !levels.is_empty())
        else {
            return Err(malformed("it has no level: \"levels\": [{\"driver\": ...}]".into()));
        };
        let level = |(number, level): (usize, &Value)| {
            LevelConfig::of(level).map_err(|why| malformed(format!("level {number}: {why}")))
        };
        let levels = (1..).zip(levels).map(level).collect::<Result<_, _>>()?;
        Ok(Self { key: key.to_owned(), levels })
    }

    /// The same of what is newly set: an option that no agent is told refuses the whole of it.
    ///
    /// # Errors
    /// As [`FenceConfig::parse`].
    pub fn parse_new(key: &str, value: &[u8]) -> Result<Self, TreeError> {
        let config = Self::parse(key, value)?;
        match config.never_told().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(config),
        }
    }

    /// Levels that are not used, because an agent would be told what the tree may not say. They stand there from before that
    /// was refused; the others go on.
    pub fn never_told(&self) -> Vec<TreeError> {
        let refused = self.devices().filter_map(|(spot, device)| {
            let why = device.may_be_told().err()?;
            Some(TreeError::Malformed { key: self.key.clone(), why: format!("{spot}: {why}") })
        });
        refused.collect()
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
        let field = |name: &str| snapshot.text(&keys.bmc_field(name));
        let identity_confirmed_by = field("confirmed_by")?;
        let identity_shown = match field("shows")? {
            Some(text) => Some(
                text.parse()
                    .map_err(|error: NoMark| malformed(keys.bmc_field("shows"), error.to_string()))?,
            ),
            None => None,
        };
        let level = match driver_name.as_deref() {
            None | Some("ipmi") => DeviceConfig::Ipmi {
                address,
                port: port.unwrap_or(ipmi::DEFAULT_PORT),
                user,
                password,
                cipher: snapshot.number(&keys.bmc_field("cipher"))?.unwrap_or(ipmi::DEFAULT_CIPHER),
                privilege: None,
                identity_confirmed_by,
                identity_shown,
            },
            Some("redfish") => {
                let bracketed = if address.contains(':') { format!("[{address}]") } else { address };
                let url = format!("https://{bracketed}:{}", port.unwrap_or(443));
                let ca = field("ca")?.map(PathBuf::from);
                let pin = match field("pin")? {
                    Some(text) => Some(text.parse().map_err(|error: certificate::NoPin| {
                        malformed(keys.bmc_field("pin"), error.to_string())
                    })?),
                    None => None,
                };
                let verify = ca.is_some() || !snapshot.flag(&keys.bmc_field("insecure"))?;
                let system = None;
                DeviceConfig::Redfish {
                    url,
                    user,
                    password,
                    system,
                    verify,
                    ca,
                    pin,
                    identity_confirmed_by,
                    identity_shown,
                }
            }
            Some(other) => {
                let why =
                    format!("{other:?} is neither ipmi nor redfish; anything else goes into config/fence");
                return Err(malformed(driver, why));
            }
        };
        level.check().map_err(|why| malformed(keys.bmc(), why))?;
        Ok(Self { key: keys.bmc(), levels: vec![LevelConfig::one(level)] })
    }

    /// Whether the tree holds a password itself, not a reference to one.
    pub fn has_plain_secret(&self) -> bool {
        self.devices().flat_map(|(_, device)| device.secrets()).any(SecretRef::is_plain)
    }

    /// All devices, each with where it stands.
    pub(super) fn devices(&self) -> impl Iterator<Item = (Spot, &DeviceConfig)> {
        (1..).zip(&self.levels).flat_map(|(level, config)| {
            let several = config.devices.len() > 1;
            (1..)
                .zip(&config.devices)
                .map(move |(number, device)| (Spot { level, device: several.then_some(number) }, device))
        })
    }

    /// What this machine's root is asked for before the devices are used: what is beside the shipped table.
    pub fn asked(&self) -> Vec<Asked> {
        self.devices().flat_map(|(_, device)| device.asked()).collect()
    }

    /// The devices, with their secrets, ready to be asked by this machine.
    ///
    /// # Errors
    /// Of no level all is there: the secret, CA file or agent is missing, or is not allowed. The error names the key of the first.
    pub fn build(&self, machine: impl Into<Machine>, local: &Local) -> Result<FenceLevels, ConfigError> {
        let machine = machine.into();
        let built = (1..).zip(&self.levels).map(|(number, level)| self.build_level(number, level, local));
        let built: Vec<Result<Level, ConfigError>> = built.collect();
        let is_any_built = built.iter().any(Result::is_ok);
        let levels = built.into_iter().map(|level| match level {
            // What one level may not do, or lacks, takes nothing from the others: it is as one that does not answer.
            Err(error) if is_any_built => {
                let why = format!("{}; next: {}", chain(&error), error.hint(&machine));
                Ok(Level::new(Box::new(NotHere { why }), None))
            }
            level => level,
        });
        let levels = levels.collect::<Result<_, _>>()?;
        Ok(FenceLevels::new(machine, levels))
    }

    fn build_level(&self, number: usize, config: &LevelConfig, local: &Local) -> Result<Level, ConfigError> {
        let device = |device: &DeviceConfig| -> Result<Device, ConfigError> {
            let switch = self.build_device(number, device, config.deadline(), local)?;
            Ok(Device::new(switch, device.confirmed()))
        };
        // Of several that have to be off, one that is not used costs the level.
        let devices = config.devices.iter().map(device).collect::<Result<_, ConfigError>>()?;
        Ok(Level::of(devices, config.deadline()))
    }

    fn build_device(
        &self,
        number: usize,
        config: &DeviceConfig,
        deadline: Option<Duration>,
        local: &Local,
    ) -> Result<Box<dyn PowerSwitch>, ConfigError> {
        let unusable = |source| ConfigError::Level { key: self.key.clone(), level: number, source };
        let secret = |what: &str, reference: &SecretRef| -> Result<SecretString, ConfigError> {
            let what = format!("{what} of level {number}");
            reference.resolve(local).map_err(|source| ConfigError::Secret {
                key: self.key.clone(),
                what,
                source,
            })
        };
        Ok(match config {
            DeviceConfig::Ipmi { address, port, user, password, cipher, privilege, .. } => {
                Box::new(Ipmi::new(IpmiAccess {
                    address: address.clone(),
                    port: *port,
                    user: user.clone(),
                    password: secret("password", password)?,
                    cipher: *cipher,
                    privilege: *privilege,
                }))
            }
            DeviceConfig::Redfish { url, user, password, system, verify, ca, pin, .. } => {
                let verify = match (pin, ca) {
                    (Some(pin), _) => Verify::Pinned(*pin),
                    (None, Some(path)) => Verify::Ca(self.read_ca(path)?),
                    (None, None) if *verify => Verify::System,
                    (None, None) => Verify::Not,
                };
                let access = RedfishAccess {
                    url: parse_url(url).map_err(|why| {
                        unusable(FenceError::Settings { device: "redfish".to_owned(), why })
                    })?,
                    user: user.clone(),
                    password: secret("password", password)?,
                    system: system.clone(),
                    verify,
                    limit: deadline.unwrap_or(redfish::REQUEST),
                };
                Box::new(Redfish::new(access).map_err(unusable)?)
            }
            DeviceConfig::Agent { agent, options, secret_options, wait_seconds, .. } => {
                config.may_be_told().map_err(|why| {
                    unusable(FenceError::Settings { device: format!("agent {agent}"), why })
                })?;
                for asked in config.asked_of_the_agent() {
                    if let Leave::Refused(source) = local.leave(&asked) {
                        return Err(ConfigError::Refused { key: self.key.clone(), level: number, source });
                    }
                }
                let secrets = secret_options
                    .iter()
                    .map(|(option, reference)| Ok((option.clone(), secret(option, reference)?)))
                    .collect::<Result<_, ConfigError>>()?;
                let agent = Agent::new(agent, options.clone(), secrets).map_err(unusable)?;
                Box::new(agent.waits(wait_seconds.map(Duration::from_secs)))
            }
        })
    }

    fn read_ca(&self, path: &Path) -> Result<Vec<u8>, ConfigError> {
        let failed = |source| ConfigError::Ca { key: self.key.clone(), path: path.to_owned(), source };
        Ok(open::anywhere(path, MAX_CA_BYTES).map_err(failed)?.bytes)
    }
}

#[cfg(test)]
mod tests;
