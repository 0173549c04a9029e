//! A person's own order: `nova-ha-mark-failed HOST --by NAME`.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::signs::{self, SignSeen, look_for_life};
use crate::evidence::{EvidenceError, Witness};
use crate::incident::record::Order;
use crate::judge::scene::{Scene, Subject};
use crate::names::{HostName, IncidentId};
use crate::ssh::Reach;
use crate::tree::foreign::Foreign;

/// Whether the person said that the host is to be fenced although it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondWord {
    /// `--although-it-answers`.
    Given,
    /// Not said.
    NotGiven,
}

/// An order, and what was seen of the hosts when it was given. Nobody can give one without that look.
#[derive(Debug, Clone)]
pub struct Asked {
    order: Order,
    second: SecondWord,
    signs: BTreeMap<HostName, Result<Vec<SignSeen>, String>>,
}

impl Asked {
    /// Looks at each host, now.
    pub async fn look_first(
        witness: &Witness<'_>,
        reach: &dyn Reach,
        hosts: &[HostName],
        (order, second): (Order, SecondWord),
    ) -> Self {
        let mut signs = BTreeMap::new();
        for host in hosts {
            let seen = look_for_life(witness, reach, host).await;
            // Whose keys cannot be read is told by the round itself.
            let seen = seen.map(|seen| seen.signs).map_err(|error: EvidenceError| error.to_string());
            signs.insert(host.clone(), seen);
        }
        Self { order, second, signs }
    }

    /// The order for one host, as it may be given.
    pub fn given(&self, host: &HostName) -> Given {
        let signs = match self.signs.get(host) {
            Some(Ok(signs)) => signs.as_slice(),
            Some(Err(why)) => return Given::NotLooked(why.clone()),
            None => return Given::NotLooked("nobody looked at it".into()),
        };
        if !signs.is_empty() && self.second == SecondWord::NotGiven {
            return Given::Answers(signs::text(signs));
        }
        let although: BTreeSet<_> = signs.iter().map(|seen| seen.sign).collect();
        Given::Order(Order { although, ..self.order.clone() })
    }

    /// Who gives it.
    pub fn by(&self) -> &str {
        &self.order.by
    }
}

/// What becomes of an order for one host.
pub enum Given {
    /// It is one.
    Order(Order),
    /// The host answers, and the person did not say *although*.
    Answers(String),
    /// Nobody could look.
    NotLooked(String),
}

/// What an order leads to.
pub enum Ordered<'a> {
    /// Open an incident on it.
    Open(&'a Subject),
    /// Add it to the incident that is open.
    AddTo(IncidentId),
    /// Not even a person may, this way.
    No(String),
}

/// An order stands in for votes and guards. It does not stand in for a host that nobody
/// configured, for maintenance (a person said so too, and can end it), or for a reset.
pub fn consider<'a>(scene: &'a Scene, host: &HostName, by: &str) -> Ordered<'a> {
    if !scene.hosts.contains(host) {
        return Ordered::No("nobody configured this host: nova-ha host list".into());
    }
    if by.trim().is_empty() {
        return Ordered::No("an order names who gives it: --by NAME".into());
    }
    let Some(subject) = scene.subjects.get(host) else {
        return Ordered::No("its keys cannot be read".into());
    };
    // So every maintenance that a recovery by order finds was set after the order, and wins.
    if let Some(why) = &subject.maintenance {
        return Ordered::No(format!("in maintenance ({why}): nova-ha maintenance off {host}"));
    }
    if let Some(open) = scene.open_incident(host) {
        return Ordered::AddTo(open.id.clone());
    }
    let ended = scene.incidents.iter().any(|i| i.id.host() == host && i.id.epoch() == subject.epoch);
    if subject.recovered && !ended {
        let flag = Foreign::Recovered { host: host.clone() };
        return Ordered::No(format!("{}; {}", flag.text(), flag.next()));
    }
    if ended {
        return Ordered::No(format!("its last incident has ended: nova-ha reset {host} --by NAME"));
    }
    Ordered::Open(subject)
}
