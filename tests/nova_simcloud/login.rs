//! Who we are and where Nova is.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nova_ha::nova::{Cloud, CloudSettings, Environment, Microversion, NovaClient, NovaError};
use serde_json::json;

use crate::cloud::{SimCloud, host, seed, timing, with};

fn chain(error: &NovaError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[tokio::test]
async fn a_password_from_clouds_yaml_and_secure_yaml_reaches_nova() {
    let sim = SimCloud::start(seed());
    let info = sim.client().ping().await.unwrap();
    assert_eq!((info.newest, info.user.as_str()), (Microversion::two(104), "admin"));
    assert_eq!(
        (info.compute_url, info.project.as_deref()),
        (format!("{}/compute/v2.1", sim.base), Some("admin"))
    );
}

#[tokio::test]
async fn an_application_credential_by_id_and_by_name_reaches_nova() {
    let sim = SimCloud::start(seed());
    let secure = json!({"auth": {"application_credential_secret": "lab-secret"}});
    for auth in [
        json!({"auth_url": sim.base, "application_credential_id": "lab-credential"}),
        json!({"auth_url": sim.base, "application_credential_name": "lab", "username": "admin",
               "user_domain_name": "Default"}),
    ] {
        let entry = json!({"auth_type": "v3applicationcredential", "auth": auth, "interface": "internal"});
        let client = NovaClient::new(sim.settings(entry, secure.clone()), timing());
        assert!(client.service(&host("node1")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn os_variables_reach_nova() {
    let sim = SimCloud::start(seed());
    let variables = [
        ("OS_AUTH_URL", format!("{}/v3/", sim.base)),
        ("OS_USERNAME", "admin".into()),
        ("OS_PASSWORD", "secret".into()),
        ("OS_PROJECT_NAME", "admin".into()),
        ("OS_USER_DOMAIN_ID", "default".into()),
        ("OS_PROJECT_DOMAIN_ID", "default".into()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let env = Environment { variables, ..Environment::default() };
    let client = NovaClient::new(CloudSettings::load(None, &env).unwrap(), timing());
    assert_eq!(client.ping().await.unwrap().user, "admin");
}

#[tokio::test]
async fn wrong_credentials_are_said_once_and_without_the_secret() {
    let sim = SimCloud::start(seed());
    let auth = json!({"auth_url": sim.base, "username": "admin", "project_name": "admin",
        "user_domain_name": "Default", "project_domain_name": "Default"});
    let settings = sim.settings(json!({"auth": auth}), json!({"auth": {"password": "geheim"}}));
    let error = NovaClient::new(settings, timing()).ping().await.unwrap_err();
    assert!(matches!(&error, NovaError::CredentialsRefused { cloud, .. } if cloud == "lab"), "{error:?}");
    assert!(!error.is_retryable() && !error.effect_may_have_happened());
    assert!(!format!("{error:?} {}", chain(&error)).contains("geheim"));
    assert_eq!(sim.requests("/v3/auth/tokens").await, 1);
}

/// A web server, a load balancer or a keystone that was asked without its path.
#[tokio::test]
async fn what_is_no_keystone_is_said_with_the_setting_and_no_other_command() {
    let sim = SimCloud::start(seed());
    for status in ["300 Multiple Choices", "302 Found", "404 Not Found"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v3", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let serves = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0_u8; 4096];
            tokio::io::AsyncReadExt::read(&mut stream, &mut asked).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
        });
        let auth = json!({"auth_url": base, "username": "admin", "project_name": "admin",
            "user_domain_name": "Default", "project_domain_name": "Default"});
        let settings = sim.settings(json!({"auth": auth}), json!({"auth": {"password": "geheim"}}));
        let error = NovaClient::new(settings, timing()).ping().await.unwrap_err();
        assert!(matches!(&error, NovaError::NoKeystone { cloud, .. } if cloud == "lab"), "{error:?}");
        let (said, next) = (chain(&error), error.next());
        assert!(
            said.contains(&status[..3]) && said.contains("auth_url") && !said.contains("geheim"),
            "{said}"
        );
        assert!(next.starts_with("correct auth.auth_url of cloud \"lab\" in "), "{next}");
        assert!(next.contains("clouds.yaml") && !next.contains("openstack "), "{next}");
        serves.await.unwrap();
    }
}

#[tokio::test]
async fn a_region_that_does_not_exist_is_answered_with_those_that_do() {
    let sim = SimCloud::start(seed());
    let client = NovaClient::new(sim.by_password(json!({"region_name": "Nowhere"})), timing());
    let error = client.ping().await.unwrap_err();
    assert!(matches!(error, NovaError::Catalog { .. }) && !error.is_retryable());
    let text = chain(&error);
    assert!(text.contains("Nowhere") && text.contains("public in RegionOne"), "{text}");
}

#[tokio::test]
async fn a_catalog_without_compute_or_the_interface_says_what_it_has() {
    let sim = SimCloud::start(with(seed(), json!({"catalog": {"compute": false}})));
    let text = chain(&sim.client().ping().await.unwrap_err());
    assert!(text.contains("compute") && text.contains("identity"), "{text}");
    let sim = SimCloud::start(with(seed(), json!({"catalog": {"interfaces": ["public"]}})));
    let client = NovaClient::new(sim.by_password(json!({"interface": "admin"})), timing());
    let text = chain(&client.ping().await.unwrap_err());
    assert!(text.contains("no admin endpoint") && text.contains("public in RegionOne"), "{text}");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let sim = SimCloud::start(with(seed(), json!({"token_seconds": 0.8})));
    let client = sim.client();
    let end = std::time::Instant::now() + Duration::from_secs(2);
    while std::time::Instant::now() < end {
        client.service(&host("node1")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let issued = sim.state().await["tokens_issued"].as_u64().unwrap();
    assert!((3..=6).contains(&issued), "{issued}");
    let log = std::fs::read_to_string(sim.folder.path().join("log.jsonl")).unwrap();
    assert!(!log.contains("\"status\": 401"), "a token ended before it was renewed");
}

#[tokio::test]
async fn many_calls_at_once_log_in_once() {
    let sim = SimCloud::start(seed());
    let client = Arc::new(sim.client());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = Arc::clone(&client);
        calls.spawn(async move { client.service(&host("node1")).await });
    }
    for service in calls.join_all().await {
        assert!(service.unwrap().is_some());
    }
    assert_eq!(sim.state().await["tokens_issued"], 1);
}

#[tokio::test]
async fn a_token_that_ends_early_is_replaced_for_reads_and_effects() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let service = client.service(&host("node1")).await.unwrap().unwrap();
    sim.fault(json!({"expire_tokens": true})).await;
    assert!(client.service(&host("node1")).await.unwrap().is_some());
    sim.fault(json!({"expire_tokens": true})).await;
    client.set_forced_down(&service.id, true).await.unwrap();
    assert_eq!(sim.state().await["tokens_issued"], 3);
    assert!(client.service(&host("node1")).await.unwrap().unwrap().forced_down);
}

#[tokio::test]
async fn a_token_refused_twice_is_an_error_and_not_a_loop() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    sim.fault(json!({"path": "/os-services", "action": "status", "status": 401, "count": 50})).await;
    let error = client.service(&host("node1")).await.unwrap_err();
    assert!(matches!(error, NovaError::Unauthorized { .. }), "{error:?}");
    assert_eq!(sim.requests("/os-services").await, 2);
}

#[tokio::test]
async fn a_nova_that_is_too_old_is_said_by_ping() {
    let sim = SimCloud::start(with(seed(), json!({"max_microversion": "2.60"})));
    let error = sim.client().ping().await.unwrap_err();
    assert!(matches!(error, NovaError::VersionRefused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_keystone_that_is_not_there_is_unreachable() {
    let sim = SimCloud::start(seed());
    let settings = sim.by_password(json!({}));
    drop(sim);
    let error = NovaClient::new(settings, timing()).ping().await.unwrap_err();
    assert!(matches!(error, NovaError::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable() && !error.effect_may_have_happened());
}

/// A CA (`ca.pem`) and a certificate of it for 127.0.0.1; the arguments that make simcloud use it.
fn certificate(folder: &Path) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().expect("openssl in PATH");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let (ca, ca_key, leaf, leaf_key) = (path("ca.pem"), path("ca.key"), path("leaf.pem"), path("leaf.key"));
    let (request, extensions) = (path("leaf.csr"), path("leaf.ext"));
    std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1\n").unwrap();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
        &[&["req", "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", &ca_key, "-out", &ca], &key[..]]
            .concat(),
    );
    openssl(
        &[&["req", "-new", "-subj", "/CN=leaf", "-keyout", &leaf_key, "-out", &request], &key[..]].concat(),
    );
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-set_serial",
        "2",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-extfile",
        &extensions,
        "-out",
        &leaf,
    ]);
    vec!["--tls-cert".into(), leaf, "--tls-key".into(), leaf_key]
}

#[tokio::test]
async fn https_trusts_the_named_ca_and_nobody_else_unless_verify_is_off() {
    let sim = SimCloud::start_with(seed(), certificate);
    assert!(sim.base.starts_with("https://"));
    let cacert = sim.folder.path().join("ca.pem").display().to_string();
    let good = NovaClient::new(sim.by_password(json!({"cacert": cacert})), timing());
    assert_eq!(good.ping().await.unwrap().user, "admin");
    let off = NovaClient::new(sim.by_password(json!({"verify": false})), timing());
    assert_eq!(off.ping().await.unwrap().user, "admin");
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let other = other.path().join("ca.pem").display().to_string();
    let error =
        NovaClient::new(sim.by_password(json!({"cacert": other})), timing()).ping().await.unwrap_err();
    assert!(matches!(error, NovaError::Unreachable { .. }), "{error:?}");
    let none = json!({"cacert": "/nonexistent/ca.pem"});
    let error = NovaClient::new(sim.by_password(none), timing()).ping().await.unwrap_err();
    assert!(chain(&error).contains("/nonexistent/ca.pem"), "{}", chain(&error));
}
