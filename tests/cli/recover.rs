//! `nova-ha-recover` where it cannot even begin.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::site::Site;

/// A folder that others may write is not used; the others must not take this HA node for one that recovers.
#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_that_may_not_use_its_own_folder_is_named_by_status() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    // The agent's own name: this machine is that HA node.
    site.run(&["ha-node", "add", "node1"]).await.ok();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    let path = run.to_str().unwrap().to_owned();
    let recover = async || {
        let env = [("NOVA_HA_RUN_DIR", path.as_str()), ("NOVA_HA_STATE_DIR", path.as_str())];
        site.program_on("nova-ha-recover", &env, &["--ha-node", "node1"]).await
    };

    fs::set_permissions(&run, Permissions::from_mode(0o757)).unwrap();
    let said = recover().await;
    assert!(said.code == 1 && said.err.contains(&format!("chmod go-w {path}")), "{}{}", said.out, said.err);
    let status = site.run(&["status"]).await.waits().out;
    let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains("HA node node1 recovers nothing: cannot lock out another"), "{status}");
    assert!(status.contains("on node1, as root: mend that, then nova-ha-recover"), "{status}");

    fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
    recover().await.ok();
    let status = site.run(&["status"]).await.out;
    assert!(!status.contains("recovers nothing"), "{status}");
}
