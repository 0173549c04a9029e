//! How Nova is asked for one guest: which microversion with which body, and what must be true of its
//! disk before. Pure.
//!
//! The microversion is not a detail: it decides what Nova does when the guest's disk is not there.
//! At 2.13 with `onSharedStorage: true` it fails closed; from 2.14 on it builds the disk anew from the
//! image, without a word (both seen on Nova 34.0.0). See docs/decisions/0014.

use std::time::Duration;

use super::disk::{Disk, Seen};
use super::treatment::Target;
use crate::clock::BootInstant;
use crate::nova::{Cloud, EvacuateRequest, NovaError, NovaHost, RequestId, Server, ServerId, TokenId};
use crate::tree::storage::Storage;

/// What decides beside the guest itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// Where guests go.
    pub target: Target,
    /// Whether the target is this HA node, so that it can look at the guest's place.
    pub here: bool,
    /// Whether this HA node takes the storage over.
    pub taken: bool,
    /// Whether it knows where Nova keeps its guests.
    pub mountpoint: bool,
    /// `policy.attach_only`.
    pub attach_only: bool,
}

impl How {
    /// For one recovery. `own` is what Nova calls this HA node.
    pub fn of(target: &Target, own: &NovaHost, storage: &Storage, attach_only: bool) -> Self {
        Self {
            target: target.clone(),
            here: target.host() == Some(own),
            taken: storage.strategy.is_taken(),
            mountpoint: storage.mountpoint.is_some(),
            attach_only,
        }
    }

    /// Whether the guest's place is looked at before it is asked for.
    pub fn looks(&self) -> bool {
        self.here && (self.taken || self.mountpoint)
    }
}

/// Where a guest's data is, as far as Nova's record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// A local disk, made from an image.
    Image,
    /// An image and volumes: the image may be a snapshot of a guest that was booted from a volume,
    /// and then its root is one, too.
    ImageAndVolumes,
    /// A volume, and nothing local.
    Volume,
    /// A volume, and a local ephemeral disk.
    VolumeAndEphemeral,
    /// Neither image nor volume.
    CannotTell,
}

impl Root {
    /// Source: Nova's `image_ref` is empty for a guest that was booted from a volume, and kept for one
    /// whose image is itself a snapshot of volumes (`_check_and_transform_bdm`).
    fn of(server: &Server) -> Self {
        match (&server.image, server.volumes.is_empty(), server.flavor.ephemeral_gib) {
            (Some(_), true, _) => Self::Image,
            (Some(_), false, _) => Self::ImageAndVolumes,
            (None, false, 0) => Self::Volume,
            (None, false, _) => Self::VolumeAndEphemeral,
            (None, true, _) => Self::CannotTell,
        }
    }
}

/// What must have been seen of the guest's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// Its directory with its root disk.
    RootDisk,
    /// Its directory with an ephemeral disk, and no root disk.
    EphemeralDisk,
    /// No root disk.
    NoRootDisk,
    /// Nothing: this HA node does not see it.
    Nothing,
}

/// What would be asked, before the disk was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    request: EvacuateRequest,
    why: String,
    demand: Demand,
}

impl Wanted {
    /// For the plan.
    pub fn text(&self) -> String {
        let demand = match self.demand {
            Demand::RootDisk => ", once its disk is seen here",
            Demand::EphemeralDisk => ", once its ephemeral disk is seen here",
            Demand::NoRootDisk => ", if no root disk is seen here",
            Demand::Nothing => "",
        };
        format!("{}{demand}", self.why)
    }
}

/// A request with what was seen for it. Only [`choose`] makes one, and only it reaches Nova.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    server: ServerId,
    request: EvacuateRequest,
    why: String,
    seen: Option<Seen>,
}

impl Ask {
    /// Why so, for people.
    pub fn why(&self) -> String {
        match &self.seen {
            Some(seen) => format!("{}; {}", self.why, seen.said()),
            None => self.why.clone(),
        }
    }

    /// The request.
    pub fn request(&self) -> &EvacuateRequest {
        &self.request
    }

    /// Whether what was seen of the disk is still young enough to act on.
    pub fn is_fresh(&self, now: BootInstant, max_age: Duration) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.counts_for(&self.server, now, max_age))
    }

    /// Sends it, once. The one place where Nova is asked for an evacuation.
    pub async fn send(&self, cloud: &dyn Cloud, token: &TokenId) -> Result<RequestId, NovaError> {
        cloud.evacuate(&self.server, &self.request, token).await
    }
}

/// What becomes of a guest that is to be evacuated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Ask for it.
    Ask(Ask),
    /// Nova's record and its disk contradict each other, or the disk is not as it must be: a person
    /// looks. Nothing is asked.
    Hold {
        /// Why.
        why: String,
    },
}

/// What would be asked for this guest, by Nova's record of it alone; or why nothing would.
pub fn wanted(server: &Server, how: &How) -> Result<Wanted, String> {
    if how.taken && !how.here {
        return Err(format!("its disk will be on this HA node only, and guests go to {}", how.target));
    }
    let root = Root::of(server);
    let looked = |demand| if how.looks() { demand } else { Demand::Nothing };
    let attach = |demand, what: &str| Wanted {
        request: EvacuateRequest::AttachOnly213 { host: how.target.host().cloned() },
        why: format!("{what}, attach only{} (2.13)", to(&how.target)),
        demand: looked(demand),
    };
    let plain = |demand, what: &str| {
        let (request, why) = without_interlock(&how.target);
        Wanted { request, why: format!("{what}, {why}"), demand: looked(demand) }
    };
    Ok(match (root, how.taken || how.attach_only) {
        (Root::Image | Root::ImageAndVolumes, true) => attach(Demand::RootDisk, "local disk"),
        (Root::Image | Root::ImageAndVolumes, false) => plain(Demand::RootDisk, "local disk, shared"),
        (Root::VolumeAndEphemeral, true) => attach(Demand::EphemeralDisk, "volume and ephemeral disk"),
        (Root::VolumeAndEphemeral, false) => {
            plain(Demand::EphemeralDisk, "volume and ephemeral disk, shared")
        }
        (Root::Volume, _) => plain(Demand::NoRootDisk, "booted from a volume"),
        (Root::CannotTell, _) if how.taken => {
            return Err(
                "Nova shows neither an image nor a volume of it: where its disk is cannot be told".into()
            );
        }
        // Where its directory is missing Nova fails closed, and there is no image to build it from.
        (Root::CannotTell, true) => attach(Demand::Nothing, "no image and no volume shown"),
        (Root::CannotTell, false) => plain(Demand::Nothing, "no image and no volume shown, shared"),
    })
}

/// What is asked for this guest, with what is at its place.
pub fn choose(server: &Server, how: &How, disk: &Disk) -> Choice {
    let wanted = match wanted(server, how) {
        Ok(wanted) => wanted,
        Err(why) => return Choice::Hold { why },
    };
    let seen = match (wanted.demand, disk) {
        // Whatever Nova would do with it: its folder is opened on this machine.
        (_, Disk::Strange(strange)) => return hold(&strange.to_string()),
        (Demand::Nothing, _) => None,
        (_, Disk::NotLooked) => return hold("its place was not looked at"),
        (_, Disk::CannotTell { why }) => return hold(&format!("its place cannot be looked at: {why}")),
        (_, Disk::Unusable { why }) => return hold(&format!("its place cannot be used: {why}")),
        (Demand::RootDisk, Disk::Whole(seen)) => Some(seen.clone()),
        (Demand::RootDisk, Disk::Absent) => {
            return hold("it has a local disk, and its directory is not here (is the filesystem mounted?)");
        }
        (Demand::RootDisk, Disk::Rootless { .. }) if !server.volumes.is_empty() => {
            return hold("it has an image and volumes, and no root disk here: its root may be a volume");
        }
        (Demand::RootDisk, Disk::Rootless { .. }) => {
            return hold("it has a local disk, and its directory is here without it");
        }
        (Demand::EphemeralDisk, Disk::Rootless { seen, ephemeral: true }) => Some(seen.clone()),
        (Demand::EphemeralDisk, Disk::Absent | Disk::Rootless { .. }) => {
            return hold("it has an ephemeral disk, which is not here");
        }
        (Demand::NoRootDisk, Disk::Absent) => None,
        (Demand::NoRootDisk, Disk::Rootless { seen, ephemeral: false }) => Some(seen.clone()),
        (Demand::NoRootDisk, Disk::Rootless { ephemeral: true, .. }) => {
            return hold("Nova shows no ephemeral disk of it, and there is one here");
        }
        (Demand::EphemeralDisk | Demand::NoRootDisk, Disk::Whole(_)) => {
            return hold("Nova shows it as booted from a volume, and there is a root disk here");
        }
    };
    let Wanted { request, why, .. } = wanted;
    Choice::Ask(Ask { server: server.id.clone(), request, why, seen })
}

fn hold(why: &str) -> Choice {
    Choice::Hold { why: format!("not asked for: {why}") }
}

fn to(target: &Target) -> String {
    match target {
        Target::Scheduler => ", scheduler's choice".into(),
        Target::Host { host, .. } => format!(", to {host}"),
    }
}

/// A reserved spare is disabled, which the scheduler would not accept: below 2.29 a named host
/// bypasses it. Anything else is checked by the scheduler. Below 2.95 the power state is kept.
fn without_interlock(target: &Target) -> (EvacuateRequest, String) {
    match target {
        Target::Scheduler => {
            (EvacuateRequest::Scheduled268 { host: None }, "scheduler's choice (2.68)".into())
        }
        Target::Host { host, reserved: true } => (
            EvacuateRequest::Pinned214 { host: host.clone() },
            format!("to reserved spare {host} past the scheduler (2.14)"),
        ),
        Target::Host { host, reserved: false } => (
            EvacuateRequest::Scheduled268 { host: Some(host.clone()) },
            format!("to {host}, checked by the scheduler (2.68)"),
        ),
    }
}

#[cfg(test)]
mod tests;
