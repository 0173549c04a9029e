//! The parts of Redfish's documents that matter. Vendors add many others, and write into these what is none of them: what is odd
//! in one field hides none of the others.

use std::collections::BTreeSet;

use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fence::Identity;

/// Reads a document; with the error, whether it may be a moment's matter.
///
/// # Errors
/// It is no object of this kind.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (bool, String)> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err((true, "it is empty".to_owned())),
        // A list would be taken for the fields of an object, one after the other.
        Some(first) if *first != b'{' => Err((false, "it is no JSON object".to_owned())),
        Some(_) => serde_json::from_slice(bytes).map_err(|error| (error.is_eof(), error.to_string())),
    }
}

/// The systems of a service.
#[derive(Deserialize)]
pub(super) struct Collection {
    #[serde(rename = "Members")]
    members: Option<Value>,
    /// There are more than it shows.
    #[serde(rename = "Members@odata.nextLink")]
    more: Option<Value>,
}

impl Collection {
    fn members(&self) -> impl Iterator<Item = Option<&str>> {
        let members = self.members.iter().filter_map(Value::as_array).flatten();
        members.map(|member| member.get("@odata.id")?.as_str())
    }

    /// Where its members are, as far as they say so. One that is listed twice is one.
    pub(super) fn paths(&self) -> Vec<&str> {
        let without_slash = |path: &str| path.trim_end_matches('/').to_owned();
        let mut seen = BTreeSet::new();
        self.members().flatten().filter(|path| seen.insert(without_slash(path))).collect()
    }

    /// Whether there are others beside these: on a further page, or without a word where they are.
    pub(super) fn has_more(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.is_null()) || self.members().any(|path| path.is_none())
    }
}

/// A `ComputerSystem`.
#[derive(Deserialize)]
pub(super) struct System {
    #[serde(rename = "PowerState")]
    power_state: Option<Value>,
    #[serde(rename = "UUID")]
    uuid: Option<Value>,
    #[serde(rename = "SerialNumber")]
    serial: Option<Value>,
    #[serde(rename = "SKU")]
    sku: Option<Value>,
    #[serde(rename = "Manufacturer")]
    manufacturer: Option<Value>,
    #[serde(rename = "Links")]
    links: Option<Value>,
    #[serde(rename = "Actions")]
    actions: Option<Value>,
}

/// A `Chassis`.
#[derive(Deserialize)]
pub(super) struct Chassis {
    #[serde(rename = "SerialNumber")]
    serial: Option<Value>,
    #[serde(rename = "SKU")]
    sku: Option<Value>,
    #[serde(rename = "Manufacturer")]
    manufacturer: Option<Value>,
}

/// A text, or a number as one; nothing of anything else.
fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Dell writes the service tag into *SKU*, which is its serial number. All others write the number of the model there, which
/// tells no machines apart.
fn tag(sku: Option<&Value>, manufacturer: Option<&Value>) -> Option<String> {
    let others = word(manufacturer).is_some_and(|name| !name.to_lowercase().contains("dell"));
    word(sku).filter(|_| !others)
}

impl System {
    /// The word for its power.
    pub(super) fn power(&self) -> Option<&str> {
        self.power_state.as_ref()?.as_str()
    }

    /// Who it says it is.
    pub(super) fn identity(&self) -> Option<Identity> {
        let also = tag(self.sku.as_ref(), self.manufacturer.as_ref()).into_iter().collect();
        let (uuid, serial) = (word(self.uuid.as_ref()), word(self.serial.as_ref()));
        let stated = Identity { uuid, ..Identity::default() }.with(Identity { uuid: None, serial, also });
        (stated != Identity::default()).then_some(stated)
    }

    /// Its one chassis. Of several none is the machine's for sure.
    pub(super) fn chassis(&self) -> Option<&str> {
        match self.links.as_ref()?.get("Chassis")?.as_array()?.as_slice() {
            [only] => only.get("@odata.id")?.as_str(),
            _ => None,
        }
    }

    fn reset(&self) -> Option<&Value> {
        self.actions.as_ref()?.get("#ComputerSystem.Reset")
    }

    /// Where it says that a reset is sent to.
    pub(super) fn target(&self) -> Option<&str> {
        self.reset()?.get("target")?.as_str()
    }

    /// Whether it lists its kinds of reset, and this one is not among them.
    pub(super) fn refuses_force_off(&self) -> bool {
        let allowed =
            self.reset().and_then(|reset| reset.get("ResetType@Redfish.AllowableValues")?.as_array());
        allowed.is_some_and(|allowed| !allowed.iter().any(|kind| kind == "ForceOff"))
    }
}

impl Chassis {
    /// The numbers on it.
    pub(super) fn numbers(&self) -> Identity {
        let tag = tag(self.sku.as_ref(), self.manufacturer.as_ref());
        Identity { also: word(self.serial.as_ref()).into_iter().chain(tag).collect(), ..Identity::default() }
    }
}

/// Where a reset of a system is sent to that does not say: as the standard's examples have it.
pub(super) fn usual_target(system: &Url) -> String {
    format!("{}/Actions/ComputerSystem.Reset", system.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_is_listed_twice_is_one_and_one_without_an_address_is_another() {
        let read = |members: &str| {
            let text = format!("{{\"Members\": {members}}}");
            let collection: Collection = parse(text.as_bytes()).unwrap();
            (collection.paths().len(), collection.has_more())
        };
        let (one, two) =
            (r#"{"@odata.id": "/redfish/v1/Systems/1"}"#, r#"{"@odata.id": "/redfish/v1/Systems/2"}"#);
        let slash = r#"{"@odata.id": "/redfish/v1/Systems/1/"}"#;
        assert_eq!(read(&format!("[{one}]")), (1, false));
        assert_eq!(read(&format!("[{one}, {one}, {slash}]")), (1, false));
        assert_eq!(read(&format!("[{one}, {two}]")), (2, false));
        for other in [r#"{"Id": "2"}"#, r#"{"@odata.id": null}"#, r#"{"@odata.id": 2}"#, "null", "2"] {
            assert_eq!(read(&format!("[{one}, {other}]")), (1, true), "{other}");
        }
        for none in ["[]", "null", "{}", "2"] {
            assert_eq!(read(none), (0, false), "{none}");
        }
    }
}
