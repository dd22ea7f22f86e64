//! The reference page in Markdown, from the code alone.
//!
//! May depend on the tables of other modules. One reason: a page that is generated and compared by a
//! test cannot go stale.

use std::fmt::Write as _;

use crate::engine::event_table::{EVENTS, EVIDENCE, HOST_RESULT};
use crate::error::Exit;
use crate::report::{JSON_KEYS, MODULE_KEYS};
use crate::settings::given::ARGUMENTS;
use crate::settings::table;

/// The whole page.
pub(super) fn markdown() -> String {
    let mut out = String::from(
        "# Reference\n\nGenerated from the code by `monopg reference`; do not edit.\n\n",
    );
    commands(&mut out);
    settings(&mut out);
    arguments(&mut out);
    exit_codes(&mut out);
    json(&mut out);
    inventory_json(&mut out);
    events(&mut out);
    out
}

/// A cell of a table: one line, without the separator.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

// Writing to a String cannot fail; the result of `write!` says nothing.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

fn commands(out: &mut String) {
    let root = super::definition();
    put!(out, "## Commands\n");
    put!(out, "| Command | Meaning |\n|---|---|");
    let listed: Vec<&clap::Command> = root
        .get_subcommands()
        .filter(|c| c.get_name() != "help")
        .collect();
    for c in &listed {
        let about = c.get_about().map(ToString::to_string).unwrap_or_default();
        put!(out, "| `monopg {}` | {} |", c.get_name(), cell(&about));
    }
    put!(out, "\n### Flags of every command\n");
    flags(out, root.get_arguments().filter(|a| !a.is_positional()));
    let apply = root.find_subcommand("apply");
    for (name, title) in [
        ("apply", "### Flags of `apply` and `plan`\n"),
        ("status", "### Flags of `status` and `diagnose`\n"),
        ("verify", "### Flags of `verify`\n"),
        ("evidence", "### Flags of `evidence`\n"),
        ("inventory", "### Flags of `inventory`\n"),
    ] {
        let Some(command) = root.find_subcommand(name) else {
            continue;
        };
        put!(out, "\n{title}");
        if name == "status" && apply.is_some() {
            put!(
                out,
                "As those of `apply` under \"Inventory\", \"Encrypted files\" and \"Hosts and connection\"."
            );
            continue;
        }
        if name == "verify" || name == "evidence" {
            put!(
                out,
                "Those of `apply` under \"Inventory\", \"Encrypted files\" and \"Hosts and connection\", and:\n"
            );
            let own = |a: &&clap::Arg| {
                matches!(a.get_help_heading(), Some("Checks" | "Evidence")) && !a.is_positional()
            };
            flags(out, command.get_arguments().filter(own));
            if name == "evidence" {
                put!(
                    out,
                    "\n`monopg evidence [DIR]`: the folder is `evidence` without it. `monopg evidence diff A B` compares two; see `docs/evidence.md`."
                );
            }
            continue;
        }
        if name == "inventory" {
            put!(
                out,
                "Those of `apply` under \"Inventory\" and \"Encrypted files\", and:\n"
            );
            let own = |a: &&clap::Arg| a.get_help_heading() == Some("Show");
            flags(out, command.get_arguments().filter(own));
            continue;
        }
        flags(
            out,
            command.get_arguments().filter(|a| {
                !a.is_global_set() && !matches!(a.get_id().as_str(), "help" | "version")
            }),
        );
    }
}

fn flags<'a>(out: &mut String, args: impl Iterator<Item = &'a clap::Arg>) {
    put!(out, "| Flag | Default | Meaning |\n|---|---|---|");
    for a in args {
        let mut name = String::new();
        if let Some(short) = a.get_short() {
            let _ = write!(name, "`-{short}`, ");
        }
        let _ = write!(name, "`--{}", a.get_long().unwrap_or_default());
        if a.get_action().takes_values() {
            let value = a
                .get_value_names()
                .and_then(|v| v.first())
                .map(ToString::to_string)
                .unwrap_or_default();
            let optional = a.get_num_args().is_some_and(|n| n.min_values() == 0);
            let _ = match (a.is_require_equals_set(), optional) {
                (true, true) => write!(name, "[={value}]"),
                (true, false) => write!(name, "={value}"),
                (false, _) => write!(name, " {value}"),
            };
        }
        name.push('`');
        let default: Vec<String> = if a.get_action().takes_values() {
            a.get_default_values()
                .iter()
                .map(|v| v.to_string_lossy().into_owned())
                .collect()
        } else {
            Vec::new()
        };
        let mut help = a.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = a
            .get_possible_values()
            .iter()
            .filter(|_| a.get_action().takes_values())
            .map(|v| format!("`{}`", v.get_name()))
            .collect();
        if !values.is_empty() {
            let _ = write!(help, ": {}", values.join(", "));
        }
        if let Some(env) = a.get_env() {
            let _ = write!(help, " (also `{}`)", env.to_string_lossy());
        }
        put!(
            out,
            "| {} | {} | {} |",
            cell(&name),
            cell(&default.join(" ")),
            cell(&help)
        );
    }
}

fn settings(out: &mut String) {
    put!(out, "\n## Variables\n");
    put!(
        out,
        "Variables of the inventory. Relative paths are relative to the inventory's folder.\n"
    );
    out.push_str(&table::markdown());
}

fn arguments(out: &mut String) {
    put!(out, "\n## The Ansible module\n");
    put!(
        out,
        "Started by Ansible as a module, monopg takes the variables above as arguments, by the same names, and:\n"
    );
    put!(out, "| Argument | Meaning |\n|---|---|");
    for argument in ARGUMENTS {
        let secret = if argument.secret { " Secret." } else { "" };
        put!(
            out,
            "| `{}` | {}{secret} |",
            argument.name,
            cell(argument.doc)
        );
    }
    put!(out, "\nIt answers with:\n");
    put!(out, "| Key | Meaning |\n|---|---|");
    for (key, meaning) in MODULE_KEYS {
        put!(out, "| `{key}` | {} |", cell(meaning));
    }
}

fn exit_codes(out: &mut String) {
    put!(out, "\n## Exit codes\n");
    put!(out, "| Code | Meaning |\n|---|---|");
    for exit in Exit::ALL {
        put!(out, "| {} | {} |", exit.code(), cell(exit.meaning()));
    }
    put!(
        out,
        "\nWith several hosts: the failing hosts' common code, else 40. 2, 8, 13, 126, 127 and 255 are\nnever used: Ansible's `command`, shells and ssh give them meanings of their own.",
    );
}

fn json(out: &mut String) {
    put!(out, "\n## The JSON object (`--output json`)\n");
    put!(
        out,
        "Exactly one object on standard output at the end, also when the run failed or never began.\n"
    );
    put!(out, "| Key | Meaning |\n|---|---|");
    for (key, meaning) in JSON_KEYS {
        put!(out, "| `{key}` | {} |", cell(meaning));
    }
    put!(out, "\nEach host in `hosts`:\n");
    put!(out, "| Key | Meaning |\n|---|---|");
    for (key, meaning) in HOST_RESULT {
        put!(out, "| `{key}` | {} |", cell(meaning));
    }
    put!(out, "| `status` | only of `monopg status`: its facts |");
    let evidence: Vec<String> = EVIDENCE
        .iter()
        .map(|(name, meaning)| format!("`{name}`: {meaning}"))
        .collect();
    put!(
        out,
        "| `evidence` | only if it was kept: {} |",
        cell(&evidence.join(" · "))
    );
    put!(
        out,
        "| `diagnosis` | only of `monopg diagnose`: verdict, summary, causes, facts, as in `host_diagnosis` |"
    );
    put!(
        out,
        "\nA problem is an object of `id` (stable), `what`, `causes`, `hints` (both absent if empty) and `exit`.\nA step's `changes` are `items` (each `what`, `before`, `after`; null = absent) and `disruption`:\n`none`, `pod_restart` or `k3s_restart`."
    );
}

fn inventory_json(out: &mut String) {
    put!(
        out,
        "\n## The JSON object of `monopg inventory` (`--output json`)\n"
    );
    put!(
        out,
        "What `ansible-inventory` answers: of `--list`, or with `--host` of `--host`. Templates stay templates, values that\nare encrypted inline stay `{{\"__ansible_vault\": …}}`. Secrets are `********` unless `--show-secrets` is given: what\nstands in encrypted files, Ansible's passwords, and the variables that hold secrets. As with Ansible a float that is\ninfinite or not a number is written `Infinity` or `NaN`.\n\nWith `--explain`:\n"
    );
    put!(out, "| Key | Meaning |\n|---|---|");
    for (key, meaning) in [
        ("variable", "the name"),
        (
            "hosts",
            "by host: null where it is not set, else `value`, `place`, `rule` and `lost`",
        ),
        ("value", "the value that the host has"),
        ("place", "FILE:LINE, or the flag that gave it"),
        ("rule", "why it wins, in words"),
        (
            "lost",
            "the other values, the strongest first, each with `value`, `place`, `rule`",
        ),
    ] {
        put!(out, "| `{key}` | {} |", cell(meaning));
    }
}

fn events(out: &mut String) {
    put!(out, "\n## Events (`--output jsonl`)\n");
    put!(
        out,
        "One JSON object a line: `v` (1), `seq` (from 0), `elapsed_ms` (since the run began), `host` (absent for\nthe run's own events), `kind`, and by kind:\n"
    );
    put!(out, "| Kind | Meaning | Fields |\n|---|---|---|");
    for e in EVENTS {
        let fields: Vec<String> = if e.kind == "host_finished" {
            vec!["as each host in the JSON object".to_owned()]
        } else {
            e.fields
                .iter()
                .map(|(name, meaning)| format!("`{name}`: {meaning}"))
                .collect()
        };
        put!(
            out,
            "| `{}` | {} | {} |",
            e.kind,
            cell(e.meaning),
            cell(&fields.join(" · "))
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == markdown(),
            "docs/reference.md is stale; run: cargo run -- reference > docs/reference.md"
        );
    }

    #[test]
    fn every_flag_has_a_meaning() {
        for line in markdown().lines().filter(|l| l.starts_with("| `-")) {
            let meaning = line.trim_end_matches(" |").rsplit(" | ").next();
            assert!(meaning.is_some_and(|m| m.len() > 5), "{line}");
        }
    }
}
