//! `nova-ha-recover`: see [`nova_ha::recovery`].

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use nova_ha::chain::chain;
use nova_ha::clock::{SystemClock, boot_id};
use nova_ha::columns;
use nova_ha::consul::Consul;
use nova_ha::core_dumps;
use nova_ha::evidence::TcpAnchors;
use nova_ha::exit;
use nova_ha::local;
use nova_ha::machine_id::{MachineId, MachineIdError};
use nova_ha::names::{HaNodeName, HostName, NameError};
use nova_ha::recovery::local_arrays::LocalArrays;
use nova_ha::recovery::local_disks::LocalDisks;
use nova_ha::recovery::local_reservations::LocalReservations;
use nova_ha::recovery::progress::{Lines, Nobody};
use nova_ha::recovery::release;
use nova_ha::recovery::report::Report;
use nova_ha::recovery::run::cannot_begin;
use nova_ha::recovery::single::{Single, SingleError};
use nova_ha::recovery::site_programs::SitePrograms;
use nova_ha::recovery::stop::Stop;
use nova_ha::recovery::world::{ConfiguredClouds, ConfiguredFences, KdumpPort, SshReach};
use nova_ha::recovery::{Args, Options, World, run};
use nova_ha::say;
use nova_ha::store::StoreError;

/// How long a person's order waits for another `nova-ha-recover` of this HA node; a sweep that finds nothing to do is over
/// long before.
const SWEEP: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    core_dumps::forbid();
    let args = Args::parse();
    nova_ha::logging::init();
    match recover(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say::error(&columns::error_line(&format!("nova-ha-recover: {error:#}")));
            if let Some(hint) = next_command(&error) {
                say::error(&format!("next: {hint}"));
            }
            ExitCode::from(exit::FAILED)
        }
    }
}

fn recover(args: &Args) -> anyhow::Result<u8> {
    let only: Option<HostName> = args.host.as_deref().map(str::parse).transpose()?;
    let text = match &args.ha_node {
        Some(name) => name.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let me: HaNodeName = text
        .parse()
        .with_context(|| format!("{text:?} cannot be this HA node's name: give --ha-node NAME"))?;
    // Held until the end; a plan changes nothing and needs no lock.
    let lock = match (args.plan, lock(args)) {
        (true, _) => Ok(None),
        (false, Ok(lock)) => Ok(Some(lock)),
        // That one ends without having released anything: *nothing to do* would be a lie.
        (false, Err(busy @ SingleError::Busy { .. })) if args.release_storage => {
            let host = args.host.as_deref().unwrap_or("");
            say::line(&format!("{host}: not released: a recovery runs here ({busy})"));
            say::line(&format!(
                "  next: nova-ha incident list; once it has ended the same command again for {host}"
            ));
            return Ok(exit::ATTENTION);
        }
        (false, Err(busy @ SingleError::Busy { .. })) => {
            say::line(&format!("nothing to do here: {busy}; it looks for work again before it ends"));
            return Ok(exit::OK);
        }
        (false, Err(error @ (SingleError::Place { .. } | SingleError::File { .. }))) => Err(error),
    };
    let world = World {
        store: Box::new(Consul::from_env().context("cannot use Consul")?),
        clock: Box::new(SystemClock),
        anchors: Box::new(TcpAnchors),
        fences: Box::new(ConfiguredFences { local_file: local::file() }),
        clouds: Box::new(ConfiguredClouds { tokens: args.run_dir.join("tokens") }),
        reach: Box::new(SshReach),
        dumps: Box::new(KdumpPort),
        disks: Box::new(LocalDisks::default()),
        programs: Box::new(SitePrograms { local_file: local::file() }),
        arrays: Box::new(LocalArrays::default()),
        reservations: Box::new(LocalReservations::default()),
        progress: if args.progress { Box::new(Lines { json: args.json }) } else { Box::new(Nobody) },
        me,
        machine: MachineId::of_this_machine()?,
        boot_id: boot_id()?.to_string(),
        run_dir: args.run_dir.clone(),
        state_dir: args.state_dir.clone(),
        local_file: local::file(),
    };
    let _lock = match lock {
        Ok(lock) => lock,
        Err(error) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(cannot_begin(&world, chain(&error)));
            return Err(error.into());
        }
    };
    if args.release_storage {
        return release(args, &world, only.as_ref());
    }
    let options = Options { only, plan_only: args.plan, patience: args.patience };
    // Two threads: the lease is renewed while an SSH handshake or a resolver is slow.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let reports = runtime.block_on(run(&world, &options));
    runtime.shutdown_background();
    match reports {
        Ok(reports) => Ok(print(args, &reports)),
        // Nothing was even looked at: this HA node waits as a whole.
        Err(Stop::Waiting { reasons, next }) => {
            say::line(&columns::line(&format!("{}: waiting: {}", world.me, reasons.join("; "))));
            next.iter().for_each(|next| say::line(&format!("  next: {next}")));
            Ok(exit::ATTENTION)
        }
        Err(stop) => Err(stop.into()),
    }
}

/// Alone on this HA node. A person's order waits until the sweep has looked, which takes a moment.
fn lock(args: &Args) -> Result<Single, SingleError> {
    let patience = if args.release_storage { SWEEP } else { Duration::ZERO };
    let until = Instant::now() + patience;
    loop {
        match Single::take(&args.run_dir) {
            Err(SingleError::Busy { .. }) if Instant::now() < until => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
}

fn release(args: &Args, world: &World, host: Option<&HostName>) -> anyhow::Result<u8> {
    let host = host.context("--release-storage needs a host")?;
    if args.yes.as_deref() != Some(host.as_str()) {
        anyhow::bail!("--yes says {:?}, and not {host}: nothing was done", args.yes.as_deref().unwrap_or(""));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let released = runtime.block_on(release::run(world, host, args.by.as_deref().unwrap_or("")));
    runtime.shutdown_background();
    let detail = match released {
        Ok(detail) => detail,
        Err(Stop::Waiting { reasons, next }) => {
            say::line(&format!("{host}: not released: {}", reasons.join("; ")));
            next.iter().for_each(|next| say::line(&format!("  next: {next}")));
            return Ok(exit::ATTENTION);
        }
        Err(stop) => return Err(stop.into()),
    };
    say::line(&format!("{host}: released: {detail}"));
    say::line(&format!("  next: nova-ha rejoin {host} --by NAME"));
    Ok(exit::OK)
}

fn next_command(error: &anyhow::Error) -> Option<String> {
    let stop = error.downcast_ref::<Stop>().and_then(Stop::hint);
    stop.or_else(|| error.downcast_ref::<StoreError>().map(StoreError::hint))
        .or_else(|| error.downcast_ref::<MachineIdError>().map(|error| error.hint().to_owned()))
        .or_else(|| error.is::<NameError>().then(|| "nova-ha host list; nova-ha ha-node list".to_owned()))
}

fn print(args: &Args, reports: &[Report]) -> u8 {
    if args.json {
        say::json_line(&serde_json::to_string(reports).unwrap_or_default());
    } else if reports.is_empty() {
        say::line(&match &args.host {
            Some(host) => format!("{host}: no open incident, nothing to do"),
            None => "no open incident: nothing to do".into(),
        });
    } else {
        for report in reports {
            say::line(&columns::line(&format!("{}: {}", report.incident, report.text)));
            for next in report.next.iter().filter(|_| report.needs_attention()) {
                say::line(&format!("  next: {next}"));
            }
        }
    }
    if reports.iter().any(Report::needs_attention) { exit::ATTENTION } else { exit::OK }
}
