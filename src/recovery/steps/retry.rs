//! Before a retry asks for anything: fresh votes or a fresh order, as for a shot, and a new proof that the host is off.
//!
//! Nothing is shot in a retry. A host that is on again was powered on by somebody, who works on it: the retry ends.

use super::fence::prove_again;
use super::shot::may_be_shot;
use crate::recovery::context::Context;
use crate::recovery::foreign::nobody_else_recovers_it;
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;

/// The host is dead by votes of now, or by a person's order, and off by a reading of now.
///
/// # Errors
/// One of them is not so.
pub async fn begin<'a>(context: &mut Context<'a>) -> Result<KnownOff<'a>, Stop> {
    let ground = may_be_shot(context).await?;
    nobody_else_recovers_it(context.world, context.case).await?;
    let mut off = prove_again(context).await?;
    context.retried_on = vec![ground.fact(), format!("off: {}", off.fresh().await?.by())];
    Ok(off)
}
