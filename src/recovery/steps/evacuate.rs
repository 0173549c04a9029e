//! Every guest, in parallel within limits; see [`crate::recovery::evacuation`].

use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::recovery::context::Context;
use crate::recovery::evacuation::engine;
use crate::recovery::proof::KnownOff;
use crate::recovery::reports::wait::have_ceased;
use crate::recovery::steps::{declare_down, take_storage};
use crate::recovery::stop::Stop;

/// Asks for every evacuation and waits for each.
pub async fn run(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    off.fresh().await?;
    take_storage::nobody_else_has_it(context).await?;
    let to = context.plan.target.to_string();
    let mut facts = vec![format!("{} guests planned, to {to}", context.plan.guests.len())];
    facts.append(&mut context.retried_on);
    context.started(Step::Evacuate, facts).await?;
    // Nova refuses every guest of a host that somebody enabled again meanwhile.
    declare_down::again(context, off).await?;
    take_storage::again(context, off).await?;
    let ceased = have_ceased(context, off).await?;
    let counts = engine::run(context, off, &ceased).await?;
    // Before *finished*: whoever leads the incident out of this hold comes back to here.
    if counts.holding > 0 {
        return Err(Stop::held(format!(
            "{} guests need a person: nova-ha incident show {}",
            counts.holding, context.case.id
        )));
    }
    let outcome = if counts.posted > 0 { Outcome::Changed } else { Outcome::AlreadySo };
    context.finished(Step::Evacuate, outcome, vec![counts.text()]).await
}
