//! The watch's JSON on stdin: a hint which hosts changed, never evidence.

use serde::Deserialize;

/// A watch view is a list of checks. Consul caps nothing here, so we do.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why stdin is no watch view.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// It is no JSON list of checks.
    #[error("stdin is not what a Consul checks watch writes")]
    NotAView {
        /// The cause.
        source: serde_json::Error,
    },
    /// It is too long.
    #[error("stdin is longer than {MAX_BYTES} bytes")]
    TooLong,
}

#[derive(Deserialize)]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
}

/// How many checks the view holds. Consul writes `[]` or `null` at agent start.
///
/// The names in it are not used to choose what is judged: several changes coalesce into one
/// view, and a host whose check is missing from it may be dead all the same. All suspects are
/// judged on every run; parsing it at all catches a handler that is wired to the wrong watch.
pub fn parse(bytes: &[u8]) -> Result<usize, HintError> {
    if bytes.len() > MAX_BYTES {
        return Err(HintError::TooLong);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(0);
    }
    let checks: Option<Vec<Check>> =
        serde_json::from_slice(bytes).map_err(|source| HintError::NotAView { source })?;
    Ok(checks.map_or(0, |checks| checks.iter().filter(|check| !check.id.is_empty()).count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_consul_writes_is_taken_and_anything_else_is_named() {
        assert_eq!(parse(b"").unwrap(), 0);
        assert_eq!(parse(b"null\n").unwrap(), 0);
        assert_eq!(parse(b"[]").unwrap(), 0);
        assert_eq!(parse(br#"[{"Node":"n","CheckID":"serfHealth","Status":"critical"}]"#).unwrap(), 1);
        for bad in [&b"{}"[..], b"[1]", b"hello", b"[{\"Node\":1", b"\xff\xfe"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
