//! Reservations on the disks that this machine sees: what [`Reservations`] is in earnest.
//!
//! *Write exclusive* (type 1): one holder writes, everybody reads, so that a boot guard and `mdadm --examine` go on
//! telling what is there. A reservation is of a whole disk and of the one path that it was asked for on, which
//! decides which disks can have one: see [`disks`]. What is run is in [`sg_persist`].

mod disks;
mod sg_persist;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::sg_persist::{Said, SgPersist};
use super::reservations::{Kept, Members, Order, Reservations, Reserved};
use crate::disks::Roots;
use crate::disks::reservation_key::ReservationKey;
use crate::fence::PoweredOff;
use crate::may_hang::MayHang;

/// How often one that is refused is tried to be taken from whoever has it: another one may have it by then.
const MOST_TRIES: u32 = 3;

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
    async fn holders(&self, members: &Members, within: Duration) -> BTreeSet<ReservationKey> {
        let deadline = Instant::now() + within;
        let Ok(found) = self.find(members, within).await else { return BTreeSet::new() };
        let Ok(program) = SgPersist::find(deadline) else { return BTreeSet::new() };
        let mut looks = JoinSet::new();
        for (_, node) in found.able {
            let program = program.clone();
            looks.spawn(async move { program.holder(&node).await });
        }
        looks
            .join_all()
            .await
            .into_iter()
            .filter_map(|said| said.good().flatten())
            .map(|held| held.key)
            .collect()
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
            Err(why) => return Ok(Reserved { unable: vec![why], ..Reserved::default() }),
        };
        let mut reserved = Reserved { unable: found.unable, ..Reserved::default() };
        let program = match SgPersist::find(deadline) {
            Ok(program) => program,
            Err(why) => {
                reserved.unable.push(why);
                return Ok(reserved);
            }
        };
        let mut disks = JoinSet::new();
        for (disk, node) in found.able {
            let (program, key, earlier) = (program.clone(), order.key, order.earlier.clone());
            disks.spawn(async move {
                let order = Order { members: &[], key, earlier: &earlier };
                one(&program, &order, disk, node).await
            });
        }
        let mut kept = None;
        for one in disks.join_all().await {
            match one {
                One::Reserved(preempted) => {
                    reserved.disks += 1;
                    reserved.preempted.extend(preempted);
                }
                One::Unable(why) => reserved.unable.push(why),
                One::Kept(why) => kept = Some(why),
            }
        }
        reserved.unable.sort();
        kept.map_or(Ok(reserved), Err)
    }

    async fn give_up(&self, members: &Members, key: ReservationKey, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let found = self.find(members, within).await?;
        // Nothing here can have reserved any without it.
        let Ok(program) = SgPersist::find(deadline) else { return Ok(()) };
        let mut disks = JoinSet::new();
        for (disk, node) in found.able {
            let program = program.clone();
            disks.spawn(
                async move { program.forget(&node, key).await.map_err(|why| format!("{disk}: {why}")) },
            );
        }
        disks.join_all().await.into_iter().collect()
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

/// Reserves one disk.
async fn one(program: &SgPersist, order: &Order<'_>, disk: String, node: PathBuf) -> One {
    match program.register(&node, order.key).await {
        Said::Good(()) => {}
        Said::Unsupported => return One::Unable(format!("{disk} keeps no reservations")),
        Said::Conflict => return One::Unable(format!("{disk} refuses to register a key")),
        Said::Other(why) => return One::Unable(format!("{disk}: {why}")),
    }
    let mut preempted = BTreeSet::new();
    let mut why = String::new();
    for _ in 0..MOST_TRIES {
        match program.reserve(&node, order.key).await {
            Said::Good(()) => return One::Reserved(preempted),
            Said::Conflict => {}
            // Registered and not reserved: the second fence is not there, and nothing is in our way.
            Said::Unsupported => return One::Unable(format!("{disk} keeps no reservations of this kind")),
            Said::Other(why) => return One::Unable(format!("{disk}: {why}")),
        }
        let held = match program.holder(&node).await {
            Said::Good(Some(held)) => held,
            Said::Good(None) => continue,
            Said::Conflict | Said::Unsupported => {
                why = "it does not say who has reserved it".to_owned();
                continue;
            }
            Said::Other(said) => {
                why = said;
                continue;
            }
        };
        if !order.may_preempt(held.key) {
            // Ours goes again: nothing of this disk is ours to hold.
            let _ours = program.forget(&node, order.key).await;
            return One::Kept(Kept::ByAnHaNode { disk, key: held.key });
        }
        match program.preempt(&node, order.key, held).await {
            Said::Good(()) => {
                preempted.insert(held.key);
            }
            said => why = format!("key {} was not preempted ({})", held.key, said.text()),
        }
    }
    One::Kept(Kept::Still { disk, why })
}
