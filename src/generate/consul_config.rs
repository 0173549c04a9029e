//! What a machine's Consul agent runs for us: checks and watches.

use std::time::Duration;

use super::File;
use super::site::{Machine, Places, Site};
use super::template::{self, Fill, TemplateError};
use crate::names::{HaNodeName, HostName};
use crate::policy::Policy;

const HA_NODE: &str = include_str!("../../consul-watches/consul/ha-node.json");
const HOST: &str = include_str!("../../consul-watches/consul/host.json");

/// What Consul waits beyond a probe's own deadline before it kills it. A killed check reads
/// *critical*; a probe that met its deadline reads *warning* and has said why. Above the time that
/// writing the record takes (one Consul request, at most 1 s of it waiting).
const GRACE: Duration = Duration::from_secs(3);

/// The sweep looks at records until they are proven fresh, which takes two or three probe intervals and a few
/// requests; and once or twice more, an interval later, where what it saw may have been a moment.
const SWEEP_INTERVALS: u32 = 11;

/// For an HA node: a probe per host and per other HA node, the sweep, and the two watches.
///
/// The checks begin as *warning*, which is *cannot tell*: Consul's own default, *critical*, would
/// set off a judgement of every host at each start of the agent, and *passing* would say of a dead
/// host, for some seconds, that somebody saw it alive.
pub fn ha_node(site: &Site, me: &HaNodeName, places: &Places) -> Result<File, TemplateError> {
    let policy = &site.policy;
    let mut fills = common(places);
    fills.extend([
        ("@HA_NODE@", Fill::One(me.to_string())),
        ("@HOST@", names(&site.hosts)),
        ("@PEER@", Fill::Each(peers(site, me).map(|node| node.name.to_string()).collect())),
        ("@THRESHOLD@", Fill::One(policy.threshold.to_string())),
        ("@INTERVAL@", Fill::One(span(policy.probe_interval))),
        ("@DEADLINE@", Fill::One(span(policy.probe_deadline))),
        ("@TIMEOUT@", Fill::One(span(policy.probe_deadline + GRACE))),
        ("@SWEEP_TIMEOUT@", Fill::One(span(sweep_timeout(policy)))),
        (
            "@TCP@",
            Fill::Each(places.tcp.iter().flat_map(|check| ["--tcp".to_owned(), check.clone()]).collect()),
        ),
    ]);
    file(template::json("consul/ha-node.json", HA_NODE, &fills)?)
}

/// For a host: it publishes what it is.
pub fn host(me: &HostName, places: &Places) -> Result<File, TemplateError> {
    let mut fills = common(places);
    fills.push(("@HOST@", Fill::One(me.to_string())));
    // Who is not root cannot read what is to be published: root's timer does, and the check shows what it said.
    let last = places.consul_user.iter().map(|_| "--last".to_owned());
    fills.push(("@LAST@", Fill::Each(last.collect())));
    file(template::json("consul/host.json", HOST, &fills)?)
}

/// Planes that the rules name and no generated check looks at: such a rule can never be met.
pub fn unwatched_planes(policy: &Policy, places: &Places) -> Vec<String> {
    let looked_at = |plane: &str| {
        plane == "management"
            || places.tcp.iter().any(|check| match check.split_once('=') {
                Some((name, _)) => name == plane,
                None => format!("tcp-{}", check.rsplit(':').next().unwrap_or(check)) == plane,
            })
    };
    let mut planes: Vec<String> =
        policy.rules.iter().flat_map(|rule| rule.planes.clone()).filter(|plane| !looked_at(plane)).collect();
    planes.sort();
    planes.dedup();
    planes
}

fn common(places: &Places) -> Vec<(&'static str, Fill)> {
    let env = places.tokens.iter().map(|_| "/usr/bin/env".to_owned());
    vec![
        ("@ENV@", Fill::Each(env.collect())),
        ("@BIN@", Fill::One(places.bin.trim_end_matches('/').to_owned())),
        (
            "@TOKENS@",
            Fill::Each(places.tokens.iter().map(|folder| folder.trim_end_matches('/').to_owned()).collect()),
        ),
    ]
}

pub(super) fn names<N: ToString>(machines: &[Machine<N>]) -> Fill {
    Fill::Each(machines.iter().map(|machine| machine.name.to_string()).collect())
}

/// The other HA nodes.
pub(super) fn peers<'a>(site: &'a Site, me: &'a HaNodeName) -> impl Iterator<Item = &'a Machine<HaNodeName>> {
    site.ha_nodes.iter().filter(move |node| node.name != *me)
}

fn sweep_timeout(policy: &Policy) -> Duration {
    Duration::from_secs(15) + policy.probe_interval * SWEEP_INTERVALS
}

/// As Go's durations are written: `1500ms`, `10s`. Ours know days, Consul's do not.
fn span(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn file(json: serde_json::Value) -> Result<File, TemplateError> {
    Ok(File { name: "nova-ha.json".into(), text: format!("{json:#}\n") })
}
