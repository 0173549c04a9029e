//! What is left to do on the machines themselves once their roles are swapped in the tree. Pure.

use crate::names::{HaNodeName, HostName};
use crate::policy::Policy;

/// Why the repaired host has to be.
pub(super) const INSTALLED_ANEW: &str = "an HA node reads all BMC passwords";

/// Commands for one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Where.
    pub(super) place: String,
    /// What to type there.
    pub(super) commands: Vec<String>,
}

/// All of it, in order.
pub(super) fn left_to_do(
    host: &HostName,
    ha_node: &HaNodeName,
    others: &[String],
    policy: &Policy,
) -> Vec<Part> {
    let part = |place: String, commands: &[&str]| Part {
        place,
        commands: commands.iter().map(|command| (*command).to_owned()).collect(),
    };
    let config = "nova-ha generate consul-config";
    let mut parts = vec![
        part(
            "once, where ACLs are on".into(),
            &[
                "nova-ha generate acl --out acl",
                &format!("consul acl policy update, and a token of the new role for {ha_node} and {host}"),
            ],
        ),
        part(
            format!("on {ha_node}, a host now"),
            &[
                "systemctl disable --now nova-ha-recover.timer nova-ha-mark-failed.timer",
                &format!("{config} --host {ha_node} --out /etc/consul.d; consul reload"),
                "boot guard, mdadm.conf and fstab as on every host: docs/boot-guard.md",
                "rm /var/lib/nova-ha/takeovers/*   (what it took is its own now)",
                &format!("nova-ha-runtime-info --host {ha_node}"),
            ],
        ),
        part(
            format!("on {host}, an HA node now"),
            &[
                &format!("not installed anew since it failed? Do that first: {INSTALLED_ANEW}"),
                // Its nova-compute would wait for ever for a guard that asks for a host of this name.
                "rm /etc/systemd/system/*nova-compute.service.d/nova-ha.conf; systemctl daemon-reload",
                "systemctl disable --now nova-ha-guest-storage   (where its guests were on md)",
                "mdadm.conf: AUTO -all; fstab: no guests' filesystem. Nothing starts them there",
                &format!("{config} --ha-node {host} --out /etc/consul.d; consul reload"),
                "systemctl enable --now nova-ha-recover.timer nova-ha-mark-failed.timer",
            ],
        ),
    ];
    for other in others {
        parts.push(part(
            format!("on {other}"),
            &[&format!("{config} --ha-node {other} --out /etc/consul.d; consul reload")],
        ));
    }
    let is_named = |name: &str| policy.domains.iter().any(|domain| domain.hosts.iter().any(|h| h == name));
    let mut last = Vec::new();
    if is_named(host.as_str()) || is_named(ha_node.as_str()) {
        last.push(format!("nova-ha policy set domains ...   (they name {host} or {ha_node})"));
    }
    last.push("nova-ha status".to_owned());
    parts.push(Part { place: "then".into(), commands: last });
    parts
}

/// As a person reads it.
pub(super) fn text(ha_node: &HaNodeName, host: &HostName, parts: &[Part]) -> String {
    let mut text = format!("Until this is done nobody probes {ha_node}, and {host} has no vote:\n");
    for part in parts {
        text += &format!("  {}:\n", part.place);
        for command in &part.commands {
            text += &format!("    {command}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Domain;

    #[test]
    fn each_machine_is_told_what_its_new_role_needs() {
        let (host, node) = ("compute1".parse().unwrap(), "ha1".parse().unwrap());
        let parts = left_to_do(&host, &node, &["ha2".into()], &Policy::default());
        let said = text(&node, &host, &parts);
        for expected in [
            "generate consul-config --host ha1 ",
            "not installed anew since it failed? Do that first",
            "generate consul-config --ha-node compute1 ",
            "generate consul-config --ha-node ha2 ",
            "docs/boot-guard.md",
            "rm /etc/systemd/system/*nova-compute.service.d/nova-ha.conf",
            "generate acl",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(!said.contains("policy set domains") && said.trim_end().ends_with("nova-ha status"));
        assert!(said.lines().all(|line| line.len() <= 90), "{said}");
        let domain = Domain { name: "rack".into(), hosts: vec!["compute1".into()], limit: 1 };
        let policy = Policy { domains: vec![domain], ..Policy::default() };
        assert!(text(&node, &host, &left_to_do(&host, &node, &[], &policy)).contains("policy set domains"));
    }
}
