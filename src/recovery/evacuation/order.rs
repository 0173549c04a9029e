//! Who comes first: by urgency, and members of one (anti-)affinity group one at a time. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::choice::Urgency;

/// Where one guest stands in the queue.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Nova's server id.
    pub server: &'a str,
    /// How urgent it is.
    pub urgency: &'a Urgency,
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
    let urgency = urgencies(standings.iter().map(|guest| guest.urgency));
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

/// Each guest's urgency, in their order. Members of a restart group are as urgent as the most urgent of them: by a tenant's
/// word those of his project, and none more than the operators give it; by the operators' word all.
pub fn urgencies<'a>(guests: impl Iterator<Item = &'a Urgency> + Clone) -> Vec<u32> {
    let mut of_group: BTreeMap<&(String, String), u32> = BTreeMap::new();
    for (group, guest) in guests.clone().filter_map(|guest| Some((guest.group.as_ref()?, guest))) {
        let most = of_group.entry(group).or_default();
        *most = (*most).max(guest.own);
    }
    let lifted = |guest: &Urgency| {
        let most = guest.group.as_ref().and_then(|group| of_group.get(group)).copied();
        most.map_or(guest.own, |most| most.min(guest.most).max(guest.own))
    };
    let mut across: BTreeMap<&str, u32> = BTreeMap::new();
    for (group, guest) in guests.clone().filter_map(|guest| Some((guest.across.as_deref()?, guest))) {
        let most = across.entry(group).or_default();
        *most = (*most).max(lifted(guest));
    }
    let of_all = |guest: &Urgency| guest.across.as_deref().and_then(|group| across.get(group)).copied();
    guests.map(|guest| of_all(guest).unwrap_or_else(|| lifted(guest))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);

    struct Guest(&'static str, Urgency, Progress, u64);

    /// With what its flavor gives it.
    fn guest(id: &'static str, priority: &str, group: &str, progress: Progress) -> Guest {
        let own = priority.parse().unwrap_or(500);
        let group = (!group.is_empty()).then(|| ("project".to_owned(), group.to_owned()));
        Guest(id, Urgency { own, most: own, group, across: None }, progress, 1)
    }

    fn names(guests: &[Guest], groups: &[&[&'static str]]) -> Vec<&'static str> {
        let standings: Vec<Standing<'_>> = guests
            .iter()
            .map(|Guest(server, urgency, progress, since)| Standing {
                server,
                urgency,
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
    fn a_tenants_restart_group_lifts_his_own_guests_to_what_the_operators_give_them() {
        use Progress::Ready;
        let mut guests = [
            guest("web", "600", "", Ready),
            guest("db2", "500", "db", Ready),
            guest("db1", "900", "db", Ready),
            guest("db3", "500", "db", Ready),
            guest("other", "500", "db", Ready),
        ];
        // It was lowered by its owner, and so far its group lifts it again.
        guests[3].1.own = 100;
        guests[4].1 =
            Urgency { own: 100, group: Some(("another".into(), "db".into())), ..guests[4].1.clone() };
        let urgent = urgencies(guests.iter().map(|guest| &guest.1));
        assert_eq!(urgent, [600, 500, 900, 500, 100]);
    }

    #[test]
    fn a_restart_group_of_the_operators_is_as_urgent_as_its_most_urgent_member() {
        use Progress::Ready;
        let mut guests =
            [guest("web", "600", "", Ready), guest("db2", "100", "", Ready), guest("db1", "900", "", Ready)];
        guests[1].1.across = Some("db".into());
        guests[2].1.across = Some("db".into());
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
