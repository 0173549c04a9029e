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
fn what_is_odd_in_another_cloud_hides_nothing_of_this_one() {
    let own = "  a: {auth: {auth_url: 'http://x', username: u, password: 0123, user_id: i, project_id: p}}\n";
    for other in [
        "  b: {auth: {auth_url: [5], username: {c: d}}}",
        "  b: {verify: {c: d}, regions: [{name: one, value: {}}]}",
        "  b: [1, 2]",
        "  b:",
        "  b: text",
        "  5: {auth: }",
    ] {
        for text in [format!("clouds:\n{own}{other}\n"), format!("clouds:\n{other}\n{own}")] {
            let (_dir, env) = env(
                &[
                    ("home/.config/openstack/clouds.yaml", &text),
                    ("home/.config/openstack/secure.yaml", &text),
                ],
                &[],
            );
            let found = CloudSettings::load(Some("a"), &env).unwrap();
            assert!(
                matches!(&found.credentials, Credentials::Password { password, .. } if password.expose_secret() == "0123"),
                "{text}"
            );
            let unknown = CloudSettings::load(Some("c"), &env).unwrap_err().to_string();
            assert!(unknown.contains("it has: ") && unknown.contains('a'), "{unknown}");
        }
    }
    // What is none of YAML is none of any cloud's.
    let (_dir, broken) =
        env(&[("home/.config/openstack/clouds.yaml", &format!("clouds:\n{own}  b: {{\n"))], &[]);
    let said = CloudSettings::load(Some("a"), &broken).unwrap_err().to_string();
    assert!(said.contains("is not a valid clouds file, line"), "{said}");
}

#[test]
fn the_first_file_found_is_the_one_used() {
    let other = "clouds: {b: {auth: {auth_url: 'http://b'}}}";
    let (dir, mut env) = env(&[("home/.config/openstack/clouds.yaml", CLOUDS), ("x.yaml", other)], &[]);
    match CloudSettings::load(Some("b"), &env) {
        Err(ConfigError::UnknownCloud { known, file, .. }) => {
            assert_eq!(known, ["lab", "credential", "vendor"]);
            assert!(file.ends_with("home/.config/openstack/clouds.yaml"));
        }
        other => panic!("{other:?}"),
    }
    env.variables.insert("OS_CLIENT_CONFIG_FILE".into(), dir.path().join("x.yaml").display().to_string());
    let error = CloudSettings::load(Some("b"), &env).unwrap_err();
    let file = dir.path().join("x.yaml");
    assert_eq!(error.to_string(), format!("cloud \"b\" in {} has no auth.username", file.display()));
}

#[test]
fn a_region_has_its_own_values_and_names_its_own_addresses() {
    let text = "
clouds:
  prod:
    auth: {auth_url: 'https://{region_name}.example:5000', username: u, password: p, project_id: x, user-domain-id: d}
    cacert: ~/ca.pem
    regions:
    - one
    - {name: two, values: {auth: {auth_url: 'https://other/v3', username: v}, compute-endpoint-override: 'http://two'}}
    - {name: three, values: }
  listed: {region-name: [one], auth: {auth_url: 'http://x', user_id: u, password: p, project_id: x}}
";
    let (_dir, mut env) = env(&[("home/.config/openstack/clouds.yaml", text)], &[]);
    let mut of = |region: &str| {
        env.variables.insert("OS_REGION_NAME".into(), region.into());
        CloudSettings::load(Some("prod"), &env)
    };
    let user = |settings: &CloudSettings| match &settings.credentials {
        Credentials::Password { user: Named::Name(user), .. } => user.clone(),
        other => panic!("{other:?}"),
    };
    let one = of("one").unwrap();
    assert_eq!((one.auth_url.as_str(), user(&one).as_str()), ("https://one.example:5000/v3", "u"));
    assert!(one.cacert.unwrap().ends_with("home/ca.pem") && one.compute_url.is_none());
    let two = of("two").unwrap();
    assert_eq!((two.auth_url.as_str(), user(&two).as_str()), ("https://other/v3", "v"));
    assert_eq!(two.compute_url.unwrap().as_str(), "http://two/");
    assert_eq!(two.region.as_deref(), Some("two"));
    assert_eq!(of("three").unwrap().region.as_deref(), Some("three"));
    assert!(of("").unwrap_err().to_string().contains("several regions"));
    assert!(of("four").unwrap_err().to_string().contains("none of its regions"));
    assert_eq!(CloudSettings::load(Some("listed"), &env).unwrap().region.as_deref(), Some("one"));
}

/// What is in root's home is for the keystone that stands there too.
#[test]
fn a_password_goes_to_no_address_that_does_not_stand_beside_it() {
    let (dir, mut env) =
        env(&[("tenant/clouds.yaml", CLOUDS), ("home/.config/openstack/secure.yaml", SECURE)], &[]);
    env.variables
        .insert("OS_CLIENT_CONFIG_FILE".into(), dir.path().join("tenant/clouds.yaml").display().to_string());
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
        ("clouds: {a: {}}", "clouds.yaml has no auth.auth_url"),
        ("clouds: {a: }", "clouds.yaml has no auth.auth_url"),
        ("clouds: {a: {auth: }}", "clouds.yaml has no auth.auth_url"),
        ("clouds:", "no cloud \"a\" in "),
        ("clouds: {a: {cacert: ca.pem, auth: {auth_url: 'http://x'}}}", "cacert: \"ca.pem\" is relative"),
        ("clouds: {a: {key: '~b/k', cert: ~, auth: {auth_url: 'http://x'}}}", "key"),
        ("clouds: {a: {regions: [one, two], auth: {auth_url: 'http://x'}}}", "several regions (one, two)"),
        ("clouds: {a: {region_name: 'one,two', auth: {auth_url: 'http://x'}}}", "several regions (one, two)"),
        (
            "clouds: {a: {regions: [one], region_name: One, auth: {auth_url: 'http://x'}}}",
            "\"One\" is none of its regions: one",
        ),
        ("clouds: {a: {regions: [{name: one, value: {}}]}}", "is not a valid clouds file, line 1"),
        ("clouds: {a: {auth: {auth_url: 'http://{password}', password: geheim}}}", "{password} in it"),
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
        ("clouds: {a: {auth: {auth_url: 'http://x', user_id: u, password: geheim}}}", "auth.project_name"),
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
