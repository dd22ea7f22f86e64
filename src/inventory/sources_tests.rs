use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::secrets::KeyError;

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

fn request(dir: &tempfile::TempDir, sources: &[&str]) -> Request {
    let mut request = Request::new(dir.path());
    request.sources = sources.iter().map(|s| (*s).to_owned()).collect();
    request
}

/// Groups with their children and hosts, hosts with their variables, remarks; or the faults.
fn told(request: &Request) -> String {
    let mut inventory = match Inventory::load(request) {
        Ok(inventory) => inventory,
        Err(faults) => return faults.iter().map(|f| format!("{f}\n")).collect(),
    };
    let mut out = String::new();
    for group in inventory.groups() {
        let (children, hosts) = (inventory.children_of(group), inventory.hosts_of(group));
        if !children.is_empty() || !hosts.is_empty() {
            out.push_str(&format!("[{group}] {children:?} {hosts:?}\n"));
        }
    }
    let hosts: Vec<String> = inventory.hosts().map(str::to_owned).collect();
    for host in hosts {
        match inventory.vars(&host) {
            Ok(vars) => {
                let vars: Vec<String> = vars
                    .iter()
                    .map(|(name, var)| format!("{name}={} ({})", value(&var.node), var.place))
                    .collect();
                out.push_str(&format!("{host}: {}\n", vars.join(" ")));
            }
            Err(faults) => faults.iter().for_each(|f| out.push_str(&format!("{f}\n"))),
        }
    }
    for warning in inventory.take_warnings() {
        out.push_str(&format!("warning: {warning}\n"));
    }
    out
}

fn value(node: &Node) -> String {
    match &node.tag {
        Some(tag) => format!("{tag} {}", node.as_str().unwrap_or_default()),
        None => node.to_json("t").unwrap().to_string(),
    }
}

#[test]
fn ini_is_read_as_ansible_reads_it() {
    let dir = tree(&[(
        "hosts",
        "; c\nlone\nh:22 a=1 b='x y' c=\"x #d\" e=f#g  # comment\n\n[web] # c\nw[1:2]:2200 a=0x10\nh:23\n[web:vars]\na = 5 # five\nb = five # not\nansible_group_priority=2\n[all:vars]\nz={'k': [1, None]}\n[site:children]\nweb\nlater # c\n[later]\n[later:children]\nempty\n[empty:hosts]\n",
    )]);
    insta::assert_snapshot!(told(&request(&dir, &["hosts"])), @r#"
    [all] ["ungrouped", "site"] []
    [ungrouped] [] ["lone"]
    [web] [] ["w1", "w2", "h"]
    [site] ["web", "later"] []
    [later] ["empty"] []
    lone: z={"k":[1,null]} (hosts:13)
    h: a=1 (hosts:3) ansible_port=22 (hosts:3) b="x y" (hosts:3) c="x #d" (hosts:3) e="f" (hosts:3) z={"k":[1,null]} (hosts:13)
    w1: a=16 (hosts:6) ansible_port=2200 (hosts:6) b="five # not" (hosts:10) z={"k":[1,null]} (hosts:13)
    w2: a=16 (hosts:6) ansible_port=2200 (hosts:6) b="five # not" (hosts:10) z={"k":[1,null]} (hosts:13)
    "#);
    let inventory = Inventory::load(&request(&dir, &["hosts"])).unwrap();
    assert_eq!(inventory.group_priority("web"), Some(2));
    assert_eq!(inventory.members_of("site"), ["w1", "w2", "h"]);
    assert_eq!(inventory.group_names("w1"), ["site", "web"]);
    let var = inventory.inline_host_vars("h").unwrap().get("b").unwrap();
    assert_eq!(
        var.place.mark(),
        Mark {
            line: 3,
            column: 10
        }
    );
    let var = inventory
        .inline_group_vars("web")
        .unwrap()
        .get("b")
        .unwrap();
    assert_eq!(
        var.place.mark(),
        Mark {
            line: 10,
            column: 5
        }
    );
}

#[test]
fn a_heading_with_a_colon_has_a_word_behind_it() {
    let dir = tree(&[("hosts", "[a:]\nh1\n")]);
    insta::assert_snapshot!(told(&request(&dir, &["hosts"])), @"hosts:1: `[a:]` is no heading: write [group], [group:vars] or [group:children] without blanks");
}

#[test]
fn a_group_of_one_source_is_known_in_the_next() {
    let dir = tree(&[("a", "[g]\nh\n"), ("b", "[g:vars]\nv=1\n[p:children]\ng\n")]);
    insta::assert_snapshot!(told(&request(&dir, &["a", "b"])), @r#"
    [all] ["ungrouped", "p"] []
    [g] [] ["h"]
    [p] ["g"] []
    h: v=1 (b:2)
    "#);
    insta::assert_snapshot!(told(&request(&dir, &["b", "a"])), @r#"b:1: [g:vars] stands here, but the group `g` is declared nowhere"#);
}

#[test]
fn lists_of_hosts_and_addresses() {
    let dir = tree(&[("group_vars/all.yml", "a: 1\n"), ("hosts", "h2\n")]);
    let list = "h1, h2:2222,[2001:db8::1]:22,2001:db8::2,h[1:2],h1:9,";
    insta::assert_snapshot!(told(&request(&dir, &[list, "hosts"])), @r#"
    [all] ["ungrouped"] []
    [ungrouped] [] ["h1", "h2", "2001:db8::1", "2001:db8::2", "h[1:2]"]
    h1: a=1 (group_vars/all.yml:1)
    h2: a=1 (group_vars/all.yml:1) ansible_port=2222 (-i)
    2001:db8::1: a=1 (group_vars/all.yml:1) ansible_port=22 (-i)
    2001:db8::2: a=1 (group_vars/all.yml:1)
    h[1:2]: a=1 (group_vars/all.yml:1)
    "#);
    let inventory = Inventory::load(&request(&dir, &["h1,", "hosts"])).unwrap();
    assert_eq!(inventory.inventory_dir("h1"), None);
    assert_eq!(inventory.inventory_dir("h2"), Some(dir.path()));
    let file = dir.path().join("hosts");
    assert_eq!(inventory.inventory_file("h2"), Some(file.as_path()));
    assert_eq!(short_name("a.b.c"), "a");
    assert_eq!(short_name("10.0.0.1"), "10.0.0.1");
    assert_eq!(short_name("::ffff:10.0.0.1"), "::ffff:10.0.0.1");
}

#[test]
fn a_folder_is_read_whole_in_the_order_of_names() {
    let dir = tree(&[
        ("inv/10.ini", "[g]\nh v=ini\n"),
        ("inv/20.yml", "g: {hosts: {h: {v: yml}}}\n"),
        ("inv/30.json", "{\"g\": {\"hosts\": {\"h\": {\"n\": 1e3}}}}"),
        ("inv/40", "[g]\nplain\n"),
        ("inv/sub/x", "[g]\ninner\n"),
        ("inv/sub/group_vars/all.yml", "no: 1\n"),
        ("inv/group_vars/all.yml", "seen: 1\n"),
        ("inv/empty/readme.md", "no"),
        ("inv/.hidden", "[no]"),
        ("inv/a.cfg", "[no]"),
        ("inv/a.bak", "[no]"),
        ("inv/a~", "[no]"),
        ("inv/skipped.x", "[no]"),
        ("inv/host_vars/h/a.yml", "own: 1\n"),
    ]);
    let mut request = request(&dir, &["inv/"]);
    request.ignore_patterns = vec!["^skip".to_owned()];
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "g"] []
    [g] [] ["h", "plain", "inner"]
    h: n=1000.0 (inv/30.json:1) own=1 (inv/host_vars/h/a.yml:1) seen=1 (inv/group_vars/all.yml:1) v="yml" (inv/20.yml:1)
    plain: seen=1 (inv/group_vars/all.yml:1)
    inner: seen=1 (inv/group_vars/all.yml:1)
    warning: inv/10.ini: Ansible before 2.19 passes over this file, as over all `.ini` in a folder
    warning: inv/empty: no file in this folder is an inventory
    "#);
    request.any_unparsed_is_failed = true;
    insta::assert_snapshot!(told(&request), @r#"inv/empty: no file in this folder is an inventory"#);
    request.ignore_patterns = vec!["(".to_owned()];
    assert!(told(&request).contains("ignore_patterns: `(` is no regular expression"));
}

#[test]
fn folders_that_link_to_themselves_end() {
    let dir = tree(&[
        ("inv/h", "h\n"),
        ("vars/group_vars/all/a.yml", "a: 1\n"),
        ("vars/h", "h\n"),
    ]);
    for (link, to) in [("inv/a", "inv"), ("inv/b", "inv")] {
        std::os::unix::fs::symlink(dir.path().join(to), dir.path().join(link)).unwrap();
    }
    let all = dir.path().join("vars/group_vars/all");
    for link in ["b", "c"] {
        std::os::unix::fs::symlink(&all, all.join(link)).unwrap();
    }
    assert!(told(&request(&dir, &["inv"])).contains("too many files in the folder"));
    let said = told(&request(&dir, &["vars/h"]));
    assert!(said.contains("nested too deep"), "{said}");
}

#[test]
fn yaml_as_ansible_has_it() {
    let dir = tree(&[(
        "hosts.yml",
        "all:\n  hosts:\n    h: ''\n  vars: x\n  children:\n    a-b:\n    h: 7\nk:\n  hosts: {'n[1:2]:22': {m: {x: 1}}}\n  other:\n  more: {}\n  vars: {bad-name: 1, ansible_group_priority: '3'}\n",
    )]);
    insta::assert_snapshot!(told(&request(&dir, &["hosts.yml"])), @r#"
    [all] ["ungrouped", "a-b", "k"] ["h"]
    [ungrouped] [] ["h"]
    [k] [] ["n1", "n2"]
    h: x=null (hosts.yml:4)
    n1: ansible_port=22 (hosts.yml:9) bad-name=1 (hosts.yml:12) m={"x":1} (hosts.yml:9) x=null (hosts.yml:4)
    n2: ansible_port=22 (hosts.yml:9) bad-name=1 (hosts.yml:12) m={"x":1} (hosts.yml:9) x=null (hosts.yml:4)
    warning: hosts.yml:6: the name of the group `a-b` has characters that Ansible warns of: use letters, digits and `_`
    warning: hosts.yml:7: the group `h` is ignored: it is an integer, not a mapping
    warning: hosts.yml:11: the key `more` in group `k` is ignored: only `vars`, `children` and `hosts` count
    warning: hosts.yml:12: `bad-name` is no name of a variable; Ansible will refuse it from 2.23 on
    "#);
    let dir = tree(&[
        ("hosts.yml", "h1 a=1\n[g]\nh2\n"),
        (
            "json.yml",
            "{\"a\":\t{\"hosts\": {\"h\": {\"v\": {\"__ansible_vault\": \"x\"}, \"u\": {\"__ansible_unsafe\": \"{{ y }}\"}}}}}",
        ),
    ]);
    insta::assert_snapshot!(told(&request(&dir, &["hosts.yml"])), @r#"
    [all] ["ungrouped", "g"] []
    [ungrouped] [] ["h1"]
    [g] [] ["h2"]
    h1: a=1 (hosts.yml:1)
    h2:
    "#);
    insta::assert_snapshot!(told(&request(&dir, &["json.yml"])), @r#"
    [all] ["ungrouped", "a"] []
    [a] [] ["h"]
    h: u=!unsafe {{ y }} (json.yml:1) v=!vault x (json.yml:1)
    "#);
}

#[test]
fn a_host_with_the_name_of_a_group_gives_it_its_variables() {
    let dir = tree(&[("hosts", "[db]\ndb a=1\nother\n")]);
    insta::assert_snapshot!(told(&request(&dir, &["hosts"])), @r#"
    [all] ["ungrouped", "db"] []
    [db] [] ["db", "other"]
    db: a=1 (hosts:2)
    other: a=1 (hosts:2)
    warning: `db` is the name of a group and of a host
    "#);
}

#[test]
fn names_of_groups_are_made_safe_where_asked_for() {
    let dir = tree(&[("hosts", "[a-b]\nh\n[a-b:vars]\nv=1\n[1c:children]\na_b\n")]);
    let mut request = request(&dir, &["hosts"]);
    assert!(told(&request).contains("`a_b`, which is declared nowhere"));
    request.transform_group_names = true;
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "_c"] []
    [a_b] [] ["h"]
    [_c] ["a_b"] []
    h: v=1 (hosts:4)
    "#);
}

#[test]
fn files_beside_the_playbook_come_after_those_beside_the_source() {
    let dir = tree(&[
        (
            "inv/hosts",
            "[g]\nh v=host\n[all:vars]\na=inline\n[g:vars]\nb=inline\n",
        ),
        (
            "inv/group_vars/all.yml",
            "a: inv-all\nb: inv-all\nc: inv-all\n",
        ),
        ("inv/group_vars/g.yml", "d: inv-g\n"),
        ("inv/host_vars/h.yml", "e: inv-h\nf: inv-h\n"),
        ("pb/group_vars/all.yml", "c: pb-all\nd: pb-all\n"),
        ("pb/group_vars/g.yml", "e: pb-g\nv: pb-g\n"),
        ("pb/host_vars/h.yml", "f: pb-h\n"),
        ("pb/host_vars.x", ""),
    ]);
    let mut request = request(&dir, &["inv/hosts"]);
    request.playbook_dir = Some("pb".into());
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "g"] []
    [g] [] ["h"]
    h: a="inv-all" (inv/group_vars/all.yml:1) b="inv-all" (inv/group_vars/all.yml:2) c="pb-all" (pb/group_vars/all.yml:1) d="inv-g" (inv/group_vars/g.yml:1) e="inv-h" (inv/host_vars/h.yml:1) f="pb-h" (pb/host_vars/h.yml:1) v="host" (inv/hosts:2)
    "#);
    request.precedence = vec![Layer::AllFiles, Layer::GroupsInventory, Layer::AllInventory];
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "g"] []
    [g] [] ["h"]
    h: a="inline" (inv/hosts:4) b="inline" (inv/hosts:6) c="inv-all" (inv/group_vars/all.yml:3) e="inv-h" (inv/host_vars/h.yml:1) f="pb-h" (pb/host_vars/h.yml:1) v="host" (inv/hosts:2)
    "#);
    assert_eq!(Layer::from_name("plugins_by_groups"), None);
}

#[test]
fn mappings_are_merged_where_asked_for() {
    let dir = tree(&[
        (
            "hosts.yml",
            "all: {vars: {m: {a: {x: 1}, l: [1]}}}\ng: {hosts: {h: {m: {a: {y: 2}}}}}\n",
        ),
        ("group_vars/g/1.yml", "m: {l: [2], n: 5}\n"),
        ("group_vars/g/2.yml", "m: {n: {o: 1}}\n"),
    ]);
    let mut request = request(&dir, &["hosts.yml"]);
    request.extra_vars = vec!["{m: {e: 1}}".to_owned(), "{m: {f: 1}}".to_owned()];
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "g"] []
    [g] [] ["h"]
    h: m={"f":1} (-e)
    "#);
    request.hash_behaviour = HashBehaviour::Merge;
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "g"] []
    [g] [] ["h"]
    h: m={"a":{"x":1,"y":2},"l":[2],"n":{"o":1},"e":1,"f":1} (-e)
    "#);
}

#[test]
fn what_would_use_too_much_memory_is_refused() {
    let list = format!("v=[{}]", "1,".repeat(50_000));
    let many: String = (0..3000).map(|i| format!("h[{i}000:{i}999]\n")).collect();
    for (text, wanted) in [
        (
            format!("h[1:1000] {list}\n"),
            "the sources hold more than 1000000 values",
        ),
        (many, "more than 100000 hosts"),
    ] {
        let dir = tree(&[("hosts", &text)]);
        assert!(
            told(&request(&dir, &["hosts"])).contains(wanted),
            "{wanted}"
        );
    }
}

#[test]
fn what_cannot_be_decrypted_is_told_apart() {
    let locked = |line| {
        let error = KeyError {
            what: "no password opens this".to_owned(),
            line,
            hint: Some("give one".to_owned()),
        };
        InventoryError::locked(Place::File(Arc::from("f.yml")), error)
    };
    assert_eq!(locked(None).to_string(), "f.yml: this cannot be decrypted");
    assert_eq!(
        locked(Some(3)).to_string(),
        "f.yml:3: this cannot be decrypted"
    );
    assert_eq!(locked(None).hint(), Some("give one"));
    let dir = tree(&[
        ("hosts", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("ok", "h\n"),
    ]);
    assert_eq!(
        told(&request(&dir, &["hosts"])),
        "hosts:1: this cannot be decrypted\n"
    );
    let mut request = request(&dir, &["ok"]);
    request.extra_vars = vec!["@hosts".to_owned()];
    assert_eq!(told(&request), "hosts:1: this cannot be decrypted\n");
}

/// What a vaulted file is made of, and the password that opens it.
fn vault(name: &str) -> Vec<u8> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/ansible/06-vault");
    fs::read(cases.join("input").join(name)).unwrap()
}

#[test]
fn what_was_encrypted_is_sealed_in_all_its_parts() {
    let dir = tree(&[("hosts", "h\nother\n"), ("host_vars/x", "")]);
    let file = dir.path().join("host_vars/h.yml");
    fs::write(&file, vault("inventory/group_vars/all/vault.yml")).unwrap();
    fs::write(dir.path().join("password"), vault("vault_pass.txt")).unwrap();
    let mut request = request(&dir, &["hosts"]);
    // The host whose file it is cannot be had without the key; the other one can.
    let mut inventory = Inventory::load(&request).unwrap();
    assert!(matches!(
        inventory.vars("h").unwrap_err().as_slice(),
        [InventoryError::Locked { .. }]
    ));
    assert!(inventory.vars("other").unwrap().is_empty());
    let flags = crate::secrets::VaultFlags {
        password_files: vec!["password".to_owned()],
        ..Default::default()
    };
    let options = crate::secrets::KeyOptions::new(dir.path()).with_vault(&flags);
    request.keyring = Arc::new(crate::secrets::Keyring::new(&options));
    let vars = Inventory::load(&request).unwrap().vars("h").unwrap();
    assert!(!vars.is_empty());
    for (name, var) in &vars {
        assert!(var.node.sealed, "{name}");
    }
}

/// A program that stands for `ansible-inventory`.
fn ansible(dir: &Path, script: &str) -> Option<AnsibleProgram> {
    let program = dir.join("ansible-inventory");
    fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Some(AnsibleProgram {
        program,
        arguments: vec!["--vault-id".into(), "x y".into()],
        timeout: Duration::from_secs(60),
    })
}

#[test]
fn the_answer_of_ansible_becomes_the_model() {
    let dir = tree(&[
        ("inv/plugin.yml", "plugin: x\n"),
        ("inv/group_vars/all.yml", "no: 1\n"),
    ]);
    let mut request = request(&dir, &["inv/plugin.yml", "-x"]);
    request.playbook_dir = Some("pb".into());
    request.extra_vars = vec!["e=1".to_owned()];
    request.from_ansible = ansible(
        dir.path(),
        "printf '%s\\n' \"$@\" > arguments\necho '[WARNING]: x' >&2\ncat <<'X'\n{\"_meta\": {\"hostvars\": {\"h\": {\"a\": {\"__ansible_vault\": \"v\"}, \"n\": 1e3}, \"lone\": {}}},\n \"all\": {\"children\": [\"ungrouped\", \"g\", \"empty\"]}, \"g\": {\"hosts\": [\"h\"]}, \"ungrouped\": {\"hosts\": [\"lone\"]}}\nX\n",
    );
    insta::assert_snapshot!(told(&request), @r#"
    [all] ["ungrouped", "g", "empty"] []
    [ungrouped] [] ["lone"]
    [g] [] ["h"]
    lone: e="1" (-e)
    h: a=!vault v (--inventory-from ansible) e="1" (-e) n=1000.0 (--inventory-from ansible)
    "#);
    let arguments = fs::read_to_string(dir.path().join("arguments")).unwrap();
    insta::assert_snapshot!(arguments, @r#"
    --list
    --inventory=inv/plugin.yml
    --inventory=-x
    --playbook-dir=pb
    --vault-id
    x y
    "#);
    let inventory = Inventory::load(&request).unwrap();
    assert_eq!(
        inventory.inventory_dir("h"),
        Some(dir.path().join("inv").as_path())
    );
    assert_eq!(
        inventory.inline_host_vars("h").unwrap()["n"].rule,
        Rule::Ansible
    );
}

#[test]
fn an_ansible_that_fails_is_told_with_what_it_said() {
    let dir = tree(&[]);
    let mut request = request(&dir, &["x"]);
    let mut all = String::new();
    for script in [
        "echo first; echo '\x1b[31mERROR! no such file' >&2; exit 4",
        "echo no json: secret",
        "echo []",
    ] {
        request.from_ansible = ansible(dir.path(), script);
        for fault in Inventory::load(&request).unwrap_err() {
            let said = std::error::Error::source(&fault).map(ToString::to_string);
            all.push_str(&format!("{fault}: {}\n", said.unwrap_or_default()));
        }
    }
    let slow = ansible(dir.path(), "exec sleep 600");
    request.from_ansible = slow.map(|a| AnsibleProgram {
        timeout: Duration::from_millis(50),
        ..a
    });
    all.push_str(&told(&request));
    request.from_ansible = Some(AnsibleProgram {
        program: "./none".into(),
        ..AnsibleProgram::default()
    });
    all.push_str(&told(&request));
    let all = all.replace(&dir.path().display().to_string(), "DIR");
    insta::assert_snapshot!(all, @r#"
    DIR/ansible-inventory failed (exit status: 4): ERROR! no such file
    DIR/ansible-inventory answered with something that is no JSON (line 1): 
    DIR/ansible-inventory answered with JSON that is no object: 
    DIR/ansible-inventory took longer than 0 s
    ./none cannot be started
    "#);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "a.yml", "a.json", "a.ini"] {
            fs::write(dir.path().join(name), &bytes).unwrap();
            let _ = told(&request(&dir, &[name]));
        }
    }

    #[test]
    fn no_ini_makes_it_panic(
        lines in proptest::collection::vec("(\\[[a-c]?(:(vars|children|x))?\\]?|[a-c\\[\\]:0-9|]{0,8}( [a-c]=[\"'0-9#\\[{,\\\\]{0,6})?|[ #;\u{85}\u{1c}é=-]{0,5})", 0..12),
        limit in "[a-c!&:,*?\\[\\]0-9~@() -]{0,12}",
    ) {
        let dir = tree(&[("hosts", &lines.join("\n"))]);
        let request = request(&dir, &["hosts"]);
        if let Ok(inventory) = Inventory::load(&request) {
            let _ = inventory.select(Some(&limit));
        }
        let _ = told(&request);
    }
}
