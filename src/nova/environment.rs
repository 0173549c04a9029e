//! The variables and folders by which a cloud is found.

use std::collections::HashMap;
use std::path::PathBuf;

/// What of the process's surroundings the settings depend on; a value, so that tests need no
/// variables of their own process.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables. Empty ones count as unset.
    pub variables: HashMap<String, String>,
    /// The home folder, where there is one.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// That of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let variables: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = variables.get("HOME").map(PathBuf::from);
        Self { variables, home }
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }
}
