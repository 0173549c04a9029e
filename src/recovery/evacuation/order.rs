//! Who comes first: by urgency, and members of one (anti-)affinity group one at a time. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::choice::urgency;

/// Where one guest stands in the queue.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Nova's server id.
    pub server: &'a str,
    /// Its metadata.
    pub metadata: &'a BTreeMap<String, String>,
    /// How far it is.
    pub progress: Progress,
    /// Since that last changed.
    pub since: Duration,
}

/// How far a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not asked for yet, and may be now.
    Ready,
    /// Not asked for yet, and not to be now.
    Waits,
    /// Its evacuation is under way, or may be.
    InFlight,
    /// Accounted for.
    Done,
}

/// Indices of those that may be asked for now, the most urgent first. A less urgent guest starts when
/// each more urgent one is accounted for, or has stood still for `patience`: one guest that hangs must
/// not keep a whole host's waiting. `groups` are the members of each group of which Nova checks the
/// policy again on the target, where two that arrive at once fail each other.
pub fn order(standings: &[Standing<'_>], groups: &[BTreeSet<&str>], patience: Duration) -> Vec<usize> {
    let urgency = urgencies(standings.iter().map(|guest| guest.metadata));
    let open = |level: u32| {
        standings.iter().zip(&urgency).all(|(guest, other)| {
            *other <= level || guest.progress == Progress::Done || guest.since >= patience
        })
    };
    let mut levels: Vec<u32> = urgency.clone();
    levels.sort_unstable_by(|a, b| b.cmp(a));
    levels.dedup();
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    let groups_of = |server: &str| -> Vec<usize> {
        groups.iter().enumerate().filter(|(_, g)| g.contains(server)).map(|(number, _)| number).collect()
    };
    for guest in standings.iter().filter(|guest| guest.progress == Progress::InFlight) {
        taken.extend(groups_of(guest.server));
    }
    let mut order = Vec::new();
    for level in levels.into_iter().take_while(|level| open(*level)) {
        for (index, guest) in standings.iter().enumerate() {
            if urgency.get(index) != Some(&level) || guest.progress != Progress::Ready {
                continue;
            }
            let own = groups_of(guest.server);
            if own.iter().all(|group| !taken.contains(group)) {
                taken.extend(own);
                order.push(index);
            }
        }
    }
    order
}

/// Each guest's urgency; members of a restart group are as urgent as the most urgent of them.
/// By their metadata, in its order.
pub fn urgencies<'a>(guests: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Vec<u32> {
    let own: Vec<_> = guests.map(urgency).collect();
    let mut of_group: BTreeMap<&str, u32> = BTreeMap::new();
    for (priority, group, _) in &own {
        if let Some(group) = group {
            let most = of_group.entry(group).or_default();
            *most = (*most).max(*priority);
        }
    }
    own.iter()
        .map(|(priority, group, _)| group.and_then(|g| of_group.get(g)).copied().unwrap_or(*priority))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::evacuation::choice::{GROUP_KEY, PRIORITY_KEY};

    const PATIENCE: Duration = Duration::from_secs(120);

    struct Guest(&'static str, BTreeMap<String, String>, Progress, u64);

    fn guest(id: &'static str, priority: &str, group: &str, progress: Progress) -> Guest {
        let mut metadata = BTreeMap::new();
        for (key, value) in [(PRIORITY_KEY, priority), (GROUP_KEY, group)] {
            if !value.is_empty() {
                metadata.insert(key.to_owned(), value.to_owned());
            }
        }
        Guest(id, metadata, progress, 1)
    }

    fn names(guests: &[Guest], groups: &[&[&'static str]]) -> Vec<&'static str> {
        let standings: Vec<Standing<'_>> = guests
            .iter()
            .map(|Guest(server, metadata, progress, since)| Standing {
                server,
                metadata,
                progress: *progress,
                since: Duration::from_secs(*since),
            })
            .collect();
        let groups: Vec<BTreeSet<&str>> = groups.iter().map(|g| g.iter().copied().collect()).collect();
        order(&standings, &groups, PATIENCE).into_iter().map(|index| guests[index].0).collect()
    }

    #[test]
    fn without_marks_all_start_at_once_in_the_order_of_the_list() {
        use Progress::{Done, InFlight, Ready, Waits};
        let guests = [Ready, Waits, InFlight, Done, Ready]
            .map(|progress| guest(if progress == Ready { "r" } else { "x" }, "", "", progress));
        assert_eq!(names(&guests, &[]), ["r", "r"]);
    }

    #[test]
    fn the_less_urgent_wait_until_the_more_urgent_are_accounted_for() {
        use Progress::{Done, InFlight, Ready};
        let with = |first: Progress, since: u64| {
            let mut guests = vec![
                guest("low", "100", "", Ready),
                guest("usual", "", "", Ready),
                guest("db1", "900", "", first),
                guest("db2", "900", "", Ready),
            ];
            guests[2].3 = since;
            guests
        };
        assert_eq!(names(&with(Ready, 1), &[]), ["db1", "db2"]);
        assert_eq!(names(&with(InFlight, 1), &[]), ["db2"]);
        assert_eq!(names(&with(Done, 1), &[]), ["db2"]);
        let mut guests = with(Done, 1);
        guests[3].2 = Done;
        assert_eq!(names(&guests, &[]), ["usual"]);
        // One that hangs keeps nobody waiting for ever.
        let mut guests = with(InFlight, 120);
        guests[3].2 = Done;
        assert_eq!(names(&guests, &[]), ["usual"]);
        guests[1].2 = Done;
        assert_eq!(names(&guests, &[]), ["low"]);
    }

    #[test]
    fn a_restart_group_is_as_urgent_as_its_most_urgent_member() {
        use Progress::Ready;
        let guests = [
            guest("web", "600", "", Ready),
            guest("db2", "100", "db", Ready),
            guest("db1", "900", "db", Ready),
        ];
        assert_eq!(names(&guests, &[]), ["db2", "db1"]);
    }

    #[test]
    fn members_of_an_affinity_group_go_one_at_a_time() {
        use Progress::{Done, InFlight, Ready};
        let with = |first: Progress| {
            [
                guest("a1", "", "", first),
                guest("a2", "", "", Ready),
                guest("b", "", "", Ready),
                guest("c", "", "", Ready),
            ]
        };
        let groups: &[&[&'static str]] = &[&["a1", "a2"], &["a2", "c"]];
        assert_eq!(names(&with(Ready), groups), ["a1", "b", "c"]);
        assert_eq!(names(&with(InFlight), groups), ["b", "c"]);
        assert_eq!(names(&with(Done), groups), ["a2", "b"]);
    }
}
