//! Members as the host left them: who writes to one while it is off lives, whatever its BMC says.
//!
//! What they say is in the journal before anything is done to them, so that whoever goes on with the incident can
//! compare. md writes a superblock when the array is first written to after a moment of rest, when that is over, and when
//! it gives a member up: a host that lives and writes is mostly seen so, though not always. A second fence, never the proof
//! of *off*.

use std::collections::BTreeMap;

use super::decide::is_its_own;
use super::wanted::{Wanted, WantedArray};
use crate::disks::md_superblock::Superblock;
use crate::disks::owner_mark::{self, Owner};
use crate::incident::journal::MemberSeen;
use crate::recovery::arrays::Seen;

/// What they say now, by their own UUIDs. Those of an array that runs here, and those with an HA node's mark, were written by
/// an HA node, and are left out.
pub(super) fn members(wanted: &Wanted, seen: &Seen) -> BTreeMap<String, MemberSeen> {
    let runs_here = |array: &WantedArray| {
        seen.running.iter().any(|running| running.array.uuid.as_deref() == Some(array.uuid()))
    };
    let mut found = BTreeMap::new();
    for (array, sights) in wanted.arrays.iter().zip(&seen.sights).filter(|(array, _)| !runs_here(array)) {
        let is_marked = |of: &Superblock| match owner_mark::read(&of.set_name) {
            Owner::Taken { by } => !is_its_own(array, &by),
            Owner::Plain { .. } => false,
        };
        let superblocks = sights.iter().flat_map(|sight| &sight.superblocks);
        for of in superblocks.filter(|of| of.array == array.uuid() && !is_marked(of)) {
            found.insert(of.device.clone(), MemberSeen { events: of.events, updated: of.updated });
        }
    }
    found
}

/// What was written since, for people; `None`: nothing was. A member that is not seen both times says nothing.
pub(super) fn written_since(
    before: &BTreeMap<String, MemberSeen>,
    now: &BTreeMap<String, MemberSeen>,
) -> Option<String> {
    let both = || now.iter().filter_map(|(member, now)| Some((before.get(member)?, now)));
    let changed: Vec<_> = both().filter(|(then, now)| then != now).collect();
    let (then, newest) = changed.iter().max_by_key(|(_, now)| now.events)?;
    Some(format!(
        "{} of {} members were written after they were looked at (events {}, then {})",
        changed.len(),
        both().count(),
        then.events,
        newest.events
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::md::{Array, State};
    use crate::disks::running::Running;
    use crate::recovery::storage::md::example::{UUID, host, sights, superblock};
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
        let since = |now: &Seen| written_since(&before, &members(&wanted, now));
        assert_eq!(before.len(), 4);
        assert_eq!(since(&seen(0, 0, 4)), None);
        assert_eq!(since(&seen(0, 0, 3)), None, "one that is away now was not written");
        let said = since(&seen(2, 1, 4)).unwrap();
        assert_eq!(said, "1 of 4 members were written after they were looked at (events 7, then 9)");
        assert!(since(&seen(0, 1, 4)).is_some(), "md takes an event back when an array is at rest again");
        let array = Array {
            device: "md127".into(),
            number: "9:127".into(),
            state: State::Running,
            uuid: Some(UUID.into()),
            name: None,
            level: "raid10".into(),
            raid_disks: 4,
            layout: Some(258),
            metadata: "1.2".into(),
            degraded: 0,
            reshaping: false,
            members: Vec::new(),
        };
        let ours = Seen { running: vec![Running { array, over: Ok(Vec::new()) }], ..seen(2, 1, 4) };
        assert_eq!(since(&ours), None, "it runs here");
        let mut marked = seen(2, 1, 4);
        for superblock in marked.sights[0].iter_mut().flat_map(|sight| &mut sight.superblocks) {
            superblock.set_name = owner_mark::mark("ha1", &superblock.set_name);
        }
        assert_eq!(since(&marked), None, "an HA node has it");
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
