//! `nova-ha-boot-guard`: see [`nova_ha::boot_guard`].

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use nova_ha::boot_guard::Args;
use nova_ha::boot_guard::answer::Answer;
use nova_ha::boot_guard::guard::look;
use nova_ha::boot_guard::machine::Machine;
use nova_ha::boot_guard::memory::Memory;
use nova_ha::boot_guard::sight::Disks;
use nova_ha::boot_guard::word;
use nova_ha::clock::{Clock, SystemClock, boot_id};
use nova_ha::consul::Consul;
use nova_ha::core_dumps;
use nova_ha::exit::{ATTENTION, FAILED, OK};
use nova_ha::names::HostName;
use nova_ha::say;
use nova_ha::store::Store;

/// One question takes no longer.
const DEADLINE: Duration = Duration::from_secs(15);
/// What has not changed is said again this often.
const REMINDER: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    core_dumps::forbid();
    let args = Args::parse();
    nova_ha::logging::init();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            say::error(&format!("nova-ha-boot-guard: {why}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: &Args) -> Result<u8, String> {
    let name = args.host.clone().unwrap_or_else(Args::machine_name);
    let host: HostName = name.parse().map_err(|error| format!("--host: {error}"))?;
    let boot_id = boot_id().map_err(|error| error.to_string())?.to_string();
    // Who asks once, or types a word, starts nothing.
    let is_gate = !args.once && !args.record && args.override_host.is_none();
    let machine = Machine {
        host,
        what: args.what,
        boot_id,
        memory: Memory::at(&args.state_dir),
        disks: Disks::at(args.roots.clone()),
        disks_come_until: Instant::now() + args.wait_for_disks,
        run_dir: is_gate.then(|| args.run_dir.clone()),
    };
    if let (Some(typed), Some(by)) = (&args.override_host, &args.by) {
        word::take(&machine, typed, by.clone(), args.reason.clone(), SystemClock.wall())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let code = match args.record {
        true => runtime.block_on(recorded(args, &machine)),
        false => runtime.block_on(guard(args, &machine)),
    };
    runtime.shutdown_background();
    Ok(code)
}

async fn guard(args: &Args, machine: &Machine) -> u8 {
    let mut said: Option<(Answer, Instant)> = None;
    loop {
        let answer = question(machine).await;
        let is_news = said.as_ref().is_none_or(|(last, at)| *last != answer || at.elapsed() >= REMINDER);
        if is_news {
            say::line(&format!("{}: {answer}", machine.host));
            said = Some((answer.clone(), Instant::now()));
        }
        match answer {
            Answer::Mine { .. } | Answer::Returning(_) | Answer::Overridden { .. } => return OK,
            Answer::NotMine { .. } | Answer::NotReady { .. } if args.once => return ATTENTION,
            Answer::CannotTell { .. } if args.once => return FAILED,
            Answer::NotMine { .. } | Answer::NotReady { .. } | Answer::CannotTell { .. } => {}
        }
        tokio::time::sleep(args.interval).await;
    }
}

/// The settings are read anew each time: a person may be putting them right.
async fn question(machine: &Machine) -> Answer {
    let consul = Consul::from_env();
    let asking = async {
        let why = consul.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let store = consul.as_ref().map(|consul| consul as &dyn Store).map_err(|_| why.as_str());
        let answer = look(machine, store).await;
        if let (Ok(store), Answer::Mine { .. }) = (store, &answer) {
            // Said in the log where it fails; it is tried again by the unit that only does this.
            let _said = word::catch_up(machine, store).await;
        }
        answer
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(answer) => answer,
        // Where Consul hangs, a person's word counts all the same.
        Err(_) => match word::of_this_boot(machine) {
            Some(word) => word::heeded(machine, None, word, None).await,
            None => Answer::CannotTell {
                why: format!("Consul took longer than {DEADLINE:?}"),
                next: "consul members".into(),
            },
        },
    }
}

/// A person's word that was given without Consul, once it answers: for as long as that takes.
async fn recorded(args: &Args, machine: &Machine) -> u8 {
    let mut said: Option<String> = None;
    loop {
        let why = match tokio::time::timeout(DEADLINE, catch_up(machine)).await {
            Ok(Ok(None)) => return OK,
            Ok(Ok(Some(by))) => {
                say::line(&format!("{}: the override by {by} is in the tree", machine.host));
                return OK;
            }
            Ok(Err(why)) => why,
            Err(_) => format!("Consul took longer than {DEADLINE:?}"),
        };
        if said.as_ref() != Some(&why) {
            say::line(&format!("{}: {why}", machine.host));
            said = Some(why);
        }
        tokio::time::sleep(args.interval).await;
    }
}

async fn catch_up(machine: &Machine) -> Result<Option<String>, String> {
    let consul = Consul::from_env().map_err(|error| error.to_string())?;
    word::catch_up(machine, &consul).await
}
