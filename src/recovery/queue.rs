//! What is there to do for this HA node, by one look at the incidents.

use super::stop::Stop;
use super::world::World;
use crate::incident::record::Holder;
use crate::incident::status::State;
use crate::incident::{IncidentRecord, Phase, opening};
use crate::keys;
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::store::SessionId;
use crate::tree::incidents::IncidentNames;
use crate::tree::meta::Meta;
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// One incident that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The incident.
    pub record: IncidentRecord,
    /// Who holds it, by its lock's value.
    pub holder: Option<Holder>,
    /// The session that holds its lock now.
    pub locked_by: Option<SessionId>,
    /// Whether it is an incident already, or was only opened: such a one is looked at, and not worked on.
    pub is_taken_up: bool,
}

/// What this HA node may do with a pending incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Claim it.
    Claim,
    /// It is ours: go on.
    Resume,
    /// It was begun, and nobody holds it since a person led it out of a hold.
    TakeUp,
    /// Another HA node has it: adopt it, if that node is dead.
    Adopt(HaNodeName),
    /// Only a person leads on.
    Held(String),
}

impl Pending {
    /// What may be done with it.
    pub fn work(&self, me: &HaNodeName) -> Work {
        match (&self.record.status.state, &self.record.holder) {
            (State::Held { reason }, _) => Work::Held(reason.clone()),
            (_, None) if was_claimed(&self.record) => Work::TakeUp,
            (State::Active | State::Withdrawn | State::Abandoned | State::Closed, None) => Work::Claim,
            (_, Some(holder)) if holder == me => Work::Resume,
            (_, Some(holder)) => Work::Adopt(holder.clone()),
        }
    }

    /// The incident.
    pub fn id(&self) -> &IncidentId {
        &self.record.id
    }
}

/// What was found.
pub struct Queue {
    /// Incidents that have not ended, oldest first.
    pub pending: Vec<Pending>,
    /// Incidents whose record or lock cannot be understood: nobody works on them, and they hide no
    /// other.
    pub unreadable: Vec<(IncidentId, TreeError)>,
    /// The incident that this HA node is in use for.
    pub in_use_by: Option<IncidentId>,
    /// `status/in_use` of this HA node.
    pub in_use: bool,
}

fn tree(source: TreeError) -> Stop {
    Stop::Tree { source }
}

/// Looks. With a host, at its incidents only.
pub async fn look(world: &World, only: Option<&HostName>) -> Result<Queue, Stop> {
    let own = keys::ha_node(&world.me);
    let mut ids = IncidentNames::list(world.store.as_ref()).await.map_err(tree)?.ids;
    ids.retain(|id| only.is_none_or(|host| host == id.host()));
    let asked = only.map(|host| keys::host(host).general());
    let mut prefixes =
        vec![keys::META.to_owned(), own.status(), own.in_use_by(), own.general(), own.config() + "os_cloud"];
    prefixes.extend(asked.clone());
    prefixes.extend(ids.iter().flat_map(|id| {
        let incident = keys::incident(id);
        [incident.incident(), incident.opened(), incident.lock()]
    }));
    let snapshot = Snapshot::read(world.store.as_ref(), "the incidents", &prefixes).await.map_err(tree)?;
    Meta::of(&snapshot).map_err(tree)?;
    if snapshot.get(&own.general()).is_none() {
        return Err(tree(TreeError::Unknown { what: "HA node", name: world.me.to_string() }));
    }
    // A mistyped name is no host without work.
    if let (Some(host), Some(general)) = (only, &asked)
        && ids.is_empty()
        && snapshot.get(general).is_none()
    {
        return Err(tree(TreeError::Unknown { what: "host", name: host.to_string() }));
    }
    let mut pending = Vec::new();
    let mut unreadable = Vec::new();
    for id in ids {
        match pending_of(&snapshot, &id) {
            Ok(found) => pending.extend(found),
            Err(why) => unreadable.push((id, why)),
        }
    }
    pending.sort_by(|a, b| (a.record.opened_at, &a.record.id).cmp(&(b.record.opened_at, &b.record.id)));
    let in_use_by = snapshot.text(&own.in_use_by()).map_err(tree)?;
    let in_use_by = in_use_by
        .map(|text| {
            text.parse::<IncidentId>()
                .map_err(|why| tree(TreeError::Malformed { key: own.in_use_by(), why: why.to_string() }))
        })
        .transpose()?;
    Ok(Queue { pending, unreadable, in_use_by, in_use: snapshot.flag(&own.in_use()).map_err(tree)? })
}

/// One incident, unless it has ended.
fn pending_of(snapshot: &Snapshot, id: &IncidentId) -> Result<Option<Pending>, TreeError> {
    let keys = keys::incident(id);
    let Some(record) = opening::record_of(snapshot, id)?.filter(|r| !r.status.is_over()) else {
        return Ok(None);
    };
    let lock = snapshot.get(&keys.lock());
    let holder = lock.map(|entry| parse::<Holder>(&entry.key, &entry.value)).transpose()?;
    let locked_by = lock.and_then(|entry| entry.session.clone());
    Ok(Some(Pending { record, holder, locked_by, is_taken_up: snapshot.get(&keys.incident()).is_some() }))
}

/// Whether anything of an incident was ever claimed.
pub fn was_claimed(record: &IncidentRecord) -> bool {
    record.status.phase > Phase::Open
}
