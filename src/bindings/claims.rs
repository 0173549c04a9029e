//! What all machines of the tree are bound to, and what they claim.

use std::collections::{BTreeMap, BTreeSet};

use super::arrays::{self, ArrayDoubt, Wanting};
use super::identity::{self, Claimant, Expected, Twin};
use super::rival::{Rival, Standing};
use crate::disks::DiskId;
use crate::disks::places::Place;
use crate::identity::Identity;
use crate::names::HostName;
use crate::published_disks;
use crate::store::Store;
use crate::tree::bound::{Bound, BoundArray};
use crate::tree::nova_names::TreeMachine;
use crate::tree::published::Published;
use crate::tree::runtime_config::arrays::MdArray;
use crate::tree::{Snapshot, TreeError};

/// One machine's.
#[derive(Debug, Clone)]
struct Claim {
    expected: Option<Expected>,
    identities: Vec<(Identity, Standing)>,
    arrays: Arrays,
}

/// The arrays of a machine.
#[derive(Debug, Clone)]
enum Arrays {
    /// Those that an operator bound it to.
    Bound(BTreeMap<String, BoundArray>),
    /// Those that it published, by UUID, with the places of their members.
    Published(BTreeMap<String, BTreeSet<Place>>),
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    by_machine: BTreeMap<TreeMachine, Claim>,
    /// Where members of arrays are, by the disk.
    by_disk: BTreeMap<DiskId, Vec<(Place, Rival)>>,
}

impl Claims {
    /// Reads those of all machines.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn read(store: &dyn Store) -> Result<Self, TreeError> {
        let machines = TreeMachine::all(store).await?;
        let of_each = |machine: &TreeMachine| {
            let keys = machine.keys();
            [keys.bound(), keys.runtime_config(), keys.bmc_field("identity")]
        };
        let wanted: Vec<String> = machines.iter().flat_map(of_each).collect();
        let snapshot = Snapshot::read(store, "what all machines are bound to", &wanted).await?;
        Ok(Self::of(&snapshot, machines))
    }

    /// The same of what was read. A machine of which what an operator wrote cannot be understood claims nothing here: that is
    /// a fault of its own, and it is not recovered.
    pub fn of(snapshot: &Snapshot, machines: impl IntoIterator<Item = TreeMachine>) -> Self {
        let claim = |machine: TreeMachine| {
            let keys = machine.keys();
            let bound: Option<Bound> = snapshot.record(&keys.bound()).ok()?;
            let expected =
                identity::expected(snapshot, &keys).ok().filter(|known| known.identity.is_usable());
            let arrays = match bound {
                Some(bound) => Arrays::Bound(bound.arrays),
                None => {
                    let disks = Published::of(snapshot, &keys).disks().unwrap_or_default();
                    let with_places = disks.md_arrays.iter().map(|(uuid, value)| {
                        let array = MdArray::of(uuid, value).ok();
                        let places = array.and_then(|array| published_disks::places(&array).ok());
                        (uuid.clone(), places.unwrap_or_default())
                    });
                    Arrays::Published(with_places.collect())
                }
            };
            let identities = identity::claimed(snapshot, &keys);
            Some((machine, Claim { expected, identities, arrays }))
        };
        let by_machine: BTreeMap<TreeMachine, Claim> = machines.into_iter().filter_map(claim).collect();
        let mut by_disk: BTreeMap<DiskId, Vec<(Place, Rival)>> = BTreeMap::new();
        for (machine, claim) in &by_machine {
            let (places, standing) = claim.arrays.places();
            for place in places {
                let rival = Rival { machine: machine.clone(), standing };
                by_disk.entry(place.disk.clone()).or_default().push((place, rival));
            }
        }
        Self { by_machine, by_disk }
    }

    /// What the BMC of a machine must say it is, with whoever claims a part of the same; nothing where nobody knows.
    pub fn expected(&self, machine: &TreeMachine) -> Option<Expected> {
        let own = self.by_machine.get(machine)?.expected.as_ref()?;
        Some(own.clone().beside(self.claimants(machine, Some(&own.identity))))
    }

    /// The same of what was read of a machine, beside all that the others claim, whether it has a part of it or not.
    pub(super) fn beside_all(&self, machine: &TreeMachine, known: Expected) -> Expected {
        known.beside(self.claimants(machine, None))
    }

    /// What other machines claim to be; with an identity, only those that have a part of it.
    fn claimants<'a>(
        &'a self,
        machine: &'a TreeMachine,
        part_of: Option<&'a Identity>,
    ) -> impl Iterator<Item = Claimant> + 'a {
        let has_a_part = move |theirs: &Identity| {
            part_of.is_none_or(|own| {
                own.same_uuid(theirs) == Some(true) || own.same_serial(theirs) == Some(true)
            })
        };
        self.others(machine).flat_map(move |(other, claim)| {
            let theirs = claim.identities.iter().filter(move |(theirs, _)| has_a_part(theirs));
            theirs.map(move |(identity, standing)| Claimant {
                rival: Rival { machine: other.clone(), standing: *standing },
                identity: identity.clone(),
            })
        })
    }

    /// The other machine that claims to be this one, and by nothing to be told from it; one that is bound to it before one that
    /// publishes it.
    pub fn rival_of_identity(&self, machine: &TreeMachine, identity: &Identity) -> Option<Rival> {
        self.as_published(machine, identity).doubt().map(|doubt| doubt.rival)
    }

    /// The other machine that has a part of this identity.
    pub fn twin_of_identity(&self, machine: &TreeMachine, identity: &Identity) -> Option<Twin> {
        self.as_published(machine, identity).twin()
    }

    /// What a machine publishes, beside all claims.
    fn as_published(&self, machine: &TreeMachine, identity: &Identity) -> Expected {
        Expected::published(identity.clone()).beside(self.claimants(machine, Some(identity)))
    }

    /// The other machine that claims an array; one that is bound to it before one that publishes it.
    pub fn rival_of_array(&self, machine: &TreeMachine, uuid: &str) -> Option<Rival> {
        let rivals = self.others(machine).filter_map(|(other, claim)| {
            let standing = match &claim.arrays {
                Arrays::Bound(arrays) => arrays.contains_key(uuid).then_some(Standing::Bound),
                Arrays::Published(arrays) => arrays.contains_key(uuid).then_some(Standing::Published),
            };
            Some(Rival { machine: other.clone(), standing: standing? })
        });
        first_bound(rivals)
    }

    /// Why arrays that a host published are not taken as its own.
    pub fn array_doubts(&self, host: &HostName, wanted: &[Wanting]) -> Vec<ArrayDoubt> {
        let machine = TreeMachine::Host(host.clone());
        let own = self.by_machine.get(&machine).map(|claim| &claim.arrays);
        wanted.iter().filter_map(|wanting| self.array_doubt(&machine, own, wanting)).collect()
    }

    fn array_doubt(
        &self,
        machine: &TreeMachine,
        own: Option<&Arrays>,
        wanting: &Wanting,
    ) -> Option<ArrayDoubt> {
        let uuid = || wanting.uuid.clone();
        let rival = self.rival_of_array(machine, &wanting.uuid);
        match (own, rival) {
            (_, Some(rival)) if rival.standing == Standing::Bound => {
                return Some(ArrayDoubt::Claimed { uuid: uuid(), rival });
            }
            (Some(Arrays::Bound(bound)), _) => {
                if let Some(doubt) = arrays::of_its_own(machine.name(), bound, wanting) {
                    return Some(doubt);
                }
            }
            (Some(Arrays::Published(_)) | None, Some(rival)) => {
                return Some(ArrayDoubt::Claimed { uuid: uuid(), rival });
            }
            (Some(Arrays::Published(_)) | None, None) => {}
        }
        let mut others = wanting.places.iter().filter(|place| !is_bound_at(own, place));
        let (place, rival) = others.find_map(|place| Some((place, self.bound_at(machine, place)?)))?;
        Some(ArrayDoubt::Place { uuid: uuid(), place: place.clone(), rival })
    }

    /// Another machine that is bound to an array with a member at a place.
    fn bound_at(&self, machine: &TreeMachine, at: &Place) -> Option<Rival> {
        self.rival_of_place(machine, at).filter(|rival| rival.standing == Standing::Bound)
    }

    /// The other machine that has a member at a place, or says so; one that is bound there before one that publishes it.
    pub fn rival_of_place(&self, machine: &TreeMachine, at: &Place) -> Option<Rival> {
        let on_the_disk = self.by_disk.get(&at.disk).into_iter().flatten();
        let is_there =
            |(place, rival): &&(Place, Rival)| rival.machine != *machine && arrays::overlap(place, at);
        first_bound(on_the_disk.filter(is_there).map(|(_, rival)| rival.clone()))
    }

    /// Another machine of the tree that has this name.
    pub fn named(&self, machine: &TreeMachine, name: &str) -> Option<TreeMachine> {
        let is_it = |other: &&TreeMachine| arrays::is_one_name(other.name(), name);
        let is_own = arrays::is_one_name(machine.name(), name);
        let others = || self.others(machine).map(|(other, _)| other);
        (!is_own).then(|| others().find(is_it).cloned()).flatten()
    }

    fn others(&self, machine: &TreeMachine) -> impl Iterator<Item = (&TreeMachine, &Claim)> {
        self.by_machine.iter().filter(move |(other, _)| *other != machine)
    }
}

/// What the BMC of a machine must say it is, with the claims of all other machines. `snapshot` has its `config/` and its runtime
/// info.
///
/// # Errors
/// Consul does not answer; what an operator wrote cannot be understood.
pub async fn expect(
    store: &dyn Store,
    snapshot: &Snapshot,
    machine: &TreeMachine,
) -> Result<Expected, TreeError> {
    let known = identity::expected(snapshot, &machine.keys())?;
    Ok(Claims::read(store).await?.beside_all(machine, known))
}

impl Arrays {
    /// Where their members are, and by whose word.
    fn places(&self) -> (Vec<Place>, Standing) {
        match self {
            Arrays::Bound(theirs) => {
                let texts = theirs.values().flat_map(|array| &array.places);
                (texts.filter_map(|text| arrays::place(text)).collect(), Standing::Bound)
            }
            Arrays::Published(theirs) => (theirs.values().flatten().cloned().collect(), Standing::Published),
        }
    }
}

fn is_bound_at(arrays: Option<&Arrays>, at: &Place) -> bool {
    let Some(Arrays::Bound(theirs)) = arrays else { return false };
    let mut places = theirs.values().flat_map(|array| &array.places).filter_map(|text| arrays::place(text));
    places.any(|place| arrays::overlap(&place, at))
}

fn first_bound(rivals: impl Iterator<Item = Rival>) -> Option<Rival> {
    let mut rivals: Vec<Rival> = rivals.collect();
    rivals.sort_by_key(|rival| rival.standing != Standing::Bound);
    rivals.into_iter().next()
}
