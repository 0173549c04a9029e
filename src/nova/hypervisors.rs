//! Which nova-computes are on one machine, as far as their addresses tell.

use serde::Deserialize;

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::ids::NovaHost;
use super::servers::{Link, MAX_PAGES};
use super::services::VERSION;

const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Hypervisor {
    id: String,
    #[serde(default)]
    host_ip: Option<String>,
    service: Service,
}

#[derive(Deserialize)]
struct Service {
    host: String,
}

#[derive(Deserialize)]
struct OnePage {
    hypervisors: Vec<Hypervisor>,
    #[serde(default)]
    hypervisors_links: Vec<Link>,
}

impl NovaClient {
    pub(super) async fn read_beside(&self, host: &NovaHost) -> Result<Vec<NovaHost>, NovaError> {
        let mut all: Vec<Hypervisor> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut call =
                NovaCall::read(&["os-hypervisors", "detail"], VERSION).with("limit", PAGE.to_string());
            if let Some(last) = all.last() {
                call = call.with("marker", last.id.clone());
            }
            let page: OnePage = self.call(&call).await?.json()?;
            let ends = page.hypervisors.is_empty() || !Link::has_next(&page.hypervisors_links);
            all.extend(page.hypervisors);
            if ends {
                break;
            }
        }
        Ok(beside(&all, host))
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl NovaClient {
    pub(crate) fn beside_in(body: &[u8], host: &NovaHost) -> Result<Vec<NovaHost>, NovaError> {
        let page: OnePage = super::http::Answer::of_200(body).json()?;
        let _has_next = Link::has_next(&page.hypervisors_links);
        Ok(beside(&page.hypervisors, host))
    }
}

/// A loopback address is every machine's.
fn tells(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn beside(all: &[Hypervisor], host: &NovaHost) -> Vec<NovaHost> {
    let is_own = |row: &&Hypervisor| row.service.host == host.as_str();
    let own: Vec<&str> =
        all.iter().filter(is_own).filter_map(|row| row.host_ip.as_deref()).filter(|ip| tells(ip)).collect();
    let shares = |row: &&Hypervisor| row.host_ip.as_deref().is_some_and(|ip| own.contains(&ip));
    let mut found: Vec<NovaHost> = all
        .iter()
        .filter(|row| !is_own(row))
        .filter(shares)
        .filter_map(|row| row.service.host.parse().ok())
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_nova_compute_at_the_address_of_the_host_is_beside_it() {
        let row = |host: &str, ip: Option<&str>| Hypervisor {
            id: host.into(),
            host_ip: ip.map(str::to_owned),
            service: Service { host: host.into() },
        };
        let all = [
            row("c1", Some("10.0.0.1")),
            row("c1-gpu", Some("10.0.0.1")),
            row("c2", Some("10.0.0.2")),
            row("c3", None),
            row("c4", Some("127.0.0.1")),
            row("c5", Some("127.0.0.1")),
        ];
        let of = |host: &str| {
            beside(&all, &host.parse().unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("c1"), ["c1-gpu"]);
        assert_eq!(of("c1-gpu"), ["c1"]);
        assert!(of("c2").is_empty() && of("c3").is_empty() && of("c4").is_empty() && of("c6").is_empty());
    }
}
