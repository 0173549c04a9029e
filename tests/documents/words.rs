//! What the page lists by hand has to be complete: environment variables, tokens, ports.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{PAGE, file, path};

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.ends_with("fuzzing") {
            // Never in what is shipped.
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every word that a piece of code reads from its environment.
fn variables() -> BTreeSet<String> {
    let mut texts = Vec::new();
    sources(&path("src"), &mut texts);
    let mut found = BTreeSet::new();
    for text in texts {
        let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
        for literal in code.split('"') {
            let is_ours = ["NOVA_HA_", "CONSUL_", "OS_"].iter().any(|start| literal.starts_with(start));
            let is_name = literal.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if is_ours && is_name && !literal.ends_with('_') {
                found.insert(literal.to_owned());
            }
        }
    }
    for line in file("consul-watches/start-recover").lines() {
        for word in line.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            if word.starts_with("NOVA_HA_") {
                found.insert(word.to_owned());
            }
        }
    }
    found
}

#[test]
fn each_environment_variable_is_on_the_page() {
    let (page, variables) = (file(PAGE), variables());
    for known in ["NOVA_HA_NODE", "NOVA_HA_LOG", "CONSUL_HTTP_TOKEN_FILE", "OS_AUTH_URL"] {
        assert!(variables.contains(known), "it was not found in the code: {known}: {variables:?}");
    }
    let missing: Vec<&String> =
        variables.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{PAGE} lacks {missing:?}");
}

#[test]
fn each_policy_of_consuls_acls_is_on_the_page() {
    let page = file(PAGE);
    for entry in std::fs::read_dir(path("consul-watches/acl")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(page.contains(&format!("acl/{name}.hcl")), "{PAGE} lacks acl/{name}.hcl");
    }
}

#[test]
fn the_ports_on_the_page_are_those_of_the_code() {
    let page = file(PAGE);
    let row =
        |port: u16| page.lines().any(|line| line.starts_with("| ") && line.contains(&format!(" {port} ")));
    for port in [nova_ha::kdump::message::PORT, nova_ha::fence::ipmi::DEFAULT_PORT, 443, 22, 8500, 8300, 8301]
    {
        assert!(row(port), "{PAGE} has no port {port}");
    }
}
