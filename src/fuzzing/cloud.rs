//! Keystone's and Nova's answers, and `clouds.yaml`.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::holds::{CANARY, bounded, error, json, which};
use crate::nova::clouds::{Credentials, Named, Scope};
use crate::nova::{CloudSettings, NovaClient, NovaHost, ServiceState};
use crate::nova::{as_cloud, auth, client};

/// Whose answers are read; the seeds are of this host.
const HOST: &str = "node1";
const SERVER: &str = "266d8aa7-644d-495f-b5cd-38f6d3d26012";

fn host() -> Option<NovaHost> {
    HOST.parse().ok()
}

/// A guest on another host, or listed twice, is never one of this host's.
pub(super) fn servers(data: &[u8]) {
    let (Some((kind, body)), Some(host)) = (which(data, 2), host()) else { return };
    if kind == 0 {
        match NovaClient::servers_in(body, &host) {
            Ok(servers) => {
                assert!(servers.iter().all(|server| server.host.as_ref() == Some(&host)));
                let ids: BTreeSet<_> = servers.iter().map(|server| &server.id).collect();
                assert_eq!(ids.len(), servers.len(), "a guest is listed twice");
                bounded(servers.iter().map(|server| server.name.len() + 64).sum(), body);
            }
            Err(why) => error(&why),
        }
        return;
    }
    let Ok(id) = SERVER.parse() else { return };
    match NovaClient::server_in(body, &id) {
        Ok(server) => assert_eq!(server.id, id),
        Err(why) => error(&why),
    }
}

/// A nova-compute is down, or forced down, only where Nova says that of exactly this host.
pub(super) fn services(data: &[u8]) {
    let (Some((kind, body)), Some(host)) = (which(data, 3), host()) else { return };
    match kind {
        0 => match NovaClient::services_in(body) {
            Ok(services) => bounded(services.len() * 64, body),
            Err(why) => error(&why),
        },
        1 => match NovaClient::reports_in(body, &host) {
            Ok(Some(reports)) => {
                assert_eq!(reports.service.host, host);
                let Some(said) = row(body) else { return };
                let word = |field: &str| said.get(field).cloned();
                let is_down = reports.service.state == ServiceState::Down;
                assert_eq!(is_down, word("state") == Some("down".into()), "{said:?}");
                assert_eq!(reports.service.forced_down, word("forced_down") == Some(true.into()), "{said:?}");
            }
            Ok(None) => {}
            Err(why) => error(&why),
        },
        _ => {
            let _ = NovaClient::changed_service_in(body).map_err(|why| error(&why));
            let _ = as_cloud::newest_in(body).map_err(|why| error(&why));
        }
    }
}

/// The host's row as it came.
fn row(body: &[u8]) -> Option<Value> {
    let mut said = json(body)?;
    let rows = said.get_mut("services")?.as_array_mut()?;
    let ours = |row: &&Value| {
        row.get("host") == Some(&HOST.into()) && row.get("binary") == Some(&"nova-compute".into())
    };
    rows.iter().find(ours).cloned()
}

/// A migration of another host is never one of this host's, and only a known word is an outcome.
pub(super) fn migrations(data: &[u8]) {
    let (Some((kind, body)), Some(host)) = (which(data, 2), host()) else { return };
    let found = match kind {
        0 => NovaClient::evacuations_in(body, &host),
        _ => NovaClient::live_migrations_in(body, &host),
    };
    match found {
        Ok(found) => {
            for migration in &found {
                assert!(migration.source == host || (kind == 1 && migration.dest.as_ref() == Some(&host)));
                let _ = migration.status.outcome();
                let stored = serde_json::to_vec(migration).unwrap_or_default();
                assert_eq!(serde_json::from_slice(&stored).ok().as_ref(), Some(migration));
            }
        }
        Err(why) => error(&why),
    }
}

/// Hypervisors with candidates of placement after a zero byte, aggregates, groups and images.
pub(super) fn places(data: &[u8]) {
    let (Some((kind, body)), Some(host)) = (which(data, 5), host()) else { return };
    let failed = match kind {
        0 => {
            let (hypervisors, candidates) = match body.iter().position(|byte| *byte == 0) {
                Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 1..).unwrap_or_default()),
                None => (body, &b"{}"[..]),
            };
            NovaClient::rooms_in(hypervisors, candidates).map(drop).err()
        }
        1 => match NovaClient::beside_in(body, &host) {
            Ok(beside) => {
                assert!(!beside.contains(&host), "a host beside itself");
                None
            }
            Err(why) => Some(why),
        },
        2 => NovaClient::aggregates_in(body).map(drop).err(),
        3 => NovaClient::server_groups_in(body).map(drop).err(),
        _ => NovaClient::image_in(body).map(drop).err(),
    };
    if let Some(why) = failed {
        error(&why);
    }
}

/// Two bytes of a status, a line of `Retry-After`, and a body. Only a success is no error.
pub(super) fn refusals(data: &[u8]) {
    let Some((status, rest)) = data.split_first_chunk::<2>() else { return };
    let Ok(status) = StatusCode::from_u16(100 + u16::from_be_bytes(*status) % 500) else { return };
    let mut halves = rest.splitn(2, |byte| *byte == b'\n');
    let (after, body) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(after) {
        headers.insert("retry-after", value.clone());
        headers.insert("date", value);
    }
    match client::refusal_in(status, headers, body) {
        Some(why) => error(&why),
        None => assert!(matches!(status.as_u16(), 200 | 202 | 204), "{status} is no refusal"),
    }
}

/// A line with the token, and keystone's body. Nova's address is one that microversions are at.
pub(super) fn keystone(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let (token, body) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let Ok(auth_url) = Url::parse("http://127.0.0.1:5000/v3") else { return };
    let settings = CloudSettings {
        name: "lab".to_owned(),
        auth_url,
        credentials: Credentials::Password {
            user: Named::Name("admin".to_owned()),
            user_domain: None,
            password: SecretString::from(CANARY),
            scope: Scope::System,
        },
        region: None,
        interface: "public".to_owned(),
        compute_url: None,
        placement_url: None,
        file: "clouds.yaml".to_owned(),
        verify: true,
        cacert: None,
        client_certificate: None,
    };
    match auth::session_in(&settings, &String::from_utf8_lossy(token), body) {
        Ok((compute, token)) => {
            assert!(
                matches!(compute.scheme(), "http" | "https") && compute.path().contains("/v2.1"),
                "{compute}"
            );
            assert!(token.now.checked_add(token.life).is_ok() || token.ends > token.now);
        }
        Err(why) => error(&why),
    }
}

/// Certificates are unchecked only where somebody said so, and no sentence has a secret.
pub(super) fn clouds_yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let clouds = match CloudSettings::all_in(&text) {
        Ok(clouds) => clouds,
        Err(why) => return error(&why),
    };
    for cloud in clouds {
        match cloud {
            Ok(cloud) => {
                assert!(
                    matches!(cloud.auth_url.scheme(), "http" | "https")
                        && cloud.auth_url.path().ends_with("/v3")
                );
                assert!(cloud.verify || text.contains("verify") || text.contains("insecure"), "{text}");
                assert!(["public", "internal", "admin"].contains(&cloud.interface.as_str()));
            }
            Err(why) => error(&why),
        }
    }
}
