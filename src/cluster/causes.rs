//! The causes that are known by name.
//!
//! Depends on `error`. One reason: runbooks, tests and scripts refer to a cause by its id, so the ids have one home;
//! `docs/diagnose.md` says of each how it is known and what to type.

use crate::error::{Exit, Problem};

/// A cause that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// Stable, as `image.moved`.
    pub id: &'static str,
    /// What `monopg diagnose` ends with. `apply` ends with 42 whatever kept the database from becoming ready.
    pub exit: Exit,
    /// What a user sees, in a few words.
    pub symptom: &'static str,
}

const fn cause(id: &'static str, exit: Exit, symptom: &'static str) -> Cause {
    Cause { id, exit, symptom }
}

/// No cause: it may only need time.
pub const WAITING: &str = "waiting";
/// A symptom whose cause is not known; the facts are shown.
pub const UNKNOWN: &str = "unknown";
/// A container that ends again and again, and whose last words say nothing that is known.
pub const CRASH: &str = "pod.crash";

/// All of them, outermost layer first.
pub const KNOWN: &[Cause] = &[
    cause(
        "release.absent",
        Exit::NotReady,
        "there is no StatefulSet of the release",
    ),
    cause(
        "release.failed",
        Exit::NotReady,
        "Helm's latest revision is not deployed, and there is no StatefulSet",
    ),
    cause(
        "release.scaled",
        Exit::NotReady,
        "the StatefulSet is scaled to 0",
    ),
    cause(
        "pod.forbidden",
        Exit::NotReady,
        "the controller may not make the pod",
    ),
    cause(
        "pod.outdated",
        Exit::NotReady,
        "the pod is of an earlier revision and is not replaced by itself",
    ),
    cause(
        "pod.finalizer",
        Exit::NotReady,
        "the pod stays Terminating: a finalizer keeps it",
    ),
    cause(
        "pod.unschedulable",
        Exit::NotReady,
        "the pod fits on no node",
    ),
    cause("pod.evicted", Exit::NotReady, "the node threw the pod out"),
    cause("image.moved", Exit::NotReady, "ImagePullBackOff"),
    cause("image.pull", Exit::NotReady, "ImagePullBackOff"),
    cause("image.name", Exit::NotReady, "InvalidImageName"),
    cause(
        "pod.secret",
        Exit::NotReady,
        "CreateContainerConfigError or FailedMount",
    ),
    cause(
        "pod.config",
        Exit::NotReady,
        "CreateContainerConfigError, CreateContainerError or RunContainerError",
    ),
    cause("pod.mount", Exit::NotReady, "FailedMount"),
    cause("pod.sandbox", Exit::NotReady, "FailedCreatePodSandBox"),
    cause(
        "pod.memory",
        Exit::NotReady,
        "CrashLoopBackOff after OOMKilled",
    ),
    cause(
        "pod.probe",
        Exit::NotReady,
        "the container runs and its probes are not answered, or kill it",
    ),
    cause(
        CRASH,
        Exit::NotReady,
        "CrashLoopBackOff with last words that are not known",
    ),
    cause(
        "volume.class",
        Exit::Storage,
        "the claim stays Pending: its StorageClass does not exist",
    ),
    cause(
        "volume.provisioner",
        Exit::Storage,
        "the claim stays Pending: the provisioner fails or does not run",
    ),
    cause(
        "volume.helper",
        Exit::Storage,
        "the claim stays Pending: the directory cannot be made",
    ),
    cause("volume.lost", Exit::Storage, "the claim is Lost"),
    cause(
        "database.password",
        Exit::Refused,
        "logins are refused although the Secret is right",
    ),
    cause("database.permissions", Exit::Storage, "CrashLoopBackOff"),
    cause("database.version", Exit::Refused, "CrashLoopBackOff"),
    cause("database.space", Exit::Storage, "CrashLoopBackOff"),
    cause("database.wal", Exit::NotReady, "CrashLoopBackOff"),
    cause("database.damaged", Exit::NotReady, "CrashLoopBackOff"),
    cause("database.lock", Exit::NotReady, "CrashLoopBackOff"),
    cause("database.memory", Exit::NotReady, "CrashLoopBackOff"),
    cause("database.config", Exit::NotReady, "CrashLoopBackOff"),
    cause(
        "policy.closed",
        Exit::NotReady,
        "a declared client cannot connect: no policy lets it in",
    ),
    cause(
        "policy.label",
        Exit::NotReady,
        "a client cannot connect: its labels are nearly the declared ones",
    ),
    cause(WAITING, Exit::NotReady, "not ready yet, nothing has failed"),
    cause(
        UNKNOWN,
        Exit::NotReady,
        "not ready for minutes, nothing that is known has failed",
    ),
];

/// A problem with the exit code of its cause's kind.
pub fn problem(id: &str, what: impl Into<String>) -> Problem {
    let exit = KNOWN
        .iter()
        .find(|c| c.id == id)
        .map_or(Exit::NotReady, |c| c.exit);
    Problem::new(id, exit, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A misspelt id would be a problem of the usual kind, and nobody would find it in the document.
    #[test]
    fn each_id_in_the_sources_is_known() {
        let id = regex::Regex::new(r#"(?:problem\(|^    \(|id: )\s*"([a-z]+\.[a-z]+)","#).unwrap();
        let mut seen: Vec<&str> = Vec::new();
        for source in [
            include_str!("diagnosis.rs"),
            include_str!("pod_trouble.rs"),
            include_str!("volume_trouble.rs"),
            include_str!("client_trouble.rs"),
            include_str!("readiness.rs"),
            include_str!("last_words.rs"),
            include_str!("../diagnose/password.rs"),
        ] {
            seen.extend(
                id.captures_iter(source)
                    .filter_map(|c| c.get(1))
                    .map(|m| m.as_str()),
            );
        }
        let unknown: Vec<&&str> = seen
            .iter()
            .filter(|id| KNOWN.iter().all(|c| c.id != **id))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(seen.len() > 15, "{seen:?}");
    }

    /// The table and the document.
    #[test]
    fn each_cause_has_its_line_in_the_document() {
        let document = include_str!("../../docs/diagnose.md");
        let mut rows: Vec<(&str, u8)> = document
            .lines()
            .skip_while(|l| *l != "## The causes")
            .filter_map(|l| l.strip_prefix("| `"))
            .filter_map(|l| {
                let (id, rest) = l.split_once('`')?;
                let exit = rest.split('|').nth(2)?.trim().parse().ok()?;
                Some((id, exit))
            })
            .collect();
        let mut known: Vec<(&str, u8)> = KNOWN.iter().map(|c| (c.id, c.exit.code())).collect();
        rows.sort_unstable();
        known.sort_unstable();
        assert_eq!(rows, known);
    }

    #[test]
    fn a_problem_has_its_kind() {
        assert_eq!(problem("volume.helper", "x").exit, Exit::Storage);
        assert_eq!(problem("image.pull", "x").exit, Exit::NotReady);
    }
}
