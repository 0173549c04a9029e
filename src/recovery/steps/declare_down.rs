//! Nova: forced down first, then disabled with our reason. Not the other way round: since Train
//! disabling calls the host, and a dead host does not answer.

use crate::incident::DISABLED_REASON;
use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::nova::{ComputeService, NovaError, ServiceStatus};
use crate::recovery::context::{Context, Found};
use crate::recovery::proof::KnownOff;
use crate::recovery::reports::wait::{Ceased, have_ceased};
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// Declares the host down. Nova lets guests be rebuilt elsewhere from then on, so two proofs are demanded first: that
/// the machine is off, and that nothing reports to Nova under its name.
pub async fn run(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    let ceased = have_ceased(context, off).await?;
    let before = service(context).await?;
    match precheck(&before) {
        Found::AlreadySo(mut facts) => {
            facts.push(ceased.text().to_owned());
            context.started(Step::DeclareDown, facts.clone()).await?;
            context.finished(Step::DeclareDown, Outcome::AlreadySo, facts).await
        }
        Found::Ready(mut facts) => {
            // The state before is journaled: rejoin restores it.
            facts.push(ceased.text().to_owned());
            context.started(Step::DeclareDown, facts).await?;
            act(context, off, &ceased, &before).await?;
            let after = service(context).await?;
            match precheck(&after) {
                Found::AlreadySo(facts) => context.finished(Step::DeclareDown, Outcome::Changed, facts).await,
                Found::Ready(_) => Err(Stop::waiting(
                    format!("Nova still says {}", described(&after)),
                    format!("openstack compute service list --host {}", after.host),
                )),
            }
        }
    }
}

/// Once more, if somebody took it back since; the state before is journaled already.
pub async fn again(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    let now = service(context).await?;
    if now.forced_down {
        return Ok(());
    }
    tracing::warn!(incident = %context.case.id, "somebody took forced_down back; it is set again");
    let ceased = have_ceased(context, off).await?;
    act(context, off, &ceased, &now).await?;
    let after = service(context).await?;
    if after.forced_down {
        return Ok(());
    }
    Err(Stop::waiting(
        format!("Nova still says {}", described(&after)),
        format!("openstack compute service list --host {}", after.host),
    ))
}

fn precheck(service: &ComputeService) -> Found {
    let facts = vec![format!("Nova says {}", described(service))];
    if service.forced_down && service.status == ServiceStatus::Disabled {
        Found::AlreadySo(facts)
    } else {
        Found::Ready(facts)
    }
}

async fn act(
    context: &mut Context<'_>,
    off: &mut KnownOff<'_>,
    _: &Ceased,
    before: &ComputeService,
) -> Result<(), Stop> {
    if !before.forced_down {
        context.may_change(off).await?;
        let answer = context.cloud.set_forced_down(&before.id, true).await;
        changed(context, answer)?;
    }
    // A host that somebody had disabled keeps the reason they gave.
    if before.status == ServiceStatus::Enabled {
        context.may_change(off).await?;
        let reason = format!("{DISABLED_REASON}{}", context.case.id);
        let answer = context.cloud.disable(&before.id, &reason).await;
        changed(context, answer)?;
    }
    Ok(())
}

/// Reading back decides whether it is so; an error that may have had its effect is only logged. The time that Nova answers
/// is our own move of the record.
fn changed(context: &mut Context<'_>, answer: Result<ComputeService, NovaError>) -> Result<(), Stop> {
    let moved_at = match answer {
        Ok(service) => service.record_moved_at(),
        Err(error) if error.effect_may_have_happened() => {
            tracing::warn!(%error, "Nova did not answer clearly, reading back");
            None
        }
        Err(error) => {
            return Err(Stop::waiting(
                format!("Nova refuses: {}", chain(&error)),
                "look at Nova's policy and log",
            ));
        }
    };
    context.reports.changed_by_us(moved_at, context.world.clock.boottime());
    Ok(())
}

async fn service(context: &Context<'_>) -> Result<ComputeService, Stop> {
    let host = &context.case.nova_host;
    let found = context.cloud.service(host).await.map_err(|error| {
        Stop::waiting(
            format!("Nova does not say how {host} is: {}", chain(&error)),
            "openstack compute service list",
        )
    })?;
    found.ok_or_else(|| Stop::held(format!("Nova no longer knows a nova-compute on {host}")))
}

fn described(service: &ComputeService) -> String {
    format!(
        "{}: {:?}, {:?}, forced_down={}, reason {:?}",
        service.host,
        service.state,
        service.status,
        service.forced_down,
        service.disabled_reason.as_deref().unwrap_or("")
    )
}
