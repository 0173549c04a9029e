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
//! once more. For one that is silent a person may speak ([`device_off`](super::device_off)), beside others that are read.

use std::fmt;

use futures_util::future::join_all;

use self::attempt::Try;
use super::device_off::DeviceWords;
use super::proof::By;
use super::spot::OneOf;
use super::{Device, FenceError, FenceLevels, Level, Machine, Next, PowerState, SaidOff};
use crate::clock::Clock;

mod attempt;
mod terms;

use self::terms::within;
pub use self::terms::{LeaseLost, Permission, Settings, Why};

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
    pub fn next(&self, change: &str) -> Option<Next> {
        let Self::NotProved { levels, .. } = self else { return None };
        let next = |level: &LevelFailure| {
            let error = match &level.why {
                Why::NoAnswer { error } => Some(error),
                Why::StillOn | Why::Unknown { .. } | Why::Unsteady { .. } | Why::Contradicted { .. } => {
                    level.command_error.as_ref()
                }
            };
            error.map(|error| error.next(change, level.by_hand.as_deref()))
        };
        Next::of(levels.iter().filter_map(next))
    }

    /// Silent devices of levels of several: for these a person may speak.
    pub fn silent(&self) -> Vec<OneOf> {
        let Self::NotProved { levels, .. } = self else { return Vec::new() };
        let silent = levels.iter().filter(|level| level.why.may_be_without_power());
        silent.filter_map(|level| level.of).collect()
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
    /// How a person asks it, where there is a way.
    pub by_hand: Option<String>,
    /// Power-off commands sent to it.
    pub commands: u32,
    /// How the last command failed, if it did: a hint only.
    pub command_error: Option<FenceError>,
    /// What was read last.
    pub why: Why,
    /// Which of several devices of its level it is.
    pub of: Option<OneOf>,
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
    prove_off_with(levels, clock, settings, &DeviceWords::default()).await
}

/// As [`prove_off`], with people's words for silent devices.
///
/// # Errors
/// As [`prove_off`].
pub async fn prove_off_with(
    levels: &FenceLevels,
    clock: &dyn Clock,
    settings: &Settings,
    words: &DeviceWords,
) -> Result<SaidOff, NotOff> {
    run(levels, clock, settings, None, words).await.map(|(proof, _)| proof)
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
    power_off_with(levels, clock, settings, lease, &DeviceWords::default()).await
}

/// As [`power_off`], with people's words for silent devices. These are told to switch off too.
///
/// # Errors
/// As [`power_off`].
pub async fn power_off_with(
    levels: &FenceLevels,
    clock: &dyn Clock,
    settings: &Settings,
    lease: &dyn Permission,
    words: &DeviceWords,
) -> Result<(SaidOff, Changed), NotOff> {
    run(levels, clock, settings, Some(lease), words).await
}

async fn run(
    levels: &FenceLevels,
    clock: &dyn Clock,
    settings: &Settings,
    lease: Option<&dyn Permission>,
    words: &DeviceWords,
) -> Result<(SaidOff, Changed), NotOff> {
    let machine = levels.machine();
    if levels.levels().is_empty() {
        return Err(NotOff::NoLevels { machine: machine.clone() });
    }
    let mut failures: Vec<LevelFailure> = Vec::new();
    let mut said_on: Vec<&Device> = Vec::new();
    let mut commands = 0;
    for level in levels.levels() {
        let tried = Try { machine, clock, settings, words }.level(level, lease).await;
        let sent = tried.iter().map(|tried| tried.commands).sum::<u32>();
        commands += sent;
        let before = failures.len();
        let (mut said, mut not) = (Vec::new(), Vec::new());
        for (device, tried) in level.devices().iter().zip(tried) {
            match tried.outcome {
                Err(source) => return Err(NotOff::Lease { machine: machine.clone(), commands, source }),
                Ok(Ok(off)) => said.push((device, off)),
                Ok(Err(why)) => not.push((device, tried.commands, tried.command_error, why)),
            }
        }
        let spoken = spoken_for(&not, words).filter(|_| !said.is_empty());
        if spoken.is_some() {
            not.clear();
        }
        let is_one_of = one_of(level, &said);
        for (device, own, command_error, why) in not {
            if matches!(why, Why::StillOn) {
                said_on.push(device);
            }
            let name = format!("{}{is_one_of}", device.switch().describe());
            // What was sent to the others of the level may have an effect too.
            let commands = if own == 0 { sent } else { own };
            let of = OneOf::of(device.spot());
            let by_hand = device.switch().by_hand();
            failures.push(LevelFailure { device: name, by_hand, commands, command_error, why, of });
        }
        if failures.len() == before {
            let why = match together(said, spoken.unwrap_or_default(), clock, settings).await {
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
                by_hand: None,
                commands: sent,
                command_error: None,
                why,
                of: None,
            });
        }
        for failure in failures.iter().skip(before) {
            tracing::warn!(host = %machine, step = "fence", "not proved off: {failure}");
        }
    }
    Err(NotOff::NotProved { machine: machine.clone(), levels: failures })
}

/// Devices that did not prove *off*: what was sent, how the last command failed, and why.
type Not<'a> = (&'a Device, u32, Option<FenceError>, Why);

/// All of them by people's words, if each is silent and has one.
fn spoken_for(not: &[Not<'_>], words: &DeviceWords) -> Option<Vec<By>> {
    let one = |(device, _, _, why): &Not<'_>| {
        let word = words.word(OneOf::of(device.spot())).filter(|_| why.may_be_without_power())?;
        Some(By::word(device.switch().describe(), word.clone()))
    };
    not.iter().map(one).collect()
}

/// Beside the name of a device that is one of several: what the others said.
fn one_of(level: &Level, said: &[(&Device, SaidOff)]) -> String {
    let off: Vec<String> = said.iter().map(|(_, off)| off.by()).collect();
    match (level.devices().len(), off.is_empty()) {
        (1, _) => String::new(),
        (many, true) => format!(" (one of {many} devices that must all be off)"),
        (many, false) => {
            format!(" (one of {many} devices that must all be off; {} reads off)", off.join(" and "))
        }
    }
}

/// Of several devices each that answers is read once more, so that all are off at one time; of one, its reads are enough.
async fn together(
    mut said: Vec<(&Device, SaidOff)>,
    words: Vec<By>,
    clock: &dyn Clock,
    settings: &Settings,
) -> Option<SaidOff> {
    if said.len() + words.len() < 2 {
        return said.pop().map(|(_, off)| off);
    }
    let again = said.into_iter().map(|(device, said)| async move {
        within(clock, settings.attempt, said.again(device.switch(), clock)).await.flatten()
    });
    let again: Option<Vec<SaidOff>> = join_all(again).await.into_iter().collect();
    Some(SaidOff::together(again?)?.beside(words))
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
