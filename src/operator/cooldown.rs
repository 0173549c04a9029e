//! `nova-ha cooldown`: for how long nobody is marked, or an observer's votes rest; whom that is about; and its end.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::OperatorError;
use super::answer::{Answer, Outcome, code, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::error::tree;
use super::person::person;
use super::table::field;
use super::table::when;
use crate::judge::votes::SUSPECT_FAILS;
use crate::keys;
use crate::names::{Epoch, HaNodeName, HostName};
use crate::policy::Policy;
use crate::store::{Op, Store};
use crate::tree::TreeError;
use crate::tree::cooldown::{Cause, Cooldown};
use crate::tree::observer::ObserverRecord;
use crate::tree::record;

/// What can be done with a cool-down.
#[derive(Debug, Subcommand)]
pub enum CooldownCommand {
    /// Why one is in force, whom it is about, and who fails meanwhile.
    Show,
    /// End it: from now on hosts are judged again. A storm that goes on begins another.
    End(EndArgs),
}

/// `nova-ha cooldown end`.
#[derive(Debug, Args)]
pub struct EndArgs {
    /// Who says so.
    #[arg(long, value_name = "NAME")]
    pub by: String,
}

/// A cool-down in force, as people see it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CooldownView {
    cause: String,
    /// The failure domains that rest; empty for the whole site, and where one observer's votes rest.
    domains: Vec<String>,
    /// Hosts that were counted when it began.
    hosts: Vec<HostName>,
    /// The one observer whose votes rest, if it is about that.
    observer: Option<HaNodeName>,
    /// Hosts that it is about, that fail now and have no incident: they wait for its end or for a person.
    failing: Vec<HostName>,
    began_at: Timestamp,
    seconds_left: u64,
}

impl CooldownView {
    /// The one of this tree. It is in force until an HA node has counted to its end and removed it.
    pub(super) fn of(cluster: &Cluster, now: Timestamp) -> Result<Option<Self>, TreeError> {
        let Some(cooldown) = cluster.snapshot.record::<Cooldown>(keys::COOLDOWN)? else { return Ok(None) };
        let policy = Policy::of(&cluster.snapshot).unwrap_or_default();
        let (domains, hosts) = match &cooldown.cause {
            Cause::Storm { domains, hosts, .. } => (domains.clone(), hosts.clone()),
            Cause::SelfDoubt { .. } | Cause::LeaderLost => (Vec::new(), Vec::new()),
        };
        let rests = |host: &HostName| {
            cooldown.cause.silences().is_none()
                && (domains.is_empty()
                    || domains.iter().any(|name| {
                        policy.domains.iter().find(|d| d.name == *name).is_none_or(|domain| domain.has(host))
                    }))
        };
        Ok(Some(Self {
            cause: cooldown.cause.text(),
            observer: cooldown.cause.silences().cloned(),
            failing: cluster.hosts.iter().filter(|h| rests(h) && fails(cluster, h)).cloned().collect(),
            began_at: cooldown.began_at,
            seconds_left: cooldown.about_left(now).as_secs(),
            domains,
            hosts,
        }))
    }

    /// What rests.
    fn rests(&self) -> String {
        match (&self.observer, self.domains.as_slice()) {
            (Some(observer), _) => format!("the votes of {observer} count for nothing"),
            (None, []) => "nobody is marked".into(),
            (None, [domain]) => format!("nobody in domain {domain} is marked"),
            (None, domains) => format!("nobody in domains {} is marked", domains.join(", ")),
        }
    }

    /// For the screen of everything: one sentence or two.
    pub(super) fn warning(&self) -> String {
        let text = format!(
            "cool-down since {}: {} for about another {} s ({}); nova-ha cooldown show",
            when(self.began_at),
            self.rests(),
            self.seconds_left,
            self.cause
        );
        match self.failing.is_empty() {
            true => text,
            false => format!("{text}. Failing now and not marked: {}", names(&self.failing)),
        }
    }

    fn text(&self) -> String {
        let mut text = field("cause", Some(&self.cause), WIDTH);
        text += &field("rests", Some(&self.rests()), WIDTH);
        text += &field("since", Some(&when(self.began_at)), WIDTH);
        text += &field("left", Some(&format!("about {} s", self.seconds_left)), WIDTH);
        if self.observer.is_none() {
            let failing = match self.failing.is_empty() {
                true => "none".to_owned(),
                false => names(&self.failing),
            };
            text += &field("failing now", Some(&failing), WIDTH);
        }
        for host in &self.failing {
            text += &field("if dead", Some(&format!("nova-ha-mark-failed {host} --by NAME")), WIDTH);
        }
        text + &field("to end it", Some("nova-ha cooldown end --by NAME"), WIDTH)
    }
}

/// Columns of the names of the fields.
const WIDTH: usize = 14;

fn names(hosts: &[HostName]) -> String {
    let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
    names.join(", ")
}

/// Whether an observer reports so much of a host that the guards count it, and no incident of its epoch says why. A
/// record that cannot be read is said elsewhere.
fn fails(cluster: &Cluster, host: &HostName) -> bool {
    let (tree, keys) = (&cluster.snapshot, keys::host(host));
    let epoch = Epoch(tree.number(&keys.epoch()).ok().flatten().unwrap_or(0));
    let is_case = cluster.incidents.iter().any(|id| id.host() == host && id.epoch() == epoch);
    let prefix = keys.observers();
    let mut records =
        tree.below(&prefix).filter_map(|e| record::parse::<ObserverRecord>(&e.key, &e.value).ok());
    !is_case && records.any(|record| record.epoch == epoch && record.fails >= SUSPECT_FAILS)
}

/// Runs one of them.
pub async fn run(command: CooldownCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        CooldownCommand::Show => show(store).await,
        CooldownCommand::End(args) => end(args, store).await,
    }
}

async fn show(store: &dyn Store) -> Result<Answer, OperatorError> {
    let doing = "show the cool-down";
    let cluster = Cluster::read(store, doing).await?;
    let view = CooldownView::of(&cluster, Timestamp::now()).map_err(tree(doing))?;
    let text = view.as_ref().map_or_else(|| "no cool-down is in force\n".to_owned(), CooldownView::text);
    let attention = view.as_ref().is_some_and(|view| !view.failing.is_empty());
    Ok(Answer::new(text, &view)?.with_code(code(false, attention)))
}

async fn end(args: EndArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = "end the cool-down";
    let cluster = Cluster::read(store, doing).await?;
    let Some(entry) = cluster.snapshot.get(keys::COOLDOWN) else {
        return done(Outcome::AlreadySo, "cooldown end", "cooldown", "already so, no cool-down is in force");
    };
    // One that cannot be read keeps every HA node from judging: it is ended all the same.
    let cause = cluster.snapshot.record::<Cooldown>(keys::COOLDOWN).ok().flatten();
    let cause = cause.map_or_else(|| "which nobody can read".to_owned(), |cooldown| cooldown.cause.text());
    let ops = [cluster.meta_unchanged(), Op::DeleteCas(keys::COOLDOWN.into(), entry.modify_index)];
    commit(store, doing, &ops).await?;
    tracing::info!(%by, %cause, "a person ended the cool-down");
    let text = format!(
        "ended by {by}: the cool-down ({cause}). The next sweep judges again; at once: nova-ha-mark-failed on an HA node"
    );
    done(Outcome::Changed, "cooldown end", "cooldown", crate::columns::wrap(&text, 0))
}
