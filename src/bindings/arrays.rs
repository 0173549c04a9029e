//! Whether the md arrays that a host published may be taken over as its own.

use std::collections::{BTreeMap, BTreeSet};

use super::rival::{Rival, Standing, accept};
use crate::disks::DiskId;
use crate::disks::owner_mark::{self, Owner};
use crate::disks::places::{Part, Place};
use crate::names::HostName;
use crate::published_disks;
use crate::tree::bound::BoundArray;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::MdArray;

/// An array that a host published and a recovery wants to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanting {
    /// In mdadm's form.
    pub uuid: String,
    /// `raid10`, ...
    pub level: String,
    /// As [`homehost`] reads its name.
    pub homehost: String,
    /// Where its members are.
    pub places: BTreeSet<Place>,
}

/// Why it is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrayDoubt {
    /// Another machine claims it.
    Claimed {
        /// The array.
        uuid: String,
        /// By whom.
        rival: Rival,
    },
    /// One of its members is where an array is that another machine is bound to.
    Place {
        /// The array.
        uuid: String,
        /// Where.
        place: Place,
        /// The other machine.
        rival: Rival,
    },
    /// The host is bound to other arrays.
    NotBound {
        /// The array.
        uuid: String,
    },
    /// It is not as it was bound.
    Differs {
        /// The array.
        uuid: String,
        /// Its level, or its homehost.
        what: &'static str,
        /// As it was bound.
        bound: String,
        /// As it is published.
        published: String,
    },
}

impl ArrayDoubt {
    /// For people: a predicate, after the host's name and a colon.
    pub fn text(&self) -> String {
        match self {
            ArrayDoubt::Claimed { uuid, rival } => {
                format!("it publishes array {uuid}, and {rival}; an array is one machine's")
            }
            ArrayDoubt::Place { uuid, place, rival } => {
                format!("it publishes that array {uuid} has a member at {place}, where {rival}")
            }
            ArrayDoubt::NotBound { uuid } => format!(
                "it publishes array {uuid}, which is not among those that it is bound to; a host's own word does not decide \
                 whose disks are taken"
            ),
            ArrayDoubt::Differs { uuid, what, bound, published } => {
                format!("it publishes {what} {published:?} of array {uuid}, which is bound with {bound:?}")
            }
        }
    }

    /// The operator's next command.
    pub fn next(&self, host: &HostName) -> String {
        match self {
            ArrayDoubt::Place { rival, .. } => format!(
                "nova-ha host accept {} --by NAME   (shows what it has now; or mdadm --detail --scan on {host})",
                rival.machine.name()
            ),
            ArrayDoubt::Claimed { rival, .. } if rival.standing == Standing::Bound => {
                format!(
                    "on {host}: mdadm --detail --scan; nova-ha host show {}   (whose disks are they?)",
                    rival.machine.name()
                )
            }
            ArrayDoubt::Claimed { .. } | ArrayDoubt::NotBound { .. } | ArrayDoubt::Differs { .. } => {
                accept(host)
            }
        }
    }
}

/// The arrays that hold a host's guests, as it published them; one that cannot be understood is left to whoever takes it.
pub fn of_the_guests(disks: &RuntimeConfig) -> Vec<Wanting> {
    let uuids: BTreeSet<&String> =
        published_disks::of_the_guests(disks).into_iter().map(|filesystem| &filesystem.array).collect();
    let wanting = |uuid: &String| {
        let array = MdArray::of(uuid, disks.md_arrays.get(uuid)?).ok()?;
        let places = published_disks::places(&array).unwrap_or_default();
        Some(Wanting { uuid: uuid.clone(), level: array.level, homehost: homehost(&array.name), places })
    };
    uuids.into_iter().filter_map(wanting).collect()
}

/// An array as its machine published it, to be bound.
pub fn bound(array: &MdArray) -> BoundArray {
    let text = |place: &Place| match place.part {
        Part::Number(number) => format!("{}/{number}", place.disk),
        Part::Whole | Part::Any => place.disk.to_string(),
    };
    let places = published_disks::places(array).unwrap_or_default();
    BoundArray {
        level: array.level.clone(),
        homehost: homehost(&array.name),
        places: places.iter().map(text).collect(),
    }
}

/// The machine that an array's name says it is of: `compute1` of `compute1:md1`. Empty where it has none, and where it is the
/// mark of an HA node, which the disks carry while that one has them.
pub fn homehost(name: &str) -> String {
    match owner_mark::read(name) {
        Owner::Plain { homehost, .. } => homehost.unwrap_or_default(),
        Owner::Taken { .. } => String::new(),
    }
}

/// Compares an array with those that its host is bound to.
pub(super) fn of_its_own(
    host: &str,
    bound: &BTreeMap<String, BoundArray>,
    wanting: &Wanting,
) -> Option<ArrayDoubt> {
    let uuid = wanting.uuid.clone();
    let Some(known) = bound.get(&uuid) else { return Some(ArrayDoubt::NotBound { uuid }) };
    if known.level != wanting.level {
        let (bound, published) = (known.level.clone(), wanting.level.clone());
        return Some(ArrayDoubt::Differs { uuid, what: "level", bound, published });
    }
    if !is_homehost(host, &known.homehost, &wanting.homehost) {
        let (bound, published) = (known.homehost.clone(), wanting.homehost.clone());
        return Some(ArrayDoubt::Differs { uuid, what: "homehost", bound, published });
    }
    None
}

/// Whether a homehost is this host's: the one that was bound, its short or its full name, or one that names nobody (mdadm's
/// `any`, or none).
fn is_homehost(host: &str, bound: &str, found: &str) -> bool {
    found == bound || found.is_empty() || found == "any" || is_one_name(host, found)
}

/// Whether one is the other, or its first part.
pub fn is_one_name(a: &str, b: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).to_owned();
    let (a, b) = (&bare(a), &bare(b));
    let is_short_of = |short: &str, full: &str| {
        !short.contains('.')
            && full.split_once('.').is_some_and(|(first, _)| first.eq_ignore_ascii_case(short))
    };
    a.eq_ignore_ascii_case(b) || is_short_of(a, b) || is_short_of(b, a)
}

/// A place as [`BoundArray::places`] writes it; nothing where it is none.
pub fn place(text: &str) -> Option<Place> {
    let (disk, part) = match text.split_once('/') {
        Some((disk, number)) => (disk, Part::Number(number.parse().ok()?)),
        None => (text, Part::Whole),
    };
    Some(Place { disk: DiskId::parse(disk).ok()?, part })
}

/// Whether two places share sectors: one of them is the whole disk, or nobody wrote down which part.
pub(super) fn overlap(a: &Place, b: &Place) -> bool {
    let is_all = |part: Part| matches!(part, Part::Whole | Part::Any);
    a.disk == b.disk && (a.part == b.part || is_all(a.part) || is_all(b.part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> BTreeMap<String, BoundArray> {
        let array =
            BoundArray { level: "raid10".into(), homehost: "installer".into(), places: BTreeSet::new() };
        [("a:b".to_owned(), array)].into()
    }

    fn wanting(uuid: &str, level: &str, homehost: &str) -> Wanting {
        Wanting { uuid: uuid.into(), level: level.into(), homehost: homehost.into(), places: BTreeSet::new() }
    }

    #[test]
    fn a_homehost_is_the_hosts_own_name_nobodys_or_the_bound_one() {
        for (host, homehost, is_good) in [
            ("compute1", "compute1", true),
            ("compute1", "Compute1.example.org", true),
            ("compute1.example.org", "compute1", true),
            ("compute1.example.org", "compute1.example.org", true),
            ("compute1.example.org", "compute1.example.net", false),
            ("compute1", "", true),
            ("compute1", "any", true),
            ("compute1", "installer", true),
            ("compute1", "compute2", false),
            ("compute1", "compute11", false),
        ] {
            let doubt = of_its_own(host, &bound(), &wanting("a:b", "raid10", homehost));
            assert_eq!(doubt.is_none(), is_good, "{host} {homehost}: {doubt:?}");
        }
    }

    #[test]
    fn another_level_and_an_array_that_is_not_bound_are_doubts() {
        let level = of_its_own("compute1", &bound(), &wanting("a:b", "raid1", "compute1"));
        assert!(matches!(level, Some(ArrayDoubt::Differs { what: "level", .. })), "{level:?}");
        let other = of_its_own("compute1", &bound(), &wanting("c:d", "raid10", "compute1"));
        assert_eq!(other, Some(ArrayDoubt::NotBound { uuid: "c:d".into() }));
    }

    #[test]
    fn a_whole_disk_holds_each_of_its_partitions() {
        let at = |text: &str| place(text).unwrap();
        let whole = at("naa.5000cca04dab0000");
        let [first, second] = ["naa.5000cca04dab0000/1", "naa.5000cca04dab0000/2"].map(at);
        assert!(overlap(&whole, &first) && overlap(&first, &whole) && overlap(&first, &first));
        assert!(!overlap(&first, &second) && !overlap(&whole, &at("naa.5000cca04dab0001")));
        for none in ["sda", "naa.5000cca04dab0000/x", ""] {
            assert_eq!(place(none), None);
        }
    }
}
