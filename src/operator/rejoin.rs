//! `nova-ha rejoin`: a repaired host is given back to Nova, in the one order that loses nothing.
//!
//! Its nova-compute starts while the host is still forced down, so that Nova settles the evacuations
//! away from it; only then *forced down* is taken back, what we disabled is enabled, and the flags are
//! reset last: until then no recovery of this host can begin beside us. A host whose guests are on its
//! arrays gets them only when the flags are reset, and is enabled after that, once they are mounted
//! (`disks`). Nothing is remembered: each run looks at what is so, and does what is next ([`steps`],
//! pure). Killed anywhere and run again, it comes to the same end.

mod disks;
pub mod steps;
pub(super) mod swap;
#[cfg(any(test, fuzzing))]
pub(crate) use self::swap::note_rewritten;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use self::steps::{Facts, Next, Pulse, Shown, counted, next, shown};
use super::OperatorError;
use super::answer::{Answer, Outcome};
use super::cloud::cloud;
use super::cluster::{Catalog, Cluster};
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::guest::none_is_held;
use super::person::{person, quoted};
use super::reset::{self, ResetArgs, Standing};
use super::through::{GoneArgs, Return, all_are_through};
use crate::chain::chain;
use crate::exit;
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::nova::{Aggregate, Cloud, ComputeService, NovaClient, NovaError, NovaHost};
use crate::store::{Op, Store};
use crate::tree::TreeError;
use crate::tree::nova_names::{self, TreeMachine};
use crate::tree::record::{Record, bytes};
use crate::tree::returning::Returning;

/// `nova-ha rejoin`.
#[derive(Debug, Args)]
pub struct RejoinArgs {
    /// The host.
    pub host: String,
    /// Who says so.
    #[arg(long)]
    pub by: String,
    /// How long to wait for what must be done on the host itself, and for the HA nodes that held its incident to be
    /// through with it (0s: look once).
    #[arg(long, default_value = "5m", value_parser = super::person::time, value_name = "TIME")]
    pub wait: Duration,
    /// Take forced down back although the host was reset since its recovery, or was not fenced: somebody may
    /// have forced it down by hand, and Nova does not keep who.
    #[arg(long)]
    pub forced_down_is_ours: bool,
    /// Leave the data where it is: the HA node that took the host's storage becomes a host, and this host
    /// an HA node. Install it anew first: an HA node reads all BMC passwords, and what is on a host that failed may be
    /// anybody's. What Nova calls it is its binding (`host add --replace --nova-host`), never what it publishes.
    #[arg(long, conflicts_with = "storage_is_released")]
    pub swap_roles: bool,
    /// With --swap-roles: you have looked, and the host has nothing of its former storage assembled or
    /// mounted. For a host whose boot guard cannot say so.
    #[arg(long, requires = "swap_roles")]
    pub storage_is_not_there: bool,
    /// Leave the service disabled: no new guests there yet.
    #[arg(long)]
    pub leave_disabled: bool,
    /// The HA node that took the host's storage is dead or empty: it has nothing of it any more.
    #[arg(long)]
    pub storage_is_released: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as its help")]
    pub gone: GoneArgs,
    /// Name of the cloud in clouds.yaml; by default the one that the HA nodes use.
    #[arg(long, value_name = "NAME")]
    pub os_cloud: Option<String>,
    /// The host's name, instead of typing it when asked.
    #[arg(long, value_name = "HOST")]
    pub yes: Option<String>,
}

impl RejoinArgs {
    /// The same command again.
    fn command(&self, host: &HostName) -> String {
        let swap = if self.swap_roles { " --swap-roles" } else { "" };
        format!("nova-ha rejoin {host}{swap} --by {}", quoted(&self.by))
    }

    /// Whose return this is, of whom each machine has to be through with the incident.
    fn back<'a>(
        &'a self,
        host: &'a HostName,
        id: &'a IncidentId,
        command: &'a str,
        since: Instant,
    ) -> Return<'a> {
        Return { host, id, gone: &self.gone.gone, doing: "rejoined", command, since }
    }
}

/// Pause between two looks: well below the 10 s in which nova-compute reports by default.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks, does what is next, and looks again.
pub async fn run(args: RejoinArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    person(&args.by)?;
    let doing = format!("rejoin host {}", args.host);
    let cluster = Cluster::read(store, &doing).await?;
    let host = cluster.host(&args.host)?;
    may_return(&cluster, &host, store, &doing, args.storage_is_released).await?;
    let cloud = cloud(args.os_cloud.as_deref(), &cluster, &doing)?;
    let nova_host = nova_name(&cluster, &TreeMachine::Host(host.clone()), &doing)?;
    let command = args.command(&host);
    confirm(
        host.as_str(),
        args.yes.as_deref(),
        &format!(
            "This gives {host} back to Nova, and makes it a healthy host again, to be recovered at its next failure."
        ),
        &command,
    )?;
    let began = Instant::now();
    let mut pulse = Pulse::default();
    let mut changed = false;
    loop {
        // What may not be while somebody works on it is looked at again before every effect.
        let looked = stands(&host, &args, began, store).await;
        let Some((cluster, standing)) = unless_it_may_pass(looked, began.elapsed() < args.wait).await? else {
            continue;
        };
        let Seen { service, in_flight, done, aggregates } = match look(&cloud, &nova_host, &mut pulse).await {
            Ok(seen) => seen,
            Err(error) if error.is_retryable() && began.elapsed() < args.wait => {
                tracing::warn!(%host, error = %chain(&error), "Nova does not answer, trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(cannot_ask(&doing, &error)),
        };
        let looked = disks::of(&cluster, &host, service.as_ref(), store).await.map_err(tree(&doing));
        let Some(disks) = unless_it_may_pass(looked, began.elapsed() < args.wait).await? else { continue };
        let facts = Facts {
            service,
            in_flight,
            done,
            aggregates,
            was_fenced: standing.was_fenced,
            is_beating: pulse.is_beating(),
            is_flagged: standing.is_flagged,
            disks,
            leave_disabled: args.leave_disabled,
            said_ours: args.forced_down_is_ours,
        };
        let step = next(&nova_host, &facts);
        tracing::info!(%host, next = ?step, "rejoin");
        if matches!(step, Next::Wait { .. }) {
            begin(&cluster, &host, &standing, &args.by, store, &doing).await?;
        }
        match &step {
            Next::Wait { .. } if began.elapsed() < args.wait => tokio::time::sleep(PAUSE).await,
            Next::Wait { .. } | Next::Impossible { .. } => {
                return answer(&host, &command, &step, shown(&nova_host, &facts), changed, &standing);
            }
            Next::TakeForcedDownBack(service) => {
                changed = true;
                pulse.touched();
                match cloud.set_forced_down(service, false).await {
                    // Nova says 400 while evacuations are `done`: one ended since we looked.
                    Err(NovaError::BadRequest { message, .. }) if began.elapsed() < args.wait => {
                        tracing::warn!(%host, message, "Nova refuses");
                        tokio::time::sleep(PAUSE).await;
                    }
                    outcome => effect(&doing, outcome, began.elapsed() < args.wait).await?,
                }
            }
            Next::Enable(service) => {
                changed = true;
                effect(&doing, cloud.enable(service).await, began.elapsed() < args.wait).await?;
            }
            Next::Reset => {
                let is_time_left = began.elapsed() < args.wait;
                let (by, yes) = (args.by.clone(), Some(host.to_string()));
                let args = ResetArgs {
                    host: host.to_string(),
                    by,
                    maintenance: false,
                    storage_is_released: args.storage_is_released,
                    gone: args.gone.clone(),
                    wait: Duration::ZERO,
                    yes,
                };
                // It judges by the tree of now, once more.
                changed |= unless_it_may_pass(reset::run(args, store).await, is_time_left).await?.is_some();
            }
            Next::Finished => {
                return answer(&host, &command, &step, shown(&nova_host, &facts), changed, &standing);
            }
        }
    }
}

/// Says in the tree that it is being given back: from here on its boot guard lets nova-compute start,
/// which Nova must hear of before the flags are reset. A host that nothing was recovered from, or that
/// is given back already, needs no word.
async fn begin(
    cluster: &Cluster,
    host: &HostName,
    standing: &Standing,
    by: &str,
    store: &dyn Store,
    doing: &str,
) -> Result<(), OperatorError> {
    let (tree, key) = (&cluster.snapshot, keys::host(host).returning());
    let Some(incident) = standing.ended.clone().filter(|_| standing.is_flagged) else { return Ok(()) };
    let said: Option<Returning> = tree.record(&key).map_err(self::tree(doing))?;
    if said.is_some_and(|said| said.incident == incident) {
        return Ok(());
    }
    let record = keys::incident(&incident).incident();
    let returning =
        Returning { version: Returning::VERSION, incident, by: by.into(), at: jiff::Timestamp::now() };
    let ops = [
        Op::unchanged(record.clone(), tree.get(&record)),
        Op::replace(key.clone(), bytes(&returning), tree.get(&key)),
    ];
    commit(store, doing, &ops).await
}

/// What a look in the middle of the way found; `None` after a pause where it is worth another one.
async fn unless_it_may_pass<T>(
    looked: Result<T, OperatorError>,
    is_time_left: bool,
) -> Result<Option<T>, OperatorError> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_time_left && error.may_pass() => {
            tracing::warn!(error = %chain(&error), "looking again");
            tokio::time::sleep(PAUSE).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The tree as it is now, where the host may still return.
async fn stands(
    host: &HostName,
    args: &RejoinArgs,
    since: Instant,
    store: &dyn Store,
) -> Result<(Cluster, Standing), OperatorError> {
    let doing = format!("rejoin host {host}");
    let cluster = Cluster::read(store, &doing).await?;
    let standing = may_return(&cluster, host, store, &doing, args.storage_is_released).await?;
    if let Some(id) = &standing.ended {
        let command = args.command(host);
        all_are_through(&cluster, &args.back(host, id, &command, since), store).await?;
    }
    Ok((cluster, standing))
}

/// Refuses a host whose incident is open, or that would be taken for dead again at once.
async fn may_return(
    cluster: &Cluster,
    host: &HostName,
    store: &dyn Store,
    doing: &str,
    storage_is_released: bool,
) -> Result<Standing, OperatorError> {
    let standing = Standing::of(cluster, host, &Catalog::read(store).await).await.map_err(tree(doing))?;
    if let Some(id) = standing.open {
        return Err(OperatorError::OpenIncident { host: host.clone(), id, doing: "rejoined" });
    }
    none_is_held(host, standing.ended.as_ref(), "rejoined", cluster, store).await?;
    let with_storage = reset::with_storage(host, &standing.with_storage, "rejoined");
    if let (Some(refused), false) = (with_storage, storage_is_released) {
        return Err(refused);
    }
    if let Err(why) = &standing.is_healthy {
        return Err(OperatorError::NotNow {
            name: host.to_string(),
            doing: "rejoined",
            why: format!("{why}; it would be taken for dead at once"),
            next: Some(format!("repair it first: nova-ha host show {host}")),
        });
    }
    Ok(standing)
}

/// What Nova calls a machine: as the recovery has it. A host of which that is in doubt is not given back: whose service
/// would be enabled is not known.
fn nova_name(cluster: &Cluster, machine: &TreeMachine, doing: &str) -> Result<NovaHost, OperatorError> {
    if let TreeMachine::Host(host) = machine {
        let doubts = cluster.nova_names.doubts(&cluster.snapshot, host).map_err(tree(doing))?;
        if let Some(doubt) = doubts.first() {
            return Err(OperatorError::NotNow {
                name: host.to_string(),
                doing: "rejoined",
                why: doubt.text(),
                next: Some(doubt.next(host)),
            });
        }
    }
    let bound = nova_names::bound(&cluster.snapshot, machine).map_err(tree(doing))?;
    let malformed = |why| TreeError::Malformed { key: machine.keys().names(), why: chain(&why) };
    bound.parse().map_err(malformed).map_err(tree(doing))
}

/// What Nova says.
struct Seen {
    service: Option<ComputeService>,
    in_flight: usize,
    done: usize,
    aggregates: Result<Vec<Aggregate>, String>,
}

/// The service, how many evacuations away from it are under way and `done`, and whose it is.
async fn look(cloud: &NovaClient, host: &NovaHost, pulse: &mut Pulse) -> Result<Seen, NovaError> {
    let Some(service) = cloud.service(host).await? else {
        return Ok(Seen { service: None, in_flight: 0, done: 0, aggregates: Ok(Vec::new()) });
    };
    pulse.saw(service.updated_at.as_deref());
    let evacuations = cloud.evacuations_from(host).await?;
    let (in_flight, done) = counted(evacuations.iter().map(|migration| &migration.status));
    let here = |aggregate: &Aggregate| aggregate.hosts.iter().any(|name| name == host.as_str());
    let aggregates = match cloud.aggregates().await {
        Ok(all) => Ok(all.into_iter().filter(here).collect()),
        Err(error) if error.is_retryable() => return Err(error),
        Err(error) => Err(format!("aggregates cannot be read: {}", chain(&error))),
    };
    Ok(Seen { service: Some(service), in_flight, done, aggregates })
}

/// The next look decides, a pause later; an error that may have had its effect is only logged while
/// there is time left to read back.
async fn effect<T>(
    doing: &str,
    outcome: Result<T, NovaError>,
    is_time_left: bool,
) -> Result<(), OperatorError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if is_time_left && (error.effect_may_have_happened() || error.is_retryable()) => {
            tracing::warn!(error = %chain(&error), "Nova did not answer clearly, reading back");
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        Err(error) => Err(cannot_ask(doing, &error)),
    }
}

fn cannot_ask(doing: &str, error: &NovaError) -> OperatorError {
    OperatorError::Cloud {
        doing: doing.to_owned(),
        why: chain(error),
        next: format!("what was done stays done; run it again after: {}", error.next()),
    }
}

fn answer(
    host: &HostName,
    command: &str,
    step: &Next,
    steps: Vec<Shown>,
    changed: bool,
    standing: &Standing,
) -> Result<Answer, OperatorError> {
    #[derive(Serialize)]
    struct Rejoin<'a> {
        outcome: Option<Outcome>,
        action: &'static str,
        name: &'a HostName,
        /// What says that the host lives.
        alive_by: Option<&'a str>,
        waits_for: Option<&'a str>,
        next: Option<String>,
        steps: Vec<Shown>,
    }
    let alive_by = standing.is_healthy.as_deref().ok();
    let mut text: String = alive_by.iter().map(|by| format!("{host}: {by}\n")).collect();
    text.extend(steps.iter().map(|step| format!("{}\n", step.text())));
    let (outcome, waits_for, next, code) = match step {
        Next::Wait { why, on_host } => {
            let next = format!("{on_host}; then {command}");
            text += &format!("{host}: waiting: {why}\n  next: {next}");
            (None, Some(why.as_str()), Some(next), exit::ATTENTION)
        }
        Next::Impossible { why, next } => {
            text += &format!("{host}: {why}\n  next: {next}");
            (None, Some(why.as_str()), Some(next.clone()), exit::ATTENTION)
        }
        Next::TakeForcedDownBack(_) | Next::Enable(_) | Next::Reset | Next::Finished => {
            let outcome = if changed { Outcome::Changed } else { Outcome::AlreadySo };
            text += &match outcome {
                Outcome::Changed => format!("{host}: rejoined"),
                Outcome::AlreadySo => format!("{host}: already so, nothing was changed"),
            };
            if standing.is_in_maintenance {
                let next = format!("nova-ha maintenance off {host}");
                text += &format!("\n{host}: still in maintenance: nobody recovers it\n  next: {next}");
                (Some(outcome), Some("still in maintenance"), Some(next), exit::ATTENTION)
            } else {
                (Some(outcome), None, None, exit::OK)
            }
        }
    };
    Ok(Answer::new(
        text,
        &Rejoin { outcome, action: "rejoin", name: host, alive_by, waits_for, next, steps },
    )?
    .with_code(code))
}
