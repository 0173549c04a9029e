//! Which of a machine's Redfish levels have a certificate to pin, and the levels with it.

use reqwest::Url;

use super::certificate::Pin;
use super::config::VERSION;
use super::level_config::{DeviceConfig, parse_url};
use super::spot::Spot;
use super::{FenceConfig, Mark};

/// A Redfish level, as far as its certificate goes.
#[derive(Debug, Clone)]
pub struct RedfishLevel {
    /// Where it stands.
    pub spot: Spot,
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
        let redfish = |(spot, device): (Spot, &DeviceConfig)| match device {
            DeviceConfig::Redfish { url, ca, pin, .. } => {
                let is_judged = pin.is_some() || ca.is_some();
                parse_url(url).ok().map(|url| RedfishLevel { spot, url, pin: *pin, is_judged })
            }
            DeviceConfig::Ipmi { .. } | DeviceConfig::Agent { .. } => None,
        };
        self.devices().filter_map(redfish).collect()
    }

    /// Whether an older build would not understand one of its levels.
    pub fn needs_newest(&self) -> bool {
        self.devices().any(|(spot, device)| match device {
            _ if spot.device.is_some() => true,
            DeviceConfig::Ipmi { identity_shown, .. } => identity_shown.is_some(),
            DeviceConfig::Redfish { pin, identity_confirmed_by, identity_shown, .. } => {
                pin.is_some() || identity_confirmed_by.is_some() || identity_shown.is_some()
            }
            DeviceConfig::Agent { wait_seconds, .. } => wait_seconds.is_some(),
        })
    }

    /// Where its devices stand that our own drivers reach.
    pub fn own_devices(&self) -> Vec<Spot> {
        let is_own = |device: &DeviceConfig| match device {
            DeviceConfig::Ipmi { .. } | DeviceConfig::Redfish { .. } => true,
            DeviceConfig::Agent { .. } => false,
        };
        self.devices().filter(|(_, device)| is_own(device)).map(|(spot, _)| spot).collect()
    }

    /// The value of a `config/fence` key with a person's word about whose this device is.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn confirmed(value: &[u8], spot: Spot, by: &str, shows: &Mark) -> Result<String, serde_json::Error> {
        changed(value, |of, level| {
            if of == spot {
                level.insert("identity_confirmed_by".to_owned(), by.into());
                level.insert("identity_shown".to_owned(), shows.to_string().into());
            }
        })
    }

    /// The value of a `config/fence` key with these devices pinned.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn pinned(value: &[u8], pins: &[(Spot, Pin)]) -> Result<String, serde_json::Error> {
        changed(value, |spot, level| {
            if let Some((_, pin)) = pins.iter().find(|(of, _)| *of == spot) {
                level.insert("pin".to_owned(), pin.to_string().into());
                level.remove("verify");
                level.remove("ca");
            }
        })
    }
}

/// The levels after a change of each device, in the newest version.
fn changed(
    value: &[u8],
    mut change: impl FnMut(Spot, &mut serde_json::Map<String, serde_json::Value>),
) -> Result<String, serde_json::Error> {
    let mut stored: serde_json::Value = serde_json::from_slice(value)?;
    let levels = stored.get_mut("levels").and_then(serde_json::Value::as_array_mut);
    for (level, value) in (1..).zip(levels.into_iter().flatten()) {
        let Some(value) = value.as_object_mut() else { continue };
        let Some(devices) = value.get_mut("devices").and_then(serde_json::Value::as_array_mut) else {
            change(Spot { level, device: None }, value);
            continue;
        };
        let several = devices.len() > 1;
        for (number, device) in (1..).zip(devices) {
            let spot = Spot { level, device: several.then_some(number) };
            device.as_object_mut().into_iter().for_each(|device| change(spot, device));
        }
    }
    if let Some(stored) = stored.as_object_mut() {
        stored.insert("version".to_owned(), VERSION.into());
    }
    serde_json::to_string(&stored)
}
