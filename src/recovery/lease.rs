//! The lease bounds effects: a session that is renewed, and a clock that says for how long the
//! last good renewal allows one to act.
//!
//! What a Consul lock does not promise: that its holder stops when it is lost. So an effect starts
//! only while the last good renewal is younger than the TTL less a margin, by a clock that counts
//! suspend; only where Consul said a moment ago that the lock is still ours
//! ([`super::journal::Journal::may_act`]: a virtual machine that is paused has no clock that counts);
//! and one attempt of an effect takes less than the lock-delay. The window that remains is one effect
//! that was started in time and is still under way when the lock-delay ends; its own deadline is below
//! the lock-delay.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{BootInstant, Clock};
use crate::fence::off::LeaseLost;
use crate::policy::Policy;
use crate::store::{Op, Renewal, SessionId, SessionSpec, Store, StoreError, TxnOutcome};

/// A session with the time of its last good renewal.
pub struct Lease<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    session: SessionId,
    ttl: Duration,
    margin: Duration,
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    /// Taken *before* the renewal was sent: Consul counts its TTL from later than this.
    last_good: BootInstant,
    /// Why nothing may be begun any more.
    gone: Option<String>,
    /// The key of the lock that the session holds.
    lock: Option<String>,
}

/// Renewals per TTL, while all is well.
const RENEWALS_PER_TTL: u32 = 4;

/// After a renewal that failed. The regular turn would be too late: of the TTL the margin is not ours to wait for, and an
/// election of Consul's leader takes a second or two.
const RETRY: Duration = Duration::from_millis(500);

impl<'a> Lease<'a> {
    /// A new session.
    pub async fn take(
        store: &'a dyn Store,
        clock: &'a dyn Clock,
        policy: &Policy,
        name: String,
    ) -> Result<Self, StoreError> {
        let before = clock.boottime();
        let spec = SessionSpec { name, ttl: policy.session_ttl, lock_delay: policy.lock_delay };
        let session = store.create_session(&spec).await?;
        Ok(Self {
            store,
            clock,
            session,
            ttl: policy.session_ttl,
            margin: policy.lease_margin,
            state: Mutex::new(State { last_good: before, gone: None, lock: None }),
        })
    }

    /// The session.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    fn state(&self) -> State {
        // A poisoned lock means that a thread died while it held two plain values: they are whole.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// The session holds this lock from now on: with each renewal it is seen whether it still does.
    pub fn holds(&self, lock: String) {
        self.set(|state| state.lock = Some(lock));
    }

    /// The lock is about to be given back: that the session does not hold it any more is no loss.
    pub fn gives_back(&self) {
        self.set(|state| state.lock = None);
    }

    /// Renews until the session is gone, or the lock another's; run beside the work, which is dropped when this returns.
    /// A Consul that does not answer is asked again: it may still count the session as alive, and
    /// [`Lease::in_time`] says in the meantime what may be started.
    pub async fn keep(&self) -> LeaseLost {
        let regular = self.ttl / RENEWALS_PER_TTL;
        let mut pause = regular;
        loop {
            self.clock.sleep(pause).await;
            let before = self.clock.boottime();
            // One that is not answered when the next is due is none: another server may answer that.
            let renewed = tokio::select! {
                biased;
                renewed = self.renew() => Some(renewed),
                () = self.clock.sleep(regular) => None,
            };
            pause = regular;
            match renewed {
                Some(Ok(None)) => self.set(|state| state.last_good = before),
                Some(Ok(Some(why))) => {
                    self.set(|state| state.gone = Some(why.clone()));
                    return LeaseLost { why };
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, session = %self.session, "cannot renew the lease, trying again");
                    pause = regular.min(RETRY);
                }
                None => {
                    tracing::warn!(session = %self.session, "the renewal of the lease hangs, trying again");
                    pause = Duration::ZERO;
                }
            }
        }
    }

    /// Renews once, and sees whether the lock is still the session's; why it is lost, where it is.
    async fn renew(&self) -> Result<Option<String>, StoreError> {
        match self.store.renew_session(&self.session).await? {
            Renewal::Gone => return Ok(Some(format!("Consul ended session {}", self.session))),
            Renewal::Renewed => {}
        }
        let Some(lock) = self.state().lock else { return Ok(None) };
        match self.store.transact(&[Op::CheckSession(lock.clone(), self.session.clone())]).await? {
            TxnOutcome::Committed(_) => Ok(None),
            // Given back while Consul was asked.
            TxnOutcome::Refused(_) if self.state().lock.is_none() => Ok(None),
            TxnOutcome::Refused(_) => {
                Ok(Some(format!("{lock} is not locked by session {} any more", self.session)))
            }
        }
    }

    /// Gives the session back; best effort, its TTL ends it otherwise.
    pub async fn release(self) {
        if let Err(error) = self.store.destroy_session(&self.session).await {
            tracing::info!(%error, session = %self.session, "the session is left to its TTL");
        }
    }
}

impl Lease<'_> {
    /// Whether something may be begun by our own clock. That is enough to read, and to write to Consul, which refuses it
    /// once the lock is another's. It is not enough for an effect elsewhere: the clock of a virtual machine that was
    /// paused stood still as well. See [`super::journal::Journal::may_act`].
    ///
    /// # Errors
    /// The lease is over.
    pub fn in_time(&self) -> Result<(), LeaseLost> {
        let state = self.state();
        if let Some(why) = state.gone {
            return Err(LeaseLost { why });
        }
        let age = self.clock.boottime().saturating_duration_since(state.last_good);
        let allowed = self.ttl.saturating_sub(self.margin);
        if age >= allowed {
            return Err(LeaseLost { why: format!("last renewed {age:?} ago, {allowed:?} are allowed") });
        }
        Ok(())
    }
}
