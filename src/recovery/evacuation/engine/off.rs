//! The proof of *off* in the hands of many tasks at once. It is read anew before it is too old, beside
//! the work, so that evacuations go on while it is still young.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::recovery::proof::{KnownOff, Reader};

/// The proof; replaced by a newer one as time goes by.
pub(super) struct Off<'k, 'a> {
    known: Mutex<&'k mut KnownOff<'a>>,
}

impl<'k, 'a> Off<'k, 'a> {
    pub(super) fn new(known: &'k mut KnownOff<'a>) -> Self {
        Self { known: Mutex::new(known) }
    }

    fn known(&self) -> MutexGuard<'_, &'k mut KnownOff<'a>> {
        // A poisoned lock means that a thread died between two whole proofs.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is young enough to act on.
    pub(super) fn is_fresh(&self) -> bool {
        self.known().is_fresh()
    }

    /// Whether it should be read anew now, so that it is never too old.
    pub(super) fn is_ageing(&self) -> bool {
        self.known().is_ageing()
    }

    /// Reads it anew.
    pub(super) fn reader(&self) -> Reader<'a> {
        self.known().reader()
    }

    /// A newer one.
    pub(super) fn replace(&self, newer: KnownOff<'a>) {
        **self.known() = newer;
    }
}
