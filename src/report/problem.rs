//! The one renderer of problems: what is wrong, why, and what to type next.
//!
//! May depend on `error`. One reason: every failure looks alike, wherever it came from.

use super::style::{Ink, Style};
use crate::error::Problem;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// The lines of a problem; `prefix` is the host's name or empty.
pub(crate) fn render(style: Style, severity: Severity, prefix: &str, p: &Problem) -> Vec<String> {
    let (word, ink) = match severity {
        Severity::Error => ("error:", Ink::Bad),
        Severity::Warning => ("warning:", Ink::Changed),
    };
    let mut out = Vec::new();
    push(
        &mut out,
        &format!("{prefix}{} ", style.paint(ink, word)),
        &p.what,
    );
    for cause in &p.causes {
        push(
            &mut out,
            &format!("  {} ", style.paint(Ink::Dim, "caused by:")),
            cause,
        );
    }
    for hint in &p.hints {
        push(
            &mut out,
            &format!("  {} ", style.paint(Ink::Note, "hint:")),
            hint,
        );
    }
    out
}

/// Further lines of a text are indented, so that foreign text cannot pass for a message of ours.
fn push(out: &mut Vec<String>, lead: &str, text: &str) {
    let mut lines = text.trim_end().lines();
    out.push(format!("{lead}{}", lines.next().unwrap_or_default()));
    out.extend(lines.map(|l| format!("      {l}")));
}

/// The problem in one line, for lists of strings as Ansible's `warnings`.
pub(crate) fn one_line(p: &Problem) -> String {
    let mut text = p.what.replace('\n', " ");
    for cause in &p.causes {
        text.push_str(": ");
        text.push_str(&cause.replace('\n', " "));
    }
    for hint in &p.hints {
        text.push_str(" (");
        text.push_str(&hint.replace('\n', " "));
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn sample() -> Problem {
        Problem::new("ready.image", Exit::NotReady, "the image cannot be pulled")
            .because("ImagePullBackOff: docker.io/bitnami/postgresql:17")
            .because("not found\nerror: forged")
            .hint("set monopg_image.repository to bitnamilegacy/postgresql")
    }

    #[test]
    fn causes_and_hints_below_each_other() {
        insta::assert_snapshot!(
            render(Style { color: false }, Severity::Error, "[pg1] ", &sample()).join("\n"),
            @r"
        [pg1] error: the image cannot be pulled
          caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17
          caused by: not found
              error: forged
          hint: set monopg_image.repository to bitnamilegacy/postgresql
        ");
    }

    #[test]
    fn one_line_holds_everything() {
        insta::assert_snapshot!(one_line(&sample()), @"the image cannot be pulled: ImagePullBackOff: docker.io/bitnami/postgresql:17: not found error: forged (set monopg_image.repository to bitnamilegacy/postgresql)");
    }
}
