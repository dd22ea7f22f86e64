//! Text with its line ends taken away, and where each byte of it was.
//!
//! Depends on nothing of the crate. One reason: a value that is folded, wrapped or logged in pieces is still that value.

use std::sync::LazyLock;

use regex::Regex;

/// A line end as it is, or as JSON and shells write it, with the blanks around it.
static PLAIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[ \t]*\\?(?:\r?\n|(?:\\+r)?\\+n)[ \t]*").ok());

/// The same with what programs put around it: quotes and signs that join texts, a log's time, a list's or quote's sign.
static DECORATED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"[ \t"']*[+\\,;]?[ \t]*(?:\r?\n|(?:\\+r)?\\+n)"#,
        r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)[ \t])?",
        r#"[ \t]*(?:[+|>#"'*/-]+[ \t]*)?"#,
    ))
    .ok()
});

/// The ways in which lines are joined, and what comes between them: nothing, or the one blank at which a text was folded
/// or wrapped (YAML 1.2.2 section 6.5).
pub(super) fn joints() -> impl Iterator<Item = (&'static Regex, &'static str)> {
    let both = || [PLAIN.as_ref(), DECORATED.as_ref()].into_iter().flatten();
    both().map(|j| (j, "")).chain(both().map(|j| (j, " ")))
}

/// A joined text.
pub(super) struct Joined {
    /// Without joints, or with something else in their place.
    pub text: String,
    /// Where pieces begin: in this text, and where they were.
    pieces: Vec<(usize, usize)>,
}

impl Joined {
    /// `None` if there is nothing to join.
    pub fn of(text: &str, joint: &Regex, between: &str) -> Option<Self> {
        let mut joined = Joined {
            text: String::new(),
            pieces: Vec::new(),
        };
        let mut at = 0;
        for m in joint.find_iter(text) {
            joined.piece(text, at, m.start());
            if !between.is_empty() {
                joined.pieces.push((joined.text.len(), m.start()));
                joined.text.push_str(between);
            }
            at = m.end();
        }
        if joined.pieces.is_empty() {
            return None;
        }
        joined.piece(text, at, text.len());
        Some(joined)
    }

    fn piece(&mut self, text: &str, from: usize, to: usize) {
        self.pieces.push((self.text.len(), from));
        self.text.push_str(text.get(from..to).unwrap_or_default());
    }

    /// Where a byte was.
    pub fn place(&self, at: usize) -> usize {
        let after = self.pieces.partition_point(|(here, _)| *here <= at);
        match self.pieces.get(after.saturating_sub(1)) {
            Some((here, there)) => there + (at - here),
            None => at,
        }
    }
}
