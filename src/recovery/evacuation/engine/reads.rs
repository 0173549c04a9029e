//! What the engine asks Nova for all guests at once. Silence is *cannot tell*: a wait, never a list.

use super::guest::Guest;
use crate::nova::{Migration, Server, TaskState};
use crate::recovery::context::Context;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// How often Nova is asked for its migrations before its silence is said aloud.
pub(super) const MOST_TRIES: u32 = 10;

pub(super) async fn on_the_host(context: &Context<'_>) -> Result<Vec<Server>, Stop> {
    let host = &context.case.nova_host;
    context.cloud.servers_on(host).await.map_err(|error| {
        Stop::waiting(
            format!("Nova does not list the guests of {host}: {}", chain(&error)),
            "openstack server list --all --host",
        )
    })
}

pub(super) async fn migrations(context: &Context<'_>) -> Result<Vec<Migration>, Stop> {
    // Unknown is not failed: without an answer nothing is decided, and it is asked again.
    let mut tries = 0;
    loop {
        tries += 1;
        match context.cloud.evacuations_from(&context.case.nova_host).await {
            Ok(migrations) => return Ok(migrations),
            Err(error) if error.is_retryable() && tries < MOST_TRIES => {
                tracing::warn!(incident = %context.case.id, error = %chain(&error), "Nova does not list its migrations, trying again");
                context.lease.in_time()?;
                context.world.clock.sleep(context.case.policy.evacuation_poll).await;
            }
            Err(error) => {
                return Err(Stop::waiting(
                    format!("Nova does not list its migrations: {}", chain(&error)),
                    "openstack server migration list",
                ));
            }
        }
    }
}

/// Read where a guest is said to be migrating; what was going on at the dead host moves no more.
pub(super) async fn live_migrations(
    context: &Context<'_>,
    guests: &[&Guest],
) -> Result<Vec<Migration>, Stop> {
    let migrating = |guest: &&Guest| {
        !guest.is_done() && guest.known.as_ref().is_some_and(|s| s.task_state == Some(TaskState::Migrating))
    };
    if !guests.iter().any(migrating) {
        return Ok(Vec::new());
    }
    context.cloud.live_migrations_at(&context.case.nova_host).await.map_err(|error| {
        Stop::waiting(
            format!("Nova does not list its live migrations: {}", chain(&error)),
            "openstack server migration list",
        )
    })
}
