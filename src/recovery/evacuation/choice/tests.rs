//! Marks near and far, clear and unclear.

use super::*;
use crate::nova::ownership::foreign_owner;
use crate::nova::servers::Flavor;
use crate::nova::servers::tests::guest as running;

fn marks(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn guest(metadata: &[(&str, &str)], flavor: &[(&str, &str)]) -> Server {
    Server {
        metadata: marks(metadata),
        image: Some("img".into()),
        flavor: Flavor { extra_specs: marks(flavor), ..Flavor::default() },
        ..running()
    }
}

fn beside(image: &[(&str, &str)], tags: &[&str], aggregate: &[(&str, &str)]) -> Surroundings {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Surroundings {
        aggregates: vec![Aggregate { name: "rack1".into(), hosts: vec![], metadata: marks(aggregate) }],
        images: [("img".to_owned(), Image { tags, properties: marks(image) })].into(),
        ..Surroundings::default()
    }
}

#[test]
fn the_nearest_mark_counts_and_none_is_the_policys_word() {
    type Marks<'a> = &'a [(&'a str, &'a str)];
    let no: Marks<'_> = &[("evacuable", "false")];
    let yes: Marks<'_> = &[("evacuable", "true")];
    // metadata, flavor, image, tags, aggregate; recovered by all-but-out, by only-in.
    for (name, metadata, flavor, image, tags, aggregate, all, only) in [
        (
            "no mark",
            &[] as Marks<'_>,
            &[] as Marks<'_>,
            &[] as Marks<'_>,
            &[] as &[&str],
            &[] as Marks<'_>,
            true,
            false,
        ),
        ("own no", &[("nova_ha:recover", "no")], yes, yes, &["evacuable"], yes, false, false),
        ("own yes", &[("nova_ha:recover", "yes")], no, no, &[], &[], true, true),
        ("own yes, aggregate no", &[("nova_ha:recover", "yes")], &[], yes, &["evacuable"], no, false, false),
        ("own yes, flavor yes, aggregate no", &[("nova_ha:recover", "yes")], yes, &[], &[], no, true, true),
        ("flavor yes", &[], yes, &[], &[], no, true, true),
        ("masakari no", &[("HA_Enabled", "False")], &[], &[], &[], &[], false, false),
        ("masakari yes", &[("HA_Enabled", "True")], &[], &[], &[], &[], true, true),
        ("flavor no", &[], no, &[], &[], yes, false, false),
        ("image no", &[], &[], no, &[], yes, false, false),
        ("image yes", &[], &[], yes, &[], &[], true, true),
        ("image yes, aggregate no", &[], &[], yes, &[], no, false, false),
        ("image tag", &[], &[], &[], &["evacuable"], &[], true, true),
        ("image tag, aggregate no", &[], &[], &[], &["evacuable"], no, false, false),
        ("another tag", &[], &[], &[], &["not-evacuable"], &[], true, false),
        ("aggregate no", &[], &[], &[], &[], no, false, false),
        ("aggregate yes", &[], &[], &[], &[], yes, true, true),
    ] {
        let (server, around) = (guest(metadata, flavor), beside(image, tags, aggregate));
        for (only_opted_in, expected) in [(false, all), (true, only)] {
            let wish = wish(&server, &around, only_opted_in);
            assert_eq!(wish.excluded.is_none(), expected, "{name}, {only_opted_in}: {wish:?}");
            assert!(wish.doubts.is_empty(), "{name}: {wish:?}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_said_and_is_never_a_no() {
    for value in ["Flase", "", "none", "2"] {
        for only_opted_in in [false, true] {
            let wish = wish(&guest(&[("HA_Enabled", value)], &[]), &beside(&[], &[], &[]), only_opted_in);
            assert_eq!(wish.excluded, None, "{value:?}");
            assert!(wish.doubts[0].contains("HA_Enabled"), "{wish:?}");
        }
    }
    // It is no yes either: a clear mark farther away still counts.
    let far = beside(&[], &[], &[("evacuable", "no")]);
    assert!(wish(&guest(&[("HA_Enabled", "Flase")], &[]), &far, false).excluded.is_some());
}

#[test]
fn a_contradiction_on_one_level_is_said_and_taken_for_a_yes() {
    let both = guest(&[("HA_Enabled", "False"), ("nova_ha:recover", "yes")], &[]);
    let found = wish(&both, &Surroundings::default(), true);
    assert!(found.excluded.is_none() && found.doubts[0].contains("yet"), "{found:?}");
    let apart = wish(&guest(&[], &[("evacuable", "no")]), &beside(&[("evacuable", "yes")], &[], &[]), false);
    assert!(apart.excluded.is_none() && apart.doubts[0].contains("flavor"), "{apart:?}");
}

#[test]
fn an_image_store_that_does_not_answer_excludes_nobody() {
    let found = wish(&guest(&[], &[]), &Surroundings::default(), true);
    assert!(found.excluded.is_none() && !found.doubts.is_empty(), "{found:?}");
    // Booted from a volume: there is no image to look at.
    let volume = Server { image: None, ..guest(&[], &[]) };
    assert!(wish(&volume, &Surroundings::default(), true).excluded.is_some());
}

#[test]
fn a_host_may_be_opted_out_or_be_another_systems() {
    let aggregate = |pairs: &[(&str, &str)]| beside(&[], &[], pairs).aggregates;
    assert!(host_opted_out(&aggregate(&[("evacuable", "false")])).unwrap().contains("rack1"));
    assert_eq!(host_opted_out(&aggregate(&[("evacuable", "maybe")])), None);
    assert_eq!(host_opted_out(&aggregate(&[])), None);
    assert!(foreign_owner(&aggregate(&[("nova_ha:managed_by", "masakari")])).unwrap().contains("masakari"));
    assert_eq!(foreign_owner(&aggregate(&[("nova_ha:managed_by", "Nova-HA ")])), None);
    assert_eq!(foreign_owner(&aggregate(&[])), None);
}

fn rack(priority: &str) -> Vec<Aggregate> {
    beside(&[], &[], &[(PRIORITY_KEY, priority)]).aggregates
}

#[test]
fn urgency_is_a_number_in_its_range_or_the_usual_one() {
    for (text, expected, doubt) in [
        (None, 500, false),
        (Some("1000"), 1000, false),
        (Some(" 1 "), 1, false),
        (Some("0"), 1, true),
        (Some("9999"), 1000, true),
        (Some("high"), 500, true),
        (Some("-5"), 500, true),
    ] {
        let given = text.map(|text| (PRIORITY_KEY, text)).into_iter().collect::<Vec<_>>();
        let (found, said) = urgency(&guest(&[], &given), &[]);
        let (own, most) = (found.own, found.most);
        assert_eq!((own, most, said.is_empty()), (expected, expected, !doubt), "{text:?}: {said:?}");
    }
}

#[test]
fn a_tenant_lowers_his_guests_urgency_and_raises_it_never() {
    for (metadata, flavor, aggregates, expected, doubt) in [
        ("1000", "", vec![], 500, true),
        ("100", "", vec![], 100, false),
        ("1000", "900", vec![], 900, true),
        ("800", "900", vec![], 800, false),
        ("", "", rack("700"), 700, false),
        ("1000", "", rack("700"), 700, true),
        // The flavor is nearer.
        ("", "300", rack("700"), 300, false),
        ("400", "300", rack("700"), 300, true),
    ] {
        let pair = |text: &'static str| -> Vec<(&str, &str)> {
            (!text.is_empty()).then_some((PRIORITY_KEY, text)).into_iter().collect()
        };
        let (found, said) = urgency(&guest(&pair(metadata), &pair(flavor)), &aggregates);
        assert_eq!((found.own, said.is_empty()), (expected, !doubt), "{metadata}, {flavor}: {said:?}");
    }
}

#[test]
fn a_group_of_metadata_is_its_projects_and_one_of_the_operators_is_everybodys() {
    let of = |project: Option<&str>, metadata: &[(&str, &str)], flavor: &[(&str, &str)]| {
        let server = Server { project: project.map(str::to_owned), ..guest(metadata, flavor) };
        urgency(&server, &[]).0
    };
    let db: &[(&str, &str)] = &[(GROUP_KEY, " db ")];
    assert_eq!(of(Some("p"), db, &[]).group, Some(("p".to_owned(), "db".to_owned())));
    assert_eq!(of(None, db, &[]).group, None, "nobody knows whose it is");
    assert_eq!(of(Some("p"), &[(GROUP_KEY, " ")], &[]).group, None);
    assert_eq!(of(Some("p"), db, &[]).across, None);
    assert_eq!(of(None, &[], db).across.as_deref(), Some("db"));
}
