//! What nova.conf says, as oslo.config reads it: of an option that comes twice the last one counts, quotes
//! around a value are no part of it, and `$name` stands for another option of `[DEFAULT]`.

use crate::say::short;

/// `[DEFAULT]` of a nova.conf.
pub struct NovaConf<'a> {
    options: Vec<(&'a str, &'a str)>,
}

/// What the packages of the distributions set; Nova's own default is a folder of its source.
const STATE_PATH: &str = "/var/lib/nova";
/// Nova's default.
const INSTANCES_PATH: &str = "$state_path/instances";
/// A value that names itself, by way of others, would never end; and one that names another many times, which does the same,
/// would not in anybody's time.
const MOST_NAMES: u32 = 64;
/// PATH_MAX: no file has a longer one.
const MAX_PATH: usize = 4096;

impl<'a> NovaConf<'a> {
    /// Reads the text of the file.
    pub fn of(text: &'a str) -> Self {
        let mut in_default = false;
        let mut options = Vec::new();
        for line in text.lines() {
            // A line that is indented goes on with the value before; none of ours has more than one line.
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if line.starts_with('[') {
                in_default = line.trim_end() == "[DEFAULT]";
            } else if let (true, Some((name, value))) = (in_default, line.split_once(['=', ':'])) {
                options.push((name.trim(), unquoted(value.trim())));
            }
        }
        Self { options }
    }

    fn option(&self, name: &str) -> Option<&'a str> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// `host`: Nova's name for its compute service here.
    pub fn host(&self) -> Option<String> {
        self.option("host").filter(|host| !host.is_empty()).map(str::to_owned)
    }

    /// `instances_path`: where the guests' disks are.
    ///
    /// # Errors
    /// It is made of something that is not known here.
    pub fn instances_path(&self) -> Result<String, String> {
        let value = self.option("instances_path").filter(|value| !value.is_empty()).unwrap_or(INSTANCES_PATH);
        let mut left = MOST_NAMES;
        let path =
            self.filled(value, &mut left).ok_or_else(|| format!("instances_path is {:?}", short(value)))?;
        if !path.starts_with('/') {
            return Err(format!("instances_path is {:?}", short(&path)));
        }
        Ok(path)
    }

    /// The value with what its `$name` and `${name}` stand for.
    fn filled(&self, value: &str, left: &mut u32) -> Option<String> {
        let mut filled = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('$') {
            filled.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                filled.push('$');
                rest = after;
                continue;
            }
            let (name, after) = match after.strip_prefix('{') {
                Some(after) => after.split_once('}')?,
                None => {
                    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len()))
                }
            };
            let stands_for = match (self.option(name), name) {
                (Some(value), _) => value,
                (None, "state_path") => STATE_PATH,
                (None, _) => return None,
            };
            *left = left.checked_sub(1)?;
            filled.push_str(&self.filled(stands_for, left)?);
            if filled.len() > MAX_PATH {
                return None;
            }
            rest = after;
        }
        filled.push_str(rest);
        (filled.len() <= MAX_PATH).then_some(filled)
    }
}

fn unquoted(value: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nova_is_asked_for_its_own_name_only() {
        let text = "[DEFAULT]\n#host=a\nhost = first\nhost = compute-7\nmy_host=x\n[vnc]\nhost=b\n";
        assert_eq!(NovaConf::of(text).host().as_deref(), Some("compute-7"));
        assert_eq!(NovaConf::of("[DEFAULT]\nhost=\n").host(), None);
        assert_eq!(NovaConf::of("host=x\n").host(), None);
    }

    #[test]
    fn the_guests_disks_are_where_nova_looks_for_them() {
        let path = |text: &str| NovaConf::of(&format!("[DEFAULT]\n{text}\n")).instances_path();
        for (text, expected) in [
            ("", "/var/lib/nova/instances"),
            ("[libvirt]\ninstances_path = /elsewhere", "/var/lib/nova/instances"),
            ("instances_path=/srv/nova", "/srv/nova"),
            ("instances_path = \"/srv/nova\"", "/srv/nova"),
            ("instances_path=/a\ninstances_path=/b", "/b"),
            ("state_path=/srv", "/srv/instances"),
            ("base=/data\nstate_path = ${base}/nova\ninstances_path = $state_path/i$$", "/data/nova/i$"),
        ] {
            assert_eq!(path(text).as_deref(), Ok(expected), "{text}");
        }
        for bad in [
            "instances_path=$pybasedir/instances",
            "instances_path=instances",
            "instances_path=$a\na=$b\nb=$a",
            "instances_path=${state_path",
        ] {
            assert!(path(bad).unwrap_err().contains("instances_path"), "{bad}");
        }
    }

    #[test]
    fn a_value_that_doubles_with_every_step_ends() {
        let doubled: String =
            ('a'..='h').zip('b'..='i').map(|(a, b)| format!("{a}=${b}${b}${b}${b}\n")).collect();
        let text = format!("[DEFAULT]\ninstances_path=/$a\n{doubled}i={}\n", "x".repeat(64));
        assert!(NovaConf::of(&text).instances_path().is_err());
        // Nothing comes of it, after longer than the universe has been there.
        let nothing = text.replace("$b$b$b$b", &"$b".repeat(1000)).replace("$c$c$c$c", &"$c".repeat(1000));
        assert!(NovaConf::of(&nothing.replace(&"x".repeat(64), "")).instances_path().is_err());
        let long = format!("[DEFAULT]\ninstances_path=/{}$none\n", "x".repeat(100_000));
        assert!(NovaConf::of(&long).instances_path().unwrap_err().len() < 400);
    }
}
