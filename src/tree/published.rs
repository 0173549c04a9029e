//! What a machine published about itself (`internal/runtime_config`), each field by itself.
//!
//! The document is the machine's own word. Whoever needs a field reads that field, and one that cannot be understood costs
//! nobody else anything: neither the other fields, nor the probes, nor the recovery of a host that an operator bound
//! ([`super::bound`]). A document of a newer format is read in the same way, because a field never changes its
//! meaning: what means something else gets another name.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::runtime_config::RuntimeConfig;
use super::{Snapshot, TreeError};
use crate::keys::MachineKeys;

/// The fields that tell of a machine's disks, and of the boot in which they were published.
const OF_THE_DISKS: [&str; 6] =
    ["md_arrays", "filesystems", "instances_path", "boot_guard", "guests_mounted_in", "time"];

/// One machine's document.
#[derive(Debug, Clone)]
pub struct Published {
    key: String,
    /// Its fields, or why the whole of it cannot be understood.
    fields: Result<Map<String, Value>, String>,
}

impl Published {
    /// Looks it up. What is not there, and what is empty, has published nothing.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Self {
        let key = keys.runtime_config();
        let value = snapshot.get(&key).map(|entry| entry.value.clone()).unwrap_or_default();
        Self::parse(&key, &value)
    }

    /// The same of a value.
    pub fn parse(key: &str, value: &[u8]) -> Self {
        let fields = match value.iter().all(u8::is_ascii_whitespace) {
            true => Ok(Map::new()),
            false => serde_json::from_slice(value).map_err(|error| error.to_string()),
        };
        Self { key: key.to_owned(), fields }
    }

    /// OpenSSH public host keys, one a line.
    ///
    /// # Errors
    /// The field, or the whole document, cannot be understood; as for all that follow.
    pub fn ssh_host_keys(&self) -> Result<Vec<String>, TreeError> {
        Ok(self.field("ssh_host_keys")?.unwrap_or_default())
    }

    /// What Nova calls its compute service.
    ///
    /// # Errors
    /// As [`Published::ssh_host_keys`].
    pub fn nova_host(&self) -> Result<Option<String>, TreeError> {
        self.field("nova_host")
    }

    /// DMI system UUID.
    ///
    /// # Errors
    /// As [`Published::ssh_host_keys`].
    pub fn system_uuid(&self) -> Result<Option<String>, TreeError> {
        self.field("system_uuid")
    }

    /// DMI system serial number.
    ///
    /// # Errors
    /// As [`Published::ssh_host_keys`].
    pub fn system_serial(&self) -> Result<Option<String>, TreeError> {
        self.field("system_serial")
    }

    /// What it says of its disks, and nothing else: the other fields are as of a document without them.
    ///
    /// # Errors
    /// As [`Published::ssh_host_keys`].
    pub fn disks(&self) -> Result<RuntimeConfig, TreeError> {
        let fields = self.fields()?;
        let of_the_disks =
            OF_THE_DISKS.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone())));
        serde_json::from_value(Value::Object(of_the_disks.collect()))
            .map_err(|error| self.malformed(error.to_string()))
    }

    /// What of it cannot be understood, for people.
    pub fn faults(&self) -> Vec<TreeError> {
        if let Err(error) = self.fields() {
            return vec![error];
        }
        let faults = [
            self.ssh_host_keys().err(),
            self.nova_host().err(),
            self.system_uuid().err(),
            self.system_serial().err(),
            self.disks().err(),
        ];
        faults.into_iter().flatten().collect()
    }

    fn fields(&self) -> Result<&Map<String, Value>, TreeError> {
        self.fields.as_ref().map_err(|why| self.malformed(why.clone()))
    }

    fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, TreeError> {
        match self.fields()?.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|error| self.malformed(format!("{name}: {error}"))),
        }
    }

    fn malformed(&self, why: String) -> TreeError {
        TreeError::Malformed { key: self.key.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Published {
        Published::parse("k", text.as_bytes())
    }

    #[test]
    fn a_field_that_cannot_be_understood_costs_no_other() {
        let text = r#"{"version":1,"nova_host":7,"ssh_host_keys":["ssh-ed25519 A"],"system_uuid":"u","md_arrays":[],
            "system_serial":null}"#;
        let odd = published(text);
        assert!(odd.nova_host().unwrap_err().to_string().contains("nova_host"));
        assert!(odd.disks().is_err());
        assert_eq!(odd.ssh_host_keys().unwrap(), ["ssh-ed25519 A"]);
        assert_eq!(odd.system_uuid().unwrap().as_deref(), Some("u"));
        assert_eq!(odd.system_serial().unwrap(), None);
        assert_eq!(odd.faults().len(), 2);
    }

    #[test]
    fn the_whole_and_a_field_are_of_one_document() {
        for (text, is_one) in [
            (&b"{\"nova_host\":\"c1\",\"more\":\"\xff\"}"[..], false),
            (b"{\"nova_host\":\"c1\",\"more\":1e999}", false),
            (b"{\"nova_host\":\"c1\",\"more\":1}", true),
            (b"{\"nova_host\":\"c0\",\"nova_host\":\"c1\"}", true),
        ] {
            let whole = RuntimeConfig::parse("k", text).ok().and_then(|config| config.nova_host);
            let field = Published::parse("k", text).nova_host().ok().flatten();
            assert_eq!((whole.is_some(), whole), (is_one, field), "{}", String::from_utf8_lossy(text));
        }
    }

    /// What others put there stays as it is through any number of readings, and never looks like a change.
    #[test]
    fn a_number_is_read_to_its_last_digit() {
        let long = "2".repeat(79) + "3";
        let text = format!(r#"{{"md_arrays":{{"a":{long}}},"time":{{"timestamp":{long},"datetime":""}}}}"#);
        let once = RuntimeConfig::parse("k", text.as_bytes()).unwrap();
        let again = RuntimeConfig::parse("k", &serde_json::to_vec(&once).unwrap()).unwrap();
        assert_eq!(once, again);
    }

    #[test]
    fn a_newer_document_is_read_by_the_fields_that_are_known() {
        let newer = published(r#"{"version":99,"more":{"x":1},"system_uuid":"u","instances_path":"/srv"}"#);
        assert_eq!(newer.system_uuid().unwrap().as_deref(), Some("u"));
        assert_eq!(newer.disks().unwrap().instances_path.as_deref(), Some("/srv"));
        assert_eq!(newer.faults().len(), 0);
    }

    #[test]
    fn what_is_no_document_says_nothing_and_is_no_absence() {
        for garbage in ["{", "[]", "7", "\u{7f}", "\"x\""] {
            let garbage = published(garbage);
            assert!(
                garbage.nova_host().is_err() && garbage.disks().is_err() && garbage.ssh_host_keys().is_err()
            );
            assert_eq!(garbage.faults().len(), 1);
        }
        for nothing in ["", " \n", "{}"] {
            let nothing = published(nothing);
            assert_eq!(nothing.ssh_host_keys().unwrap(), Vec::<String>::new());
            assert_eq!(nothing.disks().unwrap(), RuntimeConfig::default());
        }
    }
}
