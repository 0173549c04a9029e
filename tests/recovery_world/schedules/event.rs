//! A schedule: what goes wrong when. It is written as text, a line per event, so that one that failed can be kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::weather::{Answers, Kind};

/// How the guests' disks are had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Shared,
    Md,
    Exec,
}

/// Whom it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The HA node that holds the incident at that moment; the first one while nobody does.
    Holder,
    Ha1,
    Ha2,
    Ha3,
}

/// Which of an HA node's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    Recover,
    MarkFailed,
}

/// Something that happens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// `kill -9`.
    Kill(Who, Job),
    /// SIGSTOP, later SIGCONT: the clock goes on.
    Stop(Who, Job, Duration),
    /// The virtual machine is paused: its clock stands too.
    Pause(Who, Duration),
    /// Cut off from every network but that of the BMCs and of the disks.
    CutOff(Who, Duration),
    /// Its power goes, and with it all of its processes; then it boots.
    PowerCut(Who, Duration),
    /// The host answers again, for so long or for good.
    HostReturns(Option<Duration>),
    /// The host's BMC does not answer.
    HostBmcSilent(Duration),
    BmcSilent(Who, Duration),
    /// Every call of it over the network goes wrong.
    NoAnswers(Who, Answers, Duration),
    /// Its next message of this kind is on its way for so long.
    Late(Who, Kind, Duration),
    /// Somebody destroys the session that has the lock.
    SessionEnds,
    /// A person.
    Hold,
    Resume,
    /// `mark-failed compute1 --by ann` on this HA node.
    Order(Who),
    /// She pulls the host's plug, and says so.
    Word,
    /// A tenant has his guest rebuilt, as long as it is on no other host; and it is over.
    Rebuilds,
    Rests,
    /// `incident retry` by maria.
    Retry,
}

/// Of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) storage: Storage,
    /// Whether Nova's scheduler chooses where guests go; else they go to the HA node that recovers.
    pub(crate) scheduled: bool,
    /// Of how long each call takes, and when timers start what.
    pub(crate) seed: u64,
    /// In order, each so long after the host died.
    pub(crate) events: Vec<(Duration, Event)>,
}

const WHO: [(&str, Who); 4] =
    [("holder", Who::Holder), ("ha1", Who::Ha1), ("ha2", Who::Ha2), ("ha3", Who::Ha3)];
const JOBS: [(&str, Job); 2] = [("recover", Job::Recover), ("mark-failed", Job::MarkFailed)];
const STORAGE: [(&str, Storage); 3] =
    [("shared", Storage::Shared), ("md", Storage::Md), ("exec", Storage::Exec)];
const ANSWERS: [(&str, Answers); 2] = [("never-heard", Answers::NeverHeard), ("lost", Answers::Lost)];
pub(crate) const KINDS: [(&str, Kind); 6] = [
    ("evacuate", Kind::Post),
    ("off", Kind::Off),
    ("service", Kind::Service),
    ("reserve", Kind::Reserve),
    ("disks", Kind::Disks),
    ("write", Kind::Write),
];

fn name<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, of)| of == value).map_or("?", |(name, _)| name)
}

fn named<T: Copy>(table: &[(&'static str, T)], text: Option<&str>) -> Result<T, String> {
    let found = table.iter().find(|(name, _)| Some(*name) == text);
    found.map(|(_, value)| *value).ok_or_else(|| format!("{text:?} is none of them"))
}

fn length(text: Option<&str>) -> Result<Duration, String> {
    let millis = text.and_then(|text| text.strip_suffix("ms")).and_then(|text| text.parse().ok());
    millis.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is no length in ms"))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |length: &Duration| format!("{}ms", length.as_millis());
        let of = |who: &Who| name(&WHO, who);
        match self {
            Event::Kill(who, job) => write!(f, "kill {} {}", of(who), name(&JOBS, job)),
            Event::Stop(who, job, length) => {
                write!(f, "stop {} {} {}", of(who), name(&JOBS, job), ms(length))
            }
            Event::Pause(who, length) => write!(f, "pause {} {}", of(who), ms(length)),
            Event::CutOff(who, length) => write!(f, "cut-off {} {}", of(who), ms(length)),
            Event::PowerCut(who, length) => write!(f, "power-cut {} {}", of(who), ms(length)),
            Event::HostReturns(Some(length)) => write!(f, "host-returns {}", ms(length)),
            Event::HostReturns(None) => write!(f, "host-returns for-good"),
            Event::HostBmcSilent(length) => write!(f, "host-bmc-silent {}", ms(length)),
            Event::BmcSilent(who, length) => write!(f, "bmc-silent {} {}", of(who), ms(length)),
            Event::NoAnswers(who, how, length) => {
                write!(f, "answers {} {} {}", of(who), name(&ANSWERS, how), ms(length))
            }
            Event::Late(who, kind, by) => write!(f, "late {} {} {}", of(who), name(&KINDS, kind), ms(by)),
            Event::SessionEnds => write!(f, "session-ends"),
            Event::Hold => write!(f, "hold"),
            Event::Resume => write!(f, "resume"),
            Event::Order(who) => write!(f, "order {}", of(who)),
            Event::Word => write!(f, "word"),
            Event::Rebuilds => write!(f, "rebuilds"),
            Event::Rests => write!(f, "rests"),
            Event::Retry => write!(f, "retry"),
        }
    }
}

impl FromStr for Event {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let verb = words.next();
        let mut who = || named(&WHO, words.next());
        Ok(match verb {
            Some("kill") => Event::Kill(who()?, named(&JOBS, words.next())?),
            Some("stop") => Event::Stop(who()?, named(&JOBS, words.next())?, length(words.next())?),
            Some("pause") => Event::Pause(who()?, length(words.next())?),
            Some("cut-off") => Event::CutOff(who()?, length(words.next())?),
            Some("power-cut") => Event::PowerCut(who()?, length(words.next())?),
            Some("host-returns") => match words.next() {
                Some("for-good") => Event::HostReturns(None),
                text => Event::HostReturns(Some(length(text)?)),
            },
            Some("host-bmc-silent") => Event::HostBmcSilent(length(words.next())?),
            Some("bmc-silent") => Event::BmcSilent(who()?, length(words.next())?),
            Some("answers") => {
                Event::NoAnswers(who()?, named(&ANSWERS, words.next())?, length(words.next())?)
            }
            Some("late") => Event::Late(who()?, named(&KINDS, words.next())?, length(words.next())?),
            Some("session-ends") => Event::SessionEnds,
            Some("hold") => Event::Hold,
            Some("resume") => Event::Resume,
            Some("order") => Event::Order(who()?),
            Some("word") => Event::Word,
            Some("rebuilds") => Event::Rebuilds,
            Some("rests") => Event::Rests,
            Some("retry") => Event::Retry,
            Some(_) | None => return Err(format!("{text:?} is no event")),
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "storage {}", name(&STORAGE, &self.storage))?;
        if self.scheduled {
            writeln!(f, "targets scheduler")?;
        }
        writeln!(f, "seed {}", self.seed)?;
        self.events.iter().try_for_each(|(at, event)| writeln!(f, "at {}ms {event}", at.as_millis()))
    }
}

impl FromStr for Schedule {
    type Err = String;
    /// Lines that begin with # are for people.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut schedule =
            Schedule { storage: Storage::Shared, scheduled: false, seed: 0, events: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "storage" => schedule.storage = named(&STORAGE, Some(rest))?,
                "targets" if rest == "scheduler" => schedule.scheduled = true,
                "seed" => schedule.seed = rest.parse().map_err(|why| format!("{rest:?}: {why}"))?,
                "at" => {
                    let (at, event) = rest.split_once(' ').ok_or_else(|| format!("no event: {line:?}"))?;
                    schedule.events.push((length(Some(at))?, event.parse()?));
                }
                other => return Err(format!("{other:?} is none of storage, targets, seed, at")),
            }
        }
        Ok(schedule)
    }
}
