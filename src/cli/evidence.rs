//! Keeps the evidence of a run: what the commands have in common.
//!
//! May depend on `evidence` and the engine. One reason: whatever the command does, its evidence is collected over the
//! connection that it has, after its work and before the connection goes; and no fault of it changes what the work
//! came to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::evidence_args::Language;
use crate::engine::emit::Emitter;
use crate::engine::event::{EvidenceWritten, HostResult, Kind, Sink};
use crate::error::{Exit, Problem};
use crate::evidence::assemble::{self, Seen};
use crate::evidence::bundle::{self, Bundle, Told};
use crate::evidence::collect::{self, Collection};
use crate::evidence::html;
use crate::evidence::record::{Ran, Recorder, Watched};
use crate::evidence::redact::Redactor;
use crate::evidence::run_facts::By;
use crate::evidence::write;
use crate::secrets::{MASK, Secret};
use crate::settings::{self, HostSettings, clear_text};

/// How long collecting may take; less where somebody wants the run to end.
const LONGEST: Duration = Duration::from_secs(80);
const LONGEST_INTERRUPTED: Duration = Duration::from_secs(20);
/// A larger file of the inventory is not hashed.
const LARGEST: u64 = 64 << 20;

/// What a command was asked to keep.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Below which folder.
    pub folder: PathBuf,
    /// The language of the report.
    pub language: Language,
    /// The command's name.
    pub command: &'static str,
    /// The arguments, as they may be shown.
    pub arguments: Vec<String>,
}

impl Keep {
    /// The problem if nothing can be written there; to be asked before anything is connected to.
    pub fn prepare(&self) -> Result<(), Problem> {
        write::prepare(&self.folder).map_err(|e| {
            Problem::new("evidence.folder", Exit::Settings, e.to_string())
                .because(e.source.to_string())
                .hint("name a folder that you may write to: --evidence DIR")
        })
    }
}

/// The evidence of a run over hosts, while it goes on.
pub struct Keeping {
    keep: Keep,
    recorder: Arc<Recorder>,
    began: Instant,
    started: Timestamp,
    inventory: Vec<(String, String)>,
    /// By host: what it told, and what was done to it.
    collected: Mutex<BTreeMap<String, (Collection, Vec<Ran>)>>,
}

impl Keeping {
    /// Begins; events that go to the returned sink are kept and handed on.
    pub fn begin(keep: Keep, options: &settings::Options, to: Arc<dyn Sink>) -> Self {
        Keeping {
            keep,
            recorder: Recorder::new(to),
            began: Instant::now(),
            started: Timestamp::now(),
            inventory: inventory(options),
            collected: Mutex::default(),
        }
    }

    /// Where events shall go.
    pub fn sink(&self) -> Arc<dyn Sink> {
        self.recorder.clone()
    }

    /// When the run began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Asks a host that was worked on.
    pub async fn collect(&self, host: &HostSettings, watched: &Watched<'_>, interrupted: bool) {
        let at_most = match interrupted {
            true => LONGEST_INTERRUPTED,
            false => LONGEST,
        };
        let found = collect::collect(watched, &host.spec, at_most).await;
        let mut all = self
            .collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(host.name.clone(), (found, watched.ran()));
    }

    /// Writes the bundle of each host. True if all of them are written; what could not be is told as a warning.
    pub fn write(
        &self,
        run_id: &str,
        check: bool,
        hosts: &[HostSettings],
        given: &[Secret],
        emitter: &Arc<Emitter>,
    ) -> bool {
        let secrets = hosts.iter().flat_map(super::wire::secrets).chain(given);
        let users: Vec<&str> = hosts
            .iter()
            .filter_map(|h| h.spec.username.as_deref())
            .chain(["postgres"])
            .collect();
        let redactor = match Redactor::new(secrets, &users) {
            Ok(redactor) => redactor,
            Err(error) => {
                emitter.run(warning("no evidence is written", error.to_string()));
                return false;
            }
        };
        let binary = binary();
        let mut all = true;
        for host in hosts {
            let told = Told {
                run_id: run_id.to_owned(),
                command: self.keep.command.to_owned(),
                arguments: self.keep.arguments.clone(),
                host: host.name.clone(),
                address: Some(host.connection.address.clone()),
                spec: host.spec.clone(),
                encrypted: host.encrypted_credentials,
                started: self.started,
                written: Timestamp::now(),
                // Checks never change anything, and nobody asked them to say so.
                check: check && matches!(self.keep.command, "apply" | "plan"),
                by: by(),
                binary: binary.clone(),
                inventory: self.inventory.clone(),
            };
            let bundle = self.bundle(&told, &redactor, emitter);
            match write::write(&self.keep.folder, &bundle) {
                Ok(written) => {
                    let written = EvidenceWritten {
                        folder: written.folder.display().to_string(),
                        archive: written.archive.display().to_string(),
                        archive_sha256: written.archive_sha256,
                        files: written.files,
                        redactions: bundle.run.redactions.total,
                        missing: bundle.run.missing.len(),
                    };
                    emitter
                        .host(&host.name)
                        .emit(Kind::EvidenceWritten(written));
                }
                Err(error) => {
                    all = false;
                    let what = format!("the evidence of {} is not written: {error}", host.name);
                    emitter.run(warning(&what, error.source.to_string()));
                }
            }
        }
        all
    }

    fn bundle(&self, told: &Told, redactor: &Redactor, emitter: &Arc<Emitter>) -> Bundle {
        let events = self.recorder.of(&told.host);
        let result = events.iter().rev().find_map(|e| match &e.kind {
            Kind::HostFinished(result) => Some((**result).clone()),
            _ => None,
        });
        let result: HostResult = result.unwrap_or_default();
        let collected = {
            let mut all = self
                .collected
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.remove(&told.host)
        };
        let (collection, commands) =
            collected.unwrap_or_else(|| (Collection::nothing(result.msg.clone()), Vec::new()));
        let mut bundle = bundle::bundle(told, &result, &events, &commands, &collection, redactor);
        let seen = Seen {
            told,
            result: &result,
            events: &events,
            commands: &commands,
            collection: &collection,
        };
        match report(&seen, &bundle, redactor, self.keep.language) {
            Ok(html) => bundle.add("report.html", html, redactor),
            Err(why) => emitter.run(warning("the evidence has no report.html", why)),
        }
        bundle
    }
}

/// The report, drawn from the page.
fn report(
    seen: &Seen<'_>,
    bundle: &Bundle,
    redactor: &Redactor,
    language: Language,
) -> Result<String, String> {
    let page = assemble::page(seen, bundle, redactor)
        .ok_or_else(|| "a secret looks like one of its numbers".to_owned())?;
    let lang = match language {
        Language::En => html::Lang::En,
        Language::Fr => html::Lang::Fr,
    };
    html::render(&page, lang).map_err(|e| match std::error::Error::source(&e) {
        Some(source) => format!("{e}: {source}"),
        None => e.to_string(),
    })
}

fn warning(what: &str, why: String) -> Kind {
    Kind::Warning {
        problem: Problem::new("evidence", Exit::Unforeseen, what).because(why),
    }
}

/// The exit code of a run whose evidence was wanted: what the run came to; only where that is nothing wrong, 1 says that
/// the proof is not there.
pub(super) fn exit(run: Exit, written: bool) -> Exit {
    match run {
        Exit::Done | Exit::ChangesFound if !written => Exit::Unforeseen,
        run => run,
    }
}

/// Who runs this, as far as the machine knows.
fn by() -> By {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    By {
        user: var("USER")
            .or_else(|| var("LOGNAME"))
            .or_else(|| Some(format!("uid {}", rustix::process::getuid().as_raw()))),
        machine: Some(gethostname::gethostname().to_string_lossy().into_owned()),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        folder: std::env::current_dir()
            .ok()
            .map(|d| d.display().to_string()),
    }
}

/// The program's own digest.
fn binary() -> Option<String> {
    digest(&std::env::current_exe().ok()?, u64::MAX)
}

fn digest(path: &Path, largest: u64) -> Option<String> {
    let file = std::fs::File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let (mut reader, mut hash, mut total) = (file, Sha256::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = reader.read(&mut buffer).ok()?;
        if read == 0 {
            break;
        }
        total += read as u64;
        if total > largest {
            return None;
        }
        hash.update(buffer.get(..read)?);
    }
    Some(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// The files that the inventory is read from, with their digests as they lie there (encrypted ones encrypted).
fn inventory(options: &settings::Options) -> Vec<(String, String)> {
    let request = options.request();
    let mut files = named(&request.sources, &request.extra_vars);
    if let Ok(checked) = clear_text::check(options) {
        files.extend(checked.files.iter().map(|f| f.to_string()));
    }
    let mut all: Vec<(String, String)> = files
        .iter()
        .filter_map(|f| Some((f.clone(), digest(&options.cwd.join(f), LARGEST)?)))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The files that are named on the command line: `-i FILE` and `-e @FILE`.
fn named(sources: &[String], extra_vars: &[String]) -> Vec<String> {
    let extra = extra_vars.iter().filter_map(|e| e.strip_prefix('@'));
    sources
        .iter()
        .map(String::as_str)
        .chain(extra)
        .map(str::to_owned)
        .collect()
}

/// The arguments as they may be shown: what `-e` gives in clear is not, whatever it is called.
pub(super) fn shown(arguments: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let mut all = Vec::new();
    let mut value_follows = false;
    for argument in arguments {
        let text = argument.to_string_lossy().into_owned();
        if std::mem::take(&mut value_follows) {
            all.push(assigned(&text));
        } else if text == "--extra-vars" {
            value_follows = true;
            all.push(text);
        } else if let Some(value) = text.strip_prefix("--extra-vars=") {
            all.push(format!("--extra-vars={}", assigned(value)));
        } else if let Some(flags) = text.strip_prefix('-').filter(|f| !f.starts_with('-')) {
            // Flags without a value may stand before it.
            let before = flags.trim_start_matches(['v', 'q', 'b', 'C', 'D', 'K', 'J', 'y']);
            match before.strip_prefix('e') {
                Some("") => {
                    value_follows = true;
                    all.push(text);
                }
                Some(value) => {
                    let kept = text.len() - value.len();
                    let value = value.strip_prefix('=').unwrap_or(value);
                    let flag = text.get(..kept).unwrap_or("-e");
                    all.push(format!("{flag}{}", assigned(value)));
                }
                None => all.push(text),
            }
        } else {
            all.push(text);
        }
    }
    all
}

/// `@FILE` says where; of anything else the first name is kept.
fn assigned(value: &str) -> String {
    if value.starts_with('@') {
        return value.to_owned();
    }
    match value.split_once('=') {
        Some((name, _)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            format!("{name}={MASK}")
        }
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_in_clear_is_not_shown() {
        for (given, want) in [
            (&["apply", "-i", "a b.yml"][..], "apply|-i|a b.yml"),
            (&["-e", "pw=c4nary x=c4nary"], "-e|pw=********"),
            (&["-e", "@vars.yml", "-l", "db"], "-e|@vars.yml|-l|db"),
            (
                &["--extra-vars", "{\"a\": \"c4nary\"}"],
                "--extra-vars|********",
            ),
            (&["--extra-vars=pw=c4nary"], "--extra-vars=pw=********"),
            (&["-epw=c4nary"], "-epw=********"),
            (&["-e=pw=c4nary"], "-epw=********"),
            (&["-vbe", "pw=c4nary"], "-vbe|pw=********"),
            (&["-vbepw=c4nary"], "-vbepw=********"),
            (&["-e", "c4nary"], "-e|********"),
        ] {
            let shown = shown(given.iter().map(OsString::from)).join("|");
            assert_eq!(shown, want);
            assert!(!shown.contains("c4nary"), "{shown}");
        }
    }

    #[test]
    fn the_run_decides_the_code_unless_nothing_is_wrong() {
        for run in [Exit::NotReady, Exit::Interrupted, Exit::Verification] {
            assert_eq!(exit(run, false), run);
            assert_eq!(exit(run, true), run);
        }
        for run in [Exit::Done, Exit::ChangesFound] {
            assert_eq!(exit(run, false), Exit::Unforeseen);
            assert_eq!(exit(run, true), run);
        }
    }

    #[test]
    fn files_of_variables_belong_to_the_inventory() {
        let of = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            named(
                &of(&["hosts.yml"]),
                &of(&["@vars.yml", "a=b", "{\"c\": 1}"])
            ),
            ["hosts.yml", "vars.yml"]
        );
    }

    #[test]
    fn digests_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "abc").unwrap();
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&file, 3).as_deref(), Some(want));
        assert_eq!(digest(&file, 2), None);
        assert_eq!(digest(folder.path(), 9), None);
        assert_eq!(digest(&folder.path().join("none"), 9), None);
    }
}
