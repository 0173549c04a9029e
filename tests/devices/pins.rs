//! Which BMC is spoken to: certificates by real TLS.

use crate::support::tls_bmc::{TlsBmc, certificate, key, own_certificate, pin};
use nova_ha::fence::redfish::{Certificate, Redfish, RedfishAccess, Verify, look};
use nova_ha::fence::{Channel, Distrust, FenceError, Gap, Next, PowerState, PowerSwitch};

fn redfish(url: &str, verify: Verify) -> Redfish {
    let password = "s3cret".to_owned().into();
    let url = url.parse().unwrap();
    let limit = std::time::Duration::from_secs(10);
    Redfish::new(RedfishAccess { url, user: "admin".into(), password, system: None, verify, limit }).unwrap()
}

#[tokio::test]
async fn a_pinned_key_is_believed_whoever_signed_its_certificate_and_over_its_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let key = key(folder.path(), "bmc.key");
    let (first, renewed) = (certificate(&key, "1"), certificate(&key, "2"));
    assert_ne!(std::fs::read(&first).unwrap(), std::fs::read(&renewed).unwrap());
    let pinned = pin(&first).parse().unwrap();
    for shown in [&first, &renewed] {
        let bmc = TlsBmc::start(shown, &key);
        // It calls itself a CA and names no address: by no CA file would it be believed.
        let by_ca = redfish(&bmc.url(), Verify::Ca(std::fs::read(shown).unwrap()));
        let refused = by_ca.read().await.unwrap_err();
        assert!(matches!(refused, FenceError::Untrusted { .. }), "{refused:?}");
        assert!(refused.to_string().contains("not believed"), "{refused}");
        let by_pin = redfish(&bmc.url(), Verify::Pinned(pinned));
        assert_eq!(by_pin.read().await.unwrap(), PowerState::Off);
        assert_eq!(by_pin.channel(), Channel::Shown);
    }
}

/// As most people meet it: the BMC's own certificate, where the machine's authorities are to judge.
#[tokio::test]
async fn a_certificate_that_nobody_signed_is_said_so_with_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let key = key(folder.path(), "bmc.key");
    let bmc = TlsBmc::start(&own_certificate(&key), &key);
    let refused = redfish(&bmc.url(), Verify::System).read().await.unwrap_err();
    let FenceError::Untrusted { distrust: Distrust::UnknownIssuer, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert!(!refused.effect_may_have_happened() && !refused.is_retryable());
    let Next::Setting(next) = refused.next("CHANGE", None) else { panic!("{refused}") };
    assert!(next.contains("CHANGE --bmc-ca PATH") && next.contains("CHANGE --pin-bmc"), "{next}");
    assert_eq!(bmc.requests(), Vec::<String>::new(), "the password went to whoever it is");
}

#[tokio::test]
async fn whoever_shows_another_key_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (own, others) = (key(folder.path(), "bmc.key"), key(folder.path(), "other.key"));
    let (own_certificate, other_certificate) = (certificate(&own, "1"), certificate(&others, "1"));
    let pinned = pin(&own_certificate);
    let verify = || Verify::Pinned(pinned.parse().unwrap());

    let other = TlsBmc::start(&other_certificate, &others);
    let refused = redfish(&other.url(), verify()).read().await.unwrap_err();
    assert!(matches!(refused, FenceError::OtherCertificate { .. }), "{refused:?}");
    for part in
        [&format!("pinned {pinned}"), &format!("shown {}", pin(&other_certificate)), "--bmc-pin sha256:"]
    {
        assert!(refused.to_string().contains(part), "{part}: {refused}");
    }
    assert_eq!(other.requests(), Vec::<String>::new(), "the password went to another machine");

    // The certificate is public: who shows it has to have its key.
    let replayed = TlsBmc::start(&own_certificate, &others);
    let refused = redfish(&replayed.url(), verify()).read().await.unwrap_err();
    assert!(matches!(refused, FenceError::Unreachable { .. }), "{refused:?}");
    assert_eq!(replayed.requests(), Vec::<String>::new(), "the password went to another machine");
}

#[tokio::test]
async fn a_certificate_is_looked_at_without_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let key = key(folder.path(), "bmc.key");
    let shown = certificate(&key, "1");
    let bmc = TlsBmc::start(&shown, &key);
    let seen = look(&bmc.url().parse().unwrap()).await;
    assert_eq!(seen, Certificate::Unsigned(pin(&shown).parse().unwrap()));
    assert!(!bmc.requests().is_empty());
    for request in bmc.requests() {
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
    }
    let nobody = look(&"https://127.0.0.1:1".parse().unwrap()).await;
    assert!(matches!(nobody, Certificate::NotSeen(_)), "{nobody:?}");
}

#[test]
fn by_which_way_its_answers_come_is_known() {
    let pinned = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
    for (url, verify, channel) in [
        ("https://10.0.0.1", Verify::System, Channel::Shown),
        ("https://10.0.0.1", Verify::Pinned(pinned), Channel::Shown),
        ("https://10.0.0.1", Verify::Not, Channel::Open(Gap::UnjudgedCertificate)),
        ("http://10.0.0.1", Verify::System, Channel::Open(Gap::PlainHttp)),
        ("http://10.0.0.1", Verify::Not, Channel::Open(Gap::PlainHttp)),
    ] {
        assert_eq!(redfish(url, verify).channel(), channel, "{url}");
    }
}
