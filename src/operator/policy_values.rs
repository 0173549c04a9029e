//! A policy's settings as values, and as people read them.

use serde_json::{Map, Value};

use super::OperatorError;
use crate::policy::Policy;

pub(super) fn object(policy: &Policy) -> Result<Map<String, Value>, OperatorError> {
    match serde_json::to_value(policy).map_err(|source| OperatorError::Render { source })? {
        Value::Object(map) => Ok(map),
        // A struct is an object.
        _ => Ok(Map::new()),
    }
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "default".into(),
        Value::String(text) => text.clone(),
        other => spaced(other),
    }
}

/// JSON with a space after each comma and colon, so that a long value can be broken over lines.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let fields =
                map.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
