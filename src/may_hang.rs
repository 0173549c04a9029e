//! Work that a disk may hold up for ever: it gets a thread, and as long as that one hangs no second is started
//! beside it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// One such thread at most.
#[derive(Debug, Clone, Default)]
pub struct MayHang {
    earlier: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl MayHang {
    /// Does it, once what was begun before has ended. `None`: not within this time, with whatever it waited for.
    ///
    /// # Errors
    /// It panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, String> {
        let deadline = Instant::now() + within;
        let Ok(mut earlier) = timeout_at(deadline, self.earlier.lock()).await else { return Ok(None) };
        if let Some(hanging) = earlier.as_mut() {
            if timeout_at(deadline, hanging).await.is_err() {
                return Ok(None);
            }
            *earlier = None;
        }
        let (say, said) = tokio::sync::oneshot::channel();
        *earlier = Some(tokio::task::spawn_blocking(move || {
            // Nobody listens any more where it took too long.
            let _late = say.send(work());
        }));
        let Ok(answer) = timeout_at(deadline, said).await else { return Ok(None) };
        *earlier = None;
        answer.map(Some).map_err(|_| "the look at the disks panicked".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_hangs_is_waited_for_and_nothing_is_started_beside_it() {
        let (soon, long) = (Duration::from_millis(50), Duration::from_secs(20));
        let may_hang = MayHang::default();
        let (let_go, hold) = mpsc::channel::<()>();
        assert_eq!(may_hang.run(soon, move || hold.recv().is_ok()).await, Ok(None));
        let (began, begins) = mpsc::channel();
        let other = began.clone();
        assert_eq!(may_hang.run(soon, move || other.send(()).is_ok()).await, Ok(None));
        assert!(begins.try_recv().is_err(), "a second one was started");
        let_go.send(()).unwrap();
        assert_eq!(may_hang.run(long, move || began.send(()).is_ok()).await, Ok(Some(true)));
        assert!(may_hang.run(long, || panic!("x")).await.is_err_and(|why: String| why.contains("panicked")));
        assert_eq!(may_hang.run(long, || 1).await, Ok(Some(1)));
    }
}
