//! A look at every guest's place, right after the storage was taken and before Nova is asked for anything: what is
//! missing is said at once and in one place. It decides nothing; each guest is looked at again when its turn comes.

use futures_util::StreamExt;
use futures_util::stream;

use super::disk::{self, Disk};
use crate::chain::chain;
use crate::nova::ServerId;
use crate::recovery::context::Context;

/// Threads at once. Disks that turn answer some in the time of one, where nothing of them was read yet.
const AT_ONCE: usize = 16;

/// Guests that a thread looks at. A local filesystem answers each in well under a millisecond, disks that turn in some ten:
/// far below the 10 s that such a look has.
const TOGETHER: usize = 8;

/// Guests that are named in one line.
const MOST_NAMED: usize = 5;

/// Looks at all of them; one line for the journal.
pub async fn survey(context: &Context<'_>) -> String {
    let (world, storage) = (context.world, &context.case.storage);
    let (mut names, mut servers, mut looked) = (Vec::new(), Vec::<ServerId>::new(), Vec::new());
    for guest in &context.plan.guests {
        match guest.server.parse() {
            Ok(server) => {
                names.push(guest.name.as_str());
                servers.push(server);
            }
            Err(why) => looked.push((guest.name.as_str(), Disk::CannotTell { why: chain(&why) })),
        }
    }
    let looks = servers.chunks(TOGETHER).map(|servers| disk::look_at_each(world, storage, servers));
    let disks: Vec<Vec<Disk>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    looked.extend(names.into_iter().zip(disks.concat()));
    said(&looked)
}

fn said(looked: &[(&str, Disk)]) -> String {
    let mut here = 0;
    let mut not = Vec::new();
    for (name, disk) in looked {
        match disk {
            Disk::Whole(_) => here += 1,
            Disk::Rootless { .. } => not.push(format!("{name} (no root disk)")),
            Disk::Absent => not.push(format!("{name} (no directory)")),
            Disk::NotLooked => not.push(format!("{name} (nobody looked)")),
            Disk::Strange(strange) => not.push(format!("{name} ({strange})")),
            Disk::Unusable { why } | Disk::CannotTell { why } => not.push(format!("{name} ({why})")),
        }
    }
    let total = looked.len();
    if not.is_empty() {
        return format!("the disks of all {total} guests are here");
    }
    let more = if not.len() > MOST_NAMED { ", ..." } else { "" };
    not.truncate(MOST_NAMED);
    format!("the disks of {here} of {total} guests are here; not: {}{more}", not.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::disk::tests::{rootless, whole};
    use super::*;

    fn id() -> ServerId {
        "00000000-0000-4000-8000-000000000001".parse().unwrap()
    }

    #[test]
    fn it_says_how_many_are_here_and_which_are_not() {
        assert_eq!(said(&[("a", whole(&id())), ("b", whole(&id()))]), "the disks of all 2 guests are here");
        let bad = Disk::Unusable { why: "its disk is empty".into() };
        let text =
            said(&[("a", whole(&id())), ("b", Disk::Absent), ("c", rootless(&id(), false)), ("d", bad)]);
        let expected = "the disks of 1 of 4 guests are here; not: b (no directory), c (no root disk), d (its disk is empty)";
        assert_eq!(text, expected);
        let names: Vec<String> = (0..9).map(|n| format!("g{n}")).collect();
        let many: Vec<(&str, Disk)> = names.iter().map(|name| (name.as_str(), Disk::Absent)).collect();
        assert!(said(&many).ends_with("g4 (no directory), ..."));
    }
}
