//! Who reports to Nova under which name, and what a recovery makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nova_ha::incident::journal::Event;
use nova_ha::incident::status::State;
use nova_ha::incident::step::Step;
use nova_ha::keys;
use nova_ha::nova::Reports;

use super::seams::Fault;
use super::stage::Stage;
use super::time::wall;
use super::universe::{HOST, Universe};

/// How often a nova-compute reports: Nova's default.
const INTERVAL: Duration = Duration::from_secs(10);

/// The reports of all nova-computes, as Nova's database has them.
#[derive(Default)]
pub(crate) struct SimReports {
    /// When a machine fell silent; one that is not here reports.
    silent_since: BTreeMap<String, Duration>,
    /// When the API changed a record last.
    changed: BTreeMap<String, Duration>,
    /// Names under which a living machine reports, whatever becomes of the machine of that name.
    pub(crate) twins: BTreeSet<String>,
    /// When the twins of a name fall silent too.
    pub(crate) twins_until: Option<Duration>,
    /// Whether the API's answers have no `Date`.
    pub(crate) dateless: bool,
    /// By how much the API's clock is ahead of the conductors', in seconds.
    pub(crate) date_ahead: i64,
}

impl SimReports {
    pub(crate) fn fell_silent(&mut self, name: &str, now: Duration) {
        self.silent_since.entry(name.to_owned()).or_insert(now);
    }

    pub(crate) fn returned(&mut self, name: &str) {
        self.silent_since.remove(name);
    }

    /// A living machine begins to report under this name.
    pub(crate) fn twin_begins(&mut self, name: &str, now: Duration) {
        self.twins.insert(name.to_owned());
        self.changed(name, now);
    }

    pub(crate) fn changed(&mut self, name: &str, now: Duration) {
        self.changed.insert(name.to_owned(), now);
    }

    /// When the record of this name moved last, to the second as the database keeps it.
    pub(crate) fn moved_at(&self, name: &str, now: Duration) -> Duration {
        let own = self.silent_since.get(name).copied().unwrap_or(now).min(now);
        let twin = self.twins.contains(name).then(|| self.twins_until.unwrap_or(now).min(now));
        let beat = twin.map_or(own, |twin| twin.max(own));
        let beat = Duration::from_secs(beat.as_secs() / INTERVAL.as_secs() * INTERVAL.as_secs());
        let changed = self.changed.get(name).map_or(Duration::ZERO, |at| Duration::from_secs(at.as_secs()));
        beat.max(changed)
    }
}

impl Universe {
    /// Nova's answer about one host's reports.
    pub(crate) fn reports_of(&self, host: &str) -> Option<Reports> {
        let service = self.service_of(host)?;
        let others = self.services.keys().filter(|name| *name != host);
        let newest = others.map(|name| self.reports.moved_at(name, self.now)).max();
        let ahead = jiff::SignedDuration::from_secs(self.reports.date_ahead);
        Some(Reports {
            service,
            answered_at: (!self.reports.dateless)
                .then(|| wall(Duration::from_secs(self.now.as_secs())) + ahead),
            newest_elsewhere: newest.map(wall),
        })
    }

    /// A host's service with the time at which its record moved.
    pub(crate) fn service_of(&self, host: &str) -> Option<nova_ha::nova::ComputeService> {
        let mut service = self.services.get(host).cloned()?;
        let moved = wall(self.reports.moved_at(host, self.now));
        service.updated_at = Some(moved.strftime("%Y-%m-%dT%H:%M:%S.000000").to_string());
        Some(service)
    }
}

/// When a step was begun, by the journal.
fn began(stage: &Stage, step: Step) -> Option<jiff::Timestamp> {
    let is_it = |what: &Event| matches!(what, Event::Started { step: begun, .. } if *begun == step);
    stage.journal().into_iter().find(|entry| is_it(&entry.what)).map(|entry| entry.at)
}

fn nothing_was_asked_of_nova(stage: &Stage, what: &str) {
    let effects = stage.with(|u| u.effects.clone());
    let to_nova = |effect: &&super::universe::Effect| !effect.what.starts_with("off ");
    let asked: Vec<_> = effects.iter().filter(to_nova).collect();
    assert!(asked.is_empty(), "{what}: {asked:?}");
}

#[test]
fn a_host_that_has_been_silent_for_long_is_not_waited_for() {
    let stage = Stage::with_dead_host();
    let before = stage.time.now();
    stage.recover("ha1");
    stage.all_is_recovered("silent for 40 s");
    let declared = began(&stage, Step::DeclareDown).unwrap();
    let after = declared.duration_since(wall(before));
    assert!(after.as_secs() < 10, "declared down after {after:?}");
}

#[test]
fn a_host_that_reported_until_its_power_was_cut_is_waited_for_and_recovered() {
    for dateless in [false, true] {
        let stage = Stage::with_dead_host();
        stage.with(|u| {
            u.reports.returned(HOST);
            u.reports.dateless = dateless;
        });
        stage.recover("ha1");
        stage.all_is_recovered("it reported until its power was cut");
        let cut = stage.with(|u| u.effects.iter().find(|effect| effect.what == "off compute1").map(|e| e.at));
        let waited = began(&stage, Step::DeclareDown).unwrap().duration_since(wall(cut.unwrap()));
        assert!((5..=27).contains(&waited.as_secs()), "dateless {dateless}: {waited:?}");
    }
}

#[test]
fn the_guests_of_a_living_twin_are_left_alone_whatever_the_clocks_say() {
    // The machine that is off is compute1; Nova's compute1 is another one, which lives.
    for (dateless, date_ahead) in [(false, 0), (true, 0), (false, 3600), (false, 12), (false, -3600)] {
        let what = format!("dateless {dateless}, {date_ahead} s ahead");
        let stage = Stage::with_dead_host();
        stage.with(|u| {
            u.reports.twins.insert(HOST.into());
            u.reports.dateless = dateless;
            u.reports.date_ahead = date_ahead;
        });
        stage.recover("ha1");
        nothing_was_asked_of_nova(&stage, &what);
        assert!(matches!(stage.record().status.state, State::Held { .. }), "{what}: {:#?}", stage.journal());
        // A person who leads it on without having looked meets the same.
        stage.resume();
        stage.recover("ha2");
        nothing_was_asked_of_nova(&stage, &what);
        assert!(matches!(stage.record().status.state, State::Held { .. }), "{what}: {:#?}", stage.journal());
        stage.nothing_was_broken(&what);
        // The twin was found and silenced.
        stage.with(|u| u.reports.twins_until = Some(u.now));
        stage.resume();
        stage.recover_until_settled("ha2");
        stage.all_is_recovered(&what);
    }
}

#[test]
fn a_twin_that_begins_to_report_after_the_host_was_declared_down_stops_the_evacuation() {
    // Its first report comes while the storage is looked at, right before the first evacuate.
    let stage = Stage::with_dead_host();
    let whole = Stage::with_dead_host();
    let process = whole.process("ha1", None);
    super::time::block_on(&whole.time, process.run()).unwrap().unwrap();
    let calls = process.calls();
    let disabled = calls.iter().position(|call| call.contains("disable")).unwrap();
    let process = stage.process("ha1", Some((disabled + 1, Fault::TwinReports)));
    let reports = super::time::block_on(&stage.time, process.run()).unwrap().unwrap();
    assert!(matches!(stage.record().status.state, State::Held { .. }), "{reports:#?}");
    let posts = stage.with(|u| u.effects.iter().filter(|effect| effect.what.starts_with("POST")).count());
    assert_eq!(posts, 0);
}

#[test]
fn our_own_changes_of_the_record_are_nobodys_reports() {
    let stage = Stage::with_dead_host();
    stage.recover("ha1");
    let journal = stage.journal();
    let started = |step| began(&stage, step).unwrap();
    let between = started(Step::Evacuate).duration_since(started(Step::DeclareDown));
    assert!(between.as_secs() < 8, "{between:?}: {journal:#?}");
    stage.all_is_recovered("declared down by us");
}

#[test]
fn an_answer_of_nova_that_was_lost_costs_one_wait_and_nothing_else() {
    for call in ["forced_down", "disable"] {
        let whole = Stage::with_dead_host();
        let process = whole.process("ha1", None);
        super::time::block_on(&whole.time, process.run()).unwrap().unwrap();
        let at = process.calls().iter().position(|name| name.contains(call)).unwrap();
        let stage = Stage::with_dead_host();
        let process = stage.process("ha1", Some((at, Fault::AnswerLost)));
        super::time::block_on(&stage.time, process.run()).unwrap().unwrap();
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(call);
    }
}

#[test]
fn a_published_name_never_decides_whose_guests_are_evacuated() {
    let stage = Stage::with_dead_host();
    let host = keys::host(&HOST.parse().unwrap());
    stage.with(|u| u.kv.put(&host.runtime_config(), r#"{"version":1,"nova_host":"compute2"}"#));
    let reports = stage.recover("ha1");
    let text = &reports[0].text;
    assert!(text.contains("compute2") && text.contains("bound to compute1"), "{text}");
    assert!(reports[0].next[0].starts_with("nova-ha host add compute1 --replace --nova-host"), "{reports:?}");
    assert!(stage.with(|u| u.effects.is_empty()), "nobody is shot for it");
    // A person has looked.
    stage.with(|u| u.kv.put(&host.names(), r#"{"version":1,"nova_host":"compute1"}"#));
    assert!(stage.recover("ha1")[0].text.contains("waiting"), "it is still its own contradiction");
    stage.with(|u| u.kv.put(&host.runtime_config(), r#"{"version":1}"#));
    stage.recover("ha1");
    stage.all_is_recovered("bound by a person");
}

#[test]
fn what_another_machine_publishes_weighs_nothing_against_a_binding() {
    let stage = Stage::with_dead_host();
    for liar in ["compute2", "compute3"] {
        let key = keys::host(&liar.parse().unwrap()).runtime_config();
        stage.with(|u| u.kv.put(&key, r#"{"version":1,"nova_host":"compute1"}"#));
    }
    stage.recover("ha1");
    stage.all_is_recovered("compute2 and compute3 claim to be it");
}

#[test]
fn two_machines_that_are_bound_to_one_nova_host_are_recovered_by_nobody() {
    for other in [keys::host(&"compute2".parse().unwrap()), keys::ha_node(&"ha3".parse().unwrap())] {
        let stage = Stage::with_dead_host();
        stage.with(|u| u.kv.put(&other.names(), r#"{"version":1,"nova_host":"Compute1"}"#));
        let text = stage.recover("ha1").remove(0).text;
        assert!(text.contains("compute1: bound to Nova host compute1, as"), "{text}");
        assert!(stage.with(|u| u.effects.is_empty()), "nobody is shot for it");
    }
}
