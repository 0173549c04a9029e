//! What fuzz targets call: one function for each kind of foreign words, which gives any bytes to the parsers of the product
//! that read such words, and asserts what must hold whatever they are.
//!
//! *Does not panic* is the least of it. What is understood must be written and read again as it was, what is not understood
//! is never *dead*, *off* or *nobody's*, and no sentence about it is longer than a person reads, whoever wrote the bytes.
//!
//! It is only in tests and in builds of cargo-fuzz (`cfg(fuzzing)`), never in what is shipped: docs/fuzzing.md. Start at
//! [`TARGETS`]; `replay` gives every seed and everything that fuzzing found to the same functions, on any toolchain.

mod cloud;
mod consul;
mod disks;
mod files;
mod holds;
mod power;
mod tree;

#[cfg(test)]
mod replay;

/// A target: its name, which is that of its binary and of its folders of seeds, and what it does with any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 34] = [
    ("clouds_yaml", cloud::clouds_yaml),
    ("consul_health", consul::health),
    ("consul_kv", consul::kv),
    ("consul_txn", consul::txn),
    ("disk_image", disks::image),
    ("disk_info", disks::disk_info),
    ("disk_names", disks::names),
    ("fence_agent", power::agent),
    ("fence_config", tree::fence_config),
    ("formats", tree::formats),
    ("identity", power::identity),
    ("ipmitool", power::ipmitool),
    ("journal", tree::journal),
    ("kdump", power::kdump),
    ("keystone", cloud::keystone),
    ("local_toml", files::local_toml),
    ("md_superblock", disks::superblock),
    ("mountinfo", disks::mountinfo),
    ("nova_conf", files::nova_conf),
    ("nova_migrations", cloud::migrations),
    ("nova_places", cloud::places),
    ("nova_refusals", cloud::refusals),
    ("nova_servers", cloud::servers),
    ("nova_services", cloud::services),
    ("policy", tree::policy),
    ("record", tree::record),
    ("redfish", power::redfish),
    ("runtime_info", tree::runtime_info),
    ("sg_persist", disks::sg_persist),
    ("ssh_key", files::ssh_key),
    ("storage_exec", disks::storage_exec),
    ("sysfs", disks::sysfs),
    ("tree_texts", tree::texts),
    ("watch_view", files::watch_view),
];

/// Runs the target of this name.
///
/// # Panics
/// Something does not hold that must, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(found.is_some(), "there is no target {name}");
    if let Some((_, target)) = found {
        target(data);
    }
}
