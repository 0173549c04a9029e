//! What the values of `clouds.yaml` stand for: `~`, and the names of other settings in braces.

use std::path::PathBuf;

use super::clouds_file::CloudEntry;
use super::environment::Environment;
use crate::say::short;

/// A value in which `{region_name}` and the like stand for other settings of this cloud, as in openstacksdk. A secret is none
/// of them: what is in `auth` has no name here.
pub(super) fn with_settings(text: &str, entry: &CloudEntry, region: Option<&str>) -> Result<String, String> {
    let known = |name: &str| match name {
        "region_name" => region.map(str::to_owned),
        "profile" => entry.profile.clone(),
        "interface" => entry.interface.clone(),
        "endpoint_type" => entry.endpoint_type.clone(),
        "auth_type" => entry.auth_type.clone(),
        _ => None,
    };
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        whole.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or(from.strip_prefix("}}")) {
            whole.push_str(from.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let (name, after) = from
            .strip_prefix('{')
            .and_then(|from| from.split_once('}'))
            .ok_or("a brace in it has no other; one that stands for itself is written twice")?;
        let value = known(name)
            .ok_or_else(|| format!("{{{}}} in it is no setting that this cloud has", short(name)))?;
        whole.push_str(&value);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

/// A file, by its whole path or from the home folder. The folder in which a command happens to run says nothing, and
/// variables of a shell are no more read here than by openstacksdk.
pub(super) fn file(text: &str, env: &Environment) -> Result<PathBuf, String> {
    let whole = "write the whole path, or ~/ and the rest";
    if text == "~" || text.starts_with("~/") {
        let home = env.home.as_ref().ok_or_else(|| format!("{text:?}: HOME is not set; {whole}"))?;
        return Ok(home.join(text.trim_start_matches(['~', '/'])));
    }
    let path = PathBuf::from(text);
    match text {
        _ if path.is_absolute() => Ok(path),
        _ if text.starts_with('~') => Err(format!("{text:?}: another user's home is not looked up; {whole}")),
        _ if text.contains('$') => Err(format!("{text:?}: variables are not read here; {whole}")),
        _ => Err(format!("{text:?} is relative to wherever a command runs; {whole}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_where_it_says_wherever_a_command_runs() {
        let env = Environment { home: Some("/root".into()), ..Environment::default() };
        let path = |text: &str| file(text, &env).map(|path| path.display().to_string());
        assert_eq!(path("~/ca.pem").unwrap(), "/root/ca.pem");
        assert_eq!(path("/etc/ca.pem").unwrap(), "/etc/ca.pem");
        assert_eq!(path("/etc/$x/ca.pem").unwrap(), "/etc/$x/ca.pem", "a name like any");
        for (text, why) in [
            ("~ann/ca.pem", "another user's home"),
            ("$HOME/ca.pem", "variables are not read"),
            ("${HOME}/ca.pem", "variables are not read"),
            ("ca.pem", "relative"),
            ("", "relative"),
        ] {
            let said = path(text).unwrap_err();
            assert!(said.contains(why) && said.contains("whole path"), "{said}");
        }
        assert!(file("~/ca.pem", &Environment::default()).unwrap_err().contains("HOME is not set"));
    }

    #[test]
    fn names_in_braces_stand_for_settings_and_for_nothing_else() {
        let entry = CloudEntry { interface: Some("internal".into()), ..CloudEntry::default() };
        let of = |text: &str| with_settings(text, &entry, Some("one"));
        assert_eq!(of("https://{region_name}.example/v3").unwrap(), "https://one.example/v3");
        assert_eq!(of("{interface}-{{x}}").unwrap(), "internal-{x}");
        assert_eq!(of("plain").unwrap(), "plain");
        for bad in ["{password}", "{auth}", "{profile}", "{", "}", "{region_name", "{0}", "{}"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(with_settings("{region_name}", &entry, None).is_err());
    }
}
