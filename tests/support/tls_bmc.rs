//! A Redfish service by real TLS, with certificates as BMCs make them for themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn openssl(args: &[&str]) -> Vec<u8> {
    let done = Command::new("/usr/bin/openssl").args(args).stderr(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "openssl {args:?}");
    done.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A key in a folder.
pub(crate) fn key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", text(&path)]);
    path
}

/// A certificate of this key for 127.0.0.1 that nobody else signed, and that is no CA's.
pub(crate) fn own_certificate(key: &Path) -> PathBuf {
    let path = key.with_extension("own.crt");
    let more = ["-subj", "/CN=bmc", "-days", "2", "-addext", "basicConstraints=critical,CA:FALSE"];
    let address = ["-addext", "subjectAltName=IP:127.0.0.1"];
    let of = ["req", "-x509", "-new", "-key", text(key), "-out", text(&path)];
    openssl(&[&of[..], &more[..], &address[..]].concat());
    path
}

/// A certificate of this key that nobody else signed, as `openssl req -x509` and most BMCs make it: it calls itself a CA,
/// and names no address.
pub(crate) fn certificate(key: &Path, serial: &str) -> PathBuf {
    let path = key.with_extension(format!("{serial}.crt"));
    let (key, out) = (text(key), text(&path));
    let more = ["-subj", "/CN=bmc", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE"];
    openssl(
        &[&["req", "-x509", "-new", "-key", key, "-set_serial", serial, "-out", out], &more[..]].concat(),
    );
    path
}

/// The pin of a certificate, as docs/bmc.md says how to make it.
pub(crate) fn pin(certificate: &Path) -> String {
    let script = format!(
        "/usr/bin/openssl x509 -in {} -noout -pubkey | /usr/bin/openssl pkey -pubin -outform DER | /usr/bin/sha256sum",
        certificate.display()
    );
    let said = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    format!("sha256:{}", said.split_whitespace().next().unwrap())
}

/// Shows a certificate and signs with a key, whether they belong together or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// One system, off.
pub(crate) struct TlsBmc {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TlsBmc {
    pub(crate) fn start(certificate: &Path, key: &Path) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let private = PrivateKeyDer::from_pem_file(key).unwrap();
        let signs = provider.key_provider.load_private_key(private).unwrap();
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let shows = Shows(Arc::new(CertifiedKey::new(chain, signs)));
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shows));
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
                // A handshake that is refused is one request less.
                let _ = serve(stream, &heard);
            }
        });
        Self { port, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Every request that came through a handshake, with its headers.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    loop {
        let before = request.len();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        if request[before..].trim().is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    heard.lock().unwrap().push(request);
    let body = match path.as_str() {
        "/redfish/v1/Systems" => r#"{"Members":[{"@odata.id":"/redfish/v1/Systems/1"}]}"#,
        "/redfish/v1/Systems/1" => r#"{"PowerState":"Off","SerialNumber":"SN-1"}"#,
        _ => "{}",
    };
    let length = body.len();
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    stream.conn.send_close_notify();
    stream.flush()
}
