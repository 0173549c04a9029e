//! The command line of `nova-ha`; its doc comments are the help text.

use clap::{Parser, Subcommand};

use super::confirm_off::ConfirmOffArgs;
use super::cooldown::CooldownCommand;
use super::generate::GenerateCommand;
use super::guest::GuestCommand;
use super::ha_node::HaNodeCommand;
use super::host::HostCommand;
use super::incident::IncidentCommand;
use super::local::LocalCommand;
use super::maintenance::MaintenanceCommand;
use super::policy::PolicyCommand;
use super::rejoin::RejoinArgs;
use super::reset::ResetArgs;
use super::{
    Answer, OperatorError, confirm_device, confirm_off, cooldown, generate, guest, ha_node, host, incident,
    init, local, maintenance, policy, rejoin, reset, status,
};
use crate::store::Store;

/// Shows and administers what nova-ha keeps in Consul.
///
/// Consul is found through CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN_FILE and the other standard
/// variables.
///
/// Exit codes: 0 done or nothing to do, 1 a fault or bad data (nothing was changed), 2 usage,
/// 3 something waits for a person.
#[derive(Debug, Parser)]
#[command(name = "nova-ha", version)]
pub struct Cli {
    /// Print JSON: field names are stable.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the sentinel that tells an empty tree from one that may not be read.
    Init,
    /// Hosts: those whose guests are recovered.
    #[command(subcommand)]
    Host(HostCommand),
    /// HA nodes: the spares that watch and recover.
    #[command(subcommand)]
    HaNode(HaNodeCommand),
    /// What Consul says, what the tree says, open incidents, and who is unprotected.
    Status,
    /// Incidents: one failure of one host each.
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Guests that a recovery left held: what became of each, by a person's word.
    #[command(subcommand)]
    Guest(GuestCommand),
    /// A machine that is worked on is not marked as failed.
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// The time after a storm in which nobody is marked: why, whom it is about, and its end.
    #[command(subcommand)]
    Cooldown(CooldownCommand),
    /// What an operator may decide.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Files for Consul, filled for the machines in the tree.
    #[command(subcommand)]
    Generate(GenerateCommand),
    /// What the root of this HA node lets the tree have run and read here: local.toml.
    #[command(subcommand)]
    Local(LocalCommand),
    /// Give a repaired host back to Nova, step by step, and reset it at the end.
    Rejoin(RejoinArgs),
    /// Declare a failed host good again: flags, HA node and votes, in one transaction.
    Reset(ResetArgs),
    /// Give your word that a host, or one silent device of it, is off, where no device can say so.
    ConfirmOff(ConfirmOffArgs),
}

/// Runs one command.
pub async fn run(command: Command, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        Command::Init => init::run(store).await,
        Command::Host(command) => host::run(command, store).await,
        Command::HaNode(command) => ha_node::run(command, store).await,
        Command::Status => status::run(store).await,
        Command::Incident(command) => incident::run(command, store).await,
        Command::Guest(command) => guest::run(command, store).await,
        Command::Maintenance(command) => maintenance::run(command, store).await,
        Command::Cooldown(command) => cooldown::run(command, store).await,
        Command::Policy(command) => policy::run(command, store).await,
        Command::Generate(command) => generate::run(command, store).await,
        Command::Local(command) => local::run(command, store).await,
        Command::Rejoin(args) => match args.swap_roles {
            true => rejoin::swap::run(args, store).await,
            false => rejoin::run(args, store).await,
        },
        Command::Reset(args) => reset::run(args, store).await,
        Command::ConfirmOff(args) => match args.device {
            Some(of) => confirm_device::run(&args, of, store).await,
            None => confirm_off::run(args, store).await,
        },
    }
}
