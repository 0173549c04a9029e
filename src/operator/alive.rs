//! Whether a host lives, for the commands that give one back: by its Consul agent, and where it runs
//! none, by its own SSH host key.
//!
//! Observers say only that a host fails; that none of them does says nothing by itself, as their records
//! of a host that is well are as old as its last failure. So a host without an agent is asked itself,
//! from where the command runs. Anything but its own key is *no*.

use std::time::Duration;

use super::cluster::{Catalog, Cluster, ConsulSays};
use crate::evidence::Pins;
use crate::keys;
use crate::names::HostName;
use crate::ssh::{Answer, answers_with_pinned_key};
use crate::tree::TreeError;
use crate::tree::machine::SshAccess;

/// A handshake with a host that lives takes a fraction of it; as long as a recovery's own.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// What says that it lives, or why nothing does, each in one line.
pub(super) async fn of(
    cluster: &Cluster,
    host: &HostName,
    catalog: &Catalog,
) -> Result<Result<String, String>, TreeError> {
    let says = catalog.says(&cluster.snapshot, &keys::host(host), host.as_str())?;
    Ok(match says {
        ConsulSays::Passing => Ok("its serfHealth passes".to_owned()),
        ConsulSays::Critical => Err("its serfHealth is critical".to_owned()),
        ConsulSays::Absent => Err("its Consul agent is not in the catalog".to_owned()),
        ConsulSays::CannotTell => Err("Consul cannot tell whether its agent lives".to_owned()),
        ConsulSays::NoAgent => by_its_host_key(cluster, host).await?,
    })
}

async fn by_its_host_key(cluster: &Cluster, host: &HostName) -> Result<Result<String, String>, TreeError> {
    let keys = keys::host(host);
    let ssh = SshAccess::of(&cluster.snapshot, &keys)?;
    // Not those that were only seen: what is given back here by mistake runs its guests twice.
    let pins = Pins::of(&cluster.snapshot, &keys, &ssh)?;
    let address = ssh.address.unwrap_or_else(|| host.to_string());
    let at = format!("{address}:{}", ssh.port);
    let no = |why: String| Err(format!("it runs no Consul agent, and at {at} {why}"));
    Ok(match answers_with_pinned_key(&address, ssh.port, pins.known(), HANDSHAKE_DEADLINE).await {
        Answer::Yes => Ok(format!("it runs no Consul agent, and answers at {at} with its own SSH host key")),
        Answer::OtherKey => no("another SSH host key answers".to_owned()),
        Answer::NotPinned => no(format!(
            "an SSH server answers, and nobody can tell whether it is {host}: no host key is pinned (nova-ha host add \
             {host} --replace --ssh-host-key-file FILE)"
        )),
        Answer::No(why) => no(format!("it does not answer: {why}")),
        Answer::CannotTell(why) => no(format!("nobody can tell whether it answers: {why}")),
    })
}
