//! The page that the report is drawn from, out of what a bundle holds.
//!
//! May depend on the other parts of `evidence` and `cluster`. Pure. One reason: the report says nothing that the files
//! beside it do not say.

use serde_json::{Value, json};

use super::bundle::{Bundle, SUMS, Told, sha256};
use super::collect::Collection;
use super::page::{
    Check, Command, File, Outcome, Page, Problem, Redacted, Redactions, Run, Storage, Topology,
    Verdict,
};
use super::record::Ran;
use super::redact::Redactor;
use super::timeline;
use crate::cluster::admission::Who;
use crate::cluster::facts::{is_true, text};
use crate::cluster::values;
use crate::engine::check::{self, CheckResult};
use crate::engine::event::{Event, HostResult};
use crate::settings::Spec;

/// What was seen, as the bundle was made of it.
pub struct Seen<'a> {
    /// What this machine knows.
    pub told: &'a Told,
    /// What the run came to on this host.
    pub result: &'a HostResult,
    /// What it said.
    pub events: &'a [Event],
    /// What it did.
    pub commands: &'a [Ran],
    /// What the node told.
    pub collection: &'a Collection,
}

/// The page; `None` if a secret looks like one of its numbers or words, so that it cannot be masked.
pub fn page(seen: &Seen<'_>, bundle: &Bundle, redactor: &Redactor) -> Option<Page> {
    let checks: Vec<Check> = seen.result.checks.iter().map(Check::from).collect();
    let run = &bundle.run;
    let page = Page {
        run: run_of(seen, bundle),
        verdict: verdict(seen.result),
        timeline: timeline::of(seen.events, &seen.told.host),
        topology: topology(seen, &checks),
        storage: storage(seen, &checks),
        components: run.components.clone(),
        commands: seen.commands.iter().map(command).collect(),
        missing: run.missing.clone(),
        checks,
        ..Page::default()
    };
    let clean = redactor.value(&json!(page), &mut 0);
    let masked: Page = serde_json::from_value(clean).ok()?;
    Some(Page {
        // What it came to holds nothing of a secret, whatever a secret is called.
        run: Run {
            exit: page.run.exit,
            interrupted: page.run.interrupted,
            ..masked.run
        },
        verdict: Verdict {
            outcome: page.verdict.outcome,
            ..masked.verdict
        },
        // These were masked before, and are numbers and digests otherwise.
        redactions: Redactions {
            total: run.redactions.total,
            by_file: run
                .redactions
                .files
                .iter()
                .map(|(file, count)| Redacted {
                    file: file.clone(),
                    count: *count,
                })
                .collect(),
        },
        files: bundle
            .files
            .iter()
            .filter(|(path, _)| *path != SUMS)
            .map(|(path, content)| File {
                path: path.clone(),
                bytes: content.len() as u64,
                sha256: Some(sha256(content)),
            })
            .collect(),
        ..masked
    })
}

fn run_of(seen: &Seen<'_>, bundle: &Bundle) -> Run {
    let (told, run) = (seen.told, &bundle.run);
    let level = seen.result.checks.iter().map(|c| c.level).max();
    let took = told.written.as_millisecond() - told.started.as_millisecond();
    Run {
        id: told.run_id.clone(),
        command: told.command.clone(),
        arguments: told.arguments.clone(),
        level: level.map(|l| l.as_str().to_owned()),
        check_mode: told.check,
        host: told.host.clone(),
        address: told.address.clone(),
        release: Some(run.release.clone()),
        user: told.by.user.clone(),
        from: told.by.machine.clone(),
        started: Some(told.started),
        skew_ms: run.clocks.as_ref().map(|c| c.node_ahead_ms),
        took_ms: u64::try_from(took).unwrap_or(0),
        exit: seen.result.exit,
        interrupted: run.result.interrupted,
        encrypted: told.encrypted,
    }
}

fn verdict(result: &HostResult) -> Verdict {
    let any = |wanted: check::Outcome| result.checks.iter().any(|c| c.outcome == wanted);
    let only_unknown = |c: &CheckResult| !c.failing || c.outcome == check::Outcome::NotRun;
    let outcome = match result.failed {
        // Nothing was seen to be wrong: it could not be found out.
        true if any(check::Outcome::NotRun) && result.checks.iter().all(only_unknown) => {
            Outcome::NotRun
        }
        true => Outcome::Failed,
        false if !result.warnings.is_empty() || any(check::Outcome::Warning) => Outcome::Warning,
        false => Outcome::Passed,
    };
    let of_checks: Vec<&crate::error::Problem> =
        result.checks.iter().flat_map(|c| &c.problems).collect();
    // A check's own problems are told with the check; in the result its name stands before them.
    let elsewhere = |p: &&crate::error::Problem| {
        !of_checks
            .iter()
            .any(|c| p.id == c.id && p.what.ends_with(&c.what))
    };
    Verdict {
        outcome,
        msg: result.msg.clone(),
        problems: result
            .errors
            .iter()
            .chain(result.warnings.iter().filter(elsewhere))
            .map(Problem::from)
            .collect(),
    }
}

fn command(ran: &Ran) -> Command {
    Command {
        at_ms: Some(ran.at_ms),
        line: ran.label.clone(),
        exit: ran.exit,
        took_ms: Some(ran.took_ms),
    }
}

fn topology(seen: &Seen<'_>, checks: &[Check]) -> Topology {
    let spec = &seen.told.spec;
    let declared: Vec<(String, u16)> =
        [(&spec.allowed_clients, 5432), (&spec.metrics_clients, 9187)]
            .into_iter()
            .flat_map(|(clients, port)| {
                clients
                    .iter()
                    .map(move |c| (Who::declared(c, &spec.namespace).to_string(), port))
            })
            .collect();
    let pod = object(seen, "pods", &values::pod_name(&spec.release));
    let service = object(seen, "services", &values::service_name(&spec.release));
    let node = seen.collection.objects.get("nodes").and_then(|n| n.first());
    let name = |o: Option<&Value>| o.map(|o| text(o, "/metadata/name").to_owned());
    Topology {
        node: name(node),
        namespace: Some(spec.namespace.clone()),
        pod: name(pod),
        service: name(service),
        ready: pod.map(|p| is_true(p, "Ready")),
        ..Topology::of(checks, &declared)
    }
}

fn object<'a>(seen: &Seen<'a>, file: &str, name: &str) -> Option<&'a Value> {
    let all = seen.collection.objects.get(file)?;
    all.iter().find(|o| text(o, "/metadata/name") == name)
}

/// A text that is there and not empty.
fn some<'a>(object: Option<&'a Value>, at: &str) -> Option<&'a str> {
    let found = text(object?, at);
    (!found.is_empty()).then_some(found)
}

/// What the check measured; where none ran, what the objects and the node say.
fn storage(seen: &Seen<'_>, checks: &[Check]) -> Storage {
    let spec: &Spec = &seen.told.spec;
    let claim = object(
        seen,
        "persistentvolumeclaims",
        &values::pvc_name(&spec.release),
    );
    let volume = claim.and_then(|c| object(seen, "persistentvolumes", text(c, "/spec/volumeName")));
    let owned = |t: Option<&str>| t.map(str::to_owned);
    let number = |name: &str| seen.collection.facts.get(name).and_then(Value::as_u64);
    let seen_of = Storage::of(checks);
    let directory = some(volume, "/spec/hostPath/path").or(some(volume, "/spec/local/path"));
    Storage {
        claim: seen_of.claim.or(owned(some(claim, "/metadata/name"))),
        phase: seen_of.phase.or(owned(some(claim, "/status/phase"))),
        class: seen_of
            .class
            .or(owned(some(claim, "/spec/storageClassName"))),
        size: Some(spec.volume_size.text.clone()),
        volume: seen_of.volume.or(owned(some(volume, "/metadata/name"))),
        reclaim_policy: seen_of
            .reclaim_policy
            .or(owned(some(volume, "/spec/persistentVolumeReclaimPolicy"))),
        directory: seen_of.directory.or(owned(directory)),
        total_bytes: seen_of.total_bytes.or(number("storage_total_bytes")),
        free_bytes: seen_of.free_bytes.or(number("storage_free_bytes")),
        used_bytes: number("volume_used_kib")
            .map(|k| k.saturating_mul(1024))
            .or(seen_of.used_bytes),
        free_inodes: seen_of.free_inodes.or(number("storage_free_inodes")),
        ..seen_of
    }
}

#[cfg(test)]
mod tests {
    use super::super::bundle::tests::{bundle_of, made_up, redactor};
    use super::super::redact::tests::CANARY;
    use super::*;

    fn page_of(word: &str) -> Page {
        let (told, result, events, commands, collection) = made_up(word);
        let seen = Seen {
            told: &told,
            result: &result,
            events: &events,
            commands: &commands,
            collection: &collection,
        };
        page(&seen, &bundle_of(word), redactor()).unwrap()
    }

    #[test]
    fn what_the_run_came_to() {
        let page = page_of("word");
        assert_eq!(page.verdict.outcome, Outcome::Failed);
        assert_eq!((page.run.exit, page.run.took_ms), (42, 18_000));
        assert_eq!(page.run.skew_ms, Some(1500));
        assert_eq!(page.run.level.as_deref(), Some("static"));
        assert_eq!(page.topology.pod.as_deref(), Some("postgresql-0"));
        assert_eq!(page.topology.ready, Some(false));
        assert_eq!(page.storage.free_bytes, Some(5));
        assert_eq!(page.checks.len(), 1);
        assert_eq!(page.redactions.total, 2);
        assert!(page.files.iter().any(|f| f.path == "run.json"));
        assert_eq!(page.missing.len(), 1);
    }

    #[test]
    fn a_canary_is_not_on_the_page() {
        let page = json!(page_of(CANARY)).to_string();
        assert!(page.contains("********"));
        let json = json!(CANARY).to_string();
        for part in [CANARY, json.trim_matches('"')] {
            assert!(!page.contains(part), "{page}");
        }
    }

    #[test]
    fn what_could_not_be_found_out_is_not_called_wrong() {
        let (_, mut result, ..) = made_up("word");
        let verdict_of = |r: &HostResult| verdict(r).outcome;
        assert_eq!(verdict_of(&result), Outcome::Failed);
        result.checks[0].outcome = check::Outcome::NotRun;
        assert_eq!(verdict_of(&result), Outcome::NotRun);
        result.failed = false;
        assert_eq!(verdict_of(&result), Outcome::Warning);
        result.warnings.clear();
        assert_eq!(verdict_of(&result), Outcome::Passed);
        result.checks.clear();
        result.failed = true;
        assert_eq!(verdict_of(&result), Outcome::Failed);
    }
}
