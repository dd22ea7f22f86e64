//! Why something encrypted could not be opened.

/// Why something encrypted could not be opened; never with a key or a value in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct KeyError {
    /// What is wrong, without the file's name and a final period.
    pub what: String,
    /// The line of the file that is to blame, where there is one; the first is 1.
    pub line: Option<usize>,
    /// What to do.
    pub hint: Option<String>,
}

impl KeyError {
    /// An error without line and hint yet.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        KeyError {
            what: what.into(),
            line: None,
            hint: None,
        }
    }

    /// Says where.
    #[must_use]
    pub(crate) fn at(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// Says what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
