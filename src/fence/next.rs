//! What a person does about a device that does not do what it was asked.

/// The operator's next command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A setting is wrong, for certain: the command that corrects it. That the machine is off is then nothing for a person to
    /// say.
    Setting(String),
    /// What shows what is wrong. It may be the device, and then a person's word is left.
    Look(String),
}

impl Next {
    /// Of several devices: all settings that are wrong, since that is certain; else what comes first.
    pub fn of(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|first, then| match (first, then) {
            (Self::Setting(one), Self::Setting(other)) if one != other => {
                Self::Setting(format!("{one}; {other}"))
            }
            (setting @ Self::Setting(_), _) | (Self::Look(_), setting @ Self::Setting(_)) => setting,
            (look @ Self::Look(_), Self::Look(_)) => look,
        })
    }

    /// With another command after it; without it where a setting is wrong.
    pub fn then(self, command: &str) -> Self {
        match self {
            setting @ Self::Setting(_) => setting,
            Self::Look(look) => Self::Look(format!("{look}; {command}")),
        }
    }

    /// With a person's word at the end, which is the one command that can cost data; without it where a setting is wrong.
    pub fn then_word(self, word: &str) -> String {
        match self {
            Self::Setting(command) => command,
            Self::Look(look) => format!("{look}; at last, {word}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_comes_before_a_look_and_ends_without_a_persons_word() {
        let (setting, look) = (|text: &str| Next::Setting(text.into()), |text: &str| Next::Look(text.into()));
        for (all, said) in [
            (vec![setting("a")], "a"),
            (vec![look("b")], "b; at last, word"),
            (vec![look("b"), setting("a")], "a"),
            (vec![setting("a"), look("b")], "a"),
            (vec![setting("a"), look("b"), setting("c")], "a; c"),
            (vec![setting("a"), setting("a")], "a"),
            (vec![look("b"), look("d")], "b; at last, word"),
        ] {
            assert_eq!(Next::of(all).unwrap().then_word("word"), said);
        }
        assert_eq!(Next::of([]), None);
        assert_eq!(look("b").then("e").then_word("word"), "b; e; at last, word");
        assert_eq!(setting("a").then("e").then_word("word"), "a");
    }
}
