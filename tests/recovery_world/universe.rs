//! What is really so: machines, their power, the probes that see them, Nova, and a list of every
//! rule that was broken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nova_ha::fence::Channel;
use nova_ha::keys;
use nova_ha::names::{Epoch, HaNodeName, HostName, IncidentId};
use nova_ha::nova::{
    Aggregate, ComputeService, Migration, MigrationStatus, NovaHost, PowerState, RequestId, Server,
    ServerGroup, ServerId, ServiceId, ServiceState, ServiceStatus, TokenId, VmState,
};
use nova_ha::recovery::world::Place;
use nova_ha::ssh::Answer;
use nova_ha::tree::formats::published::Published;
use nova_ha::tree::observer::{KEPT_INDICES, ObserverLife, ObserverRecord, PlaneAnswer, PlaneRecord};
use nova_ha::tree::record::{bytes, parse};

use super::arrays::SimArray;
use super::consul::Kv;
use super::keystone::SimToken;
use super::reports::SimReports;
use super::schedules::invariants::{Effect as Done, Invariants};
use super::schedules::weather::{Clock, Weather};
use super::time::wall;

pub(crate) const HOST: &str = "compute1";
pub(crate) const HA_NODES: [&str; 3] = ["ha1", "ha2", "ha3"];
/// Nova's 401.
pub(crate) const NOT_AUTHORIZED: &str = "not authorized";

pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// An outlet, and the device that switches it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feed {
    /// Whether its device answers.
    pub(crate) answers: bool,
    pub(crate) on: bool,
    /// Whether it is on whatever it is told.
    pub(crate) stuck: bool,
}

/// A computer.
pub(crate) struct Machine {
    /// Answers no probe, gossips with nobody.
    pub(crate) dead: bool,
    pub(crate) power_on: bool,
    /// Whether its BMC answers.
    pub(crate) bmc: bool,
    /// The machine whose BMC is at the address of its own, where somebody changed that.
    pub(crate) bmc_is_of: Option<String>,
    /// How somebody at its address says that it is there, whatever its power.
    pub(crate) noise: Option<Answer>,
    /// By which way its BMC's answers come.
    pub(crate) channel: Channel,
    /// Whether somebody between answers in the place of its BMC: off, whatever its power.
    pub(crate) is_called_off: bool,
    /// Whether it gossips although it answers no probe.
    pub(crate) gossips: bool,
    /// The SSH host key by which its observers know it, where nobody bound one.
    pub(crate) first_seen_key: Option<&'static str>,
    /// Its two feeds, each with a device of its own; nothing where one BMC has all of its power.
    pub(crate) feeds: Option<[Feed; 2]>,
    /// A plane on which it answers although it answers no login.
    pub(crate) answers_on: Option<&'static str>,
}

impl Machine {
    /// All is well.
    pub(crate) fn well() -> Self {
        Self {
            dead: false,
            power_on: true,
            bmc: true,
            bmc_is_of: None,
            noise: None,
            channel: Channel::Shown,
            is_called_off: false,
            gossips: false,
            first_seen_key: None,
            feeds: None,
            answers_on: None,
        }
    }
}

struct Probe {
    observer: String,
    subject: String,
    key: String,
    /// Since when it fails.
    since: Duration,
    next: Duration,
    sequence: u64,
    fails: u64,
    indices: Vec<u64>,
}

/// Something that was done to the world outside of Consul.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) at: Duration,
    pub(crate) by: String,
    pub(crate) what: String,
}

/// An evacuate that is on its way.
#[derive(Debug, Clone)]
pub(crate) struct LatePost {
    pub(crate) due: Duration,
    pub(crate) by: String,
    pub(crate) server: ServerId,
    pub(crate) to: Option<String>,
    pub(crate) token: TokenId,
}

pub(crate) struct Universe {
    /// A folder per machine, for what it remembers until its next boot.
    pub(crate) run_dirs: tempfile::TempDir,
    /// A folder per machine, for what it remembers over boots.
    pub(crate) state_dirs: tempfile::TempDir,
    pub(crate) now: Duration,
    pub(crate) kv: Kv,
    pub(crate) machines: BTreeMap<String, Machine>,
    probes: Vec<Probe>,
    pub(crate) services: BTreeMap<String, ComputeService>,
    pub(crate) servers: BTreeMap<ServerId, Server>,
    pub(crate) migrations: Vec<(Migration, Duration)>,
    /// What is at a guest's place on an HA node; absent where nothing is said.
    pub(crate) places: BTreeMap<(String, ServerId), Place>,
    /// Which machine has the pool of the guests' disks, where there is one.
    pub(crate) pool_on: Option<String>,
    /// The array of the guests' disks, where there is one.
    pub(crate) array: Option<SimArray>,
    /// What was going on when the host died; nothing of it moves any more.
    pub(crate) live_migrations: Vec<Migration>,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) server_groups: Vec<ServerGroup>,
    /// POSTs of a process that is gone, still on their way.
    pub(crate) late_posts: Vec<LatePost>,
    /// Keystone's.
    pub(crate) tokens: BTreeMap<TokenId, SimToken>,
    /// With which token Nova works on a migration.
    pub(crate) works_with: BTreeMap<i64, (TokenId, Duration)>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) broken: Vec<String>,
    /// How many evacuations Nova lets fail before one succeeds.
    pub(crate) failing_evacuations: usize,
    /// Guests that Nova evacuates never (a vTPM, a share): it says so each time, with 400.
    pub(crate) refused_by_nova: BTreeSet<ServerId>,
    /// Whether the targets died with what was under way to them: nothing of it moves any more.
    pub(crate) targets_are_dead: bool,
    /// What the owner of a guest begins to have done with it in the moment its evacuation ends.
    pub(crate) owner_begins: Option<(ServerId, &'static str)>,
    /// The same, of a guest whose evacuation gave up.
    pub(crate) owner_begins_after_a_failure: Option<&'static str>,
    /// Whether Nova does not answer at all.
    pub(crate) nova_is_away: bool,
    /// When the dead host announces a crash dump: from, until, how often.
    pub(crate) announcements: Option<(Duration, Duration, Duration)>,
    /// Who reports to Nova.
    pub(crate) reports: SimReports,
    /// HA nodes on which something else has the port of fence_kdump.
    pub(crate) deaf: BTreeSet<String>,
    /// Whether a person's order is in its time: then a shot needs no votes.
    pub(crate) ordered: bool,
    /// What is wrong with the ways between machines.
    pub(crate) weather: Weather,
    /// By how much a machine's boot clock is behind: its boots, and the time that it was paused.
    pub(crate) clocks: BTreeMap<String, Clock>,
    /// What is watched in random schedules.
    pub(crate) invariants: Option<Box<Invariants>>,
}

pub(crate) fn incident() -> IncidentId {
    IncidentId::new(HOST.parse().unwrap(), Epoch(0))
}

fn id(kind: u32, number: usize) -> String {
    format!("{kind:08}-0000-4000-8000-{number:012}")
}

fn service(number: usize, host: &str) -> ComputeService {
    ComputeService {
        id: id(9, number).parse::<ServiceId>().unwrap(),
        host: host.parse().unwrap(),
        state: ServiceState::Up,
        status: ServiceStatus::Enabled,
        disabled_reason: None,
        forced_down: false,
        updated_at: None,
        zone: None,
    }
}

pub(crate) fn server(number: usize) -> Server {
    Server {
        id: id(1, number).parse().unwrap(),
        name: format!("guest{number}"),
        host: Some(HOST.parse().unwrap()),
        hypervisor_hostname: None,
        vm_state: if number == 2 { VmState::Stopped } else { VmState::Active },
        task_state: None,
        power_state: PowerState::Running,
        locked: false,
        locked_reason: None,
        metadata: BTreeMap::new(),
        image: Some("image".into()),
        volumes: Vec::new(),
        flavor: Default::default(),
        project: None,
        launched: true,
        fault: None,
        server_groups: Vec::new(),
    }
}

impl Universe {
    /// Three HA nodes, and hosts of which the first has three guests; all is well.
    pub(crate) fn new(now: Duration) -> Self {
        let hosts = [HOST, "compute2", "compute3"];
        let mut kv = Kv::default();
        kv.put(
            keys::INCIDENTS_SENTINEL,
            r#"{"version":1,"generation":"g","created_at":"2026-01-01T00:00:00Z"}"#,
        );
        kv.put(keys::META, r#"{"version":1,"generation":"g","created_at":"2026-01-01T00:00:00Z"}"#);
        kv.put(keys::POLICY, r#"{"version":1,"storm_limit":3,"off_reads":2}"#);
        let mut machines = BTreeMap::new();
        let mut services = BTreeMap::new();
        for (number, name) in hosts.iter().chain(&HA_NODES).enumerate() {
            let machine = match hosts.contains(name) {
                true => keys::host(&name.parse().unwrap()),
                false => keys::ha_node(&name.parse().unwrap()),
            };
            kv.put(&machine.general(), "");
            kv.put(&machine.bmc_field("identity"), format!("SN-{name}"));
            if !hosts.contains(name) {
                kv.put(&machine.storage(), "shared");
                kv.put(&machine.in_use(), "False");
                let published = Published::of_this_build(Some(Clock::default().boot_id(name)));
                kv.put(&machine.formats(), serde_json::to_vec(&published).unwrap());
            }
            machines.insert((*name).to_owned(), Machine::well());
            services.insert((*name).to_owned(), service(number, name));
        }
        Self {
            run_dirs: tempfile::tempdir().unwrap(),
            state_dirs: tempfile::tempdir().unwrap(),
            array: None,
            now,
            kv,
            machines,
            probes: Vec::new(),
            services,
            servers: (1..=3).map(server).map(|s| (s.id.clone(), s)).collect(),
            migrations: Vec::new(),
            places: BTreeMap::new(),
            pool_on: None,
            live_migrations: Vec::new(),
            aggregates: Vec::new(),
            server_groups: Vec::new(),
            late_posts: Vec::new(),
            tokens: BTreeMap::new(),
            works_with: BTreeMap::new(),
            effects: Vec::new(),
            broken: Vec::new(),
            failing_evacuations: 0,
            refused_by_nova: BTreeSet::new(),
            targets_are_dead: false,
            owner_begins: None,
            owner_begins_after_a_failure: None,
            nova_is_away: false,
            announcements: None,
            reports: SimReports::default(),
            deaf: BTreeSet::new(),
            ordered: false,
            weather: Weather::default(),
            clocks: BTreeMap::new(),
            invariants: None,
        }
    }

    pub(crate) fn rule(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            let line = format!("at {:?}: {}", self.now, what.into());
            self.breaks_a_rule_of_the_world(&line);
            self.broken.push(line);
        }
    }

    /// This machine's boot clock.
    pub(crate) fn clock(&self, machine: &str) -> Clock {
        self.clocks.get(machine).copied().unwrap_or_default()
    }

    /// From now on every living HA node's probes of it fail.
    pub(crate) fn dies(&mut self, name: &str) {
        self.machines.get_mut(name).unwrap().dead = true;
        self.reports.fell_silent(name, self.now);
        if let Some(service) = self.services.get_mut(name) {
            service.state = ServiceState::Down;
        }
        let keys = match HA_NODES.contains(&name) {
            true => keys::ha_node(&name.parse().unwrap()),
            false => keys::host(&name.parse().unwrap()),
        };
        for (offset, observer) in HA_NODES.iter().enumerate().filter(|(_, o)| **o != name) {
            // One that was away itself has not seen it answer meanwhile.
            if self.probes.iter().any(|p| p.observer == *observer && p.subject == name) {
                continue;
            }
            let key = keys.observer(&observer.parse::<HaNodeName>().unwrap());
            let before = self.kv.get(&key).map(|e| parse::<ObserverRecord>(&e.key, &e.value).unwrap());
            self.probes.push(Probe {
                observer: (*observer).to_owned(),
                subject: name.to_owned(),
                key,
                since: self.now,
                next: self.now + Duration::from_secs(1 + offset as u64 * 3),
                sequence: before.map_or(0, |record| record.sequence),
                fails: 0,
                indices: Vec::new(),
            });
        }
    }

    /// It answers again, and its nova-compute reports; each observer says so once.
    pub(crate) fn returns(&mut self, name: &str) {
        self.machines.get_mut(name).unwrap().dead = false;
        self.reports.returned(name);
        if let Some(service) = self.services.get_mut(name).filter(|service| !service.forced_down) {
            service.state = ServiceState::Up;
        }
        // An observer that is away itself says so when it is back.
        let machines = &self.machines;
        let (over, rest) = std::mem::take(&mut self.probes)
            .into_iter()
            .partition(|p: &Probe| p.subject == name && !machines[&p.observer].dead);
        self.probes = rest;
        let soon = self.now + Duration::from_secs(1);
        for probe in self.probes.iter_mut().filter(|p| p.observer == name) {
            probe.next = probe.next.max(soon);
        }
        for mut probe in over {
            probe.fails = 0;
            probe.indices.clear();
            self.write_probe(&mut probe);
        }
    }

    /// Everything that happened by itself until now, in order.
    pub(crate) fn at(&mut self, now: Duration) -> &mut Self {
        loop {
            let alive = |p: &&mut Probe| !self.machines[&p.observer].dead;
            let probe = self.probes.iter_mut().filter(alive).map(|p| p.next).min();
            let session = self.kv.next_expiry();
            let migration = self.migrations.iter().filter(|(m, _)| in_flight(m)).map(|(_, at)| *at).min();
            let post = self.late_posts.iter().map(|post| post.due).min();
            let message = self.weather.next_arrival();
            let times = [probe, session.as_ref().map(|(at, _)| *at), migration, post, message];
            let Some(next) = times.into_iter().flatten().min().filter(|next| *next <= now) else { break };
            self.now = self.now.max(next);
            if probe == Some(next) {
                self.probe_at(next);
            } else if migration == Some(next) {
                self.migrate_at(next);
            } else if message == Some(next) {
                self.a_message_arrives();
            } else if post == Some(next) {
                let found = self.late_posts.iter().position(|post| post.due == next).unwrap();
                let LatePost { by, server, to, token, .. } = self.late_posts.remove(found);
                let _nobody_hears = self.evacuate(&by, &server, to.as_deref(), Some(&token));
            } else if let Some((at, session)) = session {
                self.kv.end_session(&session, at);
            }
        }
        self.now = self.now.max(now);
        self
    }

    fn probe_at(&mut self, at: Duration) {
        for mut probe in std::mem::take(&mut self.probes) {
            if probe.next == at && !self.machines[&probe.observer].dead {
                // Elsewhere a test says itself when the host answers again, and to whom (`returns`, `loses_sight`).
                let answers = self.invariants.is_some() && !self.machines[&probe.subject].dead;
                probe.fails = if answers { 0 } else { probe.fails + 1 };
                if answers {
                    probe.indices.clear();
                }
                self.write_probe(&mut probe);
                if answers {
                    continue;
                }
                probe.next = at + PROBE_INTERVAL;
            }
            self.probes.push(probe);
        }
    }

    fn write_probe(&mut self, probe: &mut Probe) {
        probe.sequence += 1;
        let clock = self.clock(&probe.observer);
        let failed = probe.fails > 0;
        let answer = if failed { PlaneAnswer::Failed } else { PlaneAnswer::Healthy };
        let record =
            ObserverRecord {
                version: 1,
                observer: probe.observer.parse().unwrap(),
                epoch: Epoch(0),
                sequence: probe.sequence,
                fails: probe.fails,
                threshold: 3,
                planes: [("management".to_owned(), PlaneRecord { answer, fails: probe.fails })]
                    .into_iter()
                    .chain(self.machines[&probe.subject].answers_on.map(|plane| {
                        (plane.to_owned(), PlaneRecord { answer: PlaneAnswer::Healthy, fails: 0 })
                    }))
                    .collect(),
                interval_ms: u64::try_from(PROBE_INTERVAL.as_millis()).unwrap(),
                indices: probe.indices.clone(),
                life: ObserverLife {
                    boot_id: clock.boot_id(&probe.observer),
                    boottime_ms: u64::try_from((self.now - clock.behind).as_millis()).unwrap(),
                    seen_healthy: clock.booted.is_none_or(|(_, at)| at + PROBE_INTERVAL < probe.since),
                    leaderless_ms: None,
                },
                sees_healthy: self.hosts_alive_but(&probe.subject),
                first_seen_key: self.machines[&probe.subject].first_seen_key.map(str::to_owned),
                at: wall(self.now),
                why: String::new(),
            };
        let index = self.kv.put(&probe.key, bytes(&record));
        self.was_probed(&probe.observer, &probe.subject, probe.fails >= record.threshold);
        probe.indices.push(index);
        let over = probe.indices.len().saturating_sub(KEPT_INDICES);
        probe.indices.drain(..over);
    }

    fn hosts_alive_but(&self, subject: &str) -> Vec<HostName> {
        let others =
            self.machines.iter().filter(|(name, _)| *name != subject && !HA_NODES.contains(&name.as_str()));
        others.filter(|(_, machine)| !machine.dead).map(|(name, _)| name.parse().unwrap()).collect()
    }

    /// Another host, without guests.
    pub(crate) fn adds_host(&mut self, name: &str) {
        let machine = keys::host(&name.parse().unwrap());
        self.kv.put(&machine.general(), "");
        self.kv.put(&machine.bmc_field("identity"), format!("SN-{name}"));
        self.machines.insert(name.to_owned(), Machine::well());
        self.services.insert(name.to_owned(), service(self.services.len(), name));
    }

    /// From now on one HA node reaches none of the hosts, which all live.
    pub(crate) fn loses_sight(&mut self, observer: &str) {
        let hosts = self.machines.keys().filter(|name| !HA_NODES.contains(&name.as_str())).cloned();
        for (offset, subject) in hosts.collect::<Vec<_>>().into_iter().enumerate() {
            self.probes.push(Probe {
                observer: observer.to_owned(),
                key: keys::host(&subject.parse().unwrap()).observer(&observer.parse().unwrap()),
                subject,
                next: self.now + Duration::from_secs(1 + offset as u64),
                sequence: 0,
                fails: 0,
                indices: Vec::new(),
                since: self.now,
            });
        }
    }

    fn migrate_at(&mut self, at: Duration) {
        let is_watched = self.invariants.is_some();
        let mut started = Vec::new();
        for (migration, next) in self.migrations.iter_mut().filter(|(m, due)| in_flight(m) && *due == at) {
            let to = &self.machines[migration.dest.as_ref().unwrap().as_str()];
            if is_watched && to.dead {
                // Its nova-compute hears nothing; without power it has forgotten it.
                *next = if to.power_on { at + Duration::from_secs(5) } else { Duration::MAX };
                continue;
            }
            let server = self.servers.get_mut(&migration.server).unwrap();
            match migration.status {
                _ if self.targets_are_dead => *next = Duration::MAX,
                MigrationStatus::Accepted => {
                    migration.status = MigrationStatus::PreMigrating;
                    *next = at + Duration::from_secs(4);
                }
                _ if self.failing_evacuations > 0 => {
                    self.failing_evacuations -= 1;
                    migration.status = MigrationStatus::Failed;
                    server.task_state = self.owner_begins_after_a_failure.map(Into::into);
                }
                _ => {
                    migration.status = MigrationStatus::Done;
                    started.push((server.id.clone(), migration.dest.as_ref().unwrap().to_string()));
                    server.host = migration.dest.clone();
                    let begun = self.owner_begins.as_ref().filter(|(guest, _)| *guest == server.id);
                    server.task_state = begun.map(|(_, task)| (*task).into());
                    if server.vm_state == VmState::Error {
                        server.vm_state = VmState::Active;
                    }
                }
            }
        }
        for (server, on) in started {
            self.guest_starts(&server, &on);
        }
    }

    pub(crate) fn did(&mut self, by: &str, what: String) {
        self.effects.push(Effect { at: self.now, by: by.to_owned(), what });
    }

    /// Nova's answer to an evacuate: 400 while the source counts as up. Since 26 it takes a second
    /// one while the first is running, so that nobody else rules it out.
    ///
    /// A token that is not taken any more is refused before anything is looked at.
    pub(crate) fn evacuate(
        &mut self,
        by: &str,
        server: &ServerId,
        to: Option<&str>,
        token: Option<&TokenId>,
    ) -> Result<(), &'static str> {
        if token.is_some_and(|token| !self.takes_at(token, self.now)) {
            return Err(NOT_AUTHORIZED);
        }
        let at = self.servers[server].host.clone();
        self.did(by, format!("POST {server}"));
        self.is_done(by, &Done::Evacuate { server: server.clone(), from: at.clone() });
        if at.as_ref().is_none_or(|host| !self.services[host.as_str()].forced_down) {
            return Err("still in use");
        }
        if !matches!(self.servers[server].vm_state, VmState::Active | VmState::Stopped | VmState::Error) {
            return Err("vm_state");
        }
        if self.refused_by_nova.contains(server) {
            return Err("Operation 'evacuate' not supported for vTPM-enabled instance");
        }
        let off = !self.machines[at.unwrap().as_str()].power_on;
        self.rule(off, format!("{by} POSTs {server} while its host is powered on"));
        let on_its_way =
            self.late_posts.iter().any(|late| late.server == *server && self.takes_at(&late.token, late.due));
        self.rule(!on_its_way, format!("{by} POSTs {server} while an earlier POST may still arrive"));
        let mine = || self.migrations.iter().map(|(m, _)| m).filter(|m| m.server == *server);
        let (live, done) = (mine().any(in_flight), mine().any(|m| m.status == MigrationStatus::Done));
        self.rule(!live && !done, format!("{by} POSTs {server} a second time, {live} {done}"));
        let number = self.migrations.len() + 1;
        if let Some(token) = token {
            self.works_with.insert(i64::try_from(number).unwrap(), (token.clone(), self.now));
        }
        let to = to.map_or_else(|| self.schedulers_choice(), str::to_owned);
        let migration = Migration {
            id: i64::try_from(number).unwrap(),
            uuid: id(7, number),
            server: server.clone(),
            status: MigrationStatus::Accepted,
            source: HOST.parse().unwrap(),
            dest: Some(to.parse::<NovaHost>().unwrap()),
            created_at: format!("{:012}", self.now.as_millis()),
            updated_at: None,
        };
        self.servers.get_mut(server).unwrap().task_state = Some("rebuilding".into());
        self.migrations.push((migration, self.now + Duration::from_secs(1)));
        Ok(())
    }

    /// Guests of all HA nodes.
    pub(crate) fn goes_where_the_scheduler_says(&mut self) {
        for node in HA_NODES {
            let targets = keys::ha_node(&node.parse().unwrap()).targets();
            self.kv.put(&targets, r#"{"version":1,"mode":"scheduler"}"#);
        }
    }

    /// Another host each time, so that two evacuations of one guest are two builds of it.
    fn schedulers_choice(&self) -> String {
        let lives = |name: &&String| self.machines[*name].power_on && !self.machines[*name].dead;
        let hosts = self.machines.keys().filter(|name| *name != HOST && !HA_NODES.contains(&name.as_str()));
        let hosts: Vec<&String> = hosts.filter(lives).collect();
        hosts[self.migrations.len() % hosts.len()].clone()
    }

    /// As Nova does it, in flight or not: an evacuation under way would be aborted by it.
    pub(crate) fn reset_to_error(&mut self, by: &str, server: &ServerId) -> RequestId {
        self.did(by, format!("reset {server}"));
        self.is_done(by, &Done::Nova);
        let late =
            self.late_posts.iter().any(|late| late.server == *server && self.takes_at(&late.token, late.due));
        let live = self.migrations.iter().any(|(m, _)| m.server == *server && in_flight(m));
        self.rule(!late && !live, format!("{by} resets {server} while its evacuation may be under way"));
        let host = self.servers[server].host.clone();
        let off = host.as_ref().is_some_and(|host| !self.machines[host.as_str()].power_on);
        self.rule(off, format!("{by} resets {server} on {host:?}, which is powered on"));
        let server = self.servers.get_mut(server).unwrap();
        server.vm_state = VmState::Error;
        server.task_state = None;
        RequestId::ours()
    }

    /// Nova's answer to a stop: 409 where it is not running.
    pub(crate) fn stop(&mut self, by: &str, server: &ServerId) -> Result<(), &'static str> {
        self.did(by, format!("stop {server}"));
        let elsewhere = self.servers[server].host.as_ref().is_some_and(|host| host.as_str() != HOST);
        self.rule(elsewhere, format!("{by} stops {server} on the dead host"));
        let server = self.servers.get_mut(server).unwrap();
        if server.vm_state != VmState::Active {
            return Err("vm_state");
        }
        server.vm_state = VmState::Stopped;
        Ok(())
    }

    /// Nobody is shot but a machine that is dead for at least the threshold.
    pub(crate) fn switch_off(&mut self, by: &str, name: &str) {
        self.did(by, format!("off {name}"));
        let voters: BTreeSet<&str> = self
            .probes
            .iter()
            .filter(|p| p.subject == name && p.fails >= 3 && !self.machines[&p.observer].dead)
            .map(|p| p.observer.as_str())
            .collect();
        let quorum = voters.len() >= 2 || self.ordered;
        if self.invariants.is_some() {
            self.is_done(by, &Done::Off { machine: name.to_owned() });
        } else {
            self.rule(quorum, format!("{by} powers {name} off without a quorum"));
        }
        let machine = self.machines.get_mut(name).unwrap();
        if machine.is_called_off {
            return;
        }
        machine.power_on = false;
        self.reports.fell_silent(name, self.now);
    }
}

pub(crate) fn in_flight(migration: &Migration) -> bool {
    matches!(migration.status, MigrationStatus::Accepted | MigrationStatus::PreMigrating)
}
