//! What fence levels answered, made one and put into words.

use super::plan::{LevelFact, LevelState};
use crate::fence::{Next, PowerState, Privilege, Verdict};

impl LevelFact {
    /// What the devices of one level answered, as one: all of them have to be off, so that each of them has to be good.
    pub fn together(devices: Vec<LevelFact>) -> Option<LevelFact> {
        let is_silent = |fact: &LevelFact| matches!(fact.state, LevelState::NoAnswer { .. });
        // Of one that says nothing the others' answers are worth knowing.
        let each: Option<Vec<String>> = (devices.len() > 1 && devices.iter().any(is_silent))
            .then(|| devices.iter().map(LevelFact::text).collect());
        let all = devices.into_iter().reduce(|all, one| LevelFact {
            device: format!("{} and {}", all.name(), one.name()),
            next: Next::of(all.next.into_iter().chain(one.next)),
            state: all.state.beside(one.state),
        })?;
        Some(match each {
            Some(each) => LevelFact { state: LevelState::NoAnswer { why: each.join("; ") }, ..all },
            None => all,
        })
    }

    /// What it is called among the others of its level.
    fn name(&self) -> String {
        match &self.state {
            LevelState::ByWord { .. } => format!("{} ({})", self.device, self.state.text()),
            LevelState::NoAnswer { .. } | LevelState::Answers { .. } => self.device.clone(),
        }
    }
}

impl LevelState {
    /// That of two devices that have to be off both: the worse of each.
    fn beside(self, other: Self) -> Self {
        match (self, other) {
            (LevelState::NoAnswer { why }, _) | (_, LevelState::NoAnswer { why }) => {
                LevelState::NoAnswer { why }
            }
            // For what is silent a person spoke: the others decide.
            (LevelState::ByWord { .. }, other) | (other, LevelState::ByWord { .. }) => other,
            (
                LevelState::Answers { power, identity, privilege },
                LevelState::Answers { power: power2, identity: identity2, privilege: privilege2 },
            ) => LevelState::Answers {
                power: match (power, power2) {
                    (PowerState::On, _) | (_, PowerState::On) => PowerState::On,
                    (PowerState::Off, other) | (other, PowerState::Off) => other,
                    (unknown @ PowerState::Unknown(_), PowerState::Unknown(_)) => unknown,
                },
                identity: match (identity, identity2) {
                    (differs @ Verdict::Differs { .. }, _) | (_, differs @ Verdict::Differs { .. }) => {
                        differs
                    }
                    (Verdict::Matches, other) | (other, Verdict::Matches) => other,
                    (unclear @ Verdict::CannotTell(_), Verdict::CannotTell(_)) => unclear,
                },
                privilege: match (privilege, privilege2) {
                    (denied @ Privilege::Denied(_), _) | (_, denied @ Privilege::Denied(_)) => denied,
                    (Privilege::Allowed, other) | (other, Privilege::Allowed) => other,
                    (unclear @ Privilege::CannotTell(_), Privilege::CannotTell(_)) => unclear,
                },
            },
        }
    }
}

impl LevelState {
    /// Whether this level may be used to power the host off.
    pub fn is_usable(&self, allow_unidentified: bool) -> bool {
        match self {
            // Of what is all by word nothing was read.
            LevelState::NoAnswer { .. } | LevelState::ByWord { .. } => false,
            LevelState::Answers { identity, privilege, .. } => {
                let known = match identity {
                    Verdict::Matches => true,
                    Verdict::Differs { .. } => false,
                    Verdict::CannotTell(_) => allow_unidentified,
                };
                known && !matches!(privilege, Privilege::Denied(_))
            }
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            LevelState::NoAnswer { why } => why.clone(),
            LevelState::ByWord { by } => format!("silent, by the word of {by}"),
            LevelState::Answers { power, identity, privilege } => {
                let power = match power {
                    PowerState::On => "on".to_owned(),
                    PowerState::Off => "off".to_owned(),
                    PowerState::Unknown(said) => format!("neither on nor off ({said})"),
                };
                let identity = match identity {
                    Verdict::Matches => "identity matches".to_owned(),
                    Verdict::Differs { expected, found } => {
                        format!("it is ANOTHER machine's: expected {expected}, found {found}")
                    }
                    Verdict::CannotTell(why) => format!("identity unknown ({why})"),
                };
                let privilege = match privilege {
                    Privilege::Allowed => String::new(),
                    Privilege::Denied(why) => format!(", may NOT switch off: {why}"),
                    Privilege::CannotTell(why) => format!(", may switch off: cannot tell ({why})"),
                };
                format!("power {power}, {identity}{privilege}")
            }
        }
    }
}
