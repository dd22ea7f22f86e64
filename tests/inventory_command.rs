//! `monopg inventory`: what people and programs are shown of an inventory.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only the test functions themselves"
)]

use std::path::Path;
use std::process::{Command, Stdio};

const CFG: &str = "[defaults]\ninventory = hosts.ini\n";
const HOSTS: &str = "[db]\nnode1 ansible_host=192.0.2.1 level=host\nnode2\n\n[db:vars]\nlevel=group\n\n[site:children]\ndb\n";

/// A folder with an inventory in it.
fn world(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fixed = [
        ("ansible.cfg", CFG),
        ("hosts.ini", HOSTS),
        (
            "group_vars/all.yml",
            "level: all\nansible_password: canary-1\ntext: \"{{ level }}\"\n",
        ),
        (
            "group_vars/db.yml",
            "monopg_credentials: {postgres-password: canary-2, other: [canary-3]}\nnumber: 1.50\n",
        ),
    ];
    for (name, text) in fixed.iter().chain(files) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// Code, standard output, standard error.
fn run(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_monopg"))
        .arg("inventory")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn show(files: &[(&str, &str)], args: &[&str]) -> String {
    let dir = world(files);
    let (code, stdout, stderr) = run(dir.path(), &[], args);
    format!(
        "{}{stdout}{stderr}",
        code.map_or("killed\n".into(), |c| if c == 0 {
            String::new()
        } else {
            format!("{c}\n")
        })
    )
}

#[test]
fn people_see_each_value_its_place_and_its_rule() {
    insta::assert_snapshot!(show(&[], &[]), @r#"
    ansible.cfg: ansible.cfg
    inventory: hosts.ini

    groups
      all: children ungrouped, site
      db: hosts node1, node2
      site: children db

    node1
      ansible_host = "192.0.2.1"
          hosts.ini:2: variable of the host in the inventory
      ansible_password = "********"
          group_vars/all.yml:2: group_vars of the group all
      level = "host"
          hosts.ini:2: variable of the host in the inventory
      monopg_credentials = {"other": ["********"], "postgres-password": "********"}
          group_vars/db.yml:1: group_vars of the group db
      number = 1.5
          group_vars/db.yml:2: group_vars of the group db
      text = "{{ level }}"
          group_vars/all.yml:3: group_vars of the group all

    node2
      ansible_password = "********"
          group_vars/all.yml:2: group_vars of the group all
      level = "all"
          group_vars/all.yml:1: group_vars of the group all
      monopg_credentials = {"other": ["********"], "postgres-password": "********"}
          group_vars/db.yml:1: group_vars of the group db
      number = 1.5
          group_vars/db.yml:2: group_vars of the group db
      text = "{{ level }}"
          group_vars/all.yml:3: group_vars of the group all
    "#);
}

#[test]
fn a_variable_is_explained_with_all_that_lost() {
    let files = [("host_vars/node1.yml", "level: file\n")];
    insta::assert_snapshot!(show(&files, &["--explain", "level"]), @r#"
    node1: level = "file"
        host_vars/node1.yml:1: host_vars of the host
      lost: "host"
        hosts.ini:2: variable of the host in the inventory
      lost: "all"
        group_vars/all.yml:1: group_vars of the group all
      lost: "group"
        hosts.ini:6: `vars` of the group db in the inventory
    node2: level = "all"
        group_vars/all.yml:1: group_vars of the group all
      lost: "group"
        hosts.ini:6: `vars` of the group db in the inventory
    "#);
    insta::assert_snapshot!(show(&files, &["--explain", "level", "-l", "node1", "-e", "level=flag", "-o", "json"]), @r#"
    {
        "hosts": {
            "node1": {
                "lost": [
                    {
                        "place": "host_vars/node1.yml:1",
                        "rule": "host_vars of the host",
                        "value": "file"
                    },
                    {
                        "place": "hosts.ini:2",
                        "rule": "variable of the host in the inventory",
                        "value": "host"
                    },
                    {
                        "place": "group_vars/all.yml:1",
                        "rule": "group_vars of the group all",
                        "value": "all"
                    },
                    {
                        "place": "hosts.ini:6",
                        "rule": "`vars` of the group db in the inventory",
                        "value": "group"
                    }
                ],
                "place": "-e",
                "rule": "extra variable, which wins over every file",
                "value": "flag"
            }
        },
        "variable": "level"
    }
    "#);
    // A secret stays one.
    let all = show(&[], &["--explain", "monopg_credentials"]);
    assert!(all.contains("********") && !all.contains("canary"), "{all}");
    insta::assert_snapshot!(show(&[], &["--explain", "levle"]), @r#"
    10
    error: levle has no value for any of the 2 hosts
      hint: monopg inventory lists the variables that there are
    "#);
}

#[test]
fn later_sources_are_explained_too() {
    let files = [(
        "more.yml",
        "db: {vars: {level: more}, hosts: {node1: {level: mine}}}\n",
    )];
    let args = ["-i", "hosts.ini", "-i", "more.yml", "--host", "node1"];
    insta::assert_snapshot!(show(&files, &[&args[..], &["--explain", "level"]].concat()), @r#"
    node1: level = "mine"
        more.yml:1: variable of the host in the inventory
      lost: "host"
        hosts.ini:2: variable of the host in the inventory
      lost: "all"
        group_vars/all.yml:1: group_vars of the group all
      lost: "more"
        more.yml:1: `vars` of the group db in the inventory
      lost: "group"
        hosts.ini:6: `vars` of the group db in the inventory
    "#);
}

#[test]
fn secrets_are_shown_to_who_asks_for_them_only() {
    for args in [
        &["-o", "json"][..],
        &[],
        &["--host", "node1"],
        &["--host", "node1", "-o", "json"],
    ] {
        let masked = show(&[], args);
        assert!(
            !masked.contains("canary") && masked.contains("********"),
            "{masked}"
        );
        let clear = show(&[], &[args, &["--show-secrets"]].concat());
        for canary in ["canary-1", "canary-2", "canary-3"] {
            assert!(clear.contains(canary), "{clear}");
        }
        assert!(!clear.contains("********"), "{clear}");
    }
}

#[test]
fn the_configuration_is_ansibles() {
    let dir = world(&[
        ("other.yml", "all: {hosts: {other: }}\n"),
        ("b/ansible.cfg", "[defaults]\ninventory = hosts\n"),
        ("b/hosts", "from-b\n"),
    ]);
    let hosts = |env: &[(&str, &str)], args: &[&str]| {
        let (code, stdout, stderr) = run(dir.path(), env, &[args, &["-o", "json"]].concat());
        assert_eq!(code, Some(0), "{stderr}");
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let names: Vec<String> = json
            .as_object()
            .unwrap()
            .values()
            .filter_map(|g| g["hosts"].as_array())
            .flatten()
            .map(|h| h.as_str().unwrap().to_owned())
            .collect();
        names.join(" ")
    };
    assert_eq!(hosts(&[], &[]), "node1 node2");
    assert_eq!(hosts(&[("ANSIBLE_INVENTORY", "other.yml")], &[]), "other");
    assert_eq!(
        hosts(&[("ANSIBLE_INVENTORY", "other.yml")], &["-i", "hosts.ini"]),
        "node1 node2"
    );
    assert_eq!(hosts(&[("ANSIBLE_CONFIG", "b")], &[]), "from-b");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    insta::assert_snapshot!(show(&[("ansible.cfg", "[defaults]\ninventory\n[defaults]\n")], &[]), @r#"
    10
    error: ansible.cfg:2: this line is neither a [section] nor a key with `=` or `:`
    error: ansible.cfg:3: the section [defaults] stands here a second time
    "#);
    insta::assert_snapshot!(show(&[("ansible.cfg", "[defaults]\nremote_port = no\n")], &[]), @r#"
    10
    error: ansible.cfg:2: `no` is not a whole number from 1 to 65535
    "#);
    insta::assert_snapshot!(show(&[("group_vars/db.yml", "a: [\n"), ("group_vars/all.yml", "- x\n")], &["-o", "plain"]), @r#"
    10
    error: group_vars/all.yml:1: a file of variables is a mapping, not a list
    error: group_vars/db.yml:2:1: not valid YAML: while parsing a node, did not find expected node content
    "#);
    insta::assert_snapshot!(show(&[], &["--host", "node*"]), @r#"
    10
    error: --host node* means 2 hosts, not one
      hint: name one host, or take --limit
    "#);
    insta::assert_snapshot!(show(&[], &["--host", "nobody"]), @r#"
    10
    error: --limit nobody: no host of the inventory matches
      hint: a pattern is a host, a group or a glob; join them with `:`, exclude with `!`
    "#);
    insta::assert_snapshot!(show(&[], &["-o", "jsonl"]), @r#"
    4
    {"v":1,"seq":0,"elapsed_ms":0,"kind":"run_started","run_id":"","check":false,"hosts":[]}
    {"v":1,"seq":1,"elapsed_ms":0,"kind":"run_error","problem":{"id":"usage","what":"there is no stream of an inventory","hints":["--output json is the one object"],"exit":4}}
    {"v":1,"seq":2,"elapsed_ms":0,"kind":"run_finished","changed":false,"failed":true,"exit":4}
    error: there is no stream of an inventory
      hint: --output json is the one object
    "#);
    // In JSON a refusal is the one object, as of every command.
    let (_, refusal, _) = {
        let dir = world(&[("ansible.cfg", "x\n")]);
        run(dir.path(), &[], &["-o", "json"])
    };
    let json: serde_json::Value = serde_json::from_str(&refusal).unwrap();
    assert_eq!(json["failed"], true);
}
