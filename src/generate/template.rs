//! Filling templates: `@NAME@` is replaced, and what names a list is repeated for each of it.

use serde_json::Value;

/// Why a template cannot be filled: a fault of ours, not of the operator.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is no JSON.
    #[error("consul-watches/{name} is no JSON")]
    Json {
        /// The file.
        name: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// A placeholder that nobody fills.
    #[error("consul-watches/{name} holds {placeholder}, which nothing fills")]
    Unfilled {
        /// The file.
        name: &'static str,
        /// As it stands there.
        placeholder: String,
    },
    /// Two machines' names differ only in characters that a policy's name cannot have.
    #[error(
        "two machines would each have a policy {name}: their names differ in a dot and an underscore only"
    )]
    OneName {
        /// The file.
        name: String,
    },
}

/// What stands for one placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fill {
    /// It is replaced by this.
    One(String),
    /// What mentions it is repeated for each: an element of a JSON list, a paragraph of text. An
    /// empty list drops it.
    Each(Vec<String>),
}

/// Placeholders (`@NAME@`) and what stands for them.
pub type Fills<'a> = [(&'a str, Fill)];

/// Fills a JSON template.
pub fn json(name: &'static str, text: &str, fills: &Fills<'_>) -> Result<Value, TemplateError> {
    let value: Value = serde_json::from_str(text).map_err(|source| TemplateError::Json { name, source })?;
    let filled = in_value(value, fills);
    unfilled(name, &filled.to_string())?;
    Ok(filled)
}

/// Fills a text template, paragraph by paragraph (they are parted by empty lines).
pub fn text(name: &'static str, text: &str, fills: &Fills<'_>) -> Result<String, TemplateError> {
    let mut paragraphs = Vec::new();
    for paragraph in text.trim_end().split("\n\n") {
        // Comments that explain the placeholders themselves stay out of the result.
        let paragraph: Vec<&str> = paragraph.lines().take_while(|line| *line != "#").collect();
        paragraphs.extend(repeated(&paragraph.join("\n"), fills));
    }
    let filled = format!("{}\n", paragraphs.join("\n\n"));
    unfilled(name, &filled)?;
    Ok(filled)
}

fn in_value(value: Value, fills: &Fills<'_>) -> Value {
    match value {
        Value::Array(elements) => {
            let each = elements.into_iter().flat_map(|element| elements_of(element, fills));
            Value::Array(each.collect())
        }
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, in_value(value, fills))).collect())
        }
        Value::String(text) => Value::String(replaced(&text, fills)),
        other => other,
    }
}

/// One element of a list: repeated for each if it mentions a list, wherever in it.
fn elements_of(element: Value, fills: &Fills<'_>) -> Vec<Value> {
    let text = element.to_string();
    let mentioned = fills.iter().find_map(|(name, fill)| match fill {
        Fill::Each(each) if directly_mentions(&element, &text, name) => Some((*name, each)),
        Fill::Each(_) | Fill::One(_) => None,
    });
    match mentioned {
        None => vec![in_value(element, fills)],
        Some((name, each)) => {
            each.iter().flat_map(|one| elements_of(with_one(element.clone(), name, one), fills)).collect()
        }
    }
}

/// A list inside the element repeats its own elements; only what is outside such lists repeats
/// the element itself. `@HOST@` in a check's `id` repeats the check, not its arguments.
fn directly_mentions(element: &Value, text: &str, name: &str) -> bool {
    match element {
        Value::Object(map) => {
            map.values().any(|value| value.as_str().is_some_and(|text| text.contains(name)))
        }
        Value::String(_) => text.contains(name),
        _ => false,
    }
}

fn with_one(value: Value, name: &str, one: &str) -> Value {
    match value {
        Value::Array(elements) => {
            Value::Array(elements.into_iter().map(|element| with_one(element, name, one)).collect())
        }
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, with_one(value, name, one))).collect())
        }
        Value::String(text) => Value::String(text.replace(name, one)),
        other => other,
    }
}

fn repeated(paragraph: &str, fills: &Fills<'_>) -> Vec<String> {
    let mentioned = fills.iter().find_map(|(name, fill)| match fill {
        Fill::Each(each) if paragraph.contains(name) => Some((*name, each)),
        Fill::Each(_) | Fill::One(_) => None,
    });
    match mentioned {
        None => vec![replaced(paragraph, fills)],
        Some((name, each)) => {
            each.iter().flat_map(|one| repeated(&paragraph.replace(name, one), fills)).collect()
        }
    }
}

fn replaced(text: &str, fills: &Fills<'_>) -> String {
    fills.iter().fold(text.to_owned(), |text, (name, fill)| match fill {
        Fill::One(value) => text.replace(name, value),
        Fill::Each(_) => text,
    })
}

/// A placeholder is capital letters between two `@`; an incident id or an address is none.
fn unfilled(name: &'static str, text: &str) -> Result<(), TemplateError> {
    let mut parts: Vec<&str> = text.split('@').skip(1).collect();
    // The last part has no `@` behind it.
    parts.pop();
    let is_name =
        |part: &&&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    match parts.iter().find(is_name) {
        None => Ok(()),
        Some(part) => Err(TemplateError::Unfilled { name, placeholder: format!("@{part}@") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(items: &[&str]) -> Fill {
        Fill::Each(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn an_element_is_repeated_and_an_argument_of_nothing_is_dropped() {
        let template = r#"{"checks":[{"id":"p:@HOST@","args":["T=@TOKENS@/x","@BIN@/p","@HOST@","@TCP@"]}]}"#;
        let fills = [
            ("@HOST@", each(&["a", "b"])),
            ("@TOKENS@", each(&[])),
            ("@TCP@", each(&["--tcp", "22"])),
            ("@BIN@", Fill::One("/bin".into())),
        ];
        let expected = r#"{"checks":[{"args":["/bin/p","a","--tcp","22"],"id":"p:a"},{"args":["/bin/p","b","--tcp","22"],"id":"p:b"}]}"#;
        assert_eq!(json("t", template, &fills).unwrap().to_string(), expected);
    }

    #[test]
    fn a_paragraph_is_repeated_and_a_forgotten_placeholder_is_an_error() {
        let template = "# @ME@\n#\n# about @HOST@\n\nkey \"@HOST@\" {}\n\nend\n";
        let fills = [("@HOST@", each(&["a", "b"])), ("@ME@", Fill::One("m".into()))];
        assert_eq!(text("t", template, &fills).unwrap(), "# m\n\nkey \"a\" {}\n\nkey \"b\" {}\n\nend\n");
        let error = text("t", "x @FORGOTTEN@ y", &fills).unwrap_err();
        assert!(error.to_string().contains("@FORGOTTEN@"), "{error}");
        assert!(text("t", "host@1 and host@2", &fills).is_ok());
    }
}
