//! Redfish: the HTTP interface of newer BMCs.
//!
//! The resource that is read and switched is the only member of the systems collection, or the one that the configuration
//! names; of two, none is chosen. Which machine it is, is read in the same answer as its power. How it is talked to, and how a
//! password goes nowhere else, is in `http`.

mod access;
mod body;
mod http;
mod look;
mod session;
mod words;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::Url;

pub use self::access::{RedfishAccess, Verify};
use self::http::{Http, Talk};
pub use self::look::{Certificate, look};
use self::words::{Chassis, Collection, System, usual_target};
use super::said::one_line;
use super::{Channel, FenceError, Gap, Identity, Mark, PowerState, PowerSwitch, Privilege, Seen};

/// Wall clock for one request with its answer, where the level has no deadline of its own. BMCs are slow: some take 10 s for a
/// system. Whoever asks may stop waiting earlier.
pub const REQUEST: Duration = Duration::from_secs(60);

/// For so long a command follows from the look before it, without another one: a slow BMC would not hear it in time.
const LOOKED: Duration = Duration::from_secs(30);

const SYSTEMS: &str = "/redfish/v1/Systems";

const WHOSE: &str = "ask for its identity";

/// A BMC reached by Redfish.
pub struct Redfish {
    system: Option<String>,
    verify: Verify,
    device: String,
    http: Http,
    known: Mutex<Known>,
}

/// What it said so far.
#[derive(Default)]
struct Known {
    /// Where its system is.
    at: Option<Url>,
    /// Which machine it stated first.
    stated: Option<Identity>,
    /// Its last answer.
    last: Option<Last>,
}

/// The last answer about the power.
#[derive(Clone)]
struct Last {
    when: Instant,
    stated: Option<Identity>,
    refuses_force_off: bool,
    /// Where a reset is sent to; nothing where it names what is not below the system.
    target: Option<Url>,
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
        self.only(doing, &self.parsed(doing, body)?)
    }

    /// What a system says of itself.
    pub(crate) fn system_said(&self, url: &Url, body: &[u8]) -> Result<SystemSaid, FenceError> {
        let doing = "switch off";
        let system: System = self.parsed(doing, body)?;
        Ok((self.power_state(&system), system.identity(), self.off_target(doing, url, &system)))
    }

    fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        doing: &'static str,
        body: &[u8],
    ) -> Result<T, FenceError> {
        words::parse(body).map_err(|(_, why)| self.malformed(doing, why))
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
        let http = Http::new(&access, &device)?;
        let RedfishAccess { system, verify, .. } = access;
        Ok(Self { system, verify, device, http, known: Mutex::default() })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn malformed(&self, doing: &'static str, why: String) -> FenceError {
        FenceError::Malformed { device: self.device.clone(), doing, why }
    }

    /// The path that a system says a reset is sent to: its own, as it was identified. Whatever else the same service can
    /// switch is another machine.
    fn reset_target(&self, doing: &'static str, system: &Url, target: &str) -> Result<Url, FenceError> {
        let url = self.http.at(doing, target)?;
        let own = format!("{}/", system.path().trim_end_matches('/'));
        if url.path().starts_with(&own) && url.query().is_none() && url.fragment().is_none() {
            return Ok(url);
        }
        let target = one_line(target, &[&self.http.password]);
        let why = format!("it names {target:?} to reset the system at {own}, which is not below it");
        Err(self.malformed(doing, why))
    }

    /// Where the one system of a collection is.
    fn only(&self, doing: &'static str, collection: &Collection) -> Result<Url, FenceError> {
        match (collection.paths().as_slice(), collection.has_more()) {
            ([only], false) => self.http.at(doing, only),
            ([], _) => Err(self.malformed(doing, "it names no system".to_owned())),
            (several, _) => {
                let ids: Vec<&str> = several
                    .iter()
                    .take(5)
                    .filter_map(|path| path.rsplit('/').find(|id| !id.is_empty()))
                    .collect();
                let ids = one_line(&ids.join(", "), &[&self.http.password]);
                let why =
                    format!("it has {} systems ({ids}); name the right one in \"system\"", several.len());
                Err(FenceError::Settings { device: self.device.clone(), why })
            }
        }
    }

    /// `PoweringOff`, `PoweringOn`, `Paused` and an absent state are unknown.
    fn power_state(&self, system: &System) -> PowerState {
        match system.power() {
            Some("On") => PowerState::On,
            Some("Off") => PowerState::Off,
            Some(other) => PowerState::Unknown(one_line(other, &[&self.http.password])),
            None => PowerState::Unknown("no PowerState".to_owned()),
        }
    }

    /// Where a reset of this system is sent to.
    fn off_target(&self, doing: &'static str, url: &Url, system: &System) -> Result<Url, FenceError> {
        if system.refuses_force_off() {
            let said = "the system does not offer ForceOff".to_owned();
            return Err(FenceError::Denied { device: self.device.clone(), doing, said });
        }
        match system.target() {
            Some(target) => self.reset_target(doing, url, target),
            // For services that do not say.
            None => self.http.at(doing, &usual_target(url)),
        }
    }

    /// The system and where it is: where it was, as long as it is there.
    async fn system(&self, doing: &'static str, talk: &mut Talk<'_>) -> Result<(Url, System), FenceError> {
        let known = self.known().at.clone();
        if let Some(url) = known {
            match talk.get_if_there::<System>(url).await? {
                Some(found) => return Ok(self.heard(found.at, found.what)),
                None => self.known().at = None,
            }
        }
        let url = match &self.system {
            Some(id) => self.http.at(doing, &format!("{SYSTEMS}/{id}"))?,
            None => {
                let collection = talk.get::<Collection>(self.http.at(doing, SYSTEMS)?).await?;
                self.only(doing, &collection.what)?
            }
        };
        let found = talk.get::<System>(url).await?;
        Ok(self.heard(found.at, found.what))
    }

    /// Remembers an answer of the system.
    fn heard(&self, at: Url, system: System) -> (Url, System) {
        let stated = system.identity();
        let target = self.off_target("switch off", &at, &system).ok();
        let mut known = self.known();
        known.at = Some(at.clone());
        if known.stated.is_none() {
            known.stated.clone_from(&stated);
        }
        let refuses_force_off = system.refuses_force_off();
        known.last = Some(Last { when: Instant::now(), stated, refuses_force_off, target });
        (at, system)
    }

    /// The last answer, if it is of just now.
    fn last(&self) -> Option<Last> {
        self.known().last.clone().filter(|last| last.when.elapsed() <= LOOKED)
    }

    async fn seen(&self, talk: &mut Talk<'_>) -> Result<Seen, FenceError> {
        let (_, system) = self.system("read the power", talk).await?;
        Ok(Seen { power: self.power_state(&system), identity: system.identity() })
    }

    async fn off(&self, talk: &mut Talk<'_>) -> Result<(), FenceError> {
        let doing = "switch off";
        let target = match self.last().and_then(|last| last.target) {
            Some(target) => target,
            None => {
                let (url, system) = self.system(doing, talk).await?;
                self.off_target(doing, &url, &system)?
            }
        };
        let (first, now) = {
            let known = self.known();
            (known.stated.clone(), known.last.as_ref().and_then(|last| last.stated.clone()))
        };
        if let Some((first, now)) = first.zip(now).filter(|(first, now)| first.contradicts(now)) {
            let (first, now) = (Box::new(first), Box::new(now));
            return Err(FenceError::OtherMachine { device: self.device.clone(), first, now });
        }
        talk.post(target, serde_json::json!({ "ResetType": "ForceOff" })).await
    }

    async fn in_full(&self, talk: &mut Talk<'_>) -> Result<Option<Identity>, FenceError> {
        let (_, system) = self.system(WHOSE, talk).await?;
        let stated = system.identity();
        let Some(url) = system.chassis().and_then(|path| self.http.at(WHOSE, path).ok()) else {
            return Ok(stated);
        };
        let Ok(chassis) = talk.get::<Chassis>(url).await else { return Ok(stated) };
        let full = stated.unwrap_or_default().with(chassis.what.numbers());
        Ok((full != Identity::default()).then_some(full))
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
        let mut talk = self.http.talk("read the power");
        let seen = self.seen(&mut talk).await;
        talk.end().await;
        seen
    }

    async fn switch_off(&self) -> Result<(), FenceError> {
        let mut talk = self.http.talk("switch off");
        let done = self.off(&mut talk).await;
        talk.end().await;
        done
    }

    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        let mut talk = self.http.talk(WHOSE);
        let system = self.system(WHOSE, &mut talk).await;
        talk.end().await;
        Ok(system?.1.identity())
    }

    /// With the numbers of its chassis, where it has one. A chassis that cannot be read says nothing.
    async fn identity_in_full(&self) -> Result<Option<Identity>, FenceError> {
        let mut talk = self.http.talk(WHOSE);
        let stated = self.in_full(&mut talk).await;
        talk.end().await;
        stated
    }

    /// Its key, where that is pinned; else a number that it states.
    async fn shows(&self) -> Result<Mark, FenceError> {
        if let Verify::Pinned(pin) = &self.verify {
            return Ok(Mark::Certificate(*pin));
        }
        let stated = self.identity_in_full().await?.filter(Identity::has_serial);
        let number =
            |stated: Identity| stated.serial.iter().chain(&stated.also).find_map(|text| Mark::serial(text));
        Ok(stated.and_then(number).unwrap_or(Mark::Nothing))
    }

    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        let refuses = match self.last() {
            Some(last) => Ok(last.refuses_force_off),
            None => {
                let doing = "ask what it offers";
                let mut talk = self.http.talk(doing);
                let system = self.system(doing, &mut talk).await;
                talk.end().await;
                system.map(|(_, system)| system.refuses_force_off())
            }
        };
        match refuses {
            Ok(true) => {
                Ok(Privilege::Denied(format!("{}: the system does not offer ForceOff", self.describe())))
            }
            Ok(false) => Ok(Privilege::CannotTell(format!(
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
        match (self.http.url.scheme(), &self.verify) {
            ("https", Verify::System | Verify::Ca(_) | Verify::Pinned(_)) => Channel::Shown,
            ("https", Verify::Not) => Channel::Open(Gap::UnjudgedCertificate),
            (_, _) => Channel::Open(Gap::PlainHttp),
        }
    }

    fn describe(&self) -> String {
        self.device.clone()
    }
}
