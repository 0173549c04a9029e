//! `nova-ha confirm-off`: a person's word that a host is off, where no device can say so.
//!
//! It looks before it takes the word. A device that says *on* and the host's own SSH key refuse it; anything else
//! that says that the host lives has to be named, in a word of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::apart::{Heeds, Written, commit_or_apart};
use super::cluster::Cluster;
use super::commit::commit;
use super::confirm::confirm;
use super::error::{held_back, tree};
use super::eyes::from_here;
use super::incident::Open;
use super::person::{person, quoted};
use super::table::when;
use crate::chain::chain;
use crate::columns::wrap;
use crate::evidence::EvidenceError;
use crate::evidence::signs::{SignSeen, Signs, beside, look_for_life, text};
use crate::fence::machine::MAX_CONFIRM_TTL;
use crate::fence::{ConfirmOff, FenceConfig, OneOf, PowerState};
use crate::incident::note::WaitingNote;
use crate::incident::opening;
use crate::incident::said::Layout;
use crate::keys;
use crate::local::{self, Local};
use crate::names::{HostName, IncidentId};
use crate::ssh::SshReach;
use crate::store::{Entry, Op, Store};
use crate::tree::formats::Kind;
use crate::tree::record::{Record, bytes, parse};
use crate::tree::sign::Sign;
use crate::tree::{Snapshot, TreeError};

/// `nova-ha confirm-off`.
#[derive(Debug, Args)]
pub struct ConfirmOffArgs {
    /// The host that is off; look at it, not at a screen.
    pub host: String,
    /// Who says so.
    #[arg(long)]
    pub by: String,
    /// For how long your word counts (at most 24h).
    #[arg(long, default_value = "10m", value_parser = ttl)]
    pub ttl: Duration,
    /// It is off, although whoever has its address takes connections or refuses them: you have seen that this
    /// is something else. Counts only if the journal of the incident already says so.
    #[arg(long)]
    pub although_its_address_answers: bool,
    /// It is off, although its Consul agent still passes: gossip gives it up within half a minute.
    #[arg(long)]
    pub although_its_agent_answers: bool,
    /// It is off, although the observers' votes do not say that it is dead.
    #[arg(long)]
    pub although_the_votes_do_not_say_dead: bool,
    /// Not the host but this one silent device of a fence level has no power: LEVEL.DEVICE, as nova-ha incident show
    /// names it. The other devices of that level are read by the HA nodes.
    #[arg(
        long,
        value_name = "LEVEL.DEVICE",
        conflicts_with_all = [
            "although_its_address_answers",
            "although_its_agent_answers",
            "although_the_votes_do_not_say_dead",
        ]
    )]
    pub device: Option<OneOf>,
    /// The host's name, instead of typing it when asked.
    #[arg(long, value_name = "HOST")]
    pub yes: Option<String>,
}

fn ttl(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let ttl = Duration::try_from(signed).map_err(|_| "it is negative".to_owned())?;
    match (Duration::from_secs(1)..=MAX_CONFIRM_TTL).contains(&ttl) {
        true => Ok(ttl),
        false => Err("1s to 24h are allowed".into()),
    }
}

impl ConfirmOffArgs {
    /// The kinds of signs that the person names.
    fn although(&self) -> BTreeSet<Sign> {
        [
            (self.although_its_address_answers, &[Sign::Address, Sign::UnknownKey][..]),
            (self.although_its_agent_answers, &[Sign::Agent]),
            (self.although_the_votes_do_not_say_dead, &[Sign::Observers]),
        ]
        .into_iter()
        .filter(|(said, _)| *said)
        .flat_map(|(_, signs)| signs.iter().copied())
        .collect()
    }

    /// The command line that would confirm, for hints.
    fn command(&self, host: &HostName, named: &BTreeSet<Sign>) -> String {
        let mut words: BTreeSet<&str> = self.although().into_iter().filter_map(flag).collect();
        words.extend(named.iter().copied().filter_map(flag));
        let mut command =
            format!("nova-ha confirm-off {host} --by {} --ttl {}s", quoted(&self.by), self.ttl.as_secs());
        for word in words {
            command = format!("{command} {word}");
        }
        command
    }
}

/// The word that names a sign; against a host that shows its own key there is none.
fn flag(sign: Sign) -> Option<&'static str> {
    match sign {
        Sign::OwnKey => None,
        Sign::UnknownKey | Sign::Address => Some("--although-its-address-answers"),
        Sign::Agent => Some("--although-its-agent-answers"),
        Sign::Observers => Some("--although-the-votes-do-not-say-dead"),
    }
}

/// Stores the word in the host's open incident.
pub async fn run(args: ConfirmOffArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("confirm that {} is off", args.host);
    let cluster = Cluster::read(store, &doing).await?;
    let host = cluster.host(&args.host)?;
    let id = its_incident(&cluster, &host, &doing)?;
    let open = Open::read(store, &id, &doing).await?;
    no_device_says_on(&cluster, &host).await?;
    let although = args.although();
    let unnamed = beside(contradictions(store, &host).await?, &although);
    if let Some(refused) = refusal(&args, &host, &unnamed) {
        return Err(refused);
    }
    let mut warning = format!(
        "If {host} still runs, its guests will run twice and their disks will be destroyed.\n\
         Confirm only what you have seen yourself: {host} has no power."
    );
    if although.contains(&Sign::Address) {
        warning +=
            "\nAgainst an address that answers your word counts only if the journal had that before it.";
    }
    let not_asked = not_asked(store, &cluster, &id).await.map_err(tree(&doing))?;
    warning.extend(not_asked.iter().flat_map(|line| ["\n", line]));
    confirm(host.as_str(), args.yes.as_deref(), &warning, &args.command(&host, &although))?;
    let word = ConfirmOff {
        version: ConfirmOff::VERSION,
        host: host.clone(),
        incident: id.clone(),
        by,
        at: jiff::Timestamp::now(),
        ttl_seconds: args.ttl.as_secs(),
        although,
        ended: None,
    };
    cluster.formats().allows(Kind::ConfirmOff, word.since()).map_err(held_back(&doing))?;
    let says = |key: String, seen: Option<&Entry>| {
        let mut ops = vec![
            cluster.meta_unchanged(),
            opening::unchanged(&open.tree, &id),
            Op::replace(key, bytes(&word), seen),
        ];
        ops.extend(open.wake());
        ops
    };
    let apart = Layout::ByWriter.confirm_off(&id);
    let own = store.get(&apart).await;
    let own = own.map_err(|source| TreeError::Read { what: apart.clone(), source }).map_err(tree(&doing))?;
    let apart = says(apart, own.as_ref());
    let written = match Layout::of(&open.formats) {
        Layout::ByWriter => commit(store, &doing, &apart).await.map(|()| Written::AsAllRead)?,
        layout @ Layout::WithinIncident => {
            let key = layout.confirm_off(&id);
            let within = says(key.clone(), open.tree.get(&key));
            commit_or_apart(store, &doing, &within, &apart).await?
        }
    };
    let mut text = format!(
        "{host}: confirmed off in {id} for {} s\nthe next sign of life ends it; see: nova-ha incident show {id}",
        args.ttl.as_secs()
    );
    text.extend(not_asked.iter().map(|line| format!("\n{}", wrap(line, 0))));
    if written == Written::Apart {
        text += &Heeds::of(&open.formats, Kind::Order).text();
    }
    done(Outcome::Changed, "confirm-off", host.as_str(), text)
}

/// The host's open incident: a word counts only within one.
pub(super) fn its_incident(
    cluster: &Cluster,
    host: &HostName,
    doing: &str,
) -> Result<IncidentId, OperatorError> {
    cluster.open_incident(host).map_err(tree(doing))?.ok_or_else(|| OperatorError::NotNow {
        name: host.to_string(),
        doing: "confirmed off",
        why: "no incident of it is open, and a word counts only within one".into(),
        next: Some(format!("if it is dead and nobody noticed: nova-ha-mark-failed {host} --by NAME")),
    })
}

/// What stands against the word, and how it is named; nothing where all is named.
fn refusal(args: &ConfirmOffArgs, host: &HostName, unnamed: &[SignSeen]) -> Option<OperatorError> {
    if unnamed.is_empty() {
        return None;
    }
    let own_key = unnamed.iter().any(|seen| seen.sign == Sign::OwnKey);
    let named = unnamed.iter().map(|seen| seen.sign).collect();
    let next = match own_key {
        true => format!("nova-ha host show {host}; is it another machine that you looked at?"),
        false => format!("look at {host} itself; if it is off all the same: {}", args.command(host, &named)),
    };
    Some(OperatorError::NotNow {
        name: host.to_string(),
        doing: "confirmed off",
        why: text(unnamed),
        next: Some(next),
    })
}

/// What says that it lives, or that the votes do not say that it is dead.
async fn contradictions(store: &dyn Store, host: &HostName) -> Result<Vec<SignSeen>, OperatorError> {
    let Signs { mut signs, not_dead } = look_at(store, host).await?;
    signs.extend(not_dead.map(|why| SignSeen {
        sign: Sign::Observers,
        text: format!("the votes do not say that it is dead ({why})"),
    }));
    Ok(signs)
}

/// What says that it lives.
pub(super) async fn look_at(store: &dyn Store, host: &HostName) -> Result<Signs, OperatorError> {
    let cannot = |why: String, next: Option<String>| OperatorError::NotNow {
        name: host.to_string(),
        doing: "confirmed off",
        why: format!("nobody can see whether it lives: {why}"),
        next,
    };
    let witness = from_here(store).map_err(|error| cannot(chain(&error), None))?;
    let found = look_for_life(&witness, &SshReach, host).await;
    found.map_err(|error: EvidenceError| cannot(chain(&error), error.hint()))
}

/// Where this token may not see how the host is powered off: what the HA nodes said last, of their own asking. They ask again
/// before the word counts, and against *on* it does not.
async fn not_asked(store: &dyn Store, cluster: &Cluster, id: &IncidentId) -> Result<Vec<String>, TreeError> {
    let host = id.host();
    if !cluster.hidden.contains(&keys::host(host).all()) {
        return Ok(Vec::new());
    }
    let notes = keys::incident(id).preflights();
    let read = Snapshot::read(store, "what the HA nodes wait for", std::slice::from_ref(&notes)).await?;
    let mut lines = vec![format!(
        "This token may not ask the BMC of {host}: the HA nodes ask it before your word counts."
    )];
    for entry in read.below(&notes) {
        let note: WaitingNote = parse(&entry.key, &entry.value)?;
        let age = jiff::Timestamp::now().duration_since(note.since).as_secs().max(0);
        lines.push(format!(
            "HA node {} says since {} ({age} s): {}",
            note.node,
            when(note.since),
            note.reasons.join("; ")
        ));
    }
    if lines.len() == 1 {
        lines.push("No HA node has said yet what it waits for.".to_owned());
    }
    Ok(lines)
}

/// Against a device that says *on* no word counts. One that does not answer contradicts nobody.
async fn no_device_says_on(cluster: &Cluster, host: &HostName) -> Result<(), OperatorError> {
    let config = FenceConfig::of(&cluster.snapshot, &keys::host(host));
    // A device that cannot be used from here is as silent as one that does not answer.
    let Ok(levels) = config.and_then(|config| config.build(host.clone(), &Local::read(&local::file())))
    else {
        return Ok(());
    };
    for device in levels.devices() {
        let switch = device.switch();
        if let Ok(PowerState::On) = switch.read().await {
            return Err(OperatorError::NotNow {
                name: host.to_string(),
                doing: "confirmed off",
                why: format!("{} says that it is on", switch.describe()),
                next: Some(format!("look at {host} again: nova-ha host show {host}")),
            });
        }
    }
    Ok(())
}
