//! One level of `config/fence` as it is stored, and its devices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::certificate::Pin;
use super::fields::Fields;
use super::ipmi::{self, SessionPrivilege};
use super::kinds;
use super::shipped;
use super::{Confirmed, Mark};
use crate::local::{Asked, agents};
use crate::secret::SecretRef;

/// A level that takes longer is left for the next, whatever its `deadline_seconds`.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// One level as stored.
#[derive(Debug, Clone)]
pub(super) struct LevelConfig {
    /// All of them have to be off.
    pub(super) devices: Vec<DeviceConfig>,
    deadline_seconds: Option<u64>,
}

/// More feeds than that no machine has.
const MOST_DEVICES: usize = 8;

impl LevelConfig {
    /// Of JSON: one device, or several in `devices`.
    ///
    /// # Errors
    /// What of it is missing, unknown or of another kind. No value is shown.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let fields = Fields::of(value)?;
        let deadline_seconds = deadline(&fields)?;
        let Some(several) = fields.any("devices") else {
            return Self { devices: vec![DeviceConfig::of(value)?], deadline_seconds }.checked();
        };
        fields.only(&["devices", "deadline_seconds"])?;
        let several = several.as_array().filter(|devices| (1..=MOST_DEVICES).contains(&devices.len()));
        let several = several.ok_or_else(|| format!("\"devices\" is no [...] of 1 to {MOST_DEVICES}"))?;
        let device = |(number, value): (usize, &Value)| {
            let said = |why: String| format!("device {number}: {why}");
            match value.get("deadline_seconds").is_some() {
                true => {
                    Err(said("\"deadline_seconds\" stands beside \"devices\", for all of them".to_owned()))
                }
                false => DeviceConfig::of(value).map_err(said),
            }
        };
        let devices = (1..).zip(several).map(device).collect::<Result<_, _>>()?;
        Self { devices, deadline_seconds }.checked()
    }

    /// A message is waited for within the level's time.
    fn checked(self) -> Result<Self, String> {
        let waits = self.devices.iter().filter_map(DeviceConfig::wait_seconds).max();
        match (waits, self.deadline_seconds) {
            (Some(wait), None) => {
                Err(format!("\"wait_seconds\" ({wait}) needs a \"deadline_seconds\" that is longer"))
            }
            (Some(wait), Some(deadline)) if deadline <= wait => Err(format!(
                "\"deadline_seconds\" ({deadline}) has to be longer than \"wait_seconds\" ({wait})"
            )),
            (Some(_) | None, _) => Ok(self),
        }
    }

    /// The one device of a level.
    pub(super) fn one(device: DeviceConfig) -> Self {
        Self { devices: vec![device], deadline_seconds: None }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline_seconds.map(Duration::from_secs)
    }
}

/// One device as stored: docs/bmc.md says what each field is.
#[derive(Debug, Clone)]
pub(super) enum DeviceConfig {
    /// A BMC by IPMI.
    Ipmi {
        address: String,
        port: u16,
        user: String,
        password: SecretRef,
        cipher: u8,
        privilege: Option<SessionPrivilege>,
        identity_confirmed_by: Option<String>,
        identity_shown: Option<Mark>,
    },
    /// A BMC by Redfish.
    Redfish {
        url: String,
        user: String,
        password: SecretRef,
        system: Option<String>,
        verify: bool,
        ca: Option<PathBuf>,
        pin: Option<Pin>,
        identity_confirmed_by: Option<String>,
        identity_shown: Option<Mark>,
    },
    /// A fence agent.
    Agent {
        agent: String,
        options: BTreeMap<String, String>,
        secret_options: BTreeMap<String, SecretRef>,
        identity_confirmed_by: Option<String>,
        /// How long after its command the machine is dead, where it is a message.
        wait_seconds: Option<u64>,
    },
}

/// What a level of each driver may say.
const OF_IPMI: [&str; 10] = [
    "driver",
    "address",
    "port",
    "user",
    "password",
    "cipher",
    "privilege",
    "identity_confirmed_by",
    "identity_shown",
    "deadline_seconds",
];
const OF_REDFISH: [&str; 11] = [
    "driver",
    "url",
    "user",
    "password",
    "system",
    "verify",
    "ca",
    "pin",
    "identity_confirmed_by",
    "identity_shown",
    "deadline_seconds",
];
const OF_AGENT: [&str; 7] = [
    "driver",
    "agent",
    "options",
    "secret_options",
    "identity_confirmed_by",
    "wait_seconds",
    "deadline_seconds",
];

impl DeviceConfig {
    /// Of JSON.
    ///
    /// # Errors
    /// What of it is missing, unknown or of another kind. No value is shown.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let fields = Fields::of(value)?;
        let level = match fields.needed("driver")?.as_str() {
            "ipmi" => Self::ipmi(&fields)?,
            "redfish" => Self::redfish(&fields)?,
            "agent" => Self::agent(&fields)?,
            _ => return Err("its \"driver\" is none of: ipmi, redfish, agent".to_owned()),
        };
        level.check()?;
        Ok(level)
    }

    fn ipmi(fields: &Fields<'_>) -> Result<Self, String> {
        fields.only(&OF_IPMI)?;
        let port = fields.number("port", 1, u64::from(u16::MAX))?.and_then(|port| u16::try_from(port).ok());
        let cipher =
            fields.number("cipher", 0, u64::from(u8::MAX))?.and_then(|cipher| u8::try_from(cipher).ok());
        Ok(Self::Ipmi {
            address: fields.needed("address")?,
            port: port.unwrap_or(ipmi::DEFAULT_PORT),
            user: fields.needed("user")?,
            password: fields.secret("password")?,
            cipher: cipher.unwrap_or(ipmi::DEFAULT_CIPHER),
            privilege: fields.parsed("privilege")?,
            identity_confirmed_by: fields.text("identity_confirmed_by")?,
            identity_shown: fields.parsed("identity_shown")?,
        })
    }

    fn redfish(fields: &Fields<'_>) -> Result<Self, String> {
        fields.only(&OF_REDFISH)?;
        Ok(Self::Redfish {
            url: fields.needed("url")?,
            user: fields.needed("user")?,
            password: fields.secret("password")?,
            system: fields.text("system")?,
            verify: fields.flag("verify")?.unwrap_or(true),
            ca: fields.text("ca")?.map(PathBuf::from),
            pin: fields.parsed("pin")?,
            identity_confirmed_by: fields.text("identity_confirmed_by")?,
            identity_shown: fields.parsed("identity_shown")?,
        })
    }

    fn agent(fields: &Fields<'_>) -> Result<Self, String> {
        fields.only(&OF_AGENT)?;
        let secret = |(option, text): (String, String)| match SecretRef::parse(&text) {
            Ok(secret) => Ok((option, secret)),
            Err(error) => Err(format!("{option:?} in \"secret_options\": {error}")),
        };
        Ok(Self::Agent {
            agent: fields.needed("agent")?,
            options: fields.texts("options")?,
            secret_options: fields
                .texts("secret_options")?
                .into_iter()
                .map(secret)
                .collect::<Result<_, _>>()?,
            identity_confirmed_by: fields.text("identity_confirmed_by")?,
            wait_seconds: fields.number("wait_seconds", 1, MAX_DEADLINE.as_secs())?,
        })
    }
}

fn deadline(fields: &Fields<'_>) -> Result<Option<u64>, String> {
    fields.number("deadline_seconds", 1, MAX_DEADLINE.as_secs())
}

impl DeviceConfig {
    fn wait_seconds(&self) -> Option<u64> {
        match self {
            Self::Agent { wait_seconds, .. } => *wait_seconds,
            Self::Ipmi { .. } | Self::Redfish { .. } => None,
        }
    }

    /// A person's word about whose the device is.
    pub(super) fn confirmed(&self) -> Option<Confirmed> {
        let (by, shown) = match self {
            Self::Ipmi { identity_confirmed_by, identity_shown, .. }
            | Self::Redfish { identity_confirmed_by, identity_shown, .. } => {
                (identity_confirmed_by, identity_shown)
            }
            Self::Agent { identity_confirmed_by, .. } => (identity_confirmed_by, &None),
        };
        Some(Confirmed { by: by.as_ref()?.trim().to_owned(), shown: shown.clone() })
    }

    pub(super) fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Ipmi { password, .. } | Self::Redfish { password, .. } => vec![password],
            Self::Agent { secret_options, .. } => secret_options.values().collect(),
        }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        let secrets = self.secrets().into_iter().filter_map(SecretRef::asked);
        self.asked_of_the_agent().into_iter().chain(secrets).collect()
    }

    /// The agent and its options, as far as they are not in the shipped table; nothing of our own drivers.
    pub(super) fn asked_of_the_agent(&self) -> Vec<Asked> {
        match self {
            Self::Ipmi { .. } | Self::Redfish { .. } => Vec::new(),
            // Nobody's leave makes that good.
            Self::Agent { .. } if self.may_be_told().is_err() => Vec::new(),
            Self::Agent { agent, options, secret_options, .. } => {
                let new = |option: &&String| !shipped::is_shipped_option(agent, option);
                let option = |option: &String| Asked::Option { agent: agent.clone(), option: option.clone() };
                let options = options.keys().chain(secret_options.keys()).filter(new).map(option);
                let agent = (!shipped::is_shipped(agent)).then(|| Asked::Agent(agent.clone()));
                agent.into_iter().chain(options).collect()
            }
        }
    }

    /// What its fields say together.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_known_by_its_key = matches!(self, Self::Redfish { pin: Some(_), .. });
        match self {
            Self::Ipmi { identity_confirmed_by: by, identity_shown: shown, .. }
            | Self::Redfish { identity_confirmed_by: by, identity_shown: shown, .. } => {
                match (by.is_some(), shown.is_some() || is_known_by_its_key) {
                    (true, false) => return Err(NO_MARK.to_owned()),
                    (false, true) if shown.is_some() => {
                        return Err(
                            "identity_shown says nothing without identity_confirmed_by: who looked".into()
                        );
                    }
                    (_, _) => {}
                }
            }
            Self::Agent { .. } => {}
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
            Self::Redfish { url, pin, .. } => match (parse_url(url)?.scheme(), pin) {
                ("http", Some(_)) => Err("a certificate is pinned, and there is none by http://".into()),
                (_, _) => Ok(()),
            },
            Self::Agent { .. } => Ok(()),
        }
    }

    /// Whether its agent may be told this.
    pub(super) fn may_be_told(&self) -> Result<(), String> {
        let Self::Agent { agent, options, secret_options, wait_seconds, .. } = self else { return Ok(()) };
        kinds::may_fence(agent, *wait_seconds)?;
        options.keys().chain(secret_options.keys()).try_for_each(|option| agents::may_be_set(option))?;
        options.iter().try_for_each(|(option, value)| agents::may_have(option, value, options))
    }
}

/// Why a person's word alone does not do.
const NO_MARK: &str = "identity_confirmed_by needs identity_shown beside it: what the device shows of itself, so that another \
    one at its address is not taken for it (nova-ha-recover HOST --plan shows it; docs/bmc.md)";

/// The text is not shown: somebody may have written a password into it.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("its url cannot be read: {error}"))
}
