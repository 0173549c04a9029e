//! What the dead host's disks keep of who may write to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::disks::places::Place;
use nova_ha::disks::reservation_key::ReservationKey;
use nova_ha::disks::{DiskId, owner_mark};
use nova_ha::fence::PoweredOff;
use nova_ha::incident::journal::Event;
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::recovery::reservations::{Kept, Members, Order, Reservations, Reserved};

use super::arrays::{NAME, SimArray, place};
use super::md::{all_runs_on, effects, released, staged};
use super::schedules::invariants::Effect;
use super::schedules::weather::{Kind, Request};
use super::seams::{Fault, Process};
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HOST, Universe};

/// Of all members alike.
#[derive(Debug, Default)]
pub(crate) struct SimReservation {
    /// The disks keep none.
    pub(crate) unknown: bool,
    /// They do not let it be taken from whoever has it.
    pub(crate) stubborn: bool,
    pub(crate) by: Option<ReservationKey>,
    /// Members that are reserved by it, one after the other.
    pub(crate) members: BTreeSet<usize>,
    /// When the first of them began to refuse others, while not all did.
    refusing_since: Option<Duration>,
    /// They do not answer so often.
    pub(crate) silent: u32,
    /// The host lives, and its BMC lies.
    pub(crate) living: Option<Writes>,
}

/// What a living host writes while its disks are taken; where they can be reserved, until all of them refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Its md writes down who refused it, one after the other: two members are left that are current.
    Always,
    /// The same, and its guests write every other second only.
    Slowly,
    /// Once, after the first one refused: three are left, enough to go on with.
    Once,
    /// While they are looked at; and they keep no reservations.
    Unrefused,
}

impl Writes {
    /// Whom it can be taken from then.
    fn current(self) -> &'static [usize] {
        match self {
            Writes::Always | Writes::Slowly => &[0, 2],
            Writes::Once => &[0, 1, 2],
            Writes::Unrefused => &[0, 1, 2, 3],
        }
    }
}

pub(crate) fn key(node: &str) -> ReservationKey {
    ReservationKey::of_holder(&owner_mark::holder(node))
}

impl Universe {
    fn reserve(&mut self, node: &str, order: &Order<'_>) -> Result<Reserved, Kept> {
        let host_has_power = self.machines[HOST].power_on;
        self.rule(!host_has_power, format!("{node} reserves the disks while compute1 has power"));
        self.rule(order.key == key(node), format!("{node} reserves by {}", order.key));
        let reservation = &mut self.the_array().reservation;
        if reservation.unknown {
            return Ok(Reserved {
                unable: vec!["naa.0 keeps no reservations".into()],
                ..Reserved::default()
            });
        }
        let disk = "naa.0".to_owned();
        let before = reservation.by.filter(|by| *by != order.key);
        if reservation.silent > 0 {
            reservation.silent -= 1;
            return Err(Kept::Unclear { why: "naa.0: no answer".into() });
        }
        match before {
            Some(by) if !order.may_preempt(by) => return Err(Kept::ByAnHaNode { disk, key: by }),
            Some(_) if reservation.stubborn => return Err(Kept::Still { disk, why: "it stays".into() }),
            Some(_) | None => reservation.by = Some(order.key),
        }
        let now = self.now;
        let array = self.the_array();
        if before.is_some() {
            array.reservation.members.clear();
        }
        let places: BTreeSet<&Place> = order.members.iter().flat_map(|(_, places)| places).collect();
        array.reservation.members.extend((0..4).filter(|slot| places.contains(&place(*slot))));
        let disks = (0..4).filter(|slot| places.contains(&place(*slot))).count();
        array.reservation.refusing_since.get_or_insert(now);
        let all = |given_up: &[u16]| (0..4).filter(|slot| !given_up.contains(slot)).collect();
        match array.reservation.living {
            Some(Writes::Always) => {
                array.events = [9, 8, 9, 7];
                array.listed = [all(&[1, 3]), all(&[3]), all(&[1, 3]), all(&[])];
                array.reservation.living = None;
            }
            Some(Writes::Once) => {
                array.events = [9, 9, 9, 7];
                array.listed = [all(&[3]), all(&[3]), all(&[3]), all(&[])];
                array.reservation.living = None;
            }
            Some(Writes::Slowly | Writes::Unrefused) | None => {}
        }
        self.did(node, "reserve".into());
        self.is_done(node, &Effect::Storage);
        Ok(Reserved { disks, preempted: before.into_iter().collect(), unable: vec![] })
    }
}

impl SimArray {
    /// What the md of a host that lives and writes has written by now on the members that do not refuse it yet.
    pub(crate) fn is_written_slowly(&mut self, now: Duration) {
        let refused = self.reservation.members.clone();
        let since = self.reservation.refusing_since;
        let has_written = since.is_some_and(|since| now >= since + Duration::from_secs(2));
        if self.reservation.living != Some(Writes::Slowly) || !has_written || refused.len() == 4 {
            return;
        }
        for slot in (0..4).filter(|slot| !refused.contains(slot)) {
            self.events[slot] += 2;
            self.listed[slot].retain(|slot| !refused.contains(&usize::from(*slot)));
        }
        self.reservation.living = None;
    }
}

pub(crate) struct SimReservations(pub(crate) Arc<Process>);

#[async_trait]
impl Reservations for SimReservations {
    async fn holders(&self, members: &Members, _: Duration) -> BTreeMap<DiskId, ReservationKey> {
        let by = self.0.call("holders", || (), |u| Ok(u.the_array().reservation.by)).await.ok().flatten();
        let disks = members.iter().flat_map(|(_, places)| places).map(|place| place.disk.clone());
        disks.filter_map(|disk| Some((disk, by?))).collect()
    }

    async fn reserve(&self, order: &Order<'_>, _: &PoweredOff, _: Duration) -> Result<Reserved, Kept> {
        let node = self.0.node.clone();
        let silent = || Kept::Unclear { why: "naa.0: no answer".into() };
        let (members, key, earlier) = (order.members.to_vec(), order.key, order.earlier.clone());
        let act =
            move |u: &mut Universe| u.reserve(&node, &Order { members: &members, key, earlier: &earlier });
        self.0.send(Request::new("reserve", Kind::Reserve), silent, act).await
    }

    async fn give_up(&self, _: &Members, key: ReservationKey, _: Duration) -> Result<(), String> {
        let give_up = |u: &mut Universe| {
            let by = &mut u.the_array().reservation.by;
            *by = by.filter(|by| *by != key);
            if by.is_none() {
                u.the_array().reservation.members.clear();
            }
            Ok(())
        };
        self.0.call("give up", || "no answer".to_owned(), give_up).await
    }
}

#[test]
fn disks_are_reserved_before_the_mark_is_written_where_they_can_be() {
    let stage = staged();
    stage.with(|u| u.the_array().reservation.by = Some(ReservationKey::parse("0xabc").unwrap()));
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "reserved by the host");
    let done = effects(&stage, "ha1");
    let at = |what: &str| done.iter().position(|done| done.starts_with(what)).unwrap();
    assert!(at("look") < at("reserve") && at("reserve") < at("assemble as"), "{done:?}");
    let journal = format!("{:?}", stage.journal());
    assert!(journal.contains("4 disks reserved; taken from key 0x0000000000000abc"), "{journal}");
}

#[test]
fn disks_that_keep_no_reservations_are_taken_all_the_same_and_that_is_said() {
    let stage = staged();
    stage.with(|u| u.the_array().reservation.unknown = true);
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "no reservations");
    let journal = format!("{:?}", stage.journal());
    assert!(journal.contains("not reserved: naa.0 keeps no reservations"), "{journal}");
}

#[test]
fn nothing_is_reserved_where_the_policy_says_so() {
    let stage = staged();
    stage.with(|u| {
        u.kv.put(keys::POLICY, r#"{"version":1,"md_reserve_disks":false}"#);
        u.the_array().reservation.unknown = true;
    });
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "by policy");
    assert!(!format!("{:?}", stage.journal()).contains("reserved"), "{:?}", stage.journal());
}

#[test]
fn what_another_ha_node_has_reserved_is_known_before_anybody_is_shot() {
    let stage = staged();
    stage.with(|u| u.the_array().reservation.by = Some(key("ha9")));
    let said = stage.recover("ha1");
    stage.nothing_was_broken("ha9's");
    assert!(said[0].text.contains("is reserved by key"), "{said:#?}");
    assert!(stage.with(|u| u.machines[HOST].power_on) && stage.record().holder.is_none());
}

/// Each costs a start of a program for each disk, or a look at all of them.
#[test]
fn what_would_stop_it_is_asked_before_the_claim_and_not_again_while_guests_wait() {
    let stage = staged();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    all_runs_on(&stage, "ha1", "no fault");
    let calls = process.calls();
    let at = |name: &str| -> Vec<usize> { (0..calls.len()).filter(|&at| calls[at] == name).collect() };
    let off = at("switch off")[0];
    assert!(at("able").len() == 1 && at("able")[0] < off, "{calls:?}");
    assert!(at("holders").len() == 1 && at("holders")[0] < off, "{calls:?}");
}

#[test]
fn what_stays_reserved_is_not_taken_and_is_asked_for_again() {
    let stage = staged();
    stage.with(|u| {
        let reservation = &mut u.the_array().reservation;
        (reservation.by, reservation.stubborn) = (Some(ReservationKey::parse("0xabc").unwrap()), true);
    });
    let said = stage.recover("ha1");
    stage.nothing_was_broken("stubborn");
    assert!(said[0].text.contains("is reserved, and stays so"), "{said:#?}");
    stage.with(|u| {
        assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned()));
        u.the_array().reservation.stubborn = false;
    });
    stage.resume();
    stage.wait(Duration::from_secs(70));
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "it let go");
}

/// A disk that keeps no reservations says so; one that says nothing may keep them.
#[test]
fn a_disk_that_does_not_answer_is_asked_again_and_never_written_to_unreserved() {
    let stage = staged();
    stage.with(|u| u.the_array().reservation.silent = 2);
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "it answered in time");
    let stage = staged();
    stage.with(|u| u.the_array().reservation.silent = u32::MAX);
    let said = stage.recover("ha1");
    stage.nothing_was_broken("silent");
    assert!(said[0].text.contains("whether the disks can be reserved is not known"), "{said:#?}");
    stage.with(|u| {
        assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned()));
        u.the_array().reservation.silent = 0;
    });
    stage.resume();
    stage.wait(Duration::from_secs(70));
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "it answers again");
}

/// A host that lives, and writes so.
fn refusing(living: Writes) -> Stage {
    let stage = staged();
    stage.with(|u| {
        let reservation = &mut u.the_array().reservation;
        (reservation.living, reservation.unknown) = (Some(living), living == Writes::Unrefused);
    });
    stage
}

#[test]
fn a_host_that_writes_while_it_is_off_is_a_persons_and_then_taken_from_the_copies_that_refused_last() {
    for living in [Writes::Always, Writes::Slowly, Writes::Once, Writes::Unrefused] {
        let stage = refusing(living);
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run()).unwrap().unwrap();
        all_refused(&stage, "ha1", living, "no fault");
        if living == Writes::Always {
            // Killed anywhere it is one of the two below.
            continue;
        }
        for (at, name) in process.calls().iter().enumerate() {
            let others = [Fault::DiesBefore, Fault::NoAnswer, Fault::AnswerLost];
            // Each call is survived by who died after it; what else may happen there is tried at every third.
            let others = others.iter().filter(|_| at.is_multiple_of(3));
            for fault in [Fault::DiesAfter].iter().chain(others) {
                let what = format!("{living:?}, {fault:?} at call {at} ({name})");
                let stage = refusing(living);
                let _died = block_on(&stage.time, stage.process("ha1", Some((at, *fault))).run());
                stage.nothing_was_broken(&what);
                stage.wait(Duration::from_secs(1));
                stage.recover_until_settled("ha1");
                all_refused(&stage, "ha1", living, &what);
            }
        }
    }
}

#[test]
fn a_host_that_writes_is_seen_where_what_it_wrote_would_stop_the_takeover_too() {
    let all = refusing(Writes::Once);
    let process = all.process("ha1", None);
    let _reports = block_on(&all.time, process.run()).unwrap().unwrap();
    let at = process.calls().iter().position(|name| name == "reserve").unwrap();
    let stage = refusing(Writes::Once);
    stage.with(|u| u.kv.put(keys::POLICY, r#"{"version":1,"md_allow_degraded":false}"#));
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
    stage.wait(Duration::from_secs(1));
    stage.recover_until_settled("ha1");
    let State::Held { reason } = stage.record().status.state else { panic!("not held") };
    assert!(reason.contains("it lives"), "{reason}");
}

/// Its BMC lied, it lives, and a person wants it to live on.
#[test]
fn a_host_that_is_to_live_on_has_its_disks_to_itself_again() {
    let stage = refusing(Writes::Slowly);
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run()).unwrap().unwrap();
    let State::Held { reason } = stage.record().status.state else { panic!("not held") };
    assert!(reason.contains("2 disks reserved"), "{reason}");
    stage.with(|u| super::stage::append(u, Event::Abandoned { by: "ann".into() }));
    let (outcome, _) = released(&stage, "ha1", None);
    assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
    stage.with(|u| {
        assert_eq!(u.the_array().reservation.by, None);
        assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned()));
    });
    let posts = stage.with(|u| u.effects.iter().filter(|e| e.what.starts_with("POST ")).count());
    assert_eq!(posts, 0, "its guests run there");
}

#[test]
fn a_wrong_plug_that_is_pulled_leads_to_nothing() {
    let stage = refusing(Writes::Unrefused);
    stage.recover("ha1");
    for _ in 0..3 {
        let State::Held { reason } = stage.record().status.state else { panic!("not held") };
        assert!(reason.contains("it lives"), "{reason}");
        stage.nothing_was_broken("it lives");
        stage.resume();
        stage.with(|u| u.the_array().reservation.living = Some(Writes::Unrefused));
        stage.wait(Duration::from_secs(70));
        stage.recover_until_settled("ha1");
    }
    stage.with(|u| assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned())));
    stage.resume();
    stage.wait(Duration::from_secs(70));
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "the right one was pulled");
}

#[test]
fn an_ha_node_that_goes_on_with_it_knows_how_the_disks_were_before_the_one_before_it() {
    for living in [Writes::Always, Writes::Once] {
        let stage = refusing(living);
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run()).unwrap().unwrap();
        let at = process.calls().iter().position(|name| name == "reserve").unwrap();
        let stage = refusing(living);
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        stage.with(|u| u.dies("ha1"));
        stage.wait(Duration::from_secs(60));
        let said = stage.recover_until_settled("ha2");
        all_refused(&stage, "ha2", living, &format!("adopted: {said:?}"));
    }
}

/// It is held for a person, who cuts its power; then all of it is taken.
fn all_refused(stage: &Stage, node: &str, living: Writes, what: &str) {
    let State::Held { reason } = stage.record().status.state else { panic!("{what}: not held") };
    assert!(reason.contains("it lives") && reason.contains("incident resume"), "{what}: {reason}");
    let posts = stage.with(|u| u.effects.iter().filter(|e| e.what.starts_with("POST ")).count());
    assert_eq!(posts, 0, "{what}: its guests run there");
    stage.with(|u| assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned()), "{what}"));
    stage.resume();
    stage.wait(Duration::from_secs(70));
    let said = stage.recover_until_settled(node);
    stage.all_runs_on(node, &format!("{what}: {said:?}"));
    stage.with(|u| {
        let mark = owner_mark::mark(node, NAME);
        let array = u.the_array();
        let marked: Vec<usize> = (0..4).filter(|slot| array.names[*slot] == mark).collect();
        assert_eq!(marked, living.current(), "{what}");
    });
}
