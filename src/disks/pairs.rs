//! `KEY=value` texts: udev's database, `mdadm --export`, `blkid -o export`.

use std::collections::BTreeMap;

/// One `KEY=value` per line; a value may have `=` in it. Lines without one are left out. A key that
/// comes twice with two values is left out too: two matches are no answer.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut pairs: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        pairs
            .entry(key)
            .and_modify(|known| {
                if known.as_deref() != Some(value.as_str()) {
                    *known = None;
                }
            })
            .or_insert(Some(value));
    }
    pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// The properties (`E:KEY=value`) of an entry of udev's database.
pub fn udev(text: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("E:")).collect();
    parse(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_an_equals_sign_and_two_values_are_none() {
        let found = parse("MD_NAME=a=b\nMD_LEVEL=raid10\nno pair\nX=1\nX=2\nY=1\nY=1\n");
        assert_eq!(found["MD_NAME"], "a=b");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["MD_LEVEL", "MD_NAME", "Y"]);
        assert_eq!(udev("S:disk/by-id/x=y\nE:A=1\nI:5\n"), BTreeMap::from([("A".into(), "1".into())]));
    }
}
