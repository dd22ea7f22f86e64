//! The lines of a check for people.
//!
//! May depend on `engine::check`. One reason: what is wrong and what to type next stand with the other problems on
//! standard error; here is the list of what was looked at.

use serde_json::Value;

use super::style::{Ink, Style};
use crate::engine::check::{CheckResult, Outcome};

/// One line: the outcome, the check, what was seen; and, if it is wanted in detail, a line for each fact.
pub(crate) fn render(
    style: Style,
    prefix: &str,
    result: &CheckResult,
    detailed: bool,
) -> Vec<String> {
    let ink = match result.outcome {
        Outcome::Passed => Ink::Good,
        Outcome::Warning => Ink::Changed,
        Outcome::Failed => Ink::Bad,
        Outcome::NotRun if result.failing => Ink::Bad,
        Outcome::NotRun | Outcome::NotApplicable => Ink::Dim,
    };
    let outcome = style.paint(ink, &format!("{:<14}", result.outcome.as_str()));
    let mut lines = vec![format!(
        "{prefix}{outcome}  {:<16}  {}",
        result.check.0, result.summary
    )];
    if detailed {
        lines.extend(result.measured.iter().map(|(name, value)| {
            format!(
                "{prefix}    {name}: {}",
                style.paint(Ink::Dim, &shown(value))
            )
        }));
    }
    lines
}

/// A fact without the quotes of JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::check::{CheckId, Level};

    #[test]
    fn one_line_a_check_and_the_facts_on_demand() {
        let mut result = CheckResult {
            check: CheckId("storage"),
            title: "t".into(),
            level: Level::Static,
            outcome: Outcome::Passed,
            failing: false,
            summary: "data-postgresql-0 is Bound".into(),
            measured: serde_json::Map::new(),
            problems: Vec::new(),
            elapsed_ms: 3,
        };
        result.measured.insert("free_bytes".into(), json!(5));
        result.measured.insert("paths".into(), json!(["a", "b"]));
        let style = Style { color: false };
        insta::assert_snapshot!(render(style, "", &result, false).join("\n"), @"passed          storage           data-postgresql-0 is Bound");
        result.outcome = Outcome::NotApplicable;
        insta::assert_snapshot!(render(style, "[pg1] ", &result, true).join("\n"), @r"
        [pg1] not applicable  storage           data-postgresql-0 is Bound
        [pg1]     free_bytes: 5
        [pg1]     paths: a, b
        ");
    }
}
