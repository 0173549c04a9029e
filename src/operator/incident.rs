//! `nova-ha incident`: looking at incidents, and a person's word in them.
//!
//! A person's event is appended as the recovery appends its own: in one transaction that compares
//! the record, so that a `recover` at work finds at its next entry that it may not go on. What it
//! had started before is not taken back.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::OperatorError;
use super::answer::{Answer, Outcome, code, done};
use super::apart::{Heeds, Written, commit_or_apart};
use super::cluster::Cluster;
use super::commit::commit;
use super::confirm::confirm;
use super::error::{held_back, tree};
use super::fault::{Fault, faults_text};
use super::guest::count;
use super::incident_view::{IncidentLine, IncidentView, incidents_table};
use super::machine_options::checked;
use super::person::{person, quoted};
use crate::confirm::line;
use crate::incident::IncidentRecord;
use crate::incident::append::{CannotAppend, Writer, next};
use crate::incident::held_guests::HeldGuests;
use crate::incident::journal::Event;
use crate::incident::lead::{Lead, Word};
use crate::incident::open::wake;
use crate::incident::opening::{self, Opening};
use crate::incident::retry::{No, Scene, Who};
use crate::incident::said::{Layout, recover_alone_writes};
use crate::incident::status::State;
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::nova::ServerId;
use crate::policy::Policy;
use crate::store::{Op, Store};
use crate::tree::Snapshot;
use crate::tree::formats::{Formats, Kind};
use crate::tree::record::bytes;

/// What can be done with incidents.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// All incidents in the tree, newest first.
    List,
    /// The journal as a person reads it, and every guest with its outcome.
    Show {
        /// The incident, HOST@EPOCH.
        id: IncidentId,
    },
    /// Nobody goes on with it until it is resumed.
    Hold(HoldArgs),
    /// Lead it out of a hold: from now on it is worked on again.
    Resume(ResumeArgs),
    /// End it as it stands: what was not recovered stays so.
    Abandon(AbandonArgs),
    /// Open one that closed with held guests again, for these alone: on your order, with a new proof that the host is off.
    Retry(RetryArgs),
}

/// `nova-ha incident retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The incident, HOST@EPOCH.
    pub id: IncidentId,
    /// This guest only, by Nova's server id; by default all that are held.
    #[arg(long, value_name = "UUID")]
    pub guest: Option<ServerId>,
    /// Who says so. This is an order, as that of nova-ha-mark-failed: for its time it stands in for the votes.
    #[arg(long)]
    pub by: String,
}

/// `nova-ha incident hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The incident, HOST@EPOCH.
    pub id: IncidentId,
    /// Why, for those who find it.
    #[arg(long)]
    pub reason: String,
    /// Who says so.
    #[arg(long)]
    pub by: String,
}

/// `nova-ha incident resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The incident, HOST@EPOCH.
    pub id: IncidentId,
    /// This HA node holds it, and is no more (replaced, or installed anew): any HA node takes it up.
    #[arg(long, value_name = "HA_NODE")]
    pub gone: Option<HaNodeName>,
    /// Who says so.
    #[arg(long)]
    pub by: String,
}

/// `nova-ha incident abandon`.
#[derive(Debug, Args)]
pub struct AbandonArgs {
    /// The incident, HOST@EPOCH.
    pub id: IncidentId,
    /// Who says so.
    #[arg(long)]
    pub by: String,
    /// The host's name, instead of typing it when asked.
    #[arg(long, value_name = "HOST")]
    pub yes: Option<String>,
}

/// Runs one of them.
pub async fn run(command: IncidentCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        IncidentCommand::List => list(store).await,
        IncidentCommand::Show { id } => show(&id, store).await,
        IncidentCommand::Hold(args) => hold(args, store).await,
        IncidentCommand::Resume(args) => resume(args, store).await,
        IncidentCommand::Abandon(args) => abandon(args, store).await,
        IncidentCommand::Retry(args) => retry(args, store).await,
    }
}

async fn list(store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(Serialize)]
    struct Incidents {
        incidents: Vec<IncidentLine>,
        faults: Vec<Fault>,
    }
    let cluster = Cluster::read(store, "list the incidents").await?;
    let mut incidents = Vec::new();
    let mut faults = Vec::new();
    let held = HeldGuests::read(store).await.map_err(tree("list the incidents"))?;
    faults.extend(held.unreadable.into_iter().map(Fault::from));
    for id in &cluster.incidents {
        let of_it = held.guests.iter().filter(|guest| guest.incident == *id);
        match IncidentLine::of(store, &cluster, id).await {
            Ok(line) => incidents.push(line.with_held(of_it)),
            Err(error) => faults.push(Fault::from(error)),
        }
    }
    incidents.sort_by_key(|line| std::cmp::Reverse(line.opened_at));
    let mut text = match incidents.is_empty() {
        true => "no incidents\n".to_owned(),
        false => incidents_table(&incidents),
    };
    text += &faults_text(&faults);
    let code = code(!faults.is_empty(), incidents.iter().any(IncidentLine::needs_a_person));
    Ok(Answer::new(text, &Incidents { incidents, faults })?.with_code(code))
}

async fn show(id: &IncidentId, store: &dyn Store) -> Result<Answer, OperatorError> {
    let doing = format!("show incident {id}");
    let cluster = Cluster::read(store, &doing).await?;
    let record = cluster.incident(id)?;
    let keys = keys::incident(id);
    let below = [keys.all(), keys.opened(), keys.order(), keys.words()];
    let read = Snapshot::read(store, &format!("incident {id}"), &below).await.map_err(tree(&doing))?;
    // The journal is read later than the record: take the record that goes with it.
    let record = opening::record_of(&read, id).map_err(tree(&doing))?.unwrap_or(record);
    let policy = Policy::of(&cluster.snapshot).unwrap_or_default();
    let view = IncidentView::of(record, &read, &policy, Layout::of(&cluster.formats()));
    let code = code(!view.faults.is_empty(), view.summary.needs_a_person());
    Ok(Answer::new(view.text(), &view)?.with_code(code))
}

async fn hold(args: HoldArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let reason = checked("--reason", Some(&args.reason), line)?.unwrap_or_default();
    let by = person(&args.by)?;
    let doing = format!("hold incident {}", args.id);
    let open = Open::read(store, &args.id, &doing).await?;
    let later = format!("later: nova-ha incident resume {} --by NAME", args.id);
    if let Some(reason) = open.why_held() {
        let text = format!("{}: already so, held: {reason}", args.id);
        return done(Outcome::AlreadySo, "incident hold", &args.id.to_string(), text);
    }
    let apart = open.lead(Lead::Hold { reason: reason.clone() }, &by);
    let written = match recover_alone_writes(&open.formats) {
        true => commit(store, &doing, &apart).await.map(|()| Written::AsAllRead)?,
        false => {
            let held = Event::Held { reason: format!("{reason} (by {by})"), cause: None };
            let mut ops = open.append(held, &by)?;
            ops.extend(open.unsaid(&keys::incident(&args.id).resume()));
            commit_or_apart(store, &doing, &ops, &apart).await?
        }
    };
    let text = format!("{}: held; what was started before may still finish\n{later}", args.id);
    led("incident hold", &args.id, text, (written, &open.formats))
}

async fn resume(args: ResumeArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("resume incident {}", args.id);
    let open = Open::read(store, &args.id, &doing).await?;
    match open.record.status.state {
        State::Held { .. } => {}
        // Said, and not heeded by any HA node yet.
        State::Active if open.is_hold_said() => {}
        State::Active | State::Withdrawn | State::Abandoned | State::Closed => {
            let text = format!("{}: already so, it is not held", args.id);
            return done(Outcome::AlreadySo, "incident resume", &args.id.to_string(), text);
        }
    }
    let gone = open.holder_that_is_gone(args.gone)?;
    let apart = open.lead(Lead::Resume { gone: gone.clone() }, &by);
    // A hold that no HA node has heeded is taken back where it was said.
    let is_apart = recover_alone_writes(&open.formats) || open.record.status.state == State::Active;
    let written = match is_apart {
        true => commit(store, &doing, &apart).await.map(|()| Written::AsAllRead)?,
        false => {
            let lock = keys::incident(&args.id).lock();
            let unlocked = gone.is_some().then(|| Op::unchanged(lock.clone(), open.tree.get(&lock)));
            let mut ops = open.append(Event::Resumed { by: by.clone(), gone }, &by)?;
            ops.extend(unlocked);
            ops.extend(open.unsaid(&keys::incident(&args.id).hold()));
            ops.extend(open.wake());
            commit_or_apart(store, &doing, &ops, &apart).await?
        }
    };
    let text = format!("{}: resumed; an HA node goes on with it", args.id);
    led("incident resume", &args.id, text, (written, &open.formats))
}

async fn abandon(args: AbandonArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("abandon incident {}", args.id);
    let open = Open::read(store, &args.id, &doing).await?;
    let host = args.id.host();
    let lock = keys::incident(&args.id).lock();
    if open.tree.get(&lock).is_some_and(|entry| entry.session.is_some()) {
        return Err(OperatorError::NotNow {
            name: args.id.to_string(),
            doing: "abandoned",
            why: "an HA node holds its lock and works on it".into(),
            next: Some(format!("nova-ha incident hold {} --reason WHY --by {}", args.id, args.by)),
        });
    }
    confirm(
        host.as_str(),
        args.yes.as_deref(),
        &format!("This ends the recovery of {host} as it stands; guests not yet recovered stay down."),
        &format!("nova-ha incident abandon {} --by {}", args.id, quoted(&args.by)),
    )?;
    let mut ops = open.append(Event::Abandoned { by: by.clone() }, &by)?;
    // Nobody took it up meanwhile.
    ops.push(Op::unchanged(lock.clone(), open.tree.get(&lock)));
    commit(store, &doing, &ops).await?;
    let text = format!("{}: abandoned\nonce {host} is repaired: nova-ha reset {host} --by NAME", args.id);
    done(Outcome::Changed, "incident abandon", &args.id.to_string(), text)
}

async fn retry(args: RetryArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let id = &args.id;
    let doing = format!("retry the held guests of {id}");
    // A name that is none is said as by the other commands.
    Cluster::read(store, &doing).await?.incident(id)?;
    let refused = |no: &No| OperatorError::NotNow {
        name: id.to_string(),
        doing: "retried",
        why: no.text(),
        next: Some(no.next(id)),
    };
    let guests: Vec<String> = args.guest.iter().map(ToString::to_string).collect();
    let scene = Scene::read(store, id).await.map_err(tree(&doing))?;
    let scene = scene.ok_or_else(|| refused(&No::NotClosed { how: "gone" }))?;
    let now = jiff::Timestamp::now();
    let apart = scene.word(&by, &guests, now).map_err(tree(&doing))?.map_err(|no| refused(&no))?;
    let written = match recover_alone_writes(scene.formats()) {
        true => commit(store, &doing, &apart).await.map(|()| Written::AsAllRead)?,
        false => {
            let ops = scene.transaction(Who::Person { by: &by }, &guests, now);
            let ops = ops.map_err(tree(&doing))?.map_err(|no| refused(&no))?;
            commit_or_apart(store, &doing, &ops, &apart).await?
        }
    };
    let held = if guests.is_empty() { scene.held().len() } else { guests.len() };
    let text = format!(
        "{id}: to be opened again for {}, on your order; an HA node goes on with it if the host is proved off\n\
         see: nova-ha incident show {id}",
        count(held)
    );
    led("incident retry", id, text, (written, scene.formats()))
}

/// What was done, and of what was said apart who does not heed it.
fn led(
    command: &'static str,
    id: &IncidentId,
    text: String,
    (written, formats): (Written, &Formats),
) -> Result<Answer, OperatorError> {
    match written {
        Written::AsAllRead => done(Outcome::Changed, command, &id.to_string(), text),
        Written::Apart => {
            let heeds = Heeds::of(formats, Kind::Lead);
            let answer = done(Outcome::Changed, command, &id.to_string(), text + &heeds.text())?;
            Ok(answer.with_code(code(false, !heeds.somebody())))
        }
    }
}

/// An incident that has not ended, as it was read for one transaction.
pub(super) struct Open {
    pub(super) record: IncidentRecord,
    pub(super) tree: Snapshot,
    /// What the configured HA nodes read.
    pub(super) formats: Formats,
}

impl Open {
    /// Reads what a person's event compares; one that has ended is refused.
    pub(super) async fn read(store: &dyn Store, id: &IncidentId, doing: &str) -> Result<Self, OperatorError> {
        let cluster = Cluster::read(store, doing).await?;
        let record = cluster.incident(id)?;
        if record.status.is_over() {
            return Err(OperatorError::NotNow {
                name: id.to_string(),
                doing: "open",
                why: "it has ended".into(),
                next: Some(format!("nova-ha incident show {id}")),
            });
        }
        let keys = keys::incident(id);
        let formats = cluster.formats();
        let word = Layout::of(&formats).confirm_off(id);
        let more = [keys.lock(), keys.term(), word.clone(), keys.hold(), keys.resume()];
        let more = Snapshot::read(store, "the incident", &more).await.map_err(tree(doing))?;
        let mut tree = cluster.snapshot;
        tree.extend(more.below(&keys.all()).cloned());
        tree.extend([word, keys.hold(), keys.resume()].iter().filter_map(|key| more.get(key)).cloned());
        Ok(Self { record, tree, formats })
    }

    /// The holder that a person says is gone: the one that the incident has, without a process at work on it.
    fn holder_that_is_gone(&self, gone: Option<HaNodeName>) -> Result<Option<HaNodeName>, OperatorError> {
        let Some(gone) = gone else { return Ok(None) };
        let id = &self.record.id;
        let refused = |why: String| OperatorError::NotNow {
            name: id.to_string(),
            doing: "taken from its holder",
            why,
            next: Some(format!("nova-ha incident show {id}")),
        };
        match &self.record.holder {
            Some(holder) if *holder == gone => {}
            Some(holder) => return Err(refused(format!("HA node {holder} holds it, and not {gone}"))),
            None => return Err(refused("no HA node holds it".into())),
        }
        if self.tree.get(&keys::incident(id).lock()).is_some_and(|entry| entry.session.is_some()) {
            return Err(refused(format!("a process of {gone} has its lock, or had it a moment ago")));
        }
        Ok(Some(gone))
    }

    /// Whether a person said *hold*, and no HA node has heeded it.
    fn is_hold_said(&self) -> bool {
        self.tree.get(&keys::incident(&self.record.id).hold()).is_some()
    }

    /// The operation that takes a word back which no HA node has heeded: heeded later, it would undo this one.
    fn unsaid(&self, word: &str) -> Option<Op> {
        self.tree.get(word).map(|entry| Op::DeleteCas(entry.key.clone(), entry.modify_index))
    }

    /// Why nobody goes on with it, also where an HA node has yet to write that down.
    fn why_held(&self) -> Option<String> {
        let id = &self.record.id;
        match &self.record.status.state {
            State::Held { reason } => Some(reason.clone()),
            State::Active | State::Withdrawn | State::Abandoned | State::Closed => {
                let unheeded = Word::unheeded(&self.tree, id).filter_map(Result::ok);
                unheeded.filter_map(|word| word.why_held()).next()
            }
        }
    }

    /// The operations by which a person leads it: an HA node writes that into the journal.
    fn lead(&self, what: Lead, by: &str) -> Vec<Op> {
        let id = &self.record.id;
        let word = Word::new(id.clone(), by.to_owned(), jiff::Timestamp::now(), what);
        let mut ops =
            vec![Op::unchanged(keys::META, self.tree.get(keys::META)), opening::unchanged(&self.tree, id)];
        ops.extend(word.said(&self.tree));
        ops.extend(self.wake());
        ops
    }

    /// The operations that append a person's event to the journal.
    fn append(&self, event: Event, by: &str) -> Result<Vec<Op>, OperatorError> {
        let id = &self.record.id;
        let keys = keys::incident(id);
        let term = self.tree.number(&keys.term()).map_err(tree("read the incident's term"))?.unwrap_or(0);
        let writer = Writer { by, machine: None, term, at: jiff::Timestamp::now(), formats: &self.formats };
        let is_gone = matches!(&event, Event::Resumed { gone: Some(_), .. });
        let (mut record, entry) = next(&self.record, event, &writer).map_err(|why| match why {
            CannotAppend::Illegal(illegal) => OperatorError::NotNow {
                name: id.to_string(),
                doing: "led on",
                why: illegal.to_string(),
                next: Some(format!("nova-ha incident show {id}")),
            },
            CannotAppend::HeldBack(held) => held_back(format!("lead incident {id} on"))(held),
        })?;
        record.holder = record.holder.filter(|_| !is_gone);
        let mut ops = vec![
            Op::unchanged(keys::META, self.tree.get(keys::META)),
            Op::replace(keys.incident(), bytes(&record), self.tree.get(&keys.incident())),
            Op::replace(keys.journal_entry(entry.sequence), bytes(&entry), None),
        ];
        // Ended before any HA node took it up.
        if self.tree.get(&keys.incident()).is_none()
            && let Some(opened) = self.tree.get(&keys.opened())
        {
            let opening = Opening::parse(opened).map_err(tree("read the incident"))?;
            ops.push(Op::replace(keys.evidence(), bytes(&opening.evidence), None));
            ops.push(Op::DeleteCas(opened.key.clone(), opened.modify_index));
        }
        Ok(ops)
    }

    /// So that the HA nodes look at once and not at the next sweep.
    pub(super) fn wake(&self) -> Vec<Op> {
        wake(&self.record.id)
    }
}
