//! Who is to be seen to: the ledger's guests and those that Nova has on the host.

use std::collections::BTreeMap;

use super::guest::Guest;
use super::reads::on_the_host;
use crate::clock::BootInstant;
use crate::incident::guest::GuestState;
use crate::nova::{Server, ServerId};
use crate::recovery::context::Context;
use crate::recovery::evacuation::ledger::{self, Line};
use crate::recovery::evacuation::states::ends_stopped;
use crate::recovery::stop::Stop;

/// Guests that Nova has on the host, and those of the ledger.
pub(super) async fn gather(context: &Context<'_>) -> Result<Vec<Guest>, Stop> {
    let mut lines = ledger::read(context).await?;
    let now = context.world.clock.boottime();
    let servers = on_the_host(context).await?;
    let reconsidered = |line| reconsidered(line, context);
    let mut guests: BTreeMap<ServerId, Guest> = BTreeMap::new();
    for server in servers {
        let line = lines.remove(server.id.as_str()).map(|mut line| {
            // Nothing was asked for it: it is to be left as it is now, too.
            if line.is_to_be_looked_at(&context.earlier) && line.entry.attempts == 0 {
                line.entry.ends_stopped |= ends_stopped(&server.vm_state, server.power_state);
            }
            reconsidered(line)
        });
        let id = server.id.clone();
        guests.insert(id.clone(), Guest::new(id, line, Some(server), now));
    }
    for (id, line) in lines {
        let id: ServerId = id.parse().map_err(|_| Stop::Journal {
            incident: context.case.id.to_string(),
            why: format!("the ledger has a guest {id:?}, which is no server id"),
        })?;
        guests.insert(id.clone(), Guest::new(id, Some(reconsidered(line)), None, now));
    }
    Ok(guests.into_values().collect())
}

/// Guests that Nova placed on the host after it was listed first (a build, an unshelving or a live
/// migration that was under way): they are nobody's but ours.
pub(super) fn newcomers(known: &[&ServerId], servers: Vec<Server>, now: BootInstant) -> Vec<Guest> {
    let new = servers.into_iter().filter(|server| !known.contains(&&server.id));
    new.map(|server| Guest::new(server.id.clone(), None, Some(server), now)).collect()
}

/// What is to be looked at again; everything else that is final stays so.
fn reconsidered(mut line: Line, context: &Context<'_>) -> Line {
    if line.is_to_be_looked_at(&context.earlier) {
        line.entry.state = GuestState::Posting;
    }
    line
}
