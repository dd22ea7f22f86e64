//! What ansible-core 2.19 makes of several hundred templates, and what monopg makes of them.
//! `tests/conformance/templates/README.md` tells where the table comes from.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::inventory::Request;

const TABLE: &str = include_str!("../../../tests/conformance/templates/ansible-2.19.json");

/// Templates that Ansible renders and monopg refuses: what they need is not supported.
const REFUSED: &[&str] = &[
    "{{ '%s-%d' % ('a', 5) }}",
    "{{ '%s' % 'a' }}",
    "{{ word | regex_replace('(?=W)', 'x') }}",
    "{{ word.title() }}",
    "{{ '{}-{}'.format('a', 1) }}",
    "{{ groups['k3s'] | map('extract', hostvars, 'ansible_host') | list }}",
    "{{ lookup('file', '/nonexistent', errors='ignore') }}",
    "{{ lookup('pipe', 'echo hi') }}",
    "{{ [{'key': 'a', 'value': 1}] | items2dict }}",
    "{{ 'hello world' | title }}",
    "{{ '%05d' | format(42) }}",
    "{{ '%s:%s' | format('a', 5) }}",
    "{{ word | hash('sha1') }}",
    "{{ 8 | human_readable }}",
    "{{ '1.2.3' is version('1.2.0', '>') }}",
    "{{ word | e }}",
    "{{ '<' | escape }}",
    "{{ 'a' | safe }}",
    "{{ 'a b c' | wordcount }}",
    "{{ 'abc' | regex_escape }}",
    "{{ 'a.b' | regex_escape }}",
    "{{ word | truncate(8) }}",
    "{{ 'x' | indent }}",
    r"{{ 'a<b' | regex_replace('\<', 'x') }}",
    "{{ 'abc' | regex_replace('[[:alpha:]]', 'x') }}",
    "{{ '%s/%s' % (base, num) }}",
    "{{ {'a': 1}.b.c | default('f') }}",
    "{% macro m() %}x{% endmacro %}{{ m() }}",
    "{{ word.index('W') }}",
    "{{ word.splitlines() }}",
    "{{ lst.index(1) }}",
    "{{ lst.count(1) }}",
    "{{ 'abc' is lower }}",
    "{{ 1 is sameas 1 }}",
    "{{ no_such() | default('f') }}",
    "{{ [1, 'a'] | to_json(separators=(',', ':')) }}",
    "{{ lst | batch(2) | list }}",
    "{{ 'SGVsbG8=SGVsbG8=' | b64decode }}",
    "{{ 'a,b'.partition(',') }}",
    "{{ '²'.isdigit() }}",
    "{{ 'a'.startswith(('a', 'b')) }}",
    "{{ lookup('env') }}",
    "{{ 1,2 }}",
    "{{ 9999999999999999999999999999999999999999 }}",
    "{% set x = num + 1 %}{{ x }}",
    r"{% set x = 'a\tb' %}{{ x }}",
    "{% set a = 1 %}{% set b = a + 1 %}{{ a + b }}",
    "{% set d = dct %}{{ d.a }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set x = [] %}{% for i in [1,2] %}{% set x = x + [i] %}{% endfor %}{{ x }}",
    "{%- set x = 1 -%} {{ x }}",
];

/// Templates that Ansible refuses and monopg renders: the engine orders any two values, reads a number with a
/// zero before it, and finds a key that has the name of a method.
const TOLERATED: &[&str] = &[
    "{{ 1 < 'b' }}",
    "{{ 017 }}",
    "{{ 'a' < 1 }}",
    "{{ {'items': 1}.items }}",
    "{{ lookup('vars', 'undef_ref', default='f') }}",
];

/// Templates that come to something else: joined with `~`, very large and very small decimal numbers are
/// written out.
const DIFFERENT: &[&str] = &["{{ 'a' ~ 1e20 }}", "{{ 'a' ~ 1e-5 }}"];

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/templates/inventory");
    std::fs::create_dir_all(dir.path().join("inv/group_vars")).unwrap();
    for name in ["hosts.yml", "group_vars/all.yml", "group_vars/web.yml"] {
        std::fs::copy(from.join(name), dir.path().join("inv").join(name)).unwrap();
    }
    std::fs::write(dir.path().join("f.txt"), "content  \n\n").unwrap();
    std::fs::write(dir.path().join("tmpl.txt"), "{{ num }}\n").unwrap();
    dir
}

#[test]
fn templates_come_to_what_ansible_makes_of_them() {
    let dir = folder();
    let root = dir.path().canonicalize().unwrap();
    let here = |text: &str| text.replace("@DIR@", root.to_str().unwrap());
    let table: Vec<Json> = serde_json::from_str(&here(TABLE)).unwrap();
    let probes: serde_json::Map<String, Json> = table
        .iter()
        .enumerate()
        .map(|(at, case)| (format!("probe_{at}"), case["template"].clone()))
        .collect();
    let mut request = Request::new(&root);
    request.sources = vec!["inv/hosts.yml".into()];
    request.extra_vars = vec![Json::Object(probes).to_string()];
    request.playbook_dir = Some(root.clone());
    let inventory = Inventory::load(&request).unwrap();
    let env: Env = Arc::new(|name| (name == "TPL_SET").then(|| "from env".to_owned()));
    let renderer = Renderer::new(inventory, Arc::new(Keyring::none()), &root, env);
    let scope = renderer.scope("node1").unwrap();
    let mut wrong = Vec::new();
    let mut refused = BTreeSet::new();
    let mut tolerated = BTreeSet::new();
    for (at, case) in table.iter().enumerate() {
        let template = case["template"].as_str().unwrap();
        let made = scope.rendered(&format!("probe_{at}"));
        match (made, case.get("value")) {
            (Ok(Some(var)), Some(expected)) => {
                let made = var.node.to_json("probe").unwrap();
                if (made != *expected) != DIFFERENT.contains(&template) {
                    wrong.push(format!(
                        "{template}\n   ansible {expected}\n   monopg  {made}"
                    ));
                }
            }
            (Ok(None), Some(expected)) => wrong.push(format!(
                "{template}\n   ansible {expected}\n   monopg  not set"
            )),
            (Ok(Some(var)), None) => {
                let made = var.node.to_json("probe").unwrap_or(json!("?"));
                tolerated.insert(template.to_owned());
                if !TOLERATED.contains(&template) {
                    wrong.push(format!(
                        "{template}\n   ansible {}\n   monopg  {made}",
                        case["error"]
                    ));
                }
            }
            (Ok(None), None) => {
                // Ansible has an error for what is `omit` where nothing can be left out.
                assert_eq!(case["error"], "AnsibleValueOmittedError", "{template}");
            }
            (Err(error), Some(expected)) => {
                refused.insert(template.to_owned());
                if !REFUSED.contains(&template) {
                    wrong.push(format!(
                        "{template}\n   ansible {expected}\n   monopg  {error}"
                    ));
                }
            }
            (Err(_), None) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let listed = |list: &[&str]| {
        list.iter()
            .map(|t| (*t).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(refused, listed(REFUSED));
    assert_eq!(tolerated, listed(TOLERATED));
}
