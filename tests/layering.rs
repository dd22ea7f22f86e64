//! The arrows of the crate's map (`src/lib.rs`) go down only: reads what each file uses of the crate.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only the test functions themselves"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// A layer and what it may use; a path may be narrower than a layer. Lower ones first: nobody may use
/// what stands below them.
const MAP: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("yaml", &[]),
    ("secrets", &["error", "yaml"]),
    ("inventory", &["error", "secrets", "yaml"]),
    ("settings", &["error", "secrets", "yaml", "inventory"]),
    ("host", &["error", "secrets", "settings"]),
    // Pure: builds commands and reads their output, runs nothing.
    ("cluster", &["error", "secrets", "yaml", "settings"]),
    ("artifacts", &["error", "secrets", "yaml", "settings"]),
    ("engine", &["error", "secrets", "host", "cluster"]),
    // Sees events only; the table is what the reference page is made of.
    (
        "report",
        &[
            "error",
            "secrets",
            "engine::check",
            "engine::event",
            "engine::step",
        ],
    ),
    (
        "steps",
        &[
            "error",
            "secrets",
            "yaml",
            "settings",
            "host",
            "cluster",
            "artifacts",
            "engine",
        ],
    ),
    (
        "verify",
        &[
            "error", "secrets", "yaml", "settings", "host", "cluster", "engine", "steps",
        ],
    ),
    (
        "diagnose",
        &[
            "error", "secrets", "settings", "host", "cluster", "engine", "steps",
        ],
    ),
    (
        "evidence",
        &[
            "error", "secrets", "yaml", "settings", "host", "cluster", "engine", "report", "steps",
            "verify",
        ],
    ),
    (
        "cli",
        &[
            "error",
            "secrets",
            "yaml",
            "inventory",
            "settings",
            "host",
            "cluster",
            "artifacts",
            "engine",
            "report",
            "steps",
            "verify",
            "diagnose",
            "evidence",
        ],
    ),
    ("main", &["cli"]),
];

/// What a text uses of the crate: full paths, with groups unfolded.
fn used(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|l| match l.trim_start() {
            t if t.starts_with("//") => "",
            _ => l,
        })
        .collect::<Vec<_>>()
        .join("\n");
    // A program of the package names its library by its own name.
    let start = Regex::new(r"\b(?:crate|monopg)::").unwrap();
    start
        .find_iter(&code)
        .flat_map(|at| unfold("", &code[at.end()..]).0)
        .collect()
}

/// Unfolds `a::{b, c::d}` into paths; gives the rest of the text too.
fn unfold<'a>(before: &str, text: &'a str) -> (Vec<String>, &'a str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut all = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return (all, after);
            }
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
                continue;
            }
            let (paths, after) = unfold(before, rest);
            if after.len() == rest.len() {
                return (all, after);
            }
            all.extend(paths);
            rest = after;
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let path = format!("{before}{word}");
    match rest.strip_prefix("::") {
        Some(more) if !word.is_empty() => unfold(&format!("{path}::"), more),
        // `as other` is not part of the path.
        _ if word.is_empty() => (Vec::new(), text),
        _ => {
            let after = rest.trim_start();
            let after = after.strip_prefix("as ").map_or(rest, |alias| {
                alias
                    .trim_start()
                    .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
            });
            (vec![path], after)
        }
    }
}

/// The layer of a file below src.
fn layer(file: &Path) -> String {
    let first = file
        .components()
        .next()
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// What a file uses and may not.
fn violations(file: &Path, text: &str) -> Vec<String> {
    let layer = layer(file);
    if layer == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MAP.iter().find(|(name, _)| *name == layer) else {
        return vec![format!(
            "{}: the layer {layer} is not on the map",
            file.display()
        )];
    };
    used(text)
        .into_iter()
        .filter(|path| {
            let own = path == &layer || path.starts_with(&format!("{layer}::"));
            let free = allowed.iter().any(|a| {
                // `engine::event` allows `engine::event_table` too, which describes it.
                path == a
                    || path.starts_with(&format!("{a}::"))
                    || (a.contains("::") && path.starts_with(a))
            });
            !own && !free
        })
        .map(|path| format!("{}: {layer} must not use {path}", file.display()))
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn crate_sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files
        .into_iter()
        .map(|f| {
            let text = std::fs::read_to_string(&f).unwrap();
            (f.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
}

#[test]
fn arrows_go_down_only() {
    let found: Vec<String> = crate_sources()
        .iter()
        .flat_map(|(file, text)| violations(file, text))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_map_itself_goes_down_only() {
    for (i, (layer, allowed)) in MAP.iter().enumerate() {
        for a in *allowed {
            let below = a.split("::").next().unwrap();
            assert!(
                MAP[..i].iter().any(|(l, _)| l == &below),
                "{layer} may use {a}, which does not stand above it in the map"
            );
        }
    }
}

#[test]
fn the_map_has_every_module() {
    let lib =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules = Regex::new(r"(?m)^(?:pub )?mod (\w+);").unwrap();
    let mut seen = 0;
    for module in modules.captures_iter(&lib) {
        seen += 1;
        assert!(
            MAP.iter().any(|(l, _)| *l == &module[1]),
            "{} is not on the map",
            &module[1]
        );
    }
    assert!(seen > 5, "lib.rs was not understood");
}

#[test]
fn terminals_belong_to_report_and_main() {
    let print = Regex::new(r"\be?print(ln)?!\(").unwrap();
    let found: Vec<_> = crate_sources()
        .into_iter()
        .filter(|(file, text)| {
            let layer = layer(file);
            let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
            layer != "report" && layer != "main" && code.into_iter().any(|l| print.is_match(l))
        })
        .map(|(file, _)| file)
        .collect();
    assert!(found.is_empty(), "print to the terminal: {found:?}");
}

#[test]
fn a_violation_would_be_seen() {
    let see = |file: &str, text: &str| violations(Path::new(file), text);
    for (file, text) in [
        ("cluster/object.rs", "use crate::host::Host;"),
        (
            "cluster/object.rs",
            "use crate::{error::Exit, host::{Host, Output}};",
        ),
        (
            "cluster/object.rs",
            "use crate::{\n    error::{self as e, Exit},\n    engine::step::Step,\n};",
        ),
        ("engine/run.rs", "fn f() { crate::steps::all(); }"),
        ("engine/run.rs", "pub(crate) use crate::report as r;"),
        ("report/plain.rs", "use crate::engine::run::converge;"),
        ("report/plain.rs", "use crate::engine::*;"),
        ("inventory/ini.rs", "use crate::settings::spec::Spec;"),
        ("main.rs", "use monopg::engine::run;"),
        ("elsewhere.rs", ""),
    ] {
        assert!(!see(file, text).is_empty(), "{file}: {text}");
    }
    for (file, text) in [
        (
            "cluster/object.rs",
            "use crate::cluster::pods;\nuse crate::error::{Exit, Problem};",
        ),
        (
            "cluster/object.rs",
            "/// Never uses [`crate::host::Host`].\n// use crate::host;",
        ),
        (
            "report/plain.rs",
            "use crate::engine::event::Event;\nuse crate::engine::step::{Change, Changes};",
        ),
        (
            "steps/release.rs",
            "use crate::{engine::step::Step, host::Host, settings::Spec};",
        ),
        ("main.rs", "fn main() { monopg::cli::main() }"),
    ] {
        assert_eq!(see(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}
