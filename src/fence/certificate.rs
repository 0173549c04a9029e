//! Which key a BMC's certificate is for: pinned by a person, compared in the TLS handshake, before a credential is sent.
//!
//! What is pinned is the hash of the certificate's public key with its algorithm (the `SubjectPublicKeyInfo` of RFC 5280,
//! as in RFC 7469), not of the whole certificate: BMCs renew their self-signed certificates by themselves, with another
//! date and serial number and mostly the same key. A new key is a new pin. With a pin nothing else of the certificate
//! counts: neither who signed it, nor its names, its dates, nor that it calls itself a CA. That the server has the private
//! key is checked as ever.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// SHA-256 of the public key of a server's certificate (DER of its `SubjectPublicKeyInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// A text that is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pin is sha256: and 64 hexadecimal digits, of the certificate's public key (docs/bmc.md)")]
pub struct NoPin;

impl Pin {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let hash = digest(&SHA256, key.as_ref());
        let bytes = hash.as_ref().try_into();
        bytes.map(Self).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Pin {
    type Err = NoPin;

    /// Colons between the digits, as some tools print them, and capitals are taken.
    fn from_str(text: &str) -> Result<Self, NoPin> {
        let (kind, digits) = text.trim().split_once(':').ok_or(NoPin)?;
        let digits: String = digits.chars().filter(|c| *c != ':').collect();
        if !kind.eq_ignore_ascii_case("sha256")
            || digits.len() != 64
            || !digits.chars().all(|c| c.is_ascii_hexdigit())
        {
            return Err(NoPin);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let two = digits.get(index * 2..index * 2 + 2).ok_or(NoPin)?;
            *byte = u8::from_str_radix(two, 16).map_err(|_| NoPin)?;
        }
        Ok(Self(bytes))
    }
}

/// What the last handshake showed, for whoever asks after it.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Mutex<Option<Pin>>>);

impl Shown {
    /// The key of the last certificate that was shown.
    pub fn pin(&self) -> Option<Pin> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, pin: Pin) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pin);
    }
}

/// TLS that believes a server by this key alone; without one, any key, to see which it is: then nothing secret may be sent.
///
/// # Errors
/// The TLS library cannot be set up.
pub fn tls(pinned: Option<Pin>) -> Result<(ClientConfig, Shown), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = Shown::default();
    let verifier = ByKey { pinned, shown: shown.clone(), provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((config, shown))
}

/// Compares the key, and that the server has it.
#[derive(Debug)]
struct ByKey {
    pinned: Option<Pin>,
    shown: Shown,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Pin::of(end_entity)?;
        self.shown.is(shown);
        match self.pinned.is_none_or(|pinned| pinned == shown) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_written_and_nothing_else_is_one() {
        let text = format!("sha256:{}", "0a".repeat(32));
        let pin: Pin = text.parse().unwrap();
        assert_eq!(pin.to_string(), text);
        let colons = format!("SHA256:{}", vec!["0A"; 32].join(":"));
        assert_eq!(colons.parse::<Pin>().unwrap(), pin);
        for bad in
            ["", "sha256:", &"0a".repeat(32), &format!("sha1:{}", "0a".repeat(20)), &text[..70], "sha256:é"]
        {
            assert!(bad.parse::<Pin>().is_err(), "{bad:?} was taken");
        }
        let plus = format!("sha256:{}+a", "0a".repeat(31));
        assert!(plus.parse::<Pin>().is_err());
    }
}
