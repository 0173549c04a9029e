//! Powering a machine off: state first, hard off, then reads until it is proved or time is up.
//!
//! Levels are tried in order; a level that could not prove *off* within its deadline is left for
//! the next. Nothing about a level's failure is forgotten: the error tells each level's reason.
//!
//! Two devices may disagree. A BMC that says *on* while a PDU says *off* may mean that the PDU's
//! outlet feeds another machine, so before a later level's proof is given out, each earlier level
//! that said *on* is asked once more. If it still says so, nothing is proved. (A BMC whose feed was
//! really cut does not answer any more.)
//!
//! Of a level with several devices all are switched at once, and all have to be off: when the last of them has proved it, each is read
//! once more.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::proof::{Look, Streak};
use super::{Device, FenceError, FenceLevels, Level, Machine, PowerState, SaidOff};
use crate::clock::Clock;
use crate::policy::Policy;

/// The numbers of a power-off.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Consecutive reads of *off* that prove it; two at least.
    pub reads: u32,
    /// Pause between two of them.
    pub pause: Duration,
    /// Wall clock for a level that has no deadline of its own.
    pub level_deadline: Duration,
    /// Wall clock for one power-off command. Below the lock-delay: once the lease is lost, another
    /// may hold it that much later.
    pub attempt: Duration,
    /// How long after a command a machine that is still on gets another: BMCs lose commands. Above
    /// the time that healthy ones take (sushy-emulator: up to 11 s; they may get a second one, which
    /// is harmless).
    pub again_after: Duration,
}

impl Settings {
    /// The policy's numbers.
    pub fn of(policy: &Policy) -> Self {
        Self {
            reads: policy.off_reads,
            pause: policy.off_read_pause,
            level_deadline: policy.fence_deadline,
            attempt: (policy.lock_delay * 3 / 4).clamp(Duration::from_secs(1), Duration::from_secs(20)),
            again_after: Duration::from_secs(10),
        }
    }
}

/// What allows a power-off command, asked right before each. A level may go on for a minute with a device that does not
/// answer; what was true when it began is not enough for a command that is sent at its end.
#[async_trait(?Send)]
pub trait Permission {
    /// Whether the next command may be sent, now. In a recovery that is asked of Consul: the clock of an HA node whose
    /// virtual machine was paused does not know of it.
    ///
    /// # Errors
    /// It may not, and nothing further may be done.
    async fn check(&self) -> Result<(), LeaseLost>;
}

/// The permission is gone: another may be acting already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permission to power off is gone: {why}")]
pub struct LeaseLost {
    /// What happened to it.
    pub why: String,
}

/// Whether the power-off did anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// At least one power-off command was sent.
    Yes,
    /// The machine was off before; no command was sent.
    AlreadySo,
}

/// Why a machine is not proved off. It may be off all the same.
#[derive(Debug, thiserror::Error)]
pub enum NotOff {
    /// Nothing is configured that could switch it off.
    #[error("{machine} has no fence level: nothing can switch it off or read its power")]
    NoLevels {
        /// The machine.
        machine: Machine,
    },
    /// The lease was lost; no command was sent after that.
    #[error("{machine} was not powered off, {commands} commands had been sent")]
    Lease {
        /// The machine.
        machine: Machine,
        /// Commands sent before.
        commands: u32,
        /// What happened to the lease.
        source: LeaseLost,
    },
    /// No level proved it.
    #[error("{machine} is not proved off: {}", Reasons(levels))]
    NotProved {
        /// The machine.
        machine: Machine,
        /// Why not, level by level, in the order tried.
        levels: Vec<LevelFailure>,
    },
}

impl NotOff {
    /// What settles it, where a device's own error says so; `change` is what changes how the machine is reached.
    pub fn next(&self, change: &str) -> Option<String> {
        let Self::NotProved { levels, .. } = self else { return None };
        let error = |level: &LevelFailure| match &level.why {
            Why::NoAnswer { error } => Some(error.next(change)),
            Why::StillOn | Why::Unknown { .. } | Why::Unsteady { .. } | Why::Contradicted { .. } => {
                level.command_error.as_ref().map(|error| error.next(change))
            }
        };
        levels.iter().find_map(error)
    }

    /// Whether a power-off command was sent, so that the machine may go off, or be off, all the same.
    pub fn effect_may_have_happened(&self) -> bool {
        match self {
            Self::NoLevels { .. } => false,
            Self::Lease { commands, .. } => *commands > 0,
            Self::NotProved { levels, .. } => levels.iter().any(|level| level.commands > 0),
        }
    }
}

/// Why one level did not prove *off*.
#[derive(Debug)]
pub struct LevelFailure {
    /// The device.
    pub device: String,
    /// Power-off commands sent to it.
    pub commands: u32,
    /// How the last command failed, if it did: a hint only.
    pub command_error: Option<FenceError>,
    /// What was read last.
    pub why: Why,
}

/// What a level read last.
#[derive(Debug)]
pub enum Why {
    /// The machine is on.
    StillOn,
    /// The answer was neither on nor off.
    Unknown {
        /// The device's words.
        said: String,
    },
    /// Off, but not often enough in a row before the deadline.
    Unsteady {
        /// Consecutive reads of *off*.
        seen: u32,
    },
    /// No answer.
    NoAnswer {
        /// The last error.
        error: FenceError,
    },
    /// Proved by this level, while another still says *on*: one of the two is another machine's.
    Contradicted {
        /// The device that says *on*.
        by: String,
    },
}

impl fmt::Display for LevelFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = &self.device;
        match &self.why {
            Why::StillOn if self.commands > 0 => {
                write!(f, "{device}: still on after {} power-off commands", self.commands)?;
            }
            Why::StillOn => write!(f, "{device}: on")?,
            Why::Unknown { said } => write!(f, "{device}: neither on nor off: {said:?}")?,
            Why::Unsteady { seen } => write!(f, "{device}: off, but only {seen} times in a row in time")?,
            Why::NoAnswer { error } => write!(f, "{error}")?,
            Why::Contradicted { by } => {
                write!(f, "{device}: off, but {by} says on: one of them belongs to another machine")?
            }
        }
        if let Some(error) = &self.command_error {
            write!(f, " (last command: {error})")?;
        }
        Ok(())
    }
}

struct Reasons<'a>(&'a [LevelFailure]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, level) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{level}")?;
        }
        Ok(())
    }
}

/// Proves a machine off by reading alone; changes nothing.
///
/// # Errors
/// It is on, or no level can prove it off within its deadline.
pub async fn prove_off(
    levels: &FenceLevels,
    clock: &dyn Clock,
    settings: &Settings,
) -> Result<SaidOff, NotOff> {
    run(levels, clock, settings, None).await.map(|(proof, _)| proof)
}

/// Powers a machine off and proves it. If it is off already, nothing is sent.
///
/// # Errors
/// The permission is gone, or no level could prove *off* within its deadline; commands may have been
/// sent ([`NotOff::effect_may_have_happened`]).
pub async fn power_off(
    levels: &FenceLevels,
    clock: &dyn Clock,
    settings: &Settings,
    lease: &dyn Permission,
) -> Result<(SaidOff, Changed), NotOff> {
    run(levels, clock, settings, Some(lease)).await
}

async fn run(
    levels: &FenceLevels,
    clock: &dyn Clock,
    settings: &Settings,
    lease: Option<&dyn Permission>,
) -> Result<(SaidOff, Changed), NotOff> {
    let machine = levels.machine();
    if levels.levels().is_empty() {
        return Err(NotOff::NoLevels { machine: machine.clone() });
    }
    let mut failures: Vec<LevelFailure> = Vec::new();
    let mut said_on: Vec<&Device> = Vec::new();
    let mut commands = 0;
    for level in levels.levels() {
        let tried = Try { machine, clock, settings }.level(level, lease).await;
        let sent = tried.iter().map(|tried| tried.commands).sum::<u32>();
        commands += sent;
        let mut said = Vec::new();
        let before = failures.len();
        let is_one_of = match tried.len() {
            1 => String::new(),
            many => format!(" (one of {many} devices that must all be off)"),
        };
        for (device, tried) in level.devices().iter().zip(tried) {
            let why = match tried.outcome {
                Err(source) => return Err(NotOff::Lease { machine: machine.clone(), commands, source }),
                Ok(Ok(off)) => {
                    said.push(off);
                    continue;
                }
                Ok(Err(why)) => why,
            };
            if matches!(why, Why::StillOn) {
                said_on.push(device);
            }
            let name = format!("{}{is_one_of}", device.switch().describe());
            // What was sent to the others of the level may have an effect too.
            let commands = if tried.commands == 0 { sent } else { tried.commands };
            let command_error = tried.command_error;
            failures.push(LevelFailure { device: name, commands, command_error, why });
        }
        if failures.len() == before {
            let why = match together(level, said, clock, settings).await {
                None => Why::Unsteady { seen: 0 },
                Some(off) => match still_on(&said_on, clock, settings).await {
                    Some(by) => Why::Contradicted { by },
                    None => {
                        let changed = if commands > 0 { Changed::Yes } else { Changed::AlreadySo };
                        tracing::info!(host = %machine, step = "fence", by = off.by(), commands, "reads off");
                        return Ok((off, changed));
                    }
                },
            };
            failures.push(LevelFailure {
                device: level.describe(),
                commands: sent,
                command_error: None,
                why,
            });
        }
        for failure in failures.iter().skip(before) {
            tracing::warn!(host = %machine, step = "fence", "not proved off: {failure}");
        }
    }
    Err(NotOff::NotProved { machine: machine.clone(), levels: failures })
}

/// Of several devices each is read once more, so that all are off at one time; of one, its reads are enough.
async fn together(
    level: &Level,
    mut said: Vec<SaidOff>,
    clock: &dyn Clock,
    settings: &Settings,
) -> Option<SaidOff> {
    if said.len() < 2 {
        return said.pop();
    }
    let again = level.devices().iter().zip(said).map(|(device, said)| async move {
        within(clock, settings.attempt, said.again(device.switch(), clock)).await.flatten()
    });
    let again: Option<Vec<SaidOff>> = join_all(again).await.into_iter().collect();
    SaidOff::together(again?)
}

/// The first of these that says *on*, now.
async fn still_on(devices: &[&Device], clock: &dyn Clock, settings: &Settings) -> Option<String> {
    for device in devices {
        let read = within(clock, settings.attempt, device.switch().read()).await;
        if let Some(Ok(PowerState::On)) = read {
            return Some(device.switch().describe());
        }
    }
    None
}

/// What every try needs.
struct Try<'a> {
    machine: &'a Machine,
    clock: &'a dyn Clock,
    settings: &'a Settings,
}

/// What came of one device.
struct Tried {
    commands: u32,
    command_error: Option<FenceError>,
    outcome: Result<Result<SaidOff, Why>, LeaseLost>,
}

impl Try<'_> {
    /// All devices of a level at once: none has to wait for another's silence.
    async fn level(&self, level: &Level, lease: Option<&dyn Permission>) -> Vec<Tried> {
        let (machine, clock, settings) = (self.machine, self.clock, self.settings);
        let deadline = level.deadline().unwrap_or(settings.level_deadline);
        let tries = level.devices().iter().map(|device| async move {
            let mut attempt =
                Attempt { machine, device, clock, settings, deadline, commands: 0, command_error: None };
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
        let mut last = Why::NoAnswer { error: self.late("read the power", deadline) };
        while !left(&last).is_zero() {
            // A read that outlasts the level says nothing: what was read before stays the reason.
            let Some(look) = within(clock, left(&last), streak.look(switch, clock)).await else { break };
            last = match look {
                Look::Said(said) => return Ok(Ok(said)),
                Look::Seen(PowerState::Off) => Why::Unsteady { seen: streak.seen() },
                Look::Seen(PowerState::On) => Why::StillOn,
                Look::Seen(PowerState::Unknown(said)) => Why::Unknown { said },
                Look::Failed(error) => Why::NoAnswer { error },
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
            clock.sleep(self.settings.pause.min(left(&last))).await;
        }
        Ok(Err(last))
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

/// The outcome, unless the time is up first; then what was going on is dropped, which kills a tool.
async fn within<T>(clock: &dyn Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = clock.sleep(limit) => None,
    }
}
