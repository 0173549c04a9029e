//! One try of one level: each of its devices is read, told to switch off, and read until it is proved or time is up.

use std::time::Duration;

use futures_util::future::join_all;

use super::terms::{LeaseLost, Permission, Settings, Why, within};
use crate::clock::Clock;
use crate::fence::device_off::{DeviceWord, DeviceWords};
use crate::fence::proof::streak::{LEAST_READS, Look, Streak};
use crate::fence::spot::OneOf;
use crate::fence::{Device, FenceError, Level, Machine, PowerState, SaidOff};

/// What every try needs.
pub(super) struct Try<'a> {
    pub(super) machine: &'a Machine,
    pub(super) clock: &'a dyn Clock,
    pub(super) settings: &'a Settings,
    pub(super) words: &'a DeviceWords,
}

/// What came of one device.
pub(super) struct Tried {
    pub(super) commands: u32,
    pub(super) command_error: Option<FenceError>,
    pub(super) outcome: Result<Result<SaidOff, Why>, LeaseLost>,
}

impl Try<'_> {
    /// All devices of a level at once: none has to wait for another's silence.
    pub(super) async fn level(&self, level: &Level, lease: Option<&dyn Permission>) -> Vec<Tried> {
        let (machine, clock, settings, words) = (self.machine, self.clock, self.settings, self.words);
        let deadline = level.deadline().unwrap_or(settings.level_deadline);
        let tries = level.devices().iter().map(|device| async move {
            let mut attempt = Attempt {
                machine,
                device,
                clock,
                settings,
                words,
                deadline,
                commands: 0,
                command_error: None,
            };
            let outcome = attempt.run(lease).await;
            Tried { commands: attempt.commands, command_error: attempt.command_error, outcome }
        });
        join_all(tries).await
    }
}

/// One device's try.
struct Attempt<'a> {
    machine: &'a Machine,
    device: &'a Device,
    clock: &'a dyn Clock,
    settings: &'a Settings,
    words: &'a DeviceWords,
    deadline: Duration,
    commands: u32,
    command_error: Option<FenceError>,
}

impl Attempt<'_> {
    async fn run(&mut self, lease: Option<&dyn Permission>) -> Result<Result<SaidOff, Why>, LeaseLost> {
        let (clock, switch, deadline) = (self.clock, self.device.switch(), self.deadline);
        let ends = clock.boottime().saturating_add(deadline);
        // What a slow device says is not cut off where it says *off* already: the reads that are missing get as much again.
        // Nothing is sent meanwhile.
        let left = |last: &Why| {
            let more = if matches!(last, Why::Unsteady { .. }) { deadline } else { Duration::ZERO };
            ends.saturating_add(more).saturating_duration_since(clock.boottime())
        };
        let mut streak = Streak::new(self.machine.clone(), switch, self.settings.reads);
        let mut commanded_at = None;
        let mut silent = 0;
        let mut last = Why::NoAnswer { error: self.late("read the power", deadline) };
        while !left(&last).is_zero() {
            // A read that outlasts the level says nothing: what was read before stays the reason.
            let Some(look) = within(clock, left(&last), streak.look(switch, clock)).await else { break };
            last = match look {
                Look::Said(said) => return Ok(Ok(said)),
                Look::Seen(PowerState::Off) => Why::Unsteady { seen: streak.seen() },
                Look::Seen(PowerState::On) => {
                    self.answered("it says on");
                    Why::StillOn
                }
                Look::Seen(PowerState::Unknown(said)) => {
                    self.answered(&format!("it says neither on nor off ({said})"));
                    Why::Unknown { said }
                }
                Look::Failed(error) => {
                    silent += 1;
                    Why::NoAnswer { error }
                }
            };
            match (lease, &last) {
                (_, Why::Unsteady { .. }) => {}
                // Nobody will switch it off: it stays on.
                (None, Why::StillOn) => break,
                (None, _) => {}
                // Not only when it says on: one that cannot be read may still obey.
                (Some(lease), _) => {
                    let due = commanded_at.is_none_or(|sent| {
                        clock.boottime().saturating_duration_since(sent) >= self.settings.again_after
                    });
                    if due {
                        self.command(lease, left(&last)).await?;
                        commanded_at = Some(clock.boottime());
                    }
                }
            }
            // The others of its level need not wait for what a person said is silent.
            let is_silent = last.may_be_without_power() && silent >= self.settings.reads.max(LEAST_READS);
            if is_silent && self.word().is_some() {
                break;
            }
            clock.sleep(self.settings.pause.min(left(&last))).await;
        }
        Ok(Err(last))
    }

    /// The word for this device, as long as it says nothing itself.
    fn word(&self) -> Option<&DeviceWord> {
        self.words.word(OneOf::of(self.device.spot()))
    }

    /// It speaks for itself: no word counts for it any more.
    fn answered(&self, said: &str) {
        if let Some(word) = self.word() {
            self.words.answered(word.of(), said.to_owned());
        }
    }

    async fn command(&mut self, lease: &dyn Permission, left: Duration) -> Result<(), LeaseLost> {
        let (clock, switch) = (self.clock, self.device.switch());
        let limit = switch.command_takes().unwrap_or(self.settings.attempt).min(left);
        lease.check().await?;
        self.commands += 1;
        let ends = clock.boottime().saturating_add(limit);
        let mut work = switch.switch_off();
        loop {
            let part = ends.saturating_duration_since(clock.boottime()).min(self.settings.attempt);
            if let Some(answer) = within(clock, part, &mut work).await {
                self.command_error = answer.err();
                return Ok(());
            }
            if ends.saturating_duration_since(clock.boottime()).is_zero() {
                self.command_error = Some(self.late("switch off", limit));
                return Ok(());
            }
            // What takes longer than an attempt ends with the lease.
            lease.check().await?;
        }
    }

    fn late(&self, doing: &'static str, deadline: Duration) -> FenceError {
        FenceError::Deadline { device: self.device.switch().describe(), doing, deadline }
    }
}
