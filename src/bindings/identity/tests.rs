use super::*;
use crate::bindings::Claims;
use crate::keys;
use crate::store::Entry;

const U1: &str = "4c4c4544-0042-4b10-8054-b6c04f333333";
const U2: &str = "4c4c4544-0042-4b10-8054-b6c04f444444";
/// [`U1`] as a BMC states it that stores it in SMBIOS order.
const U1_TURNED: &str = "44454c4c-4200-104b-8054-b6c04f333333";
const NO_UUID: &str = "03000200-0400-0500-0006-000700080009";

/// By whose word a machine is known.
#[derive(Clone, Copy)]
enum Known {
    /// By its own.
    Publishes(&'static str, &'static str),
    /// By what was accepted.
    Accepted(&'static str, &'static str),
    /// By what a person typed.
    Typed(&'static str),
}

use Known::{Accepted, Publishes, Typed};

fn host(name: &str) -> TreeMachine {
    TreeMachine::Host(name.parse().unwrap())
}

fn entry(key: String, value: String) -> Entry {
    Entry { key, value: value.into_bytes(), modify_index: 1, session: None }
}

fn entries(machine: &TreeMachine, known: Known) -> Entry {
    let keys = machine.keys();
    match known {
        Publishes(uuid, serial) => {
            let text = format!(r#"{{"version":1,"system_uuid":"{uuid}","system_serial":"{serial}"}}"#);
            entry(keys.runtime_config(), text)
        }
        Accepted(uuid, serial) => entry(
            keys.bound(),
            format!(
                r#"{{"version":1,"system_uuid":"{uuid}","system_serial":"{serial}","by":"ann","at":"2026-11-30T00:00:00Z"}}"#
            ),
        ),
        Typed(text) => entry(keys.bmc_field("identity"), text.to_owned()),
    }
}

/// What the BMC of host `a` must state, beside what the others claim: `b`, `c`, ...
fn a(own: Known, others: &[Known]) -> Expected {
    let machines: Vec<TreeMachine> = ["a", "b", "c"].into_iter().map(host).collect();
    let mut snapshot = Snapshot::default();
    let known = std::iter::once(&own).chain(others);
    snapshot.extend(machines.iter().zip(known).map(|(machine, known)| entries(machine, *known)));
    let claims = Claims::of(&snapshot, machines.iter().take(others.len() + 1).cloned());
    let known = expected(&snapshot, &keys::host(&"a".parse().unwrap())).unwrap();
    claims.beside_all(&host("a"), known)
}

fn stated(uuid: &str, serials: &[&str]) -> Identity {
    let mut numbers = serials.iter().map(|serial| (*serial).to_owned());
    let uuid = (!uuid.is_empty()).then(|| uuid.to_owned());
    Identity { uuid, serial: numbers.next(), also: numbers.collect() }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Matches => "matches",
        Verdict::Differs { .. } => "another's",
        Verdict::CannotTell(Unclear::Claimed { .. }) => "claimed",
        Verdict::CannotTell(Unclear::NotComparable { .. }) => "not comparable",
        Verdict::CannotTell(_) => "cannot tell",
    }
}

#[test]
fn a_bmc_is_a_machines_by_the_uuid_or_else_by_a_number_that_nobody_else_has() {
    for (what, own, others, found, expected) in [
        // As machines state it, with nobody beside them.
        ("the serial is the board's", Publishes(U1, "ABC1D23"), &[][..], stated(U1, &["CNFCP00"]), "matches"),
        ("and the tag is the SKU", Typed("ABC1D23"), &[], stated(U1, &["CNFCP00", "abc1d23"]), "matches"),
        ("the serial is the chassis'", Accepted(U1, "S-1"), &[], stated(U1_TURNED, &["CH-1"]), "matches"),
        ("no usable UUID", Publishes(U1, "S-1"), &[], stated(NO_UUID, &["s-1 "]), "matches"),
        ("no usable UUID, another serial", Publishes(U1, "S-1"), &[], stated(NO_UUID, &["S-2"]), "another's"),
        ("a UUID alone", Publishes(U1, "S-1"), &[], stated(U1, &[]), "matches"),
        ("another UUID, the chassis of both", Publishes(U1, "CH-1"), &[], stated(U2, &["CH-1"]), "another's"),
        (
            "placeholders",
            Publishes(NO_UUID, "Default string"),
            &[],
            stated(NO_UUID, &["None"]),
            "not comparable",
        ),
        // A number that another machine is bound to is that machine's, whatever the UUID says.
        ("b's serial", Accepted(U1, "S-1"), &[Accepted(U2, "S-2")], stated(U1, &["S-2"]), "another's"),
        ("b's tag", Typed(U1), &[Typed("S-2")], stated(U1, &["CNFCP00", "s-2"]), "another's"),
        (
            "b's serial, as published",
            Accepted(U1, "S-1"),
            &[Publishes(U2, "S-2")],
            stated(U1, &["S-2"]),
            "matches",
        ),
        ("b's, nobody bound", Publishes(U1, "S-1"), &[Publishes(U2, "S-2")], stated(U1, &["S-2"]), "claimed"),
        // One UUID on two machines.
        ("a serial beside it", Accepted(U1, "S-1"), &[Accepted(U1, "S-2")], stated(U1, &["S-1"]), "matches"),
        ("none beside it", Accepted(U1, "S-1"), &[Accepted(U1, "S-2")], stated(U1, &[]), "claimed"),
        (
            "the board's beside it",
            Accepted(U1, "S-1"),
            &[Accepted(U1, "S-2")],
            stated(U1, &["CNFCP00"]),
            "claimed",
        ),
        ("the twin's", Accepted(U1, "S-1"), &[Accepted(U1_TURNED, "S-2")], stated(U1, &["S-2"]), "another's"),
        ("typed twice", Typed(U1), &[Typed(U1)], stated(U1, &["S-1"]), "claimed"),
        ("typed and accepted", Typed(U1), &[Accepted(U1, "S-2")], stated(U1, &["S-1"]), "claimed"),
        // What another merely publishes never weighs against a binding.
        ("bound, b lies", Accepted(U1, "S-1"), &[Publishes(U1, "S-1")], stated(U1, &[]), "matches"),
        ("typed, b lies", Typed(U1), &[Publishes(U1, "S-1")], stated(U1, &["S-1"]), "matches"),
        ("a lies", Publishes(U1, "S-1"), &[Accepted(U1, "S-1")], stated(U1, &["S-1"]), "claimed"),
        (
            "a lies about the UUID alone",
            Publishes(U1, "S-2"),
            &[Accepted(U1, "S-1")],
            stated(U1, &["S-1"]),
            "another's",
        ),
        (
            "a lies about the serial alone",
            Publishes(U2, "S-1"),
            &[Accepted(U1, "S-1")],
            stated("", &["S-1"]),
            "claimed",
        ),
        ("both lie, or one", Publishes(U1, "S-1"), &[Publishes(U1, "S-1")], stated(U1, &["S-1"]), "claimed"),
        // One number on two machines, as on the blades of a chassis: it tells nothing, and the UUID does.
        ("a chassis", Accepted(U1, "CH-1"), &[Accepted(U2, "CH-1")], stated(U1, &["CH-1"]), "matches"),
        (
            "a chassis alone",
            Accepted(NO_UUID, "CH-1"),
            &[Accepted(NO_UUID, "CH-1")],
            stated("", &["CH-1"]),
            "claimed",
        ),
    ] {
        let verdict = a(own, others).compare(&found);
        assert_eq!(word(&verdict), expected, "{what}: {verdict:?}");
    }
}

#[test]
fn a_binding_that_was_typed_over_still_claims_what_was_accepted() {
    let mut snapshot = Snapshot::default();
    snapshot.extend([
        entries(&host("a"), Accepted(U1, "S-1")),
        entries(&host("b"), Accepted(U1, "S-2")),
        entries(&host("b"), Typed("S-2")),
    ]);
    let claims = Claims::of(&snapshot, [host("a"), host("b")]);
    let own = expected(&snapshot, &host("a").keys()).unwrap();
    let verdict = claims.beside_all(&host("a"), own).compare(&stated(U1, &[]));
    assert_eq!(word(&verdict), "claimed", "by IPMI the two cannot be told apart: {verdict:?}");
}

#[test]
fn twins_are_named_and_block_each_other_only_where_nothing_is_left_to_tell_them_apart() {
    for (what, own, other, doubt, twin) in [
        ("nothing in common", Accepted(U1, "S-1"), Accepted(U2, "S-2"), false, None),
        ("the UUID", Accepted(U1, "S-1"), Accepted(U1, "S-2"), false, Some("UUID")),
        ("the serial", Accepted(U1, "S-1"), Accepted(U2, "s-1"), false, Some("serial number")),
        ("both", Accepted(U1, "S-1"), Accepted(U1, "S-1"), true, Some("UUID")),
        (
            "the only one that is usable",
            Accepted(NO_UUID, "S-1"),
            Accepted(U2, "S-1"),
            true,
            Some("serial number"),
        ),
        ("a person typed one UUID twice", Typed(U1), Typed(U1), true, Some("UUID")),
        ("the other publishes it", Accepted(U1, "S-1"), Publishes(U1, "S-1"), false, None),
        ("both publish it", Publishes(U1, "S-1"), Publishes(U1, "S-1"), true, Some("UUID")),
        ("placeholders", Accepted(NO_UUID, "None"), Accepted(NO_UUID, "None"), false, None),
    ] {
        let known = a(own, &[other]);
        assert_eq!(known.doubt().is_some(), doubt, "{what}");
        assert_eq!(known.twin().map(|twin| twin.what.to_string()).as_deref(), twin, "{what}");
        if let Some(doubt) = known.doubt() {
            let next = doubt.next(&host("a"));
            assert!(doubt.text().contains("host b") && next.starts_with("nova-ha host"), "{what}: {next}");
        }
    }
}
