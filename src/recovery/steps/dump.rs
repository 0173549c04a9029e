//! Before the fence: a host that announces a crash dump is left to finish it, within the policy's bound.
//!
//! An announcement is no proof of anything. It never counts as *off* and never spares the fence: all
//! that it can do is to delay *started: fence*, the point of no return, by `kdump_grace` in all. A host
//! that lives again meanwhile is seen by whoever judges after this wait.

use std::time::Duration;

use crate::clock::BootInstant;
use crate::fence::PowerState;
use crate::incident::dump_grace::DumpGrace;
use crate::incident::step::Step;
use crate::kdump::Tally;
use crate::recovery::claim::unlock;
use crate::recovery::context::Context;
use crate::recovery::dump::{Ended, Limits, Next, Seen, decide};
use crate::recovery::journal::{index_of, moved};
use crate::recovery::note;
use crate::recovery::progress::Event;
use crate::recovery::stop::Stop;
use crate::recovery::word::{Word, word};
use crate::recovery::world::{Listening, chain};
use crate::store::{Op, TxnOutcome};
use crate::tree::record::{bytes, parse};

/// How often the socket is looked at within a slice: when the last announcement came is known that well,
/// and what the kernel buffers does not overflow.
const LOOK: Duration = Duration::from_millis(500);

/// What became of it.
#[derive(Debug, Default)]
pub struct Grace {
    /// For the journal: what was heard, or why nobody listened. Nothing where the policy gives no grace.
    pub fact: Option<String>,
    /// Whether time went by, so that what was judged before is old.
    pub waited: bool,
}

impl Grace {
    fn none(fact: impl Into<String>) -> Self {
        Self { fact: Some(format!("kdump: {}", fact.into())), waited: false }
    }
}

/// Waits for the end of the host's crash dump, if it announces one, and nobody whose order counts now is in a
/// hurry.
pub async fn left_to_finish(context: &Context<'_>, ordered_by: Option<&str>) -> Result<Grace, Stop> {
    let policy = &context.case.policy;
    let limits = Limits { grace: policy.kdump_grace, listen: policy.kdump_listen };
    // Once the fence was begun its power may have been cut already: there is nothing to spare.
    if limits.grace.is_zero() || context.journal.status().started == Some(Step::Fence) {
        return Ok(Grace::default());
    }
    if let Some(by) = ordered_by {
        return Ok(Grace::none(format!("not waited for, by the order of {by}")));
    }
    let mut account = Account::read(context).await?;
    if let Some(over) = &account.grace.over {
        return Ok(Grace::none(over));
    }
    if let Some(why) = no_dump_is_written(context).await {
        return Ok(Grace::none(format!("not listened for: {why}")));
    }
    let mut ear = match context.world.dumps.listen(&names(context)).await {
        Ok(ear) => ear,
        Err(why) => {
            tracing::warn!(incident = %context.case.id, host = %context.case.id.host(), %why, "cannot listen for a crash dump: the fence goes on");
            return Ok(Grace::none(format!("cannot be listened for: {why}")));
        }
    };
    let waited = wait(context, limits, &mut account, ear.as_mut()).await;
    if let Err(Stop::Moved { .. }) = &waited {
        // Nothing of ours is under way: whoever goes on need not wait for the lock-delay.
        unlock(context).await;
    }
    note::over(context.world, &context.case.id).await;
    Ok(Grace { fact: Some(format!("kdump: {}", waited?)), waited: true })
}

/// The wait itself; why it is over.
async fn wait(
    context: &Context<'_>,
    limits: Limits,
    account: &mut Account,
    ear: &mut dyn Listening,
) -> Result<String, Stop> {
    let clock = context.world.clock.as_ref();
    let mut heard = Heard { last: clock.boottime(), tally: Tally::default() };
    let before = account.grace.messages;
    loop {
        heard.listen(ear, clock.boottime());
        let grace = &mut account.grace;
        grace.messages = before.saturating_add(heard.tally.own);
        let silent = clock.boottime().saturating_duration_since(heard.last);
        let seen = Seen { charged: grace.charged(), silent, announced: grace.messages > 0 };
        let slice = match decide(limits, seen) {
            Next::Wait(slice) => slice,
            Next::GoOn(ended) => {
                let over = said(ended, grace, limits, heard.tally);
                grace.over = Some(over.clone());
                account.save(context).await?;
                tracing::info!(incident = %context.case.id, host = %context.case.id.host(), step = "fence", "crash dump: {over}");
                return Ok(over);
            }
        };
        show(context, limits, grace).await;
        grace.charge(slice);
        account.save(context).await?;
        let until = clock.boottime().saturating_add(slice);
        while let Some(left) = until.checked_duration_since(clock.boottime()).filter(|left| !left.is_zero()) {
            clock.sleep(left.min(LOOK)).await;
            heard.listen(ear, clock.boottime());
        }
    }
}

struct Heard {
    /// When the host was last heard, or since when it is listened to.
    last: BootInstant,
    tally: Tally,
}

impl Heard {
    fn listen(&mut self, ear: &mut dyn Listening, now: BootInstant) {
        let more = ear.heard();
        if more.own > 0 {
            self.last = now;
        }
        self.tally += more;
    }
}

/// By which names or addresses the host's own words are known.
fn names(context: &Context<'_>) -> Vec<String> {
    let host = context.case.id.host().to_string();
    let address = context.case.ssh.address.clone().filter(|address| *address != host);
    address.into_iter().chain([host]).collect()
}

/// Why there is nothing to wait for: without power nothing is written. Whether it is off is proved by
/// the fence; where one of these is wrong, a dump is cut short.
async fn no_dump_is_written(context: &Context<'_>) -> Option<String> {
    if let Ok(Word::Given(given)) = word(context.world, &context.case.id).await {
        return Some(format!("it is off: {}", given.by()));
    }
    for level in context.levels.levels() {
        let mut is_off = !level.devices().is_empty();
        for device in level.devices() {
            is_off = is_off && matches!(device.switch().read().await, Ok(PowerState::Off));
        }
        if is_off {
            return Some(format!("{} reads off", level.describe()));
        }
    }
    None
}

/// What is stored of the grace, and Consul's index of it.
struct Account {
    grace: DumpGrace,
    index: u64,
    /// Of the order that was there when the wait began: one that is given meanwhile ends it.
    order: Option<u64>,
}

impl Account {
    /// What cannot be understood counts as all used up: it may have been waited for already, and
    /// nothing about a dump may keep a fence from going on.
    async fn read(context: &Context<'_>) -> Result<Self, Stop> {
        let key = context.journal.keys().kdump();
        let doing = "read what is left of the grace for a crash dump";
        let stored = context.retrying(doing, || context.world.store.get(&key)).await?;
        let order = order_index(context).await?;
        let Some(entry) = stored else { return Ok(Self { grace: DumpGrace::new(), index: 0, order }) };
        let grace = parse(&entry.key, &entry.value).unwrap_or_else(|error| {
            let why = chain(&error);
            tracing::warn!(incident = %context.case.id, error = why, "the grace for a crash dump counts as used up");
            DumpGrace { over: Some(format!("not waited for: {why}")), ..DumpGrace::new() }
        });
        Ok(Self { grace, index: entry.modify_index, order })
    }

    /// Writes it if the incident is still ours and as we saw it: a person's hold or order ends the wait.
    async fn save(&mut self, context: &Context<'_>) -> Result<(), Stop> {
        if order_index(context).await? != self.order {
            let what = format!("{}: a person gave an order", context.journal.keys().order());
            return Err(Stop::Moved { what });
        }
        let key = context.journal.keys().kdump();
        let value = bytes(&self.grace);
        let ops = [Op::Cas(key.clone(), value.clone(), self.index)];
        let doing = "write what is left of the grace for a crash dump";
        let outcome = context.retrying(doing, || context.journal.with_guards(&ops)).await?;
        match outcome {
            TxnOutcome::Committed(entries) => self.index = index_of(&entries, &key)?,
            TxnOutcome::Refused(why) => {
                // A try without an answer may have been taken: then our own words are what is there.
                context.journal.confirm().await?;
                let stored = context.retrying(doing, || context.world.store.get(&key)).await?;
                match stored.filter(|stored| stored.value == value) {
                    Some(stored) => self.index = stored.modify_index,
                    None => return Err(moved(&why)),
                }
            }
        }
        Ok(())
    }
}

/// Consul's index of the order in this incident, which stands in a key of its own.
async fn order_index(context: &Context<'_>) -> Result<Option<u64>, Stop> {
    let key = context.journal.keys().order();
    let stored =
        context.retrying("see whether a person gave an order", || context.world.store.get(&key)).await?;
    Ok(stored.map(|entry| entry.modify_index))
}

/// For who looks at the incident, and who watches.
async fn show(context: &Context<'_>, limits: Limits, record: &DumpGrace) {
    let host = context.case.id.host();
    let (world, id) = (context.world, &context.case.id);
    let left = limits.grace.saturating_sub(record.charged());
    world.progress.say(&Event::dump(id, record.messages, left));
    // The words stay the same, so that they are written once.
    let reason = match record.messages {
        0 => format!(
            "listening for {}s whether {host} announces a crash dump (kdump_listen)",
            limits.listen.as_secs()
        ),
        _ => format!(
            "{host} announces a crash dump and is left to finish it, {}s at most in all (kdump_grace)",
            limits.grace.as_secs()
        ),
    };
    let next = format!("to cut its power now: nova-ha-mark-failed {host} --by NAME --yes {host}");
    note::write(world, id, &[reason], &[next]).await;
}

fn said(ended: Ended, record: &DumpGrace, limits: Limits, tally: Tally) -> String {
    let waited = record.charged().as_secs();
    let mut text = match ended {
        Ended::NotAnnounced => format!("none announced within {}s", limits.listen.as_secs()),
        Ended::Finished => format!(
            "announced {} times and left to finish: {waited}s, the last {}s of them silent",
            record.messages,
            limits.listen.as_secs()
        ),
        Ended::UsedUp => format!(
            "announced {} times, not ended within the {}s that it is given",
            record.messages,
            limits.grace.as_secs()
        ),
    };
    let ignored = tally.foreign.saturating_add(tally.other);
    if ignored > 0 {
        text += &format!("; {ignored} datagrams of others ignored");
    }
    text
}
