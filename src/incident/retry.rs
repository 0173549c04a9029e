//! Opening an incident again that closed with held guests: what it needs, and the one transaction.
//!
//! Nothing of what the incident had counts: neither its votes, nor its order, nor its proof that the host is off. What stays is
//! which HA node may have the host's storage, and which guests are accounted for.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::IncidentRecord;
use super::append::{CannotAppend, Writer, next};
use super::held_guests::{Unsettled, among};
use super::journal::{Event, JournalEntry};
use super::lead::{Lead, Word};
use super::open::wake;
use super::opening;
use super::record::Order;
use super::said::{Layout, OrderRecord};
use super::sentences;
use super::status::State;
use super::step::Step;
use crate::keys;
use crate::machine_id::MachineId;
use crate::names::{Epoch, HaNodeName, IncidentId};
use crate::store::{Entry, Op, Store};
use crate::tree::formats::{Formats, HeldBack, Kind};
use crate::tree::maintenance::Maintenance;
use crate::tree::record::{bytes, parse};
use crate::tree::storage::StrategyName;
use crate::tree::{Snapshot, TreeError};

/// Who opens it again.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// A person, with an order that stands in for the votes.
    Person {
        /// Who.
        by: &'a str,
    },
    /// An HA node, on a person's word, with that person's order.
    PersonsWord {
        /// Who.
        by: &'a str,
        /// The word, which goes with it.
        word: &'a Entry,
    },
    /// An HA node that saw its held guests at rest: on votes alone.
    HaNode {
        /// Which.
        node: &'a HaNodeName,
        /// Which machine that is.
        machine: &'a MachineId,
    },
}

impl Who<'_> {
    fn name(&self) -> &str {
        match self {
            Who::Person { by } | Who::PersonsWord { by, .. } => by,
            Who::HaNode { node, .. } => node.as_str(),
        }
    }
}

/// Why it is not opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// It has not closed.
    NotClosed {
        /// How it stands.
        how: &'static str,
    },
    /// The host was given back, or is about to be, or was removed.
    GivenBack {
        /// How that is seen.
        how: String,
    },
    /// A person works on it.
    Maintenance {
        /// Why.
        reason: String,
    },
    /// Another incident of it is open.
    Other {
        /// Which.
        id: IncidentId,
    },
    /// No guest of it is held and unsettled.
    NobodyHeld,
    /// This one is not.
    NotHeld {
        /// Which.
        server: String,
    },
    /// A configured HA node would not read it.
    HeldBack(HeldBack),
    /// The journal and this code disagree.
    Illegal(String),
}

impl No {
    /// Why.
    pub fn text(&self) -> String {
        match self {
            No::NotClosed { how } => format!("it is {how}, and only what has closed is opened again"),
            No::GivenBack { how } => format!("the host was given back: {how}"),
            No::Maintenance { reason } => format!("the host is in maintenance ({reason})"),
            No::Other { id } => format!("incident {id} of the same host is open"),
            No::NobodyHeld => "no guest of it is held, of which nobody said what became of it".into(),
            No::NotHeld { server } => format!("guest {server} is not held, or it is settled"),
            No::HeldBack(held) => held.to_string(),
            No::Illegal(why) => why.clone(),
        }
    }

    /// The operator's next command.
    pub fn next(&self, id: &IncidentId) -> String {
        match self {
            No::NotClosed { .. } | No::NobodyHeld | No::NotHeld { .. } | No::Illegal(_) => {
                format!("nova-ha incident show {id}")
            }
            No::GivenBack { .. } => format!(
                "what is left of it is a person's: nova-ha guest settle {id} UUID --recovered-on HOST|--stays|--lost --by NAME"
            ),
            No::Maintenance { .. } => format!("nova-ha maintenance off {}", id.host()),
            No::Other { id } => format!("nova-ha incident show {id}"),
            No::HeldBack(held) => held.hint(),
        }
    }
}

/// Everything that it is decided on, and compared in the transaction.
pub struct Scene {
    tree: Snapshot,
    record: IncidentRecord,
    formats: Formats,
    held: Vec<Unsettled>,
    nodes: BTreeSet<HaNodeName>,
    /// Those of them that are configured: of one that was removed keys may be left.
    configured: BTreeSet<HaNodeName>,
    others: Vec<IncidentRecord>,
    is_taken: bool,
}

impl Scene {
    /// Reads it; `None` where there is no such incident.
    ///
    /// # Errors
    /// Consul does not answer, or something of it cannot be understood.
    pub async fn read(store: &dyn Store, id: &IncidentId) -> Result<Option<Self>, TreeError> {
        let what = || format!("incident {id}");
        let listed = store.keys(keys::HA_NODES, false).await;
        let listed = listed.map_err(|source| TreeError::Read { what: what(), source })?;
        let nodes: BTreeSet<HaNodeName> = listed.iter().filter_map(|key| keys::ha_node_of(key)).collect();
        let is_configured = |node: &&HaNodeName| listed.contains(&keys::ha_node(node).general());
        let configured = nodes.iter().filter(is_configured).cloned().collect();
        let ids = crate::tree::incidents::IncidentNames::list(store).await?.ids;
        let others: Vec<IncidentId> =
            ids.into_iter().filter(|other| other.host() == id.host() && other != id).collect();
        let host = keys::host(id.host());
        let mut prefixes = vec![
            keys::META.to_owned(),
            keys::RECOVERY_QUEUE.to_owned(),
            keys::incident(id).all(),
            keys::incident(id).order(),
            keys::incident(id).words(),
            host.general(),
            host.status(),
            host.epoch(),
            host.returning(),
            host.maintenance(),
        ];
        prefixes.extend(nodes.iter().map(|node| keys::ha_node(node).in_use_by()));
        prefixes.extend(others.iter().flat_map(opening::keys_of));
        let tree = Snapshot::read(store, &what(), &prefixes).await?;
        let Some(record) = tree.record::<IncidentRecord>(&keys::incident(id).incident())? else {
            return Ok(None);
        };
        let mut records = Vec::new();
        for other in others {
            records.extend(opening::record_of(&tree, &other)?);
        }
        let (held, is_taken) = (among(&tree, id)?, is_taken(&tree, id)?);
        let formats = Formats::read(store).await?;
        Ok(Some(Self { tree, record, formats, held, nodes, configured, others: records, is_taken }))
    }

    /// The guests that are held and not settled.
    pub fn held(&self) -> &[Unsettled] {
        &self.held
    }

    /// The HA node that recovered it.
    pub fn holder(&self) -> Option<&HaNodeName> {
        self.record.holder.as_ref()
    }

    /// Whether there is such an HA node.
    pub fn is_configured(&self, node: &HaNodeName) -> bool {
        self.configured.contains(node)
    }

    /// The HA node that is used up by its storage.
    ///
    /// # Errors
    /// A key cannot be understood.
    pub fn used_up(&self) -> Result<Option<&HaNodeName>, TreeError> {
        for node in &self.nodes {
            let of_it = self.tree.text(&keys::ha_node(node).in_use_by())?;
            if of_it.as_deref() == Some(self.record.id.to_string().as_str()) {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// Whether it may be opened again.
    ///
    /// # Errors
    /// A key cannot be understood.
    pub fn allows(&self) -> Result<bool, TreeError> {
        Ok(self.refusal(&[])?.is_none())
    }

    fn refusal(&self, guests: &[String]) -> Result<Option<No>, TreeError> {
        let id = &self.record.id;
        let host = keys::host(id.host());
        let how = match &self.record.status.state {
            State::Closed => None,
            State::Active => Some("open"),
            State::Held { .. } => Some("held (nova-ha incident resume)"),
            State::Withdrawn => Some("withdrawn"),
            State::Abandoned => Some("abandoned"),
        };
        if let Some(how) = how {
            return Ok(Some(No::NotClosed { how }));
        }
        let epoch = Epoch(self.tree.number(&host.epoch())?.unwrap_or(0));
        let given_back = if self.tree.get(&host.general()).is_none() {
            Some("it is no host any more".to_owned())
        } else if epoch != id.epoch() {
            Some(format!("it is in epoch {epoch}"))
        } else if !self.tree.flag(&host.failed())? || !self.tree.flag(&host.recovered())? {
            Some("its flags say that it is well".to_owned())
        } else if self.tree.get(&host.returning()).is_some() {
            Some("nova-ha rejoin has begun".to_owned())
        } else if self.is_taken && self.used_up()?.is_none() {
            Some("its storage was released".to_owned())
        } else {
            None
        };
        if let Some(how) = given_back {
            return Ok(Some(No::GivenBack { how }));
        }
        let maintenance = Maintenance::of(&self.tree, &host)?;
        if maintenance.on {
            let reason = maintenance.reason.unwrap_or_else(|| "no reason given".into());
            return Ok(Some(No::Maintenance { reason }));
        }
        if let Some(other) = self.others.iter().find(|other| !other.status.is_over()) {
            return Ok(Some(No::Other { id: other.id.clone() }));
        }
        let is_held = |server: &&String| self.held.iter().any(|held| held.server == **server);
        Ok(match guests.iter().find(|server| !is_held(server)) {
            _ if self.held.is_empty() => Some(No::NobodyHeld),
            Some(server) => Some(No::NotHeld { server: server.clone() }),
            None => self.formats.allows(Kind::Incident, 3).err().map(No::HeldBack),
        })
    }

    /// The operations by which a person says it, with an order: an HA node opens it again on that.
    ///
    /// # Errors
    /// A key cannot be understood.
    pub fn word(&self, by: &str, guests: &[String], at: Timestamp) -> Result<Result<Vec<Op>, No>, TreeError> {
        if let Some(no) = self.refusal(guests)? {
            return Ok(Err(no));
        }
        let id = &self.record.id;
        let incident = keys::incident(id);
        let what = Lead::Retry { guests: guests.to_vec() };
        let mut ops = vec![
            Op::unchanged(keys::META, self.tree.get(keys::META)),
            Op::unchanged(incident.incident(), self.tree.get(&incident.incident())),
        ];
        ops.extend(Word::new(id.clone(), by.to_owned(), at, what).said(&self.tree));
        let order = OrderRecord::new(id.clone(), &Order::new(by.to_owned(), at));
        ops.push(Op::Set(incident.order(), bytes(&order)));
        ops.extend(wake(id));
        Ok(Ok(ops))
    }

    /// What the configured HA nodes read.
    pub fn formats(&self) -> &Formats {
        &self.formats
    }

    /// The transaction that opens it again, for these guests, or where none is named for all that are held.
    ///
    /// # Errors
    /// A key cannot be understood.
    pub fn transaction(
        &self,
        who: Who<'_>,
        guests: &[String],
        at: Timestamp,
    ) -> Result<Result<Vec<Op>, No>, TreeError> {
        if let Some(no) = self.refusal(guests)? {
            return Ok(Err(no));
        }
        let id = &self.record.id;
        let (host, incident) = (keys::host(id.host()), keys::incident(id));
        let (by, order, machine) = match who {
            Who::Person { by } => (by.to_owned(), Some(Order::new(by.to_owned(), at)), None),
            Who::PersonsWord { by, .. } => (by.to_owned(), None, None),
            Who::HaNode { node, machine } => (node.to_string(), None, Some(machine)),
        };
        let term = self.tree.number(&incident.term())?.unwrap_or(0);
        let writer = Writer { by: who.name(), machine, term, at, formats: &self.formats };
        let event = Event::Retried { by, guests: guests.to_vec() };
        let (record, entry) = match next(&self.record, event, &writer) {
            Ok(next) => next,
            Err(CannotAppend::HeldBack(held)) => return Ok(Err(No::HeldBack(held))),
            Err(CannotAppend::Illegal(why)) => return Ok(Err(No::Illegal(why.to_string()))),
        };
        // Whoever may have the storage goes on with it, or is proved off by whoever does.
        let holder = self.used_up()?.cloned();
        let (within, apart) = match Layout::of(&self.formats) {
            Layout::WithinIncident => (order, None),
            Layout::ByWriter => (None, order),
        };
        let record = IncidentRecord { order: within, holder, ..record };
        let unchanged = |key: String| {
            let seen = self.tree.get(&key);
            Op::unchanged(key, seen)
        };
        let mut ops = vec![
            unchanged(keys::META.to_owned()),
            unchanged(host.general()),
            unchanged(host.failed()),
            unchanged(host.recovered()),
            unchanged(host.epoch()),
            unchanged(host.returning()),
            unchanged(host.maintenance()),
            unchanged(incident.term()),
            unchanged(incident.lock()),
            Op::replace(incident.incident(), bytes(&record), self.tree.get(&incident.incident())),
            Op::replace(incident.journal_entry(entry.sequence), bytes(&entry), None),
        ];
        // A word that the host or a device of it is off was about the time before, and so was an order.
        let before = [incident.confirm_off(), incident.confirm_off_within()];
        let mut gone: Vec<&Entry> = before.iter().filter_map(|key| self.tree.get(key)).collect();
        match (apart, who) {
            (Some(order), _) => {
                let order = OrderRecord::new(id.clone(), &order);
                ops.push(Op::Set(incident.order(), bytes(&order)));
            }
            // The person gave it with the word.
            (None, Who::PersonsWord { word, .. }) => gone.push(word),
            (None, Who::Person { .. } | Who::HaNode { .. }) => gone.extend(self.tree.get(&incident.order())),
        }
        ops.extend(gone.into_iter().map(|entry| Op::DeleteCas(entry.key.clone(), entry.modify_index)));
        let of_devices = incident.all_device_off();
        let is_spoken_for = self.tree.below(&of_devices).next().is_some();
        ops.extend(is_spoken_for.then_some(Op::DeleteTree(of_devices)));
        ops.extend(record.holder.as_ref().map(|node| unchanged(keys::ha_node(node).in_use_by())));
        if matches!(who, Who::Person { .. }) {
            ops.extend(wake(id));
        }
        Ok(Ok(ops))
    }
}

/// Whether an HA node took the storage: one of its own, that of no other machine. Where a build did not write by which strategy,
/// it may have.
fn is_taken(tree: &Snapshot, id: &IncidentId) -> Result<bool, TreeError> {
    let keys = keys::incident(id);
    let mut holder: Option<HaNodeName> = None;
    let mut taken = false;
    for stored in tree.below(&keys.journal()) {
        let entry: JournalEntry = parse(&stored.key, &stored.value)?;
        let entry = sentences::typed(entry, id.host(), holder.as_ref());
        if matches!(entry.what, Event::Claimed { .. } | Event::Adopted { .. }) {
            holder = entry.by.parse().ok();
        }
        if let Event::Started { step: Step::TakeStorage, strategy, .. } = entry.what {
            taken |= strategy != Some(StrategyName::Shared);
        }
    }
    Ok(taken)
}
