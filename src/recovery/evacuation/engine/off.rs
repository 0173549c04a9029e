//! The proof of *off* in the hands of many tasks at once. It is read anew before it is too old, beside
//! the work, so that evacuations go on while it is still young.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;

/// The proof; replaced by a newer one as time goes by.
pub(super) struct Off<'k, 'a> {
    known: Mutex<&'k mut KnownOff<'a>>,
    /// Set when a later reading did not prove it again: then an older proof counts for nobody either.
    in_doubt: AtomicBool,
}

impl<'k, 'a> Off<'k, 'a> {
    pub(super) fn new(known: &'k mut KnownOff<'a>) -> Self {
        Self { known: Mutex::new(known), in_doubt: AtomicBool::new(false) }
    }

    fn known(&self) -> MutexGuard<'_, &'k mut KnownOff<'a>> {
        // A poisoned lock means that a thread died between two whole proofs.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is young enough to act on.
    pub(super) fn is_fresh(&self) -> bool {
        !self.in_doubt.load(Ordering::SeqCst) && self.known().is_fresh()
    }

    /// Whether it should be read anew now, so that it is never too old.
    pub(super) fn is_ageing(&self) -> bool {
        self.known().is_ageing()
    }

    /// Reads it anew.
    pub(super) async fn read(&self) -> Result<KnownOff<'a>, Stop> {
        let reader = self.known().reader();
        let read = reader.read().await;
        if read.is_err() {
            self.in_doubt.store(true, Ordering::SeqCst);
        }
        read
    }

    /// A newer one.
    pub(super) fn replace(&self, newer: KnownOff<'a>) {
        **self.known() = newer;
    }
}
