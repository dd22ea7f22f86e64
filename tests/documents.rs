//! Documents that stand in two languages say the same, and lead somewhere.

#![expect(
    clippy::unwrap_used,
    reason = "a document that cannot be read fails its test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The commands of a document, and what a test does between them.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("<!-- provoke: ") {
            found.push(line.to_owned());
        }
        if line == "```sh" {
            found.extend(
                lines
                    .by_ref()
                    .take_while(|l| *l != "```")
                    .map(str::to_owned),
            );
        }
    }
    found
}

#[test]
fn the_french_runbook_has_the_commands_of_the_english_one() {
    let english = commands(&read(&docs().join("runbook.md")));
    let french = commands(&read(&docs().join("runbook.fr.md")));
    assert!(english.len() > 40, "{}", english.len());
    same_lines(&english, &french);
}

/// The first cells of tables that name something of the program.
fn named(text: &str) -> Vec<String> {
    let cells = text.lines().filter_map(|l| l.strip_prefix("| `"));
    cells
        .filter_map(|l| l.split_once(" |"))
        .map(|(cell, _)| cell.to_owned())
        .collect()
}

#[test]
fn french_tables_name_what_the_english_ones_name() {
    for (document, at_least) in [("verify", 11), ("diagnose", 30), ("evidence", 8)] {
        let english = named(&read(&docs().join(format!("{document}.md"))));
        let french = named(&read(&docs().join(format!("{document}.fr.md"))));
        assert!(english.len() >= at_least, "{document}: {}", english.len());
        same_lines(&english, &french);
    }
}

/// Names the first line that differs.
fn same_lines(left: &[String], right: &[String]) {
    for (a, b) in left.iter().zip(right) {
        assert_eq!(a, b);
    }
    assert_eq!(left.len(), right.len());
}

#[test]
fn every_link_between_documents_leads_to_a_file() {
    let link = regex::Regex::new(r"\]\(([^)#\s]+)(#[^)]*)?\)").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("README.fr.md")];
    for folder in [docs(), docs().join("adr")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                documents.push(path);
            }
        }
    }
    let mut dead = BTreeSet::new();
    let mut seen = 0;
    for document in &documents {
        let text = read(document);
        for target in link.captures_iter(&text).map(|c| c[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            if !document.parent().unwrap().join(&target).exists() {
                dead.insert(format!("{} → {target}", document.display()));
            }
        }
    }
    assert!(seen > 20, "only {seen} links were looked at");
    assert!(dead.is_empty(), "{dead:#?}");
}
