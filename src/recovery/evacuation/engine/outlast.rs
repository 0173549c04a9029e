//! Nova shows nothing of what it was asked for, and may hear it yet: the token of that request is revoked, and it is
//! waited until no Nova takes it any more. Only then the guest is asked for again.

use jiff::{SignedDuration, Timestamp};

use super::guest::Guest;
use super::settle::{is_posting_of_an_earlier_process, later, silent};
use crate::incident::guest::Sent;
use crate::nova::{Token, TokenId};
use crate::recovery::context::Context;
use crate::recovery::evacuation::next::over;
use crate::recovery::note;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// How many guests are named.
const NAMED: usize = 3;

/// Has the token revoked where that ends the wait earlier; until when it lasts is written, for whoever goes on with it.
///
/// Never while Nova works with that token for another guest: it would fail there.
pub(super) async fn outlast(
    context: &Context<'_>,
    guest: &mut Guest,
    token: &Token,
    token_in_use: bool,
) -> Result<(), Stop> {
    let Some(mut entry) = guest.entry().cloned() else { return Ok(()) };
    let mut until = None;
    if let Some(sent) = &entry.sent {
        until = Some(over(sent));
        let by_revoking = after_revoking(context, token.now);
        if !token_in_use && by_revoking < sent.until {
            context.journal.confirm().await?;
            match revoked(context, sent).await {
                Ok(Some(shorter)) if shorter.until < sent.until => {
                    tracing::info!(incident = %context.case.id, guest = %entry.name, until = %shorter.until, "the token of an evacuation without an answer is revoked");
                    until = Some(over(&shorter));
                    entry.sent = Some(shorter);
                    // The time to look for it began when it was asked for.
                    let (since, inherited) =
                        (guest.changed_at, is_posting_of_an_earlier_process(context, guest));
                    guest.store(context, entry).await?;
                    (guest.changed_at, guest.inherited) = (since, inherited);
                }
                Ok(_) => {}
                Err(why) => silent(context, guest, "whether its token is revoked", &why),
            }
        }
    }
    guest.outlasts = Some(until);
    later(context, guest);
    if let Some(left) = until.and_then(|until| until.duration_since(token.now).try_into().ok()) {
        guest.look_after = guest.look_after.min(context.world.clock.boottime().saturating_add(left));
    }
    Ok(())
}

/// `None`: nobody on this machine has the token any more.
async fn revoked(context: &Context<'_>, sent: &Sent) -> Result<Option<Sent>, String> {
    let id: TokenId = sent.token.parse().map_err(|error| chain(&error))?;
    let after = context.cloud.revoke(&id).await.map_err(|error| chain(&error))?;
    Ok(after.map(|after| Sent { token: sent.token.clone(), until: after_revoking(context, after) }))
}

/// Until when Nova may take a token that was revoked at this time.
fn after_revoking(context: &Context<'_>, at: Timestamp) -> Timestamp {
    let cached =
        SignedDuration::try_from(context.case.policy.nova_token_cache_time).unwrap_or(SignedDuration::MAX);
    at.checked_add(cached).unwrap_or(Timestamp::MAX)
}

/// Of whom it was said that they wait so.
#[derive(Debug, Default)]
pub(super) struct Outlasting {
    said: Option<String>,
}

/// What is to be said now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Aloud(String),
    Over,
}

impl Outlasting {
    /// Whenever it changes.
    pub(super) fn word<'g>(
        &mut self,
        guests: impl Iterator<Item = (&'g str, Option<Timestamp>)>,
    ) -> Option<Word> {
        let guests: Vec<(&str, Option<Timestamp>)> = guests.collect();
        if guests.is_empty() {
            return self.said.take().map(|_| Word::Over);
        }
        let text = reason(&guests);
        if self.said.as_ref() == Some(&text) {
            return None;
        }
        self.said = Some(text.clone());
        Some(Word::Aloud(text))
    }
}

fn reason(guests: &[(&str, Option<Timestamp>)]) -> String {
    let names: Vec<&str> = guests.iter().map(|(name, _)| *name).take(NAMED).collect();
    let more = match guests.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let times: Option<Vec<Timestamp>> = guests.iter().map(|(_, until)| *until).collect();
    let until = match times.and_then(|times| times.into_iter().max()) {
        Some(until) => format!("until {until:.0}"),
        None => "for as long as a token of keystone lives".to_owned(),
    };
    format!(
        "Nova did not answer when it was asked to evacuate {}{more}, and may hear that {until}: asked for again now, \
         it could build a guest twice; it is asked for again then",
        names.join(", ")
    )
}

impl Word {
    /// Says it under the incident.
    pub(super) async fn say(self, context: &Context<'_>) {
        let (world, id) = (context.world, &context.case.id);
        match self {
            Word::Over => note::over(world, id).await,
            Word::Aloud(reason) => {
                let next = format!(
                    "wait for it, and evacuate none of them by hand before; nova-ha incident show {id}"
                );
                note::write(world, id, &[reason], &[next]).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_whenever_it_changes_with_who_waits_and_until_when() {
        let at = |second| Timestamp::from_second(second).ok();
        let mut outlasting = Outlasting::default();
        assert_eq!(outlasting.word(std::iter::empty()), None);
        let four = [("a", at(60)), ("b", at(120)), ("c", at(0)), ("d", at(0))];
        let Some(Word::Aloud(text)) = outlasting.word(four.into_iter()) else { panic!() };
        assert!(text.contains("a, b, c and 1 more") && text.contains("until 1970-01-01T00:02:00Z"), "{text}");
        assert_eq!(outlasting.word(four.into_iter()), None);
        let Some(Word::Aloud(text)) = outlasting.word([("a", None)].into_iter()) else { panic!() };
        assert!(text.contains("as long as a token"), "{text}");
        assert!(text.len() <= 300);
        assert_eq!(outlasting.word(std::iter::empty()), Some(Word::Over));
    }
}
