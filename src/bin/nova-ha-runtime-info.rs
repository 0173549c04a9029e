//! `nova-ha-runtime-info`: see [`nova_ha::runtime_info`].

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nova_ha::clock::{BootInstant, Clock, SystemClock, boot_id};
use nova_ha::consul::Consul;
use nova_ha::core_dumps;
use nova_ha::exit::probe::{PASSING, WARNING};
use nova_ha::names::HostName;
use nova_ha::runtime_info::{Args, Report, last, publish};
use nova_ha::say;

/// Below the 30 s after which Consul kills a check that has no timeout of its own.
const DEADLINE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    core_dumps::forbid();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // As a check, a usage error is a warning: clap's own exit code 2 would be critical.
            let _nobody_reads = error.print();
            return ExitCode::from(if error.use_stderr() { WARNING } else { PASSING });
        }
    };
    nova_ha::logging::init_for_check();
    let report = if args.last { last_said(&args) } else { run(&args) };
    if !args.last && !args.dry_run {
        leave_word(&args, &report);
    }
    match (&report.document, args.json || args.dry_run) {
        (Some(document), true) => {
            say::error(&report.line);
            say::json_line(&serde_json::to_string(document).unwrap_or_default());
        }
        (Some(_), false) | (None, _) => say::line(&report.line),
    }
    ExitCode::from(report.exit)
}

/// Of root's last run.
fn last_said(args: &Args) -> Report {
    let name = args.host.clone().unwrap_or_else(Args::machine_name);
    match boot_id() {
        Ok(boot) => last::said(&args.run_dir, &name, &boot.to_string(), since_boot()),
        Err(error) => Report::fault(&name, &error.to_string()),
    }
}

/// For such a check; who is not root has nobody to leave it to.
fn leave_word(args: &Args, report: &Report) {
    let left = boot_id().map(|boot| last::leave(&args.run_dir, report, &boot.to_string(), since_boot()));
    if let Ok(Err(error)) = left {
        tracing::debug!(error = error.with_cause(), "no word of this run is left for a check");
    }
}

fn since_boot() -> Duration {
    SystemClock.boottime().saturating_duration_since(BootInstant::since_boot(Duration::ZERO))
}

fn run(args: &Args) -> Report {
    let name = args.host.clone().unwrap_or_else(Args::machine_name);
    let host: HostName = match name.parse() {
        Ok(host) => host,
        Err(error) => return Report::fault("nova-ha-runtime-info", &format!("--host: {error}")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Report::fault(&name, &format!("cannot start: {error}")),
    };
    let report = runtime.block_on(async {
        let consul = match Consul::from_env() {
            Ok(consul) => consul,
            Err(error) => return Report::fault(&name, &error.to_string()),
        };
        match tokio::time::timeout(DEADLINE, publish(&consul, args, &host, &SystemClock)).await {
            Ok(report) => report,
            Err(_) => Report::fault(&name, &format!("Consul took longer than {DEADLINE:?}")),
        }
    });
    runtime.shutdown_background();
    report
}
