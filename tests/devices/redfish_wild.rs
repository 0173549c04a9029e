//! Redfish as machines really speak it: on an HTTP double that does what real BMCs were reported to do, and on real TLS that is too
//! old.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::real::{Held, Running, only, program, settings, wait_for};
use nova_ha::clock::SystemClock;
use nova_ha::fence::off::Settings;
use nova_ha::fence::redfish::{Certificate, Redfish, RedfishAccess, Verify, look};
use nova_ha::fence::{Changed, FenceError, PowerState, PowerSwitch, power_off, prove_off};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const SYSTEMS: &str = "/redfish/v1/Systems";
const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

fn system(power: &str) -> Value {
    json!({
        "PowerState": power, "UUID": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "SerialNumber": "S1",
        "Actions": {"#ComputerSystem.Reset": {"target": RESET}}
    })
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn members() -> ResponseTemplate {
    ok(json!({"Members": [{"@odata.id": SYSTEM}]}))
}

fn bmc(url: &str) -> Redfish {
    let (user, password) = ("admin".to_owned(), "s3cret".to_owned().into());
    let (system, verify, limit) = (None, Verify::System, Duration::from_secs(10));
    Redfish::new(RedfishAccess { url: url.parse().unwrap(), user, password, system, verify, limit }).unwrap()
}

/// What was asked, in order: method and path.
async fn asked(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

/// A service that answers as the function says.
async fn service(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_slash_at_the_end_is_followed_once_to_read_and_never_to_switch() {
    for status in [301, 302, 307, 308] {
        let server = service(move |request: &Request| {
            let at = request.url.path();
            match (request.method.as_str(), at.ends_with('/')) {
                ("GET", false) => {
                    ResponseTemplate::new(status).insert_header("Location", format!("{at}/").as_str())
                }
                ("GET", true) if at == format!("{SYSTEMS}/") => members(),
                ("GET", true) => ok(system("On")),
                ("POST", false) => {
                    ResponseTemplate::new(status).insert_header("Location", format!("{at}/").as_str())
                }
                _ => ResponseTemplate::new(204),
            }
        })
        .await;
        let bmc = bmc(&server.uri());
        assert_eq!(bmc.read().await.unwrap(), PowerState::On, "{status}");
        // Where it was found is kept: neither the collection nor the redirect is asked for again.
        let before = asked(&server).await.len();
        assert_eq!(bmc.read().await.unwrap(), PowerState::On);
        assert_eq!(asked(&server).await.len(), before + 1, "{status}");
        let error = bmc.switch_off().await.unwrap_err();
        assert!(matches!(&error, FenceError::Elsewhere { to, .. } if to == &format!("{RESET}/")), "{error}");
        let posts = asked(&server).await.into_iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(posts, 1, "what switches is sent once");
    }
}

#[tokio::test]
async fn a_redirect_to_anywhere_else_is_said_and_takes_no_password_along() {
    let thief = MockServer::start().await;
    let port = thief.address().port();
    for to in [
        thief.uri(),
        format!("{}{SYSTEMS}/", thief.uri()),
        format!("http://127.0.0.1:{port}{SYSTEMS}/"),
        format!("//127.0.0.1:{port}{SYSTEMS}/"),
        "https://127.0.0.1/redfish/v1/Systems/".to_owned(),
        "/redfish/v1/Systems/1".to_owned(),
        "/redfish/v1/Systems?a=b".to_owned(),
        "/login".to_owned(),
        "/redfish/v1/Systems".to_owned(),
    ] {
        let target = to.clone();
        let server =
            service(move |_| ResponseTemplate::new(308).insert_header("Location", target.as_str())).await;
        let error = bmc(&server.uri()).read().await.unwrap_err();
        assert!(matches!(&error, FenceError::Elsewhere { .. }), "{to}: {error}");
        assert!(error.to_string().contains(&to) && !error.to_string().contains("s3cret"), "{to}: {error}");
        assert_eq!(asked(&server).await.len(), 1, "{to}");
    }
    assert!(thief.received_requests().await.unwrap().is_empty(), "it went to another server");
    // From one slash to the other, for ever; and a redirect that says nothing.
    let round = service(|request: &Request| {
        let at = request.url.path();
        let to = at.strip_suffix('/').map_or(format!("{at}/"), str::to_owned);
        ResponseTemplate::new(301).insert_header("Location", to.as_str())
    })
    .await;
    assert!(matches!(bmc(&round.uri()).read().await, Err(FenceError::Elsewhere { .. })));
    assert_eq!(asked(&round).await.len(), 2);
    let nowhere = service(|_| ResponseTemplate::new(302)).await;
    let error = bmc(&nowhere.uri()).read().await.unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// Takes no basic authentication, and gives sessions; `refused` of them are refused first.
fn sessions_only(power: &'static str) -> impl Fn(&Request) -> ResponseTemplate {
    move |request: &Request| {
        let has_token = request.headers.get("X-Auth-Token").is_some_and(|token| token == "t0k3n");
        match (request.method.as_str(), request.url.path()) {
            ("GET", "/redfish/v1/") => ok(json!({"Links": {"Sessions": {"@odata.id": SESSIONS}}})),
            ("POST", SESSIONS) => {
                let login: Value = serde_json::from_slice(&request.body).unwrap();
                match login == json!({"UserName": "admin", "Password": "s3cret"}) {
                    true => ResponseTemplate::new(201)
                        .insert_header("X-Auth-Token", "t0k3n")
                        .insert_header("Location", format!("{SESSIONS}/7").as_str()),
                    false => ResponseTemplate::new(401),
                }
            }
            ("DELETE", at) if at == format!("{SESSIONS}/7") && has_token => ResponseTemplate::new(204),
            _ if !has_token => ResponseTemplate::new(401).set_body_json(json!({"error": "no"})),
            ("GET", SYSTEMS) => members(),
            ("GET", SYSTEM) => ok(system(power)),
            ("GET", "/redfish/v1/Systems/slow") => ok(json!({})).set_delay(Duration::from_secs(60)),
            ("POST", RESET) => ResponseTemplate::new(204),
            _ => ResponseTemplate::new(404),
        }
    }
}

fn count(asked: &[String], of: &str) -> usize {
    asked.iter().filter(|line| line.starts_with(of)).count()
}

#[tokio::test]
async fn where_basic_authentication_is_off_a_session_is_made_and_ended_each_time() {
    let server = service(sessions_only("On")).await;
    let bmc = bmc(&server.uri());
    for _ in 0..2 {
        assert_eq!(bmc.read().await.unwrap(), PowerState::On);
    }
    bmc.switch_off().await.unwrap();
    let all = asked(&server).await;
    assert_eq!(count(&all, "POST /redfish/v1/SessionService"), count(&all, "DELETE"), "{all:#?}");
    assert_eq!(count(&all, &format!("POST {RESET}")), 1, "{all:#?}");
    // Only the first question went without one.
    let requests = server.received_requests().await.unwrap();
    let basic = requests.iter().filter(|request| request.headers.contains_key("Authorization")).count();
    assert_eq!(basic, 1, "a login that is refused counts towards a lock-out");
}

#[tokio::test]
async fn a_session_ends_also_where_something_goes_wrong_and_where_nobody_waits_any_more() {
    // The system cannot be had.
    let broken = service(|request: &Request| match request.url.path() {
        SYSTEM => match request.headers.contains_key("X-Auth-Token") {
            true => ResponseTemplate::new(500),
            false => ResponseTemplate::new(401),
        },
        _ => sessions_only("On")(request),
    })
    .await;
    assert!(bmc(&broken.uri()).read().await.is_err());
    let all = asked(&broken).await;
    assert_eq!((count(&all, &format!("POST {SESSIONS}")), count(&all, "DELETE")), (1, 1), "{all:#?}");
    // It hangs, and whoever asked has a deadline.
    let slow = service(|request: &Request| match request.url.path() {
        SYSTEM if request.headers.contains_key("X-Auth-Token") => {
            ok(system("Off")).set_delay(Duration::from_secs(60))
        }
        _ => sessions_only("On")(request),
    })
    .await;
    let slow_bmc = bmc(&slow.uri());
    let waited = tokio::time::timeout(Duration::from_millis(700), slow_bmc.read()).await;
    assert!(waited.is_err(), "{waited:?}");
    let ends = Instant::now() + Duration::from_secs(5);
    while count(&asked(&slow).await, "DELETE") == 0 {
        assert!(Instant::now() < ends, "the session was left behind: {:#?}", asked(&slow).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_service_without_basic_authentication() {
    let server = service(|_| ResponseTemplate::new(401)).await;
    let bmc = bmc(&server.uri());
    let error = bmc.read().await.unwrap_err();
    assert!(matches!(&error, FenceError::Denied { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("by basic authentication") && said.contains("no session either"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    let (first, _) = (count(&asked(&server).await, "POST"), bmc.read().await.unwrap_err());
    assert_eq!(count(&asked(&server).await, "POST"), first, "each failed login brings a lock-out nearer");
    // A session at another server is none, and nothing is sent there.
    let thief = MockServer::start().await;
    let at = format!("{}{SESSIONS}/7", thief.uri());
    let lies = service(move |request: &Request| match (request.method.as_str(), request.url.path()) {
        ("POST", SESSIONS) => ResponseTemplate::new(201)
            .insert_header("X-Auth-Token", "t0k3n")
            .insert_header("Location", at.as_str()),
        ("GET", "/redfish/v1/") => ok(json!({"Links": {"Sessions": {"@odata.id": at.as_str()}}})),
        _ => sessions_only("On")(request),
    })
    .await;
    assert_eq!(self::bmc(&lies.uri()).read().await.unwrap(), PowerState::On);
    assert!(
        thief.received_requests().await.unwrap().is_empty(),
        "the session's token went to another server"
    );
}

/// Answers the systems' path with these, one after the other, and then for ever with the last.
async fn in_turn(answers: Vec<ResponseTemplate>) -> MockServer {
    let next = AtomicUsize::new(0);
    service(move |request: &Request| match request.url.path() {
        SYSTEM => {
            let now = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            answers[now].clone()
        }
        _ => members(),
    })
    .await
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut child =
        Command::new(program("gzip")).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn an_answer_that_is_odd_for_a_moment_or_packed_hides_no_power() {
    let text = system("Off").to_string();
    let empty = || ResponseTemplate::new(200);
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for (what, answers) in [
        ("empty once", vec![empty(), ok(system("Off"))]),
        ("blank twice", vec![empty(), ResponseTemplate::new(200).set_body_string(" \n"), ok(system("Off"))]),
        ("cut short", vec![ResponseTemplate::new(200).set_body_string(&text[..20]), ok(system("Off"))]),
        ("not now", vec![ResponseTemplate::new(503), ResponseTemplate::new(429), ok(system("Off"))]),
        ("with a byte order mark", vec![ResponseTemplate::new(200).set_body_bytes(marked)]),
        (
            "compressed",
            vec![
                ResponseTemplate::new(200)
                    .insert_header("Content-Encoding", "gzip")
                    .set_body_bytes(gzip(&text)),
            ],
        ),
    ] {
        let server = in_turn(answers).await;
        assert_eq!(bmc(&server.uri()).read().await.unwrap(), PowerState::Off, "{what}");
    }
    for (what, answer, said) in [
        ("always empty", empty(), "it is empty"),
        ("nonsense", ResponseTemplate::new(200).set_body_string("<html>"), "cannot be understood"),
        ("packed otherwise", ok(system("Off")).insert_header("Content-Encoding", "br"), "packed as"),
        ("a list", ok(json!(["Off"])), "cannot be understood"),
        ("a million of them", ok(json!(vec![0; 1_000_000])), "larger than"),
        (
            "a bomb",
            ResponseTemplate::new(200)
                .insert_header("Content-Encoding", "gzip")
                .set_body_bytes(gzip(&" ".repeat(50_000_000))),
            "larger than",
        ),
        (
            "two of one name",
            ResponseTemplate::new(200).set_body_string(r#"{"PowerState":"On","PowerState":"Off"}"#),
            "duplicate",
        ),
    ] {
        let server = in_turn(vec![answer]).await;
        let error = bmc(&server.uri()).read().await.unwrap_err();
        assert!(error.to_string().contains(said), "{what}: {error}");
    }
}

#[tokio::test]
async fn the_systems_address_is_kept_as_long_as_it_is_there() {
    let gone = AtomicUsize::new(0);
    let server = service(move |request: &Request| match request.url.path() {
        SYSTEMS if gone.load(Ordering::SeqCst) < 3 => members(),
        SYSTEMS => ok(json!({"Members": [{"@odata.id": "/redfish/v1/Systems/2"}]})),
        SYSTEM if gone.fetch_add(1, Ordering::SeqCst) < 2 => ok(system("On")),
        "/redfish/v1/Systems/2" => ok(system("Off")),
        _ => ResponseTemplate::new(404),
    })
    .await;
    let bmc = bmc(&server.uri());
    let read = [bmc.read().await.unwrap(), bmc.read().await.unwrap(), bmc.read().await.unwrap()];
    assert_eq!(read, [PowerState::On, PowerState::On, PowerState::Off]);
    let all = asked(&server).await;
    let collections = all.iter().filter(|line| *line == &format!("GET {SYSTEMS}")).count();
    assert_eq!(collections, 2, "{all:#?}");
    // Of two, none is chosen, and they are named.
    let two = service(|_| {
        ok(json!({"Members": [{"@odata.id": "/redfish/v1/Systems/HGX_Baseboard_0"}, {"@odata.id": SYSTEM}]}))
    })
    .await;
    let error = self::bmc(&two.uri()).read().await.unwrap_err().to_string();
    assert!(error.contains("HGX_Baseboard_0, 1") && error.contains("\"system\""), "{error}");
}

#[tokio::test]
async fn a_slow_bmc_is_heard_out_within_the_levels_deadline() {
    // On, the command, then off: three reads of it take longer than the level has.
    let off = std::sync::Arc::new(AtomicUsize::new(0));
    let slow = Duration::from_millis(900);
    let server = service(move |request: &Request| match (request.method.as_str(), request.url.path()) {
        ("POST", RESET) => {
            off.store(1, Ordering::SeqCst);
            ResponseTemplate::new(204).set_delay(slow)
        }
        (_, SYSTEM) => ok(system(if off.load(Ordering::SeqCst) == 1 { "Off" } else { "On" })).set_delay(slow),
        _ => members().set_delay(slow),
    })
    .await;
    let patient = Settings { level_deadline: Duration::from_millis(4500), ..settings() };
    let levels = only(bmc(&server.uri()));
    let (_, changed) = power_off(&levels, &SystemClock, &patient, &Held).await.unwrap();
    assert_eq!(changed, Changed::Yes);
    let all = asked(&server).await;
    assert_eq!(all.iter().filter(|line| *line == &format!("GET {SYSTEMS}")).count(), 1, "{all:#?}");
    assert_eq!(count(&all, "POST"), 1, "{all:#?}");

    // A request has as long as its level, and no longer.
    let hangs = service(|_| members().set_delay(Duration::from_secs(60))).await;
    let (url, user, password) = (hangs.uri().parse().unwrap(), "u".to_owned(), "p".to_owned().into());
    let (system, verify, limit) = (None, Verify::System, Duration::from_secs(1));
    let one = Redfish::new(RedfishAccess { url, user, password, system, verify, limit }).unwrap();
    let started = Instant::now();
    assert!(matches!(one.read().await, Err(FenceError::Deadline { .. })));
    assert!(started.elapsed() < Duration::from_secs(3));
    let brief = Settings { level_deadline: Duration::from_secs(1), ..settings() };
    assert!(prove_off(&only(one), &SystemClock, &brief).await.is_err());
}

#[tokio::test]
async fn a_bmc_whose_tls_is_too_old_is_told_so_with_what_to_use_instead() {
    let openssl = program("openssl");
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display().to_string();
    let made = Command::new(&openssl)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bmc"])
        .args(["-keyout", &format!("{at}/key.pem"), "-out", &format!("{at}/cert.pem")])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    for old in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        // As many BMCs are: TLS 1.2, and no key exchange but by RSA.
        &["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"],
    ] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(&openssl)
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-quiet", "-www"])
            .args(["-key", &format!("{at}/key.pem"), "-cert", &format!("{at}/cert.pem")])
            .args(old)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _server = Running(server);
        wait_for("openssl to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let url = format!("https://127.0.0.1:{port}");
        let error = bmc(&url).read().await.unwrap_err();
        assert!(matches!(&error, FenceError::OldTls { .. }), "{old:?}: {error:?}");
        assert!(
            error.next("nova-ha host add n --replace", None).then_word("word").contains("--bmc-driver ipmi"),
            "{old:?}"
        );
        let seen = look(&url.parse().unwrap()).await;
        assert!(
            matches!(&seen, Certificate::NotSeen(why) if why.contains("too old for our TLS")),
            "{old:?}: {seen:?}"
        );
    }
}
#[tokio::test]
async fn a_field_that_is_odd_hides_neither_the_power_nor_the_others() {
    for (field, odd) in [
        ("UUID", json!(7)),
        ("UUID", json!([])),
        ("SerialNumber", json!({"a": 1})),
        ("SKU", json!(false)),
        ("Actions", json!(null)),
        ("Actions", json!("none")),
        ("Actions", json!({"#ComputerSystem.Reset": null})),
        (
            "Actions",
            json!({"#ComputerSystem.Reset": {"target": 5, "ResetType@Redfish.AllowableValues": "ForceOff"}}),
        ),
        ("Links", json!("none")),
        ("Links", json!({"Chassis": {}})),
        ("Manufacturer", json!(1)),
    ] {
        let mut answer = system("Off");
        answer[field] = odd.clone();
        let server = in_turn(vec![ok(answer)]).await;
        let seen = bmc(&server.uri()).look().await.unwrap();
        assert_eq!(seen.power, PowerState::Off, "{field}: {odd}");
        assert!(seen.identity.is_some_and(|identity| identity.is_usable()), "{field}: {odd}");
    }
    for odd in [json!(null), json!(1), json!(["Off"]), json!({"Off": true})] {
        let mut answer = system("Off");
        answer["PowerState"] = odd.clone();
        let server = in_turn(vec![ok(answer)]).await;
        assert!(matches!(bmc(&server.uri()).read().await.unwrap(), PowerState::Unknown(_)), "{odd}");
    }
}
