//! Runs a schedule: the processes of three HA nodes as their timers and watches start them, and the faults beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use nova_ha::incident::IncidentRecord;
use nova_ha::incident::record::Order;
use nova_ha::incident::retry::Scene;
use nova_ha::keys;
use nova_ha::monitor::mark::order::{Asked, SecondWord};
use nova_ha::monitor::mark::{Request, run as mark};

use super::super::seams::Process;
use super::super::stage::Stage;
use super::super::time::{Sleep, wall};
use super::super::universe::{HA_NODES, HOST, Universe, incident};
use super::event::{Event, Job, Schedule, Who as Struck};
use super::generate::Random;

/// Why a machine is seen by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Away {
    Hangs,
    CutOff,
    Paused,
    NoPower,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Begins(Event),
    Ends(&'static str, Event),
    Starts(&'static str, Job),
    Orders(&'static str),
    Retries,
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// A running process.
pub(super) struct Slot {
    pub(super) node: &'static str,
    pub(super) job: Job,
    pub(super) process: Arc<Process>,
    work: Work,
    pub(super) wakes: Arc<Wakes>,
    /// Since when, and whether its clock stands; the last one to end lets it go on.
    pub(super) frozen: Vec<(Event, Duration)>,
}

/// Of one process, so that only it is polled.
pub(super) struct Wakes {
    pub(super) woken: AtomicBool,
    world: Waker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.world.wake_by_ref();
    }
}

pub(crate) struct Engine<'a> {
    pub(crate) stage: &'a Stage,
    pub(super) random: Random,
    pub(super) slots: Vec<Slot>,
    due: BTreeMap<(Duration, u64), Due>,
    number: u64,
    pub(super) away: BTreeMap<&'static str, BTreeSet<Away>>,
    queue: Option<u64>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// A `mark-failed` of two is a sweep.
    marks: u64,
    /// Nobody starts `recover`: a planted fault.
    pub(crate) nobody_recovers: bool,
}

impl<'a> Engine<'a> {
    /// From the moment at which the host died.
    pub(crate) fn new(stage: &'a Stage, schedule: &Schedule) -> Self {
        let mut engine = Self {
            stage,
            random: Random::of(schedule.seed ^ 0x5eed),
            slots: Vec::new(),
            due: BTreeMap::new(),
            number: 0,
            away: BTreeMap::from([(HOST, BTreeSet::from([Away::Hangs]))]),
            queue: None,
            alarm: None,
            marks: 0,
            nobody_recovers: false,
        };
        let died = stage.time.now();
        for (at, event) in &schedule.events {
            engine.at(died + *at, Due::Begins(*event));
        }
        for node in HA_NODES {
            let (recover, mark) = (engine.random.millis(0, 60_000), engine.random.millis(0, 30_000));
            engine.at(died + recover, Due::Starts(node, Job::Recover));
            engine.at(died + mark, Due::Starts(node, Job::MarkFailed));
        }
        engine
    }

    pub(super) fn at(&mut self, at: Duration, due: Due) {
        self.number += 1;
        self.due.insert((at, self.number), due);
    }

    pub(super) fn now(&self) -> Duration {
        self.stage.time.now()
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Universe) -> T) -> T {
        self.stage.with(act)
    }

    /// Whether something of the schedule is still to come or to end.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.due
            .values()
            .any(|due| matches!(due, Due::Begins(_) | Due::Ends(..) | Due::Orders(_) | Due::Retries))
            || self.with(|u| u.weather.next_arrival()).is_some()
    }

    /// Everything is mended: HA nodes that have no power are booted, nothing that was to be late is so.
    pub(crate) fn mend(&mut self) {
        self.with(|u| u.weather.to_be_late.clear());
        for node in HA_NODES {
            if !self.with(|u| u.machines[node].power_on) {
                self.boots(node);
            }
        }
    }

    /// Runs until `is_enough`, asked after every event, or for so long.
    pub(crate) async fn run(&mut self, length: Duration, is_enough: impl Fn(&Self) -> bool) {
        let ends = self.now() + length;
        std::future::poll_fn(|context| {
            loop {
                let performed = self.perform_due(context.waker());
                let polled = self.poll_processes();
                if self.is_broken() || is_enough(self) || self.now() >= ends {
                    return Poll::Ready(());
                }
                if !performed && !polled {
                    break;
                }
            }
            let next = self.due.keys().next().map_or(ends, |(at, _)| (*at).min(ends));
            let now = self.now();
            let mut alarm = Box::pin(self.stage.time.sleep(next.saturating_sub(now)));
            let _not_yet = alarm.as_mut().poll(context);
            self.alarm = Some(alarm);
            Poll::Pending
        })
        .await;
        self.alarm = None;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.with(|u| u.invariants.as_ref().is_some_and(|i| !i.violations.is_empty()))
    }

    fn poll_processes(&mut self) -> bool {
        let mut polled = false;
        let mut at = 0;
        while at < self.slots.len() {
            let slot = &mut self.slots[at];
            if !slot.frozen.is_empty() || !slot.wakes.woken.swap(false, Ordering::SeqCst) {
                at += 1;
                continue;
            }
            polled = true;
            let waker = Waker::from(Arc::clone(&slot.wakes));
            let (node, job) = (slot.node, slot.job);
            match slot.work.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(()) => {
                    drop(self.slots.remove(at));
                    self.starts_later(node, job);
                }
                Poll::Pending => at += 1,
            }
            self.see_power();
            self.see_the_queue();
        }
        polled
    }

    /// By its timer.
    pub(super) fn starts_later(&mut self, node: &'static str, job: Job) {
        let pause = match job {
            Job::Recover => self.random.millis(40_000, 60_000),
            Job::MarkFailed => self.random.millis(20_000, 30_000),
        };
        self.at(self.now() + pause, Due::Starts(node, job));
    }

    pub(super) fn is_away(&self, name: &str, why: Away) -> bool {
        self.away.get(name).is_some_and(|reasons| reasons.contains(&why))
    }

    /// A machine that was shot has no processes.
    fn see_power(&mut self) {
        for node in HA_NODES {
            if !self.is_away(node, Away::NoPower) && !self.with(|u| u.machines[node].power_on) {
                self.loses_power(node);
            }
        }
    }

    /// The watch on it starts `recover` everywhere.
    fn see_the_queue(&mut self) {
        let now = self.with(|u| u.kv.modify_index(keys::RECOVERY_QUEUE));
        if std::mem::replace(&mut self.queue, now) != now {
            for node in HA_NODES {
                let soon = self.now() + self.random.millis(50, 2_000);
                self.at(soon, Due::Starts(node, Job::Recover));
            }
        }
    }

    fn perform_due(&mut self, world: &Waker) -> bool {
        let mut performed = false;
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= self.stage.time.now())
        {
            performed = true;
            match first.remove() {
                Due::Begins(event) => self.begins(event),
                Due::Ends(node, event) => self.ends(node, event),
                Due::Starts(node, job) => self.starts(node, job, None, world),
                Due::Retries => self.retries(world),
                Due::Orders(node) => {
                    let order = Order::new("ann".into(), wall(self.now()));
                    self.starts(node, Job::MarkFailed, Some(order), world);
                }
            }
            self.with(Universe::everything_holds);
        }
        performed
    }

    fn starts(&mut self, node: &'static str, job: Job, order: Option<Order>, world: &Waker) {
        let has_power = !self.is_away(node, Away::NoPower);
        let is_paused = self.is_away(node, Away::Paused);
        let runs = self.slots.iter().any(|slot| slot.node == node && slot.job == job);
        if !has_power || is_paused || (runs && order.is_none()) {
            // One that runs starts the next itself when it ends; a machine that is away, when it is back.
            return;
        }
        if job == Job::Recover && self.nobody_recovers {
            return;
        }
        // A timer that fires while it is scheduled already: once is enough.
        self.due.retain(|_, due| !matches!(due, Due::Starts(n, j) if *n == node && *j == job));
        let seed = self.random.next() | 1;
        let process = Process::new(node, &self.stage.time, &self.stage.universe, None, seed);
        let working = Arc::clone(&process);
        self.marks += 1;
        let sweep = self.marks.is_multiple_of(2) && order.is_none();
        let work: Work = match job {
            Job::Recover => Box::pin(async move { drop(working.run().await) }),
            Job::MarkFailed => Box::pin(async move {
                let hosts = if order.is_some() { vec![HOST.parse().unwrap()] } else { Vec::new() };
                let world = working.world();
                let order = match order {
                    None => None,
                    // A person who has looked, and orders it all the same.
                    Some(order) => {
                        let (witness, order) = (world.witness(), (order, SecondWord::Given));
                        Some(Asked::look_first(&witness, world.reach.as_ref(), &hosts, order).await)
                    }
                };
                let request = Request { hosts, order, sweep, machine: node.to_owned() };
                drop(mark(&world.witness(), &request, &mut Vec::new()).await);
            }),
        };
        let wakes = Arc::new(Wakes { woken: AtomicBool::new(true), world: world.clone() });
        self.slots.push(Slot { node, job, process, work, wakes, frozen: Vec::new() });
    }

    /// maria's `nova-ha incident retry`, by what she sees of the tree, on a machine that is away from nothing.
    fn retries(&mut self, world: &Waker) {
        let seed = self.random.next() | 1;
        let (node, job) = ("ha3", Job::MarkFailed);
        let process = Process::new(node, &self.stage.time, &self.stage.universe, None, seed);
        let working = Arc::clone(&process);
        let at = wall(self.now());
        let work: Work = Box::pin(async move {
            let store = working.world().store;
            let Ok(Some(scene)) = Scene::read(store.as_ref(), &incident()).await else { return };
            if let Ok(Ok(ops)) = scene.word("maria", &[], at) {
                drop(store.transact(&ops).await);
            }
        });
        let wakes = Arc::new(Wakes { woken: AtomicBool::new(true), world: world.clone() });
        self.slots.push(Slot { node, job, process, work, wakes, frozen: Vec::new() });
    }

    pub(super) fn record(&self) -> Option<IncidentRecord> {
        self.stage.stored_record()
    }

    pub(super) fn node(&self, who: Struck) -> &'static str {
        match who {
            Struck::Holder => {
                let holder = self.record().and_then(|record| record.holder);
                HA_NODES
                    .into_iter()
                    .find(|node| holder.as_ref().is_some_and(|h| h.as_str() == *node))
                    .unwrap_or("ha1")
            }
            Struck::Ha1 => "ha1",
            Struck::Ha2 => "ha2",
            Struck::Ha3 => "ha3",
        }
    }
}
