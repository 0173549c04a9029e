//! Whether a guest is to be recovered by its owner's and the operators' wish, and how soon: pure.
//!
//! The nearest mark counts: the guest's metadata, then its image and flavor, then its host's
//! aggregates, then the policy. Two things are the operators' alone: that a guest of a host which they opted out is
//! recovered, and that a guest is more urgent than others. What cannot be read, and what contradicts itself, is said aloud and
//! is never a *no*: a guest left dead over a typing error is worse than one recovered too many.

use std::collections::BTreeMap;

use crate::nova::{Aggregate, Image, Server, ServerGroup};

/// Our own key, on guests, images, flavors and aggregates.
pub const OWN_KEY: &str = "nova_ha:recover";
/// masakari's, on guests.
pub const MASAKARI_KEY: &str = "HA_Enabled";
/// InstanceHA's and fence-agents', on images (also as a tag), flavors and aggregates.
pub const PEERS_KEY: &str = "evacuable";
/// InstanceHA's: 1 to 1000, higher first. On flavors and aggregates; on guests, only to lower it.
pub const PRIORITY_KEY: &str = "instanceha:restart_priority";
/// InstanceHA's: guests of one group are as urgent as the most urgent of them.
pub const GROUP_KEY: &str = "instanceha:restart_group";
/// Of a guest that says nothing; InstanceHA's default too.
pub const USUAL_PRIORITY: u32 = 500;

/// What was read beside the guests' own records, once for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Aggregates of the dead host.
    pub aggregates: Vec<Aggregate>,
    /// Why they are not known, where that is so.
    pub aggregates_unread: Option<String>,
    /// Server groups that Nova checks again on the target.
    pub groups: Vec<ServerGroup>,
    /// Images by id, as far as the image store showed them.
    pub images: BTreeMap<String, Image>,
    /// What could not be read.
    pub unread: Vec<String>,
}

/// What is wished for one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Why it is not to be recovered, if it is not.
    pub excluded: Option<String>,
    /// Marks that could not be read, or that contradict each other.
    pub doubts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Yes,
    No,
}

fn word(text: &str) -> Option<Word> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "1" | "on" => Some(Word::Yes),
        "false" | "f" | "no" | "0" | "off" => Some(Word::No),
        _ => None,
    }
}

/// The marks of one level: where, by which keys, and what they say.
#[derive(Default)]
struct Level {
    said: Vec<(Word, String)>,
    doubts: Vec<String>,
}

impl Level {
    fn read(&mut self, at: &str, marks: &BTreeMap<String, String>, keys: &[&str]) {
        for (key, text) in keys.iter().filter_map(|key| marks.get_key_value(*key)) {
            match word(text) {
                Some(word) => self.said.push((word, format!("{at}: {key}={}", text.trim()))),
                None => self.doubts.push(format!("{at}: {key}={text:?} is neither yes nor no")),
            }
        }
    }

    /// What it says, if it says anything; a contradiction is a doubt and a yes.
    fn verdict(&mut self) -> Option<(Word, String)> {
        let (yes, no): (Vec<_>, Vec<_>) = self.said.iter().partition(|(word, _)| *word == Word::Yes);
        match (yes.first(), no.first()) {
            (Some((_, yes)), Some((_, no))) => {
                self.doubts.push(format!("{yes}, yet {no}: taken for a yes"));
                Some((Word::Yes, yes.clone()))
            }
            (Some((word, why)), None) | (None, Some((word, why))) => Some((*word, why.clone())),
            (None, None) => None,
        }
    }
}

/// Decides. `only_opted_in` is the policy's word for guests without any mark.
///
/// What a tenant writes (metadata, and an image, which may be his) opts nobody in whose host an aggregate opts out: a host that
/// its operators want left alone is not shot for one tenant's mark. A flavor is the operators' own, and nearer.
pub fn wish(server: &Server, beside: &Surroundings, only_opted_in: bool) -> Wish {
    let mut own = Level::default();
    own.read("metadata", &server.metadata, &[OWN_KEY, MASAKARI_KEY]);
    let mut made_from = Level::default();
    if let Some(image) = server.image.as_ref().and_then(|id| beside.images.get(id)) {
        made_from.read("image", &image.properties, &[OWN_KEY, PEERS_KEY]);
        if image.tags.iter().any(|tag| tag == PEERS_KEY) {
            made_from.said.push((Word::Yes, format!("image: tag {PEERS_KEY}")));
        }
    }
    made_from.read("flavor", &server.flavor.extra_specs, &[OWN_KEY, PEERS_KEY]);
    let mut flavor = Level::default();
    flavor.read("flavor", &server.flavor.extra_specs, &[OWN_KEY, PEERS_KEY]);
    let is_opted_in_by_flavor = matches!(flavor.verdict(), Some((Word::Yes, _)));
    let host_is_out = host_opted_out(&beside.aggregates).filter(|_| !is_opted_in_by_flavor);
    let mut doubts = Vec::new();
    for mut level in [own, made_from, of_host(&beside.aggregates)] {
        let verdict = level.verdict();
        doubts.append(&mut level.doubts);
        match (verdict, &host_is_out) {
            (Some((Word::Yes, yes)), Some(no)) => {
                return Wish {
                    excluded: Some(format!("{no}, for the whole host; {yes} is the tenant's")),
                    doubts,
                };
            }
            (Some((Word::Yes, _)), None) => return Wish { excluded: None, doubts },
            (Some((Word::No, why)), _) => return Wish { excluded: Some(why), doubts },
            (None, _) => {}
        }
    }
    // A mark may be where nobody could look, or be one that nobody could read.
    let unseen = server.image.as_ref().is_some_and(|id| !beside.images.contains_key(id));
    let excluded = (only_opted_in && doubts.is_empty() && !unseen)
        .then(|| format!("nobody opted it in ({OWN_KEY}), and the policy recovers only what is"));
    if only_opted_in && excluded.is_none() {
        doubts.push("no mark that can be read opts it in; recovered, because one may be unread".into());
    }
    Wish { excluded, doubts }
}

fn of_host(aggregates: &[Aggregate]) -> Level {
    let mut level = Level::default();
    for aggregate in aggregates {
        level.read(&format!("aggregate {}", aggregate.name), &aggregate.metadata, &[OWN_KEY, PEERS_KEY]);
    }
    level
}

/// Why the host as a whole is opted out, if it is: then it is not even fenced, unless a guest's flavor
/// opts it in.
pub fn host_opted_out(aggregates: &[Aggregate]) -> Option<String> {
    match of_host(aggregates).verdict() {
        Some((Word::No, why)) => Some(why),
        Some((Word::Yes, _)) | None => None,
    }
}

/// How urgent a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urgency {
    /// By its own metadata, and never more than [`Self::most`].
    pub own: u32,
    /// What the operators give it: its flavor, else its host's aggregates, else the usual.
    pub most: u32,
    /// Its restart group by its own metadata, with its project: of another project's guests none is a member.
    pub group: Option<(String, String)>,
    /// Its restart group by the operators' word, whatever its project.
    pub across: Option<String>,
}

impl Urgency {
    /// Of a guest of which nothing is known.
    pub const USUAL: Self = Self { own: USUAL_PRIORITY, most: USUAL_PRIORITY, group: None, across: None };
}

/// How urgent a guest is, and what of its marks could not be read or is not heeded. A tenant may lower what the operators
/// give, and no more: who may raise his own guest is first to the room that is left, before everybody else's.
pub fn urgency(server: &Server, aggregates: &[Aggregate]) -> (Urgency, Vec<String>) {
    let mut doubts = Vec::new();
    let flavor = number("flavor", &server.flavor.extra_specs, &mut doubts);
    let of_host = aggregates.iter().filter_map(|aggregate| {
        number(&format!("aggregate {}", aggregate.name), &aggregate.metadata, &mut doubts)
    });
    let of_host = of_host.max();
    let most = flavor.or(of_host).unwrap_or(USUAL_PRIORITY);
    let own = match number("metadata", &server.metadata, &mut doubts) {
        Some(own) if own > most => {
            doubts.push(format!(
                "metadata: {PRIORITY_KEY}={own} is taken for {most}: only its flavor or an aggregate of its host gives more"
            ));
            most
        }
        own => own.unwrap_or(most),
    };
    let group = named(&server.metadata).zip(server.project.as_ref());
    let group = group.map(|(group, project)| (project.clone(), group.to_owned()));
    let across = named(&server.flavor.extra_specs);
    let across = across.or_else(|| aggregates.iter().find_map(|aggregate| named(&aggregate.metadata)));
    (Urgency { own, most, group, across: across.map(str::to_owned) }, doubts)
}

fn named(marks: &BTreeMap<String, String>) -> Option<&str> {
    marks.get(GROUP_KEY).map(|group| group.trim()).filter(|group| !group.is_empty())
}

fn number(at: &str, marks: &BTreeMap<String, String>, doubts: &mut Vec<String>) -> Option<u32> {
    let text = marks.get(PRIORITY_KEY)?;
    match text.trim().parse::<u32>() {
        Ok(priority @ 1..=1000) => Some(priority),
        Ok(priority) => {
            let nearest = priority.clamp(1, 1000);
            doubts.push(format!("{at}: {PRIORITY_KEY}={priority} is taken for {nearest}"));
            Some(nearest)
        }
        Err(_) => {
            doubts.push(format!("{at}: {PRIORITY_KEY}={text:?} is no number from 1 to 1000"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
