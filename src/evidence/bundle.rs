//! From what was seen to the files of the folder, with everything taken out that must not stand in them.
//!
//! May depend on the other parts of `evidence` and the engine's types. Pure: no host, no disk. One reason: this is the
//! one place through which anything gets into a bundle, so one test with a canary everywhere covers all of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::collect::Collection;
use super::page::{Component, Missing, Problem};
use super::record::Ran;
use super::redact::Redactor;
use super::run_facts::{self, By, Outcome, Redactions, RunFacts};
use super::{document, objects};
use crate::cluster::facts::{list, text};
use crate::engine::event::{Event, HostResult};
use crate::error::Exit;
use crate::secrets::MASK;
use crate::settings::Spec;

/// What this machine knows of a run.
#[derive(Debug, Clone)]
pub struct Told {
    /// The run's id.
    pub run_id: String,
    /// The command.
    pub command: String,
    /// The arguments, without the program's name.
    pub arguments: Vec<String>,
    /// The host's name in the inventory.
    pub host: String,
    /// Where it was connected to.
    pub address: Option<String>,
    /// What shall be there.
    pub spec: Spec,
    /// Whether its credentials are encrypted in the inventory; `None` if that is not known.
    pub encrypted: Option<bool>,
    /// When it began.
    pub started: Timestamp,
    /// When the evidence is written.
    pub written: Timestamp,
    /// True if nothing was to be changed.
    pub check: bool,
    /// Who.
    pub by: By,
    /// The SHA-256 of the program's own file, if it can be read.
    pub binary: Option<String>,
    /// The files of the inventory, with their SHA-256.
    pub inventory: Vec<(String, String)>,
}

/// The files of a folder, by their path in it.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    /// The folder's name.
    pub name: String,
    /// Path and content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What `run.json` says.
    pub run: RunFacts,
}

/// The file with the digests of all others, as `sha256sum -c` reads it.
pub const SUMS: &str = "SHA256SUMS";

/// Puts the files together.
pub fn bundle(
    told: &Told,
    result: &HostResult,
    events: &[Event],
    commands: &[Ran],
    seen: &Collection,
    redactor: &Redactor,
) -> Bundle {
    let mut files = Files {
        redactor,
        files: BTreeMap::new(),
        taken: BTreeMap::new(),
    };
    files.lines("events.jsonl", events.iter().map(|e| json!(e)));
    files.json("checks.json", &json!(result.checks));
    files.lines("commands.jsonl", lines_of(commands, &seen.parts));
    for (name, all) in &seen.objects {
        files.objects(name, all, &told.spec);
    }
    for (name, log) in &seen.logs {
        files.log(&files.log_path(name), log);
    }
    if !seen.facts.is_empty() {
        let mut facts = seen.facts.clone();
        facts.insert("files".into(), json!(seen.digests));
        files.json("node.json", &Value::Object(facts));
    }
    if !seen.node.is_empty() {
        files.log("node.txt", &seen.node);
    }
    let redactions = Redactions {
        total: files.taken.values().sum(),
        files: std::mem::take(&mut files.taken),
        too_short: redactor.short(),
    };
    let run = masked(&run_facts(told, result, seen, redactions), redactor);
    files.json("run.json", &json!(run));
    let mut bundle = Bundle {
        name: name(told, redactor),
        files: files.files,
        run,
    };
    bundle.seal();
    bundle
}

impl Bundle {
    /// Adds a file that was made of what this bundle says, as the report.
    pub fn add(&mut self, path: &str, text: String, redactor: &Redactor) {
        let text = redactor.text(&text, &mut 0);
        self.files.insert(path.to_owned(), text.into_bytes());
        self.seal();
    }

    /// Writes the digests anew.
    fn seal(&mut self) {
        self.files.remove(SUMS);
        let sums: String = self
            .files
            .iter()
            .map(|(path, content)| format!("{}  {path}\n", sha256(content)))
            .collect();
        self.files.insert(SUMS.into(), sums.into_bytes());
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// `HOST-YYYYMMDDTHHMMSSZ-RUN`: in order of host and time.
fn name(told: &Told, redactor: &Redactor) -> String {
    let host = redactor.text(&told.host, &mut 0);
    let time = told.started.strftime("%Y%m%dT%H%M%SZ");
    format!("{}-{time}-{}", file_name(&host), file_name(&told.run_id))
}

/// A log's name, without the number that it may get and the ending, has at most so many characters.
const LOG_NAME: usize = 110;

/// What may be a part of a path on any system; nothing else, and not too long.
fn file_name(text: &str) -> String {
    let kept = |c: char| match c.is_ascii_alphanumeric() || "._-".contains(c) {
        true => c,
        false => '_',
    };
    let name: String = text.chars().take(120).map(kept).collect();
    match name.starts_with('.') || name.is_empty() {
        true => format!("_{name}"),
        false => name,
    }
}

/// Files that are being put together.
struct Files<'a> {
    redactor: &'a Redactor,
    files: BTreeMap<String, Vec<u8>>,
    taken: BTreeMap<String, u64>,
}

impl Files<'_> {
    /// The last look: whatever came before, no file gets in without it.
    fn put(&mut self, path: &str, text: &str, mut count: u64) {
        let path: Vec<String> = self
            .redactor
            .text(path, &mut count)
            .split('/')
            .map(file_name)
            .collect();
        let path = path.join("/");
        let text = self.redactor.text(text, &mut count);
        if count > 0 {
            *self.taken.entry(path.clone()).or_default() += count;
        }
        self.files.insert(path, text.into_bytes());
    }

    /// A path for a log that no other one has. A long name is cut in its middle: what the container is called, and which
    /// run it is of, stands at its end.
    fn log_path(&self, name: &str) -> String {
        let name: Vec<char> = self.redactor.text(name, &mut 0).chars().collect();
        let part = |from: usize, to: usize| -> String {
            name.get(from..to).unwrap_or_default().iter().collect()
        };
        let name = match name.len() {
            0..=LOG_NAME => part(0, name.len()),
            long => format!("{}...{}", part(0, LOG_NAME - 80), part(long - 77, long)),
        };
        let name = file_name(&name);
        let numbered = |n: usize| match n {
            1 => format!("logs/{name}.log"),
            n => format!("logs/{name}.{n}.log"),
        };
        let taken = |path: &String| self.files.contains_key(path);
        (1..=self.files.len() + 1)
            .map(numbered)
            .find(|path| !taken(path))
            .unwrap_or_else(|| numbered(1))
    }

    fn log(&mut self, path: &str, text: &str) {
        let mut count = 0;
        let text = self.redactor.log(text, &mut count);
        self.put(path, &text, count);
    }

    /// A value without what must not stand in it. What was masked on the way here counts too.
    fn clean(&self, value: &Value, count: &mut u64) -> Value {
        *count += value.to_string().matches(MASK).count() as u64;
        self.redactor.value(value, count)
    }

    fn json(&mut self, path: &str, value: &Value) {
        let mut count = 0;
        let clean = self.clean(value, &mut count);
        let mut text = serde_json::to_string_pretty(&clean).unwrap_or_default();
        text.push('\n');
        self.put(path, &text, count);
    }

    fn lines(&mut self, path: &str, values: impl Iterator<Item = Value>) {
        let (mut text, mut count) = (String::new(), 0);
        for value in values {
            text.push_str(&self.clean(&value, &mut count).to_string());
            text.push('\n');
        }
        self.put(path, &text, count);
    }

    fn objects(&mut self, name: &str, all: &[Value], spec: &Spec) {
        let (mut documents, mut count) = (Vec::new(), 0);
        for object in all.iter().filter(|o| concerns(name, o, spec)) {
            let shown = objects::shown(object, self.redactor, &mut count);
            documents.push(document::yaml(&shown));
        }
        let text = documents.join("---\n");
        self.put(&format!("resources/{name}.yaml"), &text, count);
    }
}

/// Other people's volumes are not told of, nor their services unless one can come to them from outside the cluster.
fn concerns(name: &str, object: &Value, spec: &Spec) -> bool {
    match name {
        "persistentvolumes" => {
            text(object, "/spec/claimRef/namespace") == spec.namespace
                || text(object, "/spec/storageClassName").is_empty()
        }
        "services-exposed" => {
            matches!(text(object, "/spec/type"), "NodePort" | "LoadBalancer")
                || !list(object, "/spec/externalIPs").is_empty()
        }
        _ => true,
    }
}

/// The commands, and behind them the parts of the one command that collected the evidence.
fn lines_of<'a>(
    commands: &'a [Ran],
    parts: &'a [(String, i32)],
) -> impl Iterator<Item = Value> + 'a {
    let of_run = commands.iter().map(|c| {
        json!({
            "at_ms": c.at_ms,
            "label": c.label,
            "exit": c.exit,
            "took_ms": c.took_ms,
            "error": c.error,
            "stdin_bytes": c.stdin_bytes,
            "args": c.args,
            "script_bytes": c.script_bytes,
            "script": c.script,
        })
    });
    let of_parts = parts
        .iter()
        .map(|(name, status)| json!({"label": format!("evidence: {name}"), "exit": status}));
    of_run.chain(of_parts)
}

fn run_facts(
    told: &Told,
    result: &HostResult,
    seen: &Collection,
    redactions: Redactions,
) -> RunFacts {
    let problems = |all: &[crate::error::Problem]| all.iter().map(Problem::from).collect();
    let ended = [Exit::Interrupted, Exit::Terminated].map(Exit::code);
    RunFacts {
        v: run_facts::VERSION,
        run_id: told.run_id.clone(),
        command: told.command.clone(),
        arguments: told.arguments.clone(),
        host: told.host.clone(),
        address: told.address.clone(),
        release: format!("{}/{}", told.spec.namespace, told.spec.release),
        started: Some(told.started),
        written: Some(told.written),
        clocks: seen.clocks.clone(),
        by: told.by.clone(),
        result: Outcome {
            exit: result.exit,
            failed: result.failed,
            changed: result.changed,
            check: told.check,
            interrupted: ended.contains(&result.exit),
            msg: result.msg.clone(),
            errors: problems(&result.errors),
            warnings: problems(&result.warnings),
        },
        components: components(told, seen),
        redactions,
        missing: seen.missing.clone(),
    }
}

/// Only texts are looked at: numbers and truths hold nothing of a secret, and without them a run that failed would look
/// like one that did not. A time that holds a secret is left out.
fn masked(run: &RunFacts, redactor: &Redactor) -> RunFacts {
    let holds = |value: &Value| {
        let mut count = 0;
        redactor.value(value, &mut count);
        count > 0
    };
    let time = |t: Option<Timestamp>| t.filter(|t| !holds(&json!(t)));
    let clocks = run.clocks.clone().filter(|c| !holds(&json!(c)));
    let (started, written) = (time(run.started), time(run.written));
    let texts = RunFacts {
        started: None,
        written: None,
        clocks: None,
        redactions: Redactions::default(),
        ..run.clone()
    };
    let clean = redactor.value(&json!(texts), &mut 0);
    let clean = serde_json::from_value::<RunFacts>(clean).unwrap_or_default();
    let mut missing = clean.missing;
    if (started, written, &clocks) != (run.started, run.written, &run.clocks) {
        missing.push(Missing {
            what: "run.json".into(),
            why: "a secret of the inventory stands in its times".into(),
        });
    }
    RunFacts {
        v: run.v,
        started,
        written,
        clocks,
        redactions: run.redactions.clone(),
        result: Outcome {
            exit: run.result.exit,
            failed: run.result.failed,
            changed: run.result.changed,
            check: run.result.check,
            interrupted: run.result.interrupted,
            ..clean.result
        },
        missing,
        ..clean
    }
}

fn components(told: &Told, seen: &Collection) -> Vec<Component> {
    let spec = &told.spec;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let with_sha = |digest: &str| Some(format!("sha256:{digest}"));
    let fact = |name: &str| seen.facts.get(name).and_then(Value::as_str).and_then(some);
    let part = |what: &str| Component {
        what: what.into(),
        ..Component::default()
    };
    let mut all = vec![
        Component {
            version: some(env!("CARGO_PKG_VERSION")),
            digest: told.binary.as_deref().and_then(with_sha),
            ..part("monopg")
        },
        Component {
            name: some(&spec.chart.name),
            version: some(&spec.chart.version),
            digest: with_sha(spec.chart.sha256.as_str()),
            ..part("chart")
        },
    ];
    let helm = crate::steps::paths::helm(&spec.helm.version);
    all.push(Component {
        version: Some(spec.helm.version.to_string()),
        digest: seen.digests.get(&helm).and_then(|d| with_sha(d)),
        ..part("helm")
    });
    all.extend(spec.values_files.iter().map(|file| Component {
        name: Some(file.path.display().to_string()),
        digest: with_sha(&sha256(&file.content)),
        ..part("values")
    }));
    all.extend(told.inventory.iter().map(|(path, digest)| Component {
        name: Some(path.clone()),
        digest: with_sha(digest),
        ..part("inventory")
    }));
    for (what, name) in [("node_os", "os"), ("kernel", "kernel"), ("k3s", "k3s")] {
        if let Some(version) = fact(name) {
            all.push(Component {
                version: Some(version),
                ..part(what)
            });
        }
    }
    all.extend(images(seen));
    all.extend(
        seen.digests
            .iter()
            .filter(|(p, _)| **p != helm)
            .map(|(path, digest)| Component {
                name: Some(path.clone()),
                digest: with_sha(digest),
                ..part("node_file")
            }),
    );
    all
}

/// The images that run, with the digest that the node has of them.
fn images(seen: &Collection) -> Vec<Component> {
    let mut all: Vec<Component> = Vec::new();
    for pod in seen.objects.get("pods").into_iter().flatten() {
        for status in list(pod, "/status/containerStatuses") {
            let id = text(status, "/imageID");
            let image = Component {
                what: "image".into(),
                name: Some(text(status, "/image").to_owned()),
                version: None,
                // An image that was imported, not pulled, has no name before its digest.
                digest: id
                    .rsplit_once('@')
                    .map_or(Some(id), |(_, digest)| Some(digest))
                    .filter(|d| d.starts_with("sha256:"))
                    .map(str::to_owned),
            };
            if !all.contains(&image) {
                all.push(image);
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
pub(super) mod tests;
