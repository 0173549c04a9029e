use super::super::Next;
use super::*;
use crate::program::Captured;

fn said(stdout: &str) -> Finished {
    Finished {
        ended: Ended::Exit(0),
        stdout: Captured { bytes: stdout.into(), cut: false },
        stderr: Captured::default(),
    }
}

#[test]
fn only_one_exact_line_is_off() {
    let read = |stdout: &str| power_state(&said(stdout), &SecretString::from("pw"));
    assert_eq!(read("Chassis Power is off\n"), PowerState::Off);
    assert_eq!(read("Chassis Power is on\n"), PowerState::On);
    for unknown in [
        "",
        "Chassis Power is off\nChassis Power is off\n",
        "Chassis Power is on\nChassis Power is off\n",
        "Chassis Power is Off\n",
        "Chassis Power is offline\n",
        " Chassis Power is off\n",
        "Set Chassis Power Control: Down/Off\n",
    ] {
        assert!(matches!(read(unknown), PowerState::Unknown(_)), "{unknown:?} was understood");
    }
}

#[test]
fn an_answer_that_was_cut_is_unknown() {
    let mut cut = said("Chassis Power is off\n");
    cut.stdout.cut = true;
    assert!(matches!(power_state(&cut, &SecretString::from("pw")), PowerState::Unknown(_)));
}

/// A BMC that answers as the script says: no simulator at hand refuses a session for its privilege.
fn bmc(folder: &tempfile::TempDir, privilege: Option<SessionPrivilege>, script: &str) -> Ipmi {
    let tool = folder.path().join("ipmitool");
    let tried = folder.path().join("tried");
    crate::program::write_script(&tool, &format!("echo \"$*\" >>{}; {script}", tried.display()));
    let access = IpmiAccess {
        address: "127.0.0.1".into(),
        port: DEFAULT_PORT,
        user: "view".into(),
        password: SecretString::from("pw"),
        cipher: DEFAULT_CIPHER,
        privilege,
    };
    Ipmi { tool: Some(tool), ..Ipmi::new(access) }
}

#[tokio::test]
async fn what_the_bmc_refuses_is_said_with_the_option() {
    let user = Some("--bmc-user NAME --bmc-password-file FILE");
    for (words, cause, option) in [
        (
            "open session response message : invalid authentication algorithm",
            NoSession::Cipher(17),
            Some("--bmc-cipher 3"),
        ),
        (
            "open session response message : no matching cipher suite",
            NoSession::Cipher(17),
            Some("--bmc-cipher 3"),
        ),
        ("RAKP 2 message : unauthorized name", NoSession::User, user),
        ("RAKP 2 message : unauthorized role or privilege level requested", NoSession::Privilege, user),
        (
            "RAKP 4 message : invalid integrity check value",
            NoSession::Password,
            Some("--bmc-password-file FILE"),
        ),
        ("open session response message : insufficient resources for session", NoSession::Busy, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "printf '%s\\n' 'Error in {words}' 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2; exit 1"
        );
        let bmc = bmc(&folder, None, &script);
        let error = bmc.read().await.unwrap_err();
        let FenceError::NoSession { cause: found, .. } = &error else { panic!("{error}") };
        assert_eq!(*found, cause, "{words}");
        let text = error.to_string();
        assert!(text.contains(&cause.to_string()) && text.ends_with("RMCP+ session"), "{text}");
        let by_hand = bmc.by_hand().unwrap();
        match (option, error.next("CHANGE", Some(&by_hand))) {
            (Some(option), next) => assert_eq!(next, Next::Setting(format!("CHANGE {option}"))),
            (None, Next::Look(look)) => assert!(look.starts_with(&by_hand), "{look}"),
            (None, next) => panic!("{words}: {next:?}"),
        }
    }
}

/// What each session asked for.
fn tried(folder: &tempfile::TempDir) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join("tried")).unwrap();
    let privilege = |line: &str| line.split_once("-L ").unwrap().1.split(' ').next().unwrap().to_owned();
    text.lines().map(privilege).collect()
}

#[tokio::test]
async fn the_password_is_read_from_stdin_and_is_in_no_argument_and_no_variable() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = format!(
        "while [ \"$1\" != -f ]; do shift; done; read -r word <\"$2\"; {{ env; echo \"word=$word\"; }} >{}; echo 'Chassis Power is off'",
        seen.display()
    );
    let mut bmc = bmc(&folder, None, &script);
    bmc.access.password = SecretString::from("s3cret of 1");
    assert_eq!(bmc.read().await.unwrap(), PowerState::Off);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.ends_with("word=s3cret of 1\n") && seen.matches("s3cret").count() == 1, "{seen}");
    assert!(!std::fs::read_to_string(folder.path().join("tried")).unwrap().contains("s3cret"));
}

#[tokio::test]
async fn an_account_that_gets_no_session_above_user_may_not_switch_off() {
    let folder = tempfile::tempdir().unwrap();
    let script = "case \"$*\" in *'-L USER'*) echo ' 02';; *) echo 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2; exit 1;; esac";
    let bmc = bmc(&folder, Some(SessionPrivilege::Administrator), script);
    assert!(matches!(bmc.can_switch_off().await.unwrap(), Privilege::Denied(_)));
    assert!(matches!(bmc.read().await, Err(FenceError::NoSession { .. })));
}

#[tokio::test]
async fn operator_is_enough_and_administrator_is_asked_for_only_where_the_bmc_says_so() {
    let off = "echo 'Chassis Power is off'";
    let fails = |words: &str| {
        format!("case \"$*\" in *'-L ADMINISTRATOR'*) {off};; *) printf '{words}' >&2; exit 1;; esac")
    };
    let no_session = "Error: Unable to establish IPMI v2 / RMCP+ session\\n";
    for (what, script, asked, answers) in [
        ("enough", off.to_owned(), vec!["OPERATOR"; 2], true),
        (
            "told by RAKP",
            fails(&format!(
                "RAKP 2 message indicates an error : unauthorized role or privilege level requested\\n{no_session}"
            )),
            vec!["OPERATOR", "ADMINISTRATOR", "ADMINISTRATOR"],
            true,
        ),
        (
            "told by the command",
            fails("Set Chassis Power Control to Down/Off failed: Insufficient privilege level\\n"),
            vec!["OPERATOR", "ADMINISTRATOR", "ADMINISTRATOR"],
            true,
        ),
        // As a wrong password looks: each try counts towards a lock-out.
        ("told nothing", fails(no_session), vec!["OPERATOR"; 2], false),
        (
            "a wrong password",
            fails(&format!(
                "RAKP 4 message indicates an error : invalid integrity check value\\n{no_session}"
            )),
            vec!["OPERATOR"; 2],
            false,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let bmc = bmc(&folder, None, &script);
        for _ in 0..2 {
            assert_eq!(bmc.read().await.is_ok(), answers, "{what}");
        }
        assert_eq!(tried(&folder), asked, "{what}");
    }
    let folder = tempfile::tempdir().unwrap();
    let told = fails("RAKP 2 message indicates an error : unauthorized role\\n");
    assert!(bmc(&folder, Some(SessionPrivilege::Operator), &told).read().await.is_err());
    assert_eq!(tried(&folder), ["OPERATOR"], "what the tree says is not changed");
}
