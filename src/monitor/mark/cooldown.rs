//! What calls for a cool-down, how it is written, and its end.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Clock;
use crate::evidence::Seen;
use crate::judge::guard::{Belief, Guards};
use crate::judge::scene::Cooling;
use crate::keys;
use crate::names::{HaNodeName, HostName};
use crate::store::{Op, Store, StoreError, TxnOutcome};
use crate::tree::cooldown::{Cause, Cooldown, MOST_HOSTS};
use crate::tree::record::{Record, bytes};

/// What the guards call for, if anything. A storm is one only if a quorum sees it.
pub fn cause(guards: &Guards, me: Option<&HaNodeName>) -> Option<Cause> {
    match (guards.belief, guards.over.storms.first()) {
        (Belief::Quorum, Some(first)) => {
            let hosts: BTreeSet<&HostName> =
                guards.over.storms.iter().flat_map(|storm| &storm.hosts).collect();
            let whole_site = guards.over.storms.iter().any(|storm| storm.domain.is_none());
            let domains = guards.over.storms.iter().filter_map(|storm| storm.domain.clone());
            Some(Cause::Storm {
                counted: hosts.len(),
                limit: first.limit,
                domains: if whole_site { Vec::new() } else { domains.collect() },
                hosts: hosts.into_iter().take(MOST_HOSTS).cloned().collect(),
            })
        }
        (Belief::Quorum | Belief::TooFew, _) => {
            me.filter(|me| guards.doubtful.contains(*me)).map(|me| Cause::SelfDoubt { observer: me.clone() })
        }
    }
}

/// What has to be written for a cause, if anything: the cool-down in force may cover it already, or stand in its way.
pub fn due(seen: &Seen, cause: Cause) -> Option<Cause> {
    match seen.scene.cooling.as_ref().filter(|cooling| cooling.is_on()) {
        None => Some(cause),
        Some(present) => match beside(present, &cause, seen.scene.policy.cooldown) {
            Beside::Covered | Beside::InTheWay => None,
            Beside::Replaces(with) => Some(with),
        },
    }
}

/// Writes a cool-down that is due, compared with what was read. Says whether it is there; where somebody else wrote
/// meanwhile it is not.
pub async fn begin(
    store: &dyn Store,
    clock: &dyn Clock,
    seen: &Seen,
    cause: Cause,
) -> Result<bool, StoreError> {
    let seconds = seen.scene.policy.cooldown.as_secs();
    let cooldown = Cooldown { version: Cooldown::VERSION, cause, began_at: clock.wall(), seconds };
    let op = Op::replace(keys::COOLDOWN, bytes(&cooldown), seen.tree.get(keys::COOLDOWN));
    Ok(matches!(store.transact(&[op]).await?, TxnOutcome::Committed(_)))
}

/// What a new cause is to a cool-down in force.
#[derive(Debug, PartialEq, Eq)]
enum Beside {
    /// It is in force for this cause as well.
    Covered,
    /// It is about others, whose rest must not be cut short by one observer's doubt.
    InTheWay,
    /// This is written in its place.
    Replaces(Cause),
}

/// One is written anew only when half of it has passed, so that a storm does not become a storm of writes. No cause
/// shortens the rest of anybody: domains that are over their limit one after the other rest together, counted anew, and
/// a storm beside an observer that doubted itself is the whole site's.
fn beside(present: &Cooling, cause: &Cause, length: Duration) -> Beside {
    let anew = |with: Cause| match present.left > length / 2 {
        true => Beside::Covered,
        false => Beside::Replaces(with),
    };
    match (&present.cause, cause) {
        (Cause::SelfDoubt { observer: resting }, Cause::SelfDoubt { observer }) => {
            match resting == observer {
                true => anew(cause.clone()),
                false => Beside::InTheWay,
            }
        }
        (Cause::SelfDoubt { .. }, Cause::Storm { .. } | Cause::LeaderLost) => {
            Beside::Replaces(everybody(cause))
        }
        (Cause::Storm { domains, .. }, Cause::SelfDoubt { .. }) if !domains.is_empty() => Beside::InTheWay,
        (Cause::Storm { .. } | Cause::LeaderLost, Cause::SelfDoubt { .. }) => Beside::Covered,
        (Cause::Storm { domains: resting, .. }, Cause::Storm { domains, .. }) if !resting.is_empty() => {
            match !domains.is_empty() && domains.iter().all(|domain| resting.contains(domain)) {
                true => anew(together(resting, cause)),
                false => Beside::Replaces(together(resting, cause)),
            }
        }
        // The whole site rests, and a domain of it with the rest: when that is over, the domain is looked at again.
        (Cause::Storm { .. } | Cause::LeaderLost, Cause::Storm { domains, .. }) if !domains.is_empty() => {
            Beside::Covered
        }
        (Cause::Storm { .. } | Cause::LeaderLost, Cause::Storm { .. } | Cause::LeaderLost) => {
            anew(cause.clone())
        }
    }
}

/// The same cause, of the whole site.
fn everybody(cause: &Cause) -> Cause {
    match cause.clone() {
        Cause::Storm { counted, limit, hosts, .. } => {
            Cause::Storm { counted, limit, domains: Vec::new(), hosts }
        }
        other @ (Cause::SelfDoubt { .. } | Cause::LeaderLost) => other,
    }
}

/// A storm in domains, and those that rest already; of the whole site it stays.
fn together(resting: &[String], cause: &Cause) -> Cause {
    match cause.clone() {
        Cause::Storm { counted, limit, mut domains, hosts } => {
            if !domains.is_empty() {
                domains.extend(
                    resting.iter().filter(|name| !domains.contains(name)).cloned().collect::<Vec<_>>(),
                );
            }
            Cause::Storm { counted, limit, domains, hosts }
        }
        other @ (Cause::SelfDoubt { .. } | Cause::LeaderLost) => other,
    }
}

/// Removes a cool-down that this machine has counted to its end, unless somebody wrote it anew.
pub async fn end(store: &dyn Store, seen: &Seen) -> Result<(), StoreError> {
    let over = seen.scene.cooling.as_ref().is_some_and(|c| !c.is_on());
    if let (true, Some(entry)) = (over, seen.tree.get(keys::COOLDOWN)) {
        store.transact(&[Op::DeleteCas(keys::COOLDOWN.into(), entry.modify_index)]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(name: &str) -> Cause {
        Cause::SelfDoubt { observer: name.parse().unwrap() }
    }

    fn storm(domains: &[&str]) -> Cause {
        let domains = domains.iter().map(|name| (*name).to_owned()).collect();
        Cause::Storm { counted: 3, limit: 1, domains, hosts: Vec::new() }
    }

    fn found(present: Cause, left: u64, cause: &Cause) -> Beside {
        beside(&Cooling { cause: present, left: Duration::from_secs(left) }, cause, Duration::from_secs(900))
    }

    #[test]
    fn no_cause_takes_the_place_of_a_stronger_one_or_of_another_observers() {
        for left in [1, 450, 900] {
            for all in [Cause::LeaderLost, storm(&[])] {
                assert_eq!(found(all, left, &doubt("ha1")), Beside::Covered, "{left}");
            }
            assert_eq!(found(doubt("ha1"), left, &doubt("ha2")), Beside::InTheWay, "{left}");
            assert_eq!(found(doubt("ha1"), left, &storm(&[])), Beside::Replaces(storm(&[])), "{left}");
            assert_eq!(found(storm(&["a"]), left, &doubt("ha1")), Beside::InTheWay, "{left}");
        }
        for cause in [Cause::LeaderLost, doubt("ha1"), storm(&[]), storm(&["a"])] {
            assert_eq!(found(cause.clone(), 451, &cause), Beside::Covered);
            assert_eq!(found(cause.clone(), 450, &cause), Beside::Replaces(cause), "half of it has passed");
        }
    }

    #[test]
    fn a_storm_in_one_domain_neither_ends_the_rest_of_another_nor_of_an_observer() {
        for left in [1, 450, 900] {
            assert_eq!(found(storm(&["a"]), left, &storm(&["b"])), Beside::Replaces(storm(&["b", "a"])));
            assert_eq!(found(storm(&["a"]), left, &storm(&[])), Beside::Replaces(storm(&[])));
            assert_eq!(found(storm(&[]), left, &storm(&["a"])), Beside::Covered, "it rests with all others");
            assert_eq!(found(doubt("ha1"), left, &storm(&["a"])), Beside::Replaces(storm(&[])));
        }
        assert_eq!(found(storm(&["a", "b"]), 451, &storm(&["b"])), Beside::Covered);
        assert_eq!(found(storm(&["a", "b"]), 450, &storm(&["b"])), Beside::Replaces(storm(&["b", "a"])));
    }
}
