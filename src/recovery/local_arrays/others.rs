//! The superblocks of disks that have nothing to do with what is asked. One of them may hang for ever (a map whose
//! paths are all gone and that queues): it keeps the thread that reads it, and nothing else. All that answer are read by one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::disks::md_superblock::{self, Superblock};

/// How long one is waited for. Disks that are spun up answer in milliseconds.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// How long all together are waited for in one look: a whole shelf may be dead. Those after it get the least.
const ALL_HANG_AFTER: Duration = Duration::from_secs(5);
const LEAST: Duration = Duration::from_millis(20);

/// What is left of one look's patience with disks that hang.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(ALL_HANG_AFTER)
    }
}

impl Patience {
    fn with_one(&self) -> Duration {
        self.0.clamp(LEAST, HANGS_AFTER)
    }

    fn hung_for(&mut self, waited: Duration) {
        self.0 = self.0.saturating_sub(waited);
    }
}

/// One disk's reading.
type Job = Box<dyn FnOnce() + Send>;

/// Those that are being read, and who reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Others {
    reading: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// A thread that has nothing to do. It ends when nobody can give it anything any more.
    idle: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
}

impl Others {
    /// What one says; none where it does not, or not in time. Blocks.
    pub(super) fn superblock(&self, node: &Path, patience: &mut Patience) -> Option<Superblock> {
        self.read(node, patience, |node| md_superblock::read(node).ok().flatten())
    }

    fn read<T: Send + 'static>(
        &self,
        node: &Path,
        patience: &mut Patience,
        read: impl FnOnce(&Path) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        if !self.reading.lock().ok()?.insert(node.to_owned()) {
            tracing::debug!(device = %node.display(), "it still hangs, and is not read");
            return None;
        }
        let (say, said) = mpsc::channel();
        let (reading, device) = (self.reading.clone(), node.to_owned());
        let job = Box::new(move || {
            let found = read(&device);
            if let Ok(mut reading) = reading.lock() {
                reading.remove(&device);
            }
            // Nobody listens any more where it took too long.
            let _late = say.send(found);
        });
        let Some(reader) = self.begin(job) else {
            self.reading.lock().ok()?.remove(node);
            return None;
        };
        let within = patience.with_one();
        match said.recv_timeout(within) {
            Ok(found) => {
                *self.idle.lock().ok()? = Some(reader);
                found
            }
            // It is left to what it does, and ends after that.
            Err(_) => {
                patience.hung_for(within);
                None
            }
        }
    }

    /// Gives it to the thread that is idle, or to a new one; none where none can be started. Whoever has what is returned is
    /// the only one who can give that thread more.
    fn begin(&self, job: Job) -> Option<mpsc::Sender<Job>> {
        let idle = self.idle.lock().ok()?.take();
        // A thread that is gone gives it back.
        let job = match idle {
            Some(reader) => match reader.send(job) {
                Ok(()) => return Some(reader),
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        let (reader, jobs) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("other disks".into())
            .spawn(move || jobs.iter().for_each(|job| job()))
            .ok()?;
        reader.send(job).ok()?;
        Some(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_of_disks_that_hang_costs_one_look_a_bounded_time() {
        let mut patience = Patience::default();
        let waited: Duration = (0..100)
            .map(|_| {
                let within = patience.with_one();
                patience.hung_for(within);
                within
            })
            .sum();
        assert!(waited <= ALL_HANG_AFTER + LEAST * 100 && patience.with_one() == LEAST, "{waited:?}");
    }

    #[test]
    fn disks_that_answer_are_read_by_one_thread_and_one_that_hangs_keeps_it() {
        let (others, mut full) = (Others::default(), Patience::default());
        let patience = &mut full;
        let by = |_: &Path| Some(std::thread::current().id());
        let first = others.read(Path::new("/dev/a"), patience, by);
        assert!(first.is_some() && first != Some(std::thread::current().id()));
        assert_eq!(others.read(Path::new("/dev/b"), patience, by), first);
        let (_hangs_until_the_end, hold) = mpsc::channel::<()>();
        assert_eq!(
            others.read(Path::new("/dev/hangs"), patience, move |_| hold.recv().err().map(|_| ())),
            None
        );
        let second = others.read(Path::new("/dev/a"), patience, by);
        assert!(second.is_some() && second != first);
        assert_eq!(others.read(Path::new("/dev/b"), patience, by), second);
    }

    #[test]
    fn a_reading_that_panics_costs_its_answer_and_no_later_one() {
        let (others, mut patience) = (Others::default(), Patience::default());
        let bad = |_: &Path| -> Option<u8> { panic!("x") };
        assert_eq!(others.read(Path::new("/dev/a"), &mut patience, bad), None);
        assert_eq!(others.read(Path::new("/dev/b"), &mut patience, |_| Some(1)), Some(1));
    }

    #[test]
    fn a_disk_that_hangs_keeps_one_thread_and_holds_up_no_other() {
        let (others, mut full) = (Others::default(), Patience::default());
        let patience = &mut full;
        let (hanging, good) = (Path::new("/dev/hangs"), Path::new("/dev/good"));
        let (let_go, hold) = mpsc::channel::<()>();
        assert_eq!(others.read(hanging, patience, move |_| hold.recv().ok().map(|()| 1)), None);
        assert_eq!(others.read(hanging, patience, |_| Some(2)), None, "a second thread was started");
        assert_eq!(others.read(good, patience, |_| Some(3)), Some(3));
        assert_eq!(others.read(good, patience, |_| None::<u8>), None);
        let_go.send(()).unwrap();
        let answers = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            others.read(hanging, patience, |_| Some(4)) == Some(4)
        });
        assert!(answers, "it answers again, and is not read");
    }
}
