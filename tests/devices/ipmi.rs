//! Fencing by IPMI, on a real `ipmi_sim` and the real `ipmitool`.

use std::time::{Duration, Instant};

use crate::real::{Bmc, Chassis, GUID, Gone, Held, dead_port, inventory, levels, settings};
use nova_ha::clock::SystemClock;
use nova_ha::fence::off::Why;
use nova_ha::fence::{
    Changed, FenceError, FenceLevels, Identity, Next, NoSession, NotOff, PowerState, PowerSwitch, Privilege,
    Verdict, power_off, prove_off,
};
use nova_ha::identity::compare;

fn switch(levels: &FenceLevels) -> &dyn PowerSwitch {
    levels.levels()[0].devices()[0].switch()
}

fn why(error: &NotOff, level: usize) -> &Why {
    match error {
        NotOff::NotProved { levels, .. } => &levels[level].why,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_running_host_is_switched_off_once_and_proved_off() {
    let bmc = Bmc::start(Chassis::Obeys, "1");
    let levels = levels(&bmc.config("test", "Test123.", ""));
    let on = prove_off(&levels, &SystemClock, &settings()).await.unwrap_err();
    assert!(matches!(why(&on, 0), Why::StillOn), "{on}");
    assert_eq!(bmc.commands(), 0, "proving changes nothing");

    let (proof, changed) = power_off(&levels, &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!((changed, bmc.commands(), bmc.is_on()), (Changed::Yes, 1, false));
    let proof = proof.by_itself().unwrap();
    assert!(proof.is_of(&crate::real::host()) && proof.by().contains("127.0.0.1"), "{proof:?}");

    let (_, again) = power_off(&levels, &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!((again, bmc.commands()), (Changed::AlreadySo, 1), "a host that is off gets no command");
    assert!(prove_off(&levels, &SystemClock, &settings()).await.is_ok());
}

#[tokio::test]
async fn a_bmc_that_says_ok_and_leaves_the_host_on_proves_nothing() {
    let bmc = Bmc::start(Chassis::Lies, "1");
    let levels = levels(&bmc.config("test", "Test123.", r#","deadline_seconds":2"#));
    let error = power_off(&levels, &SystemClock, &settings(), &Held).await.unwrap_err();
    assert!(matches!(why(&error, 0), Why::StillOn), "{error}");
    assert!(error.effect_may_have_happened() && error.to_string().contains("still on after"), "{error}");
    assert!(bmc.commands() >= 2, "a lost command is repeated");
}

#[tokio::test]
async fn a_host_that_goes_off_late_is_proved_off_then() {
    let bmc = Bmc::start(Chassis::Late, "1");
    let levels = levels(&bmc.config("test", "Test123.", ""));
    let (_, changed) = power_off(&levels, &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!((changed, bmc.commands(), bmc.is_on()), (Changed::Yes, 3, false));
}

#[tokio::test]
async fn without_the_lease_nothing_is_sent() {
    let bmc = Bmc::start(Chassis::Obeys, "1");
    let levels = levels(&bmc.config("test", "Test123.", ""));
    let error = power_off(&levels, &SystemClock, &settings(), &Gone).await.unwrap_err();
    assert!(
        matches!(error, NotOff::Lease { commands: 0, .. }) && !error.effect_may_have_happened(),
        "{error}"
    );
    assert_eq!((bmc.commands(), bmc.is_on()), (0, true));
}

#[tokio::test]
async fn a_dead_bmc_is_given_up_on_at_the_deadline() {
    let config = format!(
        r#"{{"version":1,"levels":[{{"driver":"ipmi","address":"127.0.0.1","port":{},"user":"test","password":"Test123.","cipher":3,"deadline_seconds":2}}]}}"#,
        dead_port()
    );
    let started = Instant::now();
    let error = power_off(&levels(&config), &SystemClock, &settings(), &Held).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(matches!(why(&error, 0), Why::NoAnswer { .. }), "{error}");
    assert!(!error.effect_may_have_happened(), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_no_session_and_the_error_says_what_it_may_be() {
    let bmc = Bmc::start(Chassis::Obeys, "0");
    let levels = levels(&bmc.config("test", "Wr0ng-pw", ""));
    let error = switch(&levels).read().await.unwrap_err();
    assert!(matches!(error, FenceError::NoSession { cause: NoSession::Unsaid, .. }), "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("it answers") && text.contains("password") && !text.contains("Wr0ng-pw"), "{text}");
    assert!(matches!(error.next("CHANGE", None), Next::Look(_)), "which of them it is nobody said");
}

#[tokio::test]
async fn a_bmc_that_wants_another_cipher_suite_is_told_from_one_that_is_not_there() {
    let bmc = Bmc::start(Chassis::Obeys, "0");
    let other = bmc.config("test", "Test123.", "").replace("\"cipher\":3", "\"cipher\":17");
    let error = switch(&levels(&other)).read().await.unwrap_err();
    assert!(matches!(error, FenceError::NoSession { cause: NoSession::Cipher(17), .. }), "{error}");
    assert!(error.to_string().contains("it refuses cipher suite 17"), "{error}");
    assert_eq!(error.next("CHANGE", None), Next::Setting("CHANGE --bmc-cipher 3".into()));
    let closed = bmc.config("test", "Test123.", "");
    let by_hand = switch(&levels(&closed)).by_hand().unwrap();
    assert!(by_hand.contains("-C 3") && !by_hand.contains("Test123."), "{by_hand}");
    drop(bmc);
    let error = switch(&levels(&closed)).read().await.unwrap_err();
    assert!(matches!(error, FenceError::NoSession { cause: NoSession::Closed, .. }), "{error}");
}

#[tokio::test]
async fn a_session_that_may_only_read_is_known_before_it_is_needed() {
    let bmc = Bmc::start(Chassis::Obeys, "1");
    let admin = levels(&bmc.config("test", "Test123.", ""));
    assert_eq!(switch(&admin).can_switch_off().await.unwrap(), Privilege::Allowed);
    // ipmi_sim gives any account the session it asks for; a BMC that minds gives this account USER.
    let user = levels(&bmc.config("view", "View123.", r#","privilege":"user""#));
    assert_eq!(switch(&user).read().await.unwrap(), PowerState::On);
    assert!(matches!(switch(&user).can_switch_off().await.unwrap(), Privilege::Denied(_)));
    let refused = switch(&user).switch_off().await.unwrap_err();
    assert!(matches!(refused, FenceError::Denied { .. }), "{refused}");
    assert!(bmc.is_on());
}

#[tokio::test]
async fn a_bmc_says_which_machine_it_belongs_to() {
    let bmc = Bmc::start(Chassis::Obeys, "1");
    let levels = levels(&bmc.config("test", "Test123.", ""));
    let found = switch(&levels).identity().await.unwrap().unwrap();
    let published =
        |uuid: &str| Identity { uuid: Some(uuid.into()), serial: Some("S1".into()), also: Vec::new() };
    assert_eq!(compare(&published(GUID), &found), Verdict::Matches);
    // As dmidecode prints it where the firmware stores SMBIOS order.
    assert_eq!(compare(&published("00112233-4455-6677-8899-AABBCCDDEEFF"), &found), Verdict::Matches);
    let other = compare(&published("00112233-4455-6677-8899-aabbccddee00"), &found);
    assert!(matches!(other, Verdict::Differs { .. }), "{other:?}");
}

#[tokio::test]
async fn the_next_level_is_tried_and_a_contradiction_proves_nothing() {
    let (lies, obeys) = (Bmc::start(Chassis::Lies, "1"), Bmc::start(Chassis::Obeys, "1"));
    let short = r#","deadline_seconds":1"#;
    let dead = format!(
        r#"{{"driver":"ipmi","address":"127.0.0.1","port":{},"user":"test","password":"x","cipher":3,"deadline_seconds":1}}"#,
        dead_port()
    );
    let good = obeys.level("test", "Test123.", "");

    let second = levels(&format!(r#"{{"version":1,"levels":[{dead},{good}]}}"#));
    let (proof, _) = power_off(&second, &SystemClock, &settings(), &Held).await.unwrap();
    assert!(proof.by().contains(&obeys.port.to_string()), "{proof:?}");

    // The first says on while the second proves off: one of them is another machine's.
    let liar = lies.level("test", "Test123.", short);
    let both = levels(&format!(r#"{{"version":1,"levels":[{liar},{good}]}}"#));
    let error = power_off(&both, &SystemClock, &settings(), &Held).await.unwrap_err();
    assert!(matches!(why(&error, 0), Why::StillOn), "{error}");
    assert!(matches!(why(&error, 1), Why::Contradicted { .. }), "{error}");
}

#[tokio::test]
async fn a_bmc_without_a_usable_guid_is_known_by_its_inventory() {
    let none = "00000000-0000-0000-0000-000000000000";
    let fru = inventory("CNFCP0088I00AF", "ABC1D23");
    let bmc = Bmc::stating(Chassis::Obeys, "1", none, &fru);
    let levels = levels(&bmc.config("test", "Test123.", ""));
    let found = switch(&levels).identity_in_full().await.unwrap().unwrap();
    let published = |serial: &str| Identity {
        uuid: Some("4c4c4544-0042-4b10-8054-b6c04f333333".into()),
        serial: Some(serial.into()),
        also: Vec::new(),
    };
    assert_eq!(compare(&published("abc1d23"), &found), Verdict::Matches, "{found}");
    // What vendors write there is not the system's for sure: another number says nothing.
    assert!(matches!(compare(&published("XYZ9Z99"), &found), Verdict::CannotTell(_)), "{found}");
    assert_eq!(switch(&levels).shows().await.unwrap().to_string(), "fru ABC1D23");
    // It switches off all the same.
    let (_, changed) = power_off(&levels, &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!((changed, bmc.is_on()), (Changed::Yes, false));
}

#[tokio::test]
async fn a_bmc_that_shows_nothing_of_itself_says_so() {
    let bmc = Bmc::stating(Chassis::Obeys, "1", "00000000-0000-0000-0000-000000000000", "");
    let levels = levels(&bmc.config("test", "Test123.", ""));
    let found = switch(&levels).identity_in_full().await.unwrap().unwrap_or_default();
    assert!(!found.is_usable(), "{found}");
    // ipmi_sim's network port has the address 00:00:00:00:00:00.
    assert_eq!(switch(&levels).shows().await.unwrap().to_string(), "nothing");
}
