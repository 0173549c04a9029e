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
mod power;
mod tree;

#[cfg(test)]
mod replay;

use crate::chain::chain;
use crate::say;

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

/// No sentence about foreign bytes is longer, with all its causes.
const MOST_CHARS: usize = 2000;

/// A secret that seeds have where a tool or a device may echo it.
const CANARY: &str = "Test123.";

/// The first byte says which of `many`, as `a`, `b`, ...; the rest is for it.
fn which(data: &[u8], many: usize) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(first.wrapping_sub(b'a')) % many, rest))
}

/// A sentence that a person may come to read.
fn sentence(text: &str) {
    let length = text.chars().count();
    assert!(length <= MOST_CHARS, "{length} characters: {}...", text.chars().take(300).collect::<String>());
    let shown = say::visible(text);
    assert_eq!(say::visible(&shown), shown, "what is shown is hidden again");
}

/// The same of an error with all its causes.
fn error(error: &dyn std::error::Error) {
    sentence(&chain(error));
}

/// The same of words that were made one line already, without the secret.
fn line(text: &str) {
    sentence(text);
    assert!(!text.chars().any(char::is_control), "a control character is in {text:?}");
    // What was cut ends in three points, and so may look like the last character of the secret.
    assert!(!text.trim_end_matches("...").contains(CANARY), "a secret is in {text:?}");
}

/// The same bytes by another reading, to compare with: whole, where the product passes over what it does not use. `None` where
/// that is no JSON (no text, a number out of range, too deep).
fn json(bytes: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()
}

/// What is kept of some bytes is not much more than they were.
fn bounded(kept: usize, of: &[u8]) {
    assert!(kept <= 64 * of.len() + 16 * 1024, "{kept} bytes of {}", of.len());
}
