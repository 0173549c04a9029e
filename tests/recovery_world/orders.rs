//! A person's order to shoot: it ends, and it does not outweigh what was not known when it was given.

use std::time::Duration;

use nova_ha::incident::IncidentRecord;
use nova_ha::incident::record::Order;
use nova_ha::incident::said::OrderRecord;
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::monitor::mark::order::{Asked, SecondWord};
use nova_ha::monitor::mark::report::{Line, Result as Said};
use nova_ha::monitor::mark::{Request, run};
use nova_ha::recovery::report::Report;
use nova_ha::tree::formats::published::Published;
use nova_ha::tree::record::{bytes, parse};
use nova_ha::tree::sign::Sign;

use super::seams::Fault;
use super::stage::Stage;
use super::time::{block_on, wall};
use super::universe::{HOST, incident};

const MINUTE: Duration = Duration::from_secs(60);

/// ann's `nova-ha-mark-failed compute1 --by ann` on ha1.
pub(crate) fn order(stage: &Stage, second: SecondWord) -> Line {
    let at = wall(stage.time.now());
    order_at(stage, second, Order::new("ann".into(), at))
}

fn order_at(stage: &Stage, second: SecondWord, order: Order) -> Line {
    let world = stage.process("ha1", None).world();
    let (witness, hosts) = (world.witness(), vec![HOST.parse().unwrap()]);
    let mut lines = Vec::new();
    block_on(&stage.time, async {
        let asked = Asked::look_first(&witness, world.reach.as_ref(), &hosts, (order, second)).await;
        let request =
            Request { hosts: hosts.clone(), order: Some(asked), sweep: false, machine: "ha1".into() };
        run(&witness, &request, &mut lines).await.unwrap();
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    line.clone()
}

fn bmc(stage: &Stage, answers: bool) {
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = answers);
}

fn is_shot(stage: &Stage) -> bool {
    stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("off")))
}

fn said(reports: &[Report]) -> String {
    reports.iter().map(|report| format!("{}\n{}\n", report.text, report.next.join("\n"))).collect()
}

/// Two of three HA nodes are gone: the votes on compute1 are no quorum.
fn without_a_quorum() -> Stage {
    let stage = Stage::with_votes();
    stage.with(|u| {
        u.dies("ha2");
        u.dies("ha3");
    });
    stage.wait(MINUTE);
    stage
}

#[test]
fn an_order_whose_time_is_over_shoots_nobody() {
    let stage = Stage::with_votes();
    bmc(&stage, false);
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Marked);
    stage.recover("ha1");
    // It is repaired, and serves guests; hours later its BMC answers again.
    stage.with(|u| u.returns(HOST));
    stage.wait(MINUTE * 6 * 60);
    bmc(&stage, true);
    let what = said(&stage.recover("ha1"));
    stage.nothing_was_broken("a late shot");
    assert!(!is_shot(&stage), "{what}");
    assert_eq!(stage.record().status.state, State::Withdrawn, "{what}");
}

#[test]
fn after_its_time_the_votes_decide_and_the_wait_says_why() {
    let stage = without_a_quorum();
    bmc(&stage, false);
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Marked);
    stage.recover("ha1");
    stage.wait(MINUTE * 16);
    bmc(&stage, true);
    let what = said(&stage.recover("ha1"));
    assert!(!is_shot(&stage), "{what}");
    assert!(what.contains("the order of ann does not count") && what.contains("is over"), "{what}");
    // Given again it takes the place of the other one.
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Ordered);
    stage.with(|u| u.ordered = true);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("ordered again");
}

#[test]
fn the_order_of_a_host_that_answers_needs_a_second_word_and_names_what_answers() {
    let stage = Stage::with_votes();
    stage.with(|u| u.returns(HOST));
    stage.wait(Duration::from_secs(1));
    let line = order(&stage, SecondWord::NotGiven);
    assert_eq!(line.result, Said::Answers, "{line:?}");
    for sign in ["own SSH host key", "Consul agent answers", "observers see it answer"] {
        assert!(line.because.contains(sign), "{line:?}");
    }
    assert!(line.next.unwrap().contains("--although-it-answers") && !stage.is_marked());
    assert_eq!(order(&stage, SecondWord::Given).result, Said::Marked);
    let key = keys::incident(&incident()).order();
    let order = stage.with(|u| u.kv.get(&key)).unwrap();
    let although = parse::<OrderRecord>(&key, &order.value).unwrap().although;
    assert_eq!(although, [Sign::OwnKey, Sign::Agent, Sign::Observers].into());
    stage.with(|u| u.ordered = true);
    stage.recover("ha1");
    stage.nothing_was_broken("ordered although it answers");
    assert!(is_shot(&stage));
}

#[test]
fn what_answers_since_the_order_waits_for_a_second_word() {
    let stage = Stage::with_votes();
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Marked);
    stage.with(|u| u.returns(HOST));
    stage.wait(MINUTE);
    let what = said(&stage.recover("ha1"));
    assert!(!is_shot(&stage), "{what}");
    assert!(what.contains("since the order of ann") && what.contains("--although-it-answers"), "{what}");
    assert_eq!(stage.record().status.state, State::Active, "it is a person's order: {what}");
    assert_eq!(order(&stage, SecondWord::Given).result, Said::Ordered);
    stage.with(|u| u.ordered = true);
    stage.recover("ha1");
    assert!(is_shot(&stage));
}

#[test]
fn maintenance_that_is_set_after_an_order_wins_and_none_is_taken_in_it() {
    let stage = Stage::with_votes();
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Marked);
    let key = keys::host(&HOST.parse().unwrap()).maintenance();
    stage.with(|u| u.kv.put(&key, "True"));
    let what = said(&stage.recover("ha1"));
    assert!(!is_shot(&stage) && what.contains("in maintenance"), "{what}");
    let line = order(&stage, SecondWord::Given);
    assert!(line.result == Said::No && line.because.contains("nova-ha maintenance off"), "{line:?}");
    stage.with(|u| u.kv.put(&key, "False"));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("out of maintenance");
}

/// The order was good at *started: fence*; then the recovery was killed and the BMC fell silent for 20 minutes.
fn begun_in_time() -> Stage {
    let calls = {
        let stage = without_a_quorum();
        order(&stage, SecondWord::NotGiven);
        let process = stage.process("ha1", None);
        stage.with(|u| u.ordered = true);
        let _reports = block_on(&stage.time, process.run());
        process.calls()
    };
    let shot = calls.iter().position(|name| name == "switch off").unwrap();
    let stage = without_a_quorum();
    order(&stage, SecondWord::NotGiven);
    let _died = block_on(&stage.time, stage.process("ha1", Some((shot, Fault::DiesBefore))).run());
    assert!(stage.record().order.unwrap().used && !is_shot(&stage));
    bmc(&stage, false);
    stage.recover("ha1");
    stage.wait(MINUTE * 20);
    stage
}

#[test]
fn an_order_that_was_good_when_the_fence_was_begun_is_good_for_that_fence() {
    let stage = begun_in_time();
    bmc(&stage, true);
    stage.with(|u| u.ordered = true);
    stage.recover_until_settled("ha1");
    assert!(is_shot(&stage));
    stage.all_is_recovered("begun in its time");
}

#[test]
fn it_is_not_good_for_a_host_that_lives_again_meanwhile() {
    let stage = begun_in_time();
    stage.with(|u| u.returns(HOST));
    stage.wait(MINUTE);
    bmc(&stage, true);
    let what = said(&stage.recover("ha1"));
    assert!(!is_shot(&stage), "{what}");
    assert!(matches!(stage.record().status.state, State::Held { .. }), "{what}");
    assert!(what.contains("was being fenced by the order of ann and lives"), "{what}");
}

#[test]
fn an_order_from_the_future_is_refused_with_both_times() {
    let stage = without_a_quorum();
    let now = stage.time.now();
    let line = order_at(&stage, SecondWord::NotGiven, Order::new("ann".into(), wall(now + MINUTE * 10)));
    assert_eq!(line.result, Said::Marked);
    let what = said(&stage.recover("ha1"));
    assert!(!is_shot(&stage), "{what}");
    let given = wall(now + MINUTE * 10).to_string();
    assert!(what.contains(&given) && what.contains("one of the two clocks is wrong"), "{what}");

    // A little ahead: it counts from when it was first seen.
    let stage = without_a_quorum();
    let at = wall(stage.time.now() + MINUTE);
    order_at(&stage, SecondWord::NotGiven, Order::new("ann".into(), at));
    stage.with(|u| u.ordered = true);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("a minute ahead");
}

#[test]
fn what_its_giver_named_counts_for_its_time_only() {
    // The host answers, and is ordered all the same; then the BMC is silent until long after the order's time.
    let begun = |fault| {
        let stage = Stage::with_votes();
        stage.with(|u| u.returns(HOST));
        stage.wait(Duration::from_secs(1));
        assert_eq!(order(&stage, SecondWord::Given).result, Said::Marked);
        stage.with(|u| u.ordered = true);
        let process = stage.process("ha1", fault);
        let _reports = block_on(&stage.time, process.run());
        (stage, process.calls())
    };
    let shot = begun(None).1.iter().position(|name| name == "switch off").unwrap();
    let (stage, _) = begun(Some((shot, Fault::DiesBefore)));
    assert!(stage.record().order.unwrap().used && !is_shot(&stage));
    stage.with(|u| u.ordered = false);
    bmc(&stage, false);
    stage.wait(MINUTE * 20);
    bmc(&stage, true);
    let what = said(&stage.recover("ha1"));
    assert!(!is_shot(&stage), "{what}");
    assert!(what.contains("was being fenced by the order of ann and lives"), "{what}");
}

/// As the token of a check can: it opens incidents.
fn forged_order(stage: &Stage) {
    let key = keys::incident(&incident()).incident();
    stage.with(|u| {
        let mut record: IncidentRecord = parse(&key, &u.kv.get(&key).unwrap().value).unwrap();
        let at = wall(u.now);
        record.order =
            Some(Order { ttl_seconds: Some(24 * 60 * 60), used: true, ..Order::new("ann".into(), at) });
        u.kv.put(&key, bytes(&record));
    });
}

#[test]
fn an_order_that_the_token_of_a_check_can_write_shoots_nobody() {
    let stage = without_a_quorum();
    bmc(&stage, false);
    order(&stage, SecondWord::NotGiven);
    stage.recover("ha1");
    stage.with(|u| u.kv.remove(&keys::incident(&incident()).order()));
    forged_order(&stage);
    bmc(&stage, true);
    let what = said(&stage.recover("ha1"));
    stage.nothing_was_broken("forged");
    assert!(!is_shot(&stage), "{what}");
    assert!(what.contains("the order of ann was given by an older nova-ha and does not count"), "{what}");
    assert!(what.contains("nova-ha-mark-failed compute1 --by NAME"), "{what}");
    // Said again by who may.
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Ordered);
    stage.with(|u| u.ordered = true);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("ordered again");
}

/// Beside an HA node of an older build, or one whose token may not write there, both stand where they stood.
#[test]
fn until_every_ha_node_reads_it_an_order_is_given_as_before() {
    let stage = Stage::with_votes();
    stage.with(|u| {
        let key = keys::ha_node(&"ha3".parse().unwrap()).formats();
        let mut published: Published = serde_json::from_slice(&u.kv.get(&key).unwrap().value).unwrap();
        published.reads.insert("layout".into(), 0);
        u.kv.put(&key, serde_json::to_vec(&published).unwrap());
    });
    assert_eq!(order(&stage, SecondWord::NotGiven).result, Said::Marked);
    assert_eq!(stage.record().order.unwrap().by, "ann");
    assert!(stage.with(|u| u.kv.get(&keys::incident(&incident()).order()).is_none()));
    let what = said(&stage.recover("ha1"));
    assert!(is_shot(&stage), "{what}");
    stage.all_is_recovered("within the record");
}
