//! Opening an incident: the operations of the one transaction, for both who may (`mark-failed`
//! with votes or a person's order; the sweep for a `failed` that was written by hand).

use super::IncidentRecord;
use super::evidence::Evidence;
use super::opening::Opening;
use crate::keys;
use crate::names::IncidentId;
use crate::store::{Entry, Op};
use crate::tree::flag;
use crate::tree::record::bytes;

/// What was read before judging; the transaction happens only while all of it is still so.
#[derive(Debug, Clone, Copy)]
pub struct AsSeen<'a> {
    /// `status/failed`.
    pub failed: Option<&'a Entry>,
    /// `status/recovered`.
    pub recovered: Option<&'a Entry>,
    /// `config/maintenance`.
    pub maintenance: Option<&'a Entry>,
    /// `internal/epoch`.
    pub epoch: Option<&'a Entry>,
    /// `recovery_queue`, read **before** the votes: two markers cannot both be the last one
    /// under the limit.
    pub recovery_queue: Option<&'a Entry>,
    /// `cooldown`: one that began since was not judged on.
    pub cooldown: Option<&'a Entry>,
}

/// The operations that wake the HA nodes for an incident whose id may be in `recovery_queue` already: Consul drops a write
/// that changes nothing (no new index, no watch; seen on 1.8.7), so the key is deleted and made anew in the same transaction.
/// They compare nothing: a person's *hold* must not be refused because somebody was woken for another incident.
pub fn wake(id: &IncidentId) -> Vec<Op> {
    let queue = || keys::RECOVERY_QUEUE.to_owned();
    vec![Op::Delete(queue()), Op::Set(queue(), id.to_string().into_bytes())]
}

/// The transaction that opens an incident, all or nothing. That it is none already says `failed`, which the one before
/// raised.
pub fn transaction(opening: &Opening, seen: AsSeen<'_>) -> Vec<Op> {
    let mut ops = as_judged(&opening.incident, seen);
    ops.push(Op::replace(keys::incident(&opening.incident).opened(), bytes(opening), None));
    ops
}

/// The same where a configured HA node does not know openings: the incident itself.
pub fn transaction_within(record: &IncidentRecord, evidence: &Evidence, seen: AsSeen<'_>) -> Vec<Op> {
    let incident = keys::incident(&record.id);
    let mut ops = as_judged(&record.id, seen);
    ops.extend([
        Op::replace(incident.incident(), bytes(record), None),
        Op::replace(incident.evidence(), bytes(evidence), None),
    ]);
    ops
}

fn as_judged(id: &IncidentId, seen: AsSeen<'_>) -> Vec<Op> {
    let host = keys::host(id.host());
    vec![
        Op::replace(host.failed(), flag::text(true), seen.failed),
        Op::unchanged(host.recovered(), seen.recovered),
        Op::unchanged(host.maintenance(), seen.maintenance),
        Op::unchanged(host.epoch(), seen.epoch),
        Op::unchanged(keys::COOLDOWN, seen.cooldown),
        Op::replace(keys::RECOVERY_QUEUE, id.to_string(), seen.recovery_queue),
    ]
}
