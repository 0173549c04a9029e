//! Asks the devices of a machine's fence levels who they are, whether they answer and whether they may switch off.

use super::case::Case;
use super::device_words::{self, Given};
use super::identified::whose;
use super::plan::{LevelFact, LevelState};
use super::world::{World, chain};
use crate::bindings::Expected;
use crate::fence::device_off::as_described;
use crate::fence::off::Why;
use crate::fence::{
    Channel, ConfigError, Device, FenceLevels, Level, Machine, Mark, Next, NotOff, OneOf, PowerState,
    Privilege, Seen, Unclear, Verdict,
};
use crate::incident::devices::{DeviceAnswer, DeviceSeen};
use crate::keys;
use crate::tree::Snapshot;

/// The fence levels of a machine that answered just now as its own; the others are left out, so
/// that a device that nobody has identified cannot be used later in the same run.
pub(super) struct Armed {
    /// What each configured level answered.
    pub facts: Vec<LevelFact>,
    /// Those that may be used.
    pub levels: FenceLevels,
    /// Whether one of the configured levels has several devices.
    pub have_several: bool,
    /// All devices of each level that has several, one of them silent.
    pub devices: Vec<DeviceSeen>,
    /// People's words for single devices, as this was asked.
    pub given: Given,
}

/// Asks every fence level who it is, whether it answers and whether it may switch off.
pub(super) async fn arm(world: &World, case: &Case) -> Armed {
    let machine = Machine::Host(case.id.host().clone());
    let host = keys::host(case.id.host());
    let described = as_described(&case.tree, &host);
    let levels = world.fences.levels(machine.clone(), &case.tree, &host);
    let levels = levels.map(|levels| levels.as_described(described));
    let given = match &levels {
        Ok(levels) => device_words::given(world, &case.id, levels).await.unwrap_or_else(|stop| {
            tracing::warn!(incident = %case.id, error = chain(&stop), "no word for a device is taken");
            Given::default()
        }),
        Err(_) => Given::default(),
    };
    asked(machine, levels, &case.expected, case.policy.allow_unidentified_bmc, given).await
}

/// As [`arm`], for any machine. Nobody's word stands for a device of it.
pub(super) async fn arm_machine(
    world: &World,
    machine: Machine,
    snapshot: &Snapshot,
    keys: &keys::MachineKeys,
    expected: &Expected,
    allow_unidentified: bool,
) -> Armed {
    let levels = world.fences.levels(machine.clone(), snapshot, keys);
    asked(machine, levels, expected, allow_unidentified, Given::default()).await
}

async fn asked(
    machine: Machine,
    levels: Result<FenceLevels, ConfigError>,
    expected: &Expected,
    allow_unidentified: bool,
    given: Given,
) -> Armed {
    let mut levels = match levels {
        Ok(levels) => levels,
        Err(error) => {
            let next = Some(Next::Setting(error.hint(&machine)));
            let state = LevelState::NoAnswer { why: chain(&error) };
            let facts = vec![LevelFact { device: "fence configuration".into(), state, next }];
            let levels = FenceLevels::new(machine, Vec::new());
            return Armed { facts, levels, have_several: false, devices: Vec::new(), given };
        }
    };
    let (mut facts, mut devices) = (Vec::new(), Vec::new());
    let change = machine.changed_by();
    for level in levels.levels() {
        let mut of_its_devices = Vec::new();
        for device in level.devices() {
            let fact = armed(device, expected, &change).await;
            of_its_devices.push(by_word(&machine, device, fact, &given));
        }
        devices.extend(seen(level, &of_its_devices));
        facts.extend(LevelFact::together(of_its_devices));
    }
    let usable: Vec<bool> = facts.iter().map(|fact| fact.state.is_usable(allow_unidentified)).collect();
    let have_several = levels.have_several();
    levels.keep(&usable);
    Armed { facts, levels, have_several, devices, given }
}

/// What one of several devices answered, beside a person's word for it: one that answers anything but *off* ends the word, and for
/// one that is silent there is a command.
fn by_word(machine: &Machine, device: &Device, fact: LevelFact, given: &Given) -> LevelFact {
    let Some(of) = OneOf::of(device.spot()) else { return fact };
    let word = given.words.word(Some(of));
    match (&fact.state, word) {
        (LevelState::NoAnswer { .. }, Some(word)) => {
            let state = LevelState::ByWord { by: word.by().to_owned() };
            LevelFact { state, next: None, ..fact }
        }
        (LevelState::NoAnswer { why }, None) => {
            let refused = given.refused.get(&of).map_or_else(String::new, |why| format!(" ({why})"));
            let state = LevelState::NoAnswer { why: format!("{why}{refused}") };
            let speak = match machine {
                Machine::Host(host) => Some(device_words::confirm(host, &[of])),
                Machine::HaNode(_) => None,
            };
            let next = match (fact.next, speak) {
                (Some(next), Some(speak)) => Some(next.then(&speak)),
                (next, speak) => next.or(speak.map(Next::Look)),
            };
            LevelFact { state, next, device: fact.device }
        }
        (LevelState::Answers { power: PowerState::Off, .. } | LevelState::ByWord { .. }, _) => fact,
        (LevelState::Answers { power: PowerState::On, .. }, _) => {
            given.words.answered(of, "it says on".to_owned());
            fact
        }
        (LevelState::Answers { power: PowerState::Unknown(said), .. }, _) => {
            given.words.answered(of, format!("it says neither on nor off ({said})"));
            fact
        }
    }
}

/// The same by a power-off that proved nothing: what is not among its reasons read off.
pub(super) fn silent_now(levels: &FenceLevels, not_off: &NotOff) -> Vec<DeviceSeen> {
    let NotOff::NotProved { levels: failures, .. } = not_off else { return Vec::new() };
    let silent = not_off.silent();
    let one = |device: &Device| {
        let of = OneOf::of(device.spot())?;
        let failure = failures.iter().find(|failure| failure.of == Some(of));
        let answer = match failure.map(|failure| &failure.why) {
            None => DeviceAnswer::Off,
            Some(Why::NoAnswer { .. }) => DeviceAnswer::Silent,
            Some(Why::StillOn | Why::Contradicted { .. }) => DeviceAnswer::On,
            Some(Why::Unknown { .. } | Why::Unsteady { .. }) => DeviceAnswer::Unknown,
        };
        let said = failure.map_or_else(|| "power off".to_owned(), ToString::to_string);
        Some(device_seen(of, &device.switch().describe(), answer, &said))
    };
    let has_silent = |level: &&Level| {
        let of = |device: &Device| OneOf::of(device.spot());
        level.devices().iter().filter_map(of).any(|of| silent.contains(&of))
    };
    levels.levels().iter().filter(has_silent).flat_map(Level::devices).filter_map(one).collect()
}

fn device_seen(of: OneOf, name: &str, answer: DeviceAnswer, said: &str) -> DeviceSeen {
    let cut = |text: &str| text.chars().take(300).collect();
    DeviceSeen { level: of.level, device: of.device, name: cut(name), answer, said: cut(said) }
}

/// All devices of a level of which one is silent.
fn seen(level: &Level, facts: &[LevelFact]) -> Vec<DeviceSeen> {
    let devices = level.devices().iter().zip(facts).filter_map(|(device, fact)| {
        let of = OneOf::of(device.spot())?;
        let answer = match &fact.state {
            LevelState::NoAnswer { .. } | LevelState::ByWord { .. } => DeviceAnswer::Silent,
            LevelState::Answers { power: PowerState::On, .. } => DeviceAnswer::On,
            LevelState::Answers { power: PowerState::Off, .. } => DeviceAnswer::Off,
            LevelState::Answers { power: PowerState::Unknown(_), .. } => DeviceAnswer::Unknown,
        };
        Some(device_seen(of, &fact.device, answer, &fact.state.text()))
    });
    let devices: Vec<DeviceSeen> = devices.collect();
    let is_silent = devices.iter().any(|device| device.answer == DeviceAnswer::Silent);
    if is_silent { devices } else { Vec::new() }
}

/// Asks one device.
async fn armed(device: &Device, expected: &Expected, change: &str) -> LevelFact {
    let switch = device.switch();
    let (state, next) = match switch.look().await {
        Err(error) => {
            let next = error.next(change, switch.by_hand().as_deref());
            (LevelState::NoAnswer { why: chain(&error) }, Some(next))
        }
        Ok(Seen { power, identity: stated }) => {
            let identity = whose(device, expected, stated.as_ref()).await;
            let settles = match &identity {
                Verdict::CannotTell(unclear) => Some(Next::Look(settles(device, unclear, change).await)),
                Verdict::Matches | Verdict::Differs { .. } => None,
            };
            let privilege = switch.can_switch_off().await;
            let privilege = privilege.unwrap_or_else(|error| Privilege::CannotTell(chain(&error)));
            let may = matches!(privilege, Privilege::Denied(_)).then(|| {
                Next::Setting(format!(
                    "{change} --bmc-user NAME --bmc-password-file FILE   (of an account that may switch off)"
                ))
            });
            (LevelState::Answers { power, identity, privilege }, Next::of(settles.into_iter().chain(may)))
        }
    };
    LevelFact { device: switch.describe(), state, next }
}

/// What settles whose a device is of which nobody can tell.
async fn settles(device: &Device, unclear: &Unclear, change: &str) -> String {
    match unclear {
        Unclear::Claimed { next, .. } => match device.switch().shows().await {
            Ok(Mark::Nothing) | Err(_) => next.clone(),
            Ok(mark) => format!(
                "{next}; or, if you have looked that this device is the machine's: {change} --bmc-confirmed-by NAME --bmc-shows \
                 '{mark}'"
            ),
        },
        Unclear::NotAnswered(_) => format!("make it answer, or: {change} --bmc-ip ADDRESS"),
        // It says who it is, and nobody knows who the machine is.
        Unclear::NotComparable { expected, found } if !expected.is_usable() && found.is_usable() => format!(
            "on the machine: nova-ha-runtime-info; or, if this is what stands on it: {change} --bmc-identity UUID|SERIAL"
        ),
        Unclear::NotComparable { .. } | Unclear::NotStated | Unclear::NotAsConfirmed { .. } => {
            match (device.switch().shows().await.ok(), device.switch().channel()) {
                (None, _) => format!("make it answer, or: {change} --bmc-ip ADDRESS"),
                (Some(_), Channel::Agent) => format!(
                    "if you have looked that this device is the machine's: {change} --fence-file FILE   (with \
                     \"identity_confirmed_by\": \"NAME\" in its level)"
                ),
                (Some(Mark::Nothing), Channel::Shown | Channel::Open(_)) => format!(
                    "it shows nothing of itself, so that another device like it at this address would not be told from it; if you \
                     have looked, and keep its address: {change} --bmc-confirmed-by NAME --bmc-shows nothing   (docs/bmc.md)"
                ),
                (Some(mark), Channel::Shown | Channel::Open(_)) => format!(
                    "if you have looked that this device is the machine's: {change} --bmc-confirmed-by NAME --bmc-shows '{mark}'"
                ),
            }
        }
    }
}
