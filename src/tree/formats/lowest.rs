//! What all configured HA nodes read: pure, from what each of them published.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::published::{Published, Remark, Stopped};
use crate::keys;
use crate::names::HaNodeName;
use crate::store::Store;
use crate::tree::{Snapshot, TreeError};

/// What one HA node is known to read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reads {
    /// What it published.
    Published(Published),
    /// Nothing was published: it counts as the build 7763f26.
    Nothing,
    /// What is there cannot be understood: it counts as that build too.
    Unreadable,
}

impl Reads {
    fn version(&self, kind: Kind) -> u64 {
        match self {
            Reads::Published(published) => published.reads(kind),
            Reads::Nothing | Reads::Unreadable => kind.baseline(),
        }
    }
}

/// What every configured HA node reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formats {
    nodes: BTreeMap<HaNodeName, Reads>,
}

/// Something cannot be written: a configured HA node would not read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {} {kind} in version {needed} yet", names(by), if by.len() == 1 { "does not read" } else { "do not read" })]
pub struct HeldBack {
    /// What would be written.
    pub kind: Kind,
    /// In which version.
    pub needed: u64,
    /// The HA nodes that do not read it; at least one.
    pub by: Vec<HaNodeName>,
}

impl HeldBack {
    /// The operator's next command.
    pub fn hint(&self) -> String {
        upgrade(&self.by)
    }
}

/// An HA node that holds the others back: it reads less than the newest build among them and this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Which.
    pub node: HaNodeName,
    /// The release that it says it runs; `None` where it has published nothing that can be read.
    pub build: Option<String>,
    /// The records of which it reads only an older version.
    pub kinds: Vec<Kind>,
}

impl Behind {
    /// For people: who, what follows from it.
    pub fn text(&self) -> String {
        let kinds: Vec<String> = self.kinds.iter().map(ToString::to_string).collect();
        let what = match &self.build {
            Some(build) => format!("runs nova-ha {build}, which reads older versions"),
            None => {
                "has not published what it reads (it runs an older nova-ha, its recover has not run yet, or its token has an older policy)"
                    .to_owned()
            }
        };
        format!(
            "HA node {} {what}; until it is upgraded or removed nothing new is written into: {}",
            self.node,
            kinds.join(", ")
        )
    }

    /// The operator's next command.
    pub fn hint(&self) -> String {
        upgrade(std::slice::from_ref(&self.node))
    }
}

fn names(nodes: &[HaNodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(HaNodeName::as_str).collect();
    format!("HA node{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

fn upgrade(nodes: &[HaNodeName]) -> String {
    let first = nodes.first().map_or("NAME", |node| node.as_str());
    format!(
        "upgrade nova-ha on {first} and run nova-ha-recover there, with its policy of nova-ha generate acl; or nova-ha ha-node \
         remove {first}"
    )
}

impl Formats {
    /// From a snapshot that holds `internal/formats` of each of these HA nodes, where there is one.
    pub fn of<'a>(snapshot: &Snapshot, nodes: impl IntoIterator<Item = &'a HaNodeName>) -> Self {
        let reads = |node: &HaNodeName| match snapshot.get(&keys::ha_node(node).formats()) {
            None => Reads::Nothing,
            Some(entry) => {
                Published::parse(&entry.key, &entry.value).map_or(Reads::Unreadable, Reads::Published)
            }
        };
        Self { nodes: nodes.into_iter().map(|node| (node.clone(), reads(node))).collect() }
    }

    /// Reads what all configured HA nodes (those with a `general`) published.
    ///
    /// # Errors
    /// Consul does not answer, or shows no HA node at all: a denied list looks empty, and would say that nobody is
    /// held back.
    pub async fn read(store: &dyn Store) -> Result<Self, TreeError> {
        let what = || "what the HA nodes read".to_owned();
        let listed = store.keys(keys::HA_NODES, false).await;
        let listed: BTreeSet<String> =
            listed.map_err(|source| TreeError::Read { what: what(), source })?.into_iter().collect();
        let nodes: BTreeSet<HaNodeName> = listed
            .iter()
            .filter_map(|key| keys::ha_node_of(key))
            .filter(|node| listed.contains(&keys::ha_node(node).general()))
            .collect();
        if nodes.is_empty() {
            return Err(TreeError::Missing { key: format!("{}NAME/general", keys::HA_NODES) });
        }
        let wanted: Vec<String> = nodes.iter().map(|node| keys::ha_node(node).formats()).collect();
        let snapshot = Snapshot::read(store, &what(), &wanted).await?;
        Ok(Self::of(&snapshot, &nodes))
    }

    /// HA nodes that say that they recover nothing, and why.
    pub fn stopped(&self) -> impl Iterator<Item = (&HaNodeName, &Stopped)> {
        self.nodes.iter().filter_map(|(node, reads)| match reads {
            Reads::Published(published) => published.stopped.as_ref().map(|stopped| (node, stopped)),
            Reads::Nothing | Reads::Unreadable => None,
        })
    }

    /// What HA nodes say that a person should settle on them.
    pub fn remarks(&self) -> impl Iterator<Item = (&HaNodeName, &Remark)> {
        self.nodes.iter().flat_map(|(node, reads)| {
            let remarks = match reads {
                Reads::Published(published) => published.remarks.as_slice(),
                Reads::Nothing | Reads::Unreadable => &[],
            };
            remarks.iter().map(move |remark| (node, remark))
        })
    }

    /// The configured HA nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &HaNodeName> {
        self.nodes.keys()
    }

    /// The highest version of this kind that this HA node is known to read; that of one which is not configured is 0.
    pub fn reads(&self, node: &HaNodeName, kind: Kind) -> u64 {
        self.nodes.get(node).map_or(0, |reads| reads.version(kind))
    }

    /// The highest version of this kind that all configured HA nodes and this build read.
    pub fn lowest(&self, kind: Kind) -> u64 {
        self.nodes.values().map(|reads| reads.version(kind)).chain([kind.newest()]).min().unwrap_or(0)
    }

    /// Whether a record of this kind may be written in this version: before a writer says what older builds refuse.
    ///
    /// # Errors
    /// The HA nodes that would not read it, and the next command.
    pub fn allows(&self, kind: Kind, version: u64) -> Result<(), HeldBack> {
        let old = self.nodes.iter().filter(|(_, reads)| reads.version(kind) < version);
        let by: Vec<HaNodeName> = old.map(|(node, _)| node.clone()).collect();
        match by.is_empty() {
            true => Ok(()),
            false => Err(HeldBack { kind, needed: version, by }),
        }
    }

    /// The HA nodes that hold the others back.
    pub fn behind(&self) -> Vec<Behind> {
        let newest = |kind: Kind| {
            self.nodes.values().map(|reads| reads.version(kind)).chain([kind.newest()]).max().unwrap_or(0)
        };
        let behind = |(node, reads): (&HaNodeName, &Reads)| {
            // The layout is a matter of its tokens, which it says itself ([`Published::remarks`]), and not of its build.
            let of_its_build = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Layout);
            let kinds: Vec<Kind> = of_its_build.filter(|kind| reads.version(*kind) < newest(*kind)).collect();
            let build = match reads {
                Reads::Published(published) => Some(published.build.clone()),
                Reads::Nothing | Reads::Unreadable => None,
            };
            (!kinds.is_empty()).then(|| Behind { node: node.clone(), build, kinds })
        };
        self.nodes.iter().filter_map(behind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn formats(nodes: &[(&str, Option<&str>)]) -> Formats {
        let names: Vec<HaNodeName> = nodes.iter().map(|(name, _)| name.parse().unwrap()).collect();
        let mut snapshot = Snapshot::default();
        snapshot.extend(names.iter().zip(nodes).filter_map(|(name, (_, value))| {
            let value = value.as_ref()?.as_bytes().to_vec();
            Some(Entry { key: keys::ha_node(name).formats(), value, modify_index: 1, session: None })
        }));
        Formats::of(&snapshot, &names)
    }

    fn ours() -> String {
        serde_json::to_string(&Published::of_this_build(None)).unwrap()
    }

    #[test]
    fn an_ha_node_that_published_nothing_counts_as_the_build_before_formats() {
        let ours = ours();
        let mixed = formats(&[("ha1", Some(&ours)), ("ha2", None), ("ha3", Some("{"))]);
        assert_eq!(mixed.lowest(Kind::Journal), 1);
        assert_eq!(mixed.allows(Kind::Journal, 1), Ok(()));
        let held = mixed.allows(Kind::Journal, 2).unwrap_err();
        assert_eq!(held.by, ["ha2".parse().unwrap(), "ha3".parse().unwrap()]);
        assert_eq!(held.to_string(), "HA nodes ha2, ha3 do not read the journal in version 2 yet");
        assert_eq!(
            held.hint(),
            "upgrade nova-ha on ha2 and run nova-ha-recover there, with its policy of nova-ha generate acl; or nova-ha \
             ha-node remove ha2"
        );
        let behind: Vec<String> = mixed.behind().iter().map(|behind| behind.node.to_string()).collect();
        assert_eq!(behind, ["ha2", "ha3"]);
    }

    #[test]
    fn once_all_have_published_the_newest_is_written_and_nobody_is_named() {
        let ours = ours();
        let all = formats(&[("ha1", Some(&ours)), ("ha2", Some(&ours))]);
        for kind in Kind::ALL {
            assert_eq!(all.lowest(kind), kind.newest());
            assert_eq!(all.allows(kind, kind.newest()), Ok(()));
        }
        assert_eq!(all.behind(), []);
    }

    #[test]
    fn a_newer_build_is_read_leniently_and_names_those_behind_it() {
        let newer = r#"{"version":7,"build":"9.0","reads":{"journal":9,"dreams":4},"mood":"good"}"#;
        let ours = ours();
        let both = formats(&[("ha1", Some(&ours)), ("ha2", Some(newer))]);
        assert_eq!(both.lowest(Kind::Journal), Kind::Journal.newest());
        // What it does not name it reads as it was in the beginning.
        assert_eq!(both.lowest(Kind::Incident), Kind::Incident.baseline());
        let behind = both.behind();
        assert_eq!(behind[0].node.as_str(), "ha1");
        assert_eq!(behind[0].kinds, [Kind::Journal]);
        assert!(behind[0].text().starts_with("HA node ha1 runs nova-ha "), "{}", behind[0].text());
    }
}
