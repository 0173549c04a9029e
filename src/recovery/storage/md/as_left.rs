//! Members as the host left them: who writes to one while it is off lives, whatever its BMC says.
//!
//! What they say is in the journal before anything is done to them, so that whoever goes on with the incident can
//! compare. md writes a superblock when the array is first written to after a moment of rest, when that is over, and when
//! it gives a member up: a host that lives and writes is mostly seen so, though not always. A second fence, never the proof
//! of *off*.

use std::time::Duration;

use super::wanted::{Wanted, WantedArray, is_its_own};
use crate::disks::md_superblock::Superblock;
use crate::disks::owner_mark::{self, Owner};
use crate::incident::journal::MemberSeen;
use crate::recovery::arrays::Seen;
use crate::recovery::history::MembersSeen;

/// A host that lives and writes has shown itself within this time: between the first look at the members and the last one
/// before they are written to, and after some of them begin to refuse it. md writes a superblock 200 ms after an array that
/// is written to comes to rest (`safe_mode_delay`), when it is written to again, and when a member refuses a write.
pub(super) const SHOWS_ITSELF_WITHIN: Duration = Duration::from_secs(5);

/// What they say now. Those of an array that runs here, and those with an HA node's mark, were written by an HA node, and
/// are left out.
pub(super) fn members(wanted: &Wanted, seen: &Seen) -> MembersSeen {
    of_arrays(wanted, seen)
        .into_iter()
        .flat_map(|of| of.unmarked)
        .map(|of| (of.device.clone(), said(of)))
        .collect()
}

/// What somebody else wrote since, for people; `None`: nothing was. A member that is not seen both times says nothing.
///
/// Once the power was cut by hand, a member may have been forced: mdadm writes events then, and never when.
pub(super) fn written_since(
    wanted: &Wanted,
    seen: &Seen,
    before: &MembersSeen,
    cut_by_hand: bool,
) -> Option<String> {
    let (mut of_all, mut written) = (0, Vec::new());
    for array in of_arrays(wanted, seen) {
        for of in &array.unmarked {
            let Some(then) = before.get(&of.device) else { continue };
            of_all += 1;
            let now = said(of);
            let is_changed = then.updated != now.updated || then.events != now.events && !cut_by_hand;
            if is_changed && !array.is_behind_a_mark(now) {
                written.push((*then, now));
            }
        }
    }
    let (then, now) = written.iter().max_by_key(|(_, now)| now.events)?;
    Some(format!(
        "{} of {of_all} members were written after they were looked at (events {}, then {})",
        written.len(),
        then.events,
        now.events
    ))
}

/// The members of an array that does not run here.
struct OfArray<'a> {
    unmarked: Vec<&'a Superblock>,
    marked: Vec<&'a Superblock>,
}

impl OfArray<'_> {
    /// Whether an HA node's md may have written it: a member that was put back into an array that it ran keeps the name
    /// that it had.
    fn is_behind_a_mark(&self, now: MemberSeen) -> bool {
        let events = self.marked.iter().map(|of| of.events).max();
        let updated = self.marked.iter().map(|of| of.updated).max();
        Some(now.events) <= events && Some(now.updated) <= updated
    }
}

fn of_arrays<'a>(wanted: &Wanted, seen: &'a Seen) -> Vec<OfArray<'a>> {
    let runs_here = |array: &WantedArray| {
        seen.running.iter().any(|running| running.array.uuid.as_deref() == Some(array.uuid()))
    };
    let theirs = wanted.arrays.iter().zip(&seen.sights).filter(|(array, _)| !runs_here(array));
    theirs
        .map(|(array, sights)| {
            let is_marked = |of: &&Superblock| match owner_mark::read(&of.set_name) {
                Owner::Taken { by } => !is_its_own(array, &by),
                Owner::Plain { .. } => false,
            };
            let superblocks = sights.iter().flat_map(|sight| &sight.superblocks);
            let (marked, unmarked) = superblocks.filter(|of| of.array == array.uuid()).partition(is_marked);
            OfArray { unmarked, marked }
        })
        .collect()
}

fn said(of: &Superblock) -> MemberSeen {
    MemberSeen { events: of.events, updated: of.updated }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::md::State;
    use crate::recovery::storage::md::example::{host, running, sights, superblock};
    use crate::recovery::storage::md::wanted::wanted;

    /// Of four members the first are here, and one has been written so often since.
    fn seen(events: u64, seconds: u64, here: usize) -> Seen {
        let member = |slot| {
            let one = u64::from(slot == 1);
            Superblock { events: 7 + events * one, updated: 100 + seconds * one, ..superblock(slot) }
        };
        let found: Vec<_> = (0..4).map(|slot| (slot < here).then(|| member(slot))).collect();
        Seen { sights: vec![sights(&found)], ..Seen::default() }
    }

    #[test]
    fn a_member_that_was_written_is_seen_where_no_ha_node_has_written_it() {
        let wanted = wanted(&host(), "/instances".as_ref()).unwrap();
        let before = members(&wanted, &seen(0, 0, 4));
        let since = |now: &Seen| written_since(&wanted, now, &before, false);
        assert_eq!(before.len(), 4);
        assert_eq!(since(&seen(0, 0, 4)), None);
        assert_eq!(since(&seen(0, 0, 3)), None, "one that is away now was not written");
        let said = since(&seen(2, 1, 4)).unwrap();
        assert_eq!(said, "1 of 4 members were written after they were looked at (events 7, then 9)");
        assert!(since(&seen(0, 1, 4)).is_some(), "md takes an event back when an array is at rest again");
        let ours = Seen { running: vec![running(State::Running, Vec::new())], ..seen(2, 1, 4) };
        assert_eq!(since(&ours), None, "it runs here");
        let mut marked = seen(2, 1, 4);
        for superblock in marked.sights[0].iter_mut().flat_map(|sight| &mut sight.superblocks) {
            superblock.set_name = owner_mark::mark("ha1", &superblock.set_name);
        }
        assert_eq!(since(&marked), None, "an HA node has it");
    }

    #[test]
    fn one_that_was_put_back_into_an_array_that_an_ha_node_ran_is_not_the_hosts_doing() {
        let wanted = wanted(&host(), "/instances".as_ref()).unwrap();
        let before = members(&wanted, &seen(0, 0, 4));
        let with_marks_at = |events: u64, updated: u64| {
            let mut now = seen(5, 9, 4);
            for sight in now.sights[0].iter_mut().filter(|sight| sight.superblocks[0].events == 7) {
                let of = &mut sight.superblocks[0];
                (of.events, of.updated) = (events, updated);
                of.set_name = owner_mark::mark("ha1", &of.set_name);
            }
            written_since(&wanted, &now, &before, false)
        };
        assert_eq!(with_marks_at(12, 109), None);
        assert!(
            with_marks_at(11, 109).is_some() && with_marks_at(12, 108).is_some(),
            "it is newer than the marks"
        );
    }

    #[test]
    fn once_the_power_was_cut_by_hand_a_member_that_was_forced_is_not_the_hosts_doing() {
        let wanted = wanted(&host(), "/instances".as_ref()).unwrap();
        let before = members(&wanted, &seen(0, 0, 4));
        let since = |now: &Seen| written_since(&wanted, now, &before, true);
        assert_eq!(since(&seen(2, 0, 4)), None);
        assert!(since(&seen(2, 1, 4)).is_some());
    }

    #[test]
    fn the_mark_under_which_the_host_published_it_is_the_hosts() {
        let mut published = wanted(&host(), "/instances".as_ref()).unwrap();
        published.arrays[0].published.name = owner_mark::mark("ha9", "compute1:md1");
        let mut now = seen(0, 0, 4);
        for superblock in now.sights[0].iter_mut().flat_map(|sight| &mut sight.superblocks) {
            superblock.set_name = owner_mark::mark("ha9", "compute1:md1");
        }
        assert_eq!(members(&published, &now).len(), 4);
    }
}
