//! `nova-ha host add` and `status`: how a BMC is reached, on a real Consul and by real TLS.

use crate::site::Site;
use crate::support::tls_bmc::{TlsBmc, certificate, key, pin};
use serde_json::Value;

const FENCE: &str = "ha_cluster/compute_nodes/node1/config/fence";

async fn site() -> Site {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site
}

fn redfish(url: &str, more: &str) -> String {
    format!(
        r#"{{"version":1,"levels":[{{"driver":"redfish","url":"{url}","user":"u","password":"file:/etc/nova-ha/secrets/pw"{more}}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_a_bmc_shows_is_shown_and_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (key(folder.path(), "bmc.key"), key(folder.path(), "new.key"));
    let (first, second) = (certificate(&key, "1"), certificate(&other, "1"));
    let bmc = TlsBmc::start(&first, &key);
    let site = site().await;
    let port = bmc.port.to_string();
    let way = ["--bmc-ip", "127.0.0.1", "--bmc-port", &port, "--bmc-user", "u", "--bmc-driver", "redfish"];
    let args = [&["host", "add", "node1", "--bmc-password-file", "-"], &way[..]].concat();
    let said = site.run_stdin(&args, "s3cret\n").await.ok();
    assert!(said.out.contains(&pin(&first)), "{}", said.out);
    let stored = "ha_cluster/compute_nodes/node1/config/bmc/pin";
    assert_eq!(site.value(stored).await.as_deref(), Some(pin(&first).as_str()));
    assert!(bmc.requests().iter().all(|request| !request.to_lowercase().contains("authorization")));

    // What is in a file of levels as well, also where that says not to look at it.
    let args = ["host", "add", "node1", "--replace", "--fence-file", "-"];
    site.run_stdin(&args, &redfish(&bmc.url(), r#","verify":false"#)).await.ok();
    let levels: Value = serde_json::from_str(&site.value(FENCE).await.unwrap()).unwrap();
    assert_eq!((&levels["version"], &levels["levels"][0]["pin"]), (&2.into(), &pin(&first).into()));
    assert_eq!(levels["levels"][0]["verify"], Value::Null);

    // Its board was replaced: a new key is pinned by whoever says so.
    let replaced = TlsBmc::start(&second, &other);
    let typed = ["host", "add", "node1", "--replace", "--bmc-pin", &pin(&second)];
    site.run(&typed).await.ok();
    assert!(site.value(FENCE).await.unwrap().contains(&pin(&second)));
    site.run(&["host", "add", "node1", "--replace", "--pin-bmc"]).await.ok();
    assert!(site.value(FENCE).await.unwrap().contains(&pin(&first)), "what is shown at the address now");
    drop(replaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_way_to_a_bmc_is_refused_when_it_is_set_and_said_where_it_stands() {
    let site = site().await;
    let http = redfish("http://127.0.0.1:1", "");
    let blind = redfish("https://127.0.0.1:1", r#","verify":false"#);
    let ipmilan = r#"{"version":1,"levels":[{"driver":"agent","agent":"fence_ipmilan","identity_confirmed_by":"ann",
        "options":{"ip":"10.0.0.1","username":"ha"},"secret_options":{"password":"hunter2"}}]}"#;
    let cipher = r#"{"version":1,"levels":[{"driver":"ipmi","address":"10.0.0.1","user":"u","password":"hunter2","cipher":0}]}"#;
    for (levels, why, can_be_typed, settled) in [
        (http.as_str(), "anyone on this network can say that node1 is off", true, "--fence-file FILE"),
        (&blind, "anyone on this network can say that node1 is off", true, "--replace --pin-bmc"),
        (ipmilan, "in its arguments", false, r#""driver":"ipmi""#),
        (cipher, "cipher suite 0", false, "--bmc-cipher 17"),
    ] {
        let add = ["host", "add", "node1", "--fence-file", "-"];
        let refused = site.run_stdin(&add, levels).await.refused(why);
        assert!(refused.err.contains(settled) && !refused.err.contains("hunter2"), "{}", refused.err);
        assert_eq!(site.value(FENCE).await, None, "{levels}");
        let typed = site.run_stdin(&[&add[..], &["--bmc-insecure"]].concat(), levels).await;
        assert_eq!(typed.code == 0, can_be_typed, "{levels}: {}", typed.err);
        if !can_be_typed {
            site.run(&["host", "add", "node1"]).await.ok();
            // As an older build left it.
            site.put(FENCE, levels).await;
        }
        let status = site.run(&["status"]).await.waits();
        let text = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(why) && text.contains(settled), "{}", status.out);
        assert!(!status.out.contains("hunter2"), "{}", status.out);
        // Whatever else is changed, what stands goes on.
        site.run(&["host", "add", "node1", "--replace", "--bmc-user", "other"]).await.ok();
        site.run(&["host", "remove", "node1", "--yes", "node1"]).await.ok();
    }
    let refused = site.run(&["host", "add", "node1", "--bmc-cipher", "0"]).await;
    assert!(refused.code != 0 && refused.err.contains("only 17, 12, 8 and 3"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_in_a_level_waits_for_the_upgrade_of_each_ha_node() {
    let site = site().await;
    // It has published nothing of what it reads.
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    let pinned = redfish("https://10.0.0.1", &format!(r#","pin":"sha256:{}""#, "0a".repeat(32)));
    let add = ["host", "add", "node1", "--fence-file", "-"];
    site.run_stdin(&add, &pinned).await.refused("ha1");
    assert_eq!(site.value(FENCE).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_word_about_a_bmc_is_bound_to_what_it_shows() {
    let site = site().await;
    let way = ["--bmc-ip", "10.0.0.1", "--bmc-user", "u", "--bmc-password-file", "-"];
    let word = ["--bmc-confirmed-by", "maria", "--bmc-shows", "fru abc 1d23"];
    let half = site.run(&["host", "add", "node1", "--bmc-confirmed-by", "maria"]).await;
    assert!(half.code != 0 && half.err.contains("--bmc-shows"), "{}", half.err);
    let odd =
        site.run(&["host", "add", "node1", "--bmc-confirmed-by", "maria", "--bmc-shows", "a face"]).await;
    assert!(odd.code != 0 && odd.err.contains("--plan"), "{}", odd.err);
    site.run_stdin(&[&["host", "add", "node1"][..], &way, &word].concat(), "s3cret\n").await.ok();
    let bmc = |field: &str| format!("ha_cluster/compute_nodes/node1/config/bmc/{field}");
    assert_eq!(site.value(&bmc("confirmed_by")).await.as_deref(), Some("maria"));
    assert_eq!(site.value(&bmc("shows")).await.as_deref(), Some("fru ABC1D23"));

    // In levels it stands in the one that our own driver reaches.
    let agent = r#"{"driver":"agent","agent":"fence_apc_snmp","options":{"ip":"10.0.0.9"},"identity_confirmed_by":"ann"}"#;
    let ipmi =
        r#"{"driver":"ipmi","address":"10.0.0.1","user":"u","password":"file:/etc/nova-ha/secrets/pw"}"#;
    let file = |levels: &[&str]| format!(r#"{{"version":1,"levels":[{}]}}"#, levels.join(","));
    let add = ["host", "add", "node1", "--replace", "--fence-file", "-"];
    site.run_stdin(&add, &file(&[agent, ipmi])).await.ok();
    site.run(&[&["host", "add", "node1", "--replace"][..], &word].concat()).await.ok();
    let levels: Value = serde_json::from_str(&site.value(FENCE).await.unwrap()).unwrap();
    assert_eq!(levels["levels"][1]["identity_confirmed_by"], "maria");
    assert_eq!(
        (&levels["version"], &levels["levels"][1]["identity_shown"]),
        (&2.into(), &"fru ABC1D23".into())
    );
    site.run_stdin(&add, &file(&[ipmi, ipmi])).await.ok();
    let two = site.run(&[&["host", "add", "node1", "--replace"][..], &word].concat()).await;
    two.refused("not exactly one level");

    // A word that is bound to nothing is none.
    let unbound = ipmi.replace('}', r#","identity_confirmed_by":"maria"}"#);
    site.run_stdin(&add, &file(&[&unbound])).await.refused("identity_shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_with_one_uuid_or_serial_number_are_named() {
    let site = site().await;
    let uuid = "4c4c4544-0042-4b10-8054-b6c04f333333";
    let add = |host, identity| ["host", "add", host, "--bmc-identity", identity];
    site.run(&add("node1", uuid)).await.ok();
    // In the byte order of its BMC, and in capitals.
    let said = site.run(&add("node2", "44454C4C-4200-104B-8054-B6C04F333333")).await.ok();
    assert!(said.out.contains("host node1 is bound to it"), "{}", said.out);
    let status = site.run(&["status"]).await.waits();
    let text = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("host node1 is bound to it") && text.contains("host node2 is bound to it"),
        "{}",
        status.out
    );
    assert!(text.contains("nova-ha host add node1 --replace --bmc-identity SERIAL"), "{}", status.out);

    // Told apart by the serial number that each publishes, and that was accepted.
    for (host, serial) in [("node3", "S-3"), ("node4", "S-4")] {
        site.run(&["host", "add", host]).await.ok();
        let published = format!(
            r#"{{"version":1,"system_uuid":"5c4c4544-0042-4b10-8054-b6c04f333333","system_serial":"{serial}"}}"#
        );
        site.put(&format!("ha_cluster/compute_nodes/{host}/internal/runtime_config"), &published).await;
        let accepted = site.run(&["host", "accept", host, "--by", "ann", "--yes", host]).await.ok();
        assert_eq!(accepted.out.contains("twin of host node3"), host == "node4", "{}", accepted.out);
    }
    let status = site.run(&["status"]).await.waits();
    let text = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("host node3: twin of host node4") && text.contains("one UUID on both"),
        "{}",
        status.out
    );
}
