//! Where Consul is and how to speak to it: the standard `CONSUL_*` variables.
//!
//! They mean what they mean to Consul's own command line, with two exceptions on the safe side: an
//! empty token file is an error (Consul would go on as the anonymous token, whose reads look
//! empty), and proxies of the environment are not used (they could read the token). Files are read
//! once, here, so that a wrong path is said at the start and names its variable.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::store::StoreError;

/// Where the agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `http://HOST:PORT[/PATH]`, without the scheme.
    Http(String),
    /// `https://HOST:PORT[/PATH]`, without the scheme.
    Https(String),
    /// `unix:///PATH`.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Http(rest) => write!(f, "http://{rest}"),
            Address::Https(rest) => write!(f, "https://{rest}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Deadlines and retries of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect. Below `attempt`, so that a dead address is told from a slow answer. A link that
    /// is down takes the kernel 5 s to report, so this must be our own.
    pub connect: Duration,
    /// One attempt, from connecting to the last byte.
    pub attempt: Duration,
    /// Attempts beyond the first, of a read; of a write only where Consul says that nothing was done.
    pub retries: u32,
    /// Pause before the first repetition, doubled before each further one, plus up to as much
    /// again at random, so that HA nodes which lost the same leader do not return in step.
    pub backoff: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        // All attempts at their longest (4 x 5 s and 2.8 s of pauses) stay below the 30 s that Consul
        // gives a script check. A lost leader is replaced in about 3 s; a server holds requests for
        // up to 7 s meanwhile (`rpc_hold_timeout`), so that a longer loss usually shows as a
        // deadline here, seldom as "no leader". Both may pass.
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(5),
            retries: 3,
            backoff: Duration::from_millis(200),
        }
    }
}

/// What `https` needs.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM bundles that are trusted, each with where it came from; none means the system's.
    pub ca: Vec<(String, Vec<u8>)>,
    /// Our certificate and its key, one PEM after the other.
    pub identity: Option<SecretString>,
    /// The name that the server's certificate must carry, where it is not the address's.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure: bool,
}

/// Everything that a client is made from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the agent listens.
    pub address: Address,
    /// The ACL token.
    pub token: Option<SecretString>,
    /// A datacenter other than the agent's own.
    pub datacenter: Option<String>,
    /// For `https` only.
    pub tls: Tls,
    /// Deadlines and retries.
    pub timeouts: Timeouts,
}

impl Settings {
    /// An agent at this address, with nothing else set.
    pub fn new(address: Address) -> Self {
        Self { address, token: None, datacenter: None, tls: Tls::default(), timeouts: Timeouts::default() }
    }

    /// From the process's environment.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names the variable.
    pub fn from_env() -> Result<Self, StoreError> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// From any source of variables; an empty value is as good as none, as for Consul itself.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names the variable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        let text = |name: &'static str| -> Result<Option<String>, StoreError> {
            match lookup(name).filter(|value| !value.is_empty()) {
                None => Ok(None),
                Some(value) => {
                    value.into_string().map(Some).map_err(|_| wrong(name, "is not UTF-8".to_owned()))
                }
            }
        };

        let ssl = flag("CONSUL_HTTP_SSL", text("CONSUL_HTTP_SSL")?)?.unwrap_or(false);
        let address = parse_address(text("CONSUL_HTTP_ADDR")?.as_deref(), ssl)?;

        // As for Consul itself, the file wins over the variable.
        let token = match text("CONSUL_HTTP_TOKEN_FILE")? {
            Some(path) => Some(token_file(Path::new(&path))?),
            None => text("CONSUL_HTTP_TOKEN")?
                .map(|token| check_token("CONSUL_HTTP_TOKEN", token.trim()))
                .transpose()?,
        };

        let tls = match address {
            Address::Https(_) => Tls {
                ca: authorities(text("CONSUL_CACERT")?, text("CONSUL_CAPATH")?)?,
                identity: identity(text("CONSUL_CLIENT_CERT")?, text("CONSUL_CLIENT_KEY")?)?,
                server_name: text("CONSUL_TLS_SERVER_NAME")?,
                insecure: !flag("CONSUL_HTTP_SSL_VERIFY", text("CONSUL_HTTP_SSL_VERIFY")?)?.unwrap_or(true),
            },
            Address::Http(_) | Address::Unix(_) => Tls::default(),
        };

        Ok(Self {
            address,
            token,
            datacenter: text("CONSUL_DATACENTER")?,
            tls,
            timeouts: Timeouts::default(),
        })
    }
}

pub(super) fn wrong(setting: &str, message: String) -> StoreError {
    StoreError::Settings { setting: setting.to_owned(), message }
}

fn parse_address(text: Option<&str>, ssl: bool) -> Result<Address, StoreError> {
    const NAME: &str = "CONSUL_HTTP_ADDR";
    let text = text.unwrap_or("127.0.0.1:8500").trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("http".to_owned(), text),
    };
    match scheme.as_str() {
        "unix" => {
            if ssl {
                return Err(wrong("CONSUL_HTTP_SSL", format!("cannot be used with {NAME}={text}")));
            }
            if !rest.starts_with('/') {
                return Err(wrong(NAME, format!("{text:?} is no absolute path: expected unix:///PATH")));
            }
            Ok(Address::Unix(PathBuf::from(rest)))
        }
        "http" | "https" => {
            let rest = rest.trim_end_matches('/');
            // The text itself is not repeated where it holds a password.
            if rest.contains('@') {
                return Err(wrong(NAME, "must not hold a user or a password".to_owned()));
            }
            let url = url::Url::parse(&format!("http://{rest}"))
                .map_err(|error| wrong(NAME, format!("{text:?} is no address: {error}")))?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(wrong(NAME, format!("{text:?} is no address: it has a query")));
            }
            // Never back to plain http where TLS was asked for by either variable.
            if ssl || scheme == "https" {
                Ok(Address::Https(rest.to_owned()))
            } else {
                Ok(Address::Http(rest.to_owned()))
            }
        }
        other => Err(wrong(NAME, format!("scheme {other:?} is unknown: expected http, https or unix"))),
    }
}

/// What Go's `strconv.ParseBool` takes, since Consul's own tools read the same variables.
fn flag(name: &str, text: Option<String>) -> Result<Option<bool>, StoreError> {
    match text.as_deref() {
        None => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(other) => Err(wrong(name, format!("{other:?} is neither true nor false"))),
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|error| wrong(name, format!("cannot read {}: {error}", path.display())))
}

fn token_file(path: &Path) -> Result<SecretString, StoreError> {
    const NAME: &str = "CONSUL_HTTP_TOKEN_FILE";
    let text = String::from_utf8(read(NAME, path)?)
        .map_err(|_| wrong(NAME, format!("{} is not UTF-8", path.display())))?;
    if text.trim().is_empty() {
        return Err(wrong(NAME, format!("{} is empty", path.display())));
    }
    warn_if_open(path);
    check_token(NAME, text.trim())
}

/// A group is named on purpose: that of the user as whom Consul runs its checks. To refuse the token would protect nothing
/// that is not known already, and might cost a recovery.
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o022;
    let mode = std::fs::metadata(path).map_or(0, |is| is.permissions().mode() & 0o7777);
    if mode & (OTHERS_READ | OTHERS_WRITE) != 0 {
        let (file, fix) = (path.display(), format!("chmod go-w,o= {}", path.display()));
        tracing::warn!(%file, mode = format!("{mode:04o}"), fix, "others may read or write this token");
    }
}

/// The token goes into a header; the error never shows it.
fn check_token(name: &str, token: &str) -> Result<SecretString, StoreError> {
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong(name, "the token holds blanks or characters other than ASCII".to_owned()));
    }
    Ok(SecretString::from(token.to_owned()))
}

/// As for Consul itself, the file wins over the folder.
fn authorities(file: Option<String>, folder: Option<String>) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    if let Some(file) = file {
        let pem = read("CONSUL_CACERT", Path::new(&file))?;
        return Ok(vec![(format!("CONSUL_CACERT={file}"), pem)]);
    }
    let Some(folder) = folder else { return Ok(Vec::new()) };
    const NAME: &str = "CONSUL_CAPATH";
    let unreadable = |error: std::io::Error| wrong(NAME, format!("cannot read {folder}: {error}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            found.push((format!("{NAME}={}", path.display()), read(NAME, &path)?));
        }
    }
    if found.is_empty() {
        return Err(wrong(NAME, format!("{folder} holds no file")));
    }
    found.sort();
    Ok(found)
}

fn identity(cert: Option<String>, key: Option<String>) -> Result<Option<SecretString>, StoreError> {
    let (cert, key) = match (cert, key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => {
            return Err(wrong("CONSUL_CLIENT_KEY", "is missing beside CONSUL_CLIENT_CERT".to_owned()));
        }
        (None, Some(_)) => {
            return Err(wrong("CONSUL_CLIENT_CERT", "is missing beside CONSUL_CLIENT_KEY".to_owned()));
        }
    };
    let pem = |name: &str, path: &str| {
        let text = String::from_utf8(read(name, Path::new(path))?);
        text.map(SecretString::from).map_err(|_| wrong(name, format!("{path} is not PEM")))
    };
    let (cert, key) = (pem("CONSUL_CLIENT_CERT", &cert)?, pem("CONSUL_CLIENT_KEY", &key)?);
    Ok(Some(SecretString::from(format!("{}\n{}", cert.expose_secret(), key.expose_secret()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Settings, StoreError> {
        Settings::from_lookup(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)))
    }

    #[test]
    fn every_spelling_of_an_address_is_read() {
        for (text, ssl, expected) in [
            ("", "", "http://127.0.0.1:8500"),
            ("10.0.0.1:8500", "", "http://10.0.0.1:8500"),
            ("10.0.0.1:8501", "true", "https://10.0.0.1:8501"),
            ("http://consul:8500/", "", "http://consul:8500"),
            ("http://consul:8501", "1", "https://consul:8501"),
            ("HTTPS://consul:8501", "false", "https://consul:8501"),
            ("https://[::1]:8501/behind/a/proxy", "", "https://[::1]:8501/behind/a/proxy"),
            ("unix:///run/consul.sock", "", "unix:///run/consul.sock"),
        ] {
            let settings = from(&[("CONSUL_HTTP_ADDR", text), ("CONSUL_HTTP_SSL", ssl)]).unwrap();
            assert_eq!(settings.address.to_string(), expected);
        }
    }

    #[test]
    fn each_error_names_its_variable() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let empty = empty.path().to_str().unwrap();
        let https = ("CONSUL_HTTP_SSL", "true");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("CONSUL_HTTP_ADDR", "tcp://x")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "unix://relative")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "http://u:sesame@x")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "x:port")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "unix:///x"), https], "CONSUL_HTTP_SSL"),
            (&[("CONSUL_HTTP_SSL", "yes")], "CONSUL_HTTP_SSL"),
            (&[("CONSUL_HTTP_TOKEN", "open sesame")], "CONSUL_HTTP_TOKEN"),
            (&[("CONSUL_HTTP_TOKEN_FILE", "/absent")], "CONSUL_HTTP_TOKEN_FILE"),
            (&[("CONSUL_HTTP_TOKEN_FILE", empty)], "CONSUL_HTTP_TOKEN_FILE"),
            (&[("CONSUL_CACERT", "/absent"), https], "CONSUL_CACERT"),
            (&[("CONSUL_CAPATH", "/absent"), https], "CONSUL_CAPATH"),
            (&[("CONSUL_CLIENT_CERT", empty), https], "CONSUL_CLIENT_KEY"),
            (&[("CONSUL_CLIENT_KEY", empty), https], "CONSUL_CLIENT_CERT"),
            (&[("CONSUL_CLIENT_KEY", empty), ("CONSUL_CLIENT_CERT", "/absent"), https], "CONSUL_CLIENT_CERT"),
            (&[("CONSUL_HTTP_SSL_VERIFY", "no"), https], "CONSUL_HTTP_SSL_VERIFY"),
        ];
        for (pairs, expected) in cases {
            let error = from(pairs).unwrap_err();
            assert!(
                matches!(&error, StoreError::Settings { setting, .. } if setting == expected),
                "{pairs:?}: {error}"
            );
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }

    #[test]
    fn the_token_file_wins_and_no_token_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings =
            from(&[("CONSUL_HTTP_TOKEN", "from-variable"), ("CONSUL_HTTP_TOKEN_FILE", path)]).unwrap();
        assert_eq!(settings.token.as_ref().unwrap().expose_secret(), "from-file");
        assert!(!format!("{settings:?}").contains("from-file"));
    }
}
