//! The dead host's array, on disks that every HA node sees: who has assembled and mounted it, and the rules of who
//! may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::disks::DiskId;
use nova_ha::disks::md::{Array, State};
use nova_ha::disks::md_superblock::{Role, Superblock};
use nova_ha::disks::mountinfo::Mount;
use nova_ha::disks::owner_mark;
use nova_ha::disks::places::{Part, Place, Sight};
use nova_ha::disks::running::{Over, Running};
use nova_ha::fence::PoweredOff;
use nova_ha::keys;
use nova_ha::recovery::arrays::{Arrays, Assembly, How, Mountpoint, Question, Scope, Seen, Start};
use nova_ha::recovery::world::Place as GuestPlace;

use super::disks::directory;
use super::reservations::{SimReservation, Writes, key};
use super::schedules::invariants::Effect;
use super::schedules::weather::{Kind, Request};
use super::seams::Process;
use super::time::wall;
use super::universe::{HA_NODES, HOST, Universe, server};

pub(crate) const UUID: &str = "d39ac4e4:a56fab61:d4af28db:9db625d6";
pub(crate) const NAME: &str = "compute1:md1";
const FILESYSTEM: &str = "b74093a0-8a58-4938-9a65-e42ff579694c";
const MOUNTPOINT: &str = "/instances";
const NUMBER: &str = "9:127";

/// The array as it lies on its disks, and who has it.
pub(crate) struct SimArray {
    /// In each member's superblock.
    pub(crate) names: [String; 4],
    /// Of each member: a change of the array raises it.
    pub(crate) events: [u64; 4],
    /// When they were written.
    pub(crate) updated: u64,
    /// Whom each member calls members.
    pub(crate) listed: [BTreeSet<u16>; 4],
    /// Members that no HA node sees.
    pub(crate) away: BTreeSet<usize>,
    /// What the array is really; a wrong one has another UUID.
    pub(crate) uuid: String,
    pub(crate) filesystem: String,
    /// What each machine has of it.
    pub(crate) on: BTreeMap<String, OnMachine>,
    /// Of all machines: something else at the mountpoint.
    pub(crate) foreign_mount: bool,
    /// Of all machines: another disk says that it is a member.
    pub(crate) stranger: bool,
    /// What a takeover needs is not installed.
    pub(crate) unable: bool,
    /// Somebody writes to it at this moment, although nobody has it here.
    pub(crate) written_at: Option<Duration>,
    /// Who may write to its disks.
    pub(crate) reservation: SimReservation,
    /// How much each machine saw when it looked last.
    seen: BTreeMap<String, Scope>,
}

/// What one machine has of it.
#[derive(Debug, Clone)]
pub(crate) struct OnMachine {
    pub(crate) state: State,
    pub(crate) mounted_at: Option<PathBuf>,
}

impl SimArray {
    fn new() -> Self {
        let host = OnMachine { state: State::Running, mounted_at: Some("/var/lib/nova/instances".into()) };
        Self {
            names: [0; 4].map(|_| NAME.to_owned()),
            events: [7; 4],
            updated: 100,
            listed: [0; 4].map(|_| (0..4).collect()),
            away: BTreeSet::new(),
            uuid: UUID.to_owned(),
            filesystem: FILESYSTEM.to_owned(),
            on: BTreeMap::from([(HOST.to_owned(), host)]),
            foreign_mount: false,
            stranger: false,
            unable: false,
            written_at: None,
            reservation: SimReservation::default(),
            seen: BTreeMap::new(),
        }
    }

    fn sight(&self, slot: usize) -> Sight {
        let member = Superblock {
            minor_version: 2,
            array: self.uuid.clone(),
            set_name: self.names[slot].clone(),
            device: format!("{slot}"),
            level: "raid10".into(),
            layout: 258,
            raid_disks: 4,
            sectors: 0,
            events: self.events[slot],
            role: Role::Place(u16::try_from(slot).unwrap()),
            number: u32::try_from(slot).unwrap(),
            members: self.listed[slot].iter().map(|slot| (u32::from(*slot), *slot)).collect(),
            is_clean: true,
            has_bitmap: false,
            is_recovering: false,
            is_reshaping: false,
            created: 0,
            updated: self.updated,
        };
        let is_here = !self.away.contains(&slot);
        let superblocks = if is_here { vec![member] } else { vec![] };
        Sight { place: place(slot), is_here, superblocks, unreadable: vec![] }
    }
}

fn disk(slot: usize) -> String {
    format!("naa.5000cca04dab000{slot}")
}

pub(crate) fn place(slot: usize) -> Place {
    Place { disk: DiskId::parse(&disk(slot)).unwrap(), part: Part::Whole }
}

impl Universe {
    /// The guests' disks are on an array of compute1's own, which every HA node sees and may take.
    pub(crate) fn on_an_array(&mut self) {
        for node in HA_NODES {
            let keys = keys::ha_node(&node.parse().unwrap());
            self.kv.put(&keys.storage(), "md");
            self.kv.put(&keys.nova_mountpoint(), MOUNTPOINT);
        }
        self.array = Some(SimArray::new());
        self.publishes(self.now, true);
    }

    /// What compute1's `nova-ha-runtime-info` wrote at a time.
    pub(crate) fn publishes(&mut self, at: Duration, boot_guard: bool) {
        let key = keys::host(&HOST.parse().unwrap()).runtime_config();
        let mut record: serde_json::Value = match self.kv.get(&key) {
            Some(entry) if !entry.value.is_empty() => serde_json::from_slice(&entry.value).unwrap(),
            _ => serde_json::json!({}),
        };
        let member = |slot: usize| serde_json::json!({"disk": disk(slot), "slot": slot, "in_sync": true});
        record["version"] = 1.into();
        record["md_arrays"] = serde_json::json!({UUID: {
            "uuid": UUID, "name": NAME, "level": "raid10", "num_devices": "4", "layout": 258, "metadata": "1.2",
            "members": (0..4).map(member).collect::<Vec<_>>(),
        }});
        record["filesystems"] = serde_json::json!([{
            "uuid": FILESYSTEM, "fs_type": "xfs", "mountpoint": "/var/lib/nova/instances", "array": UUID
        }]);
        record["boot_guard"] = boot_guard.into();
        record["guests_mounted_in"] = serde_json::Value::Null;
        let at = wall(at);
        record["time"] = serde_json::json!({"timestamp": at.as_second(), "datetime": at.to_string()});
        self.kv.put(&key, record.to_string());
    }

    pub(crate) fn the_array(&mut self) -> &mut SimArray {
        // A machine without power has nothing assembled any more.
        let powered: BTreeSet<String> =
            self.machines.iter().filter(|(_, m)| m.power_on).map(|(name, _)| name.clone()).collect();
        let array = self.array.as_mut().unwrap();
        array.on.retain(|name, _| powered.contains(name));
        array
    }

    /// Whoever else may write to the array now.
    fn others_with_the_array(&mut self, node: &str) -> Vec<String> {
        let on = &self.the_array().on;
        let writes = |has: &OnMachine| has.state == State::Running;
        on.iter().filter(|(name, has)| *name != node && writes(has)).map(|(name, _)| name.clone()).collect()
    }

    fn look_at_the_array(&mut self, node: &str, scope: Scope) -> Seen {
        let now = self.now;
        let array = self.the_array();
        if array.written_at.is_some_and(|at| at <= now) {
            array.written_at = None;
            array.events = array.events.map(|events| events + 1);
            array.updated += 1;
        }
        array.is_written_slowly(now);
        array.seen.insert(node.to_owned(), scope);
        let mut seen = Seen {
            sights: vec![(0..4).map(|slot| array.sight(slot)).collect()],
            mountpoints: vec![Mountpoint::Directory { guests: 0 }],
            ..Seen::default()
        };
        if array.stranger && scope == Scope::All {
            seen.strangers.push(("sdx".into(), UUID.into()));
        }
        let mount = |device: &str, at: &Path| Mount {
            device: device.into(),
            root: "/".into(),
            mountpoint: at.to_str().unwrap().into(),
            options: vec!["rw".into()],
            fs_type: "xfs".into(),
            source: format!("/dev/{device}"),
            super_options: vec![],
        };
        if array.foreign_mount {
            seen.mounts.push(mount("8:1", Path::new(MOUNTPOINT)));
        }
        if let Some(has) = array.on.get(node) {
            let over = Over {
                device: "md127".into(),
                number: NUMBER.into(),
                fs_type: "xfs".into(),
                uuid: array.filesystem.clone(),
                is_the_array_again: false,
            };
            let over = if has.state == State::Inactive { vec![] } else { vec![over] };
            seen.running.push(Running { array: kernel_array(array, has.state), over: Ok(over) });
            seen.mounts.extend(has.mounted_at.as_ref().map(|at| mount(NUMBER, at)));
        }
        seen
    }

    /// Whoever writes to disks that can be reserved has reserved them, but where the policy says otherwise.
    fn may_write(&mut self, node: &str) {
        let array = self.the_array();
        let reservation = &array.reservation;
        let is_all = (0..4).all(|slot| reservation.members.contains(&slot) || array.away.contains(&slot));
        let is_ours = reservation.unknown || reservation.by == Some(key(node)) && is_all;
        self.rule(is_ours, format!("{node} writes to disks that are not reserved for it"));
    }

    fn assemble(&mut self, node: &str, order: &Assembly) -> Result<(), String> {
        let others = self.others_with_the_array(node);
        let host_has_power = self.machines[HOST].power_on;
        self.rule(!host_has_power, format!("{node} assembles the array while compute1 has power"));
        let array = self.the_array();
        if array.on.contains_key(node) {
            return Err("Device or resource busy".into());
        }
        let here: BTreeSet<Place> = (0..4).filter(|slot| !array.away.contains(slot)).map(place).collect();
        let members = order.members.clone();
        let how = order.how.clone();
        let is_whole = members.len() == 4 || order.start != Start::Whole;
        let is_forced_rightly =
            order.start != Start::Forced || self.the_array().reservation.by == Some(key(node));
        self.rule(is_forced_rightly, format!("{node} forces an array that is not reserved for it"));
        self.rule(
            order.uuid == UUID && members.is_subset(&here) && is_whole,
            format!("{node} assembles {order:?}"),
        );
        if order.start == Start::Forced {
            let newest = self.the_array().events.into_iter().max().unwrap();
            for slot in (0..4).filter(|slot| members.contains(&place(*slot))) {
                self.the_array().events[slot] = newest;
            }
        }
        match how {
            How::ReadOnly => {
                self.did(node, "look".into());
                if self.the_array().reservation.living.take_if(|w| *w == Writes::Unrefused).is_some() {
                    let array = self.the_array();
                    array.events = array.events.map(|events| events + 2);
                    array.updated += 1;
                }
                let has = OnMachine { state: State::ReadOnly, mounted_at: None };
                self.the_array().on.insert(node.to_owned(), has);
            }
            How::Named(name) => {
                self.rule(others.is_empty(), format!("{node} assembles the array that {others:?} has"));
                let looked = self.effects.iter().any(|e| e.by == node && e.what == "look");
                self.rule(looked, format!("{node} takes an array that it did not look at"));
                self.may_write(node);
                let saw_all = self.the_array().seen.get(node) == Some(&Scope::All);
                self.rule(saw_all, format!("{node} takes an array and did not look at all disks"));
                self.did(node, format!("assemble as {name}"));
                self.is_done(node, &Effect::Storage);
                self.write_name(&members, &name);
                let has = OnMachine { state: State::Running, mounted_at: None };
                let array = self.the_array();
                array.on.insert(node.to_owned(), has);
                // Those that are not there fall behind.
                for slot in 0..4 {
                    array.events[slot] += if members.contains(&place(slot)) { 3 } else { 0 };
                }
            }
        }
        Ok(())
    }

    fn write_name(&mut self, members: &BTreeSet<Place>, name: &str) {
        assert!(owner_mark::update_options(name).is_some(), "mdadm writes no such name: {name}");
        for slot in (0..4).filter(|slot| members.contains(&place(*slot))) {
            self.the_array().names[slot] = name.to_owned();
        }
    }

    fn mount_the_array(&mut self, node: &str, at: &Path) -> Result<(), String> {
        let others = self.others_with_the_array(node);
        self.rule(others.is_empty(), format!("{node} mounts what {others:?} has"));
        let host_has_power = self.machines[HOST].power_on;
        self.rule(!host_has_power, format!("{node} mounts while compute1 has power"));
        self.may_write(node);
        let array = self.the_array();
        let names = array.names.clone();
        let marked = owner_mark::mark(node, NAME);
        let Some(has) = array.on.get_mut(node).filter(|has| has.state == State::Running) else {
            return Err("no such device".into());
        };
        if has.mounted_at.is_some() {
            return Err("already mounted".into());
        }
        has.mounted_at = Some(at.to_owned());
        let any = names.contains(&marked);
        self.rule(any, format!("{node} mounts without its mark: {names:?}"));
        self.did(node, format!("mount at {}", at.display()));
        self.is_done(node, &Effect::Storage);
        for number in 1..=3 {
            let place = GuestPlace::Directory(directory());
            self.places.insert((node.to_owned(), server(number).id), place);
        }
        Ok(())
    }
}

fn kernel_array(array: &SimArray, state: State) -> Array {
    Array {
        device: "md127".into(),
        number: NUMBER.into(),
        state,
        uuid: Some(array.uuid.clone()),
        name: None,
        level: "raid10".into(),
        raid_disks: 4,
        layout: Some(258),
        metadata: "1.2".into(),
        degraded: 0,
        reshaping: false,
        members: vec![],
    }
}

pub(crate) struct SimArrays(pub(crate) Arc<Process>);

impl SimArrays {
    async fn ask<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Universe, &str) -> Result<T, String>,
    ) -> Result<T, String> {
        let node = self.0.node.clone();
        self.0.call(name, || "no answer".to_owned(), |u| act(u, &node)).await
    }

    /// A write to the disks, which may take long.
    async fn send(
        &self,
        name: &str,
        act: impl FnOnce(&mut Universe, &str) -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let node = self.0.node.clone();
        self.0.send(Request::new(name, Kind::Disks), || "no answer".to_owned(), move |u| act(u, &node)).await
    }
}

#[async_trait]
impl Arrays for SimArrays {
    async fn look(&self, question: &Question) -> Result<Seen, String> {
        assert_eq!(question.mountpoints, [PathBuf::from(MOUNTPOINT)]);
        assert_eq!(question.arrays, [(UUID.to_owned(), (0..4).map(place).collect())]);
        self.ask("disks", |u, node| Ok(u.look_at_the_array(node, question.scope))).await
    }

    async fn is_able(&self, _: &Assembly, _: Duration) -> Result<(), String> {
        self.ask("able", |u, _| match u.the_array().unable {
            false => Ok(()),
            true => Err("mdadm is not installed".into()),
        })
        .await
    }

    async fn assemble(&self, order: &Assembly, _: &PoweredOff, _: Duration) -> Result<(), String> {
        let order = order.clone();
        self.send("assemble", move |u, node| u.assemble(node, &order)).await
    }

    async fn rename(
        &self,
        uuid: &str,
        members: &BTreeSet<Place>,
        name: &str,
        _: Duration,
    ) -> Result<(), String> {
        self.ask("rename", |u, node| {
            let others = u.others_with_the_array(node);
            u.rule(uuid == UUID && others.is_empty(), format!("{node} renames what {others:?} has"));
            if u.the_array().on.contains_key(node) {
                return Err("busy".into());
            }
            u.may_write(node);
            u.did(node, format!("rename to {name}"));
            u.write_name(members, name);
            let has = OnMachine { state: State::ReadOnly, mounted_at: None };
            u.the_array().on.insert(node.to_owned(), has);
            Ok(())
        })
        .await
    }

    async fn stop(&self, device: &str, uuid: &str, _: Duration) -> Result<(), String> {
        assert_eq!((device, uuid), ("md127", UUID));
        self.ask("stop", |u, node| {
            let array = u.the_array();
            if array.on.get(node).is_some_and(|has| has.mounted_at.is_some()) {
                return Err("Device or resource busy".into());
            }
            array.on.remove(node);
            u.did(node, "stop".into());
            Ok(())
        })
        .await
    }

    async fn mount(
        &self,
        device: &str,
        fs_type: &str,
        at: &Path,
        _: &PoweredOff,
        _: Duration,
    ) -> Result<(), String> {
        assert_eq!((device, fs_type), ("md127", "xfs"));
        let at = at.to_owned();
        self.send("mount", move |u, node| u.mount_the_array(node, &at)).await
    }

    async fn unmount(&self, at: &Path, _: Duration) -> Result<(), String> {
        self.ask("unmount", |u, node| {
            let guests = u.servers.values().filter(|s| s.host.as_ref().is_some_and(|h| h.as_str() == node));
            let nobody = guests.count() == 0;
            u.rule(nobody, format!("{node} unmounts, and has guests"));
            let has = u.the_array().on.get_mut(node);
            let Some(has) = has.filter(|has| has.mounted_at.as_deref() == Some(at)) else {
                return Err("not mounted".into());
            };
            has.mounted_at = None;
            u.did(node, "unmount".into());
            u.places.clear();
            Ok(())
        })
        .await
    }
}
