//! No circle between files: what a file needs can be read before it, and none is half of another.
//!
//! Every `use` and every path counts. `mod` does not, nor does the `pub use` of a child: by it a folder
//! says what others find there, and who finds it there needs the child. Tests may import what they like.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{How, named};

type Module = Vec<String>;

/// All files by their modules, and what each shows of others.
struct House {
    files: BTreeMap<Module, String>,
    shown: BTreeMap<Module, Vec<Module>>,
}

impl House {
    fn of(sources: &[(String, String)]) -> Self {
        let mut house = Self { files: BTreeMap::new(), shown: BTreeMap::new() };
        for (file, text) in sources.iter().filter(|(file, _)| !file.starts_with("bin/")) {
            let module = module_path(file);
            let shown = named(file, text).into_iter().filter(|(how, _)| *how == How::Reexport);
            let shown = shown.map(|(_, path)| absolute(path, &module)).collect();
            house.shown.insert(module.clone(), shown);
            house.files.insert(module, file.clone());
        }
        house
    }

    /// The file in which that which a path names is written, as far as it is of this crate.
    fn written_in(&self, path: &[String]) -> Option<&str> {
        // A name is shown through a few folders at most.
        let mut path = path.to_vec();
        for _ in 0..8 {
            let length = (1..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
            let module = path[..length].to_vec();
            let shown = path.get(length).and_then(|name| {
                self.shown[&module]
                    .iter()
                    .find(|shown| shown.last() == Some(name) && **shown != path[..=length])
            });
            match shown {
                Some(shown) => path = shown.iter().chain(&path[length + 1..]).cloned().collect(),
                None => return self.files.get(&module).map(String::as_str),
            }
        }
        None
    }

    /// The other files that this one needs.
    fn needs(&self, file: &str, text: &str) -> BTreeSet<String> {
        let module = module_path(file);
        let all: Vec<(How, Module)> = named(file, text);
        let local: BTreeMap<&String, &Module> = all
            .iter()
            .filter(|(how, path)| *how == How::Use && path.len() > 1)
            .filter_map(|(_, path)| path.iter().rev().find(|name| *name != "self").map(|name| (name, path)))
            .collect();
        all.iter()
            .filter(|(how, path)| *how != How::Reexport || !is_of_a_child(path, &module))
            .filter_map(|(_, path)| {
                let path = match local.get(&path[0]) {
                    Some(used) if path.len() > 1 => [used.as_slice(), &path[1..]].concat(),
                    Some(_) | None => path.clone(),
                };
                let path: Module = path.into_iter().filter(|name| name != "self").collect();
                let absolute = absolute(path, &module);
                self.written_in(&absolute).filter(|other| *other != file).map(str::to_owned)
            })
            .collect()
    }
}

/// A path that begins with the name of a child is one of this module's; `nova_ha` is this crate.
fn absolute(path: Module, module: &Module) -> Module {
    match path.first().map(String::as_str) {
        Some("crate") => path,
        Some("nova_ha") => std::iter::once("crate".to_owned()).chain(path.into_iter().skip(1)).collect(),
        Some(_) | None if path.len() > 1 => [module.as_slice(), &path].concat(),
        Some(_) | None => Vec::new(),
    }
}

fn is_of_a_child(path: &[String], module: &Module) -> bool {
    let path = absolute(path.to_vec(), module);
    path.len() > module.len() && path.starts_with(module)
}

fn module_path(file: &str) -> Module {
    let stem = file.trim_end_matches(".rs");
    let parts = stem.split('/').filter(|part| !matches!(*part, "mod" | "lib"));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// Each set of files that need one another, by whatever way around.
fn circles(sources: &[(String, String)]) -> Vec<Vec<String>> {
    let house = House::of(sources);
    let needs: BTreeMap<&str, BTreeSet<String>> = sources
        .iter()
        .filter(|(file, _)| !file.starts_with("bin/"))
        .map(|(file, text)| (file.as_str(), house.needs(file, text)))
        .collect();
    let reached = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut left: Vec<&str> = vec![from];
        while let Some(next) = left.pop() {
            for other in &needs[next] {
                if seen.insert(other.as_str()) {
                    left.push(other);
                }
            }
        }
        seen
    };
    let closures: BTreeMap<&str, BTreeSet<&str>> = needs.keys().map(|file| (*file, reached(file))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, closure) in closures.iter().filter(|(file, closure)| closure.contains(*file)) {
        let together = closure.iter().filter(|other| closures[*other].contains(file));
        found.insert(together.map(|other| (*other).to_owned()).collect());
    }
    found.into_iter().collect()
}

/// A circle, with the arrows that make it.
fn told(circle: &[String], sources: &[(String, String)]) -> String {
    let house = House::of(sources);
    let arrows = sources.iter().filter(|(file, _)| circle.contains(file)).map(|(file, text)| {
        let needs = house.needs(file, text);
        let inside: Vec<_> = needs.iter().filter(|other| circle.contains(other)).cloned().collect();
        format!("    {file} needs {}", inside.join(", "))
    });
    format!("{} files in a circle:\n{}", circle.len(), arrows.collect::<Vec<_>>().join("\n"))
}

#[test]
fn there_is_no_circle_between_files() {
    let sources = crate::sources();
    let found = circles(&sources);
    let told: Vec<_> = found.iter().map(|circle| told(circle, &sources)).collect();
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), told.join("\n"));
}

#[test]
fn a_circle_is_found_by_whatever_way_a_file_names_another() {
    let of = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(f, text)| ((*f).to_owned(), (*text).to_owned())).collect();
        circles(&files)
    };
    let both =
        |a: &str, b: &str| of(&[("a/mod.rs", "mod x; mod y; pub use y::Y;"), ("a/x.rs", a), ("a/y.rs", b)]);
    for (a, b) in [
        ("use super::y::Y;", "use super::x::X;"),
        // Shown by the folder.
        ("use super::Y;", "use crate::a::x::X;"),
        ("use super::{self as a, Y as Other};", "fn f() -> crate::a::x::X {}"),
        ("use crate::a; fn f() -> a::Y {}", "use super::x; fn f() { x::g() }"),
        ("pub(crate) use super::y::Z;", "pub use super::x::X;"),
    ] {
        assert_eq!(both(a, b), [["a/x.rs", "a/y.rs"]], "{a} {b}");
    }
    for (a, b) in [
        ("use super::y::Y;", "pub(super) fn f() {} // use super::x::X;"),
        ("use super::y::Y;", "#[cfg(test)] mod tests { use crate::a::x::X; }"),
        ("use super::y::Y;", "fn f(y: Y) { let x = 1; x.y() }"),
    ] {
        assert!(both(a, b).is_empty(), "{a} {b}");
    }
    // A child that needs what its parent says, which needs the child.
    let child = of(&[("a.rs", "mod x; fn f() { x::g() } struct A;"), ("a/x.rs", "use super::A;")]);
    assert_eq!(child, [["a.rs", "a/x.rs"]]);
    let shown = of(&[("a.rs", "mod x; pub use x::g; struct A;"), ("a/x.rs", "use super::A;")]);
    assert!(shown.is_empty(), "{shown:?}");
    let three =
        of(&[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")]);
    assert_eq!(three, [["a.rs", "b.rs", "c.rs"]]);
}
