//! The argument specification of the role, from the table of settings.
//!
//! May depend on `settings::table`. One reason: `ansible-doc` and Ansible's own validation of the role say what
//! the reference page says, and a test compares the committed file.

use crate::settings::table::{Kind, SETTINGS, Setting};

/// The longest line that ansible-lint takes is 160.
const WIDTH: usize = 120;

/// `playbooks/roles/monopg/meta/argument_specs.yml`.
pub(super) fn yaml() -> String {
    let mut out = String::from(
        "---\n# Generated from the code by `monopg argument-specs`; do not edit.\nargument_specs:\n  main:\n    \
         short_description: One PostgreSQL on one mono-node k3s host\n    description:\n      - >-\n",
    );
    folded(
        &mut out,
        8,
        "The role passes these variables and the way to the node to the module monopg, on the machine that Ansible runs on. \
         monopg checks more than this specification can say.",
    );
    out.push_str("    options:\n");
    for setting in SETTINGS {
        option(&mut out, setting);
    }
    out
}

fn option(out: &mut String, setting: &Setting) {
    let mut lines = Vec::new();
    let (kind, elements) = types(setting.kind);
    lines.push(format!("type: {kind}"));
    lines.extend(elements.map(|elements| format!("elements: {elements}")));
    if let Kind::Choice(words) = setting.kind {
        lines.push(format!("choices: [{}]", words.join(", ")));
    }
    lines.extend(setting.default.map(|default| format!("default: {default}")));
    lines.push(format!("required: {}", setting.required));
    if setting.secret {
        lines.push("no_log: true".to_owned());
    }
    out.push_str(&format!("      {}:\n", setting.name));
    for line in lines {
        out.push_str(&format!("        {line}\n"));
    }
    out.push_str("        description: >-\n");
    folded(out, 10, setting.doc);
}

fn types(kind: Kind) -> (&'static str, Option<&'static str>) {
    match kind {
        Kind::Text
        | Kind::Version
        | Kind::Sha256
        | Kind::NodePath
        | Kind::Path
        | Kind::Source
        | Kind::Quantity
        | Kind::Choice(_) => ("str", None),
        // One digest or a mapping of them.
        Kind::Sha256ByArch => ("raw", None),
        Kind::Secrets | Kind::Map(_) => ("dict", None),
        Kind::Paths | Kind::Cidrs | Kind::Names => ("list", Some("str")),
        Kind::Clients => ("list", Some("dict")),
    }
}

/// Lines of a folded block.
fn folded(out: &mut String, indent: usize, text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.len() + word.len() >= WIDTH {
            out.push_str(&format!("{:indent$}{line}\n", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&format!("{:indent$}{line}\n", ""));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::settings::given::ARGUMENTS;
    use crate::yaml::{Node, Schema, parse_one};

    fn role(file: &str) -> String {
        let root = env!("CARGO_MANIFEST_DIR");
        std::fs::read_to_string(format!("{root}/playbooks/roles/monopg/{file}")).unwrap()
    }

    #[test]
    fn the_committed_file_is_the_generated_one() {
        assert!(
            role("meta/argument_specs.yml") == yaml(),
            "stale; run: cargo run -- argument-specs > playbooks/roles/monopg/meta/argument_specs.yml"
        );
    }

    #[test]
    fn it_is_yaml_with_every_setting() {
        let text = yaml();
        let (node, warnings) = parse_one("specs", &text, Schema::Ansible11).unwrap();
        assert!(warnings.is_empty());
        let options = node.at(&["argument_specs", "main", "options"]).unwrap();
        for setting in SETTINGS {
            let option = options.get(setting.name).unwrap();
            let description = option.get("description").and_then(Node::as_str);
            assert_eq!(description, Some(setting.doc), "{}", setting.name);
            let required = option.get("required").and_then(Node::as_bool);
            assert_eq!(required, Some(setting.required), "{}", setting.name);
        }
        assert_eq!(options.as_mapping().unwrap().len(), SETTINGS.len());
        assert!(text.lines().all(|l| l.len() <= 160));
    }

    #[test]
    fn the_role_passes_on_every_setting_and_only_what_the_module_takes() {
        let (tasks, _) = parse_one("main.yml", &role("tasks/main.yml"), Schema::Ansible11).unwrap();
        let task = tasks.as_sequence().unwrap()[0].get("monopg").unwrap();
        let passed: BTreeSet<&str> = task
            .as_mapping()
            .unwrap()
            .iter()
            .filter_map(|(key, _)| key.as_str())
            .collect();
        let mut known: BTreeSet<&str> = SETTINGS.iter().map(|s| s.name).collect();
        assert_eq!(known.difference(&passed).collect::<Vec<_>>(), [&""; 0]);
        known.extend(ARGUMENTS.iter().map(|a| a.name));
        assert_eq!(passed.difference(&known).collect::<Vec<_>>(), [&""; 0]);
    }
}
