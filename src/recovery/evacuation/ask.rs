//! What Nova is asked for one guest, on its record and its disk as they are now: the look, then the pure
//! [`choose`].

use super::disk::{self, Disk};
use super::request::{Choice, How, choose};
use crate::nova::Server;
use crate::recovery::context::Context;

/// What is asked for, with its disk as it is now.
pub async fn ask_for(context: &Context<'_>, server: &Server) -> Choice {
    let case = context.case;
    let how = How::of(&context.plan.target, &case.own_nova_host, &case.storage, case.policy.attach_only);
    let seen = match how.looks() {
        true => disk::look(context.world, &case.storage, &server.id).await,
        false => Disk::NotLooked,
    };
    choose(server, &how, &seen)
}
