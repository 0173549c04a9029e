//! Where operators leave marks for a recovery beside the guests themselves: host aggregates, server
//! groups, images.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::ids::Microversion;
use super::servers::MAX_PAGES;

/// 2.64 has one policy a server group, by its name.
const VERSION: Microversion = Microversion::two(64);
const PAGE: usize = 1000;

/// A group of hosts with marks on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Aggregate {
    /// Its name.
    pub name: String,
    /// Nova's names of its hosts.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Its marks.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Guests that belong together or apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ServerGroup {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `affinity`, `anti-affinity`, or one of their soft kinds.
    #[serde(default, deserialize_with = "or_empty")]
    pub policy: String,
    /// Server ids.
    #[serde(default)]
    pub members: Vec<String>,
}

fn or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

impl ServerGroup {
    /// Whether Nova checks it again on the target, where parallel evacuations of its members fail
    /// each other (`_validate_instance_group_policy` knows these two only).
    pub fn is_hard(&self) -> bool {
        matches!(self.policy.as_str(), "affinity" | "anti-affinity")
    }
}

/// An image, as far as it carries marks. From the image store itself: Nova (since 2.98) shows of an
/// image's properties only those that it knows by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Its tags.
    pub tags: Vec<String>,
    /// Its fields and properties that are texts.
    pub properties: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Aggregates {
    aggregates: Vec<Aggregate>,
}

#[derive(Deserialize)]
struct ServerGroups {
    server_groups: Vec<ServerGroup>,
}

impl NovaClient {
    pub(super) async fn read_aggregates(&self) -> Result<Vec<Aggregate>, NovaError> {
        let answer = self.call(&NovaCall::read(&["os-aggregates"], VERSION)).await?;
        Ok(answer.json::<Aggregates>()?.aggregates)
    }

    pub(super) async fn read_server_groups(&self) -> Result<Vec<ServerGroup>, NovaError> {
        let mut found: Vec<ServerGroup> = Vec::new();
        for _ in 0..MAX_PAGES {
            let call = NovaCall::read(&["os-server-groups"], VERSION)
                .with("all_projects", "true")
                .with("limit", PAGE.to_string())
                .with("offset", found.len().to_string());
            let answer = self.call(&call).await?;
            let page = answer.json::<ServerGroups>()?.server_groups;
            // A site may have made Nova's own limit of a page smaller: only an empty one is the last.
            let known = found.len();
            let new = |group: &ServerGroup| found.iter().all(|old| old.id != group.id);
            let more: Vec<ServerGroup> = page.into_iter().filter(new).collect();
            found.extend(more);
            if found.len() == known {
                return Ok(found);
            }
        }
        Ok(found)
    }

    pub(super) async fn read_image(&self, id: &str) -> Result<Option<Image>, NovaError> {
        let answer = match self.call(&NovaCall::read_image_store(&["images", id])).await {
            Ok(answer) => answer,
            Err(NovaError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(image(answer.json()?)))
    }
}

fn image(fields: BTreeMap<String, Value>) -> Image {
    let mut image = Image::default();
    for (name, value) in fields {
        match value {
            Value::String(text) => {
                image.properties.insert(name, text);
            }
            Value::Array(tags) if name == "tags" => {
                image.tags = tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {}
        }
    }
    image
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl NovaClient {
    pub(crate) fn aggregates_in(body: &[u8]) -> Result<Vec<Aggregate>, NovaError> {
        super::http::Answer::of_200(body).json::<Aggregates>().map(|answer| answer.aggregates)
    }

    pub(crate) fn server_groups_in(body: &[u8]) -> Result<Vec<ServerGroup>, NovaError> {
        super::http::Answer::of_200(body).json::<ServerGroups>().map(|answer| answer.server_groups)
    }

    pub(crate) fn image_in(body: &[u8]) -> Result<Image, NovaError> {
        super::http::Answer::of_200(body).json().map(image)
    }
}
