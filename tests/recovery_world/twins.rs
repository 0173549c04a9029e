//! Two machines that call themselves `ha1`: a copied configuration, a cloned image, a system installed anew.

use std::time::Duration;

use futures_util::future::join;
use nova_ha::incident::journal::JournalEntry;
use nova_ha::keys;
use nova_ha::recovery::report::Result as Outcome;
use nova_ha::recovery::stop::Stop;
use nova_ha::recovery::takeovers;
use nova_ha::tree::record::{bytes, parse};

use super::md::{all_runs_on, effects, staged};
use super::seams::{Fault, Process};
use super::stage::Stage;
use super::time::block_on;
use super::universe::{Machine, incident};

/// The machine that is not ha1.
const TWIN: &str = "ha1b";

fn twin(stage: &Stage, agent: Option<&str>) -> std::sync::Arc<Process> {
    stage.with(|u| {
        let machine = Machine::well();
        u.machines.insert(TWIN.to_owned(), machine);
    });
    stage.process(TWIN, None).named("ha1", agent)
}

fn position(stage: &Stage, call: &str) -> usize {
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    process.calls().iter().position(|name| name == call).unwrap()
}

fn is_refused(outcome: Option<Result<Vec<nova_ha::recovery::report::Report>, Stop>>, what: &str) {
    let refused = outcome.unwrap().unwrap_err();
    let (said, next) = (refused.to_string(), refused.hint().unwrap());
    assert!(said.contains("two machines call themselves ha1"), "{what}: {said}");
    assert!(next.contains("NOVA_HA_NODE"), "{what}: {next}");
}

#[test]
fn by_its_consul_agent_a_twin_is_known_before_it_does_anything() {
    let stage = Stage::with_dead_host();
    let before = stage.with(|u| u.kv.below(""));
    is_refused(block_on(&stage.time, twin(&stage, Some(TWIN)).run()), "nothing is claimed yet");
    assert_eq!(before, stage.with(|u| u.kv.below("")), "it wrote");
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("beside a twin");
}

#[test]
fn what_one_machine_took_another_of_its_name_never_goes_on_with() {
    let mounted = position(&staged(), "mount");
    for agent in [Some("ha1"), None] {
        // Crashed, and while it works.
        let stage = staged();
        let _died = block_on(&stage.time, stage.process("ha1", Some((mounted, Fault::DiesAfter))).run());
        stage.wait(Duration::from_secs(120));
        is_refused(block_on(&stage.time, twin(&stage, agent).run()), "it crashed");
        assert_eq!(effects(&stage, TWIN), [""; 0]);
        stage.recover_until_settled("ha1");
        all_runs_on(&stage, "ha1", "it went on");

        let stage = staged();
        let first = stage.process("ha1", None);
        let late = async {
            stage.time.sleep(Duration::from_secs(4)).await;
            twin(&stage, agent).run().await
        };
        let (reports, refused) = block_on(&stage.time, join(first.run(), late));
        is_refused(refused, "it works");
        assert_eq!(reports.unwrap().unwrap()[0].result, Outcome::Closed);
        all_runs_on(&stage, "ha1", "it was not disturbed");
    }
}

/// As builds wrote them that knew no machine ids.
fn without_machine_ids(stage: &Stage) {
    stage.with(|u| {
        for stored in u.kv.below(&keys::incident(&incident()).journal()) {
            let entry: JournalEntry = parse(&stored.key, &stored.value).unwrap();
            u.kv.put(&stored.key, bytes(&JournalEntry { machine: None, ..entry }));
        }
    });
}

#[test]
fn what_an_earlier_build_took_is_gone_on_with_only_where_the_agent_says_who_it_is() {
    let mounted = position(&staged(), "mount");
    let stage = staged();
    let _died = block_on(&stage.time, stage.process("ha1", Some((mounted, Fault::DiesAfter))).run());
    without_machine_ids(&stage);
    let reports = block_on(&stage.time, twin(&stage, None).run()).unwrap().unwrap();
    assert!(reports[0].text.contains("does not say which machine"), "{reports:?}");
    assert_eq!(effects(&stage, TWIN), [""; 0]);
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "as before there were machine ids");
}

#[test]
fn a_disk_that_was_copied_brings_no_takeover_with_it() {
    let stage = staged();
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "taken");
    let twin = twin(&stage, Some("ha1"));
    let (from, to) = stage.with(|u| (u.state_dirs.path().join("ha1"), u.state_dirs.path().join(TWIN)));
    let [taken] = &takeovers::all(&from).unwrap()[..] else { panic!("it remembers one") };
    takeovers::remember(&to, taken).unwrap();
    is_refused(block_on(&stage.time, twin.run()), "copied");
    let file = to.join("takeovers/compute1@0.json");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn one_that_was_installed_anew_takes_nothing_that_the_disks_say_is_its_own() {
    let mounted = position(&staged(), "mount");
    let stage = staged();
    let _died = block_on(&stage.time, stage.process("ha1", Some((mounted, Fault::DiesAfter))).run());
    without_machine_ids(&stage);
    // The same machine, its memory gone: whoever has its name may have mounted it.
    let taken = stage.with(|u| u.state_dirs.path().join("ha1/takeovers"));
    std::fs::remove_dir_all(taken).unwrap();
    let said = stage.recover("ha1");
    stage.nothing_was_broken("installed anew");
    assert!(said[0].text.contains("nothing here knows of that"), "{said:?}");
}
