//! How far an incident is, for whoever looks at the storage.

use crate::incident::step::Phase;
use crate::recovery::case::Case;
use crate::recovery::history::MembersSeen;

/// How far the incident is now: a case stays what it was when it was read.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Its phase.
    pub phase: Phase,
    /// What the members of the host's arrays said first.
    pub members_seen: &'a MembersSeen,
}

impl<'a> Progress<'a> {
    /// As it was when the case was read.
    pub fn of(case: &'a Case) -> Self {
        Self { phase: case.record.status.phase, members_seen: &case.disks.members_seen }
    }
}
