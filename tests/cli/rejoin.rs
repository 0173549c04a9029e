//! `nova-ha rejoin` on a real Consul and the simulated cloud, through the executable.

#[allow(dead_code, reason = "each test file uses its part")]
use std::process::Stdio;
use std::time::Duration;

use crate::cloud::{host, until};
use crate::recovered_host::{HOST, World, ours};
use crate::site::Said;
use jiff::Timestamp;
use nova_ha::incident::journal::{AdoptionGround, Event, JournalEntry, Outcome};
use nova_ha::incident::step::Step;
use nova_ha::incident::{IncidentRecord, Phase};
use nova_ha::keys;
use nova_ha::nova::Cloud;
use nova_ha::store::{Op, Store};
use nova_ha::tree::record::{bytes, parse};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const REJOIN: [&str; 6] = ["rejoin", HOST, "--by", "ann", "--yes", HOST];

impl World {
    async fn rejoin(&self, more: &[&str]) -> Said {
        self.run(&[&REJOIN[..], more].concat()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_returns_step_by_step_and_each_waits_for_the_one_before() {
    let world = World::with_open_incident(&ours()).await;
    let left = (true, true, Some("True".to_owned()));
    let said = world.rejoin(&["--wait", "0s"]).await.refused(&format!("incident {HOST}@0 is open"));
    assert_eq!(world.guard("compute").await, 3);
    assert!(said.err.contains("next: nova-ha incident show"), "{}", said.err);
    world.end_incident().await;

    // Nothing runs on it yet.
    let said = world.rejoin(&["--wait", "3s", "--json"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let json = said.json();
    assert!(json["waits_for"].as_str().unwrap().contains("does not report"), "{json}");
    assert!(json["next"].as_str().unwrap().contains("systemctl start nova-compute"), "{json}");
    assert_eq!(json["steps"].as_array().unwrap().len(), 5, "{json}");
    assert_eq!(world.is().await, left);
    // From now on its boot guard lets nova-compute start, and nothing else.
    assert_eq!(world.guard("compute").await, 0);
    assert_eq!(world.guard("storage").await, 3);

    // It reports, and has not been started since the evacuation was done.
    world.start("a");
    let said = world.rejoin(&["--wait", "4s"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("done and not completed") && said.out.contains("restart nova-compute"),
        "{}",
        said.out
    );
    assert_eq!(world.is().await, left);

    world.start("b");
    let json = world.rejoin(&["--wait", "30s", "--json"]).await.ok().json();
    assert_eq!((&json["outcome"], &json["name"]), (&"changed".into(), &HOST.into()), "{json}");
    assert!(json["steps"].as_array().unwrap().iter().all(|step| step["done"] == true), "{json}");
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
    let ha1 = keys::ha_node(&"ha1".parse().unwrap());
    assert_eq!(world.site.value(&ha1.in_use()).await.as_deref(), Some("False"));
    assert_eq!(world.site.value(&keys::host(&HOST.parse().unwrap()).epoch()).await.as_deref(), Some("1"));
    assert_eq!(world.site.value(&keys::host(&HOST.parse().unwrap()).returning()).await, None);
    assert_eq!(world.guard("storage").await, 0);
    assert_eq!(world.rejoin(&["--json"]).await.ok().json()["outcome"], "already_so");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_rejoin_where_a_reset_would_leave_the_host_disabled_in_nova() {
    let world = World::recovered(&ours()).await;
    let rejoin = format!("nova-ha rejoin {HOST} --by NAME");
    let said = world.run(&["status"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.out.contains(&format!("out of service since incident {HOST}@0")), "{}", said.out);
    assert!(said.out.contains(&rejoin), "{}", said.out);
    assert!(!said.out.contains("Nova was not asked"), "{}", said.out);
    // Whoever resets it all the same: the tree calls it well, and Nova gives it no guests.
    world.start("b");
    world.run(&["reset", HOST, "--by", "ann", "--yes", HOST]).await.ok();
    let said = world.run(&["status"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("was reset, and Nova keeps it disabled and forced down"), "{words}");
    let next = format!("nova-ha rejoin {HOST} --forced-down-is-ours --by NAME");
    assert!(said.out.contains(&next), "{}", said.out);
    let json = world.run(&["status", "--json"]).await.json();
    assert_eq!(json["nova"]["disabled_by_us"][0]["nova_host"], HOST, "{json}");
    world.rejoin(&["--wait", "30s", "--forced-down-is-ours"]).await.ok();
    let json = world.run(&["status", "--json"]).await.json();
    assert_eq!(json["nova"]["disabled_by_us"], json!([]), "{json}");
    // From where Nova cannot be asked that is said, and nothing is guessed.
    let said = world.site.run(&["status"]).await;
    assert!(said.out.contains("Nova was not asked"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_comes_to_the_same_end() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    for after in [20, 60, 150, 400, 900, 1500, 2200, 2400, 2600, 3000, 3400] {
        let mut child = world.command(&REJOIN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(after)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    world.rejoin(&["--wait", "30s"]).await.ok();
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_nova_that_is_lost_is_read_back() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    for effect in [true, false] {
        world
            .cloud
            .fault(json!({"method": "PUT", "path": "/os-services/", "action": "drop", "effect": effect}))
            .await;
    }
    world
        .cloud
        .fault(
            json!({"method": "GET", "path": "/os-migrations", "action": "status", "status": 503, "count": 4}),
        )
        .await;
    world.rejoin(&["--wait", "40s"]).await.ok();
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_back_while_a_machine_that_held_the_incident_may_still_act() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    let at = Timestamp::from_second(1_790_000_100).unwrap();
    let machine = Some("a".repeat(32).try_into().unwrap());
    let what = Event::Adopted { from: None, ground: AdoptionGround::SameNode };
    let entry =
        JournalEntry { version: 1, sequence: 2, term: 1, by: "ha1".into(), machine, boot: None, at, what };
    let journal = keys::incident(&format!("{HOST}@0").parse().unwrap());
    world.site.write(&[Op::Set(journal.journal_entry(2), bytes(&entry))]).await;
    let before = (world.is().await, world.site.tree().await);
    world.rejoin(&["--wait", "0s"]).await.refused("HA node ha1 (it took the incident at").next("--gone ha1");
    assert_eq!(
        (world.is().await, world.site.tree().await),
        before,
        "nothing was touched, in Nova or in the tree"
    );
    world.rejoin(&["--wait", "20s", "--gone", "ha1"]).await.ok();
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_its_guests_on_an_array_gets_new_ones_only_when_that_is_mounted() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    let host = keys::host(&HOST.parse().unwrap());
    let mounted_in = async |boot: Option<&str>| {
        let guests =
            json!({"uuid": "f", "fs_type": "xfs", "mountpoint": "/var/lib/nova/instances", "array": "a"});
        let record = json!({"version": 1, "filesystems": [guests], "guests_mounted_in": boot});
        world.site.put(&host.runtime_config(), record.to_string()).await;
    };
    // In the boot that ended with the fence.
    mounted_in(Some("boot1")).await;
    let fenced = Event::Finished { step: Step::Fence, outcome: Outcome::Changed, facts: Vec::new() };
    let at = Timestamp::from_second(1_790_000_100).unwrap();
    let entry = JournalEntry {
        version: 1,
        sequence: 2,
        term: 1,
        by: "ha1".into(),
        machine: None,
        boot: None,
        at,
        what: fenced,
    };
    let journal = keys::incident(&format!("{HOST}@0").parse().unwrap());
    world.site.write(&[Op::Set(journal.journal_entry(2), bytes(&entry))]).await;

    let awaited = (false, true, Some("False".to_owned()));
    for (boot, patience) in [(Some("boot1"), "20s"), (None, "0s")] {
        if boot.is_none() {
            mounted_in(None).await;
        }
        let said = world.rejoin(&["--wait", patience]).await;
        assert_eq!(said.code, 3, "{}{}", said.out, said.err);
        let why = "has not published that what holds its guests is mounted";
        assert!(said.out.contains(why) && said.out.contains("nova-ha-guest-storage"), "{}", said.out);
        assert_eq!(world.is().await, awaited, "reset, so that its guard lets its disks start, and disabled");
    }
    mounted_in(Some("boot2")).await;
    world.rejoin(&["--wait", "20s"]).await.ok();
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

/// What stands between the command and its Consul agent; while it is away, connections are closed and none is taken.
struct Relay {
    port: u16,
    is_away: watch::Sender<bool>,
}

impl Relay {
    async fn to(agent: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_away, seen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", agent)).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = seen.wait_for(|is_away| *is_away) => {}
                    }
                });
            }
        });
        Self { port, is_away }
    }
}

/// It runs with this patience, and Consul goes away once it waits for nova-compute; what is done 4 s later, and its end.
async fn consul_goes_away(world: &World, patience: &str, four_seconds_later: impl FnOnce(&Relay)) -> Said {
    let relay = Relay::to(world.site.agent.port).await;
    let mut command = world.command(&[&REJOIN[..], &["--wait", patience]].concat());
    command.env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", relay.port));
    let returning = keys::host(&HOST.parse().unwrap()).returning();
    let meanwhile = async {
        until("it waits", || async { world.site.value(&returning).await.map(drop) }).await;
        relay.is_away.send(true).unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        four_seconds_later(&relay);
    };
    tokio::join!(world.finish(command), meanwhile).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_goes_away_on_the_way_is_waited_for_as_long_as_was_said() {
    let world = World::recovered(&ours()).await;
    let said = consul_goes_away(&world, "2s", |_| ()).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(
        said.err.contains(&format!("nova-ha: cannot rejoin host {HOST}: cannot read the tree")),
        "{}",
        said.err
    );
    said.next("consul members");
    assert_eq!(world.is().await, (true, true, Some("True".to_owned())));

    let world = World::recovered(&ours()).await;
    let back = |relay: &Relay| {
        relay.is_away.send(false).unwrap();
        world.start("b");
    };
    consul_goes_away(&world, "40s", back).await.ok();
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_disabled_stays_so_and_a_person_may_want_ours_to_stay_so_too() {
    let world = World::recovered("broken fan, joe").await;
    world.start("b");
    let said = world.rejoin(&["--wait", "30s"]).await.ok();
    assert!(said.out.contains("disabled by somebody else, and left so (broken fan, joe)"), "{}", said.out);
    assert_eq!(world.is().await, (false, true, Some("False".to_owned())));

    let world = World::recovered(&ours()).await;
    world.start("b");
    world.rejoin(&["--wait", "30s", "--leave-disabled"]).await.ok();
    assert_eq!(world.is().await, (false, true, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_person_forced_down_after_it_had_rejoined_stays_so_until_somebody_says_otherwise() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    world.rejoin(&["--wait", "30s", "--leave-disabled"]).await.ok();
    let client = world.cloud.client();
    let service = client.service(&host(HOST)).await.unwrap().unwrap();
    client.set_forced_down(&service.id, true).await.unwrap();

    let said = world.rejoin(&["--wait", "5s"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.out.contains("it may be a person who did it: it was reset since"), "{}", said.out);
    assert!(said.out.contains("--forced-down-is-ours"), "{}", said.out);
    assert_eq!(world.is().await, (true, true, Some("False".to_owned())));

    world.rejoin(&["--wait", "30s", "--forced-down-is-ours"]).await.ok();
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_a_consul_agent_lives_by_its_own_host_key() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    let sshd = crate::support::sshd::Sshd::start("ed25519");
    let keys = keys::host(&HOST.parse().unwrap());
    world.site.put(&keys.agent(), "none").await;
    world.site.put(&keys.ssh_field("address"), "127.0.0.1").await;
    world.site.put(&keys.ssh_field("port"), sshd.port.to_string()).await;
    let left = world.is().await;

    // Nobody knows its key; another machine answers; nobody does.
    world.rejoin(&[]).await.refused("no host key is pinned").next("--ssh-host-key-file");
    let folder = tempfile::tempdir().unwrap();
    let other = crate::support::sshd::make_key(&folder.path().join("key"), "ed25519");
    world.site.put(&keys.ssh_field("host_key"), other).await;
    world.rejoin(&[]).await.refused("another SSH host key answers").next("repair it first");
    world.site.put(&keys.ssh_field("host_key"), sshd.host_key.clone()).await;
    world.site.put(&keys.ssh_field("port"), crate::support::sshd::closed_port().to_string()).await;
    world.rejoin(&[]).await.refused("it does not answer: connection refused").next("repair it first");
    assert_eq!(world.is().await, left);

    world.site.put(&keys.ssh_field("port"), sshd.port.to_string()).await;
    let said = world.rejoin(&["--wait", "30s"]).await.ok();
    let by = format!("it runs no Consul agent, and answers at 127.0.0.1:{} with its own", sshd.port);
    assert!(said.out.contains(&by), "{}", said.out);
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_is_refused_and_changes_nothing() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    let before = (world.site.tree().await, world.is().await);
    world
        .run(&["rejoin", "node7", "--by", "ann", "--yes", "node7"])
        .await
        .refused("node7 is not in the tree");
    world.run(&["rejoin", HOST, "--by", "ann"]).await.refused("typed").next(&format!("--yes {HOST}"));
    world.run(&["rejoin", HOST, "--by", "ann", "--yes", "node2"]).await.refused("\"node2\" is not node1");
    world.run(&["rejoin", HOST, "--by", " ", "--yes", HOST]).await.refused("--by");
    assert_eq!(world.rejoin(&["--wait", "soon"]).await.code, 2);
    world.rejoin(&["--os-cloud", "nowhere"]).await.refused("nowhere").next("clouds.yaml");
    // What somebody left where it is run names no cloud.
    let folder = tempfile::tempdir().unwrap();
    let left = "clouds: {nowhere: {auth: {auth_url: 'http://127.0.0.1:1/v3', user_id: u, project_id: p, password: x}}}";
    std::fs::write(folder.path().join("clouds.yaml"), left).unwrap();
    let mut there = world.command(&[&REJOIN[..], &["--os-cloud", "nowhere"]].concat());
    there.current_dir(folder.path());
    world.finish(there).await.refused("nowhere").next("clouds.yaml");

    let mut wrong = world.command(&REJOIN);
    wrong.env("OS_PASSWORD", "Swordfish7");
    let said = world.finish(wrong).await.refused("keystone refuses the credentials");
    assert!(!said.err.contains("Swordfish7"), "{}", said.err);
    let mut away = world.command(&[&REJOIN[..], &["--wait", "1s"]].concat());
    away.env("OS_AUTH_URL", "http://127.0.0.1:1/v3");
    let said = world.finish(away).await.next("what was done stays done");
    assert!(said.code == 1 && said.err.contains("nova-ha: cannot rejoin host node1"), "{}", said.err);

    // Its observers see it fail again.
    let keys = keys::host(&HOST.parse().unwrap());
    let record = json!({ "version": 1, "observer": "ha1", "epoch": 0, "sequence": 5, "fails": 3,
        "threshold": 3, "planes": {}, "interval_ms": 1000, "indices": [], "at": "2026-11-22T12:00:00Z",
        "life": { "boot_id": "b", "boottime_ms": 1, "seen_healthy": true }, "why": "timeout" });
    let key = keys.observer(&"ha1".parse().unwrap());
    world.site.put(&key, record.to_string()).await;
    world.rejoin(&[]).await.refused("ha1 still see it fail").next("repair it first");
    world.site.write(&[Op::Delete(key)]).await;
    // The client's tree is as it was, and so is Nova.
    assert_eq!((world.site.tree().await, world.is().await), before);

    // Nova does not know it, or something is under way.
    world.cloud.sim("hosts", json!({"host": HOST, "removed": true})).await;
    let said = world.rejoin(&[]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.out.contains("Nova knows no nova-compute"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_stays_unclear_is_paced_and_ends_with_an_error() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    let lost =
        json!({"method": "PUT", "path": "/os-services/", "action": "drop", "effect": false, "count": 40});
    world.cloud.fault(lost).await;
    let said = world.rejoin(&["--wait", "6s"]).await.next("what was done stays done");
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert_eq!(world.is().await, (true, true, Some("True".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stays_in_maintenance_is_said_to() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    world.site.run(&["maintenance", "on", HOST, "--by", "ann"]).await.ok();
    let said = world.rejoin(&["--wait", "30s"]).await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.out.contains("still in maintenance") && said.out.contains("next: nova-ha maintenance off"));
    assert_eq!(world.is().await, (false, false, Some("False".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_storage_an_ha_node_has_is_not_given_back() {
    let world = World::recovered(&ours()).await;
    world.start("b");
    let key = keys::incident(&format!("{HOST}@0").parse().unwrap()).incident();
    let entry = world.site.agent.client().get(&key).await.unwrap().unwrap();
    let mut record: IncidentRecord = parse(&entry.key, &entry.value).unwrap();
    record.status.phase = Phase::StorageTaken;
    world.site.write(&[Op::Set(key, bytes(&record))]).await;
    let ha1 = keys::ha_node(&"ha1".parse().unwrap());
    world.site.put(&ha1.storage(), "exec").await;
    let reset = ["reset", HOST, "--by", "ann", "--yes", HOST];
    world.rejoin(&[]).await.refused("ha1 took its storage").next("--release-storage --yes node1");
    world.run(&reset).await.refused("ha1 took its storage").next("--release-storage --yes node1");
    world.run(&[&reset[..], &["--maintenance"]].concat()).await.refused("ha1 took its storage");
    assert_eq!(world.site.value(&ha1.in_use()).await.as_deref(), Some("True"));
    world.run(&[&reset[..], &["--storage-is-released"]].concat()).await.ok();
    assert_eq!(world.site.value(&ha1.in_use()).await.as_deref(), Some("False"));
    let note = keys::incident(&format!("{HOST}@0").parse().unwrap()).reset();
    let note = world.site.value(&note).await.unwrap();
    assert!(note.contains(r#""storage_said_released":["ha1"]"#), "{note}");
}
