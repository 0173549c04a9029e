//! What can go wrong with a call, and what each means for the one who made it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::ids::{Microversion, NovaHost, RequestId};
use crate::say::short;

/// Which call it was: enough to find it in Nova's logs.
#[derive(Debug, Clone)]
pub struct Call {
    /// The HTTP method.
    pub method: reqwest::Method,
    /// The whole address; it never carries a secret.
    pub url: String,
    /// The id that we sent along.
    pub our_id: RequestId,
    /// The id that the answer carried, where there was an answer.
    pub nova_id: Option<RequestId>,
    /// Whether the call changes something, as opposed to reading or getting a token.
    pub effect: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method, self.url, self.nova_id.as_ref().unwrap_or(&self.our_id))
    }
}

/// Why a call to the cloud gave no usable answer.
///
/// None of these says that something in the cloud *failed*: `NotFound` and the refusals say what
/// Nova said, all others mean *cannot tell*.
#[derive(Debug, thiserror::Error)]
pub enum NovaError {
    /// No connection: the request was never sent.
    #[error("{call}: no connection")]
    Unreachable {
        /// The call.
        call: Box<Call>,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection broke after the request was, or may have been, sent; or the answer was cut.
    #[error("{call}: the connection broke before the whole answer was here")]
    Lost {
        /// The call.
        call: Box<Call>,
        /// Why.
        source: reqwest::Error,
    },
    /// No whole answer within the deadline; the request may have been sent.
    #[error("{call}: no whole answer within {after:?}")]
    Timeout {
        /// The call.
        call: Box<Call>,
        /// The time it was given.
        after: Duration,
    },
    /// Keystone refused the name, the secret or the project.
    #[error("{call}: keystone refuses the credentials of cloud {cloud:?}: {message}")]
    CredentialsRefused {
        /// The call.
        call: Box<Call>,
        /// The cloud's name in `clouds.yaml`, or `envvars`.
        cloud: String,
        /// Where its settings are.
        file: String,
        /// What keystone said.
        message: String,
    },
    /// What answers at `auth_url` is no keystone of version 3.
    #[error(
        "{call}: no keystone of version 3 answers there, which is auth_url of cloud {cloud:?}: {message}"
    )]
    NoKeystone {
        /// The call.
        call: Box<Call>,
        /// The cloud's name in `clouds.yaml`, or `envvars`.
        cloud: String,
        /// Where its settings are.
        file: String,
        /// The status, and what came with it.
        message: String,
    },
    /// Nova refused a token that keystone had given (a new one was tried, but where it was to be this one).
    #[error("{call}: not authorized: {message}")]
    Unauthorized {
        /// The call.
        call: Box<Call>,
        /// What Nova said.
        message: String,
    },
    /// The user may not do this.
    #[error("{call}: forbidden: {message}")]
    Forbidden {
        /// The call.
        call: Box<Call>,
        /// What Nova said.
        message: String,
    },
    /// 404.
    #[error("{call}: not found: {message}")]
    NotFound {
        /// The call.
        call: Box<Call>,
        /// What Nova said.
        message: String,
    },
    /// 409: the thing is in a state that does not allow this.
    #[error("{call}: conflict: {message}")]
    Conflict {
        /// The call.
        call: Box<Call>,
        /// What Nova said.
        message: String,
    },
    /// 400, for example *still in use* while the source's service is up.
    #[error("{call}: refused: {message}")]
    BadRequest {
        /// The call.
        call: Box<Call>,
        /// What Nova said.
        message: String,
    },
    /// 406: this Nova does not know the microversion.
    #[error("{call}: this Nova does not speak microversion {version}: {message}")]
    VersionRefused {
        /// The call.
        call: Box<Call>,
        /// The version that was asked for.
        version: Microversion,
        /// What Nova said.
        message: String,
    },
    /// 429 (or 413 from old rate limits): ask later.
    #[error("{call}: throttled")]
    Throttled {
        /// The call.
        call: Box<Call>,
        /// What `Retry-After` said.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("{call}: {status}: {message}")]
    ServerFault {
        /// The call.
        call: Box<Call>,
        /// The status.
        status: u16,
        /// What the server, or a proxy before it, said.
        message: String,
    },
    /// A status that no call here expects, for example a redirect.
    #[error("{call}: unexpected status {status}: {message}")]
    UnexpectedStatus {
        /// The call.
        call: Box<Call>,
        /// The status.
        status: u16,
        /// What came with it.
        message: String,
    },
    /// The answer is longer than any honest one; it was not read to its end.
    #[error("{call}: the answer is longer than {limit} bytes")]
    TooLarge {
        /// The call.
        call: Box<Call>,
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the API promises.
    #[error("{call}: the answer makes no sense: {}", short(why))]
    Malformed {
        /// The call.
        call: Box<Call>,
        /// What is wrong with it.
        why: String,
    },
    /// A cell's database does not answer: what Nova says about this is not the whole truth.
    #[error("{call}: Nova's cell of {what} is down, so nothing is known about it")]
    CellDown {
        /// The call.
        call: Box<Call>,
        /// Host or server.
        what: String,
    },
    /// Nova has no nova-compute service of that exact name: an empty list would mean nothing.
    #[error("Nova knows no nova-compute service on host {host}")]
    NoSuchHost {
        /// The host asked for.
        host: NovaHost,
    },
    /// The catalog has not what the settings name.
    #[error("the catalog of cloud {cloud:?} is of no use")]
    Catalog {
        /// The cloud's name.
        cloud: String,
        /// Where its settings are.
        file: String,
        /// What is missing, and what is there instead.
        source: Box<CatalogError>,
    },
    /// The settings of this cloud cannot be used, for example a CA file that is no PEM.
    #[error("the settings of cloud {cloud:?} cannot be used")]
    Settings {
        /// The cloud's name.
        cloud: String,
        /// Where they are.
        file: String,
        /// Why.
        source: Box<ConfigError>,
    },
    /// What was to be sent is not allowed there; nothing was sent.
    #[error("not sent: {why}")]
    NotSent {
        /// Why.
        why: String,
    },
}

impl NovaError {
    /// Whether the same call may well succeed later without anybody changing anything.
    ///
    /// It says nothing about whether repeating is *safe*: see [`Self::effect_may_have_happened`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Throttled { .. }
            | Self::ServerFault { .. }
            | Self::Malformed { .. }
            | Self::CellDown { .. } => true,
            Self::CredentialsRefused { .. }
            | Self::NoKeystone { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::BadRequest { .. }
            | Self::VersionRefused { .. }
            | Self::UnexpectedStatus { .. }
            | Self::TooLarge { .. }
            | Self::NoSuchHost { .. }
            | Self::Catalog { .. }
            | Self::Settings { .. }
            | Self::NotSent { .. } => false,
        }
    }

    /// Whether the change that the call asked for may have been made although there is no good
    /// answer. Then only a reading tells; the call must not be repeated before that.
    pub fn effect_may_have_happened(&self) -> bool {
        match self {
            Self::Lost { call, .. }
            | Self::Timeout { call, .. }
            | Self::ServerFault { call, .. }
            | Self::UnexpectedStatus { call, .. }
            | Self::TooLarge { call, .. }
            | Self::Malformed { call, .. } => call.effect,
            Self::Unreachable { .. }
            | Self::CredentialsRefused { .. }
            | Self::NoKeystone { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::BadRequest { .. }
            | Self::VersionRefused { .. }
            | Self::Throttled { .. }
            | Self::CellDown { .. }
            | Self::NoSuchHost { .. }
            | Self::Catalog { .. }
            | Self::Settings { .. }
            | Self::NotSent { .. } => false,
        }
    }

    /// The call that was made, where one was.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Unreachable { call, .. }
            | Self::Lost { call, .. }
            | Self::Timeout { call, .. }
            | Self::CredentialsRefused { call, .. }
            | Self::NoKeystone { call, .. }
            | Self::Unauthorized { call, .. }
            | Self::Forbidden { call, .. }
            | Self::NotFound { call, .. }
            | Self::Conflict { call, .. }
            | Self::BadRequest { call, .. }
            | Self::VersionRefused { call, .. }
            | Self::Throttled { call, .. }
            | Self::ServerFault { call, .. }
            | Self::UnexpectedStatus { call, .. }
            | Self::TooLarge { call, .. }
            | Self::Malformed { call, .. }
            | Self::CellDown { call, .. } => Some(call),
            Self::NoSuchHost { .. } | Self::Catalog { .. } | Self::Settings { .. } | Self::NotSent { .. } => {
                None
            }
        }
    }

    /// The id to look for in Nova's logs: its own, or ours where no answer came.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.call().map(|call| call.nova_id.as_ref().unwrap_or(&call.our_id))
    }
}

/// Why keystone's catalog does not lead to Nova.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// No service of this type.
    #[error("it has no service of type {service:?}, only: {}", list(.found))]
    NoService {
        /// The type that is needed.
        service: &'static str,
        /// The types that are there.
        found: Vec<String>,
    },
    /// The service has no endpoint of this interface in this region.
    #[error("{service:?} has no {interface} endpoint in region {region}, only: {}", list(.found))]
    NoEndpoint {
        /// The type that is needed.
        service: &'static str,
        /// `public`, `internal` or `admin`.
        interface: String,
        /// The region's name, or `(any)`.
        region: String,
        /// `INTERFACE in REGION` of those that are there.
        found: Vec<String>,
    },
    /// Several regions, and none named: two matches are an error, not a choice.
    #[error("{service:?} has {interface} endpoints in several regions and region_name is not set: {}", list(.found))]
    SeveralRegions {
        /// The type that is needed.
        service: &'static str,
        /// `public`, `internal` or `admin`.
        interface: String,
        /// The regions.
        found: Vec<String>,
    },
    /// Several addresses in one region.
    #[error("{service:?} has several {interface} endpoints and {service}_endpoint_override is not set: {}", list(.found))]
    SeveralAddresses {
        /// The type that is needed.
        service: &'static str,
        /// `public`, `internal` or `admin`.
        interface: String,
        /// `ADDRESS in REGION` of each.
        found: Vec<String>,
    },
    /// The address is none that this client can use.
    #[error("the address {:?} of {service:?} cannot be used: {}", short(url), short(why))]
    BadAddress {
        /// The type that is needed.
        service: &'static str,
        /// The address as the catalog has it.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The token has no catalog, as tokens without a project.
    #[error("the token has none (no project in its scope?)")]
    Absent,
}

impl CatalogError {
    /// The setting that mends it, of this cloud in this file. Other programs may well do without: they take the first of two.
    pub fn next(&self, cloud: &str, file: &str) -> String {
        let of = format!("of cloud {cloud:?} in {file}");
        match self {
            Self::NoService { .. } => {
                format!("see the catalog: openstack catalog list; the user is that {of}")
            }
            Self::NoEndpoint { .. } => format!("correct region_name or interface {of}"),
            Self::SeveralRegions { .. } => format!("set region_name {of}"),
            Self::SeveralAddresses { service, .. } | Self::BadAddress { service, .. } => {
                format!("set {service}_endpoint_override {of}")
            }
            Self::Absent => format!("set auth.project_name {of}, or compute_endpoint_override"),
        }
    }
}

impl NovaError {
    /// The operator's next step: a setting where it is one, else the command that shows whether the cloud answers.
    pub fn next(&self) -> String {
        match self {
            Self::Catalog { cloud, file, source } => source.next(cloud, file),
            Self::Settings { cloud, file, .. } => {
                format!("correct cacert, cert or key of cloud {cloud:?} in {file}")
            }
            Self::CredentialsRefused { cloud, file, .. } => {
                format!("correct auth of cloud {cloud:?} in {file}")
            }
            Self::NoKeystone { cloud, file, .. } => {
                format!("correct auth.auth_url of cloud {cloud:?} in {file}   (as https://KEYSTONE:5000/v3)")
            }
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::BadRequest { .. }
            | Self::VersionRefused { .. }
            | Self::Throttled { .. }
            | Self::ServerFault { .. }
            | Self::UnexpectedStatus { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::CellDown { .. }
            | Self::NoSuchHost { .. }
            | Self::NotSent { .. } => "openstack compute service list".into(),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { short(&names.join(", ")).into_owned() }
}

/// Why `clouds.yaml`, `secure.yaml` or `OS_*` do not say where the cloud is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The name is in no file.
    #[error("no cloud {cloud:?} in {}; it has: {}", .file.display(), list(.known))]
    UnknownCloud {
        /// The name asked for.
        cloud: String,
        /// The file that was used.
        file: PathBuf,
        /// The names there.
        known: Vec<String>,
    },
    /// A cloud is named and there is no file.
    #[error("cloud {cloud:?} is named, but there is no clouds.yaml; looked in: {}", list(.looked_in))]
    NoFile {
        /// The name asked for.
        cloud: String,
        /// The folders, in the order in which they were looked into, and a file that was named.
        looked_in: Vec<String>,
    },
    /// No cloud is named and no `OS_AUTH_URL` is set.
    #[error("no cloud is named (os_cloud, OS_CLOUD), and OS_AUTH_URL is not set")]
    Nothing,
    /// A file cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no valid YAML of the expected shape. The parser's own words are left out: they
    /// may quote a password.
    #[error("{} is not a valid clouds file{}", .file.display(), .at.as_deref().unwrap_or(""))]
    Parse {
        /// The file.
        file: PathBuf,
        /// `, line L column C`, where known.
        at: Option<String>,
    },
    /// Something that is needed is not there.
    #[error("cloud {:?} in {file} has no {field}", short(cloud))]
    Missing {
        /// The cloud's name.
        cloud: String,
        /// The file, or the variables.
        file: String,
        /// The name of the field, as in `clouds.yaml`.
        field: &'static str,
    },
    /// A value is not usable.
    #[error("cloud {:?} in {file}: {field}: {}", short(cloud), short(why))]
    Invalid {
        /// The cloud's name.
        cloud: String,
        /// The file, or the variables.
        file: String,
        /// The name of the field, as in `clouds.yaml`.
        field: &'static str,
        /// Why, without the value where that could be a secret.
        why: String,
    },
    /// The TLS library refuses the CA, the certificate or the key.
    #[error("cloud {cloud:?}: no TLS client can be made of cacert, cert and key")]
    Tls {
        /// The cloud's name.
        cloud: String,
        /// Why.
        source: reqwest::Error,
    },
}
