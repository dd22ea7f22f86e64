//! Two bundles, compared: what they came to, what runs, the checks, the objects, the storage.
//!
//! May depend on the other parts of `evidence`. Pure. One reason: what could not be read on one side is not a change of
//! the other, so all comparing knows of what is missing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::document;
use super::super::run_facts::{self, RunFacts};
use super::{Opened, objects};
use crate::report::strip_controls;

/// A value that is longer is cut.
const LONGEST: usize = 200;

/// What a difference is about, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What the runs came to.
    Run,
    /// Versions and digests.
    Versions,
    /// Checks by outcome.
    Checks,
    /// The cluster's objects, field by field.
    Objects,
    /// How much is used; it changes all the time, so it does not count.
    Storage,
    /// What could be read in one of both only.
    Missing,
}

impl Section {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Section::Run => "the run",
            Section::Versions => "versions and digests",
            Section::Checks => "checks",
            Section::Objects => "objects",
            Section::Storage => "storage (not counted as a difference)",
            Section::Missing => "could be read in one of both only",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is about.
    pub section: Section,
    /// What differs.
    pub what: String,
    /// In the first; `null` = not there.
    pub before: Option<String>,
    /// In the second.
    pub after: Option<String>,
}

impl Difference {
    pub(super) fn new(
        section: Section,
        what: &str,
        before: Option<String>,
        after: Option<String>,
    ) -> Self {
        Difference {
            section,
            what: line(what),
            before: before.as_deref().map(line),
            after: after.as_deref().map(line),
        }
    }

    /// False for what changes all the time.
    pub fn counts(&self) -> bool {
        self.section != Section::Storage
    }
}

/// One line that a terminal shows as it is, not too long.
pub fn line(text: &str) -> String {
    let text = strip_controls(text).replace(['\n', '\t'], " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// What is different in `b`; an error names the file that is none of a bundle's.
pub fn compare(a: &Opened, b: &Opened) -> Result<Vec<Difference>, String> {
    let (run_a, run_b) = (run(a)?, run(b)?);
    let mut all = Vec::new();
    all.extend(of_run(&run_a, &run_b));
    all.extend(changed(
        Section::Versions,
        &components(&run_a),
        &components(&run_b),
    ));
    all.extend(changed(Section::Checks, &checks(a)?, &checks(b)?));
    let mut missing = Vec::new();
    for file in files(a, b, "resources/") {
        match (a.files.get(file), b.files.get(file)) {
            // What happened in between is told by the objects.
            _ if file == "resources/events.yaml" => {}
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => {
                all.extend(objects::compare(&documents(file, x)?, &documents(file, y)?))
            }
            (x, y) => {
                let read = |c: Option<&Vec<u8>>| c.map(|_| "read".to_owned());
                missing.push(Difference::new(Section::Missing, file, read(x), read(y)));
            }
        }
    }
    all.extend(changed(Section::Storage, &storage(a)?, &storage(b)?));
    all.extend(missing);
    Ok(all)
}

fn files<'a>(a: &'a Opened, b: &'a Opened, prefix: &'a str) -> Vec<&'a str> {
    let names = a.files.keys().chain(b.files.keys());
    let mut all: Vec<&str> = names
        .map(String::as_str)
        .filter(|f| f.starts_with(prefix))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn json<T: serde::de::DeserializeOwned + Default>(of: &Opened, file: &str) -> Result<T, String> {
    match of.files.get(file) {
        None => Ok(T::default()),
        Some(content) => serde_json::from_slice(content).map_err(|e| format!("{file}: {e}")),
    }
}

fn run(of: &Opened) -> Result<RunFacts, String> {
    let run: RunFacts = json(of, "run.json")?;
    match run.v > run_facts::VERSION {
        true => Err(format!(
            "run.json: its form {} is newer than this monopg, which reads {}",
            run.v,
            run_facts::VERSION
        )),
        false => Ok(run),
    }
}

fn documents(file: &str, content: &[u8]) -> Result<Vec<Value>, String> {
    document::read(file, &String::from_utf8_lossy(content))
}

fn of_run(a: &RunFacts, b: &RunFacts) -> Vec<Difference> {
    let facts = |r: &RunFacts| -> BTreeMap<String, String> {
        let verdict = match (r.result.failed, r.result.interrupted) {
            (_, true) => "interrupted",
            (true, _) => "failed",
            _ => "good",
        };
        [
            ("command", r.command.clone()),
            ("host", r.host.clone()),
            ("address", r.address.clone().unwrap_or_default()),
            ("release", r.release.clone()),
            ("exit", r.result.exit.to_string()),
            ("verdict", verdict.to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into()
    };
    changed(Section::Run, &facts(a), &facts(b))
}

/// By what it is and which of several.
fn components(run: &RunFacts) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for c in &run.components {
        let key = match &c.name {
            Some(name) => format!("{} {name}", c.what),
            None => c.what.clone(),
        };
        let parts = [c.version.as_deref(), c.digest.as_deref()];
        let text: Vec<&str> = parts.into_iter().flatten().collect();
        let text = match text.is_empty() {
            true => "there".to_owned(),
            false => text.join(" "),
        };
        all.entry(key)
            .and_modify(|old| *old = format!("{old}, {text}"))
            .or_insert(text);
    }
    // Whoever restores a record writes its time.
    all.retain(|key, _| key != "node_file /var/lib/monopg/state.json");
    all
}

fn checks(of: &Opened) -> Result<BTreeMap<String, String>, String> {
    let checks: Vec<Value> = json(of, "checks.json")?;
    let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
    Ok(checks
        .iter()
        .map(|c| (text(c, "check"), text(c, "outcome")))
        .collect())
}

/// What is used and free, and what the storage is.
fn storage(of: &Opened) -> Result<BTreeMap<String, String>, String> {
    let facts: serde_json::Map<String, Value> = json(of, "node.json")?;
    Ok(facts
        .iter()
        .filter(|(name, _)| name.starts_with("storage_") || name.starts_with("volume_"))
        .map(|(name, value)| {
            let value = match value.as_str() {
                Some(text) => text.to_owned(),
                None => value.to_string(),
            };
            (name.clone(), value)
        })
        .collect())
}

fn changed(
    section: Section,
    a: &BTreeMap<String, String>,
    b: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|n| a.get(*n) != b.get(*n))
        .map(|n| Difference::new(section, n, a.get(n).cloned(), b.get(n).cloned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::bundle::tests::bundle_of;
    use super::*;

    fn opened() -> Opened {
        Opened {
            files: bundle_of("word").files,
            altered: Vec::new(),
        }
    }

    fn edit(of: &mut Opened, file: &str, from: &str, to: &str) {
        let text = String::from_utf8(of.files[file].clone()).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        of.files
            .insert(file.into(), text.replace(from, to).into_bytes());
    }

    fn told(a: &Opened, b: &Opened) -> String {
        let line = |d: Difference| {
            let or = |t: Option<String>| t.unwrap_or_else(|| "-".into());
            format!(
                "{:?} {}: {} -> {}",
                d.section,
                d.what,
                or(d.before),
                or(d.after)
            )
        };
        let all: Vec<String> = compare(a, b).unwrap().into_iter().map(line).collect();
        all.join("\n")
    }

    #[test]
    fn a_bundle_is_like_itself() {
        assert_eq!(told(&opened(), &opened()), "");
    }

    #[test]
    fn each_section() {
        let (a, mut b) = (opened(), opened());
        edit(&mut b, "run.json", "\"exit\": 42", "\"exit\": 0");
        edit(&mut b, "run.json", "17.0.2", "17.0.3");
        edit(
            &mut b,
            "checks.json",
            "\"outcome\": \"failed\"",
            "\"outcome\": \"passed\"",
        );
        edit(
            &mut b,
            "resources/pods.yaml",
            "\"i:1\"",
            "\"i:\\u001B[31m2\"",
        );
        edit(
            &mut b,
            "node.json",
            "\"storage_free_bytes\": 5",
            "\"storage_free_bytes\": 4",
        );
        b.files.remove("resources/secrets.yaml");
        insta::assert_snapshot!(told(&a, &b), @r"
        Run exit: 42 -> 0
        Versions chart postgresql: 17.0.2 sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa -> 17.0.3 sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        Checks storage: failed -> passed
        Objects Pod data/postgresql-0 status.containerStatuses[postgresql].image: i:1 -> i:2
        Storage storage_free_bytes: 5 -> 4
        Missing resources/secrets.yaml: read -> -
        ");
        let all = compare(&a, &b).unwrap();
        assert_eq!(all.iter().filter(|d| !d.counts()).count(), 1);
    }

    #[test]
    fn what_is_none_of_ours_is_named() {
        for (file, text) in [
            ("run.json", "7"),
            ("run.json", "{\"v\": 99}"),
            ("checks.json", "{"),
            ("resources/pods.yaml", "a: [\n"),
            ("node.json", "7"),
        ] {
            let mut b = opened();
            b.files.insert(file.into(), text.into());
            let error = compare(&opened(), &b).unwrap_err();
            assert!(error.contains(file), "{error}");
        }
    }
}
