//! One least-privilege policy per executable, and per Consul agent.

use std::collections::BTreeSet;

use super::File;
use super::consul_config::{names, peers};
use super::site::Site;
use super::template::{self, Fill, TemplateError};
use crate::names::HaNodeName;

const PROBE: &str = include_str!("../../consul-watches/acl/probe.hcl");
const MARK_FAILED: &str = include_str!("../../consul-watches/acl/mark-failed.hcl");
const RECOVER: &str = include_str!("../../consul-watches/acl/recover.hcl");
const RUNTIME_INFO: &str = include_str!("../../consul-watches/acl/runtime-info.hcl");
const BOOT_GUARD: &str = include_str!("../../consul-watches/acl/boot-guard.hcl");
const VIEWER: &str = include_str!("../../consul-watches/acl/viewer.hcl");
const ON_CALL: &str = include_str!("../../consul-watches/acl/on-call.hcl");
const OPERATOR: &str = include_str!("../../consul-watches/acl/operator.hcl");
const AGENT_HA_NODE: &str = include_str!("../../consul-watches/acl/agent-ha-node.hcl");
const AGENT_HOST: &str = include_str!("../../consul-watches/acl/agent-host.hcl");

/// All of them. A file's name without `.hcl` is the policy's name: `nova-ha-probe-ha1`. Consul takes no dot in it, so the dots of
/// a machine's name are underscores there: `nova-ha-runtime-info-compute1_example_org`.
///
/// They name every host, because ACL prefixes do not glob over the host in the middle of a key:
/// a host that is added later is invisible to the old policies, and they must be made anew.
pub fn policies(site: &Site) -> Result<Vec<File>, TemplateError> {
    let machines = [("@HOST@", names(&site.hosts)), ("@ANY_HA_NODE@", names(&site.ha_nodes))];
    let mut files = vec![
        fill("acl/operator.hcl", OPERATOR, "operator", &[])?,
        fill("acl/viewer.hcl", VIEWER, "viewer", &machines)?,
        fill("acl/on-call.hcl", ON_CALL, "on-call", &machines)?,
        fill("acl/mark-failed.hcl", MARK_FAILED, "mark-failed", &machines)?,
    ];
    for node in &site.ha_nodes {
        let me = &node.name;
        let fills = [
            ("@HA_NODE@", Fill::One(me.to_string())),
            ("@CONSUL_NODE@", Fill::One(node.consul_node.clone())),
            ("@HOST@", names(&site.hosts)),
            ("@PEER@", Fill::Each(peers(site, me).map(|node| node.name.to_string()).collect())),
            ("@PEER_BY_LOGIN@", Fill::Each(by_login(site, me))),
            ("@ANY_HA_NODE@", names(&site.ha_nodes)),
        ];
        files.push(fill("acl/probe.hcl", PROBE, &format!("probe-{me}"), &fills)?);
        files.push(fill("acl/recover.hcl", RECOVER, &format!("recover-{me}"), &fills)?);
        files.push(fill("acl/agent-ha-node.hcl", AGENT_HA_NODE, &format!("agent-{me}"), &fills)?);
    }
    for host in &site.hosts {
        let me = &host.name;
        let fills =
            [("@SELF@", Fill::One(me.to_string())), ("@CONSUL_NODE@", Fill::One(host.consul_node.clone()))];
        files.push(fill("acl/runtime-info.hcl", RUNTIME_INFO, &format!("runtime-info-{me}"), &fills)?);
        files.push(fill("acl/boot-guard.hcl", BOOT_GUARD, &format!("boot-guard-{me}"), &fills)?);
        files.push(fill("acl/agent-host.hcl", AGENT_HOST, &format!("agent-{me}"), &fills)?);
    }
    // One would take the other's place.
    let mut seen = BTreeSet::new();
    match files.iter().find(|file| !seen.insert(&file.name)) {
        Some(twice) => Err(TemplateError::OneName { name: twice.name.clone() }),
        None => Ok(files),
    }
}

/// Other HA nodes that are logged in to, because nobody bound their host key.
fn by_login(site: &Site, me: &HaNodeName) -> Vec<String> {
    peers(site, me).filter(|node| !node.is_known_by_key).map(|node| node.name.to_string()).collect()
}

fn fill(
    name: &'static str,
    text: &str,
    policy: &str,
    fills: &template::Fills<'_>,
) -> Result<File, TemplateError> {
    let policy = policy.replace('.', "_");
    Ok(File { name: format!("nova-ha-{policy}.hcl"), text: template::text(name, text, fills)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::site::Machine;
    use crate::policy::Policy;

    fn site(hosts: &[&str]) -> Site {
        let host = |name: &&str| Machine {
            name: name.parse().unwrap(),
            consul_node: (*name).to_owned(),
            is_known_by_key: false,
        };
        Site { hosts: hosts.iter().map(host).collect(), ha_nodes: Vec::new(), policy: Policy::default() }
    }

    #[test]
    fn the_name_of_each_policy_is_one_that_consul_takes() {
        let files = policies(&site(&["compute1.example.org", "compute_2"])).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.trim_end_matches(".hcl")).collect();
        assert!(names.contains(&"nova-ha-runtime-info-compute1_example_org"), "{names:?}");
        assert!(names.contains(&"nova-ha-runtime-info-compute_2"), "{names:?}");
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(names.iter().all(|name| name.chars().all(fits)), "{names:?}");
        let text = &files.iter().find(|file| file.name.contains("runtime-info-compute1")).unwrap().text;
        assert!(text.contains("ha_cluster/compute_nodes/compute1.example.org/"), "{text}");
        let twice = policies(&site(&["compute.2", "compute_2"]));
        assert!(matches!(twice, Err(TemplateError::OneName { .. })), "{twice:?}");
    }
}
