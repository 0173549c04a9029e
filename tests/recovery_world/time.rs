//! Simulated time: nothing moves but when everybody waits; then the next timer is due.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// One clock for all machines of a world.
pub(crate) struct Time(Mutex<Timers>);

struct Timers {
    now: Duration,
    next: u64,
    waiting: BTreeMap<(Duration, u64), Waker>,
}

impl Time {
    pub(crate) fn from(now: Duration) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Timers { now, next: 0, waiting: BTreeMap::new() })))
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        let mut timers = self.0.lock().unwrap();
        timers.next += 1;
        let key = (timers.now + duration, timers.next);
        Sleep { time: Arc::clone(self), key }
    }

    fn advance(&self) -> bool {
        let mut timers = self.0.lock().unwrap();
        let Some(((until, _), waker)) = timers.waiting.pop_first() else { return false };
        timers.now = timers.now.max(until);
        drop(timers);
        waker.wake();
        true
    }
}

pub(crate) struct Sleep {
    time: Arc<Time>,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.time.0.lock().unwrap();
        if timers.now >= self.key.0 {
            timers.waiting.remove(&self.key);
            return Poll::Ready(());
        }
        timers.waiting.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.time.0.lock().unwrap().waiting.remove(&self.key);
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs to the end, however long that takes in simulated time; a day of it is a hang.
pub(crate) fn block_on<T>(time: &Arc<Time>, work: impl Future<Output = T>) -> T {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut work = pin!(work);
    let ends = time.now() + Duration::from_secs(24 * 60 * 60);
    loop {
        woken.0.store(false, Ordering::SeqCst);
        if let Poll::Ready(outcome) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        if !woken.0.load(Ordering::SeqCst) {
            assert!(time.advance(), "nothing will ever happen again");
            assert!(time.now() < ends, "still at work after a simulated day");
        }
    }
}

pub(crate) fn wall(now: Duration) -> jiff::Timestamp {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + jiff::SignedDuration::try_from(now).unwrap()
}
