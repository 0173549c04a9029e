//! The asynchronous front: a thread per attempt, and the deadline outside of it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::attempt::{Attempt, Login, Stop, Target};
use super::host_key::PinnedKey;
use super::outcome::{Answer, Outcome, Unknown};
use super::session;

/// Runs a blocking attempt on a thread of its own and waits until `deadline`, not longer.
async fn bounded<T, F>(deadline: Duration, work: F) -> Result<T, Stop>
where
    T: Send + 'static,
    F: FnOnce(&Attempt) -> Result<T, Stop> + Send + 'static,
{
    let attempt = Attempt::new(deadline);
    let ours = attempt.clone();
    let (tell, told) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("ssh".to_owned()).spawn(move || {
        // Nobody listens any more when the deadline has passed.
        let _late = tell.send(work(&attempt));
    });
    if let Err(error) = spawned {
        return Err(Stop::Unknown(Unknown::Own { what: format!("cannot start a thread: {error}") }));
    }
    match tokio::time::timeout(deadline, told).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Stop::Unknown(Unknown::Own { what: "the SSH thread panicked".to_owned() })),
        Err(_) => Err(ours.timed_out()),
    }
}

/// Logs in. Ends at `deadline` whatever the other side does; the password leaves this machine only
/// after the host key was found among the pinned ones (where there are any).
pub async fn log_in(login: Login, deadline: Duration) -> Outcome {
    log_in_and_see(login, deadline).await.0
}

/// As [`log_in`]; and the host key that let us in, where the whole login went well and that key can be pinned.
pub async fn log_in_and_see(login: Login, deadline: Duration) -> (Outcome, Option<PinnedKey>) {
    match bounded(deadline, move |attempt| session::log_in(&login, attempt)).await {
        Ok(shown) => (Outcome::Alive, shown),
        Err(Stop::Failed(why)) => (Outcome::Failed(why), None),
        Err(Stop::Unknown(why)) => (Outcome::CannotTell(why), None),
    }
}

/// Whether a TCP port can be connected to; [`Outcome::Alive`] says no more than that.
pub async fn port_answers(address: &str, port: u16, deadline: Duration) -> Outcome {
    let target = Target { address: address.to_owned(), port, pins: Vec::new() };
    match bounded(deadline, move |attempt| session::open(&target, attempt).map(drop)).await {
        Ok(()) => Outcome::Alive,
        Err(Stop::Failed(why)) => Outcome::Failed(why),
        Err(Stop::Unknown(why)) => Outcome::CannotTell(why),
    }
}

/// Whether the machine with one of these keys answers there: a handshake, no login. A key exchange
/// is signed with the host key, so *yes* cannot be had from a recording or a neighbour.
///
/// It connects also where no key is pinned: whoever takes the connection, or refuses it, is there.
pub async fn answers_with_pinned_key(
    address: &str,
    port: u16,
    pins: &[PinnedKey],
    deadline: Duration,
) -> Answer {
    let target = Target { address: address.to_owned(), port, pins: pins.to_vec() };
    match bounded(deadline, move |attempt| session::handshake(&target, attempt).map(drop)).await {
        Ok(()) if pins.is_empty() => Answer::NotPinned,
        Ok(()) => Answer::Yes,
        Err(Stop::Failed(why)) => Answer::No(why),
        Err(Stop::Unknown(Unknown::OtherHostKey { .. })) => Answer::OtherKey,
        Err(Stop::Unknown(why)) => Answer::CannotTell(why),
    }
}
