//! Fencing by ClusterLabs agents, the real ones: `fence_ipmilan` on a real `ipmi_sim`, `fence_dummy`.

use std::time::Duration;

use crate::real::{Bmc, Chassis, Held, levels, program, settings};
use nova_ha::clock::SystemClock;
use nova_ha::fence::off::Settings;
use nova_ha::fence::{Changed, PowerState, Privilege, power_off};

/// An agent is a Python program that runs ipmitool: seconds each time where the machine is busy.
fn patient() -> Settings {
    Settings { level_deadline: Duration::from_secs(90), attempt: Duration::from_secs(30), ..settings() }
}

#[tokio::test]
async fn fence_ipmilan_powers_a_host_off() {
    program("fence_ipmilan");
    let bmc = Bmc::start(Chassis::Obeys, "1");
    let level = |password: &str| {
        levels(&format!(
            r#"{{"version":1,"levels":[{{"driver":"agent","agent":"fence_ipmilan","options":{{"ip":"127.0.0.1","ipport":"{}","username":"test","lanplus":"1","cipher":"3"}},"secret_options":{{"password":"{password}"}},"identity_confirmed_by":"maria"}}]}}"#,
            bmc.port
        ))
    };
    let wrong = level("Wr0ng-pw");
    let read = wrong.levels()[0].devices()[0].switch().read().await.unwrap();
    assert!(matches!(&read, PowerState::Unknown(said) if !said.contains("Wr0ng-pw")), "{read:?}");

    let right = level("Test123.");
    assert_eq!(right.levels()[0].devices()[0].switch().read().await.unwrap(), PowerState::On);
    let (proof, changed) = power_off(&right, &SystemClock, &patient(), &Held).await.unwrap();
    assert_eq!((changed, bmc.is_on()), (Changed::Yes, false));
    assert_eq!(proof.by(), "agent fence_ipmilan at 127.0.0.1");
}

#[tokio::test]
async fn fence_dummy_is_switched_off_and_believed_only_after_a_status() {
    program("fence_dummy");
    // The agent's own place: the tree may name no file of an HA node.
    let file = std::path::Path::new("/tmp/fence_dummy.status");
    std::fs::write(file, "on").unwrap();
    let levels = levels(
        r#"{"version":1,"levels":[{"driver":"agent","agent":"fence_dummy","options":{"type":"file"}}]}"#,
    );
    let switch = levels.levels()[0].devices()[0].switch();
    assert_eq!(switch.read().await.unwrap(), PowerState::On);
    assert_eq!(switch.identity().await.unwrap(), None);
    assert!(matches!(switch.can_switch_off().await.unwrap(), Privilege::CannotTell(_)));
    let (_, changed) = power_off(&levels, &SystemClock, &patient(), &Held).await.unwrap();
    assert_eq!((changed, std::fs::read_to_string(file).unwrap().trim()), (Changed::Yes, "off"));
    std::fs::remove_file(file).unwrap();
}

/// Options come and go with the agents: the table is what these say of themselves.
#[test]
fn the_table_of_options_is_what_the_agents_of_debian_say_of_themselves() {
    program("fence_ipmilan");
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fence");
    let made = std::process::Command::new("/usr/bin/python3").arg(source.join("agents.py")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (made, kept) = (
        String::from_utf8(made.stdout).unwrap(),
        std::fs::read_to_string(source.join("agents.txt")).unwrap(),
    );
    for (made, kept) in made.lines().zip(kept.lines()) {
        assert_eq!(made, kept, "python3 src/fence/agents.py > src/fence/agents.txt");
    }
    assert_eq!(made, kept);
}
