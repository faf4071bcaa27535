//! What the sources keep to: each file of the core imports only from its own floor and from those below, no file of the core or
//! of the host's program reaches itself through imports, and the build script knows a Cortex-M from its relatives. And rustup
//! knows the firmware's targets.

#[path = "../core/build.rs"]
#[allow(dead_code, reason = "cargo calls its main")]
mod build_script;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::str::Chars;

/// The floors from the ground up; names on one line stand beside each other. (`camera` changes images as `attack` does.)
const FLOORS: [&[&str]; 10] = [
    &["checksum", "error", "span"],
    &["aligned", "number"],
    &["vector"],
    &["network"],
    &["kernels"],
    &["model"],
    &["loss"],
    &["pass"],
    &["attack", "camera"],
    // The crate's root introduces all of them.
    &["lib"],
];

fn floor(module: &str) -> Option<usize> {
    let name = module.split("::").next().unwrap_or(module);
    FLOORS.iter().position(|floor| floor.contains(&name))
}

/// The modules of a crate, as `network::plan::stage`, the root as `lib`, with the modules whose items they use.
struct Imports(BTreeMap<String, BTreeSet<String>>);

/// A module's text, and what it shows of its children: the name of each item, and where it is.
struct Source {
    code: String,
    shown: BTreeMap<String, Path>,
}

/// Names from the root.
type Path = Vec<String>;
type Sources = BTreeMap<String, Source>;

impl Imports {
    /// `files` are modules with their text.
    fn of(files: &BTreeMap<String, String>) -> Self {
        let sources: Sources =
            files.iter().map(|(module, text)| (module.clone(), Source::of(module, text, files))).collect();
        let imports = sources.iter().map(|(module, source)| {
            let used =
                source.shown.iter().filter(|(name, _)| has_word(&source.code, name)).map(|(_, path)| path.clone());
            let paths = source.paths(module, files).into_iter().chain(used);
            let targets = paths.filter_map(|path| resolve(&path, &sources)).filter(|target| target != module);
            (module.clone(), targets.collect())
        });
        Self(imports.collect())
    }

    /// Imports that run against the order of the floors.
    fn upward(&self) -> Vec<String> {
        let arrows = self.0.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
        let wrong = arrows.filter(|(from, to)| match (floor(from), floor(to)) {
            (Some(from), Some(to)) => to > from,
            _ => true,
        });
        wrong.map(|(from, to)| format!("{from} imports {to}")).collect()
    }

    /// For each module that reaches itself, a shortest way.
    fn circles(&self) -> Vec<String> {
        self.0.keys().filter_map(|module| self.way_back(module)).map(|way| way.join(" -> ")).collect()
    }

    fn way_back(&self, start: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![start.to_string()]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for next in self.0.get(way.last()?).into_iter().flatten() {
                    let way = [way.clone(), vec![next.clone()]].concat();
                    if next == start {
                        return Some(way);
                    }
                    if seen.insert(next.clone()) {
                        longer.push(way);
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

impl Source {
    fn of(module: &str, text: &str, files: &BTreeMap<String, String>) -> Self {
        // Without the unit tests, which stand at the end of a file, and without what follows `//` in a line.
        let code = text.split("\nmod tests").next().unwrap_or(text);
        let code = code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let mut source = Self { code, shown: BTreeMap::new() };
        // Showing what a child holds is not using it.
        for statement in source.code.clone().split_inclusive(';') {
            let Some((start, path)) = statement.rsplit_once("use ").filter(|(before, _)| before.contains("pub")) else {
                continue;
            };
            let is_export = start.trim_end().ends_with("pub") || start.trim_end().ends_with(')');
            let child = path.trim_start_matches("self::").split([':', ';']).next().unwrap_or_default();
            if is_export && files.contains_key(&join(&[home(module), vec![child.to_string()]].concat())) {
                let mut found = BTreeSet::new();
                expand(&mut path.chars().peekable(), home(module), &mut found);
                source.shown.extend(found.into_iter().filter_map(|path| Some((path.last()?.clone(), path))));
                source.code = source.code.replace(&format!("use {path}"), "");
            }
        }
        source
    }

    /// All paths in the code that begin with `crate`, `super`, `self` or the name of a child, braces taken apart.
    fn paths(&self, module: &str, files: &BTreeMap<String, String>) -> BTreeSet<Path> {
        let below = files.keys().filter(|other| *other != "lib");
        let is_child = |other: &&String| {
            join(&home(module))
                == join(&other.split("::").map(String::from).collect::<Path>()[..other.matches("::").count()])
        };
        let children = below.filter(is_child).filter_map(|other| other.rsplit("::").next());
        let mut found = BTreeSet::new();
        for start in ["crate", "super", "self"].into_iter().chain(children) {
            for (at, _) in self.code.match_indices(&format!("{start}::")) {
                if !self.code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) {
                    expand(&mut self.code[at..].chars().peekable(), home(module), &mut found);
                }
            }
        }
        found
    }
}

/// The path that names of a module begin with.
fn home(module: &str) -> Path {
    module.split("::").filter(|name| *name != "lib").map(String::from).collect()
}

fn join(path: &[String]) -> String {
    if path.is_empty() { "lib".into() } else { path.join("::") }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Reads one path, or a list in braces of paths, that continues `prefix`.
fn expand(text: &mut Peekable<Chars<'_>>, mut prefix: Path, found: &mut BTreeSet<Path>) {
    loop {
        while text.next_if(|c| c.is_whitespace()).is_some() {}
        if text.next_if_eq(&'{').is_some() {
            loop {
                expand(text, prefix.clone(), found);
                while text.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
                if text.next_if_eq(&'}').is_some() || text.peek().is_none() {
                    return;
                }
            }
        }
        let mut word = String::new();
        while let Some(c) = text.next_if(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
        }
        match word.as_str() {
            "crate" => prefix.clear(),
            "super" => drop(prefix.pop()),
            "self" => {}
            // A glob, or the end of a path that ended in a separator.
            "" => drop(text.next_if_eq(&'*')),
            _ => prefix.push(word),
        }
        if text.next_if_eq(&':').is_none() || text.next_if_eq(&':').is_none() {
            found.insert(prefix);
            // What follows may be another name for it, generics, or not of the path at all.
            while text.peek().is_some_and(|c| !",}{;".contains(*c)) {
                text.next();
            }
            return;
        }
    }
}

/// The module that holds what a path leads to; what a module shows of its children is held by those.
fn resolve(path: &[String], sources: &Sources) -> Option<String> {
    let len = (0..=path.len()).rev().find(|len| sources.contains_key(&join(&path[..*len])))?;
    let module = join(&path[..len]);
    let Some(shown) = path.get(len).and_then(|item| sources[&module].shown.get(item)) else { return Some(module) };
    resolve(&[shown, &path[len + 1..]].concat(), sources)
}

/// Every module of a folder of sources, with its text.
fn read(folder: &std::path::Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.insert(name(path.strip_prefix(folder).unwrap()), fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// `network/plan/stage.rs` as `network::plan::stage`, `network/mod.rs` as `network`.
fn name(path: &std::path::Path) -> String {
    let path = path.with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    parts.join("::").trim_end_matches("::mod").to_string()
}

#[test]
fn the_core_is_built_from_the_ground_up() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("core/src");
    let files = read(&folder);
    assert!(files.len() > 20 && files.contains_key("lib"), "{:?}", files.keys());
    let homeless: Vec<_> = files.keys().filter(|module| floor(module).is_none()).collect();
    assert!(homeless.is_empty(), "on no floor: {homeless:?}");
    let imports = Imports::of(&files);
    let count: usize = imports.0.values().map(BTreeSet::len).sum();
    assert!(count > 50, "only {count} imports were found");
    let (upward, circles) = (imports.upward(), imports.circles());
    assert!(upward.is_empty(), "against the order of the floors:\n{}", upward.join("\n"));
    assert!(circles.is_empty(), "files that reach themselves:\n{}", circles.join("\n"));
}

#[test]
fn no_file_of_the_host_reaches_itself() {
    let files = read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("host-trainer/src"));
    assert!(files.len() > 100 && files.contains_key("lib"), "{:?}", files.keys());
    let imports = Imports::of(&files);
    let count: usize = imports.0.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} imports were found");
    let circles = imports.circles();
    assert!(circles.is_empty(), "files that reach themselves:\n{}", circles.join("\n"));
}

fn imports(files: &[(&str, &str)]) -> Imports {
    Imports::of(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::{error::Error, network::{self, plan::{Plan as P, stage::*}}};\n// use crate::attack;\n\
        mod inner;\nfn f(x: crate::vector::Level) -> super::pass::Pass { inner::g() }\nuse super::number as n;\n\
        #[cfg(test)]\nmod tests { use crate::loss; }";
    let modules = ["attack", "error", "network", "network::plan", "network::plan::stage", "number", "vector", "loss"];
    let mut files: Vec<_> = modules.map(|name| (name, "")).to_vec();
    files.extend([("pass", ""), ("model", text), ("model::inner", "use super::super::error::Error;"), ("lib", "")]);
    let imports = imports(&files);
    let expected =
        ["error", "model::inner", "network", "network::plan", "network::plan::stage", "number", "pass", "vector"];
    assert_eq!(imports.0["model"].iter().collect::<Vec<_>>(), expected);
    assert_eq!(imports.0["model::inner"].iter().collect::<Vec<_>>(), ["error"]);
    assert_eq!(imports.upward(), ["model imports pass"]);
}

#[test]
fn what_a_module_shows_of_its_children_is_theirs() {
    let shows = "mod plan;\nmod shape;\npub use shape::{Padding, Shape};\npub(crate) use plan::Plan;\n";
    let files = [
        ("network", shows),
        ("network::shape", ""),
        ("network::plan", "use crate::network::Shape;"),
        ("kernels", "use crate::network::{Plan, shape};"),
        ("lib", "pub use network::Shape;\nmod network;"),
        ("model", "use crate::Shape;"),
    ];
    let sound = imports(&files);
    assert!(sound.circles().is_empty() && sound.upward().is_empty(), "{:?}", sound.0);
    assert!(sound.0["network"].is_empty() && sound.0["lib"].is_empty());
    assert_eq!(sound.0["model"].iter().collect::<Vec<_>>(), ["network::shape"]);
    assert_eq!(sound.0["kernels"].iter().collect::<Vec<_>>(), ["network::plan", "network::shape"]);
    // But a parent that works with what a child holds uses the child.
    let uses = format!("{shows}fn f(plan: &Plan) {{}}\npub struct Other;");
    let circle = imports(&[("network", &uses), ("network::shape", ""), ("network::plan", "use super::Other;")]);
    assert_eq!(circle.circles().len(), 2, "{:?}", circle.0);
}

#[test]
fn circles_are_found() {
    let three = imports(&[
        ("model", "pub use inner::A; use crate::loss;"),
        ("model::inner", "use crate::network::B;"),
        ("network", "use crate::model::A;"),
        ("loss", ""),
    ]);
    let circle = ["model::inner -> network -> model::inner", "network -> model::inner -> network"];
    assert_eq!(three.circles(), circle);
    assert_eq!(three.upward(), ["model imports loss", "network imports model::inner"]);
    let root = imports(&[("error", "use crate::Thing;"), ("lib", "pub struct Thing;")]);
    assert_eq!(root.upward(), ["error imports lib"]);
}

/// A page that names files which moved leads a newcomer astray.
#[test]
fn the_page_on_the_architecture_names_files_that_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["core/src", "host-trainer/src", "firmware", "tests"].map(|folder| root.join(folder));
    let page = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let named = page.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs") && !word.contains("NAME"));
    let named: BTreeSet<_> = named.collect();
    assert!(named.len() > 30, "{named:?}");
    let is_there = |name: &str| {
        let near = ["", "attack", "kernels", "kernels/conv", "model", "vector"].map(|folder| folders[0].join(folder));
        near.iter().chain(&folders).chain([&root.to_path_buf()]).any(|folder| folder.join(name).is_file())
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "docs/architecture.md names what is not there: {missing:?}");
}

#[test]
fn rustup_fetches_every_target_that_the_firmware_is_built_for() {
    let firmware = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
    let text = |name: &str| fs::read_to_string(firmware.join(name)).unwrap();
    let (toolchain, config, readme) = (text("rust-toolchain.toml"), text(".cargo/config.toml"), text("README.md"));
    let words = [config, readme].join(" ");
    let words = words.split(|c: char| !c.is_alphanumeric() && !"-_.".contains(c));
    let targets: BTreeSet<_> = words.filter(|word| word.starts_with("thumb")).collect();
    assert!(targets.len() >= 2, "{targets:?}");
    for target in targets {
        assert!(toolchain.contains(&format!("{target:?}")), "{target} is not in firmware/rust-toolchain.toml");
    }
}

#[test]
fn only_a_cortex_m_with_a_floating_point_unit_has_its_kernels() {
    for target in ["thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"] {
        assert!(build_script::has_cortex_m_fpu(target), "{target}");
    }
    for target in [
        "thumbv6m-none-eabi",
        "thumbv7m-none-eabi",
        "thumbv7em-none-eabi",
        "thumbv8m.base-none-eabi",
        "thumbv8m.main-none-eabi",
        "thumbv7a-none-eabihf",
        "thumbv7r-none-eabihf",
        "thumbv8r-none-eabihf",
        "armv7a-none-eabihf",
        "armv7r-none-eabihf",
        "armv8r-none-eabihf",
        "armv7-unknown-linux-gnueabihf",
        "aarch64-unknown-none",
    ] {
        assert!(!build_script::has_cortex_m_fpu(target), "{target}");
    }
}
