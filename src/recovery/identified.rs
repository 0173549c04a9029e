//! Whose machine's a device says that it is, now.

use super::world::chain;
use crate::bindings::Expected;
use crate::clock::Clock;
use crate::fence::{Device, FenceError, FenceLevels, Identity, SaidOff, Unclear, Verdict};
use crate::policy::Policy;

/// By what the very answer about the power stated; and where that does not tell, by all that the device can be asked for, and
/// then by a person's word about what the device shows of itself.
pub(super) async fn whose(device: &Device, expected: &Expected, stated: Option<&Identity>) -> Verdict {
    let unanswered = |error: &FenceError| Verdict::CannotTell(Unclear::NotAnswered(chain(error)));
    let stated = match stated {
        Some(stated) => Some(stated.clone()),
        None => match device.switch().identity().await {
            Ok(stated) => stated,
            Err(error) => return unanswered(&error),
        },
    };
    if let Some(stated) = &stated {
        match expected.compare(stated) {
            Verdict::CannotTell(_) => {}
            verdict @ (Verdict::Matches | Verdict::Differs { .. }) => return verdict,
        }
    }
    let found = match device.switch().identity_in_full().await {
        Ok(found) => found,
        Err(error) => return unanswered(&error),
    };
    let found = match (stated, found) {
        // It is first this one and then another: it is nobody's.
        (Some(stated), Some(more)) if stated.contradicts(&more) => {
            return Verdict::Differs { expected: stated.to_string(), found: more.to_string() };
        }
        (Some(stated), Some(more)) => Some(stated.with(more)),
        (stated, more) => stated.or(more),
    };
    let verdict = found.map_or(Verdict::CannotTell(Unclear::NotStated), |found| expected.compare(&found));
    match verdict {
        Verdict::CannotTell(unclear) => by_word(device, unclear).await,
        verdict @ (Verdict::Matches | Verdict::Differs { .. }) => verdict,
    }
}

/// A person's word counts for as long as the device shows what it showed when the word was given.
async fn by_word(device: &Device, unclear: Unclear) -> Verdict {
    let Some(word) = device.confirmed() else { return Verdict::CannotTell(unclear) };
    let Some(then) = &word.shown else { return Verdict::Matches };
    match device.switch().shows().await {
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

/// Whether the devices that said *off* are the machine's, by what they say now: behind an address there may be another one since the
/// run began. Of several each has to be.
pub(super) async fn its_own(
    levels: &FenceLevels,
    expected: &Expected,
    policy: &Policy,
    clock: &dyn Clock,
    said: &SaidOff,
) -> Verdict {
    // Of a silent one nobody can ask; a person said which it is.
    for by in said.devices().iter().filter(|by| by.word.is_none()) {
        let device = levels.devices().find(|device| device.switch().describe() == by.device);
        let Some(device) = device else { continue };
        let mut verdict = whose(device, expected, by.stated.as_ref()).await;
        for _ in 1..ASKED {
            if !matches!(verdict, Verdict::CannotTell(_)) {
                break;
            }
            clock.sleep(policy.off_read_pause).await;
            verdict = whose(device, expected, by.stated.as_ref()).await;
        }
        match verdict {
            Verdict::Matches => {}
            Verdict::CannotTell(_) if policy.allow_unidentified_bmc => {}
            verdict @ (Verdict::CannotTell(_) | Verdict::Differs { .. }) => return verdict,
        }
    }
    Verdict::Matches
}

#[cfg(test)]
mod tests;
