//! The seams of a recovery before a simulated world: every call is counted, takes a while, and may
//! be the one at which something goes wrong.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::clock::{BootInstant, Clock};
use nova_ha::evidence::Anchors;
use nova_ha::fence::{
    Channel, ConfigError, FenceError, FenceLevels, Identity, Level, Machine, PowerState, PowerSwitch,
    Privilege,
};
use nova_ha::incident::lead::Lead;
use nova_ha::judge::scene::Anchor;
use nova_ha::keys::{self, MachineKeys};
use nova_ha::machine_id::MachineId;
use nova_ha::recovery::options::Options;
use nova_ha::recovery::report::Report;
use nova_ha::recovery::run::run;
use nova_ha::recovery::stop::Stop;
use nova_ha::recovery::world::{Fences, Reach, World};
use nova_ha::ssh::{Answer, Failure, PinnedKey};
use nova_ha::store::{
    Check, CheckStatus, Denial, Entry, NodeHealth, Op, Renewal, SerfHealth, SessionId, SessionSpec, Store,
    StoreError, TxnOutcome,
};
use nova_ha::tree::Snapshot;
use nova_ha::watched;

use super::arrays::SimArrays;
use super::cloud::SimClouds;
use super::disks::SimDisks;
use super::dumps::SimDumps;
use super::feeds::feeds;
use super::reservations::SimReservations;
use super::schedules::invariants::Actor;
use super::schedules::weather::{Freeze, Kind, Request};
use super::storage::SimPrograms;
use super::time::{Time, wall};
use super::universe::{HOST, Universe, incident};

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies before the call takes effect.
    DiesBefore,
    /// The process dies after its effect, before the answer.
    DiesAfter,
    /// The process dies, and an evacuate that it was sending arrives this much later.
    DiesAndPostsLater(Duration),
    /// An evacuate has no answer, and arrives this much later while its sender lives on.
    PostsLater(Duration),
    /// No answer, and no effect.
    NoAnswer,
    /// The same, and it takes as long as a request to Consul may.
    Hangs,
    /// The effect, and no answer.
    AnswerLost,
    /// Somebody destroys the session that holds the incident's lock.
    SessionEnds,
    /// A person holds the incident, if it is open.
    PersonHolds,
    /// A living machine begins to report to Nova under the dead host's name.
    TwinReports,
    /// The HA node that holds the incident lives, whatever the votes say, and takes the storage.
    HolderTakesStorage,
    /// The original picks HA node ha3 for a recovery: the first of its two writes.
    OriginalPicks,
    /// A person binds compute1's array to compute2.
    ArrayIsBoundElsewhere,
}

/// A machine's own, by its name.
pub(crate) fn machine_id(machine: &str) -> MachineId {
    let digits: String = machine.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{digits:f>32}").try_into().unwrap()
}

/// Of one attempt of a request to Consul.
const DEADLINE: Duration = Duration::from_secs(5);

/// In place of a number: the first evacuate, wherever it comes.
pub(crate) const FIRST_EVACUATE: usize = usize::MAX;

/// One execution of `nova-ha-recover` on one HA node.
pub(crate) struct Process {
    /// Which machine it runs on.
    pub(crate) node: String,
    /// The HA node that it calls itself.
    name: String,
    /// What Consul's agent there calls itself; `None` where its token may not ask.
    agent: Option<String>,
    pub(crate) time: Arc<Time>,
    pub(crate) universe: Arc<Mutex<Universe>>,
    state: Mutex<State>,
}

struct State {
    calls: Vec<String>,
    fault: Option<(usize, Fault)>,
    died: bool,
    random: u64,
    /// When the fault struck.
    struck: Option<Duration>,
    /// By how much its machine's boot clock is behind.
    behind: Duration,
    /// When it stood still.
    freezes: Vec<Freeze>,
    /// When Consul last said that the incident is its own, by its machine's boot clock.
    ours_at: Option<Duration>,
}

impl Process {
    /// With a seed of 0 each call takes the same time.
    pub(crate) fn new(
        node: &str,
        time: &Arc<Time>,
        universe: &Arc<Mutex<Universe>>,
        fault: Option<(usize, Fault)>,
        seed: u64,
    ) -> Arc<Self> {
        let behind = universe.lock().unwrap().clock(node).behind;
        let state = State {
            calls: Vec::new(),
            fault,
            died: false,
            random: seed,
            struck: None,
            behind,
            freezes: Vec::new(),
            ours_at: None,
        };
        Arc::new(Self {
            node: node.to_owned(),
            name: node.to_owned(),
            agent: Some(node.to_owned()),
            time: Arc::clone(time),
            universe: Arc::clone(universe),
            state: Mutex::new(state),
        })
    }

    /// The same, on a machine that calls itself as another one does.
    pub(crate) fn named(mut self: Arc<Self>, name: &str, agent: Option<&str>) -> Arc<Self> {
        let process = Arc::get_mut(&mut self).unwrap();
        process.name = name.to_owned();
        process.agent = agent.map(str::to_owned);
        self
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn fault(&self) -> Option<(usize, Fault)> {
        self.state.lock().unwrap().fault
    }

    pub(crate) fn struck(&self) -> Option<Duration> {
        self.state.lock().unwrap().struck
    }

    pub(crate) fn world(self: &Arc<Self>) -> World {
        let (run_dir, state_dir, boot_id) = {
            let universe = self.universe.lock().unwrap();
            (
                universe.run_dirs.path().join(&self.node),
                universe.state_dirs.path().join(&self.node),
                universe.clock(&self.node).boot_id(&self.node),
            )
        };
        World {
            store: Box::new(SimStore(Arc::clone(self))),
            clock: Box::new(ProcessClock(Arc::clone(self))),
            anchors: Box::new(SimAnchors),
            fences: Box::new(SimFences(Arc::clone(self))),
            clouds: Box::new(SimClouds(Arc::clone(self))),
            reach: Box::new(SimReach(Arc::clone(self))),
            dumps: Box::new(SimDumps(Arc::clone(self))),
            disks: Box::new(SimDisks(Arc::clone(self))),
            programs: Box::new(SimPrograms(Arc::clone(self))),
            arrays: Box::new(SimArrays(Arc::clone(self))),
            reservations: Box::new(SimReservations(Arc::clone(self))),
            progress: Box::new(nova_ha::recovery::progress::Nobody),
            me: self.name.parse().unwrap(),
            machine: machine_id(&self.node),
            boot_id,
            run_dir,
            local_file: state_dir.join("local.toml"),
            state_dir,
        }
    }

    /// Runs to its end; `None` if it died.
    pub(crate) async fn run(self: &Arc<Self>) -> Option<Result<Vec<Report>, Stop>> {
        let world = self.world();
        let options = Options { only: None, plan_only: false, patience: Duration::from_secs(120) };
        self.until_it_dies(run(&world, &options)).await
    }

    /// Any other work of it; `None` if it died.
    pub(crate) async fn until_it_dies<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.state.lock().unwrap().died => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    async fn pause(&self) {
        let length = {
            let mut state = self.state.lock().unwrap();
            if state.random == 0 {
                10
            } else {
                state.random ^= state.random << 13;
                state.random ^= state.random >> 7;
                state.random ^= state.random << 17;
                state.random % 400
            }
        };
        self.time.sleep(Duration::from_millis(length)).await;
    }

    fn begin(&self, name: &str) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(name.to_owned());
        let number = state.calls.len() - 1;
        let is_here = |at: usize| at == number || (at == FIRST_EVACUATE && name == "evacuate");
        let fault = state.fault.filter(|(at, _)| is_here(*at)).map(|(_, fault)| fault);
        if fault.is_some() {
            state.struck = Some(self.time.now());
        }
        fault
    }

    async fn die(&self) -> std::convert::Infallible {
        self.state.lock().unwrap().died = true;
        std::future::pending().await
    }

    /// One call: `act` is its effect, `lost` the error of a call without an answer.
    pub(crate) async fn call<T, E>(
        &self,
        name: &str,
        lost: impl FnOnce() -> E,
        act: impl FnOnce(&mut Universe) -> Result<T, E>,
    ) -> Result<T, E> {
        let frozen_before = self.state.lock().unwrap().freezes.len();
        let fault = self.begin(name);
        self.pause().await;
        match fault {
            Some(Fault::DiesBefore | Fault::DiesAndPostsLater(_)) => {
                self.die().await;
            }
            Some(Fault::NoAnswer | Fault::PostsLater(_)) => return Err(lost()),
            Some(Fault::Hangs) => {
                self.time.sleep(DEADLINE).await;
                return Err(lost());
            }
            Some(Fault::SessionEnds) => {
                let now = self.time.now();
                let mut universe = self.universe.lock().unwrap();
                if let Some(session) = universe.kv.lock_holder(&keys::incident(&incident()).lock()) {
                    universe.at(now).kv.end_session(&session, now);
                }
            }
            Some(Fault::TwinReports) => {
                let now = self.time.now() + Duration::from_secs(2);
                self.universe.lock().unwrap().reports.twin_begins(HOST, now);
            }
            Some(Fault::PersonHolds) => {
                let now = self.time.now();
                let mut universe = self.universe.lock().unwrap();
                super::stage::say(universe.at(now), Lead::Hold { reason: "wait".into() });
            }
            Some(Fault::OriginalPicks) => {
                let now = self.time.now();
                let in_use = keys::ha_node(&"ha3".parse().unwrap()).in_use();
                self.universe.lock().unwrap().at(now).kv.put(&in_use, "True");
            }
            Some(Fault::ArrayIsBoundElsewhere) => {
                let now = self.time.now();
                super::whose::binds_the_array_to(self.universe.lock().unwrap().at(now), "compute2");
            }
            Some(Fault::HolderTakesStorage) => {
                let now = self.time.now();
                self.universe.lock().unwrap().at(now).holder_takes_the_storage();
            }
            Some(Fault::DiesAfter | Fault::AnswerLost) | None => {}
        }
        if self.universe.lock().unwrap().weather.swallows(&self.node, name) {
            return self.no_answer(lost).await;
        }
        let outcome = self.acting(frozen_before, act);
        match fault {
            Some(Fault::DiesAfter) => {
                self.die().await;
            }
            Some(Fault::AnswerLost) => return Err(lost()),
            _ => {}
        }
        self.pause().await;
        if self.universe.lock().unwrap().weather.loses_the_answer(&self.node, name) {
            return self.no_answer(lost).await;
        }
        outcome
    }

    /// Something of the world is changed in its name.
    fn acting<T>(&self, frozen_before: usize, act: impl FnOnce(&mut Universe) -> T) -> T {
        let now = self.time.now();
        let clock = self.boot_clock();
        let actor = {
            let state = self.state.lock().unwrap();
            let freezes = &state.freezes;
            let in_call = freezes.get(frozen_before..).and_then(|these| these.first().copied());
            let asked_ago = state.ours_at.map(|at| clock - at);
            Actor { late: None, in_call, last: freezes.last().copied(), asked_ago }
        };
        let mut universe = self.universe.lock().unwrap();
        let universe = universe.at(now);
        universe.begins(actor);
        let outcome = act(universe);
        universe.is_over();
        outcome
    }

    async fn no_answer<T, E>(&self, lost: impl FnOnce() -> E) -> Result<T, E> {
        self.time.sleep(DEADLINE).await;
        Err(lost())
    }

    /// One call whose effect may be a message that is on its way for long: then nobody answers, and it happens when it
    /// arrives.
    pub(crate) async fn send<T, E>(
        &self,
        request: Request<'_>,
        lost: impl FnOnce() -> E,
        act: impl FnOnce(&mut Universe) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let late = self.universe.lock().unwrap().weather.is_late(&self.node, request.kind);
        let Some(by) = late else { return self.call(request.name, lost, act).await };
        let frozen_before = self.state.lock().unwrap().freezes.len();
        let _no_fault_of_its_own = self.begin(request.name);
        self.pause().await;
        let node = self.node.clone();
        self.acting(frozen_before, |u| u.is_sent(&node, &request, by, move |u| drop(act(u))));
        self.no_answer(lost).await
    }

    /// It stood still; a machine that was paused does not know.
    pub(crate) fn froze(&self, freeze: Freeze) {
        let mut state = self.state.lock().unwrap();
        if freeze.clock_stands {
            state.behind += freeze.length;
        }
        state.freezes.push(freeze);
    }

    fn boot_clock(&self) -> Duration {
        self.time.now() - self.state.lock().unwrap().behind
    }
}

/// The clocks of the machine that it runs on.
struct ProcessClock(Arc<Process>);

#[async_trait]
impl Clock for ProcessClock {
    fn boottime(&self) -> BootInstant {
        BootInstant::since_boot(self.0.boot_clock())
    }
    fn wall(&self) -> jiff::Timestamp {
        wall(self.0.time.now())
    }
    async fn sleep(&self, duration: Duration) {
        let until = self.0.boot_clock().saturating_add(duration);
        // At least once: a sleep of nothing lets others run too.
        loop {
            self.0.time.sleep(until.saturating_sub(self.0.boot_clock())).await;
            if self.0.boot_clock() >= until {
                return;
            }
        }
    }
}

struct SimStore(Arc<Process>);

impl SimStore {
    async fn ask<T>(&self, name: &str, act: impl FnOnce(&mut Universe) -> T) -> Result<T, StoreError> {
        self.0.call(name, || deadline(name), |universe| Ok(act(universe))).await
    }
}

fn deadline(doing: &str) -> StoreError {
    StoreError::Deadline { address: "sim".into(), doing: doing.to_owned(), deadline: Duration::from_secs(1) }
}

#[async_trait]
impl Store for SimStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.ask("get", |u| u.kv.get(key)).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.ask("list", |u| u.kv.below(prefix)).await
    }
    async fn keys(&self, prefix: &str, folders: bool) -> Result<Vec<String>, StoreError> {
        self.ask("keys", |u| {
            let mut names: Vec<String> = u.kv.below(prefix).into_iter().map(|entry| entry.key).collect();
            if folders {
                for name in &mut names {
                    if let Some(end) = name[prefix.len()..].find('/') {
                        name.truncate(prefix.len() + end + 1);
                    }
                }
                names.dedup();
            }
            names
        })
        .await
    }
    async fn transact(&self, ops: &[Op]) -> Result<TxnOutcome, StoreError> {
        if ops.iter().all(|op| matches!(op, Op::GetTree(_))) {
            return self.ask("read", |u| u.kv.transact(ops, u.now)).await;
        }
        // Of the guards alone a lease asks beside the work.
        let is_asked = ops.len() > 1 && ops.iter().any(|op| matches!(op, Op::CheckSession(..)));
        let checks = |op: &Op| matches!(op, Op::CheckSession(..) | Op::CheckIndex(..) | Op::CheckAbsent(_));
        let only_checks = ops.iter().all(checks);
        let ops = ops.to_vec();
        let process = Arc::clone(&self.0);
        let act = move |u: &mut Universe| {
            let outcome = u.kv.transact(&ops, u.now);
            if is_asked && matches!(outcome, TxnOutcome::Committed(_)) {
                let mut state = process.state.lock().unwrap();
                state.ours_at = Some(u.now - state.behind);
            }
            Ok(outcome)
        };
        // What only checks is answered from memory, like a read: it can be lost, and not be heard late.
        if only_checks {
            return self.0.call("check", || deadline("check"), act).await;
        }
        self.0.send(Request::new("write", Kind::Write), || deadline("write"), act).await
    }
    async fn create_session(&self, spec: &SessionSpec) -> Result<SessionId, StoreError> {
        self.ask("session", |u| u.kv.session(spec, u.now)).await
    }
    async fn renew_session(&self, session: &SessionId) -> Result<Renewal, StoreError> {
        let renewed = self.ask("renew", |u| u.kv.renew(session, u.now)).await?;
        Ok(if renewed { Renewal::Renewed } else { Renewal::Gone })
    }
    async fn destroy_session(&self, session: &SessionId) -> Result<(), StoreError> {
        self.ask("destroy", |u| u.kv.end_session(&session.0, u.now)).await
    }
    async fn serf_health(&self) -> Result<Vec<NodeHealth>, StoreError> {
        self.ask("serf", |u| {
            let of = |dead| if dead { SerfHealth::Critical } else { SerfHealth::Passing };
            u.machines
                .iter()
                .map(|(node, machine)| NodeHealth {
                    node: node.clone(),
                    serf: of(machine.dead && !machine.gossips),
                })
                .collect()
        })
        .await
    }
    /// Every machine is watched from everywhere, and well.
    async fn node_checks(&self, node: &str) -> Result<Vec<Check>, StoreError> {
        let of = |id: String| Check {
            node: node.to_owned(),
            name: id.clone(),
            id,
            status: CheckStatus::Passing,
            output: String::new(),
            service: watched::SERVICE.to_owned(),
            modify_index: 1,
        };
        self.ask("checks", |u| {
            let probes = u.machines.keys().map(|machine| watched::probe_id(machine));
            probes.chain([watched::SWEEP_ID.to_owned()]).map(of).collect()
        })
        .await
    }
    async fn own_node(&self) -> Result<String, StoreError> {
        match &self.0.agent {
            Some(agent) => Ok(agent.clone()),
            None => Err(StoreError::Denied {
                doing: "agent/self".into(),
                why: Denial::Permission,
                message: String::new(),
            }),
        }
    }
    async fn leader(&self) -> Result<Option<String>, StoreError> {
        Ok(Some("10.0.0.1:8300".into()))
    }
}

struct SimAnchors;

#[async_trait]
impl Anchors for SimAnchors {
    async fn reach(&self, candidates: &[String]) -> Anchor {
        Anchor::Reached(candidates.join(","))
    }
}

struct SimReach(Arc<Process>);

#[async_trait]
impl Reach for SimReach {
    async fn answers(&self, address: &str, _: u16, _: &[PinnedKey]) -> Answer {
        let shaken = |u: &mut Universe| {
            let machine = &u.machines[address];
            Ok(match (machine.power_on && !machine.dead, &machine.noise) {
                (_, Some(noise)) => noise.clone(),
                (true, _) => Answer::Yes,
                (false, None) => Answer::No(Failure::NoRoute),
            })
        };
        let nobody = |()| Answer::No(Failure::NoRoute);
        self.0.call("reach", || (), shaken).await.unwrap_or_else(nobody)
    }
}

struct SimFences(Arc<Process>);

impl Fences for SimFences {
    fn levels(&self, machine: Machine, _: &Snapshot, _: &MachineKeys) -> Result<FenceLevels, ConfigError> {
        if self.0.universe.lock().unwrap().machines[&machine.to_string()].feeds.is_some() {
            return Ok(FenceLevels::new(machine.clone(), vec![feeds(&self.0, &machine.to_string())]));
        }
        let switch = SimSwitch { process: Arc::clone(&self.0), machine: machine.to_string() };
        Ok(FenceLevels::new(machine, vec![Level::new(Box::new(switch), None)]))
    }
}

struct SimSwitch {
    process: Arc<Process>,
    machine: String,
}

impl SimSwitch {
    fn silent(&self) -> FenceError {
        FenceError::Unreachable { device: self.describe(), doing: "be asked", source: "no answer".into() }
    }

    async fn ask<T>(&self, name: &str, act: impl FnOnce(&mut Universe) -> T) -> Result<T, FenceError> {
        let silent = || self.silent();
        self.process
            .call(
                name,
                silent,
                |u| if u.machines[&self.machine].bmc { Ok(act(u)) } else { Err(self.silent()) },
            )
            .await
    }
}

#[async_trait]
impl PowerSwitch for SimSwitch {
    async fn read(&self) -> Result<PowerState, FenceError> {
        let node = &self.process.node;
        let read = |u: &mut Universe| match &u.machines[&self.machine].bmc_is_of {
            None if u.machines[&self.machine].is_called_off => false,
            None => u.power_is_read(node, &self.machine),
            Some(other) => u.machines[other].power_on,
        };
        let on = self.ask("power", read).await?;
        Ok(if on { PowerState::On } else { PowerState::Off })
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
        let (node, machine, silent) = (self.process.node.clone(), self.machine.clone(), self.silent());
        let act = move |u: &mut Universe| match u.machines[&machine].bmc {
            true => {
                u.switch_off(&node, &machine);
                Ok(())
            }
            false => Err(silent),
        };
        self.process.send(Request::new("switch off", Kind::Off), || self.silent(), act).await
    }
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        let whose = |u: &mut Universe| u.machines[&self.machine].bmc_is_of.clone();
        let whose = self.ask("identity", whose).await?.unwrap_or_else(|| self.machine.clone());
        Ok(Some(Identity { serial: Some(format!("SN-{whose}")), ..Identity::default() }))
    }
    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        self.ask("privilege", |_| Privilege::Allowed).await
    }
    fn channel(&self) -> Channel {
        self.process.universe.lock().unwrap().machines[&self.machine].channel
    }
    fn describe(&self) -> String {
        format!("simulated BMC of {}", self.machine)
    }
}
