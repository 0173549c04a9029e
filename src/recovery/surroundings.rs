//! Reads the marks beside the guests' own records: the host's aggregates, server groups, images. What
//! cannot be read is said, and keeps nobody from being recovered.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::evacuation::choice::Surroundings;
use super::world::chain;
use crate::nova::{Cloud, NovaHost, Server};

/// Images that are looked at, each once: a host has guests of few, and what is beyond is said.
const MOST_IMAGES: usize = 200;
/// At once.
const IMAGES_AT_ONCE: usize = 8;
/// An image store that failed so often is left alone.
const MOST_FAILURES: usize = 3;

/// Reads them. Two or three requests, and one for each distinct image.
pub async fn read(cloud: &dyn Cloud, host: &NovaHost, servers: &[Server]) -> Surroundings {
    let mut found = Surroundings::default();
    // Also of a host without guests: whose it is decides whether it is shot.
    match cloud.aggregates().await {
        Ok(all) => {
            found.aggregates =
                all.into_iter().filter(|a| a.hosts.iter().any(|name| name == host.as_str())).collect();
        }
        Err(error) => {
            let why = format!("aggregates cannot be read: {}", chain(&error));
            found.unread.push(why.clone());
            found.aggregates_unread = Some(why);
        }
    }
    if servers.is_empty() {
        return found;
    }
    match cloud.server_groups().await {
        Ok(all) => {
            let here: BTreeSet<&str> = servers.iter().map(|server| server.id.as_str()).collect();
            let ours = |members: &[String]| members.iter().any(|member| here.contains(member.as_str()));
            found.groups = all.into_iter().filter(|g| g.is_hard() && ours(&g.members)).collect();
        }
        Err(error) => found.unread.push(format!(
            "server groups cannot be read, (anti-)affinity is left to Nova: {}",
            chain(&error)
        )),
    }
    images(cloud, servers, &mut found).await;
    found
}

async fn images(cloud: &dyn Cloud, servers: &[Server], found: &mut Surroundings) {
    let ids: BTreeSet<&String> = servers.iter().filter_map(|server| server.image.as_ref()).collect();
    if ids.len() > MOST_IMAGES {
        found.unread.push(format!("of {} images only {MOST_IMAGES} are looked at", ids.len()));
    }
    let mut answers = stream::iter(ids.into_iter().take(MOST_IMAGES).cloned())
        .map(|id| async move {
            let answer = cloud.image(&id).await;
            (id, answer)
        })
        .buffer_unordered(IMAGES_AT_ONCE);
    let mut failures = 0;
    while let Some((id, answer)) = answers.next().await {
        match answer {
            // A deleted image has no marks any more.
            Ok(image) => {
                found.images.insert(id, image.unwrap_or_default());
            }
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    found.unread.push(format!("image {id} cannot be read: {}", chain(&error)));
                }
                if failures == MOST_FAILURES {
                    found.unread.push("the image store is not asked any more".into());
                    return;
                }
            }
        }
    }
}
