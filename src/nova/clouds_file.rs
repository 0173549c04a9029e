//! The shape of `clouds.yaml` and `secure.yaml`, and how the second is laid over the first.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::environment::Environment;
use super::error::ConfigError;

/// What a file of either kind says of one cloud. All else in it is ignored, the other clouds too: what is odd in them hides
/// nothing of this one.
#[derive(Debug, Default)]
pub(super) struct CloudsFile {
    pub(super) cloud: Option<CloudEntry>,
    /// All clouds that are in it.
    pub(super) names: Vec<String>,
}

/// Reads a file for one cloud.
struct Of<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Of<'_> {
    type Value = CloudsFile;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<CloudsFile, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Of<'_> {
    type Value = CloudsFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with clouds in it")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CloudsFile, A::Error> {
        let mut found = CloudsFile::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "clouds" => found = map.next_value_seed(Among(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// The same below `clouds`.
struct Among<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Among<'_> {
    type Value = CloudsFile;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<CloudsFile, D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Among<'_> {
    type Value = CloudsFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("clouds by their names")
    }

    fn visit_none<E>(self) -> Result<CloudsFile, E> {
        Ok(CloudsFile::default())
    }

    fn visit_unit<E>(self) -> Result<CloudsFile, E> {
        Ok(CloudsFile::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<CloudsFile, D::Error> {
        from.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CloudsFile, A::Error> {
        let mut found = CloudsFile::default();
        while let Some(name) = map.next_key::<String>()? {
            match name == self.0 {
                true => found.cloud = Some(map.next_value::<Option<CloudEntry>>()?.unwrap_or_default()),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
            found.names.push(name);
        }
        Ok(found)
    }
}

/// What is written without a value is as empty as what is not written.
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// One cloud. Every field may be absent, so that `secure.yaml` may hold any part of it. In any name `-` stands for `_`.
#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct CloudEntry {
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) auth: AuthEntry,
    #[serde(alias = "auth-type")]
    pub(super) auth_type: Option<String>,
    pub(super) profile: Option<String>,
    #[serde(alias = "region-name")]
    pub(super) region_name: Option<Texts>,
    /// Those that the cloud has, each with what is different there.
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) regions: Vec<Region>,
    pub(super) interface: Option<String>,
    #[serde(alias = "endpoint-type")]
    pub(super) endpoint_type: Option<String>,
    #[serde(alias = "compute-endpoint-override")]
    pub(super) compute_endpoint_override: Option<String>,
    #[serde(alias = "placement-endpoint-override")]
    pub(super) placement_endpoint_override: Option<String>,
    pub(super) verify: Option<String>,
    pub(super) insecure: Option<String>,
    pub(super) cacert: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}

/// `auth:` of one cloud.
#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct AuthEntry {
    #[serde(alias = "auth-url")]
    pub(super) auth_url: Option<String>,
    pub(super) username: Option<String>,
    #[serde(alias = "user-id")]
    pub(super) user_id: Option<String>,
    pub(super) password: Option<SecretString>,
    #[serde(alias = "user-domain-name")]
    pub(super) user_domain_name: Option<String>,
    #[serde(alias = "user-domain-id")]
    pub(super) user_domain_id: Option<String>,
    #[serde(alias = "project-name")]
    pub(super) project_name: Option<String>,
    #[serde(alias = "project-id")]
    pub(super) project_id: Option<String>,
    #[serde(alias = "tenant-name")]
    pub(super) tenant_name: Option<String>,
    #[serde(alias = "tenant-id")]
    pub(super) tenant_id: Option<String>,
    #[serde(alias = "project-domain-name")]
    pub(super) project_domain_name: Option<String>,
    #[serde(alias = "project-domain-id")]
    pub(super) project_domain_id: Option<String>,
    #[serde(alias = "domain-name")]
    pub(super) domain_name: Option<String>,
    #[serde(alias = "domain-id")]
    pub(super) domain_id: Option<String>,
    #[serde(alias = "default-domain")]
    pub(super) default_domain: Option<String>,
    #[serde(alias = "default-domain-id")]
    pub(super) default_domain_id: Option<String>,
    #[serde(alias = "system-scope")]
    pub(super) system_scope: Option<String>,
    #[serde(alias = "application-credential-id")]
    pub(super) application_credential_id: Option<String>,
    #[serde(alias = "application-credential-name")]
    pub(super) application_credential_name: Option<String>,
    #[serde(alias = "application-credential-secret")]
    pub(super) application_credential_secret: Option<SecretString>,
}

/// `region_name`: one text, or (deprecated in openstacksdk, and still read by it) several in a list or between commas.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Texts(Vec<String>);

impl Texts {
    pub(super) fn one(text: String) -> Self {
        Self(vec![text])
    }

    pub(super) fn names(&self) -> Vec<String> {
        let parts = self.0.iter().flat_map(|text| text.split(','));
        parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a region's name, or a list of names")
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::one(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Texts, E> {
                Ok(Texts::one(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Texts, E> {
                Ok(Texts::one(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    names.push(name);
                }
                Ok(Texts(names))
            }
        }
        from.deserialize_any(Any)
    }
}

/// One of `regions`: a name, or `name` and `values`.
#[derive(Debug, Clone)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) values: CloudEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithValues {
    name: String,
    values: Option<CloudEntry>,
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Region;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a region's name, or its name and values")
            }

            fn visit_str<E>(self, text: &str) -> Result<Region, E> {
                Ok(Region { name: text.to_owned(), values: CloudEntry::default() })
            }

            fn visit_u64<E>(self, number: u64) -> Result<Region, E> {
                Ok(Region { name: number.to_string(), values: CloudEntry::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Region, A::Error> {
                let WithValues { name, values } = WithValues::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Region { name, values: values.unwrap_or_default() })
            }
        }
        from.deserialize_any(Any)
    }
}

macro_rules! overlay {
    ($top:ident, $base:ident, $($field:ident),+ $(,)?) => { $( if $top.$field.is_some() { $base.$field = $top.$field; } )+ };
}

impl CloudEntry {
    /// What `top` says wins, field by field, as in openstacksdk.
    pub(super) fn overlaid(mut self, top: Self) -> Self {
        let mut base_auth = std::mem::take(&mut self.auth);
        let top_auth = top.auth.clone();
        overlay!(
            top_auth,
            base_auth,
            auth_url,
            username,
            user_id,
            password,
            user_domain_name,
            user_domain_id,
            project_name,
            project_id,
            tenant_name,
            tenant_id,
            project_domain_name,
            project_domain_id,
            domain_name,
            domain_id,
            default_domain,
            default_domain_id,
            system_scope,
            application_credential_id,
            application_credential_name,
            application_credential_secret,
        );
        let mut base = self;
        base.auth = base_auth;
        overlay!(
            top,
            base,
            auth_type,
            profile,
            region_name,
            interface,
            endpoint_type,
            compute_endpoint_override,
            placement_endpoint_override,
            verify,
            insecure,
            cacert,
            cert,
            key,
        );
        if !top.regions.is_empty() {
            base.regions = top.regions;
        }
        base
    }

    /// The cloud that the `OS_*` variables describe.
    pub(super) fn of_variables(env: &Environment) -> Self {
        let text = |name: &str| env.variable(name);
        let secret = |name: &str| env.variable(name).map(SecretString::from);
        Self {
            auth: AuthEntry {
                auth_url: text("OS_AUTH_URL"),
                username: text("OS_USERNAME"),
                user_id: text("OS_USER_ID"),
                password: secret("OS_PASSWORD"),
                user_domain_name: text("OS_USER_DOMAIN_NAME"),
                user_domain_id: text("OS_USER_DOMAIN_ID"),
                project_name: text("OS_PROJECT_NAME"),
                project_id: text("OS_PROJECT_ID"),
                tenant_name: text("OS_TENANT_NAME"),
                tenant_id: text("OS_TENANT_ID"),
                project_domain_name: text("OS_PROJECT_DOMAIN_NAME"),
                project_domain_id: text("OS_PROJECT_DOMAIN_ID"),
                domain_name: text("OS_DOMAIN_NAME"),
                domain_id: text("OS_DOMAIN_ID"),
                default_domain: text("OS_DEFAULT_DOMAIN"),
                default_domain_id: text("OS_DEFAULT_DOMAIN_ID"),
                system_scope: text("OS_SYSTEM_SCOPE"),
                application_credential_id: text("OS_APPLICATION_CREDENTIAL_ID"),
                application_credential_name: text("OS_APPLICATION_CREDENTIAL_NAME"),
                application_credential_secret: secret("OS_APPLICATION_CREDENTIAL_SECRET"),
            },
            auth_type: text("OS_AUTH_TYPE"),
            profile: None,
            region_name: text("OS_REGION_NAME").map(Texts::one),
            regions: Vec::new(),
            interface: text("OS_INTERFACE"),
            endpoint_type: text("OS_ENDPOINT_TYPE"),
            compute_endpoint_override: text("OS_COMPUTE_ENDPOINT_OVERRIDE"),
            placement_endpoint_override: text("OS_PLACEMENT_ENDPOINT_OVERRIDE"),
            verify: text("OS_VERIFY"),
            insecure: text("OS_INSECURE"),
            cacert: text("OS_CACERT"),
            cert: text("OS_CERT"),
            key: text("OS_KEY"),
        }
    }
}

/// Where `clouds.yaml` may be, in this order; the first that exists is used.
pub(super) fn clouds_files(env: &Environment) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        env.variable("OS_CLIENT_CONFIG_FILE").map(PathBuf::from).into_iter().collect();
    paths.extend(folders(env).iter().flat_map(|folder| named(folder, "clouds")));
    paths
}

/// Where the `secure.yaml` of this `clouds.yaml` may be: secrets go to the address that stands beside them, or where a
/// variable says so.
pub(super) fn secure_files(env: &Environment, clouds: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        env.variable("OS_CLIENT_SECURE_FILE").map(PathBuf::from).into_iter().collect();
    paths.extend(clouds.parent().into_iter().flat_map(|folder| named(folder, "secure")));
    paths
}

fn named(folder: &Path, stem: &str) -> Vec<PathBuf> {
    ["yaml", "yml", "json"].map(|ending| folder.join(format!("{stem}.{ending}"))).into()
}

/// Where the files are looked for, in this order.
pub(super) fn folders(env: &Environment) -> Vec<PathBuf> {
    let config_home = env
        .variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env.home.as_ref()?.join(".config")));
    let configured = config_home.map(|home| home.join("openstack"));
    configured.into_iter().chain([PathBuf::from("/etc/openstack")]).collect()
}

/// That everybody on this machine may read a password.
fn warn_if_open(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let holds_a_secret = text.contains("password") || text.contains("secret");
    let mode = std::fs::metadata(file).map_or(0, |is| is.permissions().mode() & 0o7777);
    if holds_a_secret && mode & 0o004 != 0 {
        let (file, fix) = (file.display(), format!("chmod o= {}", file.display()));
        tracing::warn!(%file, mode = format!("{mode:04o}"), fix, "everybody may read this secret");
    }
}

/// Reads one file for one cloud; JSON is YAML too.
pub(super) fn read(file: &Path, cloud: &str) -> Result<CloudsFile, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
    warn_if_open(file, &text);
    parse(file, &text, cloud)
}

pub(super) fn parse(file: &Path, text: &str, cloud: &str) -> Result<CloudsFile, ConfigError> {
    if text.trim().is_empty() {
        return Ok(CloudsFile::default());
    }
    let found = serde_saphyr::with_deserializer_from_str(text, |from| Of(cloud).deserialize(from));
    found.map_err(|error| ConfigError::Parse {
        file: file.to_owned(),
        at: error.location().map(|at| format!(", line {} column {}", at.line(), at.column())),
    })
}
