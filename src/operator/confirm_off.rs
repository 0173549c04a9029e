//! `nova-ha confirm-off`: a person's word that a host is off, where no device can say so.

use std::time::Duration;

use clap::Args;

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::incident::{Open, person, quoted};
use crate::fence::ConfirmOff;
use crate::fence::proof::MAX_CONFIRM_TTL;
use crate::keys;
use crate::store::{Op, Store};
use crate::tree::record::{Record, bytes};

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

/// Stores the word in the host's open incident.
pub async fn run(args: ConfirmOffArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("confirm that {} is off", args.host);
    let cluster = Cluster::read(store, &doing).await?;
    let host = cluster.host(&args.host)?;
    let Some(id) = cluster.open_incident(&host).map_err(tree(&doing))? else {
        return Err(OperatorError::NotNow {
            name: host.to_string(),
            doing: "confirmed off",
            why: "no incident of it is open, and a word counts only within one".into(),
            next: Some(format!("if it is dead and nobody noticed: nova-ha-mark-failed {host} --by NAME")),
        });
    };
    let open = Open::read(store, &id, &doing).await?;
    confirm(
        host.as_str(),
        args.yes.as_deref(),
        &format!(
            "If {host} still runs, its guests will run twice and their disks will be destroyed.\n\
             Confirm only what you have seen yourself: {host} has no power."
        ),
        &format!("nova-ha confirm-off {host} --by {} --ttl {}s", quoted(&args.by), args.ttl.as_secs()),
    )?;
    let word = ConfirmOff {
        version: ConfirmOff::VERSION,
        host: host.clone(),
        incident: id.clone(),
        by,
        at: jiff::Timestamp::now(),
        ttl_seconds: args.ttl.as_secs(),
    };
    let keys = keys::incident(&id);
    let mut ops = vec![
        cluster.meta_unchanged(),
        Op::unchanged(keys.incident(), open.tree.get(&keys.incident())),
        Op::replace(keys.confirm_off(), bytes(&word), open.tree.get(&keys.confirm_off())),
    ];
    ops.extend(open.wake());
    commit(store, &doing, &ops).await?;
    let text = format!("{host}: confirmed off in {id} for {} s", args.ttl.as_secs());
    done(Outcome::Changed, "confirm-off", host.as_str(), text)
}
