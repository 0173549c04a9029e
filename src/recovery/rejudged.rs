//! The right to send one power-off command: the incident is ours, and a judgement that is young.
//!
//! A fence level goes on for a minute with a BMC that does not answer. A host that comes back meanwhile was judged dead
//! before, and the command that the BMC hears at last would shoot a machine that lives.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;

use super::journal::Journal;
use super::stop::Stop;
use super::world::World;
use crate::clock::BootInstant;
use crate::fence::off::{LeaseLost, Permission};

/// Asks again once the last judgement is older than one interval of the probes: what it saw may have changed by then.
pub struct Rejudged<'a, J> {
    world: &'a World,
    journal: &'a Journal<'a>,
    good_for: Duration,
    judge: J,
    judged_at: RefCell<BootInstant>,
    stop: RefCell<Option<Stop>>,
}

impl<'a, J> Rejudged<'a, J> {
    /// From a judgement that began at `judged_at`; `judge` is the same question.
    pub fn new(
        world: &'a World,
        journal: &'a Journal<'a>,
        good_for: Duration,
        judged_at: BootInstant,
        judge: J,
    ) -> Self {
        Self { world, journal, good_for, judge, judged_at: RefCell::new(judged_at), stop: RefCell::new(None) }
    }

    fn stopped_by(&self, stop: Stop, doing: &str) -> LeaseLost {
        let why = format!("{doing}: {stop}");
        self.stop.replace(Some(stop));
        LeaseLost { why }
    }

    /// Why no further command was sent, where a later look said so.
    pub fn stopped(self) -> Option<Stop> {
        self.stop.into_inner()
    }
}

#[async_trait(?Send)]
impl<J, F> Permission for Rejudged<'_, J>
where
    J: Fn() -> F,
    F: Future<Output = Result<(), Stop>>,
{
    async fn check(&self) -> Result<(), LeaseLost> {
        let now = self.world.clock.boottime();
        if now.saturating_duration_since(*self.judged_at.borrow()) >= self.good_for {
            if let Err(stop) = (self.judge)().await {
                return Err(self.stopped_by(stop, "judged again"));
            }
            self.judged_at.replace(now);
        }
        // Last: judging takes its time.
        self.journal.confirm().await.map_err(|stop| self.stopped_by(stop, "asked again"))
    }
}
