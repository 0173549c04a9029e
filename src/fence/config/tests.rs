//! Fence levels as they are written in the tree, and what becomes of each.

use std::time::Duration;

use super::*;
use crate::keys;
use crate::store::Entry;

const THREE: &str = r#"{"version":1,"levels":[
    {"driver":"ipmi","address":"10.0.0.1","user":"u","password":"s3cret","deadline_seconds":30},
    {"driver":"redfish","url":"https://10.0.0.1","user":"u","password":"env:CARGO_PKG_NAME","verify":false},
    {"driver":"agent","agent":"fence_dummy","options":{"type":"file"},
     "secret_options":{"password":"s3cret"},"identity_confirmed_by":"maria"}]}"#;

/// A machine without a local.toml.
fn local() -> Local {
    Local::read(std::path::Path::new("/nonexistent/local.toml"))
}

fn tree(pairs: &[(&str, &str)]) -> (Snapshot, MachineKeys) {
    let keys = keys::host(&"host1".parse().unwrap());
    let mut snapshot = Snapshot::default();
    snapshot.extend(pairs.iter().map(|(key, value)| Entry {
        key: format!("ha_cluster/compute_nodes/host1/config/{key}"),
        value: value.as_bytes().to_vec(),
        modify_index: 1,
        session: None,
    }));
    (snapshot, keys)
}

fn of(pairs: &[(&str, &str)]) -> Result<FenceConfig, TreeError> {
    let (snapshot, keys) = tree(pairs);
    FenceConfig::of(&snapshot, &keys).map_err(|error| match error {
        ConfigError::Tree(error) => error,
        other => panic!("{other}"),
    })
}

fn built(config: &FenceConfig) -> Vec<String> {
    let levels = config.build("host1".parse::<crate::names::HostName>().unwrap(), &local()).unwrap();
    levels.levels().iter().map(|level| level.describe()).collect()
}

#[test]
fn levels_keep_their_order_and_show_no_secret() {
    let config = of(&[("fence", THREE)]).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(config.has_plain_secret());
    let shown = built(&config);
    assert_eq!(
        shown,
        ["ipmi 10.0.0.1:623 as \"u\"", "redfish https://10.0.0.1 as \"u\"", "agent fence_dummy"]
    );
    let levels = config.build("host1".parse::<crate::names::HostName>().unwrap(), &local()).unwrap();
    assert_eq!(levels.levels()[0].deadline(), Some(Duration::from_secs(30)));
    let word = levels.levels()[2].devices()[0].confirmed().unwrap();
    assert_eq!((word.by.as_str(), &word.shown), ("maria", &None));
}

#[test]
fn without_levels_the_originals_keys_are_ipmi() {
    let bmc = [("bmc/ip", "10.0.0.1"), ("bmc/user", "test"), ("bmc/password", "Test123.")];
    assert_eq!(built(&of(&bmc).unwrap()), ["ipmi 10.0.0.1:623 as \"test\""]);
    let port = [&bmc[..], &[("bmc/port", "6230"), ("bmc/cipher", "3")]].concat();
    assert_eq!(built(&of(&port).unwrap()), ["ipmi 10.0.0.1:6230 as \"test\""]);
    let redfish = [&bmc[..], &[("bmc/driver", "redfish")]].concat();
    assert_eq!(built(&of(&redfish).unwrap()), ["redfish https://10.0.0.1 as \"test\""]);
}

#[test]
fn a_missing_credential_names_its_key() {
    let bmc = [("bmc/ip", "10.0.0.1"), ("bmc/user", "test"), ("bmc/password", "Test123.")];
    for (missing, (field, _)) in bmc.iter().enumerate() {
        let rest: Vec<_> =
            bmc.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, pair)| *pair).collect();
        let empty = [&rest[..], &[(*field, "")]].concat();
        for pairs in [rest, empty] {
            let error = of(&pairs).unwrap_err();
            let key = format!("ha_cluster/compute_nodes/host1/config/{field}");
            assert!(matches!(&error, TreeError::Missing { key: k } if *k == key), "{error}");
        }
    }
    let dangling = [&bmc[..2], &[("bmc/password", "file:/nonexistent/pw")]].concat();
    let config = of(&dangling).unwrap();
    let error = config.build("host1".parse::<crate::names::HostName>().unwrap(), &local()).err().unwrap();
    assert!(error.to_string().contains("host1/config/bmc/"), "{error}");
}

#[test]
fn what_is_not_understood_is_refused() {
    let newer = THREE.replace("\"version\":1", "\"version\":3,\"later\":true");
    assert!(matches!(of(&[("fence", &newer)]), Err(TreeError::Newer { found: 3, known: 2, .. })));
    for (from, to) in [
        ("\"version\":1,", ""),
        ("\"user\":\"u\"", "\"usr\":\"u\""),
        ("\"driver\":\"ipmi\"", "\"driver\":\"noop\""),
        ("\"deadline_seconds\":30", "\"deadline_seconds\":0"),
        ("\"deadline_seconds\":30", "\"deadline_seconds\":30,\"colour\":1"),
        ("10.0.0.1", "-Hevil"),
        ("\"verify\":false", "\"verify\":false,\"ca\":\"/ca.pem\""),
        ("{", ""),
    ] {
        let broken = THREE.replacen(from, to, 1);
        let error = of(&[("fence", &broken)]).err();
        assert!(matches!(error, Some(TreeError::Malformed { .. })), "{from} -> {to}: {error:?}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    assert!(matches!(of(&[("fence", r#"{"version":1,"levels":[]}"#)]), Err(TreeError::Malformed { .. })));
}

#[test]
fn a_level_that_this_machines_root_does_not_allow_is_refused_with_what_to_add_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("local.toml");
    let host = || "host1".parse::<crate::names::HostName>().unwrap();
    let config = of(&[("fence", THREE)]).unwrap();
    let asked: Vec<String> = config.asked().iter().map(ToString::to_string).collect();
    assert_eq!(
        asked,
        [
            "secret env:CARGO_PKG_NAME",
            "agent fence_dummy",
            "option type of fence_dummy",
            "option password of fence_dummy"
        ]
    );
    let variables = "secret_variables = [\"CARGO_PKG_NAME\"]\n";
    let agent = |options: &str| format!("{variables}[agents.fence_dummy]\noptions = [{options}]");
    let why = |config: &FenceConfig, text: &str| -> Vec<String> {
        std::fs::write(&toml, text).unwrap();
        let levels = config.build(host(), &Local::read(&toml)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let not_here =
            |level: &Level| level.devices()[0].switch().describe() == "a level that is not used here";
        let read =
            |level: &Level| runtime.block_on(level.devices()[0].switch().read()).unwrap_err().to_string();
        levels.levels().iter().filter(|level| not_here(level)).map(read).collect()
    };
    for (text, refused) in [
        (String::new(), &["secret env:CARGO_PKG_NAME", "agent fence_dummy"][..]),
        (variables.to_owned(), &["agent fence_dummy"]),
        (agent("\"type\""), &["option password of fence_dummy"]),
        (agent("\"type\", \"password\""), &[]),
    ] {
        let said = why(&config, &text);
        assert_eq!(said.len(), refused.len(), "{text}: {said:?}");
        for (said, refused) in said.iter().zip(refused) {
            assert!(said.contains(refused) && said.contains("nova-ha local adopt"), "{text}: {said}");
        }
    }
    // Where no level is left it is said of the whole.
    let alone = r#"{"version":1,"levels":[{"driver":"agent","agent":"fence_custom"}]}"#;
    std::fs::write(&toml, "").unwrap();
    let error = of(&[("fence", alone)]).unwrap().build(host(), &Local::read(&toml)).err().unwrap();
    assert!(matches!(error, ConfigError::Refused { level: 1, .. }), "{error:?}");
    assert!(error.hint(&Machine::Host(host())).contains("nova-ha local adopt"));
    // What needs no leave is used whatever the file says.
    std::fs::write(&toml, "what is this").unwrap();
    let bmc = of(&[("bmc/ip", "10.0.0.1"), ("bmc/user", "test"), ("bmc/password", "Test123.")]).unwrap();
    assert!(bmc.build(host(), &Local::read(&toml)).is_ok());
}

/// What an older build took stays there after an upgrade: the level is not used, and the BMC before it is.
#[test]
fn what_an_agent_is_never_told_costs_its_own_level_and_is_refused_where_it_is_new() {
    for (from, to) in [
        ("\"type\":\"file\"", "\"debug_file\":\"/etc/cron.d/x\""),
        ("\"type\":\"file\"", "\"username\":\"-oProxyCommand=x\""),
        ("{\"password\":\"s3cret\"}", "{\"password_script\":\"/opt/pw\"}"),
        ("{\"password\":\"s3cret\"}", "{\"password\":\"s3cret\",\"ssh-options\":\"-o ProxyCommand=x\"}"),
    ] {
        let text = THREE.replacen(from, to, 1);
        let config = of(&[("fence", &text)]).unwrap();
        let said = built(&config);
        assert!(said[0].starts_with("ipmi") && said[1].starts_with("redfish"), "{to}: {said:?}");
        assert_eq!(said[2], "a level that is not used here", "{to}");
        assert_eq!(config.never_told().len(), 1, "{to}");
        let asked: Vec<String> = config.asked().iter().map(ToString::to_string).collect();
        assert!(
            asked.iter().all(|asked| !asked.contains("option")),
            "{to}: nobody's leave makes it good: {asked:?}"
        );
        let new = FenceConfig::parse_new("--fence-file", text.as_bytes()).unwrap_err();
        assert!(new.to_string().contains("level 3"), "{to}: {new}");
    }
}

#[test]
fn a_level_whose_secret_is_missing_costs_itself_only() {
    let text = THREE.replace("env:CARGO_PKG_NAME", "file:/nonexistent/pw");
    let said = built(&of(&[("fence", &text)]).unwrap());
    assert_eq!(said.iter().filter(|said| *said == "a level that is not used here").count(), 1, "{said:?}");
    assert!(said[0].starts_with("ipmi"), "{said:?}");
}

#[test]
fn what_is_wrong_is_said_with_its_level_and_field_and_no_value() {
    let level = |text: &str| format!(r#"{{"version":1,"levels":[{text}]}}"#);
    let ipmi = r#""driver":"ipmi","address":"10.0.0.1","user":"u","password":"s3cret""#;
    let redfish = r#""driver":"redfish","url":"https://10.0.0.1","user":"u","password":"s3cret""#;
    for (text, said) in [
        ("s3cret".to_owned(), "it is no JSON: look at line 1, column 1"),
        ("[]".to_owned(), "it is no {...}"),
        (r#"{"version":"1","levels":[]}"#.to_owned(), "\"version\" is no number from 1"),
        (r#"{"levels":[]}"#.to_owned(), "it has no \"version\""),
        (r#"{"version":1}"#.to_owned(), "it has no level"),
        (
            r#"{"version":1,"level":[{}]}"#.to_owned(),
            "\"level\" is no field of it; there are: version, levels",
        ),
        (level(r#""s3cret""#), "level 1: it is no {...}"),
        (level("{}"), "level 1: it has no \"driver\""),
        (level(r#"{"driver":"s3cret"}"#), "is none of: ipmi, redfish, agent"),
        (
            level(r#"{"driver":"ipmi","address":"10.0.0.1","password":"s3cret"}"#),
            "level 1: it has no \"user\"",
        ),
        (level(&format!(r#"{{{ipmi},"port":"s3cret"}}"#)), "\"port\" is no number from 1 to 65535"),
        (level(&format!(r#"{{{ipmi},"port":70000}}"#)), "\"port\" is no number from 1 to 65535"),
        (
            level(&format!(r#"{{{ipmi},"privilege":"s3cret"}}"#)),
            "\"privilege\": it is none of: administrator",
        ),
        (
            level(&format!(r#"{{{ipmi},"usr":"s3cret"}}"#)),
            "\"usr\" is no field of it; there are: driver, address",
        ),
        (level(&format!(r#"{{{ipmi},"user":"s3cret"}}"#)), "\"user\" stands there twice"),
        (
            level(&format!(r#"{{{ipmi},"deadline_seconds":601}}"#)),
            "\"deadline_seconds\" is no number from 1 to 600",
        ),
        (level(&format!(r#"{{{redfish},"verify":"s3cret"}}"#)), "\"verify\" is neither true nor false"),
        (level(&format!(r#"{{{redfish},"pin":"s3cret"}}"#)), "\"pin\": a pin is sha256:"),
        (
            level(&format!(r#"{{{redfish},"identity_confirmed_by":"ann"}}"#)),
            "identity_confirmed_by needs identity_shown",
        ),
        (level(&format!(r#"{{{redfish},"identity_shown":"fru A"}}"#)), "without identity_confirmed_by"),
        (
            level(r#"{"driver":"agent","agent":"fence_apc","options":{"port":7}}"#),
            "\"port\" in \"options\" is no text",
        ),
        (level(r#"{"driver":"agent","agent":"fence_apc","options":"s3cret"}"#), "\"options\" is no {"),
        (level(&format!("{{{redfish}}},{{{ipmi},\"port\":0}}")), "level 2: \"port\""),
    ] {
        let error = of(&[("fence", &text)]).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
        assert!(!error.contains("s3cret"), "{text}: {error}");
        for serdes in ["invalid type", "missing field", "unknown field", "expected"] {
            assert!(!error.contains(serdes), "{text}: {error}");
        }
    }
}

#[test]
fn a_level_of_several_devices_is_one_level() {
    let ipmi = |address: &str| {
        format!(r#"{{"driver":"ipmi","address":"{address}","user":"u","password":"s3cret"}}"#)
    };
    let (a, b) = (ipmi("10.0.0.1"), ipmi("10.0.0.2"));
    let file = |level: &str| format!(r#"{{"version":2,"levels":[{level}]}}"#);
    let both = of(&[("fence", &file(&format!(r#"{{"devices":[{a},{b}],"deadline_seconds":90}}"#)))]).unwrap();
    assert_eq!(built(&both), ["ipmi 10.0.0.1:623 as \"u\" and ipmi 10.0.0.2:623 as \"u\""]);
    assert!(both.needs_newest() && both.has_plain_secret());
    let levels = both.build("host1".parse::<crate::names::HostName>().unwrap(), &local()).unwrap();
    assert_eq!(levels.levels()[0].deadline(), Some(Duration::from_secs(90)));
    assert_eq!(
        both.own_devices().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["level 1, device 1", "level 1, device 2"]
    );
    // One of them that is not used here costs the level: the other alone proves nothing.
    let dummy = r#"{"driver":"agent","agent":"fence_no_such","identity_confirmed_by":"ann"}"#;
    let half = file(&format!(r#"{{"devices":[{a},{dummy}]}},{b}"#));
    assert_eq!(
        built(&of(&[("fence", &half)]).unwrap()),
        ["a level that is not used here", "ipmi 10.0.0.2:623 as \"u\""]
    );
    for (level, said) in [
        (r#"{"devices":[]}"#.to_owned(), "\"devices\" is no [...] of 1 to 8"),
        (
            format!(r#"{{"devices":[{a}],"driver":"ipmi"}}"#),
            "\"driver\" is no field of it; there are: devices",
        ),
        (format!(r#"{{"devices":[{a},{{"driver":"ipmi"}}]}}"#), "level 1: device 2: it has no \"address\""),
        (
            format!(r#"{{"devices":[{}]}}"#, a.replace('}', r#","deadline_seconds":5}"#)),
            "device 1: \"deadline_seconds\" stands beside \"devices\"",
        ),
        (
            r#"{"driver":"agent","agent":"fence_sbd","wait_seconds":60}"#.to_owned(),
            "needs a \"deadline_seconds\"",
        ),
        (
            r#"{"driver":"agent","agent":"fence_sbd","wait_seconds":60,"deadline_seconds":60}"#.to_owned(),
            "has to be longer than",
        ),
    ] {
        let error = of(&[("fence", &file(&level))]).unwrap_err().to_string();
        assert!(error.contains(said), "{level}: {error}");
    }
}

#[test]
fn an_agent_that_fences_nothing_and_a_message_without_a_wait_are_not_used() {
    for (agent, said) in [
        (r#""agent":"fence_compute""#, "evacuates guests by itself"),
        (r#""agent":"fence_evacuate","wait_seconds":60,"deadline_seconds":90"#, "evacuates guests by itself"),
        (r#""agent":"fence_sbd""#, "wait_seconds"),
        (r#""agent":"fence_scsi""#, "wait_seconds"),
        (r#""agent":"fence_apc","wait_seconds":60,"deadline_seconds":90"#, "reads the power itself"),
    ] {
        let ipmi = r#"{"driver":"ipmi","address":"10.0.0.1","user":"u","password":"s3cret"}"#;
        let text = format!(r#"{{"version":1,"levels":[{ipmi},{{"driver":"agent",{agent}}}]}}"#);
        let config = of(&[("fence", &text)]).unwrap();
        assert_eq!(built(&config)[1], "a level that is not used here", "{agent}");
        let never = config.never_told();
        assert!(never.len() == 1 && never[0].to_string().contains(said), "{agent}: {never:?}");
        let new = FenceConfig::parse_new("--fence-file", text.as_bytes()).unwrap_err().to_string();
        assert!(new.contains("level 2") && new.contains(said), "{agent}: {new}");
    }
}
