//! The fields of a JSON object that a person wrote: what is missing, unknown or of another kind is said in our words, and no value
//! is shown, as one may be a password in the wrong place.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::secret::SecretRef;

/// JSON in which each name stands once in an object: of two, nobody knows which was meant.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Once(Value::Array(all)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Once, A::Error> {
        let mut all = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let Once(value) = fields.next_value()?;
            if all.contains_key(&name) {
                let shown: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format!("{shown:?} stands there twice")));
            }
            all.insert(name, value);
        }
        Ok(Once(Value::Object(all)))
    }
}

/// Reads a document.
///
/// # Errors
/// It is no JSON, or names something twice in one object: where.
pub(super) fn json(bytes: &[u8]) -> Result<Value, String> {
    use serde_json::error::Category;
    let at = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Eof => "it is no JSON: it ends too early".to_owned(),
            Category::Syntax | Category::Io => format!("it is no JSON: look at {place}"),
            // What we say ourselves.
            Category::Data => error.to_string(),
        }
    };
    let Once(value) = serde_json::from_slice(bytes).map_err(at)?;
    Ok(value)
}

/// The fields of one object.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Of a value.
    ///
    /// # Errors
    /// It is no object.
    pub(super) fn of(value: &'a Value) -> Result<Self, String> {
        value.as_object().map(|map| Self { map }).ok_or_else(|| "it is no {...}".to_owned())
    }

    /// What of an absent field and of `null` is nothing.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A field as it is.
    pub(super) fn any(&self, name: &str) -> Option<&'a Value> {
        self.value(name)
    }

    /// # Errors
    /// A field that nobody knows.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), String> {
        let unknown = self.map.keys().find(|name| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            Err(format!("{shown:?} is no field of it; there are: {}", known.join(", ")))
        })
    }

    /// # Errors
    /// It is no text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let Some(value) = self.value(name) else { return Ok(None) };
        text(value).map(Some).ok_or_else(|| format!("{name:?} is no text: it stands in quotes"))
    }

    /// # Errors
    /// It is missing, or no text.
    pub(super) fn needed(&self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("it has no {name:?}"))
    }

    /// # Errors
    /// It is no whole number, or not in this range.
    pub(super) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, String> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| format!("{name:?} is no number from {least} to {most} (without quotes)"))
    }

    /// # Errors
    /// It is neither true nor false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| format!("{name:?} is neither true nor false (without quotes)"))
    }

    /// # Errors
    /// It is no text, or none that can be read so.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| format!("{name:?}: {error}"))
    }

    /// # Errors
    /// It is missing, no text, or no secret.
    pub(super) fn secret(&self, name: &str) -> Result<SecretRef, String> {
        SecretRef::parse(&self.needed(name)?).map_err(|error| format!("{name:?}: {error}"))
    }

    /// Texts by name.
    ///
    /// # Errors
    /// It is no object, or one of its fields is no text.
    pub(super) fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, String> {
        let Some(value) = self.value(name) else { return Ok(BTreeMap::new()) };
        let map = value.as_object().ok_or_else(|| format!("{name:?} is no {{\"option\": \"value\"}}"))?;
        let text = |(key, value): (&String, &Value)| match value.as_str() {
            Some(text) => Ok((key.clone(), text.to_owned())),
            None => Err(format!("{key:?} in {name:?} is no text: it stands in quotes, numbers too")),
        };
        map.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_said_with_its_place_and_in_our_words() {
        for (text, said) in [
            ("{", "it ends too early"),
            ("", "it ends too early"),
            ("{\"a\": 1,\n \"b\" 2}", "line 2, column"),
            ("not json", "line 1, column"),
            ("{\"a\": 1, \"a\": 2}", "\"a\" stands there twice"),
            ("[{\"a\": {\"b\": 1, \"b\": 1}}]", "\"b\" stands there twice"),
        ] {
            let error = json(text.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
            assert!(!error.contains("expected"), "{text:?}: serde's words: {error}");
        }
        assert_eq!(json(b"{\"a\": [1, -2, 1.5, true, null, \"x\"]}").unwrap()["a"][5], "x");
    }

    #[test]
    fn no_value_is_shown() {
        let value =
            json(br#"{"port": "s3cret", "user": 5, "verify": "s3cret", "options": {"x": 1}}"#).unwrap();
        let fields = Fields::of(&value).unwrap();
        let said = [
            fields.number("port", 1, 65535).unwrap_err(),
            fields.text("user").unwrap_err(),
            fields.flag("verify").unwrap_err(),
            fields.texts("options").unwrap_err(),
            fields.needed("password").unwrap_err(),
            fields.only(&["port"]).unwrap_err(),
        ];
        assert!(said.iter().all(|text| !text.contains("s3cret")), "{said:?}");
        assert!(said[4] == "it has no \"password\"" && said[5].contains("is no field of it"), "{said:?}");
    }
}
