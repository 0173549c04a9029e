//! What is wrong with machines and the ways between them: whose clock stood, who is cut off, whose answers are lost,
//! which messages are late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nova_ha::nova::{ServerId, TokenId};

use super::super::universe::Universe;
use super::invariants::{Actor, Known};

/// A process that stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freeze {
    /// When it went on.
    pub(crate) ended: Duration,
    pub(crate) length: Duration,
    /// Its machine was paused: the boot clock stood too.
    pub(crate) clock_stands: bool,
}

/// A machine's boot clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    /// What it lacks.
    pub(crate) behind: Duration,
    /// When it was booted, if it was.
    pub(crate) booted: Option<(u32, Duration)>,
}

impl Clock {
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) fn boot_id(&self, machine: &str) -> String {
        match self.booted {
            None => format!("boot-{machine}"),
            Some((number, _)) => format!("boot-{machine}-{number}"),
        }
    }
}

/// What goes wrong with every call of an HA node over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The request is lost.
    NeverHeard,
    /// Its effect happens, its answer is lost.
    Lost,
}

/// A message with an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An evacuate.
    Post,
    /// A power command.
    Off,
    /// *Forced down* and *disable* of a service.
    Service,
    /// A reservation of disks.
    Reserve,
    /// Assemble, mount, a site's *take*: of this machine, and gone with its power.
    Disks,
    /// A transaction that writes, the journal's above all.
    Write,
}

/// A call that changes something.
pub(crate) struct Request<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    /// The guest that it is about.
    pub(crate) about: Option<ServerId>,
    /// With which token Nova is asked.
    pub(crate) token: Option<TokenId>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(name: &'a str, kind: Kind) -> Self {
        Self { name, kind, about: None, token: None }
    }
}

/// A message on its way.
pub(crate) struct Message {
    due: Duration,
    pub(crate) sent: Duration,
    by: String,
    pub(crate) kind: Kind,
    /// The guest that it is about.
    about: Option<ServerId>,
    token: Option<TokenId>,
    /// What its sender knew.
    known: Known,
    arrives: Box<dyn FnOnce(&mut Universe) + Send>,
}

/// Of a world.
#[derive(Default)]
pub(crate) struct Weather {
    /// Machines that reach nobody, and that nobody reaches, but their BMC and their disks.
    pub(crate) cut_off: BTreeSet<String>,
    pub(crate) answers: BTreeMap<String, Answers>,
    /// Whose next message of a kind is late, and by how much.
    pub(crate) to_be_late: Vec<(String, Kind, Duration)>,
    pub(crate) on_their_way: Vec<Message>,
}

/// Calls that stay on their machine, or go to its disks.
const LOCAL: [&str; 16] = [
    "able", "assemble", "check", "disks", "give up", "holders", "listen", "look", "mount", "release",
    "rename", "reserve", "stop", "take", "unmount", "user",
];

impl Message {
    pub(crate) fn is_about(&self, server: &ServerId) -> bool {
        self.about.as_ref() == Some(server)
    }

    /// Whether Nova takes it when it arrives, as far as is known now.
    pub(crate) fn is_taken(&self, universe: &Universe) -> bool {
        self.token.as_ref().is_none_or(|token| universe.takes_at(token, self.due))
    }
}

impl Weather {
    fn is_off_the_network(&self, node: &str, call: &str) -> bool {
        self.cut_off.contains(node) && !LOCAL.contains(&call)
    }

    pub(crate) fn swallows(&self, node: &str, call: &str) -> bool {
        let never_heard = self.answers.get(node) == Some(&Answers::NeverHeard) && !LOCAL.contains(&call);
        never_heard || self.is_off_the_network(node, call)
    }

    pub(crate) fn loses_the_answer(&self, node: &str, call: &str) -> bool {
        let lost = self.answers.get(node) == Some(&Answers::Lost) && !LOCAL.contains(&call);
        lost || self.is_off_the_network(node, call)
    }

    /// Takes the order that the next such message is late.
    pub(crate) fn is_late(&mut self, node: &str, kind: Kind) -> Option<Duration> {
        let found = self.to_be_late.iter().position(|(of, which, _)| of == node && *which == kind)?;
        Some(self.to_be_late.remove(found).2)
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.on_their_way.iter().map(|message| message.due).min()
    }

    /// What a machine had not finished when its power went.
    pub(crate) fn loses_power(&mut self, machine: &str) {
        self.on_their_way.retain(|m| m.by != machine || !matches!(m.kind, Kind::Disks | Kind::Reserve));
        self.to_be_late.retain(|(of, ..)| of != machine);
    }
}

impl Universe {
    pub(crate) fn is_sent(
        &mut self,
        by: &str,
        request: &Request<'_>,
        late: Duration,
        arrives: impl FnOnce(&mut Universe) + Send + 'static,
    ) {
        let message = Message {
            due: self.now + late,
            sent: self.now,
            by: by.to_owned(),
            kind: request.kind,
            about: request.about.clone(),
            token: request.token.clone(),
            known: self.what_is_known(),
            arrives: Box::new(arrives),
        };
        self.weather.on_their_way.push(message);
    }

    pub(crate) fn a_message_arrives(&mut self) {
        let messages = &mut self.weather.on_their_way;
        let Some(first) = (0..messages.len()).min_by_key(|at| messages[*at].due) else { return };
        let message = messages.remove(first);
        let late = Some((self.now - message.sent, message.known));
        self.begins(Actor { late, in_call: None, last: None, asked_ago: None });
        (message.arrives)(self);
        self.is_over();
    }
}
