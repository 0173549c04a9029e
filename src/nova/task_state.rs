//! What Nova is doing with a guest, read once.

use std::fmt;

/// What is being done with a guest (Nova: `OS-EXT-STS:task_state`), as far as this program asks for it by name. What
/// each of Nova's words means for a recovery is one table (`recovery/evacuation/states.rs`, docs/guests.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// A live migration.
    Migrating,
    /// A rebuild; an evacuation is one, too.
    Rebuild(Rebuild),
    /// Another one, in Nova's word.
    Other(String),
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// `rebuilding`
    Rebuilding,
    /// `rebuild_block_device_mapping`
    BlockDeviceMapping,
    /// `rebuild_spawning`
    Spawning,
}

impl TaskState {
    /// Nova's word.
    pub fn word(&self) -> &str {
        match self {
            TaskState::Migrating => "migrating",
            TaskState::Rebuild(Rebuild::Rebuilding) => "rebuilding",
            TaskState::Rebuild(Rebuild::BlockDeviceMapping) => "rebuild_block_device_mapping",
            TaskState::Rebuild(Rebuild::Spawning) => "rebuild_spawning",
            TaskState::Other(word) => word,
        }
    }

    /// Whether Nova builds the guest anew.
    pub fn is_rebuild(&self) -> bool {
        match self {
            TaskState::Rebuild(_) => true,
            TaskState::Migrating | TaskState::Other(_) => false,
        }
    }
}

impl From<String> for TaskState {
    fn from(word: String) -> Self {
        match word.as_str() {
            "migrating" => Self::Migrating,
            "rebuilding" => Self::Rebuild(Rebuild::Rebuilding),
            "rebuild_block_device_mapping" => Self::Rebuild(Rebuild::BlockDeviceMapping),
            "rebuild_spawning" => Self::Rebuild(Rebuild::Spawning),
            _ => Self::Other(word),
        }
    }
}

impl From<&str> for TaskState {
    fn from(word: &str) -> Self {
        word.to_owned().into()
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_kept_and_only_rebuilds_are_rebuilds() {
        for (word, is_rebuild) in [
            ("rebuilding", true),
            ("rebuild_block_device_mapping", true),
            ("rebuild_spawning", true),
            ("migrating", false),
            ("powering-off", false),
            // Nova has no such one: it is unknown, and no rebuild by its first letters.
            ("rebuild_of_tomorrow", false),
        ] {
            let state = TaskState::from(word);
            assert_eq!((state.word(), state.is_rebuild()), (word, is_rebuild));
        }
    }
}
