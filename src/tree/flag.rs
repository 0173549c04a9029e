//! The original's booleans: written `True` / `False`, read in any case.
//!
//! Source of the rule: `str2bool` of os_nova_ha_monitor 1.1.15 took `yes true t 1` for true and
//! *everything else* for false; a typing error in `failed` was silently *not failed*. Here anything
//! unknown is an error that names the key.

use super::TreeError;

/// Reads a flag. An absent key reads False, as the original's schema creates it.
pub fn parse(key: &str, value: Option<&[u8]>) -> Result<bool, TreeError> {
    let Some(value) = value else { return Ok(false) };
    let text = String::from_utf8_lossy(value);
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "1" => Ok(true),
        "false" | "f" | "no" | "0" | "" | "\"\"" => Ok(false),
        _ => Err(TreeError::NotAFlag { key: key.to_owned(), value: text.chars().take(40).collect() }),
    }
}

/// The original's spelling.
pub fn text(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_true_nor_false_is_an_error_that_names_the_key() {
        for (value, expected) in [
            ("True", true),
            ("t", true),
            ("YES", true),
            ("1", true),
            ("False", false),
            ("no", false),
            ("0", false),
            ("", false),
        ] {
            assert_eq!(parse("k", Some(value.as_bytes())).unwrap(), expected, "{value:?}");
        }
        assert!(!parse("k", None).unwrap());
        for value in ["Flase", "2", "on", "None", "{}", "\u{fffd}"] {
            let error = parse("a/b", Some(value.as_bytes())).unwrap_err();
            assert!(error.to_string().starts_with("a/b holds"), "{error}");
        }
        assert!(parse("k", Some(&[0xff, 0xfe])).is_err());
    }
}
