//! What each event of a schedule does to the world, and to the processes that run in it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nova_ha::incident::lead::Lead;
use nova_ha::keys;

use super::super::stage::say;
use super::super::time::wall;
use super::super::universe::{HA_NODES, HOST, Universe, in_flight, incident, server};
use super::engine::{Away, Due, Engine};
use super::event::{Event, Job};
use super::weather::{Clock, Freeze};

/// Shorter than this nobody notices that a machine was away.
const NOTICED: Duration = Duration::from_secs(10);

impl Engine<'_> {
    pub(super) fn begins(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Kill(who, job) => {
                let node = self.node(who);
                self.slots.retain(|slot| slot.node != node || slot.job != job);
                self.starts_later(node, job);
            }
            Event::Stop(who, job, length) => {
                let node = self.node(who);
                for slot in self.slots.iter_mut().filter(|slot| slot.node == node && slot.job == job) {
                    slot.frozen.push((event, now));
                }
                self.at(now + length, Due::Ends(node, event));
            }
            Event::Pause(who, length) => {
                let node = self.node(who);
                // One that is paused already, or has no power, stays so.
                if self.is_away(node, Away::Paused) || self.is_away(node, Away::NoPower) {
                    return;
                }
                for slot in self.slots.iter_mut().filter(|slot| slot.node == node) {
                    slot.frozen.push((event, now));
                }
                match length >= NOTICED {
                    true => self.goes(node, Away::Paused),
                    // Seen by nobody, and nothing is started there meanwhile.
                    false => drop(self.away.entry(node).or_default().insert(Away::Paused)),
                }
                self.at(now + length, Due::Ends(node, event));
            }
            Event::CutOff(who, length) => {
                let node = self.node(who);
                self.with(|u| u.weather.cut_off.insert(node.to_owned()));
                self.goes(node, Away::CutOff);
                self.at(now + length, Due::Ends(node, event));
            }
            Event::PowerCut(who, length) => {
                let node = self.node(who);
                self.loses_power(node);
                self.at(now + length, Due::Ends(node, event));
            }
            Event::HostReturns(length) => {
                if self.with(|u| u.machines[HOST].power_on) {
                    self.is_back(HOST, Away::Hangs);
                    if let Some(length) = length {
                        self.at(now + length, Due::Ends(HOST, event));
                    }
                }
            }
            Event::HostBmcSilent(length) => {
                self.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
                self.at(now + length, Due::Ends(HOST, event));
            }
            Event::BmcSilent(who, length) => {
                let node = self.node(who);
                self.with(|u| u.machines.get_mut(node).unwrap().bmc = false);
                self.at(now + length, Due::Ends(node, event));
            }
            Event::NoAnswers(who, how, length) => {
                let node = self.node(who);
                self.with(|u| u.weather.answers.insert(node.to_owned(), how));
                self.at(now + length, Due::Ends(node, event));
            }
            Event::Late(who, kind, by) => {
                let node = self.node(who);
                self.with(|u| u.weather.to_be_late.push((node.to_owned(), kind, by)));
            }
            Event::SessionEnds => self.with(|u| {
                if let Some(session) = u.kv.lock_holder(&keys::incident(&incident()).lock()) {
                    u.kv.end_session(&session, now);
                }
            }),
            Event::Hold => {
                if self.record().is_some() {
                    self.with(|u| say(u, Lead::Hold { reason: "a person wants to look".into() }));
                }
            }
            Event::Resume => self.is_led_on(),
            Event::Order(who) => {
                self.with(|u| u.invariants.as_mut().unwrap().ordered = Some(now));
                self.at(now, Due::Orders(self.node(who)));
            }
            Event::Word => self.gives_her_word(),
            Event::Rebuilds => self.with(|u| has_it_rebuilt(u, Some("rebuild_spawning"))),
            Event::Rests => self.with(|u| has_it_rebuilt(u, None)),
            Event::Retry => self.at(now, Due::Retries),
        }
    }

    pub(super) fn ends(&mut self, node: &'static str, event: Event) {
        match event {
            Event::Stop(..) => self.thaws(node, event, false),
            // It lost its power meanwhile, and what stood still in it is gone.
            Event::Pause(..) if !self.is_away(node, Away::Paused) => {}
            Event::Pause(_, length) => {
                self.with(|u| u.clocks.entry(node.to_owned()).or_default().behind += length);
                self.thaws(node, event, true);
                self.is_back(node, Away::Paused);
            }
            Event::CutOff(..) => {
                self.with(|u| u.weather.cut_off.remove(node));
                self.is_back(node, Away::CutOff);
            }
            Event::PowerCut(..) => self.boots(node),
            Event::HostReturns(_) => self.goes(HOST, Away::Hangs),
            Event::HostBmcSilent(_) | Event::BmcSilent(..) => {
                self.with(|u| u.machines.get_mut(node).unwrap().bmc = true);
            }
            Event::NoAnswers(..) => drop(self.with(|u| u.weather.answers.remove(node))),
            Event::Kill(..)
            | Event::Late(..)
            | Event::SessionEnds
            | Event::Hold
            | Event::Resume
            | Event::Order(_)
            | Event::Word
            | Event::Rebuilds
            | Event::Rests
            | Event::Retry => {}
        }
    }

    fn thaws(&mut self, node: &str, event: Event, clock_stands: bool) {
        let now = self.now();
        for slot in self.slots.iter_mut().filter(|slot| slot.node == node) {
            let Some(at) = slot.frozen.iter().position(|(by, _)| *by == event) else { continue };
            let (_, since) = slot.frozen.remove(at);
            slot.process.froze(Freeze { ended: now, length: now - since, clock_stands });
            slot.wakes.woken.store(true, Ordering::SeqCst);
        }
    }

    /// Nobody sees it any more.
    fn goes(&mut self, name: &'static str, why: Away) {
        self.away.entry(name).or_default().insert(why);
        if !self.with(|u| u.machines[name].dead) {
            self.with(|u| u.dies(name));
        }
    }

    fn is_back(&mut self, name: &'static str, from: Away) {
        let left = self.away.entry(name).or_default();
        left.remove(&from);
        if left.is_empty() && self.with(|u| u.machines[name].dead) {
            self.with(|u| u.returns(name));
        }
        let (started, recover) =
            (self.now() + self.random.millis(500, 5_000), self.random.millis(500, 20_000));
        if name != HOST && from != Away::CutOff {
            self.at(started, Due::Starts(name, Job::MarkFailed));
            self.at(self.now() + recover, Due::Starts(name, Job::Recover));
        }
    }

    pub(super) fn loses_power(&mut self, node: &'static str) {
        self.slots.retain(|slot| slot.node != node);
        self.away.entry(node).or_default().remove(&Away::Paused);
        self.with(|u| {
            u.machines.get_mut(node).unwrap().power_on = false;
            u.weather.loses_power(node);
            u.everything_holds();
            if u.array.is_some() {
                // Nothing is assembled there any more.
                u.the_array();
            }
            if u.pool_on.as_deref() == Some(node) {
                u.places.retain(|(on, _), _| on != node);
            }
        });
        self.goes(node, Away::NoPower);
    }

    pub(super) fn boots(&mut self, node: &'static str) {
        let now = self.now();
        self.with(|u| {
            if u.machines[node].power_on {
                return;
            }
            u.machines.get_mut(node).unwrap().power_on = true;
            let number = u.clock(node).booted.map_or(1, |(number, _)| number + 1);
            u.clocks.insert(node.to_owned(), Clock { behind: now, booted: Some((number, now)) });
            u.forgets_tokens(node);
            let _there_was_none = std::fs::remove_dir_all(u.run_dirs.path().join(node));
            if u.pool_on.as_deref() == Some(node) {
                u.pool_on = None;
            }
        });
        self.is_back(node, Away::NoPower);
    }

    fn is_led_on(&self) {
        if self.record().is_some() {
            self.stage.resume();
        }
    }

    /// As `nova-ha incident resume`, which wakes everybody.
    pub(crate) fn resume(&mut self) {
        self.is_led_on();
        for node in HA_NODES {
            let soon = self.now() + self.random.millis(50, 2_000);
            self.at(soon, Due::Starts(node, Job::Recover));
        }
    }

    /// A truthful one.
    fn gives_her_word(&mut self) {
        if self.record().is_none_or(|record| record.status.is_over()) {
            return;
        }
        self.goes(HOST, Away::NoPower);
        self.with(|u| {
            u.machines.get_mut(HOST).unwrap().power_on = false;
            let word = serde_json::json!({
                "version": 1, "host": HOST, "incident": incident().to_string(), "by": "ann",
                "at": wall(u.now).to_string(), "ttl_seconds": 600,
            });
            u.kv.put(&keys::incident(&incident()).confirm_off(), word.to_string());
        });
    }
}

/// Nova lets an owner rebuild a guest that is nowhere else, and whose evacuation is not under way.
fn has_it_rebuilt(universe: &mut Universe, task: Option<&str>) {
    let id = server(3).id;
    let is_under_way = universe.migrations.iter().any(|(m, _)| m.server == id && in_flight(m));
    let is_here = universe.servers[&id].host.as_ref().is_some_and(|host| host.as_str() == HOST);
    if is_here && !is_under_way {
        universe.servers.get_mut(&id).unwrap().task_state = task.map(Into::into);
    }
}
