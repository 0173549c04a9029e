//! Every key of the product, by the name of the function of `src/keys.rs` that makes it. For the suites that say
//! something of each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nova_ha::keys::{self, IncidentKeys, MachineKeys};

/// The keys that are no machine's and no incident's, by the names of their constants.
pub(crate) const OF_THE_SITE: [(&str, &str); 6] = [
    ("META", keys::META),
    ("INCIDENTS_SENTINEL", keys::INCIDENTS_SENTINEL),
    ("POLICY", keys::POLICY),
    ("COOLDOWN", keys::COOLDOWN),
    ("RECOVERY_QUEUE", keys::RECOVERY_QUEUE),
    ("MACHINES_ADDED", keys::MACHINES_ADDED),
];

/// Keys of one machine; each name is that of the function that makes it.
pub(crate) fn of_machine(keys: &MachineKeys) -> Vec<(&'static str, String)> {
    let observer = |name: &str| keys.observer(&name.parse().unwrap());
    let mut all = vec![
        ("general", keys.general()),
        ("failed", keys.failed()),
        ("recovered", keys.recovered()),
        ("in_use", keys.in_use()),
        ("in_use_by", keys.in_use_by()),
        ("number_fails", keys.number_fails()),
        ("boot_guard", keys.boot_guard()),
        ("returning", keys.returning()),
        ("runtime_config", keys.runtime_config()),
        ("formats", keys.formats()),
        ("epoch", keys.epoch()),
        ("observer", observer("ha1")),
        ("observer", observer("ha2")),
        ("fence", keys.fence()),
        ("maintenance", keys.maintenance()),
        ("names", keys.names()),
        ("bound", keys.bound()),
        ("agent", keys.agent()),
        ("os_cloud", keys.os_cloud()),
        ("nova_mountpoint", keys.nova_mountpoint()),
        ("storage", keys.storage()),
        ("storage_exec", keys.storage_exec()),
        ("nova_user", keys.nova_user()),
        ("targets", keys.targets()),
    ];
    let bmc = [
        "ip",
        "user",
        "password",
        "port",
        "driver",
        "cipher",
        "identity",
        "ca",
        "insecure",
        "pin",
        "confirmed_by",
        "shows",
    ];
    all.extend(bmc.map(|field| ("bmc_field", keys.bmc_field(field))));
    let ssh = ["user", "password", "private_key", "port", "address", "host_key"];
    all.extend(ssh.map(|field| ("ssh_field", keys.ssh_field(field))));
    all
}

/// Keys of one incident.
pub(crate) fn of_incident(keys: &IncidentKeys) -> Vec<(&'static str, String)> {
    let node = "ha1".parse().unwrap();
    vec![
        ("incident", keys.incident()),
        ("evidence", keys.evidence()),
        ("lock", keys.lock()),
        ("term", keys.term()),
        ("plan", keys.plan(1)),
        ("journal_entry", keys.journal_entry(1)),
        ("guest", keys.guest("GUEST")),
        ("preflight", keys.preflight(&node)),
        ("ask", keys.ask(&node)),
        ("gone", keys.gone(&node)),
        ("guests_seen", keys.guests_seen()),
        ("devices", keys.devices()),
        ("reset", keys.reset()),
        ("kdump", keys.kdump()),
        ("swap", keys.swap()),
        ("confirm_off_within", keys.confirm_off_within()),
        ("opened", keys.opened()),
        ("order", keys.order()),
        ("hold", keys.hold()),
        ("resume", keys.resume()),
        ("retry", keys.retry()),
        ("confirm_off", keys.confirm_off()),
        ("device_off", keys.device_off("1.2")),
        ("settled", keys.settled("GUEST")),
    ]
}
