//! `nova-ha-probe`: see [`nova_ha::monitor::probe`].

use std::process::ExitCode;

use clap::Parser;
use nova_ha::clock::SystemClock;
use nova_ha::consul::Consul;
use nova_ha::core_dumps;
use nova_ha::exit::probe::{PASSING, WARNING};
use nova_ha::monitor::probe::{Args, Report, run};
use nova_ha::say;

fn main() -> ExitCode {
    core_dumps::forbid();
    // A panic anywhere is ours: exit 1 with a line, never Rust's 101, which Consul reads as critical.
    std::panic::set_hook(Box::new(|panic| {
        say::error(&panic.to_string());
        say::line("WARNING nova-ha-probe: cannot tell: it panicked, see its log on stderr");
        std::process::exit(i32::from(WARNING));
    }));
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => {
            say::line(error.to_string().trim_end());
            return ExitCode::from(PASSING);
        }
        Err(error) => {
            // clap's own exit code for this is 2: a dead host to Consul.
            say::ask(&error.to_string());
            let text = error.to_string();
            let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let what: Vec<&str> = what.split_whitespace().collect();
            return end(&Report::fault(None, &what.join(" ")), false);
        }
    };
    nova_ha::logging::init_for_check();
    end(&probe(&args), args.json)
}

fn probe(args: &Args) -> Report {
    let settings = match args.settings() {
        Ok(settings) => settings,
        Err(why) => return Report::fault(None, &why),
    };
    let name = settings.machine.name();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Report::fault(Some(name), &format!("cannot start: {error}")),
    };
    let report = runtime.block_on(async {
        match Consul::from_env() {
            Ok(consul) => run(&consul, &SystemClock, &settings).await,
            Err(error) => Report::fault_with_next(Some(name), &error.to_string(), Some(&error.hint())),
        }
    });
    // A look-up that hangs in the resolver must not hold up the end.
    runtime.shutdown_background();
    report
}

fn end(report: &Report, json: bool) -> ExitCode {
    match json {
        true => say::json_line(&report.text(json)),
        false => say::line(&report.text(json)),
    }
    ExitCode::from(report.exit)
}
