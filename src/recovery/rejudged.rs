//! The right to send one power-off command: the lease, and a judgement that is young.
//!
//! A fence level goes on for a minute with a BMC that does not answer. A host that comes back meanwhile was judged dead
//! before, and the command that the BMC hears at last would shoot a machine that lives.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;

use super::lease::Lease;
use super::stop::Stop;
use super::world::World;
use crate::clock::BootInstant;
use crate::fence::off::{LeaseLost, MayCommand, Permission};

/// Asks again once the last judgement is older than one interval of the probes: what it saw may have changed by then.
pub struct Rejudged<'a, J> {
    world: &'a World,
    lease: &'a Lease<'a>,
    good_for: Duration,
    judge: J,
    judged_at: RefCell<BootInstant>,
    stop: RefCell<Option<Stop>>,
}

impl<'a, J> Rejudged<'a, J> {
    /// From a judgement that began at `judged_at`; `judge` is the same question.
    pub fn new(
        world: &'a World,
        lease: &'a Lease<'a>,
        good_for: Duration,
        judged_at: BootInstant,
        judge: J,
    ) -> Self {
        Self { world, lease, good_for, judge, judged_at: RefCell::new(judged_at), stop: RefCell::new(None) }
    }

    /// Why no further command was sent, where a later judgement said so.
    pub fn stopped(self) -> Option<Stop> {
        self.stop.into_inner()
    }
}

#[async_trait(?Send)]
impl<J, F> MayCommand for Rejudged<'_, J>
where
    J: Fn() -> F,
    F: Future<Output = Result<(), Stop>>,
{
    async fn may_command(&self) -> Result<(), LeaseLost> {
        self.lease.check()?;
        let now = self.world.clock.boottime();
        if now.saturating_duration_since(*self.judged_at.borrow()) < self.good_for {
            return Ok(());
        }
        match (self.judge)().await {
            Ok(()) => {
                self.judged_at.replace(now);
                // Judging takes its time.
                self.lease.check()
            }
            Err(stop) => {
                let why = format!("judged again: {stop}");
                self.stop.replace(Some(stop));
                Err(LeaseLost { why })
            }
        }
    }
}
