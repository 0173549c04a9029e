//! The HTTP client under [`super::http`], by kind of address.

use std::net::IpAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use secrecy::ExposeSecret;

use super::settings::{Address, Settings, Tls, wrong};
use crate::store::StoreError;

/// A client and the base URL that it is to be used with.
pub(super) fn client(settings: &Settings) -> Result<(Client, String), StoreError> {
    // The provider is named, never the process's default: nothing else has to have installed one.
    // A second installation fails, and that is the state wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .connect_timeout(settings.timeouts.connect)
        // A proxy of the environment could read the token, and is not on the way to a local agent.
        .no_proxy()
        // Consul redirects only cleaned paths and its UI; following would repeat a write.
        .redirect(reqwest::redirect::Policy::none())
        // Repetition is decided in one place (`http`), by what the call does.
        .retry(reqwest::retry::never());
    let (builder, base) = match &settings.address {
        // Without this the client loads the system's roots for plain http too: 90 ms of CPU per
        // start, and an error where no CA bundle is installed.
        Address::Http(rest) => (builder.tls_certs_only([]), format!("http://{rest}")),
        Address::Unix(path) => {
            (builder.tls_certs_only([]).unix_socket(path.clone()), "http://localhost".to_owned())
        }
        Address::Https(rest) => secure(builder, rest, &settings.tls)?,
    };
    let client = builder.build().map_err(|error| {
        let hint = match settings.address {
            Address::Https(_) if settings.tls.ca.is_empty() => " (set CONSUL_CACERT?)",
            Address::Http(_) | Address::Https(_) | Address::Unix(_) => "",
        };
        wrong("CONSUL_HTTP_ADDR", format!("cannot make a client for {}{hint}: {error:?}", settings.address))
    })?;
    Ok((client, base))
}

fn secure(mut builder: ClientBuilder, rest: &str, tls: &Tls) -> Result<(ClientBuilder, String), StoreError> {
    let mut roots = Vec::new();
    for (origin, pem) in &tls.ca {
        let (setting, path) = origin.split_once('=').unwrap_or((origin, ""));
        let found = Certificate::from_pem_bundle(pem)
            .map_err(|error| wrong(setting, format!("{path} is no PEM bundle: {error}")))?;
        if found.is_empty() {
            return Err(wrong(setting, format!("{path} holds no certificate")));
        }
        roots.extend(found);
    }
    if tls.insecure {
        builder = builder.tls_certs_only([]).tls_danger_accept_invalid_certs(true);
    } else if !roots.is_empty() {
        builder = builder.tls_certs_only(roots);
    }
    if let Some(pem) = &tls.identity {
        let identity = Identity::from_pem(pem.expose_secret().as_bytes())
            .map_err(|error| wrong("CONSUL_CLIENT_CERT", format!("with CONSUL_CLIENT_KEY: {error:?}")))?;
        builder = builder.identity(identity);
    }
    let base = format!("https://{rest}");
    let Some(name) = &tls.server_name else { return Ok((builder, base)) };

    // The name in the URL is the one that is sent as SNI and verified, so it takes the address's
    // place there, and the resolver leads it back to the address.
    if name.parse::<IpAddr>().is_ok() {
        return Err(wrong("CONSUL_TLS_SERVER_NAME", format!("{name} is an address: expected a name")));
    }
    let bad = |why: String| wrong("CONSUL_TLS_SERVER_NAME", format!("{name:?} cannot be used: {why}"));
    let mut url = url::Url::parse(&base).map_err(|error| bad(error.to_string()))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    url.set_host(Some(name)).map_err(|error| bad(error.to_string()))?;
    let base = url.as_str().trim_end_matches('/').to_owned();
    Ok((builder.dns_resolver(Arc::new(LeadTo { host })), base))
}

/// Resolves every name to the addresses of one host.
struct LeadTo {
    host: String,
}

impl Resolve for LeadTo {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            // Port 0: the URL's own is used.
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?.collect::<Vec<_>>();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
