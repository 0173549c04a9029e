//! Nova takes nothing of what it is asked for (429, 409, 5xx, silence): it is asked on, for as long as
//! that lasts, and whoever looks at the incident is told.

use std::time::Duration;

use crate::clock::BootInstant;
use crate::recovery::context::Context;
use crate::recovery::evacuation::pace::Answer;
use crate::recovery::note;

/// A shorter trouble is nobody's business.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it has been going on.
#[derive(Debug, Default)]
pub(super) struct Struggle {
    since: Option<BootInstant>,
    is_said: bool,
}

/// What is to be said now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Aloud,
    Over,
}

impl Struggle {
    /// Nova answered a request.
    pub(super) fn heard(&mut self, answer: Answer, now: BootInstant) {
        self.since = match answer {
            Answer::Took(_) => None,
            Answer::Struggles(_) => self.since.or(Some(now)),
        };
    }

    /// Once each time it begins and ends.
    pub(super) fn word(&mut self, now: BootInstant) -> Option<Word> {
        let lasts = self.since.is_some_and(|at| now.saturating_duration_since(at) >= PATIENCE);
        match (lasts, self.is_said) {
            (true, false) => {
                self.is_said = true;
                Some(Word::Aloud)
            }
            (false, true) => {
                self.is_said = false;
                Some(Word::Over)
            }
            (true, true) | (false, false) => None,
        }
    }
}

impl Word {
    /// Says it under the incident.
    pub(super) async fn say(self, context: &Context<'_>) {
        let (world, id) = (context.world, &context.case.id);
        match self {
            Word::Over => note::over(world, id).await,
            Word::Aloud => {
                let reason = format!(
                    "Nova takes no evacuation for more than {PATIENCE:?} (busy, refusing or silent); it is asked again and again"
                );
                let next = "look at nova-api's log, and at its rate limits".to_owned();
                note::write(world, id, &[reason], &[next]).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_when_it_lasts_and_taken_back_once() {
        let at = |seconds| BootInstant::since_boot(Duration::from_secs(seconds));
        let mut struggle = Struggle::default();
        struggle.heard(Answer::Struggles(None), at(10));
        struggle.heard(Answer::Struggles(None), at(30));
        assert_eq!(struggle.word(at(39)), None);
        assert_eq!(struggle.word(at(40)), Some(Word::Aloud));
        assert_eq!(struggle.word(at(100)), None);
        struggle.heard(Answer::Took(Duration::ZERO), at(101));
        assert_eq!(struggle.word(at(101)), Some(Word::Over));
        assert_eq!(struggle.word(at(200)), None);
        // One good answer in between: it begins anew.
        struggle.heard(Answer::Struggles(None), at(201));
        struggle.heard(Answer::Took(Duration::ZERO), at(210));
        struggle.heard(Answer::Struggles(None), at(220));
        assert_eq!(struggle.word(at(240)), None);
    }
}
