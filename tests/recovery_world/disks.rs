//! The guests' places on HA nodes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use nova_ha::nova::ServerId;
use nova_ha::recovery::world::{Disks, Look, NovaUser, Place};

use super::seams::Process;
use super::universe::Universe;

pub(crate) struct SimDisks(pub(crate) Arc<Process>);

#[async_trait]
impl Disks for SimDisks {
    async fn look(&self, _: &Path, server: &ServerId, nova_user: &str) -> Result<Look, String> {
        let user = NovaUser { name: nova_user.to_owned(), uid: 162, gids: vec![162] };
        let (node, lost) = (self.0.node.clone(), || "no answer".to_owned());
        self.0.call("look", lost, |u| Ok(Look { user, place: u.place(&node, server) })).await
    }
}

impl Universe {
    fn place(&self, node: &str, server: &ServerId) -> Place {
        self.places.get(&(node.to_owned(), server.clone())).cloned().unwrap_or(Place::Absent)
    }
}
