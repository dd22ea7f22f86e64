//! What the layers share about failing: exit codes, and the problem that a person can act on.
//!
//! May depend on nothing. One reason: an exit code is a promise to scripts, so it has one home.

use serde::Serialize;

/// The program's exit codes. 2, 8, 13, 126, 127 and 255 stay unused: Ansible's `command` module
/// reports errno values there (2 = the binary is missing), shells and ssh own the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done, changed or not.
    Done = 0,
    /// A bug or the unforeseen.
    Unforeseen = 1,
    /// Wrong usage of the command line.
    Usage = 4,
    /// A check found changes; only with `--detailed-exitcode`.
    ChangesFound = 5,
    /// Settings or inventory are wrong.
    Settings = 10,
    /// Secrets cannot be decrypted, or a key is missing.
    Secrets = 11,
    /// A secret stands in clear where an encrypted one belongs.
    ClearSecret = 12,
    /// The host is unreachable, or authentication was refused.
    Unreachable = 20,
    /// The host key is unknown, changed or revoked.
    HostKey = 21,
    /// Privilege escalation was refused.
    Privilege = 22,
    /// An artifact is missing or its digest is wrong.
    Artifact = 30,
    /// Preflight refused: a foreign owner, existing state, an immutable change.
    Refused = 31,
    /// Storage is unusable: path, file system, space.
    Storage = 32,
    /// k3s or its API is not available.
    Cluster = 33,
    /// A remote command failed.
    Remote = 40,
    /// Applied, but still different.
    NotConverged = 41,
    /// Not ready in time, or known never to become ready.
    NotReady = 42,
    /// A verification failed, or a required check could not run.
    Verification = 43,
    /// Another run holds the lock.
    Locked = 44,
    /// Interrupted by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Every code, in ascending order, for the reference page and its tests.
    pub const ALL: &'static [Exit] = &[
        Exit::Done,
        Exit::Unforeseen,
        Exit::Usage,
        Exit::ChangesFound,
        Exit::Settings,
        Exit::Secrets,
        Exit::ClearSecret,
        Exit::Unreachable,
        Exit::HostKey,
        Exit::Privilege,
        Exit::Artifact,
        Exit::Refused,
        Exit::Storage,
        Exit::Cluster,
        Exit::Remote,
        Exit::NotConverged,
        Exit::NotReady,
        Exit::Verification,
        Exit::Locked,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The code with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|e| e.code() == code)
    }

    /// What a run over several hosts ends with: an interruption above all, else the failing hosts'
    /// common code, else 40; 0 when none failed.
    pub fn of_hosts(codes: impl IntoIterator<Item = Exit>) -> Self {
        let mut common: Option<Exit> = None;
        let mut differ = false;
        for code in codes {
            match code {
                Exit::Done | Exit::ChangesFound => {}
                Exit::Interrupted | Exit::Terminated => return code,
                _ => {
                    differ |= common.is_some_and(|c| c != code);
                    common = Some(code);
                }
            }
        }
        match common {
            None => Exit::Done,
            Some(_) if differ => Exit::Remote,
            Some(code) => code,
        }
    }

    /// One line for the reference page.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, changed or not",
            Exit::Unforeseen => "a bug or the unforeseen",
            Exit::Usage => "wrong usage of the command line",
            Exit::ChangesFound => "a check found changes, only with --detailed-exitcode",
            Exit::Settings => "settings or inventory are wrong",
            Exit::Secrets => "secrets cannot be decrypted, or a key is missing",
            Exit::ClearSecret => "a secret stands in clear where an encrypted one belongs",
            Exit::Unreachable => "unreachable, or authentication refused",
            Exit::HostKey => "host key unknown, changed or revoked",
            Exit::Privilege => "privilege escalation refused",
            Exit::Artifact => "an artifact is missing or its digest is wrong",
            Exit::Refused => "preflight refused: foreign owner, existing state, immutable change",
            Exit::Storage => "storage unusable: path, file system, space",
            Exit::Cluster => "k3s or its API is not available",
            Exit::Remote => "a remote command failed",
            Exit::NotConverged => "applied, but still different",
            Exit::NotReady => "not ready in time, or known never to become ready",
            Exit::Verification => "verification failed, or a required check could not run",
            Exit::Locked => "another run holds the lock",
            Exit::Interrupted => "interrupted (SIGINT)",
            Exit::Terminated => "ended by SIGTERM",
        }
    }
}

/// Something that a person has to act on: what is wrong, why we think so, and what to type next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable name for machines and tests, as `preflight.clock`.
    pub id: String,
    /// What is wrong, in one sentence without a final period.
    pub what: String,
    /// The chain of causes, outermost first; may be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to type or do next; may be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The exit code that this problem alone would lead to.
    #[serde(serialize_with = "code")]
    pub exit: Exit,
}

fn code<S: serde::Serializer>(exit: &Exit, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u8(exit.code())
}

impl Problem {
    /// A problem without causes and hints yet.
    pub fn new(id: impl Into<String>, exit: Exit, what: impl Into<String>) -> Self {
        Problem {
            id: id.into(),
            what: what.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            exit,
        }
    }

    /// Adds one cause, from the outside in.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds one hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// The code of several problems at once: 33 > 32 > 31, else the highest.
pub fn worst(problems: &[Problem]) -> Exit {
    problems
        .iter()
        .map(|p| p.exit)
        .max()
        .unwrap_or(Exit::Unforeseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_share_one_code() {
        use Exit::*;
        let table: &[(&[Exit], Exit)] = &[
            (&[], Done),
            (&[Done, Done], Done),
            (&[Done, ChangesFound], Done),
            (&[Refused], Refused),
            (&[Done, NotReady, Done], NotReady),
            (&[NotReady, NotReady], NotReady),
            (&[NotReady, Unreachable], Remote),
            (&[Refused, Storage, Cluster], Remote),
            (&[Locked, Locked, Unreachable], Remote),
            (&[Interrupted, NotReady], Interrupted),
            (&[NotReady, Unreachable, Terminated], Terminated),
        ];
        for (codes, want) in table {
            assert_eq!(Exit::of_hosts(codes.iter().copied()), *want, "{codes:?}");
        }
    }

    #[test]
    fn numbers_and_codes_agree() {
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), Some(*exit));
        }
        for unused in [2, 8, 13, 126, 127, 255] {
            assert_eq!(Exit::from_code(unused), None);
        }
    }
}
