//! Reservations on the disks that this machine sees: what [`Reservations`] is in earnest.
//!
//! *Write exclusive* (type 1): one holder writes, everybody reads, so that a boot guard and `mdadm --examine` go on
//! telling what is there. A reservation is of a whole disk and of the one path that it was asked for on, which
//! decides which disks can have one: see `disks`. What is run is in `sg_persist`.

mod disks;
mod sg_persist;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::Instant;

#[cfg(any(test, fuzzing))]
pub(crate) use self::sg_persist::said as sg_persist_said;
use self::sg_persist::{Said, SgPersist};
use super::reservations::{Kept, Members, Order, Reservations, Reserved};
use crate::disks::reservation_key::ReservationKey;
use crate::disks::{DiskId, Roots};
use crate::fence::PoweredOff;
use crate::may_hang::MayHang;

/// How often one that is refused is tried to be taken from whoever has it: another one may have it by then.
const MOST_TRIES: u32 = 4;

/// This machine's.
#[derive(Debug, Clone, Default)]
pub struct LocalReservations {
    roots: Roots,
    disks: MayHang,
}

/// What became of one disk.
enum One {
    Reserved(BTreeSet<ReservationKey>),
    Unable(String),
    Kept(Kept),
}

#[async_trait]
impl Reservations for LocalReservations {
    async fn holders(&self, members: &Members, within: Duration) -> BTreeMap<DiskId, ReservationKey> {
        let deadline = Instant::now() + within;
        let Ok(found) = self.find(members, within).await else { return BTreeMap::new() };
        let Ok(program) = &SgPersist::find(deadline) else { return BTreeMap::new() };
        let one = |(disk, node): (DiskId, PathBuf)| async move {
            let held = program.holder(&node).await.good().flatten()?;
            Some((disk, held.key))
        };
        join_all(found.able.into_iter().map(one)).await.into_iter().flatten().collect()
    }

    async fn reserve(
        &self,
        order: &Order<'_>,
        _off: &PoweredOff,
        within: Duration,
    ) -> Result<Reserved, Kept> {
        let deadline = Instant::now() + within;
        let found = match self.find(order.members, within).await {
            Ok(found) => found,
            Err(why) => return Err(Kept::Unclear { why }),
        };
        let mut reserved = Reserved { unable: found.unable, ..Reserved::default() };
        let program = match SgPersist::find(deadline) {
            Ok(program) => program,
            Err(why) => {
                reserved.unable.push(why);
                return Ok(reserved);
            }
        };
        let mut registered = Vec::new();
        for (disk, node, said) in register(&program, order.key, found.able).await {
            match said {
                Said::Good(()) => registered.push((disk, node)),
                Said::Unsupported => reserved.unable.push(format!("{disk} keeps no reservations")),
                Said::Unclear(why) => return Err(Kept::Unclear { why: format!("{disk}: {why}") }),
                said @ (Said::Conflict | Said::Other(_)) => {
                    reserved.unable.push(format!("{disk}: {}", said.text()));
                }
            }
        }
        for (disk, node) in registered {
            match one(&program, order, disk.to_string(), &node).await {
                One::Reserved(preempted) => {
                    reserved.disks += 1;
                    reserved.preempted.extend(preempted);
                }
                One::Unable(why) => reserved.unable.push(why),
                One::Kept(why) => return Err(why),
            }
        }
        Ok(reserved)
    }

    async fn give_up(&self, members: &Members, key: ReservationKey, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let found = self.find(members, within).await?;
        let program = match SgPersist::find(deadline) {
            Ok(program) => program,
            // Without it nothing here can have reserved any, but where it was taken away since.
            Err(why) => {
                tracing::warn!(why, "whether the disks are reserved is not known");
                return Ok(());
            }
        };
        let program = &program;
        let one = |(disk, node): (DiskId, PathBuf)| async move {
            program.forget(&node, key).await.map_err(|why| format!("{disk}: {why}"))
        };
        // Also where it could not be reserved any more: a path that was added since, a partition.
        let all = found.able.into_iter().chain(found.others);
        join_all(all.map(one)).await.into_iter().collect()
    }
}

impl LocalReservations {
    /// Below these folders.
    pub fn at(roots: Roots) -> Self {
        Self { roots, disks: MayHang::default() }
    }

    async fn find(&self, members: &Members, within: Duration) -> Result<disks::Found, String> {
        let (roots, members) = (self.roots.clone(), members.to_vec());
        let found = self.disks.run(within, move || disks::find(&roots, &members)).await?;
        found.unwrap_or_else(|| Err(format!("the disks did not answer within {within:?}")))
    }
}

/// Makes this machine known to all of them at once, in their order: nobody is refused anything by that.
async fn register(
    program: &SgPersist,
    key: ReservationKey,
    disks: Vec<(DiskId, PathBuf)>,
) -> Vec<(DiskId, PathBuf, Said<()>)> {
    let one = |(disk, node): (DiskId, PathBuf)| async move {
        let said = program.register(&node, key).await;
        (disk, node, said)
    };
    join_all(disks.into_iter().map(one)).await
}

/// Reserves one disk.
async fn one(program: &SgPersist, order: &Order<'_>, disk: String, node: &Path) -> One {
    let mut preempted = BTreeSet::new();
    let mut why = String::new();
    for tries in 0..MOST_TRIES {
        match program.reserve(node, order.key).await {
            Said::Good(()) => return One::Reserved(preempted),
            Said::Conflict => {}
            // Registered and not reserved: the second fence is not there, and nothing is in our way.
            Said::Unsupported => return One::Unable(format!("{disk} keeps no reservations of this kind")),
            Said::Unclear(why) => return One::Kept(Kept::Unclear { why: format!("{disk}: {why}") }),
            Said::Other(why) if tries == 0 => return One::Unable(format!("{disk}: {why}")),
            Said::Other(said) => {
                why = said;
                continue;
            }
        }
        let held = match program.holder(node).await {
            Said::Good(Some(held)) => held,
            Said::Good(None) => continue,
            Said::Conflict | Said::Unsupported => {
                why = "it does not say who has reserved it".to_owned();
                continue;
            }
            Said::Other(said) | Said::Unclear(said) => {
                why = said;
                continue;
            }
        };
        if !order.may_preempt(held.key) {
            // Ours goes again: nothing of this disk is ours to hold.
            let _ours = program.forget(node, order.key).await;
            return One::Kept(Kept::ByAnHaNode { disk, key: held.key });
        }
        match program.preempt(node, order.key, held).await {
            Said::Good(()) => {
                preempted.insert(held.key);
            }
            said => why = format!("key {} was not preempted ({})", held.key, said.text()),
        }
    }
    One::Kept(Kept::Still { disk, why })
}
