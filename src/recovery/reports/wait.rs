//! Asking Nova until the record of a host that is off has stood still.

use std::time::Duration;

use super::watch::{Reading, Word};
use crate::nova::{Cloud, NovaError, NovaHost, Reports};
use crate::recovery::context::Context;
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;
use crate::recovery::world::{World, chain};

/// Between two looks: far below any report interval, so that what a wait costs is the wait.
const PAUSE: Duration = Duration::from_secs(1);

/// That nothing reports to Nova under the host's name, seen by this run while the host was proved off. Only
/// [`have_ceased`] makes it. What lets guests be rebuilt elsewhere takes it as an argument.
#[derive(Debug)]
pub struct Ceased {
    ground: String,
}

impl Ceased {
    /// How it is known, for the journal.
    pub fn text(&self) -> &str {
        &self.ground
    }
}

/// One look, with our own clock around it; `None` where Nova knows no such service.
///
/// # Errors
/// Nova gives no usable answer.
pub async fn read(
    world: &World,
    cloud: &dyn Cloud,
    host: &NovaHost,
) -> Result<Option<(Reports, Reading)>, NovaError> {
    let asked = world.clock.boottime();
    let reports = cloud.reports(host).await?;
    let answered = world.clock.boottime();
    Ok(reports.map(|reports| {
        let reading = Reading::of(&reports, asked, answered);
        (reports, reading)
    }))
}

/// Waits until nothing has reported under the host's Nova name for an interval and a margin. A host that reported
/// right before its power went is waited for; one report more is looked at again; two are a living machine's.
///
/// # Errors
/// *Held* where something still reports, or where Nova no longer knows the host; *waiting* where Nova does not answer, or
/// does not say when the record moved.
pub async fn have_ceased(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<Ceased, Stop> {
    let host = &context.case.nova_host;
    loop {
        off.fresh().await?;
        context.lease.in_time()?;
        let read = read(context.world, context.cloud, host).await.map_err(|error| {
            Stop::waiting(
                format!("Nova does not say whether {host} still reports: {}", chain(&error)),
                "openstack compute service list",
            )
        })?;
        let (_, reading) =
            read.ok_or_else(|| Stop::held(format!("Nova no longer knows a nova-compute on {host}")))?;
        match context.reports.look(&reading) {
            Word::Ceased(ground) => return Ok(Ceased { ground: ground.text() }),
            Word::NotYet { left } => {
                tracing::info!(incident = %context.case.id, host = %context.case.id.host(), ?left, "waiting until nothing reports to Nova as {host}");
                context.world.clock.sleep(left.min(PAUSE)).await;
                // A person may hold the incident meanwhile.
                context.journal.confirm().await?;
            }
            Word::CannotTell => {
                return Err(Stop::waiting(
                    format!("Nova does not say when the nova-compute of {host} last reported"),
                    format!("openstack compute service list --host {host}   (it shows Updated At)"),
                ));
            }
            Word::StillReports { last } => {
                return Err(Stop::held(format!(
                    "{} is off, and a nova-compute still reports to Nova as {host} (the last time at {last}): \
                     another machine has its name, and Nova's guests of {host} may run there; find the machine \
                     (grep -r ^host /etc/nova/nova.conf), or name the right Nova host: nova-ha host add {} \
                     --replace --nova-host NAME",
                    context.case.id.host(),
                    context.case.id.host(),
                )));
            }
        }
    }
}
