//! Placement: what is free where. Read only, for the plan.
//!
//! What it must not be taken for: a promise. Between this look and Nova's own claim somebody else
//! may take the room.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client::{NovaCall, NovaClient};
use super::error::{CatalogError, NovaError};
use super::ids::{Microversion, NovaHost};
use super::servers::{Link, MAX_PAGES};
use super::services::VERSION as SERVICES;

/// 1.31 brought `in_tree` (Stein), which asks for one host only.
const VERSION: Microversion = Microversion { major: 1, minor: 31 };

/// Whoever has neither of these to give has no room.
const LEAST: &str = "VCPU:1,MEMORY_MB:1";

/// What is free on one host: its inventory times its allocation ratio, less what is used.
///
/// It is too little where guests were evacuated away from it and its nova-compute has not been started since:
/// placement keeps their allocations until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The host.
    pub host: NovaHost,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Local disk, GiB; `None` where the host itself has no such inventory (shared storage).
    pub disk_gib: Option<u64>,
}

#[derive(Deserialize)]
struct Hypervisors {
    hypervisors: Vec<Hypervisor>,
    #[serde(default)]
    hypervisors_links: Vec<Link>,
}

/// Its id is also that of its resource provider (2.53).
#[derive(Deserialize)]
struct Hypervisor {
    id: String,
    state: String,
    status: String,
    service: HypervisorService,
}

#[derive(Deserialize)]
struct HypervisorService {
    host: NovaHost,
}

#[derive(Deserialize)]
struct Candidates {
    provider_summaries: BTreeMap<String, Summary>,
}

#[derive(Deserialize)]
struct Summary {
    resources: BTreeMap<String, Use>,
}

#[derive(Deserialize)]
struct Use {
    capacity: u64,
    used: u64,
}

impl Summary {
    fn free(&self, class: &str) -> Option<u64> {
        self.resources.get(class).map(|found| found.capacity.saturating_sub(found.used))
    }

    fn room(&self, host: NovaHost) -> Option<Room> {
        let (vcpus, memory_mib) = (self.free("VCPU")?, self.free("MEMORY_MB")?);
        Some(Room { host, vcpus, memory_mib, disk_gib: self.free("DISK_GB") })
    }
}

/// The rooms of all that may be given guests.
fn usable(hypervisors: Vec<Hypervisor>, candidates: &Candidates) -> Vec<Room> {
    let usable = hypervisors.into_iter().filter(|h| h.state == "up" && h.status == "enabled");
    usable.filter_map(|h| candidates.provider_summaries.get(&h.id)?.room(h.service.host)).collect()
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl NovaClient {
    pub(crate) fn rooms_in(hypervisors: &[u8], candidates: &[u8]) -> Result<Vec<Room>, NovaError> {
        let of_200 = super::http::Answer::of_200;
        let page: Hypervisors = of_200(hypervisors).json()?;
        let _has_next = Link::has_next(&page.hypervisors_links);
        Ok(usable(page.hypervisors, &of_200(candidates).json()?))
    }
}

impl NovaClient {
    pub(super) async fn read_rooms(&self, hosts: &[NovaHost]) -> Result<Vec<Room>, NovaError> {
        let hypervisors = self.read_hypervisors().await?;
        if hosts.is_empty() {
            let candidates = self.read_candidates(None).await?;
            return Ok(usable(hypervisors, &candidates));
        }
        let mut rooms = Vec::new();
        for host in hosts {
            // A host with several hypervisors (ironic) has no room that could be told by its name.
            let mine: Vec<&Hypervisor> = hypervisors.iter().filter(|h| h.service.host == *host).collect();
            let [hypervisor] = mine.as_slice() else { continue };
            let candidates = self.read_candidates(Some(&hypervisor.id)).await?;
            let found = candidates.provider_summaries.get(&hypervisor.id);
            rooms.extend(found.and_then(|summary| summary.room(host.clone())));
        }
        Ok(rooms)
    }

    async fn read_hypervisors(&self) -> Result<Vec<Hypervisor>, NovaError> {
        let mut found: Vec<Hypervisor> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut call = NovaCall::read(&["os-hypervisors", "detail"], SERVICES).with("limit", "1000");
            if let Some(last) = found.last() {
                call = call.with("marker", last.id.as_str());
            }
            let page: Hypervisors = self.call(&call).await?.json()?;
            let last_page = page.hypervisors.is_empty() || !Link::has_next(&page.hypervisors_links);
            found.extend(page.hypervisors);
            if last_page {
                return Ok(found);
            }
        }
        let why = format!("the list of hypervisors does not end after {MAX_PAGES} pages");
        Err(NovaError::NotSent { why })
    }

    async fn read_candidates(&self, provider: Option<&str>) -> Result<Candidates, NovaError> {
        let session = self.session().await?;
        let mut url = session.placement.map_err(|source: CatalogError| NovaError::Catalog {
            cloud: self.transport.cloud().to_owned(),
            file: self.transport.file().to_owned(),
            source: Box::new(source),
        })?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("allocation_candidates");
        }
        url.query_pairs_mut().append_pair("resources", LEAST);
        if let Some(provider) = provider {
            url.query_pairs_mut().append_pair("in_tree", provider);
        }
        self.read_elsewhere(&url, ("placement", VERSION)).await?.json()
    }
}
