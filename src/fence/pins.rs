//! Which of a machine's Redfish levels have a certificate to pin, and the levels with it.

use reqwest::Url;

use super::FenceConfig;
use super::certificate::Pin;
use super::config::{LevelConfig, VERSION, parse_url};

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

    /// The value of a `config/fence` key with these levels, counted from 1, pinned.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn pinned(value: &[u8], pins: &[(usize, Pin)]) -> Result<String, serde_json::Error> {
        let mut stored: serde_json::Value = serde_json::from_slice(value)?;
        let levels = stored.get_mut("levels").and_then(serde_json::Value::as_array_mut);
        for (number, level) in (1..).zip(levels.into_iter().flatten()) {
            let (pin, level) = (pins.iter().find(|(of, _)| *of == number), level.as_object_mut());
            if let (Some((_, pin)), Some(level)) = (pin, level) {
                level.insert("pin".to_owned(), pin.to_string().into());
                level.remove("verify");
                level.remove("ca");
            }
        }
        if let Some(stored) = stored.as_object_mut() {
            stored.insert("version".to_owned(), VERSION.into());
        }
        serde_json::to_string(&stored)
    }
}
