//! Strategy `exec`: a site's own program is asked.

use std::path::Path;

use serde_json::Value;

use super::answer::Answer;
use super::contract::{Order, VERSION, Verb, answer};
use crate::keys;
use crate::recovery::case::Case;
use crate::recovery::world::{Said, World};
use crate::tree::storage::Strategy;

/// Asks this HA node's storage program; `None` where it has none. `off` says how the host was proved
/// off: [`Verb::Take`] is not asked without.
pub async fn ask(
    world: &World,
    case: &Case,
    verb: Verb,
    guests: &[String],
    off: Option<&str>,
) -> Option<Answer> {
    let Strategy::Exec { program, args } = &case.storage.strategy else { return None };
    let Some(mountpoint) = &case.storage.mountpoint else { return None };
    if verb == Verb::Take && off.is_none() {
        return Some(Answer::CannotTell { why: "the host is not proved off: not asked".into() });
    }
    let published = case.tree.get(&keys::host(case.id.host()).runtime_config());
    let runtime_info: Value =
        published.and_then(|entry| serde_json::from_slice(&entry.value).ok()).unwrap_or(Value::Null);
    let incident = case.id.to_string();
    let order = Order {
        version: VERSION,
        verb,
        incident: &incident,
        host: case.id.host().as_str(),
        nova_host: case.nova_host.as_str(),
        ha_node: world.me.as_str(),
        mountpoint,
        runtime_info: &runtime_info,
        guests: guests.iter().map(String::as_str).collect(),
        off,
    };
    let stdin = match serde_json::to_string(&order) {
        Ok(text) => text + "\n",
        Err(error) => return Some(Answer::CannotTell { why: error.to_string() }),
    };
    let deadline = match verb {
        Verb::Check => case.policy.storage_check_deadline,
        Verb::Take | Verb::Release => case.policy.storage_take_deadline,
    };
    let said = world.programs.run(program, args, stdin, deadline).await;
    let answer = understood(said, program, mountpoint);
    tracing::info!(incident, host = order.host, ?verb, program = %program.display(), answer = answer.text(), "storage program");
    Some(answer)
}

/// Gives it back: *ready* only when `release` and the `check` after it both say so.
pub async fn release(world: &World, case: &Case, guests: &[String]) -> Option<Answer> {
    let before = ask(world, case, Verb::Check, guests, None).await?;
    match before {
        // `ready` may be what a release that was killed half way left: it is asked to the end.
        Answer::Taken { .. } | Answer::Ready { .. } => {}
        unclear @ (Answer::Refused { .. }
        | Answer::Contradicted { .. }
        | Answer::HostLives { .. }
        | Answer::CannotTell { .. }) => {
            return Some(unclear);
        }
    }
    let said = ask(world, case, Verb::Release, guests, None).await?;
    let after = ask(world, case, Verb::Check, guests, None).await?;
    Some(match (said, after) {
        (Answer::Ready { .. }, Answer::Ready { detail }) => Answer::Ready { detail },
        (said, after) => Answer::CannotTell {
            why: format!("it was asked to release ({}), and then says {}", said.text(), after.text()),
        },
    })
}

fn understood(said: Result<Said, String>, program: &Path, mountpoint: &Path) -> Answer {
    match said {
        Ok(said) => answer(&said, mountpoint),
        Err(why) => Answer::CannotTell { why: format!("{}: {why}", program.display()) },
    }
}
