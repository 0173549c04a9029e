//! The cloud that commands ask: one for the whole tree.

use std::time::Duration;

use serde::Serialize;

use super::OperatorError;
use super::cluster::Cluster;
use super::error::tree;
use super::fault::Fault;
use super::machine_view::HostView;
use crate::chain::chain;
use crate::incident::DISABLED_REASON;
use crate::keys;
use crate::names::HostName;
use crate::nova::{CloudSettings, ComputeService, Environment, NovaClient, ServiceStatus, Timing};
use crate::tree::machine::OtherNames;

/// The cloud named by hand, else the one that all HA nodes name.
///
/// # Errors
/// The HA nodes name several, or its settings cannot be used here.
pub(super) fn cloud(
    by_hand: Option<&str>,
    cluster: &Cluster,
    doing: &str,
) -> Result<NovaClient, OperatorError> {
    let mut named = Vec::new();
    for node in &cluster.ha_nodes {
        named.extend(cluster.snapshot.text(&keys::ha_node(node).os_cloud()).map_err(tree(doing))?);
    }
    named.sort();
    named.dedup();
    let name = match (by_hand, named.as_slice()) {
        (Some(name), _) => Some(name),
        (None, []) => None,
        (None, [one]) => Some(one.as_str()),
        (None, several) => {
            let why = format!("the HA nodes use several clouds ({}): say which", several.join(", "));
            return Err(OperatorError::Input { option: "--os-cloud".into(), why });
        }
    };
    let settings =
        CloudSettings::load(name, &Environment::of_process()).map_err(|error| OperatorError::Cloud {
            doing: doing.to_owned(),
            why: chain(&error),
            next: "look at clouds.yaml here, or run it on an HA node".into(),
        })?;
    Ok(NovaClient::new(settings, Timing::default()))
}

/// A screen does not wait longer for Nova.
const SCREEN_DEADLINE: Duration = Duration::from_secs(5);

/// What Nova says of the hosts that we had disabled.
#[derive(Debug, Serialize)]
pub(super) struct NovaSays {
    /// Whether Nova was asked and answered.
    pub(super) asked: bool,
    /// Why not.
    pub(super) why_not: Option<String>,
    /// Hosts that it keeps disabled for an incident of ours.
    pub(super) disabled_by_us: Vec<DisabledByUs>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DisabledByUs {
    /// Nova's name of the host.
    pub(super) nova_host: String,
    /// The reason that Nova keeps.
    pub(super) reason: String,
    /// Whether it is forced down too.
    pub(super) forced_down: bool,
}

impl NovaSays {
    /// Asks, where there is a cloud that can be asked from here.
    pub(super) async fn read(cluster: &Cluster) -> Self {
        let not = |why: String| Self { asked: false, why_not: Some(why), disabled_by_us: Vec::new() };
        let cloud = match cloud(None, cluster, "ask Nova") {
            Ok(cloud) => cloud,
            Err(error) => return not(chain(&error)),
        };
        match tokio::time::timeout(SCREEN_DEADLINE, cloud.compute_services()).await {
            Err(_) => not(format!("Nova did not answer within {} s", SCREEN_DEADLINE.as_secs())),
            Ok(Err(error)) => not(chain(&error)),
            Ok(Ok(services)) => Self {
                asked: true,
                why_not: None,
                disabled_by_us: services.into_iter().filter_map(by_us).collect(),
            },
        }
    }

    /// Hosts that nothing in the tree calls failed any more, and that get no guests all the same: they were reset and not
    /// rejoined. What is flagged or open says so itself.
    pub(super) fn kept_out(&self, cluster: &Cluster, hosts: &[HostView]) -> Vec<Fault> {
        let mut kept = Vec::new();
        for service in &self.disabled_by_us {
            let named = |host: &&HostName| nova_name(cluster, host).as_deref() == Some(&service.nova_host);
            let Some(host) = cluster.hosts.iter().find(named) else { continue };
            let is_back = |view: &&HostView| {
                view.name == host.as_str()
                    && view.failed == Some(false)
                    && view.recovered == Some(false)
                    && view.incident.is_none()
            };
            if !hosts.iter().any(|view| is_back(&view)) {
                continue;
            }
            // Nova does not keep who forced it down, and the flags that would tell are gone.
            let (forced, ours) =
                if service.forced_down { (" and forced down", " --forced-down-is-ours") } else { ("", "") };
            kept.push(Fault {
                what: format!(
                    "host {host} was reset, and Nova keeps it disabled{forced} ({})",
                    service.reason
                ),
                next: Some(format!("nova-ha rejoin {host}{ours} --by NAME")),
            });
        }
        kept
    }
}

/// What Nova calls a host: as a person bound it, else by its own name. What it publishes of itself is not asked.
fn nova_name(cluster: &Cluster, host: &HostName) -> Option<String> {
    let keys = keys::host(host);
    let names: OtherNames = cluster.snapshot.record(&keys.names()).ok()?.unwrap_or_default();
    Some(names.nova_host.unwrap_or_else(|| host.to_string()))
}

fn by_us(service: ComputeService) -> Option<DisabledByUs> {
    let ComputeService { host, status, disabled_reason, forced_down, .. } = service;
    let reason = disabled_reason.filter(|reason| reason.starts_with(DISABLED_REASON))?;
    (status == ServiceStatus::Disabled).then(|| DisabledByUs {
        nova_host: host.to_string(),
        reason,
        forced_down,
    })
}
