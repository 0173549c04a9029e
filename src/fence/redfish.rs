//! Redfish: the HTTP interface of newer BMCs.
//!
//! Basic authentication on every request, no session: BMCs have few, and one that is not closed is
//! lost until it times out. No redirect is followed and no proxy asked, as both would carry the
//! password elsewhere. The resource that is read and switched is the only member of the systems
//! collection, or the one that the configuration names; of two, none is chosen.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::certificate::{self, Pin, Shown};
use super::said::one_line;
use super::{Channel, FenceError, Gap, Identity, Mark, PowerState, PowerSwitch, Privilege, Seen};

/// Wall clock to connect. On one network, a living BMC answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(5);

/// Wall clock for one request with its answer. BMCs are slow, some take seconds for a system.
const REQUEST: Duration = Duration::from_secs(10);

/// The largest answer. A system resource has some 10 KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;

const SYSTEMS: &str = "/redfish/v1/Systems";

const WHOSE: &str = "ask for its identity";

/// How the server's certificate is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// By the certificate authorities of the machine.
    System,
    /// By these alone (PEM). A BMC's own self-signed certificate may be among them, unless it calls
    /// itself a CA (`CA:TRUE`), which rustls refuses as a server's: pin that one.
    Ca(Vec<u8>),
    /// By its public key alone, which a person pinned: of a certificate that nobody signed, or that calls itself a CA.
    Pinned(Pin),
    /// Not at all. BMCs come with certificates that nobody signed; who can stand in between can then
    /// read the password and lie about the power.
    Not,
}

/// What a server shows of itself before anybody logs in.
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
            let said = shake(url, builder().tls_backend_preconfigured(tls)).await;
            shown.pin().ok_or_else(|| said.err().unwrap_or_else(|| "it showed none".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    };
    match shown {
        Ok(pin) => match shake(url, builder()).await {
            Ok(()) => Certificate::Signed(pin),
            Err(_) => Certificate::Unsigned(pin),
        },
        Err(why) => Certificate::NotSeen(why),
    }
}

/// Asks for the root of the service, which every Redfish service shows to anybody.
async fn shake(url: &Url, builder: reqwest::ClientBuilder) -> Result<(), String> {
    let client = builder.build().map_err(|error| chain_of(&error))?;
    let root = url.join("/redfish/v1/").map_err(|error| error.to_string())?;
    client.get(root).send().await.map(|_| ()).map_err(|error| chain_of(&error.without_url()))
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What every client of ours does: it follows no redirect, asks no proxy, and ends in time.
fn builder() -> reqwest::ClientBuilder {
    // An earlier one of this process stays; there is only this kind.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
}

/// Where a Redfish service is and how to log in.
#[derive(Debug, Clone)]
pub struct RedfishAccess {
    /// `https://ADDRESS[:PORT]`, or `http://` in a lab.
    pub url: Url,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Id of the system, where there is more than one.
    pub system: Option<String>,
    /// How the server's certificate is judged; nothing to `http://`.
    pub verify: Verify,
}

/// A BMC reached by Redfish.
pub struct Redfish {
    access: RedfishAccess,
    client: Client,
    /// What it showed, where a pin is compared with it.
    shown: Shown,
    /// What the system stated first.
    stated: Mutex<Option<Identity>>,
}

#[derive(Deserialize)]
struct Collection {
    #[serde(rename = "Members")]
    members: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "@odata.id")]
    id: String,
}

/// The parts of a `ComputerSystem` that matter; vendors add many others, and write into these what is none of them.
#[derive(Deserialize)]
struct System {
    #[serde(rename = "PowerState")]
    power_state: Option<Value>,
    #[serde(rename = "UUID")]
    uuid: Option<Value>,
    #[serde(rename = "SerialNumber")]
    serial: Option<Value>,
    #[serde(rename = "SKU")]
    sku: Option<Value>,
    #[serde(rename = "Manufacturer")]
    manufacturer: Option<Value>,
    #[serde(rename = "Links")]
    links: Option<Value>,
    #[serde(rename = "Actions", default)]
    actions: Actions,
}

/// A text, or a number as one; nothing of anything else.
fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The number on a chassis.
#[derive(Deserialize)]
struct Chassis {
    #[serde(rename = "SerialNumber")]
    serial: Option<Value>,
    #[serde(rename = "SKU")]
    sku: Option<Value>,
    #[serde(rename = "Manufacturer")]
    manufacturer: Option<Value>,
}

/// Dell writes the service tag into *SKU*, which is its serial number. All others write the number of the model there, which
/// tells no machines apart.
fn tag(sku: Option<&Value>, manufacturer: Option<&Value>) -> Option<String> {
    let others = word(manufacturer).is_some_and(|name| !name.to_lowercase().contains("dell"));
    word(sku).filter(|_| !others)
}

#[derive(Default, Deserialize)]
struct Actions {
    #[serde(rename = "#ComputerSystem.Reset", default)]
    reset: Option<Reset>,
}

#[derive(Deserialize)]
struct Reset {
    target: Option<String>,
    #[serde(rename = "ResetType@Redfish.AllowableValues")]
    allowed: Option<Vec<String>>,
}

impl Reset {
    fn refuses_force_off(&self) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| !allowed.iter().any(|kind| kind == "ForceOff"))
    }
}

impl System {
    fn identity(&self) -> Option<Identity> {
        let also = tag(self.sku.as_ref(), self.manufacturer.as_ref()).into_iter().collect();
        let (uuid, serial) = (word(self.uuid.as_ref()), word(self.serial.as_ref()));
        let stated =
            Identity { uuid, serial: None, also: Vec::new() }.with(Identity { uuid: None, serial, also });
        (stated != Identity::default()).then_some(stated)
    }

    /// Its one chassis. Of several none is the machine's for sure.
    fn chassis(&self) -> Option<&str> {
        match self.links.as_ref()?.get("Chassis")?.as_array()?.as_slice() {
            [only] => only.get("@odata.id")?.as_str(),
            _ => None,
        }
    }
}

/// For [`crate::fuzzing`]: power, identity, and where a reset is sent to.
#[cfg(any(test, fuzzing))]
pub(crate) type SystemSaid = (PowerState, Option<Identity>, Result<Url, FenceError>);

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl Redfish {
    /// Where the one system of a collection is.
    pub(crate) fn collection_said(&self, body: &[u8]) -> Result<Url, FenceError> {
        let doing = "read the power";
        self.only(doing, &self.understood(doing, body)?)
    }

    /// What a system says of itself.
    pub(crate) fn system_said(&self, url: &Url, body: &[u8]) -> Result<SystemSaid, FenceError> {
        let doing = "switch off";
        let system: System = self.understood(doing, body)?;
        let (power, identity) = (self.power_state(&system), system.identity());
        Ok((power, identity, self.off_target(doing, url, system)))
    }
}

impl Redfish {
    /// The service at this address. Nothing is sent yet.
    ///
    /// # Errors
    /// The address or the certificate cannot be used.
    pub fn new(access: RedfishAccess) -> Result<Self, FenceError> {
        let device = describe(&access);
        let bad = |why: String| FenceError::Settings { device: device.clone(), why };
        let url = &access.url;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("the address is no http or https URL".into()));
        }
        if url.path() != "/"
            || url.query().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(bad("the address is https://ADDRESS[:PORT], without path, user or password".into()));
        }
        let id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        if access.system.as_ref().is_some_and(|s| s.is_empty() || s.starts_with('.') || !s.chars().all(id)) {
            return Err(bad("the id of a system has only A-Z a-z 0-9 . _ - :".into()));
        }
        let builder = builder();
        let mut shown = Shown::default();
        let builder = match (&access.verify, url.scheme()) {
            // No roots are loaded where none are needed: it fails on a machine without any.
            (_, "http") => builder.tls_certs_only([]),
            (Verify::Not, _) => builder.tls_certs_only([]).tls_danger_accept_invalid_certs(true),
            (Verify::System, _) => builder,
            (Verify::Pinned(pin), _) => {
                let (tls, seen) = certificate::tls(Some(*pin)).map_err(|error| bad(error.to_string()))?;
                shown = seen;
                builder.tls_backend_preconfigured(tls)
            }
            (Verify::Ca(pem), _) => match reqwest::Certificate::from_pem_bundle(pem) {
                Ok(certificates) if !certificates.is_empty() => builder.tls_certs_only(certificates),
                Ok(_) => return Err(bad("the CA file holds no certificate".into())),
                Err(error) => return Err(bad(format!("the CA file cannot be read as PEM: {error}"))),
            },
        };
        let client = builder.build().map_err(|error| bad(format!("no HTTP client: {error}")))?;
        Ok(Self { access, client, shown, stated: Mutex::new(None) })
    }

    /// The URL of a path that the service named; never at another server.
    fn at(&self, doing: &'static str, path: &str) -> Result<Url, FenceError> {
        let wrong = || FenceError::Malformed {
            device: self.describe(),
            doing,
            why: format!("{:?} is not a path below /redfish/v1/ of this server", one_line(path, &[])),
        };
        let url = self.access.url.join(path).map_err(|_| wrong())?;
        let same = url.origin() == self.access.url.origin()
            && url.path().starts_with("/redfish/v1/")
            && url.username().is_empty()
            && url.password().is_none();
        if same { Ok(url) } else { Err(wrong()) }
    }

    async fn ask(
        &self,
        doing: &'static str,
        method: Method,
        url: Url,
        body: Option<serde_json::Value>,
    ) -> Result<Vec<u8>, FenceError> {
        let device = self.describe();
        let failed = |error: reqwest::Error| {
            if let Some((pinned, shown)) = self.other_key() {
                let (pinned, shown) = (Box::new(pinned), Box::new(shown));
                return FenceError::OtherCertificate { device: device.clone(), doing, pinned, shown };
            }
            if error.is_timeout() && !error.is_connect() {
                FenceError::Deadline { device: device.clone(), doing, deadline: REQUEST }
            } else {
                let source = Box::new(error.without_url());
                FenceError::Unreachable { device: device.clone(), doing, source }
            }
        };
        let mut request = self
            .client
            .request(method, url)
            .header("Accept", "application/json")
            .header("OData-Version", "4.0")
            .basic_auth(&self.access.user, Some(self.access.password.expose_secret()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MAX_BODY_BYTES {
                let why = format!("it is larger than {MAX_BODY_BYTES} bytes");
                return Err(FenceError::Malformed { device, doing, why });
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(bytes);
        }
        let words = one_line(&String::from_utf8_lossy(&bytes), &[&self.access.password]);
        let said = format!("HTTP {status}: {words}");
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FenceError::Denied { device, doing, said },
            _ => FenceError::Failed { device, doing, said },
        })
    }

    /// The pinned key and the one that was shown instead of it.
    fn other_key(&self) -> Option<(Pin, Pin)> {
        match (&self.access.verify, self.shown.pin()) {
            (Verify::Pinned(pinned), Some(shown)) if *pinned != shown => Some((*pinned, shown)),
            (Verify::Pinned(_) | Verify::System | Verify::Ca(_) | Verify::Not, _) => None,
        }
    }

    /// The path that a system says a reset is sent to: its own, as it was identified. Whatever else the same service can
    /// switch is another machine.
    fn reset_target(&self, doing: &'static str, system: &Url, target: &str) -> Result<Url, FenceError> {
        let url = self.at(doing, target)?;
        let own = format!("{}/", system.path().trim_end_matches('/'));
        if url.path().starts_with(&own) && url.query().is_none() && url.fragment().is_none() {
            return Ok(url);
        }
        let target = one_line(target, &[&self.access.password]);
        let why = format!("it names {target:?} to reset the system at {own}, which is not below it");
        Err(FenceError::Malformed { device: self.describe(), doing, why })
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        doing: &'static str,
        url: Url,
    ) -> Result<T, FenceError> {
        self.understood(doing, &self.ask(doing, Method::GET, url, None).await?)
    }

    fn understood<T: serde::de::DeserializeOwned>(
        &self,
        doing: &'static str,
        bytes: &[u8],
    ) -> Result<T, FenceError> {
        serde_json::from_slice(bytes).map_err(|error| FenceError::Malformed {
            device: self.describe(),
            doing,
            why: error.to_string(),
        })
    }

    /// Where the one system of a collection is.
    fn only(&self, doing: &'static str, collection: &Collection) -> Result<Url, FenceError> {
        match collection.members.as_slice() {
            [only] => self.at(doing, &only.id),
            several => Err(FenceError::Settings {
                device: self.describe(),
                why: format!("it has {} systems; name the right one in \"system\"", several.len()),
            }),
        }
    }

    /// `PoweringOff`, `PoweringOn`, `Paused` and an absent state are unknown.
    fn power_state(&self, system: &System) -> PowerState {
        match system.power_state.as_ref().and_then(Value::as_str) {
            Some("On") => PowerState::On,
            Some("Off") => PowerState::Off,
            Some(other) => PowerState::Unknown(one_line(other, &[&self.access.password])),
            None => PowerState::Unknown("no PowerState".to_owned()),
        }
    }

    /// Where a reset of this system is sent to.
    fn off_target(&self, doing: &'static str, url: &Url, system: System) -> Result<Url, FenceError> {
        let reset = system.actions.reset;
        if reset.as_ref().is_some_and(Reset::refuses_force_off) {
            let said = "the system does not offer ForceOff".to_owned();
            return Err(FenceError::Denied { device: self.describe(), doing, said });
        }
        match reset.and_then(|reset| reset.target) {
            Some(target) => self.reset_target(doing, url, &target),
            // Where the standard's examples have it, for services that do not say.
            None => {
                self.at(doing, &format!("{}/Actions/ComputerSystem.Reset", url.path().trim_end_matches('/')))
            }
        }
    }

    /// The system and where it is.
    async fn system(&self, doing: &'static str) -> Result<(Url, System), FenceError> {
        let url = match &self.access.system {
            Some(id) => self.at(doing, &format!("{SYSTEMS}/{id}"))?,
            None => {
                let collection: Collection = self.get(doing, self.at(doing, SYSTEMS)?).await?;
                self.only(doing, &collection)?
            }
        };
        let system = self.get(doing, url.clone()).await?;
        Ok((url, system))
    }
}

fn describe(access: &RedfishAccess) -> String {
    let origin = access.url.origin().ascii_serialization();
    match &access.system {
        Some(system) => format!("redfish {origin} system {system} as {:?}", access.user),
        None => format!("redfish {origin} as {:?}", access.user),
    }
}

#[async_trait]
impl PowerSwitch for Redfish {
    async fn read(&self) -> Result<PowerState, FenceError> {
        self.look().await.map(|seen| seen.power)
    }

    async fn look(&self) -> Result<Seen, FenceError> {
        let (_, system) = self.system("read the power").await?;
        let identity = system.identity();
        let mut first = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            first.clone_from(&identity);
        }
        Ok(Seen { power: self.power_state(&system), identity })
    }

    async fn switch_off(&self) -> Result<(), FenceError> {
        let doing = "switch off";
        let (url, system) = self.system(doing).await?;
        let first = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(first), Some(now)) = (first, system.identity())
            && first.contradicts(&now)
        {
            let (first, now) = (Box::new(first), Box::new(now));
            return Err(FenceError::OtherMachine { device: self.describe(), first, now });
        }
        let target = self.off_target(doing, &url, system)?;
        let body = serde_json::json!({ "ResetType": "ForceOff" });
        self.ask(doing, Method::POST, target, Some(body)).await.map(|_| ())
    }

    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        let (_, system) = self.system(WHOSE).await?;
        Ok(system.identity())
    }

    /// With the numbers of its chassis, where it has one. A chassis that cannot be read says nothing.
    async fn identity_in_full(&self) -> Result<Option<Identity>, FenceError> {
        let (_, system) = self.system(WHOSE).await?;
        let stated = system.identity();
        let Some(url) = system.chassis().and_then(|path| self.at(WHOSE, path).ok()) else {
            return Ok(stated);
        };
        let Ok(chassis) = self.get::<Chassis>(WHOSE, url).await else { return Ok(stated) };
        let tag = tag(chassis.sku.as_ref(), chassis.manufacturer.as_ref());
        let also: Vec<String> = word(chassis.serial.as_ref()).into_iter().chain(tag).collect();
        let more = Identity { uuid: None, serial: None, also };
        let full = stated.unwrap_or_default().with(more);
        Ok((full != Identity::default()).then_some(full))
    }

    /// Its key, where that is pinned; else a number that it states.
    async fn shows(&self) -> Result<Mark, FenceError> {
        if let Verify::Pinned(pin) = &self.access.verify {
            return Ok(Mark::Certificate(*pin));
        }
        let stated = self.identity_in_full().await?.filter(Identity::has_serial);
        let number =
            |stated: Identity| stated.serial.iter().chain(&stated.also).find_map(|text| Mark::serial(text));
        Ok(stated.and_then(number).unwrap_or(Mark::Nothing))
    }

    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        match self.system("ask what it offers").await {
            Ok((_, system)) if system.actions.reset.as_ref().is_some_and(Reset::refuses_force_off) => {
                Ok(Privilege::Denied(format!("{}: the system does not offer ForceOff", self.describe())))
            }
            Ok(_) => Ok(Privilege::CannotTell(format!(
                "{}: the account may read; whether it may switch off is only seen by trying",
                self.describe()
            ))),
            Err(FenceError::Denied { said, .. }) => {
                Ok(Privilege::Denied(format!("{}: the account may not even read: {said}", self.describe())))
            }
            Err(error) => Err(error),
        }
    }

    fn channel(&self) -> Channel {
        match (self.access.url.scheme(), &self.access.verify) {
            ("https", Verify::System | Verify::Ca(_) | Verify::Pinned(_)) => Channel::Shown,
            ("https", Verify::Not) => Channel::Open(Gap::UnjudgedCertificate),
            (_, _) => Channel::Open(Gap::PlainHttp),
        }
    }

    fn describe(&self) -> String {
        describe(&self.access)
    }
}
