//! *Off*, kept fresh: evidence rots, so the power is read again before it is relied on.

use super::stop::Stop;
use super::world::World;
use crate::fence::off::{Settings, Why, prove_off};
use crate::fence::proof::ConfirmOff;
use crate::fence::{FenceLevels, NotOff, PoweredOff};
use crate::keys;
use crate::names::IncidentId;
use crate::policy::Policy;
use crate::tree::record::parse;

/// The proof that a recovery stands on. Made from a [`PoweredOff`] only, and asked anew when old.
pub struct KnownOff<'a> {
    world: &'a World,
    policy: &'a Policy,
    levels: &'a FenceLevels,
    incident: &'a IncidentId,
    proof: PoweredOff,
}

impl<'a> KnownOff<'a> {
    /// From a proof that was just made.
    pub fn from_proof(
        world: &'a World,
        policy: &'a Policy,
        levels: &'a FenceLevels,
        incident: &'a IncidentId,
        proof: PoweredOff,
    ) -> Self {
        Self { world, policy, levels, incident, proof }
    }

    /// By reading the power now: what a resumed recovery does.
    pub async fn read(
        world: &'a World,
        policy: &'a Policy,
        levels: &'a FenceLevels,
        incident: &'a IncidentId,
    ) -> Result<Self, Stop> {
        let proof = read(world, policy, levels, incident).await?;
        Ok(Self { world, policy, levels, incident, proof })
    }

    /// Whether it is still young enough to act on.
    pub fn is_fresh(&self) -> bool {
        self.proof.demand_fresh(self.world.clock.boottime(), self.policy.proof_max_age).is_ok()
    }

    /// Whether two thirds of its time are over: to be read anew beside the work.
    pub fn is_ageing(&self) -> bool {
        let limit = self.policy.proof_max_age * 2 / 3;
        self.proof.demand_fresh(self.world.clock.boottime(), limit).is_err()
    }

    /// What makes a newer one.
    pub fn reader(&self) -> Reader<'a> {
        Reader { world: self.world, policy: self.policy, levels: self.levels, incident: self.incident }
    }

    /// The proof, read again if it is older than the policy allows.
    pub async fn fresh(&mut self) -> Result<&PoweredOff, Stop> {
        if !self.is_fresh() {
            self.proof = read(self.world, self.policy, self.levels, self.incident).await?;
        }
        Ok(&self.proof)
    }
}

/// Reads the power anew.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    world: &'a World,
    policy: &'a Policy,
    levels: &'a FenceLevels,
    incident: &'a IncidentId,
}

impl<'a> Reader<'a> {
    /// As [`KnownOff::read`].
    pub async fn read(self) -> Result<KnownOff<'a>, Stop> {
        KnownOff::read(self.world, self.policy, self.levels, self.incident).await
    }
}

/// Reads the power, or takes a person's word that is still valid.
async fn read(
    world: &World,
    policy: &Policy,
    levels: &FenceLevels,
    incident: &IncidentId,
) -> Result<PoweredOff, Stop> {
    let not_off = match prove_off(levels, world.clock.as_ref(), &Settings::of(policy)).await {
        Ok(proof) => return Ok(proof),
        Err(not_off) => not_off,
    };
    if !says_on(&not_off)
        && let Some(proof) = confirmed(world, incident).await?
    {
        return Ok(proof);
    }
    Err(Stop::waiting(
        format!("{} was off and cannot be proved so now: {not_off}", incident.host()),
        format!("make the BMC answer, or: nova-ha confirm-off {} --by NAME --ttl 10m", incident.host()),
    ))
}

/// Whether a device of the host says *on*, now: against that no person's word counts (it may have
/// been given for the machine beside it). One that does not answer contradicts nobody.
pub fn says_on(not_off: &NotOff) -> bool {
    match not_off {
        NotOff::NotProved { levels, .. } => {
            levels.iter().any(|level| matches!(level.why, Why::StillOn | Why::Contradicted { .. }))
        }
        NotOff::NoLevels { .. } | NotOff::Lease { .. } => false,
    }
}

/// A person's word, if one counts now.
pub async fn confirmed(world: &World, incident: &IncidentId) -> Result<Option<PoweredOff>, Stop> {
    let key = keys::incident(incident).confirm_off();
    let entry =
        world.store.get(&key).await.map_err(|source| Stop::Store { doing: "read confirm_off", source })?;
    let Some(entry) = entry else { return Ok(None) };
    let word: ConfirmOff = parse(&entry.key, &entry.value).map_err(|source| Stop::Tree { source })?;
    match word.proof(incident, world.clock.as_ref()) {
        Ok(proof) => Ok(Some(proof)),
        Err(why) => {
            tracing::info!(%incident, %why, "a person's confirmation does not count");
            Ok(None)
        }
    }
}
