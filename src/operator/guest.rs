//! `nova-ha guest`: a person's word about one guest that a recovery left *held*.

use clap::{Args, Subcommand};

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::error::{held_back, tree};
use super::person::person;
use crate::incident::guest::{GuestEntry, GuestState};
use crate::incident::held_guests::{Unsettled, of};
use crate::incident::settled::{How, Settled};
use crate::incident::status::State;
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::nova::{NovaHost, ServerId};
use crate::store::{Op, Store};
use crate::tree::Snapshot;
use crate::tree::formats::Kind;
use crate::tree::record::{Record, bytes, parse};

/// What can be done with guests.
#[derive(Debug, Subcommand)]
pub enum GuestCommand {
    /// Say what became of a held guest: from then on nobody waits for it, and no recovery looks at it again.
    Settle(SettleArgs),
}

/// `nova-ha guest settle`.
#[derive(Debug, Args)]
pub struct SettleArgs {
    /// The incident that holds it, HOST@EPOCH.
    pub id: IncidentId,
    /// The guest, by Nova's server id.
    pub server: ServerId,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as its help")]
    pub how: HowArgs,
    /// Who says so.
    #[arg(long)]
    pub by: String,
}

/// What became of it: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HowArgs {
    /// You evacuated it yourself: Nova's name of the host where it is now.
    #[arg(long, value_name = "HOST")]
    pub recovered_on: Option<NovaHost>,
    /// It waits for its host, which is given back with it.
    #[arg(long)]
    pub stays: bool,
    /// There is nothing left to recover.
    #[arg(long)]
    pub lost: bool,
}

impl HowArgs {
    /// clap lets exactly one of them be given.
    fn how(&self) -> How {
        match &self.recovered_on {
            Some(host) => How::RecoveredOn { host: host.to_string() },
            None if self.stays => How::Stays,
            None => How::Lost,
        }
    }
}

/// Runs one of them.
pub async fn run(command: GuestCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        GuestCommand::Settle(args) => settle(args, store).await,
    }
}

async fn settle(args: SettleArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let (id, server, how) = (&args.id, args.server.to_string(), args.how.how());
    let doing = format!("settle guest {server} of {id}");
    let cluster = Cluster::read(store, &doing).await?;
    let record = cluster.incident(id)?;
    let refused = |why: String, next: String| OperatorError::NotNow {
        name: server.clone(),
        doing: "settled",
        why,
        next: Some(next),
    };
    let show = format!("nova-ha incident show {id}");
    match &record.status.state {
        State::Closed | State::Held { .. } => {}
        State::Active => return Err(refused(format!("a recovery works on {id}"), show)),
        State::Withdrawn | State::Abandoned => {
            return Err(refused(format!("{id} was ended without it"), show));
        }
    }
    let keys = keys::incident(id);
    let prefixes = [keys.guest(&server), keys.settled(&server)];
    let read = Snapshot::read(store, "the guest", &prefixes).await.map_err(tree(&doing))?;
    let entry = read.get(&keys.guest(&server));
    let guest: Option<GuestEntry> =
        entry.map(|entry| parse(&entry.key, &entry.value)).transpose().map_err(tree(&doing))?;
    match guest.map(|guest| guest.state) {
        Some(GuestState::Held { .. }) => {}
        Some(other) => return Err(refused(format!("it is not held, it is {}", other.word()), show)),
        None => return Err(refused(format!("{id} has no such guest"), show)),
    }
    let said: Option<Settled> = read.record(&keys.settled(&server)).map_err(tree(&doing))?;
    if let Some(said) = said.filter(|said| said.how == how) {
        let text = format!("{server}: already so, {} ({} said so)", said.how, said.by);
        return done(Outcome::AlreadySo, "guest settle", &server, text);
    }
    cluster.formats().allows(Kind::Settled, Settled::VERSION).map_err(held_back(&doing))?;
    let text = format!("{server}: settled: {how}");
    let at = jiff::Timestamp::now();
    let word = Settled { version: Settled::VERSION, server: server.clone(), how, by, at };
    let ops = [
        cluster.meta_unchanged(),
        // Nobody took it up meanwhile, and it is held as it was seen.
        Op::unchanged(keys.incident(), cluster.snapshot.get(&keys.incident())),
        Op::unchanged(keys.guest(&server), entry),
        Op::replace(keys.settled(&server), bytes(&word), read.get(&keys.settled(&server))),
    ];
    commit(store, &doing, &ops).await?;
    done(Outcome::Changed, "guest settle", &server, text)
}

/// Guests that a refusal names.
const MOST_NAMED: usize = 20;

/// Refuses to give a host back while a guest of its last incident is held: whatever is said of it later, its host would
/// have started it meanwhile.
pub(super) async fn none_is_held(
    host: &HostName,
    ended: Option<&IncidentId>,
    doing: &'static str,
    cluster: &Cluster,
    store: &dyn Store,
) -> Result<(), OperatorError> {
    let Some(id) = ended else { return Ok(()) };
    // Who abandons an incident takes what it left to himself.
    if cluster.incident(id)?.status.state != State::Closed {
        return Ok(());
    }
    let held = of(store, id).await.map_err(tree(format!("see which guests of {id} are held")))?;
    match held.first() {
        None => Ok(()),
        Some(first) => Err(refusal(host, id, doing, &held, first)),
    }
}

fn refusal(
    host: &HostName,
    id: &IncidentId,
    doing: &'static str,
    held: &[Unsettled],
    first: &Unsettled,
) -> OperatorError {
    let named: Vec<String> =
        held.iter().take(MOST_NAMED).map(|guest| format!("{} ({})", guest.name, guest.server)).collect();
    let more = if held.len() > MOST_NAMED { ", ..." } else { "" };
    let settle = match held.len() {
        1 => first.settle(),
        _ => format!("for each: nova-ha guest settle {id} UUID --recovered-on HOST|--stays|--lost --by NAME"),
    };
    OperatorError::NotNow {
        name: host.to_string(),
        doing,
        why: format!(
            "{} of {id} held, and nobody said what became of it: {}{more}",
            count(held.len()),
            named.join(", ")
        ),
        next: Some(format!("once Nova shows it at rest: nova-ha incident retry {id} --by NAME; or {settle}")),
    }
}

/// *1 guest*, *2 guests*.
pub(super) fn count(guests: usize) -> String {
    format!("{guests} {}", if guests == 1 { "guest" } else { "guests" })
}
