//! `nova-ha-mark-failed`: see [`nova_ha::monitor::mark`].

use std::io::{IsTerminal, Read};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use nova_ha::attention::Severity;
use nova_ha::clock::{Clock, SystemClock, boot_id};
use nova_ha::columns;
use nova_ha::confirm;
use nova_ha::consul::Consul;
use nova_ha::core_dumps;
use nova_ha::evidence::{TcpAnchors, Witness};
use nova_ha::exit;
use nova_ha::incident::record::Order;
use nova_ha::monitor::mark::ha_nodes::{HaNodeLine, ha_nodes};
use nova_ha::monitor::mark::hint::{self, HintError};
use nova_ha::monitor::mark::order::{Asked, SecondWord};
use nova_ha::monitor::mark::report::{Line, Result as LineResult};
use nova_ha::monitor::mark::standing::{Standing, standing};
use nova_ha::monitor::mark::{Args, MarkError, Request, run, sweep};
use nova_ha::names::{HaNodeName, HostName, NameError};
use nova_ha::say;
use nova_ha::ssh::SshReach;
use nova_ha::store::StoreError;

fn main() -> ExitCode {
    core_dumps::forbid();
    let args = Args::parse();
    match args.sweep {
        true => nova_ha::logging::init_for_check(),
        false => nova_ha::logging::init(),
    }
    let mut said = Said::default();
    match judge(&args, &mut said) {
        Ok(()) => ExitCode::from(print(&args, &said)),
        Err(error) => {
            let nothing = said.lines.is_empty();
            if !nothing {
                print(&args, &said);
            }
            say::error(&columns::error_line(&format!("nova-ha-mark-failed: {error:#}")));
            if let Some(hint) = next_command(&error) {
                say::error(&format!("next: {hint}"));
            }
            if args.sweep {
                // What Consul shows of the sweep's check is stdout.
                say::line(&format!(
                    "cannot judge{}: {error:#}",
                    if nothing { ", nothing was marked" } else { " any further" }
                ));
            }
            ExitCode::from(exit::FAILED)
        }
    }
}

/// What is printed.
#[derive(Default)]
struct Said {
    lines: Vec<Line>,
    /// Open incidents that a person should look at; of a sweep.
    standing: Vec<Standing>,
    /// HA nodes that a person should look at; of a sweep.
    ha_nodes: Vec<HaNodeLine>,
}

fn judge(args: &Args, said: &mut Said) -> anyhow::Result<()> {
    let hosts: Vec<HostName> = args.hosts.iter().map(|h| h.parse()).collect::<Result<_, _>>()?;
    let clock = SystemClock;
    let order = match &args.by {
        None => None,
        Some(by) => {
            for host in &hosts {
                let yes = args.yes.iter().find(|y| y.as_str() == host.as_str()).or(args.yes.first());
                let what = format!("{host} will be powered off, whatever the observers see.");
                if let Err(why) = confirm::typed(host.as_str(), yes.map(String::as_str), &what) {
                    bail!("not confirmed: {why}; nova-ha-mark-failed {host} --by {by} --yes {host}");
                }
            }
            // What counts for the usual time is written as it always was.
            let ttl = Some(args.ttl).filter(|ttl| *ttl != Order::TTL).map(|ttl| ttl.as_secs());
            Some(Order { ttl_seconds: ttl, ..Order::new(by.clone(), clock.wall()) })
        }
    };
    if hosts.is_empty() && !args.sweep {
        read_hint()?;
    }
    let machine = machine_name(args)?;
    let consul = Consul::from_env().context("cannot use Consul")?;
    let boot_id = boot_id()?.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let anchors = TcpAnchors;
    let witness = Witness {
        store: &consul,
        clock: &clock,
        anchors: &anchors,
        me: Some(machine.clone()),
        boot_id,
        run_dir: args.run_dir.clone(),
    };
    let request = Request { hosts, order: None, sweep: args.sweep, machine: machine.to_string() };
    let judged = runtime.block_on(async {
        let lines = &mut said.lines;
        if let Some(order) = order {
            let second = if args.although_it_answers { SecondWord::Given } else { SecondWord::NotGiven };
            return ordered(&witness, request, (order, second), lines).await;
        }
        run(&witness, &request, lines).await?;
        if request.sweep {
            let evidence = |source| MarkError::Evidence { source };
            sweep::unwatched(&consul, lines).await.map_err(evidence)?;
            said.standing = standing(&consul, clock.wall(), lines).await.map_err(evidence)?;
            said.ha_nodes = ha_nodes(&witness).await.map_err(evidence)?;
        }
        Ok::<(), MarkError>(())
    });
    // A look-up that hangs in the resolver must not hold up the end.
    runtime.shutdown_background();
    Ok(judged?)
}

/// A person's order: what answers is named, and asked about at the prompt.
async fn ordered(
    witness: &Witness<'_>,
    mut request: Request,
    (order, second): (Order, SecondWord),
    lines: &mut Vec<Line>,
) -> Result<(), MarkError> {
    let first = Asked::look_first(witness, &SshReach, &request.hosts, (order.clone(), second)).await;
    request.order = Some(first);
    run(witness, &request, lines).await?;
    let (answering, rest): (Vec<Line>, Vec<Line>) =
        std::mem::take(lines).into_iter().partition(|line| line.result == LineResult::Answers);
    *lines = rest;
    for line in answering {
        let what = format!("{} may live: {}.\nIt will be powered off all the same.", line.host, line.because);
        if confirm::typed("although it answers", None, &what).is_err() {
            lines.push(line);
            continue;
        }
        let hosts = vec![line.host];
        let asked = Asked::look_first(witness, &SshReach, &hosts, (order.clone(), SecondWord::Given)).await;
        let request = Request { hosts, order: Some(asked), ..request.clone() };
        let mut more = Vec::new();
        let judged = run(witness, &request, &mut more).await;
        lines.append(&mut more);
        judged?;
    }
    Ok(())
}

fn machine_name(args: &Args) -> anyhow::Result<HaNodeName> {
    let text = match &args.ha_node {
        Some(name) => name.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    text.parse().with_context(|| format!("{text:?} cannot be this HA node's name: give --ha-node NAME"))
}

/// A watch writes its view at once and closes the pipe.
const HINT_WITHIN: Duration = Duration::from_secs(3);

/// The watch's view: bounded, parsed, and not believed.
fn read_hint() -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(());
    }
    let limit = u64::try_from(hint::MAX_BYTES)? + 1;
    let (tell, told) = std::sync::mpsc::channel();
    // On a thread of its own, which does not hold up the end of the process: under cron, ssh or another program stdin may
    // be a pipe that nobody ever closes.
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map(|_| bytes);
        let _nobody_waits = tell.send(read);
    })?;
    let Ok(read) = told.recv_timeout(HINT_WITHIN) else {
        tracing::warn!(within = ?HINT_WITHIN, "stdin does not end: it is only a hint, and everything is judged without it");
        return Ok(());
    };
    let bytes = read.context("cannot read stdin")?;
    let checks = hint::parse(&bytes).context("nothing was marked: this is not wired to a checks watch")?;
    tracing::debug!(checks, "the watch's view; the truth is read again");
    Ok(())
}

fn print(args: &Args, said: &Said) -> u8 {
    let Said { lines, standing, ha_nodes } = said;
    if args.json {
        let values = lines.iter().map(serde_json::to_value).chain(standing.iter().map(serde_json::to_value));
        let values = values.chain(ha_nodes.iter().map(serde_json::to_value));
        let values: Vec<serde_json::Value> = values.filter_map(Result::ok).collect();
        say::json_line(&serde_json::to_string(&values).unwrap_or_default());
    } else if lines.is_empty() && standing.is_empty() && ha_nodes.is_empty() {
        say::line("nobody is suspect: nothing to judge");
    } else {
        for line in lines {
            say::line(&columns::line(&line.text()));
            if let Some(next) = &line.next {
                say::line(&format!("  next: {next}"));
            }
        }
        let of_incidents = standing.iter().map(|incident| (incident.text(), &incident.next));
        for (text, next) in of_incidents.chain(ha_nodes.iter().map(|node| (node.text(), &node.next))) {
            say::line(&columns::line(&text));
            for next in next {
                say::line(&format!("  next: {next}"));
            }
        }
    }
    let of_incidents = standing.iter().map(|incident| incident.severity);
    let worst = of_incidents.chain(ha_nodes.iter().map(|node| node.severity)).max().unwrap_or(Severity::Fine);
    let attention = lines.iter().any(|line| line.attention) || worst == Severity::Warning;
    match (worst, attention, args.sweep) {
        // Only a sweep looks for these: its check is critical when nobody came for too long.
        (Severity::Critical, _, _) => exit::probe::CRITICAL,
        (Severity::Fine | Severity::Warning, false, _) => exit::OK,
        (Severity::Fine | Severity::Warning, true, true) => exit::probe::WARNING,
        (Severity::Fine | Severity::Warning, true, false) => exit::ATTENTION,
    }
}

fn next_command(error: &anyhow::Error) -> Option<String> {
    if let Some(mark) = error.downcast_ref::<MarkError>() {
        return mark.hint();
    }
    if error.is::<HintError>() {
        return Some("nova-ha generate consul-config --ha-node NAME --out DIR writes the watch".into());
    }
    let store = error.downcast_ref::<StoreError>().map(StoreError::hint);
    store.or_else(|| error.is::<NameError>().then(|| "nova-ha host list; nova-ha ha-node list".to_owned()))
}
