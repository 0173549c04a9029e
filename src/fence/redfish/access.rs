//! Where a Redfish service is, who we are there, and how its certificate is judged.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::fence::certificate::Pin;

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
    /// Wall clock for one request with its answer.
    pub limit: Duration,
}
