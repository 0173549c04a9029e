//! Why a BMC's certificate is not believed, for people: what is wrong with it, and the option that puts it right.

use std::fmt;

use rustls::CertificateError;

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// Nobody signed it whom this machine trusts; most BMCs sign their own.
    UnknownIssuer,
    /// Its time is over, or has not come.
    Dates,
    /// It is for another name or address.
    OtherName,
    /// Something else, in the library's words.
    Other(String),
}

impl Distrust {
    pub(super) fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Dates,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            other => Self::Other(other.to_string()),
        }
    }

    /// What a person types; `change` is what changes how the machine is reached. A pinned key is believed whatever else is wrong
    /// with the certificate.
    pub(super) fn next(&self, change: &str) -> String {
        let pin = format!("pin its key, which --bmc-pin also names: {change} --pin-bmc   (docs/bmc.md)");
        match self {
            Self::UnknownIssuer => {
                format!("name the authority that signed it: {change} --bmc-ca PATH; or {pin}")
            }
            Self::Dates => format!("look at the clocks of both, or renew it there; or {pin}"),
            Self::OtherName => {
                format!("call it what its certificate does: {change} --bmc-ip NAME; or {pin}")
            }
            Self::Other(_) => pin,
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => {
                f.write_str("its certificate is signed by nobody whom this HA node trusts (UnknownIssuer)")
            }
            Self::Dates => {
                f.write_str("its certificate has expired or is not valid yet, by the clock of this HA node")
            }
            Self::OtherName => f.write_str("its certificate is for another name than the one it is asked by"),
            Self::Other(why) => write!(f, "its certificate is not believed ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distrust_says_what_is_wrong_and_which_option_puts_it_right() {
        for (error, said, option) in [
            (CertificateError::UnknownIssuer, "signed by nobody", "CHANGE --bmc-ca PATH"),
            (CertificateError::Expired, "has expired", "clocks"),
            (CertificateError::NotValidYet, "not valid yet", "clocks"),
            (CertificateError::NotValidForName, "another name", "CHANGE --bmc-ip NAME"),
            (CertificateError::BadEncoding, "not believed", "CHANGE --pin-bmc"),
        ] {
            let distrust = Distrust::of(&error);
            let (text, next) = (distrust.to_string(), distrust.next("CHANGE"));
            assert!(
                text.contains(said) && next.contains(option) && next.contains("--pin-bmc"),
                "{text}: {next}"
            );
        }
    }
}
