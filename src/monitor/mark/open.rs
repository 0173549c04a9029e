//! From a decision to an open incident.

use jiff::{SignedDuration, Timestamp};

use crate::evidence::Seen;
use crate::incident::IncidentRecord;
use crate::incident::evidence::{CountedVote, Evidence, MAX_VOTES};
use crate::incident::open::{AsSeen, transaction, transaction_within};
use crate::incident::opening::{self, Opening, record_of};
use crate::incident::record::{Order, Origin};
use crate::incident::said::{Layout, OrderRecord, recover_alone_writes};
use crate::judge::guard::Guards;
use crate::judge::scene::{Anchor, Subject};
use crate::judge::verdict::Proof;
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::store::{Op, Refusal, Store, StoreError, TxnOutcome};
use crate::tree::record::{Record, bytes};

/// What an incident is opened on.
pub enum Ground<'a> {
    /// A quorum.
    Votes(&'a Proof),
    /// A person's own order.
    Order(&'a Order),
    /// `failed` was written by hand.
    Key,
}

/// What became of the transaction.
pub enum Opened {
    /// It is open.
    Yes(IncidentId),
    /// Something changed since it was read; look again.
    Moved(Vec<Refusal>),
}

/// Opens the incident of a host, if everything is still as it was judged.
pub async fn open(
    store: &dyn Store,
    seen: &Seen,
    guards: &Guards,
    host: &HostName,
    subject: &Subject,
    ground: Ground<'_>,
    opened_by: &str,
) -> Result<Opened, StoreError> {
    let id = IncidentId::new(host.clone(), subject.epoch);
    let now = seen.scene.now;
    let (origin, order) = match ground {
        Ground::Votes(_) => (Origin::Observers, None),
        Ground::Order(order) => (Origin::Person { by: order.by.clone() }, Some(order.clone())),
        Ground::Key => (Origin::Key, None),
    };
    let evidence = evidence(seen, guards, subject, &ground, opened_by);
    let opening = Opening {
        version: Opening::VERSION,
        incident: id.clone(),
        origin,
        opened_by: opened_by.to_owned(),
        opened_at: now,
        evidence,
    };
    let as_seen = as_seen(seen, host);
    let given = order.as_ref().map(|order| given(&id, order));
    let apart: Vec<Op> = transaction(&opening, as_seen).into_iter().chain(given.clone()).collect();
    let (order, given) = match Layout::of(&seen.formats) {
        Layout::WithinIncident => (order, None),
        Layout::ByWriter => (None, given),
    };
    let record = IncidentRecord { order, ..opening.record() };
    let within = transaction_within(&record, &opening.evidence, as_seen);
    let within: Vec<Op> = within.into_iter().chain(given).collect();
    let (first, second) = match recover_alone_writes(&seen.formats) {
        true => (apart, within),
        false => (within, apart),
    };
    let outcome = match store.transact(&first).await {
        // Policies are loaded before or after the builds that need them: a host is protected by either.
        Err(StoreError::Denied { .. }) => store.transact(&second).await?,
        outcome => outcome?,
    };
    Ok(match outcome {
        TxnOutcome::Committed(_) => Opened::Yes(id),
        TxnOutcome::Refused(why) => Opened::Moved(why),
    })
}

fn given(id: &IncidentId, order: &Order) -> Op {
    Op::Set(keys::incident(id).order(), bytes(&OrderRecord::new(id.clone(), order)))
}

fn as_seen<'a>(seen: &'a Seen, host: &HostName) -> AsSeen<'a> {
    let keys = keys::host(host);
    let get = |key: &str| seen.tree.get(key);
    AsSeen {
        failed: get(&keys.failed()),
        recovered: get(&keys.recovered()),
        maintenance: get(&keys.maintenance()),
        epoch: get(&keys.epoch()),
        recovery_queue: get(keys::RECOVERY_QUEUE),
        cooldown: get(keys::COOLDOWN),
    }
}

fn evidence(
    seen: &Seen,
    guards: &Guards,
    subject: &Subject,
    ground: &Ground<'_>,
    judged_by: &str,
) -> Evidence {
    let proof = match ground {
        Ground::Votes(proof) => Some(*proof),
        Ground::Order(_) | Ground::Key => None,
    };
    let votes: Vec<CountedVote> = subject
        .testimonies
        .values()
        .filter(|t| proof.is_some_and(|p| p.voters.contains(&t.record.observer)))
        .take(MAX_VOTES)
        .map(|t| CountedVote {
            observer: t.record.observer.clone(),
            fails: t.record.fails,
            sequence: t.record.sequence,
            modify_index: t.modify_index,
            planes: t.record.planes.clone(),
            why: t.record.why.chars().take(200).collect(),
        })
        .collect();
    let verdict = match ground {
        Ground::Votes(proof) => verdict_line(proof),
        Ground::Order(order) => format!("ordered by {}", order.by),
        Ground::Key => "status/failed was written by hand".into(),
    };
    Evidence {
        version: Evidence::VERSION,
        judged_by: judged_by.to_owned(),
        at: seen.scene.now,
        detected_at: detected_at(subject, proof, seen.scene.now),
        verdict,
        votes,
        quorum: proof.map_or(0, |p| p.quorum),
        serf: subject.serf.map_or("absent".into(), |serf| format!("{serf:?}").to_lowercase()),
        storm: format!(
            "{} of at most {} hosts suspect, or with an incident of the last hour",
            guards.counted(),
            guards.limits.by_all
        ),
        anchor: match &seen.scene.anchor {
            Anchor::Reached(what) => Some(format!("{what} reached")),
            Anchor::NotReached(what) => Some(format!("{what} not reached")),
            Anchor::NotAsked => None,
        },
    }
}

/// The verdict in one line.
pub fn verdict_line(proof: &Proof) -> String {
    let voters: Vec<&str> = proof.voters.iter().map(|v| v.as_str()).collect();
    format!(
        "{} of {} votes ({}) on {}, serfHealth {}",
        proof.voters.len(),
        proof.quorum,
        voters.join(", "),
        proof.planes.join("+"),
        proof.serf
    )
}

/// About when the first voter's first failed probe ended: fails at one interval each before its
/// last write. For people; judged on nothing.
fn detected_at(subject: &Subject, proof: Option<&Proof>, now: Timestamp) -> Timestamp {
    subject
        .testimonies
        .values()
        .filter(|t| proof.is_some_and(|p| p.voters.contains(&t.record.observer)))
        .filter_map(|t| {
            let intervals = i64::try_from(t.record.fails.saturating_sub(1)).ok()?;
            let length = i64::try_from(t.record.interval_ms).ok()?.checked_mul(intervals)?;
            t.record.at.checked_sub(SignedDuration::from_millis(length)).ok()
        })
        .min()
        .map_or(now, |at| at.min(now))
}

/// Adds a person's order to an incident that is open. It takes the place of an earlier one: that one's time
/// may be over, or something answers that its giver did not know of.
pub async fn add_order(
    store: &dyn Store,
    seen: &Seen,
    id: &IncidentId,
    order: &Order,
) -> Result<Option<String>, AddOrderError> {
    let Some(mut record) = record_of(&seen.tree, id).map_err(|source| AddOrderError::Read { source })? else {
        return Ok(Some("its incident is gone".into()));
    };
    let apart = vec![opening::unchanged(&seen.tree, id), given(id, order)];
    let write = match Layout::of(&seen.formats) {
        Layout::WithinIncident => {
            // What was begun on the earlier one stays begun on it.
            let used = record.order.as_ref().is_some_and(|before| before.used);
            record.order = Some(Order { used, ..order.clone() });
            let key = keys::incident(id).incident();
            let entry = seen.tree.get(&key);
            vec![Op::replace(key, bytes(&record), entry)]
        }
        Layout::ByWriter => apart.clone(),
    };
    let maintenance = keys::host(id.host()).maintenance();
    let with = |mut ops: Vec<Op>| {
        ops.extend([Op::unchanged(maintenance.clone(), seen.tree.get(&maintenance))]);
        ops.extend(crate::incident::open::wake(id));
        ops
    };
    let outcome = match store.transact(&with(write)).await {
        // The policies of people are loaded already: apart it counts on each HA node that reads it there.
        Err(StoreError::Denied { .. }) => store.transact(&with(apart)).await,
        outcome => outcome,
    };
    match outcome.map_err(|source| AddOrderError::Write { source })? {
        TxnOutcome::Committed(_) => Ok(None),
        TxnOutcome::Refused(_) => Ok(Some("the incident moved on meanwhile, say it again".into())),
    }
}

/// Why an order could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddOrderError {
    /// The incident cannot be read.
    #[error("cannot read the incident")]
    Read {
        /// The cause.
        source: crate::tree::TreeError,
    },
    /// Consul did not take it.
    #[error("cannot write the order")]
    Write {
        /// The cause.
        source: StoreError,
    },
}
