//! Fencing by Redfish: on a real `sushy-emulator` with TLS, and on an HTTP double for what no
//! emulator at hand does (lies, floods, redirects).

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::real::{Held, Running, levels, only, program, settings, wait_for};
use nova_ha::clock::SystemClock;
use nova_ha::fence::off::{Settings, Why};
use nova_ha::fence::redfish::{Redfish, RedfishAccess, Verify};
use nova_ha::fence::{
    Changed, FenceError, Identity, NotOff, PowerState, PowerSwitch, Privilege, power_off, prove_off,
};
use serde_json::{Value, json};
use wiremock::matchers::{body_json, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
const OTHER: &str = "11111111-2222-3333-4444-555555555555";

/// A real Redfish service with two systems, both on.
struct Sushy {
    folder: tempfile::TempDir,
    port: u16,
    _emulator: Running,
}

fn emulator() -> PathBuf {
    let cache = std::env::var_os("NOVA_HA_LAB_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        base.unwrap_or_else(|| home.join(".cache")).join("nova-ha-lab")
    });
    let path = cache.join("venv/bin/sushy-emulator");
    assert!(
        path.is_file(),
        "{} (sushy-tools) is not installed: `integration/lab test quick` installs what these tests need",
        path.display()
    );
    path
}

impl Sushy {
    fn start() -> Self {
        let (emulator, openssl) = (emulator(), program("openssl"));
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let made = Command::new(openssl)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=bmc", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &format!("{at}/key.pem"), "-out", &format!("{at}/cert.pem")])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "openssl made no certificate");
        // bcrypt of Redfish-pw1; the emulator takes nothing else.
        let account = "admin:$2a$04$nDVCqxhz0JCnWS7SauReqO3L56rOY9.617MPXDfBclh2DeBQj8BzO\n";
        std::fs::write(folder.path().join("htpasswd"), account).unwrap();
        let system = |uuid: &str| {
            format!(
                "{{'uuid': '{uuid}', 'name': '{uuid}', 'power_state': 'On', 'external_notifier': False, 'nics': []}}"
            )
        };
        let config = format!(
            "SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\nSUSHY_EMULATOR_AUTH_FILE = '{at}/htpasswd'\n\
             SUSHY_EMULATOR_SSL_CERT = '{at}/cert.pem'\nSUSHY_EMULATOR_SSL_KEY = '{at}/key.pem'\n\
             SUSHY_EMULATOR_STATE_DIR = '{at}'\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{}, {}]\n",
            system(UUID),
            system(OTHER)
        );
        std::fs::write(folder.path().join("conf"), config).unwrap();
        let emulator = Command::new(emulator)
            .args(["--fake", "--config", &format!("{at}/conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sushy = Self { folder, port, _emulator: Running(emulator) };
        wait_for("sushy-emulator to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        sushy
    }

    fn config(&self, password: &str, more: &str) -> String {
        format!(
            r#"{{"version":1,"levels":[{{"driver":"redfish","url":"https://127.0.0.1:{}","user":"admin","password":"{password}"{more}}}]}}"#,
            self.port
        )
    }
}

#[tokio::test]
async fn sushy_emulator_powers_a_host_off() {
    let sushy = Sushy::start();
    let ca = format!(r#","ca":"{}/cert.pem""#, sushy.folder.path().display());
    let one = format!(r#"{ca},"system":"{UUID}""#);

    // The certificate is judged by the CA file alone; without it, nobody signed it.
    let unsigned = levels(&sushy.config("Redfish-pw1", &format!(r#","system":"{UUID}""#)));
    let refused = unsigned.levels()[0].devices()[0].switch().read().await.unwrap_err();
    assert!(matches!(refused, FenceError::Untrusted { .. }), "{refused}");
    let unjudged = levels(&sushy.config("Redfish-pw1", &format!(r#","verify":false,"system":"{UUID}""#)));
    assert_eq!(unjudged.levels()[0].devices()[0].switch().read().await.unwrap(), PowerState::On);

    // Of two systems none is chosen.
    let two = levels(&sushy.config("Redfish-pw1", &ca));
    let ambiguous = two.levels()[0].devices()[0].switch().read().await.unwrap_err();
    assert!(ambiguous.to_string().contains("2 systems"), "{ambiguous}");

    let wrong = levels(&sushy.config("Wr0ng-pw", &one));
    let denied = wrong.levels()[0].devices()[0].switch().read().await.unwrap_err();
    assert!(
        matches!(denied, FenceError::Denied { .. }) && !format!("{denied:?}").contains("Wr0ng"),
        "{denied}"
    );

    let right = levels(&sushy.config("Redfish-pw1", &one));
    let switch = right.levels()[0].devices()[0].switch();
    let stated = Identity { uuid: Some(UUID.into()), ..Identity::default() };
    assert_eq!(switch.identity().await.unwrap(), Some(stated));
    assert!(matches!(switch.can_switch_off().await.unwrap(), Privilege::CannotTell(_)));
    // The emulator takes up to 11 s to go off, as real machines do.
    let patient = Settings {
        level_deadline: Duration::from_secs(30),
        again_after: Duration::from_secs(20),
        ..settings()
    };
    let (_, changed) = power_off(&right, &SystemClock, &patient, &Held).await.unwrap();
    assert_eq!(changed, Changed::Yes);
    let (_, again) = power_off(&right, &SystemClock, &patient, &Held).await.unwrap();
    assert_eq!(again, Changed::AlreadySo);
    let other = levels(&sushy.config("Redfish-pw1", &format!(r#"{ca},"system":"{OTHER}""#)));
    assert_eq!(
        other.levels()[0].devices()[0].switch().read().await.unwrap(),
        PowerState::On,
        "the other system is untouched"
    );
}

/// The agent of ClusterLabs on the same service: its words for *on*, *off* and *no login* are the real ones.
#[tokio::test]
async fn fence_redfish_powers_a_host_off() {
    program("fence_redfish");
    let sushy = Sushy::start();
    let level = |password: &str, uuid: &str| {
        levels(&format!(
            r#"{{"version":1,"levels":[{{"driver":"agent","agent":"fence_redfish","options":{{"ip":"127.0.0.1","ipport":"{}","username":"admin","systems_uri":"/redfish/v1/Systems/{uuid}","ssl_insecure":"1"}},"secret_options":{{"password":"{password}"}},"identity_confirmed_by":"maria"}}]}}"#,
            sushy.port
        ))
    };
    for unusable in [level("Wr0ng-pw", UUID), level("Redfish-pw1", "no-such-system")] {
        let read = unusable.levels()[0].devices()[0].switch().read().await.unwrap();
        assert!(matches!(&read, PowerState::Unknown(said) if !said.contains("pw")), "{read:?}");
    }
    let right = level("Redfish-pw1", UUID);
    assert_eq!(right.levels()[0].devices()[0].switch().read().await.unwrap(), PowerState::On);
    let patient = Settings {
        level_deadline: Duration::from_secs(90),
        attempt: Duration::from_secs(30),
        again_after: Duration::from_secs(20),
        ..settings()
    };
    let (said, changed) = power_off(&right, &SystemClock, &patient, &Held).await.unwrap();
    assert_eq!((changed, said.by().as_str()), (Changed::Yes, "agent fence_redfish at 127.0.0.1"));
    assert!(said.by_itself().is_err(), "nobody looked at the certificate");
    let other = level("Redfish-pw1", OTHER);
    let read = other.levels()[0].devices()[0].switch().read().await.unwrap();
    assert_eq!(read, PowerState::On, "the other system is untouched");
}

const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";

fn system(power: &str) -> Value {
    json!({
        "PowerState": power, "UUID": UUID, "SerialNumber": "S1",
        "Actions": {"#ComputerSystem.Reset": {"target": RESET, "ResetType@Redfish.AllowableValues": ["On", "ForceOff"]}}
    })
}

async fn double(system: ResponseTemplate, reset: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let members = json!({"Members": [{"@odata.id": SYSTEM}]});
    let answers = ResponseTemplate::new(200).set_body_json(members);
    Mock::given(method("GET")).and(path("/redfish/v1/Systems")).respond_with(answers).mount(&server).await;
    Mock::given(method("GET")).and(path(SYSTEM)).respond_with(system).mount(&server).await;
    let force_off = body_json(json!({"ResetType": "ForceOff"}));
    Mock::given(method("POST")).and(path(RESET)).and(force_off).respond_with(reset).mount(&server).await;
    server
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn bmc(server: &MockServer) -> Redfish {
    Redfish::new(RedfishAccess {
        url: server.uri().parse().unwrap(),
        user: "admin".into(),
        password: "s3cret".to_owned().into(),
        system: None,
        verify: Verify::System,
        limit: Duration::from_secs(10),
    })
    .unwrap()
}

async fn posts(server: &MockServer) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|request| request.method.as_str() == "POST").count()
}

#[tokio::test]
async fn only_the_exact_word_off_is_off() {
    for power in ["PoweringOff", "PoweringOn", "Paused", "off", "OFF", "Off ", ""] {
        let server = double(ok(system(power)), ResponseTemplate::new(204)).await;
        let read = bmc(&server).read().await.unwrap();
        assert!(matches!(read, PowerState::Unknown(_)), "{power:?}: {read:?}");
    }
    let silent = double(ok(json!({"UUID": UUID})), ResponseTemplate::new(204)).await;
    assert!(matches!(bmc(&silent).read().await.unwrap(), PowerState::Unknown(_)));
}

#[tokio::test]
async fn a_service_that_says_ok_and_leaves_the_host_on_proves_nothing() {
    let server = double(ok(system("On")), ResponseTemplate::new(204)).await;
    let short = Settings { level_deadline: Duration::from_secs(1), ..settings() };
    let error = power_off(&only(bmc(&server)), &SystemClock, &short, &Held).await.unwrap_err();
    assert!(
        matches!(&error, NotOff::NotProved { levels, .. } if matches!(levels[0].why, Why::StillOn)),
        "{error}"
    );
    assert!(posts(&server).await >= 1);
}

#[tokio::test]
async fn a_refusal_because_it_is_off_already_is_a_hint_only() {
    // On at the first look, off by itself when the command comes: iDRAC answers 409, iLO 400.
    for status in [400, 409, 500] {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/redfish/v1/Systems"))
            .respond_with(ok(json!({"Members": [{"@odata.id": SYSTEM}]})))
            .mount(&server)
            .await;
        let posted = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = posted.clone();
        Mock::given(method("GET"))
            .and(path(SYSTEM))
            .respond_with(move |_: &Request| {
                let off = seen.load(std::sync::atomic::Ordering::SeqCst);
                ok(system(if off { "Off" } else { "On" }))
            })
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .respond_with(move |_: &Request| {
                posted.store(true, std::sync::atomic::Ordering::SeqCst);
                ResponseTemplate::new(status).set_body_json(json!({"error": {"message": "already off"}}))
            })
            .mount(&server)
            .await;
        let (_, changed) = power_off(&only(bmc(&server)), &SystemClock, &settings(), &Held).await.unwrap();
        assert_eq!((changed, posts(&server).await), (Changed::Yes, 1), "{status}");
    }
}

#[tokio::test]
async fn a_host_that_is_off_gets_no_command() {
    let server = double(ok(system("Off")), ResponseTemplate::new(204)).await;
    let (_, changed) = power_off(&only(bmc(&server)), &SystemClock, &settings(), &Held).await.unwrap();
    assert_eq!((changed, posts(&server).await), (Changed::AlreadySo, 0));
    assert!(prove_off(&only(bmc(&server)), &SystemClock, &settings()).await.is_ok());
}

#[tokio::test]
async fn a_target_at_another_server_is_refused() {
    let thief = MockServer::start().await;
    for target in
        [format!("{}{RESET}", thief.uri()), "/elsewhere".to_owned(), "//evil/redfish/v1/x".to_owned()]
    {
        let mut answer = system("On");
        answer["Actions"]["#ComputerSystem.Reset"]["target"] = json!(target);
        let server = double(ok(answer), ResponseTemplate::new(204)).await;
        let error = bmc(&server).switch_off().await.unwrap_err();
        assert!(matches!(error, FenceError::Malformed { .. }), "{error}");
    }
    let away = ResponseTemplate::new(307).insert_header("Location", thief.uri().as_str());
    let server = double(away, ResponseTemplate::new(204)).await;
    let error = bmc(&server).read().await.unwrap_err();
    assert!(matches!(&error, FenceError::Elsewhere { to, .. } if *to == thief.uri()), "{error}");
    assert!(thief.received_requests().await.unwrap().is_empty(), "the password went to another server");
}

#[tokio::test]
async fn a_reset_target_that_is_not_the_systems_own_is_refused() {
    for target in [
        "/redfish/v1/Systems/2/Actions/ComputerSystem.Reset",
        "/redfish/v1/Systems/10/Actions/ComputerSystem.Reset",
        "/redfish/v1/Systems/1/../2/Actions/ComputerSystem.Reset",
        "/redfish/v1/Systems/1/%2e%2e/2/Actions/ComputerSystem.Reset",
        "/redfish/v1/Chassis/1/Actions/Chassis.Reset",
        "/redfish/v1/Systems/1",
        "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset?system=2",
        "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset#2",
    ] {
        let mut answer = system("On");
        answer["Actions"]["#ComputerSystem.Reset"]["target"] = json!(target);
        let server = double(ok(answer), ResponseTemplate::new(204)).await;
        let error = bmc(&server).switch_off().await.unwrap_err();
        assert!(matches!(error, FenceError::Malformed { .. }), "{target}: {error}");
        assert_eq!(posts(&server).await, 0, "{target}");
    }
}

#[tokio::test]
async fn an_account_or_system_that_cannot_force_off_is_known_before() {
    let mut answer = system("On");
    answer["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] =
        json!(["On", "GracefulShutdown"]);
    let server = double(ok(answer), ResponseTemplate::new(204)).await;
    assert!(matches!(bmc(&server).can_switch_off().await.unwrap(), Privilege::Denied(_)));
    assert!(matches!(bmc(&server).switch_off().await, Err(FenceError::Denied { .. })));
    assert_eq!(posts(&server).await, 0, "a graceful shutdown is never sent instead");
}

#[tokio::test]
async fn a_flood_ends_and_is_no_answer() {
    let flood = ResponseTemplate::new(200).set_body_bytes(vec![b' '; 8 * 1024 * 1024]);
    let server = double(flood, ResponseTemplate::new(204)).await;
    assert!(matches!(bmc(&server).read().await, Err(FenceError::Malformed { .. })));
    let nonsense =
        double(ResponseTemplate::new(200).set_body_string("<html>"), ResponseTemplate::new(204)).await;
    assert!(matches!(bmc(&nonsense).read().await, Err(FenceError::Malformed { .. })));
}

#[tokio::test]
async fn a_service_that_hangs_is_given_up_on_at_the_levels_deadline() {
    let slow = ok(system("Off")).set_delay(Duration::from_secs(60));
    let server = double(slow, ResponseTemplate::new(204)).await;
    let short = Settings { level_deadline: Duration::from_secs(1), ..settings() };
    let started = Instant::now();
    let error = prove_off(&only(bmc(&server)), &SystemClock, &short).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(
        matches!(&error, NotOff::NotProved { levels, .. } if matches!(levels[0].why, Why::NoAnswer { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn whose_it_is_comes_with_the_power_and_from_the_same_answer() {
    let stated = |serial: &str, also: &[&str]| Identity {
        uuid: Some(UUID.into()),
        serial: Some(serial.into()),
        also: also.iter().map(|text| (*text).to_owned()).collect(),
    };
    for (more, expected) in [
        (json!({}), stated("S1", &[])),
        // Dell: the service tag is the SKU. Others write the model there.
        (json!({"SKU": "ABC1D23"}), stated("S1", &["ABC1D23"])),
        (json!({"SKU": "ABC1D23", "Manufacturer": "Dell Inc."}), stated("S1", &["ABC1D23"])),
        (json!({"SKU": "867959-B21", "Manufacturer": "HPE"}), stated("S1", &[])),
        (json!({"SKU": null, "SerialNumber": 12345}), stated("12345", &[])),
    ] {
        let mut answer = system("Off");
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let server = double(ok(answer), ResponseTemplate::new(204)).await;
        let seen = bmc(&server).look().await.unwrap();
        assert_eq!((seen.power, seen.identity), (PowerState::Off, Some(expected)), "{more}");
    }
}

#[tokio::test]
async fn the_number_of_its_chassis_is_asked_for_where_the_rest_does_not_tell() {
    let mut answer = system("Off");
    answer["SerialNumber"] = json!(null);
    answer["UUID"] = json!(null);
    answer["Links"] = json!({"Chassis": [{"@odata.id": "/redfish/v1/Chassis/1"}]});
    let server = double(ok(answer), ResponseTemplate::new(204)).await;
    let chassis = json!({"SerialNumber": "CH-7", "Manufacturer": "Supermicro", "SKU": "SYS-1"});
    Mock::given(method("GET"))
        .and(path("/redfish/v1/Chassis/1"))
        .respond_with(ok(chassis))
        .mount(&server)
        .await;
    let bmc = bmc(&server);
    assert_eq!(bmc.look().await.unwrap().identity, None);
    let full = bmc.identity_in_full().await.unwrap().unwrap();
    assert_eq!(full, Identity { also: vec!["CH-7".into()], ..Identity::default() });
    assert_eq!(bmc.shows().await.unwrap().to_string(), "serial CH-7");
}

#[tokio::test]
async fn a_system_that_states_that_it_is_another_one_now_is_told_nothing() {
    let server = MockServer::start().await;
    let members = ok(json!({"Members": [{"@odata.id": SYSTEM}]}));
    Mock::given(method("GET")).and(path("/redfish/v1/Systems")).respond_with(members).mount(&server).await;
    let reads = std::sync::atomic::AtomicUsize::new(0);
    Mock::given(method("GET"))
        .and(path(SYSTEM))
        .respond_with(move |_: &Request| {
            let mut answer = system("On");
            if reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
                answer["UUID"] = json!(OTHER);
            }
            ok(answer)
        })
        .mount(&server)
        .await;
    // As before a claim.
    let bmc = bmc(&server);
    assert_eq!(bmc.look().await.unwrap().power, PowerState::On);
    let levels = only(bmc);
    let short = Settings { level_deadline: Duration::from_secs(1), ..settings() };
    let error = power_off(&levels, &SystemClock, &short, &Held).await.unwrap_err();
    assert!(
        error.to_string().contains(OTHER) && error.to_string().contains("was not told to switch off"),
        "{error}"
    );
    assert_eq!(posts(&server).await, 0);
}
