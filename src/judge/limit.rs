//! How many hosts may fail at once, in the site and in each failure domain, and what is over that.

use std::collections::BTreeSet;

use super::scene::Scene;
use crate::names::{HostName, IncidentId};
use crate::policy::{Domain, StormLimits};
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

/// Whether a cool-down is about the whole site.
pub(super) fn is_of_the_site(cause: &Cause) -> bool {
    match cause {
        Cause::SelfDoubt { .. } => false,
        Cause::LeaderLost => true,
        Cause::Storm { domains, .. } => domains.is_empty(),
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

/// What is over a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Over {
    /// The site or the failure domains that are over their limit, where more than one host is at stake.
    pub storms: Vec<Storm>,
    /// The same where exactly one host fails now, and none has an incident of the last hour that is still open:
    /// that one may always be marked, given the anchor, so that small sites are protected too.
    pub alone: Vec<Storm>,
    /// Whether as many fail as only all HA nodes together may say, each beside another host that it sees healthy.
    pub needs_all: bool,
    /// Whether the site or a failure domain counts more than a quorum is enough for: the answer may hang on the anchor.
    pub is_crowded: bool,
}

impl Over {
    /// The storm that stops this host, if any does: one of the whole site before one of its domain.
    pub fn storm_of(&self, scene: &Scene, host: &HostName) -> Option<&Storm> {
        self.storms.iter().find(|storm| storm.holds(scene, host))
    }

    /// What it is over the limit of, alone.
    pub(super) fn alone_in(&self, scene: &Scene, host: &HostName) -> Option<&Storm> {
        self.alone.iter().find(|storm| storm.holds(scene, host))
    }
}

/// Compares suspects, and hosts with an incident of the last hour, with the limits.
pub(super) fn over(
    scene: &Scene,
    suspects: &BTreeSet<HostName>,
    incidents: &BTreeSet<HostName>,
    limits: StormLimits,
) -> Over {
    let site = weigh(scene, suspects, incidents, Scope::Site, limits);
    scene.policy.domains.iter().fold(site, |all, domain| {
        let limits = StormLimits { by_quorum: domain.limit, by_all: domain.limit };
        let of_domain = weigh(scene, suspects, incidents, Scope::Domain(domain), limits);
        Over {
            storms: [all.storms, of_domain.storms].concat(),
            alone: [all.alone, of_domain.alone].concat(),
            needs_all: all.needs_all || of_domain.needs_all,
            is_crowded: all.is_crowded || of_domain.is_crowded,
        }
    })
}

/// One scope. Beyond `by_quorum` one host alone needs the anchor and several need all votes, beyond `by_all` several
/// are a storm.
fn weigh(
    scene: &Scene,
    suspects: &BTreeSet<HostName>,
    incidents: &BTreeSet<HostName>,
    scope: Scope<'_>,
    limits: StormLimits,
) -> Over {
    let hosts: BTreeSet<HostName> =
        suspects.union(incidents).filter(|host| scope.has(host)).cloned().collect();
    let mut over = Over::default();
    if hosts.len() <= limits.by_quorum {
        return over;
    }
    over.is_crowded = true;
    let failing = suspects.iter().filter(|host| scope.has(host)).count();
    let is_of_now = |host: &HostName| incidents.contains(host) && scope.has(host);
    let at_work = scene.incidents.iter().any(|i| i.open && is_of_now(i.id.host()));
    let is_over = hosts.len() > limits.by_all;
    let storm = Storm {
        domain: match scope {
            Scope::Site => None,
            Scope::Domain(domain) => Some(domain.name.clone()),
        },
        limit: limits.by_all,
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
        (1, false) => over.alone.push(Storm { limit: limits.by_quorum, ..storm }),
        (_, _) if is_over => over.storms.push(storm),
        (_, _) => over.needs_all = true,
    }
    over
}
