//! One level of `config/fence` as it is stored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::certificate::Pin;
use super::fields::Fields;
use super::ipmi::{self, SessionPrivilege};
use super::shipped;
use super::{Confirmed, Mark};
use crate::local::{Asked, agents};
use crate::secret::SecretRef;

/// A level that takes longer is left for the next, whatever its `deadline_seconds`.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// One level as stored: docs/bmc.md says what each field is.
#[derive(Debug, Clone)]
pub(super) enum LevelConfig {
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
        deadline_seconds: Option<u64>,
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
        deadline_seconds: Option<u64>,
    },
    /// A fence agent.
    Agent {
        agent: String,
        options: BTreeMap<String, String>,
        secret_options: BTreeMap<String, SecretRef>,
        identity_confirmed_by: Option<String>,
        deadline_seconds: Option<u64>,
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
const OF_AGENT: [&str; 6] =
    ["driver", "agent", "options", "secret_options", "identity_confirmed_by", "deadline_seconds"];

impl LevelConfig {
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
            deadline_seconds: deadline(fields)?,
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
            deadline_seconds: deadline(fields)?,
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
            deadline_seconds: deadline(fields)?,
        })
    }
}

fn deadline(fields: &Fields<'_>) -> Result<Option<u64>, String> {
    fields.number("deadline_seconds", 1, MAX_DEADLINE.as_secs())
}

impl LevelConfig {
    pub(super) fn deadline_seconds(&self) -> Option<u64> {
        match self {
            Self::Ipmi { deadline_seconds, .. }
            | Self::Redfish { deadline_seconds, .. }
            | Self::Agent { deadline_seconds, .. } => *deadline_seconds,
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

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline_seconds().map(Duration::from_secs)
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
        let Self::Agent { options, secret_options, .. } = self else { return Ok(()) };
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
