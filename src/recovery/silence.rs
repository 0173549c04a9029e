//! Whether nobody answers any more, asked of a machine that is off by its BMC.

use std::time::Duration;

use crate::clock::Clock;
use crate::ssh::Answer;

/// How often it is asked again while somebody is there and does not say who.
const LOOKS: u32 = 5;

/// Between two of them: what was on its way when the power went is over by then.
const PAUSE: Duration = Duration::from_secs(1);

/// The first answer that says who is there, or that nobody is; else the last one.
pub(super) async fn settled<F: Future<Output = Answer>>(clock: &dyn Clock, ask: impl Fn() -> F) -> Answer {
    let mut answer = ask().await;
    for _ in 1..LOOKS {
        if !answer.is_of_somebody() {
            break;
        }
        clock.sleep(PAUSE).await;
        answer = ask().await;
    }
    answer
}
