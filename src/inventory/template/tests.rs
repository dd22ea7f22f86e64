use proptest::prelude::*;

use super::*;
use crate::inventory::Request;
use crate::secrets::{KeyOptions, PasswordSource};
use crate::yaml::Value;

/// `p{{ base }}`, encrypted with the password `secretpw`.
const VAULT: &str = include_str!("../../../tests/conformance/templates/vault.txt");

/// A world of two hosts with the variables of the group `all`, and others of the host `b`.
fn world(vars: &str, of_b: &str, keyring: Keyring) -> (tempfile::TempDir, Renderer) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("hosts.yml", "all: {hosts: {a: , b: }}\n");
    write("group_vars/all.yml", vars);
    write("host_vars/b.yml", of_b);
    let mut request = Request::new(dir.path());
    request.sources = vec!["hosts.yml".into()];
    let inventory = Inventory::load(&request).unwrap();
    let env: Env = Arc::new(|name| (name == "SET").then(|| "{{ from }} env".to_owned()));
    let renderer = Renderer::new(inventory, Arc::new(keyring), dir.path(), env);
    (dir, renderer)
}

fn plain(vars: &str) -> (tempfile::TempDir, Renderer) {
    world(vars, "", Keyring::none())
}

/// The result of one variable as JSON, or what is wrong with it.
fn made(renderer: &Renderer, host: &str, name: &str) -> String {
    match renderer.scope(host).unwrap().rendered(name) {
        Ok(Some(var)) => var.node.to_json("x").unwrap().to_string(),
        Ok(None) => "not set".to_owned(),
        Err(error) => {
            let hint = error.hint().map(|h| format!(" (hint: {h})"));
            format!("{error}{}", hint.unwrap_or_default())
        }
    }
}

#[test]
fn what_nobody_asks_for_is_not_rendered() {
    let (_dir, renderer) = plain(
        "good: '{{ half.ok }}'\nhalf: {ok: 1, bad: '{{ lookup(\"pipe\", \"rm\") }}', worse: !vault nonsense}\n\
         loop: '{{ loop }}'\nsyntax: '{{'\n",
    );
    assert_eq!(made(&renderer, "a", "good"), "1");
    assert_eq!(made(&renderer, "a", "none"), "not set");
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_variable() {
    let (_dir, renderer) = plain(
        "a: '{{ b }}'\nb: '{{ c }}'\nc: 'x{{ a }}'\n\
         self: {x: '{{ self | to_json }}'}\n\
         pipe: '{{ lookup(\"pipe\", \"date\") }}'\n\
         user: '{{ pipe }}'\n\
         nested:\n- x: 1\n- y: '{{ nothing.there }}'\n\
         chained: '{{ outer }}'\nouter: '{{ inner }}'\ninner: '{{ nothing }}'\n\
         filter: '{{ 1 | frobnicate }}'\n\
         statement: '{% include \"x\" %}'\n\
         syntax: '{{ 1'\n\
         other: !other x\n\
         dir: '{{ playbook_dir }}/x'\n\
         file: '{{ lookup(\"file\", \"x\") }}'\n\
         masked: '{{ \"{\" | from_json }}'\n\
         far: '{{ hostvars[\"b\"].far }}'\n\
         long: '{{ \"x\" * 3000000 }}'\n\
         slow: '{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}'\n",
    );
    let all: Vec<String> = [
        "a",
        "self",
        "pipe",
        "user",
        "nested",
        "chained",
        "filter",
        "statement",
        "syntax",
        "other",
        "dir",
        "file",
        "masked",
        "far",
        "long",
        "slow",
    ]
    .iter()
    .map(|name| format!("{name} => {}", made(&renderer, "a", name)))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    a => group_vars/all.yml:1: a: the variables refer to each other in a loop: a → b → c → a
    self => group_vars/all.yml:4: self.x: the variables refer to each other in a loop: self.x → self.x
    pipe => group_vars/all.yml:5: pipe: the template cannot be rendered: the lookup `pipe` is not supported; env, file and vars are
    user => group_vars/all.yml:5: pipe: the template cannot be rendered: the lookup `pipe` is not supported; env, file and vars are
    nested => group_vars/all.yml:9: nested[1].y: `nothing` is not defined
    chained => group_vars/all.yml:10: chained: `outer` cannot be rendered: `inner` cannot be rendered: `nothing` is not defined
    filter => group_vars/all.yml:13: filter: the filter `frobnicate` is not supported (hint: docs/templates.md lists what is; or write the value itself, or give it with -e)
    statement => group_vars/all.yml:14: statement: the statement `include` is not supported in templates (hint: docs/templates.md lists what is; or write the value itself, or give it with -e)
    syntax => group_vars/all.yml:15: syntax: the template is not valid: unexpected end of input, expected end of variable block
    other => group_vars/all.yml:16: other: the tag !other is not known here (hint: remove it)
    dir => group_vars/all.yml:17: dir: `playbook_dir` is known only with --playbook-dir
    file => group_vars/all.yml:18: file: the template cannot be rendered: a relative path in `lookup('file', …)` starts from the playbook's folder: name it with --playbook-dir, or make the path absolute
    masked => group_vars/all.yml:19: masked: the template cannot be rendered: the value is not JSON (line 1, column 1)
    far => group_vars/all.yml:20: far: the variables refer to each other in a loop: far → far
    long => group_vars/all.yml:21: long: the template does too much
    slow => group_vars/all.yml:22: slow: the template does too much
    "#);
}

#[test]
fn chains_have_an_end() {
    let chain = |length: usize| {
        let mut vars = String::from("v0: end\n");
        for at in 1..=length {
            vars += &format!("v{at}: '{{{{ v{} }}}}'\n", at - 1);
        }
        let (_dir, renderer) = plain(&vars);
        made(&renderer, "a", &format!("v{length}"))
    };
    assert_eq!(chain(20), "\"end\"");
    assert!(
        chain(21).ends_with("the variables refer to each other too deep"),
        "{}",
        chain(21)
    );
}

#[test]
fn doubling_and_many_templates_come_to_an_end() {
    // Each variable is twice the one before it, as text and as a list that is rendered item by item.
    let mut vars = String::from("t0: xxxxxxxxxxxxxxxx\nl0: ['{{ 1 }}', '{{ 1 }}']\n");
    for at in 1..=19 {
        let before = at - 1;
        vars += &format!("t{at}: '{{{{ t{before} }}}}{{{{ t{before} }}}}'\n");
        vars += &format!("l{at}: ['{{{{ l{before} }}}}', '{{{{ l{before} }}}}']\n");
    }
    vars += &format!(
        "deep: '{{{{ {}1{} }}}}'\n",
        "[".repeat(140),
        "]".repeat(140)
    );
    let (_dir, renderer) = plain(&vars);
    for name in ["t19", "l19", "deep"] {
        let made = made(&renderer, "a", name);
        assert!(
            made.starts_with("group_vars/all.yml:"),
            "{name}: {made:.80}"
        );
    }
}

#[test]
fn other_hosts_are_rendered_in_their_own_scope() {
    let (_dir, renderer) = world(
        "url: 'http://{{ inventory_hostname }}:{{ port }}'\nport: 80\n\
         peers: \"{{ groups['all'] | map('upper') | join('+') }}\"\n\
         theirs: \"{{ hostvars['b'].url }} {{ hostvars['b']['port'] }} {{ hostvars['c'] is defined }}\"\n\
         back: \"{{ hostvars['b'].forth }}\"\n",
        "port: '{{ 8000 + 80 }}'\nforth: \"{{ hostvars['a'].back }}\"\n",
        Keyring::none(),
    );
    assert_eq!(made(&renderer, "a", "url"), "\"http://a:80\"");
    assert_eq!(
        made(&renderer, "a", "theirs"),
        "\"http://b:8080 8080 False\""
    );
    assert_eq!(made(&renderer, "a", "peers"), "\"A+B\"");
    insta::assert_snapshot!(made(&renderer, "a", "back"), @"group_vars/all.yml:5: back: the variables refer to each other in a loop: back → forth of b → back");
}

#[test]
fn what_was_text_is_never_a_template() {
    let (_dir, renderer) = plain(
        "raw: !unsafe '{{ x }}'\nref: '{{ raw }}'\nin: ['{{ raw }}!', !unsafe '{% y']\n\
         env: \"{{ lookup('env', 'SET') }}\"\nenv2: '{{ env }}'\n",
    );
    assert_eq!(made(&renderer, "a", "raw"), "\"{{ x }}\"");
    assert_eq!(made(&renderer, "a", "ref"), "\"{{ x }}\"");
    assert_eq!(made(&renderer, "a", "in"), "[\"{{ x }}!\",\"{% y\"]");
    assert_eq!(made(&renderer, "a", "env2"), "\"{{ from }} env\"");
}

#[test]
fn omit_leaves_out_what_it_stands_for() {
    let (_dir, renderer) = plain(
        "gone: '{{ omit }}'\nmaybe: '{{ nothing | default(omit) }}'\n\
         list: [1, '{{ omit }}', '{{ [omit, 2] }}']\nmap: {a: '{{ omit }}', b: 1}\nused: 'x{{ omit }}'\n",
    );
    assert_eq!(made(&renderer, "a", "gone"), "not set");
    assert_eq!(made(&renderer, "a", "maybe"), "not set");
    assert_eq!(made(&renderer, "a", "list"), "[1,[2]]");
    assert_eq!(made(&renderer, "a", "map"), "{\"b\":1}");
    assert!(made(&renderer, "a", "used").contains("`omit` has no value"));
}

/// Variables around one `!vault` value.
fn secret_vars() -> String {
    let envelope: String = VAULT.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "base: /data\npw: !vault |\n{envelope}\
         direct: '{{{{ pw }}}}'\njoined: 'x-{{{{ pw | upper }}}}'\nlength: '{{{{ pw | length }}}}'\n\
         either: \"{{{{ 'a' if pw == 'x' else 'b' }}}}\"\n\
         map: {{in: '{{{{ pw }}}}', out: '{{{{ base }}}}'}}\n\
         out: '{{{{ map.out }}}}'\nboth: '{{{{ map }}}}'\n\
         bad: '{{{{ pw | from_json }}}}'\nworse: '{{{{ pw | int(base=99) }}}}'\n"
    )
}

#[test]
fn what_was_encrypted_stays_marked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pw");
    std::fs::write(&file, "secretpw\n").unwrap();
    let mut options = KeyOptions::new(folder.path());
    options.vault_ids = vec![("default".to_owned(), PasswordSource::File(file))];
    let (_dir, renderer) = world(&secret_vars(), "", Keyring::new(&options));
    // As Ansible: the decrypted text is not rendered again.
    assert_eq!(made(&renderer, "a", "pw"), "\"p{{ base }}\"");
    let scope = renderer.scope("a").unwrap();
    for (name, expected, sealed) in [
        ("pw", "\"p{{ base }}\"", true),
        ("direct", "\"p{{ base }}\"", true),
        ("joined", "\"x-P{{ BASE }}\"", true),
        ("length", "11", true),
        ("either", "\"b\"", true),
        ("both", "{\"in\":\"p{{ base }}\",\"out\":\"/data\"}", true),
        ("out", "\"/data\"", false),
        ("base", "\"/data\"", false),
    ] {
        let node = scope.rendered(name).unwrap().unwrap().node;
        assert_eq!(node.to_json("x").unwrap().to_string(), expected, "{name}");
        assert_eq!(node.sealed, sealed, "{name}");
        if let Value::Mapping(inner) = &node.value {
            assert!(inner.iter().all(|(_, v)| v.sealed), "{name}");
        }
    }
    let map = scope.rendered("map").unwrap().unwrap().node;
    assert!(map.get("in").unwrap().sealed);
    assert!(!map.get("out").unwrap().sealed);
    for name in ["bad", "worse"] {
        let told = made(&renderer, "a", name);
        assert!(told.contains("more is not shown"), "{told}");
    }
}

#[test]
fn a_missing_key_matters_only_where_it_is_needed() {
    let (_dir, renderer) = world(&secret_vars(), "", Keyring::none());
    assert_eq!(made(&renderer, "a", "out"), "\"/data\"");
    for name in ["pw", "joined", "map"] {
        let error = renderer.scope("a").unwrap().rendered(name).unwrap_err();
        assert!(matches!(error, InventoryError::Locked { .. }), "{error}");
        assert!(
            error.to_string().starts_with("group_vars/all.yml:2:"),
            "{error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", code in "[a-z0-9 '\"\\[\\]{}()|.~*+%,:=<>!#-]{0,40}") {
        let both = format!("{text}{{{{ {code} }}}}{{% {code} %}}");
        for text in [&text, &both, &format!("{{{{{code}}}}}"), &format!("{{% for x in {code} %}}{{{{ x }}}}{{% endfor %}}")] {
            let quoted = serde_json::to_string(text).unwrap();
            let (_dir, renderer) = plain(&format!("v: {quoted}\na: [1, 2]\nb: {{c: x}}\n"));
            let _ = made(&renderer, "a", "v");
        }
    }

    #[test]
    fn no_expression_makes_it_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "a", "b", "v", "nope", ".c", "[0]", "[-1]", "[1:]", "'x'", "\"\\\\1\"", "5", "-", "1.5", "~", "+", "*", "**", "//", "%", "/",
        "|", "lower", "join", "(", ")", "(',')", "regex_replace('(x)*', '-')", "int", "default", "default(1)", "is", "defined",
        "not", "in", "and", "or", "if", "else", "==", "<", ",", "[", "]", "{", "}", ":", "to_json", "b64decode", "map('upper')",
        "list", "hostvars", "groups", "omit", "lookup('env', 'SET')", "range(3)", "combine(b)", "round", "sum", "sort", ".items()",
        ".split('x')", "length", "first", "none", "true",
    ]), 0..12)) {
        let text = format!("{{{{ {} }}}}", words.join(" "));
        let quoted = serde_json::to_string(&text).unwrap();
        let (_dir, renderer) = plain(&format!("v: {quoted}\na: [1, x]\nb: {{c: x}}\n"));
        let _ = made(&renderer, "a", "v");
    }
}
