//! Whether what a host published of its arrays is its own: asked before anything is planned, and again right before the first
//! byte is written to a member.

use super::wanted::{Wanted, WantedArray};
use crate::bindings::arrays::homehost;
use crate::bindings::{ArrayDoubt, Claims, Wanting};
use crate::recovery::case::Case;
use crate::recovery::stop::Stop;
use crate::recovery::world::World;

/// Why arrays are not taken as the host's own.
///
/// # Errors
/// Consul does not answer.
pub async fn doubts(world: &World, case: &Case, wanted: &Wanted) -> Result<Vec<ArrayDoubt>, Stop> {
    let claims = Claims::read(world.store.as_ref()).await.map_err(|source| Stop::Tree { source })?;
    let wanted: Vec<Wanting> = wanted.arrays.iter().map(wanting).collect();
    Ok(claims.array_doubts(case.id.host(), &wanted))
}

fn wanting(array: &WantedArray) -> Wanting {
    Wanting {
        uuid: array.uuid().to_owned(),
        level: array.published.level.clone(),
        homehost: homehost(&array.published.name),
        places: array.places.clone(),
    }
}
