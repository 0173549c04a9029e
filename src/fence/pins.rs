//! Which of a machine's Redfish levels have a certificate to pin, and the levels with it.

use reqwest::Url;

use super::certificate::Pin;
use super::config::VERSION;
use super::level_config::{LevelConfig, parse_url};
use super::{FenceConfig, Mark};

/// A Redfish level, as far as its certificate goes.
#[derive(Debug, Clone)]
pub struct RedfishLevel {
    /// Its number, from 1.
    pub number: usize,
    /// Where it is.
    pub url: Url,
    /// What is pinned.
    pub pin: Option<Pin>,
    /// Whether its certificate is pinned, or has authorities of its own.
    pub is_judged: bool,
}

impl FenceConfig {
    /// Its Redfish levels.
    pub fn redfish_levels(&self) -> Vec<RedfishLevel> {
        let redfish = |(number, level): (usize, &LevelConfig)| match level {
            LevelConfig::Redfish { url, ca, pin, .. } => {
                let is_judged = pin.is_some() || ca.is_some();
                parse_url(url).ok().map(|url| RedfishLevel { number, url, pin: *pin, is_judged })
            }
            LevelConfig::Ipmi { .. } | LevelConfig::Agent { .. } => None,
        };
        (1..).zip(self.levels()).filter_map(redfish).collect()
    }

    /// Whether an older build would not understand one of its levels.
    pub fn needs_newest(&self) -> bool {
        self.levels().iter().any(|level| match level {
            LevelConfig::Ipmi { identity_shown, .. } => identity_shown.is_some(),
            LevelConfig::Redfish { pin, identity_confirmed_by, identity_shown, .. } => {
                pin.is_some() || identity_confirmed_by.is_some() || identity_shown.is_some()
            }
            LevelConfig::Agent { .. } => false,
        })
    }

    /// The numbers of its levels that our own drivers reach, from 1.
    pub fn own_levels(&self) -> Vec<usize> {
        let is_own = |level: &LevelConfig| match level {
            LevelConfig::Ipmi { .. } | LevelConfig::Redfish { .. } => true,
            LevelConfig::Agent { .. } => false,
        };
        (1..).zip(self.levels()).filter(|(_, level)| is_own(level)).map(|(number, _)| number).collect()
    }

    /// The value of a `config/fence` key with a person's word about whose the device of this level is, counted from 1.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn confirmed(
        value: &[u8],
        number: usize,
        by: &str,
        shows: &Mark,
    ) -> Result<String, serde_json::Error> {
        changed(value, |of, level| {
            if of == number {
                level.insert("identity_confirmed_by".to_owned(), by.into());
                level.insert("identity_shown".to_owned(), shows.to_string().into());
            }
        })
    }

    /// The value of a `config/fence` key with these levels, counted from 1, pinned.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn pinned(value: &[u8], pins: &[(usize, Pin)]) -> Result<String, serde_json::Error> {
        changed(value, |number, level| {
            if let Some((_, pin)) = pins.iter().find(|(of, _)| *of == number) {
                level.insert("pin".to_owned(), pin.to_string().into());
                level.remove("verify");
                level.remove("ca");
            }
        })
    }
}

/// The levels after a change of each, in the newest version.
fn changed(
    value: &[u8],
    mut change: impl FnMut(usize, &mut serde_json::Map<String, serde_json::Value>),
) -> Result<String, serde_json::Error> {
    let mut stored: serde_json::Value = serde_json::from_slice(value)?;
    let levels = stored.get_mut("levels").and_then(serde_json::Value::as_array_mut);
    for (number, level) in (1..).zip(levels.into_iter().flatten()) {
        if let Some(level) = level.as_object_mut() {
            change(number, level);
        }
    }
    if let Some(stored) = stored.as_object_mut() {
        stored.insert("version".to_owned(), VERSION.into());
    }
    serde_json::to_string(&stored)
}
