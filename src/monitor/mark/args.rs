//! The command line of `nova-ha-mark-failed`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::confirm::person;
use crate::incident::record::Order;
use crate::run_dir;

/// Judges whether hosts are dead by the votes of all HA nodes, and opens an incident for each.
///
/// Run by a Consul `checks` watch (its JSON on stdin is only a hint), by a periodic sweep, or by
/// hand. Prints one line per host, also for *no, because*. It can power nothing off.
///
/// Consul is found through CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN_FILE and the other standard variables.
///
/// Exit codes: 0 judged; 1 could not judge (what was marked before is printed); 3 judged, and something needs a
/// person (with --sweep: 1, which Consul shows as a warning, and 2, critical, where an incident has waited for a person
/// for longer than the policy's attention_after).
#[derive(Debug, Parser)]
#[command(name = "nova-ha-mark-failed", version)]
pub struct Args {
    /// Hosts to judge; none means all on which an observer reports.
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    /// A person's own order: the hosts are marked without votes, and the order stands in for them
    /// right before the shot too, for a limited time. It is recorded.
    #[arg(long, value_name = "NAME", requires = "hosts", conflicts_with = "sweep", value_parser = person)]
    pub by: Option<String>,
    /// Confirms an order without a terminal: the host's name once more (repeat it for each host).
    #[arg(long, value_name = "HOST", requires = "by")]
    pub yes: Vec<String>,
    /// How long an order counts, by the boot clock since an HA node first saw it and by wall clock (at
    /// most 24h).
    #[arg(long, default_value = "15m", value_name = "TIME", requires = "by", value_parser = ttl)]
    pub ttl: Duration,
    /// Gives an order for a host of which something says that it lives; without this word such an order
    /// is refused, and says what answers.
    #[arg(long, requires = "by")]
    pub although_it_answers: bool,
    /// Look at every host: say what is unprotected, and open incidents for a `failed` that was
    /// written by hand.
    #[arg(long, conflicts_with = "hosts")]
    pub sweep: bool,
    /// This HA node's name in the tree; by default the machine's host name.
    #[arg(long, env = "NOVA_HA_NODE", value_name = "NAME")]
    pub ha_node: Option<String>,
    /// Where marks of this boot lie.
    #[arg(long, env = "NOVA_HA_RUN_DIR", default_value_os_t = run_dir::of_the_monitor(), value_name = "FOLDER", hide = true)]
    pub run_dir: PathBuf,
    /// JSON instead of lines.
    #[arg(long)]
    pub json: bool,
}

fn ttl(text: &str) -> Result<Duration, &'static str> {
    let signed: jiff::SignedDuration = text.parse().map_err(|_| "it is no duration, like 15m")?;
    match Duration::try_from(signed) {
        Ok(ttl) if (Duration::from_secs(1)..=Order::MAX_TTL).contains(&ttl) => Ok(ttl),
        Ok(_) | Err(_) => Err("1s to 24h are allowed"),
    }
}
