//! The lease bounds effects: a session that is renewed, and a clock that says for how long the
//! last good renewal allows one to act.
//!
//! What a Consul lock does not promise: that its holder stops when it is lost. So an effect starts
//! only while the last good renewal is younger than the TTL less a margin, by a clock that counts
//! suspend, and one attempt of an effect takes less than the lock-delay. The window that remains is
//! one effect that was started in time and is still under way when the lock-delay ends; its own
//! deadline is below the lock-delay.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{BootInstant, Clock};
use crate::fence::off::{LeaseLost, Permission};
use crate::policy::Policy;
use crate::store::{Renewal, SessionId, SessionSpec, Store, StoreError};

/// A session with the time of its last good renewal.
pub struct Lease<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    session: SessionId,
    ttl: Duration,
    margin: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// Taken *before* the renewal was sent: Consul counts its TTL from later than this.
    last_good: BootInstant,
    gone: bool,
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
            state: Mutex::new(State { last_good: before, gone: false }),
        })
    }

    /// The session.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    fn state(&self) -> State {
        // A poisoned lock means that a thread died while it held two plain values: they are whole.
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Renews until the session is gone; run beside the work, which is dropped when this returns.
    /// A Consul that does not answer is asked again: it may still count the session as alive, and
    /// [`Permission::check`] says in the meantime what may be started.
    pub async fn keep(&self) -> LeaseLost {
        let regular = self.ttl / RENEWALS_PER_TTL;
        let mut pause = regular;
        loop {
            self.clock.sleep(pause).await;
            let before = self.clock.boottime();
            // One that is not answered when the next is due is none: another server may answer that.
            let renewed = tokio::select! {
                renewed = self.store.renew_session(&self.session) => Some(renewed),
                () = self.clock.sleep(regular) => None,
            };
            pause = regular;
            match renewed {
                Some(Ok(Renewal::Renewed)) => self.set(|state| state.last_good = before),
                Some(Ok(Renewal::Gone)) => {
                    self.set(|state| state.gone = true);
                    return LeaseLost { why: format!("Consul ended session {}", self.session) };
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

    /// Gives the session back; best effort, its TTL ends it otherwise.
    pub async fn release(self) {
        if let Err(error) = self.store.destroy_session(&self.session).await {
            tracing::info!(%error, session = %self.session, "the session is left to its TTL");
        }
    }
}

impl Permission for Lease<'_> {
    fn check(&self) -> Result<(), LeaseLost> {
        let state = self.state();
        if state.gone {
            return Err(LeaseLost { why: format!("Consul ended session {}", self.session) });
        }
        let age = self.clock.boottime().saturating_duration_since(state.last_good);
        let allowed = self.ttl.saturating_sub(self.margin);
        if age >= allowed {
            return Err(LeaseLost { why: format!("last renewed {age:?} ago, {allowed:?} are allowed") });
        }
        Ok(())
    }
}
