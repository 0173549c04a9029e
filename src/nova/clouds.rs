//! Where the cloud is and who we are: `clouds.yaml`, `secure.yaml` and the `OS_*` variables.
//!
//! The files are found and merged as openstacksdk does, but for the working folder, which is never looked at: `clouds.yaml`
//! is `OS_CLIENT_CONFIG_FILE`, else that of `~/.config/openstack` or of `/etc/openstack`; the first that exists is used, and
//! a cloud of the same name in `secure.yaml` (`OS_CLIENT_SECURE_FILE`, else the one beside that `clouds.yaml`) is laid
//! over it. People run `nova-ha rejoin` wherever they are: a file that somebody else left there would name the keystone to which
//! root's password goes. Without a name (given, or in `OS_CLOUD`) the `OS_*` variables are the cloud. Vendor profiles
//! are not supported.

use std::collections::HashMap;
use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::clouds_file::{CloudEntry, clouds_files, folders, read, secure_files};
use super::error::ConfigError;

/// What of the process's surroundings the settings depend on; a value, so that tests need no
/// variables of their own process.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables. Empty ones count as unset.
    pub variables: HashMap<String, String>,
    /// The home folder, where there is one.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// That of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let variables: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = variables.get("HOME").map(PathBuf::from);
        Self { variables, home }
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }
}

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
            return Self::from_entry("envvars", CloudEntry::of_variables(env));
        };
        let paths = clouds_files(env);
        let Some(file) = paths.iter().find(|path| path.is_file()) else {
            let mut looked_in: Vec<String> = env.variable("OS_CLIENT_CONFIG_FILE").into_iter().collect();
            looked_in.extend(folders(env).iter().map(|folder| folder.display().to_string()));
            return Err(ConfigError::NoFile { cloud: name, looked_in });
        };
        let mut clouds = read(file)?.clouds;
        let Some(mut entry) = clouds.remove(&name) else {
            let known = clouds.into_keys().collect();
            return Err(ConfigError::UnknownCloud { cloud: name, file: file.clone(), known });
        };
        if let Some(secure) = secure_files(env, file).iter().find(|path| path.is_file())
            && let Some(top) = read(secure)?.clouds.remove(&name)
        {
            entry = entry.overlaid(top);
        }
        Self::from_entry(&name, entry)
    }

    fn from_entry(name: &str, entry: CloudEntry) -> Result<Self, ConfigError> {
        let invalid = |field, why: String| ConfigError::Invalid { cloud: name.to_owned(), field, why };
        let Some(auth_url) = &entry.auth.auth_url else {
            if let Some(profile) = &entry.profile {
                let why =
                    format!("vendor profiles are not supported; write auth_url of {profile:?} into the file");
                return Err(invalid("profile", why));
            }
            return Err(ConfigError::Missing { cloud: name.to_owned(), field: "auth.auth_url" });
        };
        let auth_url = keystone_v3(auth_url).map_err(|why| invalid("auth.auth_url", why))?;
        let compute_url = match &entry.compute_endpoint_override {
            Some(text) => Some(web_address(text).map_err(|why| invalid("compute_endpoint_override", why))?),
            None => None,
        };
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
        Ok(Self {
            name: name.to_owned(),
            auth_url,
            credentials: credentials(name, &entry)?,
            region: entry.region_name.filter(|region| !region.is_empty()),
            interface,
            compute_url,
            verify,
            cacert: entry.cacert,
            client_certificate: entry.cert.map(|cert| (cert, entry.key)),
        })
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl CloudSettings {
    /// Every cloud of a `clouds.yaml`, each laid over by itself as a `secure.yaml`.
    pub(crate) fn all_in(text: &str) -> Result<Vec<Result<Self, ConfigError>>, ConfigError> {
        let clouds = super::clouds_file::parse(std::path::Path::new("clouds.yaml"), text)?.clouds;
        let settings =
            |(name, entry): (String, CloudEntry)| Self::from_entry(&name, entry.clone().overlaid(entry));
        Ok(clouds.into_iter().map(settings).collect())
    }
}

fn credentials(name: &str, entry: &CloudEntry) -> Result<Credentials, ConfigError> {
    let auth = &entry.auth;
    let missing = |field| ConfigError::Missing { cloud: name.to_owned(), field };
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
            cloud: name.to_owned(),
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
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const CLOUDS: &str = "
clouds:
  lab:
    auth:
      auth_url: http://10.0.0.1:5000
      username: admin
      project_name: admin
      user_domain_name: Default
      project_domain_id: default
    region_name: RegionOne
    interface: internalURL
    verify: no
    networks: [{name: a, routes_externally: true}]
  credential:
    auth_type: v3applicationcredential
    auth: {auth_url: 'https://keystone/identity/v3/', application_credential_id: abc}
    cacert: /etc/ca.pem
  vendor: {profile: somewhere}
";
    const SECURE: &str = "
clouds:
  lab: {auth: {password: 0123}}
  credential: {auth: {application_credential_secret: hush}}
";

    fn env(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let home = Some(dir.path().join("home"));
        (dir, Environment { variables, home })
    }

    #[test]
    fn secure_yaml_is_laid_over_clouds_yaml() {
        let (_dir, env) = env(
            &[("home/.config/openstack/clouds.yaml", CLOUDS), ("home/.config/openstack/secure.yaml", SECURE)],
            &[],
        );
        let lab = CloudSettings::load(Some("lab"), &env).unwrap();
        assert_eq!(lab.auth_url.as_str(), "http://10.0.0.1:5000/v3");
        assert_eq!(
            (lab.interface.as_str(), lab.verify, lab.region.as_deref()),
            ("internal", false, Some("RegionOne"))
        );
        let Credentials::Password { user, user_domain, password, scope } = lab.credentials else {
            panic!("no password")
        };
        assert_eq!((user, user_domain), (Named::Name("admin".into()), Some(Named::Name("Default".into()))));
        // A password of digits only is a text, with its leading zero.
        assert_eq!(password.expose_secret(), "0123");
        let project = Named::Name("admin".into());
        assert_eq!(scope, Scope::Project { project, domain: Some(Named::Id("default".into())) });
        let other = CloudSettings::load(Some("credential"), &env).unwrap();
        assert_eq!(other.auth_url.as_str(), "https://keystone/identity/v3");
        assert!(other.verify && other.cacert.is_some());
        let Credentials::ApplicationCredential { credential, owner: None, secret } = other.credentials else {
            panic!("no application credential")
        };
        assert_eq!((credential, secret.expose_secret()), (Named::Id("abc".into()), "hush"));
    }

    #[test]
    fn the_first_file_found_is_the_one_used() {
        let other = "clouds: {b: {auth: {auth_url: 'http://b'}}}";
        let (dir, mut env) = env(&[("home/.config/openstack/clouds.yaml", CLOUDS), ("x.yaml", other)], &[]);
        match CloudSettings::load(Some("b"), &env) {
            Err(ConfigError::UnknownCloud { known, file, .. }) => {
                assert_eq!(known, ["credential", "lab", "vendor"]);
                assert!(file.ends_with("home/.config/openstack/clouds.yaml"));
            }
            other => panic!("{other:?}"),
        }
        env.variables.insert("OS_CLIENT_CONFIG_FILE".into(), dir.path().join("x.yaml").display().to_string());
        let error = CloudSettings::load(Some("b"), &env).unwrap_err();
        assert_eq!(error.to_string(), "cloud \"b\" has no auth.username");
    }

    /// What is in root's home is for the keystone that stands there too.
    #[test]
    fn a_password_goes_to_no_address_that_does_not_stand_beside_it() {
        let (dir, mut env) =
            env(&[("tenant/clouds.yaml", CLOUDS), ("home/.config/openstack/secure.yaml", SECURE)], &[]);
        env.variables.insert(
            "OS_CLIENT_CONFIG_FILE".into(),
            dir.path().join("tenant/clouds.yaml").display().to_string(),
        );
        let error = CloudSettings::load(Some("lab"), &env).unwrap_err();
        assert!(error.to_string().contains("auth.password"), "{error}");
        let secure = dir.path().join("home/.config/openstack/secure.yaml").display().to_string();
        env.variables.insert("OS_CLIENT_SECURE_FILE".into(), secure);
        CloudSettings::load(Some("lab"), &env).unwrap();
    }

    #[test]
    fn os_cloud_names_a_cloud_and_without_it_the_variables_are_one() {
        let variables = [
            ("OS_AUTH_URL", "https://k:5000/v3"),
            ("OS_USERNAME", "u"),
            ("OS_PASSWORD", "p"),
            ("OS_PROJECT_ID", "abc"),
            ("OS_DEFAULT_DOMAIN", "default"),
            ("OS_INSECURE", "true"),
            ("OS_REGION_NAME", ""),
        ];
        let (_dir, mut env) = env(
            &[("home/.config/openstack/clouds.yml", CLOUDS), ("home/.config/openstack/secure.yml", SECURE)],
            &variables,
        );
        let settings = CloudSettings::load(None, &env).unwrap();
        assert_eq!((settings.name.as_str(), settings.verify, settings.region), ("envvars", false, None));
        let Credentials::Password { user_domain, scope, .. } = settings.credentials else {
            panic!("no password")
        };
        assert_eq!(user_domain, Some(Named::Id("default".into())));
        assert!(matches!(scope, Scope::Project { project: Named::Id(_), .. }));
        env.variables.insert("OS_CLOUD".into(), "lab".into());
        assert_eq!(CloudSettings::load(None, &env).unwrap().name, "lab");
        env.variables.clear();
        assert!(matches!(CloudSettings::load(None, &env), Err(ConfigError::Nothing)));
    }

    #[test]
    fn every_no_names_what_is_wrong_and_no_secret() {
        let cases = [
            ("clouds: {a: {}}", "cloud \"a\" has no auth.auth_url"),
            ("clouds: {a: {profile: v}}", "vendor profiles are not supported"),
            ("clouds: {a: {auth: {auth_url: 'ftp://x'}}}", "no http or https address"),
            ("clouds: {a: {auth: {auth_url: 'http://u:geheim@x'}}}", "may not carry a user"),
            ("clouds: {a: {auth: {auth_url: 'http://x/v2.0'}}}", "v2.0 is not supported"),
            ("clouds: {a: {auth_type: v3oidc, auth: {auth_url: 'http://x'}}}", "v3oidc"),
            ("clouds: {a: {interface: private, auth: {auth_url: 'http://x'}}}", "private"),
            (
                "clouds: {a: {auth: {auth_url: 'http://x', username: u, password: geheim}}}",
                "auth.user_domain_name",
            ),
            (
                "clouds: {a: {auth: {auth_url: 'http://x', user_id: u, password: geheim}}}",
                "auth.project_name",
            ),
            ("clouds: {a: {auth: {auth_url: 'http://x', user_id: u, project_id: p}}}", "auth.password"),
            ("clouds: {a: {auth: {password: [geheim]}}}", "clouds.yaml is not a valid clouds file, line 1"),
            ("clouds: [geheim", "is not a valid clouds file"),
        ];
        for (text, expected) in cases {
            let (_dir, env) = env(&[("home/.config/openstack/clouds.yaml", text)], &[]);
            let error = CloudSettings::load(Some("a"), &env).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(!format!("{error:?} {error}").contains("geheim"), "{error:?}");
        }
        let (_dir, env) = env(&[], &[]);
        let error = CloudSettings::load(Some("a"), &env).unwrap_err();
        assert!(error.to_string().ends_with("/.config/openstack, /etc/openstack"), "{error}");
    }

    #[test]
    fn settings_do_not_show_secrets() {
        let (_dir, env) = env(
            &[("home/.config/openstack/clouds.yaml", CLOUDS), ("home/.config/openstack/secure.yaml", SECURE)],
            &[],
        );
        let shown = format!("{:?}", CloudSettings::load(Some("credential"), &env).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
