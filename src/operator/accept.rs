//! `nova-ha host accept`: binds hosts to what they published about themselves, after showing it.
//!
//! From then on a recovery acts by what was bound, and what a host publishes later is only compared with it.

use clap::Args;
use serde::Serialize;

use super::OperatorError;
use super::answer::Answer;
use super::cluster::Cluster;
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::offer::Offer;
use crate::confirm::person;
use crate::exit;
use crate::keys;
use crate::names::HostName;
use crate::store::{MAX_OPS, Op, Store};
use crate::tree::first_sight::own_words;

/// `nova-ha host accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// The host. What it is bound to already and publishes otherwise is bound anew.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub name: Option<String>,
    /// All hosts that are known by their own word only. What is bound already stays as it is.
    #[arg(long)]
    pub all: bool,
    /// Who says so.
    #[arg(long)]
    pub by: String,
    /// The host's name once more (with --all: the word all), instead of typing it when asked.
    #[arg(long, value_name = "NAME")]
    pub yes: Option<String>,
}

/// What became of one host.
#[derive(Debug, Serialize)]
struct Accepted {
    host: String,
    /// What it is bound to now, one fact a line; empty where nothing was written.
    bound: Vec<String>,
    /// Why nothing of it was.
    refused: Option<String>,
}

/// Most hosts of one transaction: each has four operations, and the tree two.
const AT_ONCE: usize = (MAX_OPS - 2) / 4;

/// Runs it.
pub(super) async fn run(args: AcceptArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)
        .map_err(|why| OperatorError::Input { option: "--by".into(), why: why.to_owned() })?;
    let cluster = Cluster::read(store, "accept what hosts published").await?;
    match &args.name {
        Some(name) => one(&cluster.host(name)?, &args, &by, &cluster, store).await,
        None => all(&args, &by, &cluster, store).await,
    }
}

async fn one(
    host: &HostName,
    args: &AcceptArgs,
    by: &str,
    cluster: &Cluster,
    store: &dyn Store,
) -> Result<Answer, OperatorError> {
    let offer = Offer::of(cluster, host);
    let not_now = |why: String, next: Option<String>| {
        Err(OperatorError::NotNow { name: host.to_string(), doing: "accepted", why, next })
    };
    if let Some(fault) = offer.faults.first() {
        let next = format!("on {host}: nova-ha-runtime-info   (of the release that is installed there)");
        return not_now(format!("what it published cannot be understood: {fault}"), Some(next));
    }
    if let Some(rival) = offer.bound_elsewhere() {
        return not_now(rival.text(), Some(format!("nova-ha host show {}", rival.machine())));
    }
    if offer.has_two_keys()
        && let Some(seen) = offer.seen_otherwise()
    {
        let next =
            format!("nova-ha host add {host} --replace --ssh-host-key-file FILE   (its own /etc/ssh/*.pub)");
        return not_now(format!("HA nodes know it by different SSH host keys: {seen}"), Some(next));
    }
    if offer.is_empty() {
        let next = Some(format!("on {host}: nova-ha-runtime-info"));
        return not_now("it has published nothing that could be bound".into(), next);
    }
    if !offer.changes() {
        let text = format!("{host}: already so, nothing was written\n{}", offer.text());
        return answer(vec![Accepted { host: host.to_string(), bound: Vec::new(), refused: None }], text);
    }
    let shown = offer.text();
    confirm(
        host.as_str(),
        args.yes.as_deref(),
        &format!("{shown}A recovery acts by this from now on, whatever {host} publishes later."),
        &format!("nova-ha host accept {host} --by {by}"),
    )?;
    write(&[&offer], by, store).await?;
    let done = Accepted { host: host.to_string(), bound: offer.lines(), refused: None };
    answer(vec![done], format!("{host}: bound\n{shown}"))
}

async fn all(
    args: &AcceptArgs,
    by: &str,
    cluster: &Cluster,
    store: &dyn Store,
) -> Result<Answer, OperatorError> {
    let is_new = |offer: &Offer| {
        offer.names_it() || !own_words(&cluster.snapshot, &keys::host(&offer.host)).is_empty()
    };
    let offers = cluster.hosts.iter().map(|host| Offer::of(cluster, host));
    let offers: Vec<Offer> = offers.filter(is_new).collect();
    let (refused, good): (Vec<Offer>, Vec<Offer>) =
        offers.into_iter().partition(|offer| offer.why_not_with_all().is_some());
    let mut text: String = good.iter().map(Offer::text).collect();
    for offer in &refused {
        let why = offer.why_not_with_all().unwrap_or_default();
        text += &format!("{}: left out: {why}\n", offer.host);
        text += &format!("  next: nova-ha host accept {} --by {by}\n", offer.host);
    }
    let mut done: Vec<Accepted> = refused
        .iter()
        .map(|offer| Accepted {
            host: offer.host.to_string(),
            bound: Vec::new(),
            refused: offer.why_not_with_all(),
        })
        .collect();
    if good.is_empty() {
        let text = match refused.is_empty() {
            true => "no host is known by its own word only: nothing was written\n".to_owned(),
            false => text,
        };
        return answer(done, text);
    }
    confirm(
        "all",
        args.yes.as_deref(),
        &format!(
            "{text}A recovery acts by this from now on, whatever these {} hosts publish later.",
            good.len()
        ),
        &format!("nova-ha host accept --all --by {by}"),
    )?;
    for some in good.chunks(AT_ONCE) {
        write(&some.iter().collect::<Vec<_>>(), by, store).await?;
    }
    done.extend(good.iter().map(|offer| Accepted {
        host: offer.host.to_string(),
        bound: offer.lines(),
        refused: None,
    }));
    answer(done, format!("bound: {} hosts\n{text}", good.len()))
}

fn answer(hosts: Vec<Accepted>, text: String) -> Result<Answer, OperatorError> {
    #[derive(Serialize)]
    struct Hosts {
        hosts: Vec<Accepted>,
    }
    let waits = hosts.iter().any(|host| host.refused.is_some());
    let code = if waits { exit::ATTENTION } else { exit::OK };
    Ok(Answer::new(text, &Hosts { hosts })?.with_code(code))
}

/// Looks again so many times where the tree moved: hosts publish every few minutes.
const MOST_LOOKS: usize = 20;

/// One transaction: what was shown is what is bound, and two that bind at the same time see each other.
async fn write(shown: &[&Offer], by: &str, store: &dyn Store) -> Result<(), OperatorError> {
    let doing = match shown {
        [one] => format!("accept what {} published", one.host),
        many => format!("accept what {} hosts published", many.len()),
    };
    let mut looks = 0;
    loop {
        looks += 1;
        let cluster = Cluster::read(store, &doing).await?;
        for offer in shown {
            let now = Offer::of(&cluster, &offer.host);
            if !offer.is_still(&now) {
                return Err(OperatorError::NotNow {
                    name: offer.host.to_string(),
                    doing: "accepted",
                    why: "it, or another machine, published otherwise since it was shown".into(),
                    next: Some(format!("nova-ha host accept {} --by {by}", offer.host)),
                });
            }
        }
        let key = keys::MACHINES_ADDED;
        let before: u64 = cluster.snapshot.number(key).map_err(tree(&doing))?.unwrap_or(0);
        let mut ops = vec![
            cluster.meta_unchanged(),
            Op::replace(key, before.wrapping_add(1).to_string(), cluster.snapshot.get(key)),
        ];
        for offer in shown {
            let published = keys::host(&offer.host).runtime_config();
            let seen = cluster.snapshot.get(&published);
            ops.push(Op::unchanged(published, seen));
            ops.extend(offer.settings(by).into_iter().map(|(key, value)| {
                let seen = cluster.snapshot.get(&key);
                Op::replace(key, value, seen)
            }));
        }
        match commit(store, &doing, &ops).await {
            Err(OperatorError::Moved { .. }) if looks < MOST_LOOKS => {}
            written => return written,
        }
    }
}
