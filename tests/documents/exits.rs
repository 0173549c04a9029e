//! The exit codes of `src/exit.rs`.

use crate::file;

/// (module, name, code, meaning) of each constant.
fn all() -> Vec<(String, String, String, String)> {
    let (mut all, mut said, mut module) = (Vec::new(), Vec::new(), String::new());
    for line in file("src/exit.rs").lines() {
        let code = line.trim();
        if let Some(text) = code.strip_prefix("///") {
            said.push(text.trim().to_owned());
            continue;
        }
        if let Some(rest) = code.strip_prefix("pub mod ") {
            module = rest.trim_end_matches([' ', '{']).to_owned();
        } else if line == "}" {
            module.clear();
        } else if let Some(rest) = code.strip_prefix("pub const ") {
            let (name, value) = rest.split_once(": u8 = ").unwrap_or_else(|| panic!("{rest}"));
            all.push((
                module.clone(),
                name.to_owned(),
                value.trim_end_matches(';').to_owned(),
                said.join(" "),
            ));
        }
        said.clear();
    }
    all
}

/// The table.
pub(crate) fn table() -> String {
    let mut text = String::from("| code | of | in general |\n|---|---|---|\n");
    let all = all();
    assert!(all.len() >= 7, "src/exit.rs was not understood: {all:?}");
    for (module, _, code, meaning) in all {
        let of = if module.is_empty() { "all others".to_owned() } else { format!("`nova-ha-{module}`") };
        text += &format!("| {code} | {of} | {meaning} |\n");
    }
    text
}
