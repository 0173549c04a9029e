//! The target's nova-compute is up, under one name.

use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::nova::{ServiceState, ServiceStatus};
use crate::recovery::context::Context;
use crate::recovery::evacuation::treatment::Target;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// Looks at the target now. It is not enabled: a reserved spare stays out of general scheduling.
pub async fn run(context: &mut Context<'_>) -> Result<(), Stop> {
    let facts = match &context.plan.target {
        Target::Scheduler => vec!["Nova's scheduler chooses".to_owned()],
        Target::Host { host, reserved } => {
            let service = context.cloud.service(host).await.map_err(|error| {
                Stop::waiting(
                    format!("Nova does not say how target {host} is: {}", chain(&error)),
                    "openstack compute service list",
                )
            })?;
            match service {
                Some(s) if s.state == ServiceState::Up && !s.forced_down => {
                    if (s.status == ServiceStatus::Disabled) != *reserved {
                        return Err(Stop::waiting(
                            format!("target {host} was enabled or disabled since the plan was made"),
                            "nothing: the next run plans again",
                        ));
                    }
                    vec![format!("{host} is up, {:?}", s.status).to_lowercase()]
                }
                Some(s) => {
                    return Err(Stop::waiting(
                        format!("target {host} is {:?}, forced_down={}", s.state, s.forced_down)
                            .to_lowercase(),
                        format!("start nova-compute on {host}"),
                    ));
                }
                None => {
                    return Err(Stop::waiting(
                        format!("Nova knows no nova-compute on {host}"),
                        "openstack compute service list",
                    ));
                }
            }
        }
    };
    context.started(Step::ReadyTarget, facts.clone()).await?;
    context.finished(Step::ReadyTarget, Outcome::AlreadySo, facts).await
}
