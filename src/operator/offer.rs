//! What a host published about itself, beside what it is bound to: what `nova-ha host accept` shows and writes, and what
//! `nova-ha status` says of the difference.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use super::machine_options::Setting;
use super::seen::{fingerprint, names};
use super::table::field;
use crate::bindings::arrays::{bound as bound_array, is_one_name, place};
use crate::bindings::{Rival, Source, Standing, Twin, expected};
use crate::identity::Identity;
use crate::keys;
use crate::names::{HaNodeName, HostName};
use crate::nova::NovaHost;
use crate::published_disks::of_the_guests;
use crate::ssh::PinnedKey;
use crate::tree::TreeError;
use crate::tree::bound::{Bound, BoundArray};
use crate::tree::machine::{OtherNames, SshAccess};
use crate::tree::nova_names::TreeMachine;
use crate::tree::published::Published;
use crate::tree::record::{Record, bytes};
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::MdArray;
use crate::tree::seen_keys::SeenKeys;

const SSH_HOST_KEYS: &str = "SSH host keys";

/// One host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) host: HostName,
    /// What of its own word cannot be understood.
    pub(super) faults: Vec<String>,
    facts: Vec<Fact>,
    rivals: Vec<(String, Rival)>,
    /// Another machine has a part of its identity; the other part tells them apart.
    twins: Vec<Twin>,
    before: Option<Bound>,
    /// What is to be bound; nothing of it where a person typed it.
    identity: Option<Identity>,
    /// `config/names`, where what Nova calls it is to be bound.
    names: Option<OtherNames>,
    host_keys: Vec<String>,
    /// Whether they are its own word.
    publishes_keys: bool,
    /// By which key HA nodes know it, where nobody bound one.
    seen: SeenKeys,
    /// Whether they, or it, say different ones.
    seen_otherwise: bool,
    arrays: BTreeMap<String, BoundArray>,
    /// Types of the filesystems that hold its guests.
    filesystems: BTreeSet<String>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    /// *BMC identity*, *array UUID*.
    what: String,
    bound: Option<String>,
    published: Option<String>,
    /// A person typed what is bound: it is changed by `host add` only.
    is_typed: bool,
}

impl Fact {
    fn differs(&self) -> bool {
        self.bound.is_some() && self.bound != self.published
    }

    fn changes(&self) -> bool {
        !self.is_typed && self.bound != self.published
    }

    fn text(&self) -> String {
        let published = self.published.as_deref().unwrap_or("not published any more");
        match &self.bound {
            None => published.to_owned(),
            Some(bound) if Some(bound) == self.published.as_ref() => format!("{bound} (bound already)"),
            Some(bound) if self.is_typed => format!("{published}; bound by a person, and stays: {bound}"),
            Some(bound) => format!("{published}; bound until now: {bound}"),
        }
    }
}

impl Offer {
    /// Looks.
    pub(super) fn of(cluster: &Cluster, host: &HostName) -> Self {
        let (tree, keys) = (&cluster.snapshot, keys::host(host));
        let machine = TreeMachine::Host(host.clone());
        let published = Published::of(tree, &keys);
        let mut offer = Self {
            host: host.clone(),
            faults: published.faults().iter().map(ToString::to_string).collect(),
            facts: Vec::new(),
            rivals: Vec::new(),
            twins: Vec::new(),
            before: None,
            identity: None,
            names: None,
            host_keys: Vec::new(),
            publishes_keys: false,
            seen: SeenKeys::default(),
            seen_otherwise: false,
            arrays: BTreeMap::new(),
            filesystems: BTreeSet::new(),
        };
        match tree.record(&keys.bound()) {
            Ok(before) => offer.before = before,
            Err(error) => offer.faults.push(error.to_string()),
        }
        let known = expected(tree, &keys);
        let identity = Identity {
            uuid: published.system_uuid().ok().flatten(),
            serial: published.system_serial().ok().flatten(),
            ..Identity::default()
        };
        if identity.is_usable() {
            let rival = cluster.claims.rival_of_identity(&machine, &identity);
            let twin = cluster.claims.twin_of_identity(&machine, &identity);
            offer.twins.extend(twin.filter(|_| rival.is_none()));
            let (bound, is_typed) = match &known {
                Ok(known) if known.source == Source::FirstSight => (None, false),
                Ok(known) => (Some(known), known.source == Source::Typed),
                Err(_) => (None, true),
            };
            // A person typed one of the two: what both state is compared.
            let agrees = bound.is_some_and(|known| !known.contradicts(&identity));
            let text = identity.to_string();
            let bound = bound.map(|known| if agrees { text.clone() } else { known.identity.to_string() });
            offer.facts.push(Fact { what: "BMC identity".into(), bound, published: Some(text), is_typed });
            if !is_typed {
                offer.rivals.extend(rival.map(|rival| ("this BMC identity".to_owned(), rival)));
                offer.identity = Some(identity);
            }
        }
        offer.look_at_nova_host(cluster, &machine, &published);
        offer.look_at_host_keys(SshAccess::of(tree, &keys).ok(), &published, &SeenKeys::of(tree, &keys));
        offer.look_at_arrays(cluster, &machine, &published);
        offer
    }

    /// What Nova calls it is bound by `config/names`, or else by its name in the tree. The long form of that name, which nobody
    /// typed, is offered; any other name is for a person who names this one host.
    fn look_at_nova_host(&mut self, cluster: &Cluster, machine: &TreeMachine, published: &Published) {
        let names: Result<Option<OtherNames>, TreeError> = cluster.snapshot.record(&machine.keys().names());
        let (Ok(names), Ok(Some(published))) = (names, published.nova_host()) else { return };
        let typed = names.as_ref().and_then(|names| names.nova_host.clone());
        let is_typed = typed.is_some();
        let bound = typed.unwrap_or_else(|| machine.name().to_owned());
        if bound == published || published.parse::<NovaHost>().is_err() {
            return;
        }
        let is_its_own = !is_typed && is_one_name(&bound, &published);
        let fact = Fact {
            what: "Nova host".into(),
            bound: (!is_its_own).then_some(bound),
            published: Some(published.clone()),
            is_typed,
        };
        self.facts.push(fact);
        if !is_typed {
            let others = cluster.nova_names.others(machine, &published);
            let rival = |machine| ("this Nova host".to_owned(), Rival { machine, standing: Standing::Bound });
            self.rivals.extend(others.into_iter().map(rival));
            self.names = Some(OtherNames {
                version: OtherNames::VERSION,
                nova_host: Some(published),
                ..names.unwrap_or_default()
            });
        }
    }

    fn look_at_host_keys(&mut self, access: Option<SshAccess>, published: &Published, seen: &SeenKeys) {
        let Some(access) = access else { return };
        let mut lines = published.ssh_host_keys().unwrap_or_default();
        lines.retain(|line| PinnedKey::parse(line).is_ok());
        self.publishes_keys = !lines.is_empty();
        let bound = (!access.host_keys.is_empty()).then(|| key_text(&access.host_keys));
        // What HA nodes saw counts until a person bound one.
        self.seen = if bound.is_none() { seen.clone() } else { SeenKeys::default() };
        self.seen_otherwise = self.seen.is_in_doubt(&lines);
        let published = match (lines.is_empty(), self.seen.agreed()) {
            (false, _) => key_text(&lines),
            (true, Some((key, nodes))) => {
                lines = vec![key.to_owned()];
                format!("{}, as {} first saw it", key_text(&lines), names(nodes))
            }
            (true, None) => return,
        };
        self.facts.push(Fact {
            what: SSH_HOST_KEYS.into(),
            bound,
            published: Some(published),
            is_typed: false,
        });
        self.host_keys = lines;
    }

    /// Which HA nodes know it by which SSH host key, where they saw different ones, or it publishes others.
    pub(super) fn seen_otherwise(&self) -> Option<String> {
        let text = |(key, nodes): (&str, &[HaNodeName])| format!("{} saw {}", names(nodes), fingerprint(key));
        self.seen_otherwise.then(|| self.seen.all().map(text).collect::<Vec<_>>().join("; "))
    }

    /// Whether HA nodes saw different keys, and it publishes none: there is none to be bound.
    pub(super) fn has_two_keys(&self) -> bool {
        self.seen_otherwise && self.host_keys.is_empty()
    }

    fn look_at_arrays(&mut self, cluster: &Cluster, machine: &TreeMachine, published: &Published) {
        let disks = published.disks().unwrap_or_default();
        for (uuid, value) in &disks.md_arrays {
            match MdArray::of(uuid, value) {
                Ok(array) => drop(self.arrays.insert(uuid.clone(), bound_array(&array))),
                Err(why) => self.faults.push(why),
            }
        }
        let before = self.before.as_ref().map(|bound| bound.arrays.clone()).unwrap_or_default();
        let mut all: Vec<&String> = self.arrays.keys().chain(before.keys()).collect();
        all.sort();
        all.dedup();
        for uuid in all {
            // Where its members are moves with each disk that is replaced, and is no difference.
            let text = |array: &BoundArray| array_text(array);
            let fact = Fact {
                what: format!("array {uuid}"),
                bound: before.get(uuid).map(text),
                published: self.arrays.get(uuid).map(text),
                is_typed: false,
            };
            let rival = cluster.claims.rival_of_array(machine, uuid);
            if fact.published.is_some() {
                self.rivals.extend(rival.map(|rival| (format!("array {uuid}"), rival)));
            }
            self.facts.push(fact);
        }
        self.look_at_places(cluster, machine);
        self.look_at_filesystems(&disks);
    }

    /// Where its members are is no difference, as disks are replaced; but it is bound too, and nobody else may be there.
    fn look_at_places(&mut self, cluster: &Cluster, machine: &TreeMachine) {
        for (uuid, array) in &self.arrays {
            if let Some(other) = cluster.claims.named(machine, &array.homehost) {
                let rival = Rival { machine: other, standing: Standing::Named };
                self.rivals.push((format!("array {uuid}"), rival));
            }
            for text in &array.places {
                let Some(place) = place(text) else { continue };
                let rival = cluster.claims.rival_of_place(machine, &place);
                self.rivals
                    .extend(rival.map(|rival| (format!("a member of array {uuid} at {place}"), rival)));
            }
        }
    }

    fn look_at_filesystems(&mut self, disks: &RuntimeConfig) {
        let types = of_the_guests(disks).into_iter().map(|filesystem| filesystem.fs_type.clone());
        self.filesystems = types.collect();
        let before = self.before.as_ref().map(|bound| &bound.filesystems).filter(|types| !types.is_empty());
        let text = |types: &BTreeSet<String>| types.iter().cloned().collect::<Vec<_>>().join(", ");
        if !self.filesystems.is_empty() {
            self.facts.push(Fact {
                what: "filesystems".into(),
                bound: before.map(text),
                published: Some(text(&self.filesystems)),
                is_typed: false,
            });
        }
    }

    /// Whether nothing can be bound.
    pub(super) fn is_empty(&self) -> bool {
        self.identity.is_none() && self.names.is_none() && self.host_keys.is_empty() && self.arrays.is_empty()
    }

    /// Whether anything of it is its own word, and not only what HA nodes saw.
    fn has_published(&self) -> bool {
        self.seen.is_empty()
            || self.publishes_keys
            || self.facts.iter().any(|fact| fact.what != SSH_HOST_KEYS)
    }

    /// Whether what Nova calls it is to be bound.
    pub(super) fn names_it(&self) -> bool {
        self.names.is_some()
    }

    /// Whether anything would be written.
    pub(super) fn changes(&self) -> bool {
        let before = self.before.as_ref().map(|bound| &bound.arrays);
        self.facts.iter().any(Fact::changes) || before.is_some_and(|before| *before != self.arrays)
    }

    /// Whether another look shows the same.
    pub(super) fn is_still(&self, now: &Self) -> bool {
        self.facts == now.facts
            && self.rivals == now.rivals
            && self.faults == now.faults
            && self.arrays == now.arrays
            && self.seen == now.seen
    }

    /// Another machine that is bound to something of it.
    pub(super) fn bound_elsewhere(&self) -> Option<Elsewhere<'_>> {
        let (what, rival) = self.rivals.iter().find(|(_, rival)| rival.standing == Standing::Bound)?;
        Some(Elsewhere { what, rival })
    }

    /// Why only a person who looks at this one host binds it.
    pub(super) fn why_not_with_all(&self) -> Option<String> {
        if let Some(fault) = self.faults.first() {
            return Some(format!("what it published cannot be understood: {fault}"));
        }
        if let Some((what, rival)) = self.rivals.first() {
            return Some(format!("{what}: {rival}"));
        }
        if let Some(seen) = self.seen_otherwise() {
            return Some(format!("its SSH host keys are in doubt: {seen}"));
        }
        let differs = self.facts.iter().find(|fact| fact.differs() && !fact.is_typed)?;
        Some(format!("it publishes otherwise than it is bound to: {}: {}", differs.what, differs.text()))
    }

    /// What it publishes otherwise than it is bound to, for people; empty where nothing.
    pub(super) fn differences(&self) -> Vec<String> {
        let differing = self.facts.iter().filter(|fact| fact.differs());
        differing.map(|fact| format!("{}: {}", fact.what, fact.text())).collect()
    }

    /// One fact a line.
    pub(super) fn lines(&self) -> Vec<String> {
        self.facts.iter().map(|fact| format!("{}: {}", fact.what, fact.text())).collect()
    }

    /// As a person reads it.
    pub(super) fn text(&self) -> String {
        let mut text = match self.has_published() {
            true => format!("{} publishes:\n", self.host),
            false => format!("{}, which has published nothing:\n", self.host),
        };
        for fact in &self.facts {
            text += &field(&format!("  {}", fact.what), Some(&fact.text()), 20);
        }
        for (uuid, array) in &self.arrays {
            let places: Vec<&str> = array.places.iter().map(String::as_str).collect();
            text += &field(&format!("  members of {uuid}"), Some(&places.join(", ")), 20);
        }
        for (what, rival) in &self.rivals {
            text += &field("  NOTE", Some(&note(what, rival)), 20);
        }
        for twin in &self.twins {
            text += &field("  NOTE", Some(&twin.text()), 20);
        }
        if let Some(seen) = self.seen_otherwise() {
            text += &field("  NOTE", Some(&format!("SSH host keys are in doubt: {seen}")), 20);
        }
        text
    }

    /// The keys that bind it.
    pub(super) fn settings(&self, by: &str) -> Vec<Setting> {
        let keys = keys::host(&self.host);
        let before = self.before.as_ref();
        // All of one or of the other: a part of each would be no machine.
        let identity = self.identity.clone().unwrap_or_else(|| Identity {
            uuid: before.and_then(|bound| bound.system_uuid.clone()),
            serial: before.and_then(|bound| bound.system_serial.clone()),
            ..Identity::default()
        });
        let bound = Bound {
            version: Bound::VERSION,
            system_uuid: identity.uuid,
            system_serial: identity.serial,
            arrays: self.arrays.clone(),
            filesystems: self.filesystems.clone(),
            by: by.to_owned(),
            at: jiff::Timestamp::now(),
        };
        // A host of which only its SSH host key was seen has published nothing, and is not bound to having no arrays.
        let is_its_word = self.has_published() || self.before.is_some();
        let mut settings = Vec::new();
        settings.extend(is_its_word.then(|| (keys.bound(), bytes(&bound))));
        settings.extend(self.names.as_ref().map(|names| (keys.names(), bytes(names))));
        if !self.host_keys.is_empty() {
            settings.push((keys.ssh_field("host_key"), self.host_keys.join("\n").into_bytes()));
        }
        settings
    }
}

fn note(what: &str, rival: &Rival) -> String {
    match rival.standing {
        Standing::Published => format!("{what}: {rival}; from now on {} waits", rival.machine),
        Standing::Bound | Standing::Named => format!("{what}: {rival}"),
    }
}

/// Something of a host that another machine is bound to.
pub(super) struct Elsewhere<'a> {
    what: &'a str,
    rival: &'a Rival,
}

impl Elsewhere<'_> {
    /// For people.
    pub(super) fn text(&self) -> String {
        format!("{}: {}", self.what, self.rival)
    }

    /// The other machine's name.
    pub(super) fn machine(&self) -> &str {
        self.rival.machine.name()
    }
}

/// Kinds and the end of each key: what a person can compare with the host's own /etc/ssh/*.pub.
fn key_text(lines: &[String]) -> String {
    let mut texts: Vec<String> = lines
        .iter()
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let end: String = key.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
            format!("{kind} ...{end}")
        })
        .collect();
    texts.sort();
    texts.dedup();
    texts.join(", ")
}

fn array_text(array: &BoundArray) -> String {
    let homehost = if array.homehost.is_empty() { "none" } else { &array.homehost };
    format!("{}, homehost {homehost}", array.level)
}
