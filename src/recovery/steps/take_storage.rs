//! Storage `shared`: every target sees the guests' disks already; there is nothing to take, and
//! nothing that two hosts could write at once but a host that was proved off.

use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::recovery::executor::Context;
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;

/// Confirms that there is nothing to take.
pub async fn run(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    let by = off.fresh().await?.by().to_owned();
    context.started(Step::TakeStorage, vec![format!("strategy {}", context.plan.storage)]).await?;
    context
        .finished(Step::TakeStorage, Outcome::AlreadySo, vec![format!("shared: nothing to take; off: {by}")])
        .await
}
