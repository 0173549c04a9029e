//! Whose machine's a device says that it is, now.

use super::world::chain;
use crate::bindings::Expected;
use crate::clock::Clock;
use crate::fence::{FenceLevels, Identity, Level, SaidOff, Unclear, Verdict};
use crate::policy::Policy;

/// By what the very answer about the power stated; and where that does not tell, by all that the device can be asked for, and
/// then by a person's word about what the device shows of itself.
pub(super) async fn whose(level: &Level, expected: &Expected, stated: Option<&Identity>) -> Verdict {
    if let Some(stated) = stated {
        match expected.compare(stated) {
            Verdict::CannotTell(_) => {}
            verdict @ (Verdict::Matches | Verdict::Differs { .. }) => return verdict,
        }
    }
    let found = match level.switch().identity_in_full().await {
        Ok(found) => found,
        Err(error) => return Verdict::CannotTell(Unclear::NotAnswered(chain(&error))),
    };
    // What the answer about the power stated is not outdone by another answer.
    let found = match (stated.cloned(), found) {
        (Some(stated), Some(more)) if stated.contradicts(&more) => Some(more),
        (Some(stated), Some(more)) => Some(stated.with(more)),
        (stated, more) => stated.or(more),
    };
    let verdict = found.map_or(Verdict::CannotTell(Unclear::NotStated), |found| expected.compare(&found));
    match verdict {
        Verdict::CannotTell(unclear) => by_word(level, unclear).await,
        verdict @ (Verdict::Matches | Verdict::Differs { .. }) => verdict,
    }
}

/// A person's word counts for as long as the device shows what it showed when the word was given.
async fn by_word(level: &Level, unclear: Unclear) -> Verdict {
    let Some(word) = level.confirmed() else { return Verdict::CannotTell(unclear) };
    let Some(then) = &word.shown else { return Verdict::Matches };
    match level.switch().shows().await {
        Ok(now) if now == *then => Verdict::Matches,
        Ok(now) => Verdict::CannotTell(Unclear::NotAsConfirmed {
            by: word.by.clone(),
            then: then.to_string(),
            now: now.to_string(),
        }),
        Err(error) => Verdict::CannotTell(Unclear::NotAnswered(chain(&error))),
    }
}

/// How often a device is asked whose it is, before its silence is one.
const ASKED: u32 = 3;

/// Whether the device that said *off* is the machine's, by what it says now: behind its address there may be another one since the
/// run began.
pub(super) async fn its_own(
    levels: &FenceLevels,
    expected: &Expected,
    policy: &Policy,
    clock: &dyn Clock,
    said: &SaidOff,
) -> Verdict {
    let level = levels.levels().iter().find(|level| level.switch().describe() == said.by());
    let Some(level) = level else { return Verdict::Matches };
    let mut verdict = whose(level, expected, said.stated()).await;
    for _ in 1..ASKED {
        if !matches!(verdict, Verdict::CannotTell(_)) {
            break;
        }
        clock.sleep(policy.off_read_pause).await;
        verdict = whose(level, expected, said.stated()).await;
    }
    match verdict {
        Verdict::CannotTell(_) if policy.allow_unidentified_bmc => Verdict::Matches,
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests;
