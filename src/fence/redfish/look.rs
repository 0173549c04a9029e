//! What a server shows of itself before anybody logs in.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url};
use rustls::AlertDescription;

use super::super::Distrust;
use super::super::certificate::{self, Pin};

/// Wall clock to look at a certificate: a person waits.
const LOOK: Duration = Duration::from_secs(10);

/// Wall clock to connect, TLS included: on one network a living BMC answers in milliseconds, and then some reckon for seconds.
/// Of what one request may take, a sixth, within these.
const LEAST_CONNECT: Duration = Duration::from_secs(5);
const MOST_CONNECT: Duration = Duration::from_secs(20);

/// What a server shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// An authority that this machine trusts has signed its certificate, which is for this key.
    Signed(Pin),
    /// Nobody has whom this machine trusts.
    Unsigned(Pin),
    /// No certificate was seen; why.
    NotSeen(String),
}

/// Looks at the certificate of a server. No credentials are sent.
pub async fn look(url: &Url) -> Certificate {
    let shown = match certificate::tls(None) {
        Ok((tls, shown)) => {
            let said = shake(url, builder(LOOK).tls_backend_preconfigured(tls)).await;
            shown.pin().ok_or_else(|| said.err().unwrap_or_else(|| "it showed none".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    };
    match shown {
        Ok(pin) => match shake(url, builder(LOOK)).await {
            Ok(()) => Certificate::Signed(pin),
            Err(_) => Certificate::Unsigned(pin),
        },
        Err(why) => Certificate::NotSeen(why),
    }
}

/// Asks for the root of the service, which every Redfish service shows to anybody.
async fn shake(url: &Url, builder: ClientBuilder) -> Result<(), String> {
    let client = builder.build().map_err(|error| chain_of(&error))?;
    let root = url.join("/redfish/v1/").map_err(|error| error.to_string())?;
    let said = |error: reqwest::Error| match too_old(&error) {
        Some(why) => {
            format!("it is too old for our TLS ({why}): newer firmware, or --bmc-driver ipmi (docs/bmc.md)")
        }
        None => chain_of(&error.without_url()),
    };
    client.get(root).send().await.map(|_| ()).map_err(said)
}

fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next: Option<&'a (dyn Error + 'static)> = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn chain_of(error: &dyn Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The error of the handshake, however often it was wrapped as one of the connection.
fn of_tls<'a>(mut cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        cause = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

/// Why a server and we have no TLS in common, where that is what an error says.
pub(super) fn too_old(error: &dyn Error) -> Option<String> {
    let is_old = |error: &rustls::Error| match error {
        rustls::Error::PeerIncompatible(_) => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity
        ),
        _ => false,
    };
    causes(error).find_map(of_tls).filter(|error| is_old(error)).map(|error| error.to_string())
}

/// What is wrong with a server's certificate, where that is what an error says.
pub(super) fn distrust(error: &dyn Error) -> Option<Distrust> {
    causes(error).find_map(of_tls).and_then(|error| match error {
        rustls::Error::InvalidCertificate(why) => Some(Distrust::of(why)),
        _ => None,
    })
}

/// What every client of ours does: it follows no redirect by itself, asks no proxy, and ends in time.
pub(super) fn builder(limit: Duration) -> ClientBuilder {
    // An earlier one of this process stays; there is only this kind.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout((limit / 6).clamp(LEAST_CONNECT, MOST_CONNECT).min(limit))
        .timeout(limit)
}
