//! How many hosts may fail at once, in the site and in each failure domain, and what is over that.

use std::collections::BTreeSet;

use super::guard::Guards;
use super::scene::Scene;
use crate::names::{HostName, IncidentId};
use crate::policy::Domain;
use crate::tree::cooldown::Cause;

/// More hosts at once than the site's limit, or a failure domain's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storm {
    /// A failure domain's name, or the whole site.
    pub domain: Option<String>,
    /// Hosts counted: suspects, and those with an incident of the last hour.
    pub hosts: BTreeSet<HostName>,
    /// The limit that they passed.
    pub limit: usize,
    /// Those among the incidents counted that nobody can read: they may be over long ago.
    pub unreadable: Vec<IncidentId>,
}

impl Storm {
    /// Whether it stops this host: the whole site's stops everybody, a domain's the hosts of that domain.
    pub fn holds(&self, scene: &Scene, host: &HostName) -> bool {
        match &self.domain {
            None => true,
            Some(name) => scene.policy.domains.iter().any(|domain| domain.name == *name && domain.has(host)),
        }
    }

    /// For people: one line.
    pub fn text(&self) -> String {
        let of = self.domain.as_ref().map_or_else(String::new, |d| format!(" in domain {d}"));
        let names: Vec<String> = self.hosts.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match self.hosts.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "storm guard: {} hosts{of} fail or failed within the hour ({}{more}), limit {}: nobody{} is marked",
            self.hosts.len(),
            names.join(", "),
            self.limit,
            if self.domain.is_some() { " there" } else { "" },
        );
        let unread: Vec<String> = self.unreadable.iter().map(ToString::to_string).collect();
        match unread.is_empty() {
            true => text,
            false => format!("{text}; counted as open, for nobody can read them: {}", unread.join(", ")),
        }
    }
}

/// Whether a cool-down is about this host: a storm's is about where it was, the whole site or its domains. Of a domain
/// that the policy no longer has, nobody can say who was in it: everybody rests.
pub(super) fn rests(scene: &Scene, cause: &Cause, host: &HostName) -> bool {
    match cause {
        Cause::SelfDoubt { .. } => false,
        Cause::LeaderLost => true,
        Cause::Storm { domains, .. } if domains.is_empty() => true,
        Cause::Storm { domains, .. } => domains.iter().any(|name| {
            scene
                .policy
                .domains
                .iter()
                .find(|domain| domain.name == *name)
                .is_none_or(|domain| domain.has(host))
        }),
    }
}

/// How many hosts a line names.
const NAMED: usize = 8;

/// The whole site, or one failure domain.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Site,
    Domain(&'a Domain),
}

impl Scope<'_> {
    fn has(self, host: &HostName) -> bool {
        match self {
            Scope::Site => true,
            Scope::Domain(domain) => domain.has(host),
        }
    }
}

/// Compares what the guards counted with the limits.
pub(super) fn apply(scene: &Scene, guards: &mut Guards) {
    let limits = guards.limits;
    weigh(scene, guards, Scope::Site, limits.by_all, limits.by_quorum);
    for domain in &scene.policy.domains {
        weigh(scene, guards, Scope::Domain(domain), domain.limit, domain.limit);
    }
}

/// One scope. Beyond `plain` one host alone needs the anchor and several need all votes, beyond `most` several
/// are a storm.
fn weigh(scene: &Scene, guards: &mut Guards, scope: Scope<'_>, most: usize, plain: usize) {
    let hosts: BTreeSet<HostName> =
        guards.suspects.union(&guards.incidents).filter(|host| scope.has(host)).cloned().collect();
    if hosts.len() <= plain {
        return;
    }
    guards.is_crowded = true;
    let failing = guards.suspects.iter().filter(|host| scope.has(host)).count();
    let at_work = scene
        .incidents
        .iter()
        .any(|i| i.open && guards.incidents.contains(i.id.host()) && scope.has(i.id.host()));
    let is_over = hosts.len() > most;
    let storm = Storm {
        domain: match scope {
            Scope::Site => None,
            Scope::Domain(domain) => Some(domain.name.clone()),
        },
        limit: most,
        unreadable: scene
            .incidents
            .iter()
            .filter(|incident| !incident.is_readable && scope.has(incident.id.host()))
            .map(|incident| incident.id.clone())
            .collect(),
        hosts,
    };
    match (failing, at_work) {
        // Nobody fails beyond the cases that are known.
        (0, _) => {}
        (1, false) => guards.alone.push(Storm { limit: plain, ..storm }),
        (_, _) if is_over => guards.storms.push(storm),
        (_, _) => guards.needs_all = true,
    }
}
