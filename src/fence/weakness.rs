//! What is weak about how a machine's devices are reached: one table for what is refused when it is set, and for what
//! `nova-ha status` says of what was set before.

use std::fmt;

use super::channel::{Channel, GOOD_CIPHERS, Gap, WEAK_CIPHER};
use super::config::FenceConfig;
use super::level_config::{DeviceConfig, parse_url};
use super::spot::Spot;
use super::{Machine, agent};

/// Something weak about one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    /// Where its device stands.
    pub level: Spot,
    /// Its device.
    pub device: Device,
    /// What it is.
    pub what: What,
}

/// What is weak about a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Anyone on the way can answer in the device's place.
    Open(Gap),
    /// An IPMI cipher suite that does not do all three: log in, sign, encrypt.
    Cipher {
        /// Its number.
        cipher: u8,
    },
    /// The best that old BMCs have.
    WeakCipher,
    /// An agent that hands the password to ipmitool in its arguments, which each local user can read.
    PasswordInArguments {
        /// The agent.
        agent: String,
        /// The level of our own driver that does the same, as JSON.
        instead: String,
    },
}

/// What a level talks to, without a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A BMC by IPMI, by its address.
    Ipmi(String),
    /// A BMC by Redfish, by scheme, host and port.
    Redfish(String),
    /// A fence agent, by name.
    Agent(String),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Ipmi(address) => write!(f, "ipmi {address}"),
            Device::Redfish(origin) => write!(f, "redfish {origin}"),
            Device::Agent(name) => write!(f, "agent {name}"),
        }
    }
}

/// What becomes of a weakness where it is newly set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is refused.
    Refused,
    /// It is refused unless it is typed.
    Typed,
    /// It is said.
    Said,
}

impl Weakness {
    /// For people: about which machine, and what can be done with it.
    pub fn text(&self, machine: &Machine) -> String {
        let Self { level, device, what } = self;
        let at = format!("fence {level} of {machine} ({device})");
        let anyone = format!("anyone on this network can say that {machine} is off");
        match what {
            What::Open(gap) => format!(
                "{anyone}: {at} is read by {gap}. Its off counts only while nobody answers at the address of {machine} and serfHealth does not pass"
            ),
            What::Cipher { cipher } => match Channel::of_ipmi(*cipher) {
                Channel::Open(gap) => format!(
                    "{anyone}: {at} is read by {gap}. Its off counts only while nobody answers at the address of {machine} and serfHealth does not pass"
                ),
                Channel::Shown | Channel::Agent => {
                    format!(
                        "{at} uses IPMI cipher suite {cipher}, and only 17, 12, 8 and 3 log in, sign and encrypt"
                    )
                }
            },
            What::WeakCipher => format!(
                "{at} uses IPMI cipher suite {WEAK_CIPHER} (SHA-1): 17 is better, where the BMC has it"
            ),
            What::PasswordInArguments { agent, instead } => format!(
                "{at}: {agent} hands the password to ipmitool in its arguments, which every user of an HA node can read; the ipmi \
                 driver does the same without: {instead}"
            ),
        }
    }

    /// The operator's next command.
    pub fn next(&self, machine: &Machine) -> String {
        let add = machine.changed_by();
        match &self.what {
            What::Open(gap) => gap.settled_by(machine),
            What::Cipher { .. } | What::WeakCipher => match &self.device {
                Device::Agent(_) => format!("{add} --fence-file FILE"),
                Device::Ipmi(_) | Device::Redfish(_) => {
                    format!("{add} --bmc-cipher 17   (in a level of --fence-file: \"cipher\": 17)")
                }
            },
            What::PasswordInArguments { .. } => format!("{add} --fence-file FILE   (with that level)"),
        }
    }

    /// Where it is newly set.
    pub fn verdict(&self) -> Verdict {
        match self.what {
            What::Cipher { .. } | What::PasswordInArguments { .. } => Verdict::Refused,
            What::Open(_) => Verdict::Typed,
            What::WeakCipher => Verdict::Said,
        }
    }
}

impl Gap {
    /// The command that closes it.
    pub fn settled_by(self, machine: &Machine) -> String {
        let add = machine.changed_by();
        match self {
            Gap::UnjudgedCertificate => format!("{add} --pin-bmc"),
            Gap::PlainHttp => format!("{add} --fence-file FILE   (with https:// and a pin: docs/bmc.md)"),
            Gap::PersonsWord => {
                format!("nova-ha host show {machine}   (once its silent device answers again)")
            }
            Gap::UnsignedIpmi { .. } => {
                format!("{add} --bmc-cipher 17   (in a level of --fence-file: \"cipher\": 17)")
            }
        }
    }
}

/// All that is weak about a machine's levels, in their order.
pub fn weaknesses(config: &FenceConfig) -> Vec<Weakness> {
    config.devices().flat_map(|(spot, device)| of_device(spot, device)).collect()
}

fn of_device(level: Spot, config: &DeviceConfig) -> Vec<Weakness> {
    let weak = |device: &Device, what| Weakness { level, device: device.clone(), what };
    match config {
        DeviceConfig::Ipmi { address, cipher, .. } => {
            let device = Device::Ipmi(address.clone());
            match *cipher {
                WEAK_CIPHER => vec![weak(&device, What::WeakCipher)],
                cipher if GOOD_CIPHERS.contains(&cipher) => Vec::new(),
                cipher => vec![weak(&device, What::Cipher { cipher })],
            }
        }
        DeviceConfig::Redfish { url, verify, ca, pin, .. } => {
            let Ok(url) = parse_url(url) else { return Vec::new() };
            let device = Device::Redfish(url.origin().ascii_serialization());
            let gap = match (url.scheme(), pin, ca, verify) {
                ("https", None, None, false) => Gap::UnjudgedCertificate,
                ("https", _, _, _) => return Vec::new(),
                (_, _, _, _) => Gap::PlainHttp,
            };
            vec![weak(&device, What::Open(gap))]
        }
        DeviceConfig::Agent { agent, options, secret_options, .. } => {
            let device = Device::Agent(agent.clone());
            let mut found = Vec::new();
            match Channel::of_agent(options) {
                Channel::Open(Gap::UnsignedIpmi { cipher }) => {
                    found.push(weak(&device, What::Cipher { cipher }));
                }
                Channel::Open(gap @ (Gap::PlainHttp | Gap::UnjudgedCertificate)) => {
                    found.push(weak(&device, What::Open(gap)));
                }
                // No options say that; it is a word that stands in an incident.
                Channel::Open(Gap::PersonsWord) | Channel::Shown | Channel::Agent => {}
            }
            if agent::IPMITOOL_AGENTS.contains(&agent.as_str()) {
                let secrets = secret_options.keys().map(String::as_str).collect::<Vec<_>>();
                let instead = agent::as_ipmi_level(options, &secrets);
                found.push(weak(&device, What::PasswordInArguments { agent: agent.clone(), instead }));
            }
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(level: &str) -> Vec<Weakness> {
        let text = format!(r#"{{"version":1,"levels":[{level}]}}"#);
        weaknesses(&FenceConfig::parse("config/fence", text.as_bytes()).unwrap())
    }

    #[test]
    fn each_level_is_judged_by_how_its_device_is_reached() {
        let redfish = |url: &str, more: &str| {
            format!(r#"{{"driver":"redfish","url":"{url}","user":"u","password":"file:/p"{more}}}"#)
        };
        let pin = format!(r#","pin":"sha256:{}""#, "0a".repeat(32));
        let ipmi = |cipher| {
            format!(
                r#"{{"driver":"ipmi","address":"10.0.0.1","user":"u","password":"file:/p","cipher":{cipher}}}"#
            )
        };
        let agent = |name: &str, options: &str| {
            format!(
                r#"{{"driver":"agent","agent":"{name}","options":{{{options}}},"secret_options":{{"password":"file:/p"}}}}"#
            )
        };
        let https = "https://10.0.0.1";
        for (level, expected) in [
            (redfish("http://10.0.0.1", ""), vec![Verdict::Typed]),
            (redfish(https, r#","verify":false"#), vec![Verdict::Typed]),
            (redfish(https, ""), vec![]),
            (redfish(https, &pin), vec![]),
            (redfish(https, &format!(r#"{pin},"verify":false"#)), vec![]),
            (redfish(https, r#","ca":"/etc/ca.pem""#), vec![]),
            (ipmi(0), vec![Verdict::Refused]),
            (ipmi(1), vec![Verdict::Refused]),
            (ipmi(2), vec![Verdict::Refused]),
            (ipmi(3), vec![Verdict::Said]),
            (ipmi(8), vec![]),
            (ipmi(12), vec![]),
            (ipmi(15), vec![Verdict::Refused]),
            (ipmi(17), vec![]),
            (ipmi(18), vec![Verdict::Refused]),
            (agent("fence_apc_snmp", r#""ip":"10.0.0.9""#), vec![]),
            (agent("fence_redfish", r#""ssl_insecure":"1""#), vec![Verdict::Typed]),
            (agent("fence_ipmilan", r#""ip":"10.0.0.1""#), vec![Verdict::Refused]),
            (
                agent("fence_idrac", r#""ip":"10.0.0.1","cipher":"0""#),
                vec![Verdict::Refused, Verdict::Refused],
            ),
            (agent("fence_ilo5", ""), vec![Verdict::Refused]),
        ] {
            let found = of(&level);
            assert_eq!(found.iter().map(Weakness::verdict).collect::<Vec<_>>(), expected, "{level}");
            let machine = Machine::Host("host1".parse().unwrap());
            for weakness in found {
                assert!(weakness.text(&machine).contains("host1"), "{weakness:?}");
                assert!(weakness.next(&machine).contains("nova-ha host add host1 --replace"), "{weakness:?}");
                assert!(!weakness.text(&machine).contains("s3cret"));
            }
        }
    }

    #[test]
    fn the_ready_level_is_one_that_our_driver_takes() {
        let found = of(
            r#"{"driver":"agent","agent":"fence_ipmilan","options":{"ip":"10.0.0.1","ipport":"6230","username":"ha","cipher":"3"},
                "secret_options":{"password":"s3cret"}}"#,
        );
        let [Weakness { what: What::PasswordInArguments { instead, .. }, .. }] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert!(!instead.contains("s3cret"));
        let again = of(instead);
        assert_eq!(again.iter().map(|w| w.what.clone()).collect::<Vec<_>>(), [What::WeakCipher], "{instead}");
        assert!(
            instead.contains("10.0.0.1") && instead.contains("6230") && instead.contains("\"ha\""),
            "{instead}"
        );
    }
}
