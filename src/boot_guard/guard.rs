//! One question: Consul first, and where it says *mine*, the disks.

use super::answer::Answer;
use super::ask::ask;
use super::disks_agree::{kept_by_disks, let_start};
use super::machine::Machine;
use super::memory::MemoryError;
use super::owner::{Owner, Seen, owner};
use super::word;
use crate::store::Store;
use crate::tree::TreeError;

/// One question. `store` is why where Consul's settings cannot be used.
pub async fn look(machine: &Machine, store: Result<&dyn Store, &str>) -> Answer {
    let seen = match store {
        Ok(store) => ask(store, &machine.host).await.map_err(|error| said(&error)),
        Err(why) => Err((why.to_owned(), "correct Consul's settings of this unit".to_owned())),
    };
    if let Some(word) = word::of_this_boot(machine) {
        return word::heeded(machine, store.ok(), word, seen.ok()).await;
    }
    match seen {
        Ok(seen) => judged(machine, &seen).await,
        Err((why, next)) => Answer::CannotTell { why, next },
    }
}

async fn judged(machine: &Machine, seen: &Seen) -> Answer {
    let host = &machine.host;
    let unreadable = |error: MemoryError| Answer::CannotTell {
        why: format!("what this host remembers cannot be used: {error}"),
        next: format!("look at it; then nova-ha-boot-guard --override {host} --by NAME"),
    };
    let known = match machine.memory.known() {
        Ok(known) => known.filter(|known| known.host == *host),
        Err(error) => return unreadable(error),
    };
    match owner(host, machine.what, seen, known.as_ref().map(|known| known.generation.as_str())) {
        Owner::NotMine { why, next } => Answer::NotMine { why, next },
        Owner::Returning(id) => Answer::Returning(id),
        Owner::Mine => {
            word::keep_needs(machine, &seen.published);
            if let Some(answer) = kept_by_disks(machine, &seen.published).await {
                return answer;
            }
            // Remembered before it is said: the next boot must know this tree.
            match machine.memory.learn(host, &seen.generation) {
                Ok(()) => Answer::Mine { unguarded: let_start(machine, &seen.published).await },
                Err(error) => unreadable(error),
            }
        }
    }
}

fn said(error: &TreeError) -> (String, String) {
    let why = match error {
        TreeError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    (why, error.hint().unwrap_or_else(|| "nova-ha status, on an HA node".into()))
}
