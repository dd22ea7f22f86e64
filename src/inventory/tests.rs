use std::fs;

use proptest::prelude::*;

use super::*;
use crate::yaml::{self, Schema};

/// A folder with the given files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn load(dir: &tempfile::TempDir, sources: &[&str], extra: &[&str]) -> Result<Inventory, String> {
    let mut request = Request::new(dir.path());
    request.sources = strings(sources);
    request.extra_vars = strings(extra);
    Inventory::load(&request).map_err(|e| told(&e))
}

fn told(faults: &[InventoryError]) -> String {
    let lines: Vec<String> = faults
        .iter()
        .map(|e| match e.hint() {
            Some(hint) => format!("{e}\n  hint: {hint}"),
            None => e.to_string(),
        })
        .collect();
    lines.join("\n")
}

/// `name=value (place)` of each variable of a host.
fn vars(inventory: &mut Inventory, host: &str) -> String {
    match inventory.vars(host) {
        Ok(vars) => vars
            .iter()
            .map(|(name, var)| {
                let value = var.node.to_json("t").unwrap();
                format!("{name}={value} ({})\n", var.place)
            })
            .collect(),
        Err(faults) => told(&faults),
    }
}

#[test]
fn variables_win_in_ansibles_order_and_know_their_place() {
    let dir = tree(&[
        (
            "one/hosts.yml",
            "all:\n  vars: {a: all-inline, b: all-inline, p: all-inline}\n  children:\n    parent:\n      vars: {b: parent-inline, c: parent-inline, d: parent-inline}\n      children:\n        child:\n          vars: {c: child-inline, d: child-inline}\n          hosts:\n            h1: {e: host-inline, f: host-inline}\n    zebra:\n      hosts: {h1: }\n      vars: {p: zebra}\n    ant:\n      hosts: {h1: }\n      vars: {p: ant, ansible_group_priority: 5}\n",
        ),
        ("one/group_vars/all.yml", "c: all-file\nx: all-file\n"),
        (
            "one/group_vars/child.yml",
            "x: child-file-1\nd: child-file\n",
        ),
        ("one/host_vars/h1/a.yml", "f: host-file\n"),
        ("two/hosts.yml", "parent: {hosts: {h2: }}\n"),
        ("two/group_vars/parent.yml", "x: parent-file-2\n"),
    ]);
    let mut inventory = load(
        &dir,
        &["one/hosts.yml", "two/hosts.yml"],
        &["g=1 h='a b'", "{\"i\": [1]}"],
    )
    .unwrap();
    insta::assert_snapshot!(vars(&mut inventory, "h1"), @r#"
    a="all-inline" (one/hosts.yml:2)
    b="parent-inline" (one/hosts.yml:5)
    c="all-file" (one/group_vars/all.yml:1)
    d="child-file" (one/group_vars/child.yml:2)
    e="host-inline" (one/hosts.yml:10)
    f="host-file" (one/host_vars/h1/a.yml:1)
    g="1" (-e)
    h="a b" (-e)
    i=[1] (-e)
    p="ant" (one/hosts.yml:16)
    x="parent-file-2" (two/group_vars/parent.yml:1)
    "#);
    assert_eq!(inventory.hosts().collect::<Vec<_>>(), ["h1", "h2"]);
    assert_eq!(
        inventory.inventory_dir("h1").unwrap(),
        dir.path().join("one")
    );
    assert_eq!(
        inventory.inventory_dir("h2").unwrap(),
        dir.path().join("two")
    );
}

#[test]
fn of_several_files_for_a_group_the_first_wins_and_a_folder_is_read_whole() {
    let dir = tree(&[
        ("hosts.yml", "g: {hosts: {h: }}\nk: {hosts: {h: }}\n"),
        ("group_vars/g.yml", "v: yml\n"),
        ("group_vars/g.yaml", "v: yaml\nonly: yaml\n"),
        ("group_vars/k/05-noext", "v2: noext\na: noext\n"),
        ("group_vars/k/10-a.yml", "v2: yml\n"),
        ("group_vars/k/20-b.json", "{\"v2\": \"json\"}"),
        ("group_vars/k/30-c.txt", "v2: txt\n"),
        ("group_vars/k/.hidden.yml", "v2: hidden\n"),
        ("group_vars/k/40.yml~", "v2: backup\n"),
        ("group_vars/k/sub/z.yml", "b: sub\n"),
        ("group_vars/k/sub.d/z.yml", "b: dotted\n"),
        ("group_vars/k.yml", "v2: hidden by the folder\n"),
        ("host_vars/h", "---\n"),
    ]);
    let mut inventory = load(&dir, &["hosts.yml"], &[]).unwrap();
    insta::assert_snapshot!(vars(&mut inventory, "h"), @r#"
    a="noext" (group_vars/k/05-noext:2)
    b="sub" (group_vars/k/sub/z.yml:1)
    v="yml" (group_vars/g.yml:1)
    v2="json" (group_vars/k/20-b.json:1)
    "#);
}

#[test]
fn ranges_and_ports() {
    for (pattern, wanted) in [
        ("a", "a"),
        ("a[1:3]", "a1 a2 a3"),
        (
            "a[08:10]-[x:y].z",
            "a08-x.z a08-y.z a09-x.z a09-y.z a10-x.z a10-y.z",
        ),
        ("a[:4:2]", "a0 a2 a4"),
        ("a[y:B]", "ay az aA aB"),
        ("a[5:1]", ""),
        ("a:22", "a 22"),
        ("a[1:2]:22", "a1 a2 22"),
        ("[::1]:22", "::1 22"),
        ("2001:db8::8", "2001:db8::8"),
        (
            "a[01:1]",
            "`a[01:1]`: with leading zeros, begin and end of a range must have the same length",
        ),
        ("a[1:]", "`a[1:]`: the range has no end"),
        ("a[z:a]", "`a[z:a]`: the range runs backwards"),
        (
            "a[1:9:0]",
            "`a[1:9:0]`: a range is written [begin:end] or [begin:end:step]",
        ),
        (
            "a[1",
            "`a[1`: a range is written [begin:end] or [begin:end:step]",
        ),
        (
            "a[1:999999999999]",
            "`a[1:999999999999]` stands for more than 100000 hosts",
        ),
        (
            "a[1:9999][1:9999]",
            "`a[1:9999][1:9999]` stands for more than 100000 hosts",
        ),
        ("a:99999", "a 99999"),
        ("a[5:1:-2]", "a5 a3"),
        ("a[-1:1]", "a-1 a0 a1"),
        ("a_:22", "a_:22"),
        ("[a:22]:33", "a 22"),
        ("[1.2.3.4]:22", "1.2.3.4 22"),
        ("10.0.0.[1:2]:22", "10.0.0.1 10.0.0.2 22"),
        (
            "a|[1:2]",
            "`a|[1:2]`: a range is written [begin:end] or [begin:end:step]",
        ),
    ] {
        let got = match ranges::expand(pattern) {
            Ok((mut names, port)) => {
                names.extend(port.map(|p| p.to_string()));
                names.join(" ")
            }
            Err(e) => e,
        };
        assert_eq!(got, wanted, "{pattern}");
    }
}

#[test]
fn limit_selects_as_ansible_does() {
    let dir = tree(&[(
        "hosts.yml",
        "web: {hosts: {'web[1:3].x': , db1: }}\ndb: {hosts: {db1: , db2: }}\nsite: {children: {db: }}\nlone: {hosts: {'fe80::1': }}\n",
    )]);
    fs::write(dir.path().join("f"), "web1.x\n\n db2 \n").unwrap();
    let inventory = load(&dir, &["hosts.yml"], &[]).unwrap();
    for (limit, wanted) in [
        ("all", "web1.x web2.x web3.x db1 db2 fe80::1"),
        ("*", "web1.x web2.x web3.x db1 db2 fe80::1"),
        ("db", "db1 db2"),
        ("site", "db1 db2"),
        ("web:&db", "db1"),
        ("web:!db", "web1.x web2.x web3.x"),
        ("!web", "db2 fe80::1"),
        ("db2,web1.x", "web1.x db2"),
        ("web?.x", "web1.x web2.x web3.x"),
        ("web[13].x", "web1.x web3.x"),
        ("web[0]", "web1.x"),
        ("web[-1]", "db1"),
        ("web[1:2]", "web2.x web3.x"),
        ("fe80::1", "fe80::1"),
        (
            "db1:nope",
            "db1 | --limit: `nope` matches no host and no group",
        ),
        ("nope", "--limit nope: no host of the inventory matches"),
        ("~web.*", "web1.x web2.x web3.x db1"),
        ("~(web|db)[12]", "web1.x web2.x db1 db2"),
        (
            "~web(",
            "--limit: `~web(` is no regular expression that monopg understands",
        ),
        ("@f", "web1.x db2"),
        ("@f:!db", "web1.x"),
        ("@none", "none: cannot be read"),
        ("web[9]", "--limit: `web[9]`: there are only 4 hosts"),
        ("web[1:]", "web2.x web3.x db1"),
        ("web[0:0]", "web1.x"),
        ("w*[3:4]", "web1.x db1"),
        (
            "db1:!db1",
            "--limit db1:!db1: no host of the inventory matches",
        ),
        ("web1.x:db", "web1.x db1 db2"),
    ] {
        let got = match inventory.select(Some(limit)) {
            Ok((names, warnings)) => {
                let mut all = vec![names.join(" ")];
                all.extend(warnings);
                all.join(" | ")
            }
            Err(e) => e.to_string(),
        };
        assert_eq!(got, wanted, "{limit}");
    }
}

#[test]
fn extra_variables() {
    let dir = tree(&[
        ("more.yml", "a: {b: yes}\n"),
        ("list.yml", "- a\n"),
        ("pw.txt", "x"),
    ]);
    let read = |argument: &str| match extra::read(
        argument,
        dir.path(),
        &crate::secrets::Keyring::none(),
    ) {
        Ok((vars, _)) => vars
            .iter()
            .map(|(k, v)| format!("{k}={} ", v.node.to_json("t").unwrap()))
            .collect::<String>(),
        Err(e) => e.to_string(),
    };
    for (argument, wanted) in [
        ("a=1", r#"a="1" "#),
        ("a=1 b='x y' c=\"p=q\" d=", r#"a="1" b="x y" c="p=q" d="" "#),
        (r"a='x\ny' b=\u00e9\\", r#"a="x\ny" b="é\\" "#),
        (
            r"a=\q \x4 b=1",
            "-e: give variables as key=value (quote a value with blanks), @FILE or JSON",
        ),
        ("a={{ b | c }}", r#"a="{{ b | c }}" "#),
        ("a='x", "-e: a quote or a brace is not closed"),
        (
            "secret words",
            "-e: give variables as key=value (quote a value with blanks), @FILE or JSON",
        ),
        ("{a: yes, b: [1]}", r#"a=true b=[1] "#),
        ("[1]", "-e: variables are a mapping, not a list"),
        (
            "{a",
            "-e: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'",
        ),
        ("@more.yml", r#"a={"b":true} "#),
        (
            "@list.yml",
            "list.yml:1: a file of variables is a mapping, not a list",
        ),
        (
            "@pw.txt",
            "pw.txt:1: a file of variables is a mapping, not text",
        ),
        ("@none.yml", "none.yml: cannot be read"),
        (
            "./more.yml",
            "-e: the name of a file of variables needs an `@` before it",
        ),
    ] {
        assert_eq!(read(argument), wanted, "{argument}");
    }
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let dir = tree(&[
        ("hosts.ini", "[db]\nh1 a=1\nh2 secret\n"),
        ("quote.ini", "h v=\"x\n"),
        ("range.ini", "\na[01:9]\n"),
        ("vars.ini", "h\n[x:vars]\na=1\n"),
        ("children.ini", "[x:children]\na\nb\n[b]\n"),
        ("kind.ini", "[x:kind]\n"),
        ("heading.ini", "[x y]\n"),
        ("line.ini", "[x]\n[x:vars]\nsecret\n"),
        ("key.ini", "h v={[1]:2}\n"),
        ("hosts2.ini", "---\nall:\n"),
        ("colon.ini", "a:\n"),
        ("noending", "[db]\nh1 x\n"),
        ("noending2", "all:\n  hosts: [a]\n"),
        ("empty2.yml", "---\n"),
        ("plugin.yml", "plugin: aws_ec2\n"),
        ("inv.toml", "[db]\n"),
        ("list.yml", "- a\n"),
        ("hosts-list.yml", "all:\n  hosts:\n    - h1\n"),
        ("number.yml", "all:\n  hosts:\n    10:\n"),
        ("vars-list.yml", "all:\n  hosts:\n    h: [1]\n"),
        (
            "loop.yml",
            "a:\n  children:\n    b:\n      children:\n        a:\n",
        ),
        ("prio.yml", "a: {vars: {ansible_group_priority: high}}\n"),
        ("broken.yml", "all:\n  hosts: {h: \n"),
        ("vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("folder/README.md", "x"),
    ]);
    let program = dir.path().join("dynamic.py");
    fs::write(&program, "#!/usr/bin/python3\n").unwrap();
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let all: String = [
        "hosts.ini",
        "quote.ini",
        "range.ini",
        "vars.ini",
        "children.ini",
        "kind.ini",
        "heading.ini",
        "line.ini",
        "key.ini",
        "hosts2.ini",
        "colon.ini",
        "noending",
        "noending2",
        "empty2.yml",
        "plugin.yml",
        "inv.toml",
        "list.yml",
        "hosts-list.yml",
        "number.yml",
        "vars-list.yml",
        "loop.yml",
        "prio.yml",
        "broken.yml",
        "vault.yml",
        "folder",
        "dynamic.py",
        "missing.yml",
    ]
    .iter()
    .map(|source| match load(&dir, &[source], &[]) {
        Ok(_) => format!("{source}: nothing is wrong\n"),
        Err(faults) => format!("{faults}\n"),
    })
    .collect();
    insta::assert_snapshot!(all, @r#"
    hosts.ini:3: host `h2`: variables are written key=value; there is no `=` in the word at column 4
    quote.ini:1: a quote is not closed
    range.ini:2: `a[01:9]`: with leading zeros, begin and end of a range must have the same length
    vars.ini:2: [x:vars] stands here, but the group `x` is declared nowhere
    children.ini:2: [x:children] names the group `a`, which is declared nowhere
    kind.ini:1: [x:kind]: after the colon stands `vars` or `children`, not `kind`
    heading.ini:1: `[x y]` is no heading: write [group], [group:vars] or [group:children] without blanks
    line.ini:3: a variable of a group is written key=value
    key.ini:1: the value of `v`: a list or a mapping cannot be a key or stand in a set: put quotes around the value
    hosts2.ini:1: `---` begins a YAML file, and this is read as INI
    colon.ini:1: `a:`: a port is missing after the colon
    noending:2: host `h1`: variables are written key=value; there is no `=` in the word at column 4
    noending2:2: `hosts` of group `all` must be a mapping, not a list
    empty2.yml:2: an inventory is a mapping of groups, not nothing
    plugin.yml:1: this is the configuration of an inventory plugin, which monopg does not run
      hint: ask Ansible with --inventory-from ansible, or write its answer to a file: ansible-inventory -i FILE --list --yaml --export
    inv.toml: TOML inventories are not read
      hint: ask Ansible with --inventory-from ansible, or write its answer to a file: ansible-inventory -i FILE --list --yaml --export
    list.yml:1: an inventory is a mapping of groups, not a list
    hosts-list.yml:3: `hosts` of group `all` must be a mapping, not a list
    number.yml:3: the name of a host must be text, not an integer: quote `10`
    vars-list.yml:3: the variables of host `h` must be a mapping, not a list
    loop.yml:3: the group `b` as a child of `a` makes a loop
    prio.yml:1: `ansible_group_priority` must be a whole number
    broken.yml:3:1: not valid YAML: while parsing a node, did not find expected node content
    vault.yml:1: this cannot be decrypted
      hint: restore the file, or encrypt its content again with ansible-vault
    folder: no file in this folder is an inventory
    dynamic.py: this inventory is a program, which monopg does not run
      hint: ask Ansible with --inventory-from ansible, or write its answer to a file: ansible-inventory -i FILE --list --yaml --export
    missing.yml: cannot be read
    "#);
    insta::assert_snapshot!(load(&dir, &[], &[]).unwrap_err(), @r#"
    no inventory is given
      hint: name it with -i FILE, or in ansible.cfg: [defaults] inventory = FILE
    "#);
}

#[test]
fn faults_in_files_of_variables_are_all_told_and_only_for_hosts_that_use_them() {
    let dir = tree(&[
        ("hosts.yml", "g: {hosts: {h: , i: }}\nk: {hosts: {h: }}\n"),
        ("group_vars/g.yml", "a: 1\na: 2\n"),
        (
            "group_vars/k/vault.yml",
            "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
        ),
        ("host_vars/h.sops.yml", "x: 1\n"),
        ("host_vars/h.yml", "pw: ENC[x]\nsops:\n  mac: ENC[y]\n"),
    ]);
    let mut inventory = load(&dir, &["hosts.yml"], &[]).unwrap();
    insta::assert_snapshot!(vars(&mut inventory, "h"), @r#"
    group_vars/k/vault.yml:1: this cannot be decrypted
      hint: restore the file, or encrypt its content again with ansible-vault
    host_vars/h.yml:3: this cannot be decrypted
      hint: restore the `sops` section of the file
    "#);
    insta::assert_snapshot!(vars(&mut inventory, "i"), @r#"a=2 (group_vars/g.yml:2)"#);
    insta::assert_snapshot!(inventory.take_warnings().join("\n"), @r#"group_vars/g.yml:2:1: the key `a` stands twice in this mapping (first in line 1); the last one counts"#);
    assert!(inventory.take_warnings().is_empty());
}

#[test]
fn odd_but_legal_inventories_only_warn() {
    let dir = tree(&[
        ("empty.yml", ""),
        ("string.yml", "all:\n  hosts: a\n  hostz: {b: }\nbad: 5\n"),
    ]);
    let mut inventory = load(&dir, &["empty.yml", "string.yml"], &[]).unwrap();
    assert_eq!(inventory.hosts().collect::<Vec<_>>(), ["a"]);
    insta::assert_snapshot!(inventory.take_warnings().join("\n"), @r#"
    empty.yml: this inventory is empty
    string.yml:3: the key `hostz` in group `all` is ignored: only `vars`, `children` and `hosts` count
    string.yml:4: the group `bad` is ignored: it is an integer, not a mapping
    "#);
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let dir = tree(&[
        ("inv/hosts.yml", "all: {hosts: {'../../secret': }}\n"),
        ("secret.yml", "a: 1\n"),
    ]);
    let mut inventory = load(&dir, &["inv/hosts.yml"], &[]).unwrap();
    assert_eq!(vars(&mut inventory, "../../secret"), "");
}

proptest! {
    #[test]
    fn no_inventory_makes_it_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "all:", "a:", "b:", "hosts:", "children:", "vars:", "\n  ", "\n    ", "\n      ", "\n",
                " {", "}", "x", "[1:3]", "'h[a:c]'", ": ", "plugin: x", "ansible_group_priority: 5", "- ",
            ]),
            0..40,
        ),
        limit in "[a-c!&:,*?\\[\\]0-9~@-]{0,12}",
        extra in "[a-c='\" \\\\{}@./xu0]{0,16}",
    ) {
        let text = parts.concat();
        let mut graph = Graph::new(HashBehaviour::Replace, false);
        if let Ok((node, _)) = yaml::parse_one("t", &text, Schema::Ansible11)
            && let Some(mapping) = node.as_mapping()
        {
            let read = groups::read(&mut graph, &Arc::from("t"), 0, mapping);
            if read.is_ok() && graph.reconcile().is_ok() {
                let _ = pattern::select(&graph, Some(&limit), Path::new("/nonexistent"));
                for host in &graph.hosts {
                    prop_assert!(graph.groups_of(&host.name).contains(&graph::ALL));
                }
            }
        }
        let _ = extra::read(&extra, Path::new("/nonexistent"), &crate::secrets::Keyring::none());
    }

    #[test]
    fn no_range_and_no_pattern_makes_it_panic(text in "[a-zA-Z0-9:\\[\\]*?!.-]{0,30}") {
        let _ = ranges::expand(&text);
        let _ = glob::Glob::new(&text).matches("some.host-01");
    }
}
