//! clap's refusal as a problem of ours.
//!
//! May depend on `error`. One reason: a wrong flag looks like every other error, and in JSON too; and
//! ends with 4, for 2 is what Ansible's `command` gives for a missing binary.

use crate::error::{Exit, Problem};

/// The message, with clap's tips and the usage as hints. clap has the parts only as rendered text.
pub(super) fn problem(error: &clap::Error) -> Problem {
    let text = error.render().to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Problem::new("usage", Exit::Usage, "a command is missing")
            .hint("monopg apply, monopg plan or monopg status; more with `monopg --help`");
    }
    let mut what = Vec::new();
    let mut hints = Vec::new();
    let mut in_message = true;
    for line in text.lines() {
        let line = line.trim();
        if let Some(first) = line.strip_prefix("error: ") {
            what.push(first.trim_end_matches(':').to_owned());
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            in_message = false;
            hints.push(tip.to_owned());
        } else if let Some(usage) = line.strip_prefix("Usage: ") {
            in_message = false;
            hints.push(format!("usage: {usage}; more with --help"));
        } else if line.is_empty() {
            in_message = in_message && what.is_empty();
        } else if let Some(values) = line.strip_prefix("[possible values: ") {
            hints.push(format!("possible values: {}", values.trim_end_matches(']')));
        } else if in_message {
            what.push(line.to_owned());
        }
    }
    let what = if what.len() > 1 {
        format!("{}: {}", what[0], what[1..].join(", "))
    } else {
        what.concat()
    };
    let mut p = Problem::new("usage", Exit::Usage, what);
    if hints.is_empty() {
        hints.push("more with `monopg --help`".to_owned());
    }
    for hint in hints {
        p = p.hint(hint);
    }
    p
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::*;
    use clap::Parser as _;

    fn say(argv: &[&str]) -> String {
        let error = Cli::try_parse_from(argv).unwrap_err();
        let p = problem(&error);
        assert_eq!(p.exit, Exit::Usage);
        format!("{}\n{}", p.what, p.hints.join("\n"))
    }

    #[test]
    fn messages() {
        insta::assert_snapshot!(say(&["monopg"]), @r#"
        a command is missing
        monopg apply, monopg plan or monopg status; more with `monopg --help`
        "#);
        insta::assert_snapshot!(say(&["monopg", "aply"]), @r#"
        unrecognized subcommand 'aply'
        a similar subcommand exists: 'apply'
        usage: monopg [OPTIONS] <COMMAND>; more with --help
        "#);
        insta::assert_snapshot!(say(&["monopg", "apply", "--chek"]), @r#"
        unexpected argument '--chek' found
        a similar argument exists: '--check'
        usage: monopg apply --check; more with --help
        "#);
        insta::assert_snapshot!(say(&["monopg", "apply", "-o", "xml"]), @r#"
        invalid value 'xml' for '--output <FORM>'
        possible values: human, plain, json, jsonl
        "#);
        insta::assert_snapshot!(say(&["monopg", "apply", "-f", "0"]), @r#"
        invalid value '0' for '--forks <N>': 0 is not in 1..=1000
        more with `monopg --help`
        "#);
        insta::assert_snapshot!(say(&["monopg", "apply", "--wait-timeout", "soon"]), @r#"
        invalid value 'soon' for '--wait-timeout <TIME>': `soon` is not a duration; write 300, 90s, 10m or 1h30m
        more with `monopg --help`
        "#);
        insta::assert_snapshot!(say(&["monopg", "completions"]), @r#"
        the following required arguments were not provided: <SHELL>
        usage: monopg completions <SHELL>; more with --help
        "#);
        insta::assert_snapshot!(say(&["monopg", "apply", "-q", "-v"]), @r#"
        the argument '--quiet' cannot be used with '--verbose...'
        usage: monopg apply --quiet; more with --help
        "#);
        insta::assert_snapshot!(say(&["monopg", "apply", "-i"]), @r#"
        a value is required for '--inventory <PATH>' but none was supplied
        more with `monopg --help`
        "#);
    }
}
