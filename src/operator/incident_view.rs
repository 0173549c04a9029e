//! An incident as a person reads it: where it stands, what happened when, and every guest.

use serde::Serialize;

use super::cluster::Cluster;
use super::device_lines;
use super::fault::{Fault, faults_text, look, next_text};
use super::guest::count;
use super::guest_view::GuestView;
use super::table::when;
use super::table::{Table, field};
use crate::attention::Severity;
use crate::columns::wrap;
use crate::fence::{ConfirmOff, DeviceOff};
use crate::incident::attention::{self, Cause};
use crate::incident::devices::DevicesSeen;
use crate::incident::evidence::Evidence;
use crate::incident::facts::Facts;
use crate::incident::guest::GuestEntry;
use crate::incident::guests_seen::GuestsSeen;
use crate::incident::held_guests::{Unsettled, among};
use crate::incident::journal::{AdoptionGround, Event, JournalEntry, Outcome};
use crate::incident::lead::Word;
use crate::incident::note::WaitingNote;
use crate::incident::opening::Opening;
use crate::incident::record::{Holder, Origin};
use crate::incident::said::{Layout, Ordered};
use crate::incident::settled::Settled;
use crate::incident::status::State;
use crate::incident::timeline::{Milestone, milestones};
use crate::incident::{IncidentRecord, Status};
use crate::keys;
use crate::names::IncidentId;
use crate::policy::Policy;
use crate::store::Store;
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// One incident in a list.
#[derive(Debug, Clone, Serialize)]
pub struct IncidentLine {
    /// Its id, `HOST@EPOCH`.
    pub id: String,
    /// Its host.
    pub host: String,
    /// The last guarantee reached.
    pub phase: String,
    /// *active*, *waiting*, *held*, *withdrawn*, *abandoned*, *closed*.
    pub state: &'static str,
    /// The step under way.
    pub step: Option<&'static str>,
    /// The HA node that claimed it.
    pub holder: Option<String>,
    /// Whether a session holds its lock now.
    pub locked: bool,
    /// Why it is held, what it waits for, or that it stands still.
    pub reasons: Vec<String>,
    /// When HA nodes that wait tried it last, and when they do again; by this machine's clock.
    pub tried: Vec<String>,
    /// How much a person has to know it.
    pub severity: Severity,
    /// What to type.
    pub next: Vec<String>,
    /// Wall clock.
    pub opened_at: jiff::Timestamp,
}

impl IncidentLine {
    /// Reads what one line needs.
    pub async fn of(store: &dyn Store, cluster: &Cluster, id: &IncidentId) -> Result<Self, TreeError> {
        let record = cluster.record(id)?;
        let policy = Policy::of(&cluster.snapshot).unwrap_or_default();
        let facts = match record.status.is_over() {
            // Nothing of it waits; a long list of old ones is not read through.
            true => Facts::of(&record, &Snapshot::default()),
            false => Facts::read(store, &record).await?,
        };
        Ok(Self::from(&record, &facts, &policy))
    }

    fn from(record: &IncidentRecord, facts: &Facts, policy: &Policy) -> Self {
        let now = jiff::Timestamp::now();
        let causes = attention::causes(facts, now, policy.evacuation_deadline);
        let severity = attention::severity(facts, &causes, now, policy.attention_after);
        let mut next: Vec<String> = Vec::new();
        for command in causes.iter().flat_map(|cause| cause.row(&record.id, severity).next) {
            if !next.contains(&command) {
                next.push(command);
            }
        }
        let waits = causes.iter().any(|cause| matches!(cause, Cause::Waiting { .. }));
        let (state, mut reasons) = match &facts.state {
            State::Active if waits => ("waiting", Vec::new()),
            State::Active => ("active", Vec::new()),
            State::Held { reason } => ("held", vec![reason.clone()]),
            State::Withdrawn => ("withdrawn", Vec::new()),
            State::Abandoned => ("abandoned", Vec::new()),
            State::Closed => ("closed", Vec::new()),
        };
        reasons.extend(causes.iter().flat_map(|cause| match cause {
            Cause::Waiting { reasons, .. } => reasons.clone(),
            // It is there already.
            Cause::Held { .. } => Vec::new(),
            Cause::Unclaimed
            | Cause::NobodyAtWork { .. }
            | Cause::NoProgress { .. }
            | Cause::Unreadable { .. } => vec![cause.row(&record.id, severity).text],
        }));
        Self {
            id: record.id.to_string(),
            host: record.id.host().to_string(),
            phase: record.status.phase.name().into(),
            state,
            step: record.status.started.map(|step| step.name()),
            holder: record.holder.as_ref().map(ToString::to_string),
            locked: facts.locked,
            reasons,
            tried: if waits { facts.tried(now) } else { Vec::new() },
            severity,
            next,
            opened_at: record.opened_at,
        }
    }

    /// What it left held, where it has ended: each waits for a person by itself.
    pub fn with_held<'a>(mut self, held: impl Iterator<Item = &'a Unsettled>) -> Self {
        let mut names = Vec::new();
        for guest in held {
            names.push(guest.name.as_str());
            self.severity = self.severity.max(Severity::Warning);
            self.next.extend([guest.retry(), guest.settle()]);
        }
        if !names.is_empty() {
            self.reasons.push(format!("{} held: {}", count(names.len()), names.join(", ")));
        }
        self
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, "withdrawn" | "abandoned" | "closed")
    }

    /// Whether it waits for a person or for time.
    pub fn needs_a_person(&self) -> bool {
        self.severity > Severity::Fine
    }
}

/// Incidents as a table.
pub fn incidents_table(lines: &[IncidentLine]) -> String {
    let mut table = Table::new(["INCIDENT", "STATE", "PHASE", "HOLDER", "OPENED / WHY"]);
    for line in lines {
        let holder = match (&line.holder, line.locked) {
            (Some(node), true) => node.clone(),
            (Some(node), false) => format!("({node})"),
            (None, _) => String::new(),
        };
        let mut why = vec![when(line.opened_at)];
        why.extend(line.step.map(|step| format!("at: {step}")));
        why.extend(line.reasons.iter().cloned());
        why.extend(line.tried.iter().cloned());
        // What is only *active* may need one too: then its reasons say so.
        let loud = matches!(line.state, "held" | "waiting");
        let state = if loud { line.state.to_uppercase() } else { line.state.to_owned() };
        table.row([line.id.clone(), state, line.phase.clone(), holder, why.join("; ")]);
    }
    table.text(0)
}

/// Everything about one incident.
#[derive(Debug, Serialize)]
pub struct IncidentView {
    /// Where it stands, in one line.
    pub summary: IncidentLine,
    /// The record as stored.
    pub incident: IncidentRecord,
    /// Who holds the lock now.
    pub holder: Option<Holder>,
    /// What it was judged on.
    pub evidence: Option<Evidence>,
    /// When each guarantee was reached.
    pub phases: Vec<Milestone>,
    /// The journal as stored.
    pub journal: Vec<JournalEntry>,
    /// Every guest in the ledger.
    pub guests: Vec<GuestView>,
    /// What people said of its held guests.
    pub settled: Vec<Settled>,
    /// Where Nova says otherwise of guests on HA nodes.
    pub guests_seen: Option<GuestsSeen>,
    /// Why HA nodes wait.
    pub waiting: Vec<WaitingNote>,
    /// A person's word that the host is off.
    pub confirm_off: Option<ConfirmOff>,
    /// What the devices of its fence levels answered, where one of several is silent.
    pub devices: Option<DevicesSeen>,
    /// People's words for single devices.
    pub devices_off: Vec<DeviceOff>,
    /// How people lead it, where no HA node has written that into the journal.
    pub unheeded: Vec<Word>,
    /// Keys that cannot be understood.
    pub faults: Vec<Fault>,
}

/// Of an order that stands in the incident's record, where none counts any more.
fn of_older(id: &IncidentId, by: &str) -> Fault {
    let host = id.host();
    Fault {
        what: format!("an order of {by} was given by an older nova-ha, and does not count"),
        next: Some(format!("say it again: nova-ha-mark-failed {host} --by NAME --yes {host}")),
    }
}

impl IncidentView {
    /// Puts together what was read below the incident's folder.
    pub fn of(mut record: IncidentRecord, tree: &Snapshot, policy: &Policy, layout: Layout) -> Self {
        let keys = keys::incident(&record.id);
        let mut faults = Vec::new();
        let opened = tree.get(&keys.opened()).and_then(|entry| look(&mut faults, Opening::parse(entry)));
        let evidence = look(&mut faults, tree.record(&keys.evidence())).flatten();
        let evidence = evidence.or(opened.map(|opened| opened.evidence));
        let unheeded = Word::unheeded(tree, &record.id).filter_map(|word| look(&mut faults, word)).collect();
        let lock = tree.get(&keys.lock()).filter(|entry| entry.session.is_some());
        let holder = lock.and_then(|entry| look(&mut faults, parse::<Holder>(&entry.key, &entry.value)));
        let journal: Vec<JournalEntry> = tree
            .below(&keys.journal())
            .filter_map(|entry| look(&mut faults, parse(&entry.key, &entry.value)))
            .collect();
        let guests = tree
            .below(&keys.guests())
            .filter_map(|entry| look(&mut faults, parse::<GuestEntry>(&entry.key, &entry.value)))
            .map(GuestView::from)
            .collect();
        let waiting: Vec<WaitingNote> = tree
            .below(&keys.preflights())
            .filter_map(|entry| look(&mut faults, parse(&entry.key, &entry.value)))
            .collect();
        let mut words = [layout.confirm_off(&record.id), keys.confirm_off()].into_iter();
        let word = words.find_map(|key| tree.get(&key));
        let confirm_off =
            word.and_then(|entry| look(&mut faults, parse::<ConfirmOff>(&entry.key, &entry.value)));
        let devices = look(&mut faults, tree.record(&keys.devices())).flatten();
        let devices_off = tree
            .below(&keys.all_device_off())
            .filter_map(|entry| look(&mut faults, parse(&entry.key, &entry.value)))
            .collect();
        match look(&mut faults, Ordered::of(&record, tree.get(&keys.order()), layout)) {
            None | Some(Ordered::No) => record.order = None,
            Some(Ordered::By(order)) => record.order = Some(order),
            Some(Ordered::OfOlder { by }) => {
                record.order = None;
                faults.push(of_older(&record.id, &by));
            }
        }
        let guests_seen = look(&mut faults, tree.record(&keys.guests_seen())).flatten();
        let settled: Vec<Settled> = tree
            .below(&keys.all_settled())
            .filter_map(|entry| look(&mut faults, parse(&entry.key, &entry.value)))
            .collect();
        let is_closed = record.status.state == State::Closed;
        // What cannot be understood is among the faults already.
        let held = if is_closed { among(tree, &record.id).unwrap_or_default() } else { Vec::new() };
        let gaps = journal_gap(&record, &journal);
        faults.extend(gaps.map(|why| TreeError::Malformed { key: keys.journal(), why }.into()));
        Self {
            summary: IncidentLine::from(&record, &Facts::of(&record, tree), policy).with_held(held.iter()),
            phases: milestones(&record, evidence.as_ref(), &journal),
            incident: record,
            holder,
            evidence,
            journal,
            guests,
            settled,
            guests_seen,
            waiting,
            confirm_off,
            devices,
            devices_off,
            unheeded,
            faults,
        }
    }

    /// For a terminal of 80 columns.
    pub fn text(&self) -> String {
        let record = &self.incident;
        let mut text = field("incident", Some(&self.summary.id), AT);
        text += &field("stands", Some(&stands(&record.status)), AT);
        let origin = match &record.origin {
            Origin::Observers => "the observers' votes".to_owned(),
            Origin::Person { by } => format!("{by}'s order"),
            Origin::Key => "status/failed, written by hand".to_owned(),
        };
        let opened = format!("{} by {}, on {origin}", when(record.opened_at), record.opened_by);
        text += &field("opened", Some(&opened), AT);
        if let Some(order) = &record.order {
            let said = format!("{} by {}, for {} s", when(order.at), order.by, order.ttl().as_secs());
            let said = if order.used { format!("{said}; the fence was begun on it") } else { said };
            text += &field("ordered", Some(&said), AT);
        }
        let holder = match (&self.holder, &record.holder) {
            (Some(holder), _) => {
                Some(format!("{}, term {}, since {}", holder.node, holder.term, when(holder.since)))
            }
            (None, Some(node)) => Some(format!("{node} claimed it; nobody holds its lock now")),
            (None, None) => None,
        };
        text += &field("holder", holder.as_deref(), AT);
        if let Some(evidence) = &self.evidence {
            text += &field("verdict", Some(&evidence.verdict), AT);
            for vote in &evidence.votes {
                let line = format!("{}: {} fails, {}", vote.observer, vote.fails, vote.why);
                text += &field("  vote", Some(&line), AT);
            }
        }
        for note in &self.waiting {
            let line = format!("{} since {}: {}", note.node, when(note.since), note.reasons.join("; "));
            text += &field("WAITING", Some(&line), AT);
            let tried = note.tried_text(jiff::Timestamp::now());
            text += &tried.map_or_else(String::new, |tried| field("  tried", Some(&tried), AT));
            for next in &note.next {
                text += &next_text(next);
            }
        }
        if !record.status.is_over() {
            for (name, line) in device_lines::lines(&record.id, self.devices.as_ref(), &self.devices_off) {
                text += &if name == device_lines::NEXT {
                    next_text(&line)
                } else {
                    field(&name, Some(&line), AT)
                };
            }
        }
        for word in &self.unheeded {
            let line = format!("{} by {}: {}; an HA node will heed it", when(word.at), word.by, word.what);
            text += &field("said", Some(&line), AT);
        }
        if let Some(word) = &self.confirm_off {
            let line = format!("by {} at {}, for {} s", word.by, when(word.at), word.ttl_seconds);
            text += &field("confirmed off", Some(&line), AT);
            if let Some(ended) = &word.ended {
                let line = format!("at {} by {}: {}", when(ended.at), ended.by, ended.seen);
                text += &field("  word over", Some(&line), AT);
            }
        }
        text += &self.journal_text();
        text += &self.guests_text();
        for word in &self.settled {
            let line = format!("{}: {}, says {} at {}", word.server, word.how, word.by, when(word.at));
            text += &field("settled", Some(&line), AT);
        }
        if self.incident.status.state == State::Closed {
            text += &self.summary.next.iter().map(|next| next_text(next)).collect::<String>();
        }
        for differs in self.guests_seen.iter().flat_map(|seen| &seen.differs) {
            text += &field("Nova says", Some(&format!("{} {}", differs.name, differs.nova.text())), AT);
        }
        text + &faults_text(&self.faults)
    }

    /// Detected and judged, then each entry: the time, the seconds since the line before, who and what.
    fn journal_text(&self) -> String {
        let mut text = "\nTIME (UTC)            +SECONDS  WHAT\n".to_owned();
        // Only votes have a first failed probe; a person's order and a flag set by hand have none.
        let (voted, opened) = match &self.incident.origin {
            Origin::Observers => (true, format!("judged dead by {}", self.incident.opened_by)),
            Origin::Person { by } => (false, format!("ordered by {by}, on {}", self.incident.opened_by)),
            Origin::Key => (false, format!("found marked by hand, by {}", self.incident.opened_by)),
        };
        let detected = self.evidence.as_ref().filter(|_| voted).map(|evidence| evidence.detected_at);
        let mut before = None;
        let mut line = |at: jiff::Timestamp, what: String| {
            let gap = before.map_or(0.0, |before| at.duration_since(before).as_secs_f64());
            before = Some(at);
            let time = at.strftime("%m-%d %H:%M:%S%.3f");
            text += &format!("{time:<18} {gap:>11.3}  {}\n", wrap(&what, 32));
        };
        if let Some(at) = detected {
            line(at, "detected: the first probe failed about here".into());
        }
        line(self.incident.opened_at, opened);
        for entry in &self.journal {
            line(entry.at, format!("{} ({})", event(&entry.what), entry.by));
        }
        text
    }

    fn guests_text(&self) -> String {
        if self.guests.is_empty() {
            return "\nno guests in the ledger\n".into();
        }
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for guest in &self.guests {
            *counts.entry(guest.outcome).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
        let mut table = Table::new(["GUEST", "OUTCOME", "FROM", "TO", "WHY"]);
        for guest in &self.guests {
            table.row([
                if guest.name.is_empty() { guest.server.clone() } else { guest.name.clone() },
                guest.outcome.into(),
                guest.from.clone(),
                guest.to.clone().unwrap_or_default(),
                guest.why.clone().unwrap_or_default(),
            ]);
        }
        format!("\n{} guests: {}\n{}", self.guests.len(), counts.join(", "), table.text(0))
    }
}

/// Column of the values.
const AT: usize = 16;

fn stands(status: &Status) -> String {
    let mut text = status.phase.name().to_owned();
    if let Some(step) = status.started {
        text += &format!(", started: {}", step.name());
    }
    if status.past_no_return {
        text += ", past the point of no return";
    }
    if status.retry {
        text += ", open again for held guests";
    }
    match &status.state {
        State::Active => text,
        State::Held { reason } => format!("HELD: {reason} (at: {text})"),
        State::Withdrawn => format!("withdrawn (at: {text})"),
        State::Abandoned => format!("abandoned (at: {text})"),
        State::Closed => text,
    }
}

fn event(event: &Event) -> String {
    let with = |head: String, facts: &[String]| match facts.is_empty() {
        true => head,
        false => format!("{head}: {}", facts.join("; ")),
    };
    match event {
        Event::Claimed { .. } => "claimed".into(),
        Event::Adopted { from, ground } => {
            let from = from.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            let ground = match ground {
                AdoptionGround::SameNode => "its earlier process is gone".to_owned(),
                AdoptionGround::HolderDead { verdict } => format!("the holder is dead: {verdict}"),
                AdoptionGround::NobodyHeld => "nobody held it".to_owned(),
            };
            format!("adopted from {from}: {ground}")
        }
        Event::Started { step, strategy, facts } => {
            let by = strategy.map_or_else(String::new, |strategy| format!(", storage {}", strategy.word()));
            with(format!("started: {}{by}", step.name()), facts)
        }
        Event::Finished { step, outcome, facts } => {
            with(format!("finished: {}, {}", step.name(), said_of(*outcome)), facts)
        }
        Event::MembersSeen { members } => {
            let events = members.values().map(|member| member.events).max().unwrap_or_default();
            let count = members.len();
            format!("{count} members of its arrays as it left them, the newest with {events} events")
        }
        Event::FencingHolder { node, verdict } => {
            format!("fencing the earlier holder {node}, which may have the storage: {verdict}")
        }
        Event::HolderFenced { node, outcome, by } => {
            format!("the earlier holder {node} is off ({}): {by}", said_of(*outcome))
        }
        Event::HandedBack { to, said, .. } => format!("handed back to {to}: {said}"),
        Event::Held { reason, .. } => format!("HELD: {reason}"),
        Event::Resumed { by, gone: None } => format!("resumed by {by}"),
        Event::Resumed { by, gone: Some(node) } => format!("resumed by {by}: HA node {node} is gone"),
        Event::Withdrawn { reason } => format!("withdrawn: {reason}"),
        Event::AddressAnswers { seen } => {
            format!("off, and its address takes connections or refuses them: {seen}")
        }
        Event::Abandoned { by } => format!("abandoned by {by}"),
        Event::Closed { summary } => format!("closed: {summary}"),
        Event::Retried { by, guests } if guests.is_empty() => {
            format!("opened again by {by}, for its held guests")
        }
        Event::Retried { by, guests } => format!("opened again by {by}, for {}", guests.join(", ")),
        Event::RetryEnded { reason } => format!("closed again, nothing was asked for: {reason}"),
    }
}

fn said_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Changed => "changed",
        Outcome::AlreadySo => "already so",
    }
}

/// What the record says of its journal and the journal does not show.
fn journal_gap(record: &IncidentRecord, journal: &[JournalEntry]) -> Option<String> {
    let last = journal.last().map_or(0, |entry| entry.sequence);
    (last != record.head)
        .then(|| format!("its last readable entry is {last}, the record says {}", record.head))
}
