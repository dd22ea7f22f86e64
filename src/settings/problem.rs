//! What is wrong with the settings: all of it at once, each with its place and what to do.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Exit, Problem};
use crate::inventory::{InventoryError, Place};

/// The identifier of a problem with something encrypted, whose exit code is its own.
pub(super) const LOCKED: &str = "settings.locked";

/// The identifier of a problem with a secret in clear, whose exit code is its own too.
pub(super) const CLEAR: &str = "settings.clear_text";

/// One thing to put right. Never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// Stable name for machines, as `settings.unknown`.
    pub id: &'static str,
    /// Where it stands; a missing variable stands nowhere.
    pub place: Option<Place>,
    /// The variable, or the path in a values file.
    pub subject: Option<String>,
    /// What is wrong, without a final period.
    pub what: String,
    /// Why, if there is a cause below it.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The hosts that it concerns; empty: all.
    pub hosts: BTreeSet<String>,
}

impl SettingProblem {
    /// A problem without place, hint and hosts yet.
    pub fn new(id: &'static str, what: impl Into<String>) -> Self {
        SettingProblem {
            id,
            place: None,
            subject: None,
            what: what.into(),
            causes: Vec::new(),
            hint: None,
            hosts: BTreeSet::new(),
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Says which variable or path.
    #[must_use]
    pub fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.what)?;
        if !self.hosts.is_empty() {
            let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
            let (few, more) = hosts.split_at(hosts.len().min(5));
            write!(f, " (host {}", few.join(", "))?;
            if !more.is_empty() {
                write!(f, " and {} more", more.len())?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl From<&InventoryError> for SettingProblem {
    fn from(error: &InventoryError) -> Self {
        let id = match error {
            InventoryError::Locked { .. } => LOCKED,
            _ => "settings.inventory",
        };
        let mut problem = SettingProblem::new(id, error.to_string());
        problem.hint = error.hint().map(str::to_owned);
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            problem.causes.push(cause.to_string());
            source = cause.source();
        }
        problem
    }
}

impl From<&SettingProblem> for Problem {
    fn from(problem: &SettingProblem) -> Self {
        Problem {
            id: problem.id.to_owned(),
            what: problem.to_string(),
            causes: problem.causes.clone(),
            hints: problem.hint.iter().cloned().collect(),
            exit: match problem.id {
                LOCKED => Exit::Secrets,
                CLEAR => Exit::ClearSecret,
                _ => Exit::Settings,
            },
        }
    }
}

/// Everything that is wrong; nothing was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors {
    /// At least one, ordered by file and line.
    pub problems: Vec<SettingProblem>,
    /// Remarks that were made before the problems showed.
    pub warnings: Vec<String>,
}

impl SettingsErrors {
    /// Joins problems that several hosts share (a group's file is read for each) and orders them.
    pub(super) fn new(problems: Vec<SettingProblem>, warnings: Vec<String>) -> Self {
        let mut joined: Vec<SettingProblem> = Vec::new();
        for problem in problems {
            let same = joined.iter_mut().find(|known| {
                known.id == problem.id
                    && known.place == problem.place
                    && known.subject == problem.subject
                    && known.what == problem.what
            });
            match same {
                Some(known) => known.hosts.extend(problem.hosts),
                None => joined.push(problem),
            }
        }
        joined.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
        SettingsErrors {
            problems: joined,
            warnings,
        }
    }

    /// As the problems that reports show; each leads to exit code 10, or to 11 if a key is missing.
    pub fn as_problems(&self) -> Vec<Problem> {
        self.problems.iter().map(Problem::from).collect()
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("one problem in the settings")?,
            n => write!(f, "{n} problems in the settings")?,
        }
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
            for cause in &problem.causes {
                write!(f, ": {cause}")?;
            }
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::secrets::KeyError;

    #[test]
    fn what_lacks_its_key_ends_with_a_code_of_its_own() {
        let place = Place::File(Arc::from("group_vars/all.yml"));
        let error = KeyError {
            what: "no password opens this".to_owned(),
            line: Some(2),
            hint: Some("give one".to_owned()),
        };
        let locked = SettingProblem::from(&InventoryError::locked(place, error));
        let problem = Problem::from(&locked);
        assert_eq!(problem.exit, Exit::Secrets);
        assert_eq!(problem.causes, ["no password opens this"]);
        assert_eq!(problem.hints, ["give one"]);
        assert!(problem.what.starts_with("group_vars/all.yml:2: "));
        let other = Problem::from(&SettingProblem::from(&InventoryError::NoSource));
        assert_eq!(other.exit, Exit::Settings);
    }
}
