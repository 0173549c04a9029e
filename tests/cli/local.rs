//! `nova-ha local`: what the root of an HA node lets the tree have run and read there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::site::Site;

/// A tree with one host and two HA nodes, and what the first of them has of its own.
struct World {
    site: Site,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let world = Self { site: Site::start().await, folder: tempfile::tempdir().unwrap() };
        world.site.run(&["init"]).await.ok();
        for node in ["ha1", "ha2"] {
            world.site.run(&["ha-node", "add", node]).await.ok();
        }
        world.site.run(&["host", "add", "compute1"]).await.ok();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn toml(&self) -> PathBuf {
        self.path("local.toml")
    }

    /// A file that only its owner may read or write.
    fn secret(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, "pw\n").unwrap();
        set(&path, 0o600);
        path
    }

    async fn on_ha1(&self, args: &[&str]) -> crate::site::Said {
        let toml = self.toml();
        let env = [("NOVA_HA_NODE", "ha1"), ("NOVA_HA_LOCAL_FILE", toml.to_str().unwrap())];
        self.site.run_on(&env, args).await
    }

    /// What a site of an older build has in its tree: nobody asked anybody's root.
    async fn as_it_was(&self) {
        let secret = self.secret("virsh");
        let fence = format!(
            r#"{{"version":1,"levels":[{{"driver":"agent","agent":"fence_virsh","identity_confirmed_by":"ann",
                "options":{{"ip":"10.0.0.1","plug":"compute1","missing_as_off":"1"}},
                "secret_options":{{"password":"file:{}"}}}}]}}"#,
            secret.display()
        );
        self.site.put("ha_cluster/compute_nodes/compute1/config/fence", fence).await;
        self.site.put("ha_cluster/ha_nodes/ha1/config/storage_exec", "/opt/take --pool a").await;
        self.site.put("ha_cluster/ha_nodes/ha2/config/storage_exec", "/opt/take --pool b").await;
        self.site.put("ha_cluster/ha_nodes/ha2/config/ssh/password", "env:PROBE_PW").await;
    }
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_tree_names_is_shown_and_then_allowed_as_narrowly_as_it_is_named() {
    let world = World::start().await;
    world.as_it_was().await;
    let secret = world.path("virsh");
    let named = [
        "storage program \"/opt/take --pool a\"",
        "option missing_as_off of fence_virsh",
        &format!("secret file:{}", secret.display()),
        "secret env:PROBE_PW",
    ];
    let shown = world.on_ha1(&["local", "show", "--json"]).await.waits().json();
    let seen: Vec<&str> =
        shown["not_allowed"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(seen, named, "another HA node's program is its own");
    assert_eq!(shown["says"], "nothing");
    // Nobody is asked without a terminal, and nothing is written.
    world.on_ha1(&["local", "adopt"]).await.refused("name typed").next("nova-ha local adopt --yes ha1");
    assert!(!world.toml().exists());
    let adopted = world.on_ha1(&["local", "adopt", "--yes", "ha1"]).await.ok();
    let words = adopted.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for named in named {
        assert!(words.contains(named), "{named}: {}", adopted.out);
    }
    assert!(words.contains("ha_cluster/compute_nodes/compute1/config/fence"), "{}", adopted.out);
    let text = std::fs::read_to_string(world.toml()).unwrap();
    for line in [
        "    \"/opt/take --pool a\",\n",
        "[agents.fence_virsh]\noptions = [\n    \"missing_as_off\",\n]",
        &format!("secret_files = [\n    \"{}\",\n]", secret.display()),
        "secret_variables = [\n    \"PROBE_PW\",\n]",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let mode = std::fs::metadata(world.toml()).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o644, "no secret, and nobody but root writes it");
    world.on_ha1(&["local", "show"]).await.ok();
    let again = world.on_ha1(&["local", "adopt"]).await.ok();
    assert!(again.out.contains("already so, nothing was written"), "{}", again.out);
    // What is named later is refused until root says so too.
    world.site.put("ha_cluster/ha_nodes/ha1/config/storage_exec", "/usr/bin/bash -c id").await;
    let shown = world.on_ha1(&["local", "show"]).await.waits();
    assert!(
        shown.out.contains("it is refused here:\n  storage program \"/usr/bin/bash -c id\""),
        "{}",
        shown.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ha_node_goes_on_with_is_said_although_its_token_may_not_say_it() {
    let world = World::start().await;
    world.as_it_was().await;
    // As from any machine: that HA node's recover has an ACL policy of an older build, and published nothing.
    let status = world.site.run(&["status"]).await.waits();
    let said = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "first sight: HA node ha1 has not said what its root allows",
        "missing_as_off",
        "/opt/take --pool a",
        "first sight: HA node ha2 has not said",
        "on ha2, as root: nova-ha local adopt",
        "nova-ha generate acl",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // There it is known, and settled once root has typed it.
    world.on_ha1(&["local", "adopt", "--yes", "ha1"]).await.ok();
    let there = world.on_ha1(&["status"]).await.waits().out;
    assert!(!there.contains("HA node ha1 has not said what"), "{there}");
    // Where it publishes, its own word takes the place of this.
    let words = nova_ha::tree::formats::published::Words::default();
    let ha2 = "ha2".parse().unwrap();
    let consul = world.site.agent.client();
    assert!(nova_ha::tree::formats::published::publish(&consul, &ha2, "boot-1", words).await.unwrap());
    let status = world.site.run(&["status"]).await.waits().out;
    assert!(!status.contains("HA node ha2 has not said what"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_adopted_that_a_recovery_could_not_read_afterwards() {
    let world = World::start().await;
    world.as_it_was().await;
    set(&world.path("virsh"), 0o666);
    let fix = format!("chmod go-w {}", world.path("virsh").display());
    world.on_ha1(&["local", "adopt", "--yes", "ha1"]).await.refused(&fix);
    assert!(!world.toml().exists());
    std::fs::remove_file(world.path("virsh")).unwrap();
    std::os::unix::fs::symlink(world.secret("elsewhere"), world.path("virsh")).unwrap();
    world.on_ha1(&["local", "adopt", "--yes", "ha1"]).await.refused("is a link");
    std::fs::remove_file(world.path("virsh")).unwrap();
    world.secret("virsh");
    set(world.folder.path(), 0o777);
    world.on_ha1(&["local", "adopt", "--yes", "ha1"]).await.refused("chmod go-w");
    assert!(!world.toml().exists());
    set(world.folder.path(), 0o700);
    // A file that is broken is nobody's permission, and is never written over.
    std::fs::write(world.toml(), "storage_programs = \"x\"\n").unwrap();
    world.on_ha1(&["local", "adopt", "--yes", "ha1"]).await.refused("cannot be used: line 1");
    let shown = world.on_ha1(&["local", "show"]).await.waits();
    assert!(shown.out.contains("cannot be used: line 1"), "{}", shown.out);
    assert_eq!(std::fs::read_to_string(world.toml()).unwrap(), "storage_programs = \"x\"\n");
    world.on_ha1(&["local", "show", "--ha-node", "ha3"]).await.refused("HA node ha3 is not in the tree");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_anew_is_refused_on_an_ha_node_whose_root_does_not_allow_it_and_said_of_the_others() {
    let world = World::start().await;
    let before = world.site.tree().await;
    let fence = world.path("fence.json");
    let level = r#"{"version":1,"levels":[{"driver":"agent","agent":"fence_custom","options":{"ip":"a"}}]}"#;
    std::fs::write(&fence, level).unwrap();
    let fence = fence.to_str().unwrap();
    let set_fence = ["host", "add", "compute1", "--replace", "--fence-file", fence];
    let set_exec = ["ha-node", "add", "ha1", "--replace", "--storage-exec", "/opt/take"];
    std::fs::write(world.toml(), "").unwrap();
    world
        .on_ha1(&set_fence)
        .await
        .refused("does not allow the agent fence_custom")
        .next("nova-ha local adopt");
    world.on_ha1(&set_exec).await.refused("does not allow the storage program \"/opt/take\"");
    assert_eq!(world.site.tree().await, before);
    // Another HA node's program is that one's matter.
    let other = ["ha-node", "add", "ha2", "--replace", "--storage-exec", "/opt/take"];
    let said = world.on_ha1(&other).await.ok();
    assert!(said.out.contains("\n  on ha2, as root: nova-ha local adopt   (storage program"), "{}", said.out);
    std::fs::write(world.toml(), "[agents.fence_custom]\noptions = [\"ip\"]\n").unwrap();
    let said = world.on_ha1(&set_fence).await.ok();
    assert!(!said.out.contains("on ha1") && said.out.contains("on ha2, as root"), "{}", said.out);
    // From a machine that is no HA node nothing can be looked at; what every switch needs is not spoken of.
    let ordinary = level.replace("fence_custom", "fence_apc");
    std::fs::write(fence, ordinary).unwrap();
    let said = world.site.run(&set_fence).await.ok();
    assert!(!said.out.contains("local adopt"), "{}", said.out);
    // For everybody, at once, and whatever any root says.
    std::fs::write(fence, level.replace("\"ip\":\"a\"", "\"password_script\":\"/tmp/x\"")).unwrap();
    world.site.run(&set_fence).await.refused("password_script may not be set");
}
