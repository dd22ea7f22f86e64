//! What is wrong with a configuration.
//!
//! May depend on origins. One reason: all problems are reported at once, each with its line and what to do.

use super::origin::Origin;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// `file:line: what is wrong`.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigProblem {
    /// A problem with its place.
    pub fn new(origin: &Origin, what: impl AsRef<str>) -> ConfigProblem {
        ConfigProblem {
            what: format!("{origin}: {}", what.as_ref()),
            hint: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> ConfigProblem {
        ConfigProblem {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// All that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One at least.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigError {
    /// A single problem.
    pub fn one(problem: ConfigProblem) -> ConfigError {
        ConfigError {
            problems: vec![problem],
        }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&problem.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
