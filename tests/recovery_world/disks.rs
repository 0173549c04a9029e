//! The guests' places on HA nodes, and what a recovery asks for when they are not as they must be.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::incident::guest::GuestState;
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::nova::ServerId;
use nova_ha::recovery::guest_folder::strange::Strange;
use nova_ha::recovery::world::{Directory, DiskFile, Disks, Look, NovaUser, Place};

use super::seams::{Fault, Process};
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HA_NODES, Universe, server};

pub(crate) struct SimDisks(pub(crate) Arc<Process>);

#[async_trait]
impl Disks for SimDisks {
    async fn user(&self, nova_user: &str) -> Result<NovaUser, String> {
        let user = NovaUser { name: nova_user.to_owned(), uid: 162, gids: vec![162] };
        self.0.call("user", || "no answer".to_owned(), |_| Ok(user)).await
    }

    async fn look(&self, _: &Path, server: &ServerId, nova_user: &str) -> Result<Look, String> {
        let user = NovaUser { name: nova_user.to_owned(), uid: 162, gids: vec![162] };
        let (node, lost) = (self.0.node.clone(), || "no answer".to_owned());
        self.0.call("look", lost, |u| Ok(Look { user, place: u.place(&node, server) })).await
    }
}

/// A directory as nova-compute left it.
pub(crate) fn directory() -> Directory {
    let disk = Some(DiskFile { is_file: true, bytes: 1 });
    Directory { uid: 162, gid: 162, mode: 0o755, read_only: false, disk, ephemeral: None, strange: None }
}

impl Universe {
    /// The storage is mounted on every HA node, with the directories of all guests.
    pub(crate) fn mounted_everywhere(&mut self) {
        for node in HA_NODES {
            self.kv.put(&keys::ha_node(&node.parse().unwrap()).nova_mountpoint(), "/instances");
            for number in 1..=3 {
                let place = Place::Directory(directory());
                self.places.insert((node.to_owned(), server(number).id), place);
            }
        }
    }

    fn place(&self, node: &str, server: &ServerId) -> Place {
        self.places.get(&(node.to_owned(), server.clone())).cloned().unwrap_or(Place::Absent)
    }
}

fn link() -> Strange {
    Strange::Link { file: "disk".into() }
}

fn mounted() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(Universe::mounted_everywhere);
    stage
}

fn posts(stage: &Stage, number: usize) -> usize {
    let what = format!("POST {}", server(number).id);
    stage.with(|u| u.effects.iter().filter(|effect| effect.what == what).count())
}

#[test]
fn a_guest_whose_disk_is_not_here_is_held_and_never_asked_for() {
    for (name, place) in [
        ("no directory", Place::Absent),
        ("a file in its place", Place::NoDirectory),
        ("no disk in it", Place::Directory(Directory { disk: None, ..directory() })),
        ("a link in it", Place::Directory(Directory { strange: Some(link()), ..directory() })),
        ("of another user", Place::Directory(Directory { uid: 64055, ..directory() })),
        ("read-only", Place::Directory(Directory { read_only: true, ..directory() })),
    ] {
        let stage = mounted();
        let key = ("ha1".to_owned(), server(1).id);
        stage.with(|u| u.places.insert(key.clone(), place.clone()));
        stage.recover_until_settled("ha1");
        stage.nothing_was_broken(name);
        assert!(matches!(stage.record().status.state, State::Held { .. }), "{name}: {:#?}", stage.journal());
        assert!(matches!(stage.guests()["guest1"].state, GuestState::Held { .. }), "{name}");
        assert!(matches!(stage.guests()["guest3"].state, GuestState::Recovered { .. }), "{name}");
        assert_eq!(posts(&stage, 1), 0, "{name}");
        // A person puts it right, and leads on.
        stage.with(|u| u.places.insert(key, Place::Directory(directory())));
        stage.resume();
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(name);
        assert_eq!(posts(&stage, 1), 1, "{name}");
    }
}

#[test]
fn with_disks_to_look_at_it_converges_too_whatever_call_it_dies_at() {
    let stage = mounted();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    stage.all_is_recovered("no fault");
    let calls = process.calls();
    assert_eq!(calls.iter().filter(|name| *name == "look").count(), 3, "{calls:?}");
    for (at, name) in calls.iter().enumerate() {
        let what = format!("dies after call {at} ({name})");
        let stage = mounted();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        stage.nothing_was_broken(&what);
        stage.wait(Duration::from_secs(1));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
    }
}

#[test]
fn a_look_without_an_answer_holds_the_guest() {
    let stage = mounted();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    let at = process.calls().iter().position(|name| name == "look").unwrap();
    let stage = mounted();
    let _reports = block_on(&stage.time, stage.process("ha1", Some((at, Fault::NoAnswer))).run());
    stage.nothing_was_broken("no answer");
    let held = stage.guests().values().filter(|guest| matches!(guest.state, GuestState::Held { .. })).count();
    assert_eq!(held, 1, "{:#?}", stage.guests());
    stage.resume();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("no answer, then one");
}
