//! Whose a host's storage and guests are: pure, from what the tree shows and what this machine
//! remembers. What its disks say comes after it ([`super::disks`]).

use crate::incident::status::State;
use crate::names::{HostName, IncidentId};
use crate::tree::runtime_config::RuntimeConfig;

/// What waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The guests' arrays and filesystems.
    Storage,
    /// nova-compute.
    Compute,
}

/// What the tree shows of this host, read consistently.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// `ha_cluster/meta`: which tree this is.
    pub generation: String,
    /// `status/failed`, which must be there.
    pub failed: bool,
    /// The incident of this epoch, if there is one.
    pub incident: Option<(IncidentId, State)>,
    /// The incident after which `nova-ha rejoin` is giving it back, if it is.
    pub returning: Option<IncidentId>,
    /// What the host published of itself: its arrays are looked at before they are its own.
    pub published: RuntimeConfig,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This host.
    Mine,
    /// Nobody's guests are started here, and Nova must hear of nova-compute to settle what it evacuated.
    Returning(IncidentId),
    /// Another machine has them, or may.
    NotMine {
        /// Why, in one line.
        why: String,
        /// The operator's next command.
        next: String,
    },
}

/// Decides. `known` is the tree's generation as this machine saw it last, `None` at its first boot
/// under nova-ha.
pub fn owner(host: &HostName, what: What, seen: &Seen, known: Option<&str>) -> Owner {
    let not_mine = |why: String, next: String| Owner::NotMine { why, next };
    // A tree that was made anew has forgotten who was recovered.
    if let Some(known) = known.filter(|known| *known != seen.generation) {
        return not_mine(
            format!(
                "Consul's tree was made anew since this host knew it (generation {}, not {known})",
                seen.generation
            ),
            format!(
                "see that no other machine has its disks and guests, then here: nova-ha-boot-guard --override {host} --by NAME"
            ),
        );
    }
    match &seen.incident {
        Some((id, State::Active)) => {
            not_mine(format!("{id} is open: it is being recovered"), format!("nova-ha incident show {id}"))
        }
        Some((id, State::Held { reason })) => {
            not_mine(format!("{id} is held: {reason}"), format!("nova-ha incident show {id}"))
        }
        // Nova has it forced down until the last of its evacuations is settled.
        Some((id, State::Closed | State::Withdrawn | State::Abandoned))
            if what == What::Compute && seen.returning.as_ref() == Some(id) =>
        {
            Owner::Returning(id.clone())
        }
        Some((id, State::Closed)) if seen.failed => not_mine(
            format!("it was recovered ({id}): its guests run elsewhere"),
            format!("nova-ha rejoin {host} --by NAME"),
        ),
        Some((id, State::Withdrawn | State::Abandoned)) if seen.failed => not_mine(
            format!("{id} ended without a recovery, and failed is still True"),
            format!("nova-ha incident show {id}, then: nova-ha reset {host} --by NAME"),
        ),
        Some((_, State::Closed | State::Withdrawn | State::Abandoned)) | None if !seen.failed => Owner::Mine,
        Some(_) | None => not_mine("status/failed is True".into(), format!("nova-ha host show {host}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(failed: bool, state: Option<State>) -> Seen {
        let incident = state.map(|state| ("compute1@3".parse().unwrap(), state));
        let published = RuntimeConfig::default();
        Seen { generation: "g1".into(), failed, incident, returning: None, published }
    }

    fn of(seen: &Seen, known: Option<&str>) -> Owner {
        let host = "compute1".parse().unwrap();
        let [compute, storage] = [What::Compute, What::Storage].map(|what| owner(&host, what, seen, known));
        assert_eq!(compute, storage);
        storage
    }

    #[test]
    fn a_host_that_is_given_back_starts_nova_compute_and_no_disk() {
        let host = "compute1".parse().unwrap();
        let returning =
            |id: &str, state| Seen { returning: Some(id.parse().unwrap()), ..seen(true, Some(state)) };
        let given_back = returning("compute1@3", State::Closed);
        assert!(matches!(owner(&host, What::Compute, &given_back, None), Owner::Returning(_)));
        assert!(matches!(owner(&host, What::Storage, &given_back, None), Owner::NotMine { .. }));
        // Given back after an earlier one, or while somebody is at work.
        for other in [returning("compute1@2", State::Closed), returning("compute1@3", State::Active)] {
            assert!(matches!(of(&other, None), Owner::NotMine { .. }), "{other:?}");
        }
        assert!(matches!(owner(&host, What::Compute, &given_back, Some("g0")), Owner::NotMine { .. }));
    }

    #[test]
    fn it_is_mine_only_when_it_is_not_failed_and_nobody_is_at_work() {
        let held = || State::Held { reason: "a disk".into() };
        for state in [None, Some(State::Closed), Some(State::Withdrawn), Some(State::Abandoned)] {
            assert_eq!(of(&seen(false, state.clone()), Some("g1")), Owner::Mine, "{state:?}");
            assert_eq!(of(&seen(false, state.clone()), None), Owner::Mine, "{state:?}");
            assert!(matches!(of(&seen(true, state.clone()), None), Owner::NotMine { .. }), "{state:?}");
        }
        for state in [State::Active, held()] {
            for failed in [true, false] {
                let owner = of(&seen(failed, Some(state.clone())), None);
                assert!(matches!(owner, Owner::NotMine { .. }), "{state:?} {failed}");
            }
        }
    }

    #[test]
    fn another_tree_than_the_one_it_knew_is_never_believed() {
        let Owner::NotMine { why, next } = of(&seen(false, None), Some("g0")) else { panic!("mine") };
        assert!(why.contains("made anew") && why.contains("g0"), "{why}");
        assert!(next.contains("--override compute1"), "{next}");
    }

    #[test]
    fn each_refusal_names_the_command_that_leads_on() {
        let next = |state| match of(&seen(true, state), None) {
            Owner::NotMine { next, .. } => next,
            Owner::Mine | Owner::Returning(_) => panic!("mine"),
        };
        assert_eq!(next(Some(State::Closed)), "nova-ha rejoin compute1 --by NAME");
        assert_eq!(next(Some(State::Active)), "nova-ha incident show compute1@3");
        assert!(next(Some(State::Withdrawn)).contains("nova-ha reset compute1"));
        assert_eq!(next(None), "nova-ha host show compute1");
    }
}
