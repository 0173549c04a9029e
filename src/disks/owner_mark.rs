//! Who has an array, written on its disks: the name in its superblocks.
//!
//! Consul says whose an array is. A Consul that was restored from before a takeover says so wrongly, to the
//! host and to every HA node, while one of them has the array mounted; the disks themselves cannot be
//! restored with it. So a takeover renames the array, from `compute1:md1` to `nova-ha.ha1:md1`, and who
//! gives it back names it as before.
//!
//! `mdadm --assemble --update=name` writes the name into each member that it assembles, and leaves the count
//! of events alone. It keeps at most 31 bytes, and of a longer `HOMEHOST:NAME` silently only `NAME`: a mark
//! that does not fit would be no mark.

/// What the homehost of a mark begins with.
const PREFIX: &str = "nova-ha.";
/// A superblock has 32 bytes for the name, and mdadm keeps the last one zero.
pub const MAX_BYTES: usize = 31;
/// Of an HA node's name. With the prefix and the colon it leaves 9 for the array's own, enough for `instances`.
const MAX_HOLDER: usize = 13;
/// What a shortened name keeps of its beginning, for people.
const KEPT: usize = 5;
/// The rest, `_` and this many digits, tells two long names with one beginning apart.
const HASH_DIGITS: usize = MAX_HOLDER - KEPT - 1;

/// Whose an array is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// An HA node has taken it.
    Taken {
        /// Its name, or what [`holder`] makes of it.
        by: String,
    },
    /// Nobody has: the name as it was given.
    Plain {
        /// The machine that it was made on, or for.
        homehost: Option<String>,
        /// The array's own name.
        name: String,
    },
}

/// Reads a superblock's name.
pub fn read(set_name: &str) -> Owner {
    let (homehost, name) = match set_name.split_once(':') {
        Some((homehost, name)) => (Some(homehost), name),
        None => (None, set_name),
    };
    match homehost.and_then(|homehost| homehost.strip_prefix(PREFIX)).filter(|by| !by.is_empty()) {
        Some(by) => Owner::Taken { by: by.to_owned() },
        None => Owner::Plain { homehost: homehost.map(str::to_owned), name: name.to_owned() },
    }
}

/// Whether a name belongs to another machine than the published one. A rename of the array itself does not
/// matter, and a name without a home says nothing.
pub fn is_another_home(published: &str, now: &str) -> bool {
    let home = |name: &str| match read(name) {
        Owner::Plain { homehost, .. } => homehost,
        Owner::Taken { by } => Some(by),
    };
    match (home(published), home(now)) {
        (Some(published), Some(now)) => published != now,
        (None, _) | (_, None) => false,
    }
}

/// The name by which this HA node marks an array whose superblocks have the name `original` (marked already, or
/// not).
pub fn mark(ha_node: &str, original: &str) -> String {
    let name = original.split_once(':').map_or(original, |(_, name)| name);
    let holder = holder(ha_node);
    let room = MAX_BYTES.saturating_sub(PREFIX.len() + holder.len() + 1);
    // mdadm 4.3 and 4.4 refuse other characters, and it gives an array without a name its minor number.
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(room).collect();
    let name = if name.is_empty() { "md".to_owned() } else { name };
    format!("{PREFIX}{holder}:{name}")
}

/// How an HA node is written in a mark: whole if it fits, else its beginning and a hash, always the same.
pub fn holder(ha_node: &str) -> String {
    if ha_node.len() <= MAX_HOLDER && ha_node.chars().all(is_plain) && !looks_shortened(ha_node) {
        return ha_node.to_owned();
    }
    let kept: String = ha_node.chars().take(KEPT).map(|c| if is_plain(c) { c } else { '_' }).collect();
    let hash = format!("{:016x}", fnv(ha_node));
    let digits: String = hash.chars().take(HASH_DIGITS).collect();
    format!("{kept}_{digits}")
}

/// Whether this name is a mark of this HA node.
pub fn is_marked_by(set_name: &str, ha_node: &str) -> bool {
    matches!(read(set_name), Owner::Taken { by } if by == holder(ha_node))
}

/// The options with which `mdadm --assemble` writes exactly this name. `None`: no options do, because it is
/// empty (mdadm takes the minor number then) or too long.
pub fn update_options(set_name: &str) -> Option<[String; 3]> {
    if set_name.is_empty() || set_name.len() > MAX_BYTES {
        return None;
    }
    let (homehost, name) = match set_name.split_once(':') {
        Some((homehost, name)) if !homehost.is_empty() && !name.is_empty() && !name.contains(':') => {
            (homehost.to_owned(), name)
        }
        // mdadm puts a homehost before a name that has none, unless the two together are too long. With
        // `<none>`, 4.2 to 4.4 die.
        Some(_) | None => ("-".repeat(MAX_BYTES), set_name),
    };
    Some(["--update=name".to_owned(), format!("--homehost={homehost}"), format!("--name={name}")])
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A name that is short enough and looks like a shortened one is shortened too: no two names are written alike.
fn looks_shortened(name: &str) -> bool {
    let is_hash = |hash: &str| hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
    name.len() == MAX_HOLDER && name.get(KEPT..).and_then(|rest| rest.strip_prefix('_')).is_some_and(is_hash)
}

/// FNV-1a: the same in every build, which the standard library's hashers do not promise.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mark_says_who_has_the_array_and_keeps_its_name() {
        for (ha_node, original, expected) in [
            ("ha1", "compute1:md1", "nova-ha.ha1:md1"),
            ("ha1", "md1", "nova-ha.ha1:md1"),
            ("ha1", "compute1:nova-instances-and-more-of-them", "nova-ha.ha1:nova-instances-and-"),
            ("ha1", "a:b:c d", "nova-ha.ha1:b_c_d"),
            ("ha1", "", "nova-ha.ha1:md"),
            ("ha-node-01.dc", "compute1:instances", "nova-ha.ha-node-01.dc:instances"),
            ("ha1", "nova-ha.ha2:md1", "nova-ha.ha1:md1"),
        ] {
            assert_eq!(mark(ha_node, original), expected);
        }
    }

    #[test]
    fn long_names_stay_apart_and_each_is_always_written_alike() {
        let [a, b] = ["ha-node-1.rack-7.example.org", "ha-node-2.rack-7.example.org"];
        assert_eq!(mark(a, "compute1:md1"), "nova-ha.ha-no_52fda87:md1");
        assert!(holder(a) != holder(b) && holder(a).len() == MAX_HOLDER);
        let short = holder(a);
        assert_ne!(holder(&short), short, "a node that is called so is another one");
        let marked = mark(a, "compute1:md1");
        assert!(is_marked_by(&marked, a) && !is_marked_by(&marked, b));
        assert!(!is_marked_by("compute1:md1", "compute1"));
    }

    #[test]
    fn a_name_that_is_no_mark_is_the_hosts_own() {
        let plain = |homehost: Option<&str>, name: &str| Owner::Plain {
            homehost: homehost.map(str::to_owned),
            name: name.to_owned(),
        };
        assert_eq!(read("compute1:md1"), plain(Some("compute1"), "md1"));
        assert_eq!(read("md1"), plain(None, "md1"));
        assert_eq!(read("nova-ha.ha1"), plain(None, "nova-ha.ha1"));
        assert_eq!(read("nova-ha.:md1"), plain(Some("nova-ha."), "md1"));
        assert_eq!(read(""), plain(None, ""));
        assert_eq!(read("nova-ha.ha1:md1"), Owner::Taken { by: "ha1".into() });
    }

    /// What `update_super1` of mdadm 4.2 makes of the options.
    fn written(options: &[String; 3]) -> String {
        let value = |at: usize| options[at].split_once('=').unwrap().1.to_owned();
        let (homehost, name) = (value(1), value(2));
        match !name.contains(':') && homehost.len() + 1 + name.len() < 32 {
            true => format!("{homehost}:{name}"),
            false => name,
        }
    }

    #[test]
    fn mdadm_writes_the_name_that_is_meant() {
        for name in ["compute1:md1", "md1", "0", "a:b:c", ":x", "x:", "1234567890123456789012345678:90"] {
            assert_eq!(written(&update_options(name).unwrap()), name);
        }
        for name in ["", "12345678901234567890123456789:90"] {
            assert_eq!(update_options(name), None, "{name}");
        }
        assert_eq!(
            update_options("nova-ha.ha1:md1").unwrap(),
            ["--update=name", "--homehost=nova-ha.ha1", "--name=md1"]
        );
    }

    proptest! {
        #[test]
        fn every_mark_can_be_written_and_read(node in "[A-Za-z0-9._-]{1,253}", original in ".{0,40}") {
            let marked = mark(&node, &original);
            prop_assert!(marked.len() <= MAX_BYTES, "{marked}");
            prop_assert!(is_marked_by(&marked, &node), "{marked}");
            prop_assert_eq!(mark(&node, &marked), marked.clone());
            prop_assert_eq!(written(&update_options(&marked).unwrap()), marked);
        }
    }
}
