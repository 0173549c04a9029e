//! Hosts whose guests nobody could take over, because their filesystems are of a type that the policy does not name. Pure.

use super::cluster::Cluster;
use super::fault::Fault;
use crate::keys;
use crate::policy::Policy;
use crate::published_disks::of_the_guests;
use crate::tree::Snapshot;
use crate::tree::bound::Bound;
use crate::tree::published::Published;
use crate::tree::storage::{Storage, Strategy};

/// One for each filesystem of each host, where an HA node would mount it. What cannot be read is among the faults of its
/// machine.
pub(super) fn not_mounted(cluster: &Cluster, policy: &Policy) -> Vec<Fault> {
    let tree = &cluster.snapshot;
    let takes_arrays = cluster.ha_nodes.iter().any(|node| {
        Storage::of(tree, &keys::ha_node(node)).is_ok_and(|storage| storage.strategy == Strategy::Md)
    });
    if !takes_arrays {
        return Vec::new();
    }
    cluster.hosts.iter().flat_map(|host| of_host(tree, &keys::host(host), host.as_str(), policy)).collect()
}

fn of_host(tree: &Snapshot, keys: &keys::MachineKeys, host: &str, policy: &Policy) -> Vec<Fault> {
    let (Ok(disks), Ok(bound)) = (Published::of(tree, keys).disks(), tree.record::<Bound>(&keys.bound()))
    else {
        return Vec::new();
    };
    let bound = bound.map(|bound| bound.filesystems);
    let fault = |fs_type: &str| {
        match policy.mounts_of(fs_type, bound.as_ref()) {
        true => bound.is_none().then(|| Fault {
            what: format!(
                "host {host}: its guests' filesystem would be mounted by the host's own word only (first sight): {}",
                policy.why_not_mounted(fs_type)
            ),
            next: Some(format!("nova-ha host accept {host} --by NAME   (shows it first)")),
        }),
        false => Some(Fault {
            what: format!(
                "host {host}: no HA node with storage md would mount its guests' filesystem: {}",
                policy.why_not_mounted(fs_type)
            ),
            next: policy.how_to_mount(fs_type).map(|how| format!("{how}   (if it is to be mounted)")),
        }),
    }
    };
    let others = of_the_guests(&disks).into_iter().filter(|fs| !policy.mounts(&fs.fs_type));
    others.filter_map(|fs| fault(&fs.fs_type)).collect()
}
