//! The table of steps, and the answers of the judge, in docs/architecture.md.

use nova_ha::incident::step::{PowerOff, RECOVERY};

use crate::{HOW, file};

/// The variants of an enum in the source, each with the first sentences of its comment.
fn variants(source: &str, name: &str) -> Vec<(String, String)> {
    let body = source.split_once(&format!("pub enum {name} {{\n")).unwrap().1.split("\n}").next().unwrap();
    let (mut found, mut said) = (Vec::new(), Vec::new());
    // What is indented further belongs to a variant.
    for line in body.lines().filter(|line| !line.starts_with("        ")).map(str::trim) {
        match line.strip_prefix("///") {
            Some(text) => said.push(text.trim().to_owned()),
            None if line.starts_with(|first: char| first.is_ascii_uppercase()) => {
                let name = line.split(['(', '{', ',', ' ']).next().unwrap();
                found.push((name.to_owned(), said.join(" ")));
                said.clear();
            }
            None => {}
        }
    }
    found
}

/// The table.
pub(crate) fn table() -> String {
    let about = variants(&file("src/incident/step.rs"), "Step");
    assert_eq!(about.len(), RECOVERY.len(), "src/incident/step.rs was not understood: {about:?}");
    let mut text =
        String::from("| step | does | leads to | needs a fresh proof of off | |\n|---|---|---|---|---|\n");
    for (row, (name, does)) in RECOVERY.iter().zip(about) {
        assert_eq!(format!("{:?}", row.step), name, "the order of the enum and of the table differ");
        let proof = match row.power_off {
            PowerOff::Proves => "makes it",
            PowerOff::Needed => "yes",
            PowerOff::NeededForWhoIsLeft => "where a guest is left",
            PowerOff::NotNeeded => "no",
        };
        let turn = if row.point_of_no_return { "*started* is the **point of no return**" } else { "" };
        text += &format!("| {} | {does} | {} | {proof} | {turn} |\n", row.step.name(), row.reaches.name());
    }
    text
}

#[test]
fn each_answer_of_the_judge_is_in_the_table_of_gates_in_order() {
    let page = file(HOW);
    let table = page.split_once("### Before a host is marked").unwrap().1.split("\n### ").next().unwrap();
    let no = variants(&file("src/judge/decision.rs"), "No");
    assert!(no.len() > 10, "src/judge/decision.rs was not understood: {no:?}");
    let rows: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1)?.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    // The gates are asked in the order in which they are last named there: some share an early answer.
    let source = file("src/judge/decision.rs");
    let asked = source.split_once("pub fn decide_with(").unwrap().1.split("\n}\n").next().unwrap();
    let place =
        |name: &str| asked.rfind(&format!("No::{name}")).unwrap_or_else(|| panic!("{name} is never said"));
    let mut wanted: Vec<&str> = no.iter().map(|(name, _)| name.as_str()).collect();
    wanted.sort_by_key(|name| place(name));
    assert_eq!(rows, wanted, "{HOW} and src/judge/decision.rs");
}
