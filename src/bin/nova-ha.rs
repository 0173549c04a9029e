//! `nova-ha`: what people do to the tree, and what it shows them. See [`nova_ha::operator`].

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use nova_ha::chain::chain;
use nova_ha::columns;
use nova_ha::consul::Consul;
use nova_ha::operator::{Answer, Cli, OperatorError, cli};
use nova_ha::{core_dumps, exit, logging, say};

fn main() -> ExitCode {
    core_dumps::forbid();
    logging::init();
    let Cli { json, command } = Cli::parse();
    let consul = match Consul::from_env() {
        Ok(consul) => consul,
        Err(error) => return fail(&error, Some("check the CONSUL_* variables")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, None),
    };
    match runtime.block_on(cli::run(command, &consul)) {
        Ok(answer) => print(&answer, json),
        Err(error) => {
            let hint = OperatorError::hint(&error);
            fail(&error, hint.as_deref())
        }
    }
}

fn print(answer: &Answer, json: bool) -> ExitCode {
    let said = match json {
        true => say::json(&format!("{:#}\n", answer.json)),
        false => say::result(&answer.text),
    };
    match said {
        Ok(()) => ExitCode::from(answer.code),
        // A reader that had enough (`| head`) is no fault of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(answer.code),
        Err(error) => fail(&error, None),
    }
}

/// The chain once, then what to type.
fn fail(error: &dyn Error, hint: Option<&str>) -> ExitCode {
    say::error(&columns::error_line(&format!("nova-ha: {}", chain(error))));
    if let Some(hint) = hint {
        say::error(&format!("next: {hint}"));
    }
    ExitCode::from(exit::FAILED)
}
