//! Where the cloud is and who we are: `clouds.yaml`, `secure.yaml` and the `OS_*` variables.
//!
//! The files are found and merged as openstacksdk does, but for the working folder, which is never looked at: `clouds.yaml`
//! is `OS_CLIENT_CONFIG_FILE`, else that of `~/.config/openstack` or of `/etc/openstack`; the first that exists is used, and
//! a cloud of the same name in `secure.yaml` (`OS_CLIENT_SECURE_FILE`, else the one beside that `clouds.yaml`) is laid
//! over it. People run `nova-ha rejoin` wherever they are: a file that somebody else left there would name the keystone to which
//! root's password goes. Without a name (given, or in `OS_CLOUD`) the `OS_*` variables are the cloud. Vendor profiles
//! are not supported.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::clouds_file::{CloudEntry, CloudsFile, clouds_files, folders, read, secure_files};
use super::clouds_values::with_settings;
use super::environment::Environment;
use super::error::ConfigError;

/// A domain, a user or a project, by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// Who we are, to keystone.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `v3password`.
    Password {
        /// The user.
        user: Named,
        /// The user's domain; needed where the user is named.
        user_domain: Option<Named>,
        /// The secret.
        password: SecretString,
        /// What the token shall be good for.
        scope: Scope,
    },
    /// `v3applicationcredential`; its scope is its own.
    ApplicationCredential {
        /// The credential.
        credential: Named,
        /// The user and its domain, needed where the credential is named.
        owner: Option<(Named, Option<Named>)>,
        /// The secret.
        secret: SecretString,
    },
}

/// What a token by password is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One project, and for an administrator thereby the whole of Nova.
    Project {
        /// The project.
        project: Named,
        /// Its domain; needed where the project is named.
        domain: Option<Named>,
    },
    /// `system_scope: all`.
    System,
}

/// Everything that is needed to reach one cloud.
#[derive(Debug, Clone)]
pub struct CloudSettings {
    /// The name in `clouds.yaml`, or `envvars`.
    pub name: String,
    /// The file in which it stands, or the variables, for people.
    pub file: String,
    /// Keystone v3, ending in `/v3`.
    pub auth_url: Url,
    /// Who we are.
    pub credentials: Credentials,
    /// The region; may be absent where the cloud has only one.
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// Nova's address, instead of the catalog's.
    pub compute_url: Option<Url>,
    /// Placement's, likewise.
    pub placement_url: Option<Url>,
    /// Whether certificates are checked. Only `verify: false` or `insecure: true` turn it off.
    pub verify: bool,
    /// PEM bundle to trust instead of the system's. The CA's certificate: a self-signed certificate
    /// that the server itself shows is refused by the TLS library where it is marked as a CA.
    pub cacert: Option<PathBuf>,
    /// PEM client certificate and key (the key may be in the same file).
    pub client_certificate: Option<(PathBuf, Option<PathBuf>)>,
}

impl CloudSettings {
    /// The settings of the cloud `name`, else of `OS_CLOUD`, else of the `OS_*` variables.
    pub fn load(name: Option<&str>, env: &Environment) -> Result<Self, ConfigError> {
        let name =
            name.filter(|name| !name.is_empty()).map(str::to_owned).or_else(|| env.variable("OS_CLOUD"));
        let Some(name) = name else {
            if env.variable("OS_AUTH_URL").is_none() {
                return Err(ConfigError::Nothing);
            }
            return Self::from_entry(("envvars", VARIABLES), CloudEntry::of_variables(env), env);
        };
        let paths = clouds_files(env);
        let Some(file) = paths.iter().find(|path| path.is_file()) else {
            let mut looked_in: Vec<String> = env.variable("OS_CLIENT_CONFIG_FILE").into_iter().collect();
            looked_in.extend(folders(env).iter().map(|folder| folder.display().to_string()));
            return Err(ConfigError::NoFile { cloud: name, looked_in });
        };
        let CloudsFile { cloud, names: known } = read(file, &name)?;
        let Some(mut entry) = cloud else {
            return Err(ConfigError::UnknownCloud { cloud: name, file: file.clone(), known });
        };
        if let Some(secure) = secure_files(env, file).iter().find(|path| path.is_file())
            && let Some(top) = read(secure, &name)?.cloud
        {
            entry = entry.overlaid(top);
        }
        Self::from_entry((&name, &file.display().to_string()), entry, env)
    }

    /// Of a cloud by its name and the file in which it stands.
    fn from_entry(at: (&str, &str), entry: CloudEntry, env: &Environment) -> Result<Self, ConfigError> {
        let (name, file) = at;
        let invalid = |field, why: String| ConfigError::Invalid {
            cloud: name.to_owned(),
            file: file.to_owned(),
            field,
            why,
        };
        let (entry, region) = entry.in_region(env).map_err(|why| invalid("region_name", why))?;
        let whole = |field, text: &str| {
            with_settings(text, &entry, region.as_deref()).map_err(|why| invalid(field, why))
        };
        let path = |field, text: &Option<String>| match text {
            Some(text) => super::clouds_values::file(&whole(field, text)?, env)
                .map(Some)
                .map_err(|why| invalid(field, why)),
            None => Ok(None),
        };
        let address = |field, text: &Option<String>| match text {
            Some(text) => web_address(&whole(field, text)?).map(Some).map_err(|why| invalid(field, why)),
            None => Ok(None),
        };
        let Some(auth_url) = &entry.auth.auth_url else {
            if let Some(profile) = &entry.profile {
                let why =
                    format!("vendor profiles are not supported; write auth_url of {profile:?} into the file");
                return Err(invalid("profile", why));
            }
            return Err(missing(at, "auth.auth_url"));
        };
        let auth_url = whole("auth.auth_url", auth_url)?;
        let auth_url = keystone_v3(&auth_url).map_err(|why| invalid("auth.auth_url", why))?;
        let compute_url = address("compute_endpoint_override", &entry.compute_endpoint_override)?;
        let placement_url = address("placement_endpoint_override", &entry.placement_endpoint_override)?;
        let interface =
            entry.interface.clone().or(entry.endpoint_type.clone()).unwrap_or_else(|| "public".to_owned());
        let interface = interface.strip_suffix("URL").unwrap_or(&interface).to_owned();
        if !["public", "internal", "admin"].contains(&interface.as_str()) {
            return Err(invalid("interface", format!("{interface:?} is none of public, internal, admin")));
        }
        let verify = match (&entry.insecure, &entry.verify) {
            (Some(word), _) => {
                !truth(word).ok_or_else(|| invalid("insecure", format!("{word:?} is no boolean")))?
            }
            (None, Some(word)) => {
                truth(word).ok_or_else(|| invalid("verify", format!("{word:?} is no boolean")))?
            }
            (None, None) => true,
        };
        if entry.key.is_some() && entry.cert.is_none() {
            return Err(invalid("key", "there is a key without a cert".to_owned()));
        }
        let (cacert, cert, key) =
            (path("cacert", &entry.cacert)?, path("cert", &entry.cert)?, path("key", &entry.key)?);
        Ok(Self {
            name: name.to_owned(),
            file: file.to_owned(),
            auth_url,
            credentials: credentials(at, &entry)?,
            region,
            interface,
            compute_url,
            placement_url,
            verify,
            cacert,
            client_certificate: cert.map(|cert| (cert, key)),
        })
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl CloudSettings {
    /// Every cloud of a `clouds.yaml`, each laid over by itself as a `secure.yaml`.
    pub(crate) fn all_in(text: &str) -> Result<Vec<Result<Self, ConfigError>>, ConfigError> {
        use super::clouds_file::parse;
        let file = std::path::Path::new("clouds.yaml");
        let env = Environment::default();
        let settings = |name: String| {
            let entry = parse(file, text, &name)?.cloud.unwrap_or_default();
            Self::from_entry((&name, "clouds.yaml"), entry.clone().overlaid(entry), &env)
        };
        Ok(parse(file, text, "")?.names.into_iter().map(settings).collect())
    }
}

/// Where the settings are that stand in no file.
const VARIABLES: &str = "the OS_* variables";

fn missing((cloud, file): (&str, &str), field: &'static str) -> ConfigError {
    ConfigError::Missing { cloud: cloud.to_owned(), file: file.to_owned(), field }
}

fn credentials(at: (&str, &str), entry: &CloudEntry) -> Result<Credentials, ConfigError> {
    let auth = &entry.auth;
    let missing = |field| missing(at, field);
    let default_domain =
        || either(&auth.default_domain_id, &None).or_else(|| auth.default_domain.clone().map(Named::Id));
    let user_domain = either(&auth.user_domain_id, &auth.user_domain_name)
        .or_else(|| either(&auth.domain_id, &auth.domain_name))
        .or_else(default_domain);
    let user = either(&auth.user_id, &auth.username);
    let has_credential =
        auth.application_credential_id.is_some() || auth.application_credential_name.is_some();
    let kind = match entry.auth_type.as_deref() {
        Some(kind) => kind,
        None if has_credential => "v3applicationcredential",
        None => "password",
    };
    match kind {
        "password" | "v3password" => {
            let user = user.ok_or_else(|| missing("auth.username"))?;
            if matches!(user, Named::Name(_)) && user_domain.is_none() {
                return Err(missing("auth.user_domain_name"));
            }
            let project = either(&auth.project_id, &auth.project_name)
                .or_else(|| either(&auth.tenant_id, &auth.tenant_name));
            let scope = match (project, auth.system_scope.as_deref()) {
                (Some(project), _) => {
                    let domain = either(&auth.project_domain_id, &auth.project_domain_name)
                        .or_else(|| either(&auth.domain_id, &auth.domain_name))
                        .or_else(default_domain);
                    if matches!(project, Named::Name(_)) && domain.is_none() {
                        return Err(missing("auth.project_domain_name"));
                    }
                    Scope::Project { project, domain }
                }
                (None, Some("all")) => Scope::System,
                (None, _) => return Err(missing("auth.project_name")),
            };
            let password = auth.password.clone().ok_or_else(|| missing("auth.password"))?;
            Ok(Credentials::Password { user, user_domain, password, scope })
        }
        "v3applicationcredential" | "application_credential" => {
            let credential = either(&auth.application_credential_id, &auth.application_credential_name)
                .ok_or_else(|| missing("auth.application_credential_id"))?;
            let owner = match credential {
                Named::Id(_) => None,
                Named::Name(_) => Some((user.ok_or_else(|| missing("auth.username"))?, user_domain)),
            };
            let secret = auth
                .application_credential_secret
                .clone()
                .ok_or_else(|| missing("auth.application_credential_secret"))?;
            Ok(Credentials::ApplicationCredential { credential, owner, secret })
        }
        other => Err(ConfigError::Invalid {
            cloud: at.0.to_owned(),
            file: at.1.to_owned(),
            field: "auth_type",
            why: format!("{other:?} is not supported, only password and v3applicationcredential"),
        }),
    }
}

fn either(id: &Option<String>, name: &Option<String>) -> Option<Named> {
    id.clone().map(Named::Id).or_else(|| name.clone().map(Named::Name))
}

/// The words that openstacksdk takes for booleans.
fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Some(true),
        "false" | "no" | "off" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// An http or https address without a user in it (errors print addresses).
pub(super) fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return Err("it is no http or https address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it may not carry a user or a password".to_owned());
    }
    Ok(url)
}

/// `auth_url` is often written without its version.
fn keystone_v3(text: &str) -> Result<Url, String> {
    let mut url = web_address(text)?;
    let path = url.path().trim_end_matches('/').to_owned();
    if path.ends_with("/v2.0") {
        return Err("keystone v2.0 is not supported".to_owned());
    }
    url.set_path(&if path.ends_with("/v3") { path } else { format!("{path}/v3") });
    url.set_query(None);
    Ok(url)
}

#[cfg(test)]
mod tests;
