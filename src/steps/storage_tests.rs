use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::engine::answers::Output;
use crate::steps::testing::{Given, NOW, in_shell, script, with_args};

const AT: &str = "/srv/k3s-storage";

fn step() -> StorageDirectory {
    StorageDirectory { path: AT.into() }
}

const RIGHT: &str = "type=directory\nmode=700\nowner=0:0\nparent=/srv/k3s-storage";
const DROP_IN_LINE: &str = "file=/etc/rancher/k3s/config.yaml.d/50-monopg.yaml default-local-storage-path: /srv/k3s-storage\n";

/// The provisioner's ConfigMap with this path, last changed so many seconds before [`NOW`].
fn map(path: &str, seconds_ago: i64) -> Value {
    let now: Timestamp = NOW.parse().unwrap();
    let time = Timestamp::from_second(now.as_second() - seconds_ago).unwrap();
    let config = json!({"nodePathMap": [
        {"node": "other", "paths": ["/elsewhere"]},
        {"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [path]},
    ]});
    json!({"kind": "ConfigMap", "data": {"config.json": config.to_string()},
    "metadata": {"managedFields": [
        {"manager": "deploy@n1", "time": "2026-11-01T00:00:00Z", "fieldsV1": {"f:data": {}}},
        {"manager": "deploy@n1", "time": time.to_string(), "fieldsV1": {"f:data": {"f:config.json": {}}}},
        // Labels only: the configuration itself did not change.
        {"manager": "x", "time": NOW, "fieldsV1": {"f:metadata": {}}},
    ]}})
}

/// Everything as it shall be.
fn right() -> Given {
    Given::nothing(&step().questions())
        .shell(PATH, RIGHT)
        .shell(CONFIG, DROP_IN_LINE)
        .object(&config_map(), map(AT, 3600))
        .object(&provisioner(), json!({"kind": "Deployment"}))
}

#[test]
fn in_sync() {
    assert_eq!(right().judged(&step()), "in sync");
    assert_eq!(right().follow_up(&step()), [""; 0]);
    // A trailing slash, quotes and a comment are the same path.
    for line in [
        "\"/srv/k3s-storage\"",
        "'/srv/k3s-storage/'",
        "/srv/k3s-storage  # ours",
    ] {
        let text = format!(
            "file={} default-local-storage-path: {line}\n",
            paths::DROP_IN
        );
        assert_eq!(
            right().shell(CONFIG, text).judged(&step()),
            "in sync",
            "{line}"
        );
    }
    let slash = right().object(&config_map(), map("/srv/k3s-storage/", 3600));
    assert_eq!(slash.judged(&step()), "in sync");
}

#[test]
fn a_bare_node() {
    let bare = right()
        .shell(PATH, "type=absent\nparent=/srv")
        .shell(CONFIG, "")
        .object(&config_map(), map("/var/lib/rancher/k3s/storage", 3600));
    assert_snapshot!(bare.judged(&step()), @r#"
    drift (K3sRestart)
      directory /srv/k3s-storage: absent -> root, mode 700
      default-local-storage-path in /etc/rancher/k3s/config.yaml.d/50-monopg.yaml: absent -> /srv/k3s-storage
      the provisioner's storage path: /var/lib/rancher/k3s/storage -> /srv/k3s-storage
    "#);
}

#[test]
fn mode_and_owner() {
    let with = |mode: &str, owner: &str| {
        let text = format!("type=directory\nmode={mode}\nowner={owner}");
        right().shell(PATH, text).judged(&step())
    };
    assert_snapshot!(with("755", "0:0"), @r#"
    drift (None)
      mode of /srv/k3s-storage: 755 -> 700
    "#);
    assert_snapshot!(with("2700", "1001:0"), @r#"
    drift (None)
      mode of /srv/k3s-storage: 2700 -> 700
      owner of /srv/k3s-storage: 1001:0 -> 0:0
    "#);
    assert_eq!(with("700", "0:0"), "in sync");
}

#[test]
fn what_is_at_the_path() {
    let with = |text: &str| right().shell(PATH, text).judged(&step());
    assert_snapshot!(with("type=other\nparent=/srv"), @r#"
    refused
    32 storage.directory: the storage path /srv/k3s-storage exists and is not a directory
      hint: move that file away, or choose another monopg_storage_path
    "#);
    assert_snapshot!(with("type=dangling /mnt/gone disk\nparent=/srv"), @r#"
    refused
    32 storage.directory: the storage path /srv/k3s-storage is a link to /mnt/gone disk, which does not exist
      hint: mount or make the link's target, or choose another monopg_storage_path
    "#);
    assert_snapshot!(with("type=absent\nblocked=/srv\nparent=/"), @r#"
    refused
    32 storage.directory: /srv, above the storage path /srv/k3s-storage, is not a directory
      hint: choose a monopg_storage_path below a directory
    "#);
    assert_snapshot!(with("type=absent\nparent=/srv\nreadonly=yes"), @r#"
    refused
    32 storage.directory: /srv cannot be written to, so /srv/k3s-storage cannot be used: its file system is read-only
      hint: remount it writable (see `findmnt -T` on the node and the kernel's log for why)
    "#);
    // All of it at once.
    let all = with("type=other\nparent=/\nblocked=/srv\nreadonly=yes");
    assert_eq!(all.matches("32 storage.directory").count(), 3, "{all}");
}

#[test]
fn the_drop_in() {
    let missing = right().shell(CONFIG, "");
    assert_snapshot!(missing.judged(&step()), @r#"
    drift (None)
      default-local-storage-path in /etc/rancher/k3s/config.yaml.d/50-monopg.yaml: absent -> /srv/k3s-storage
    "#);
    let other = right().shell(
        CONFIG,
        format!("file={} default-local-storage-path: /old\n", paths::DROP_IN),
    );
    assert_snapshot!(other.judged(&step()), @r#"
    drift (None)
      default-local-storage-path in /etc/rancher/k3s/config.yaml.d/50-monopg.yaml: /old -> /srv/k3s-storage
    "#);
    // What stands in files that ours wins over does not matter.
    let earlier = right().shell(
        CONFIG,
        format!(
            "file=/etc/rancher/k3s/config.yaml default-local-storage-path: /old\n\
             file=/etc/rancher/k3s/config.yaml.d/10-a.yaml default-local-storage-path: /older\n{DROP_IN_LINE}"
        ),
    );
    assert_eq!(earlier.judged(&step()), "in sync");
}

#[test]
fn a_setting_that_wins() {
    let with = |line: &str| {
        right()
            .shell(CONFIG, format!("{DROP_IN_LINE}{line}"))
            .judged(&step())
    };
    let later = "file=/etc/rancher/k3s/config.yaml.d/60-x.yaml default-local-storage-path: ";
    assert_eq!(with(&format!("{later}/srv/k3s-storage")), "in sync");
    assert_snapshot!(with(&format!("{later}\"/data\"")), @r#"
    refused
    32 storage.config: /etc/rancher/k3s/config.yaml.d/60-x.yaml sets default-local-storage-path to /data, which wins over monopg's /srv/k3s-storage
      hint: remove it from /etc/rancher/k3s/config.yaml.d/60-x.yaml, or set monopg_storage_path: /data
    "#);
    let unit = "unit=/etc/systemd/system/k3s.service --default-local-storage-path ";
    assert_eq!(with(&format!("{unit}/srv/k3s-storage")), "in sync");
    assert_snapshot!(with(&format!("{unit} /data")), @r#"
    refused
    32 storage.config: /etc/systemd/system/k3s.service sets default-local-storage-path to /data, which wins over monopg's /srv/k3s-storage
      hint: remove it from /etc/systemd/system/k3s.service, or set monopg_storage_path: /data
    "#);
    // Only what differs is named.
    let both = with(&format!("{later}/srv/k3s-storage\n{unit}/data"));
    assert_eq!(both.matches("storage.config").count(), 1, "{both}");
}

#[test]
fn the_effective_path() {
    let elsewhere = right().object(&config_map(), map("/data", 3600));
    assert_snapshot!(elsewhere.judged(&step()), @r#"
    drift (K3sRestart)
      the provisioner's storage path: /data -> /srv/k3s-storage
    "#);
    let broken = json!({"kind": "ConfigMap", "data": {"config.json": "{"}});
    assert_snapshot!(right().object(&config_map(), broken).judged(&step()), @r#"
    drift (K3sRestart)
      the provisioner's storage path: absent -> /srv/k3s-storage
    "#);
    let only = json!({"data": {"config.json": json!({"nodePathMap": [{"node": "n1", "paths": ["/a/"]}]}).to_string()}});
    assert_eq!(effective_path(&only).as_deref(), Some("/a"));
    assert_eq!(effective_path(&json!({})), None);
    // A second path may get the volume.
    let paths =
        json!([{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/srv/k3s-storage", "/b"]}]);
    let map = json!({"data": {"config.json": json!({"nodePathMap": paths}).to_string()}});
    let said = right().object(&config_map(), map).judged(&step());
    assert_eq!(
        said.trim_end(),
        "drift (K3sRestart)\n  the provisioner's storage path: /srv/k3s-storage, /b -> /srv/k3s-storage"
    );
}

/// The provisioner reads a changed configuration some seconds later; a pod that started before the change may still
/// have the old one.
#[test]
fn a_provisioner_that_may_not_have_read_its_configuration() {
    // The change, the pods' starts, both in seconds before now.
    for (changed, started, stale) in [
        (60, &[120][..], true),
        (60, &[30], false),
        (60, &[60], false),
        // The old pod is still there beside the new one.
        (60, &[30, 120], true),
        (180, &[600], true),
        (181, &[600], false),
        // No pod is there: the next one will read it.
        (60, &[], false),
    ] {
        let now: Timestamp = NOW.parse().unwrap();
        let at = |ago: &i64| {
            let time = Timestamp::from_second(now.as_second() - ago).unwrap();
            format!("/{time}")
        };
        let text: Vec<String> = started.iter().map(at).collect();
        let given = right().object(&config_map(), map(AT, changed));
        let asked = given.follow_up(&step());
        assert_eq!(
            !asked.is_empty(),
            changed <= PROVISIONER_READS,
            "{changed} {asked:?}"
        );
        let verdict = given
            .shell(PROVISIONER_START, text.join(" "))
            .judged(&step());
        assert_eq!(
            verdict != "in sync",
            stale,
            "{changed} {started:?} {verdict}"
        );
    }
    // The old pod is about to go and provisions nothing any more.
    let leaving = right().object(&config_map(), map(AT, 60)).shell(
        PROVISIONER_START,
        "2026-11-22T10:04:59Z/2026-11-22T10:00:00Z /2026-11-22T10:04:58Z ",
    );
    assert_eq!(leaving.judged(&step()), "in sync");
    // A recorded release asked for its volume after this step was done.
    let record = json!({"schema": 1, "namespace": "data", "release": "postgresql", "run": "r", "at": "", "revision": 1,
        "inputs": {"chart": "", "chart_version": "", "values": [], "computed": "", "helm": ""}, "objects": []});
    let later = right()
        .object(&config_map(), map(AT, 60))
        .shell("release.record", format!("record={record}"));
    assert_eq!(later.follow_up(&step()).len(), 0);
    assert_eq!(later.judged(&step()), "in sync");
    // Nobody could say when the pods started: that is not "late enough".
    let failed =
        right()
            .object(&config_map(), map(AT, 60))
            .fails(PROVISIONER_START, 1, "error: timeout\n");
    assert_eq!(
        failed.judged(&step()),
        "unreadable: storage.provisioner could not be read: error: timeout"
    );
    let given = right()
        .object(&config_map(), map(AT, 60))
        .shell(PROVISIONER_START, "/2026-11-22T10:00:00Z ");
    assert_snapshot!(given.judged(&step()), @r#"
    drift (None)
      the provisioner's pod: started before its configuration changed -> restarted
    "#);
}

#[test]
fn a_path_that_k3s_uninstaller_erases() {
    let judged = |path: &str| {
        let step = StorageDirectory { path: path.into() };
        let line = format!(
            "file={} default-local-storage-path: {path}\n",
            paths::DROP_IN
        );
        right()
            .shell(CONFIG, line)
            .object(&config_map(), map(path, 3600))
            .judged(&step)
    };
    assert_snapshot!(judged("/var/lib/rancher/k3s/storage"), @r#"
    in sync
    warning 32 storage.uninstaller: the storage path /var/lib/rancher/k3s/storage is below /var/lib/rancher, which k3s-uninstall.sh erases
      hint: choose a path such as /srv/k3s-storage for a database that has to outlive k3s
    "#);
    assert_eq!(judged("/var/lib/rancher2/storage"), "in sync");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    assert_eq!(
        right().unreadable("no route").judged(&step()),
        "unreadable: ConfigMap kube-system/local-path-config could not be read: no route"
    );
    let failed = right().fails(CONFIG, 2, "tr: gone\n");
    assert_eq!(
        failed.judged(&step()),
        "unreadable: storage.config could not be read: tr: gone"
    );
}

fn ask(path: &Path) -> Facts {
    let query = path_question(path.to_str().unwrap());
    let out = in_shell(script(&query).0, b"");
    assert_eq!(out.stderr, "", "{}", out.text());
    assert_eq!(out.status, 0);
    Facts::parse(&out.text())
}

/// What a name says is no fact.
#[test]
fn a_name_with_a_line_end_forges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fine", "odd\nfree=1\nentry=pvc-1", "-n\n", "zz\\nfree=1"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let said = ask(folder.path());
    assert_eq!(said.all("entry"), ["fine", "zz\\nfree=1"]);
    assert_eq!(said.all("free").len(), 1);
}

#[test]
fn the_question_about_the_path_runs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for name in [
        "plain",
        "with blank",
        "it's $(touch x) `y` \"q\"",
        "-n",
        "a*b",
    ] {
        let path = root.join(name);
        let absent = ask(&path);
        assert_eq!(absent.get("type"), Some("absent"), "{name}");
        assert_eq!(absent.get("parent"), root.to_str(), "{name}");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
        fs::create_dir(path.join("pvc-1_data_data-postgresql-0")).unwrap();
        fs::create_dir(path.join("two words")).unwrap();
        fs::write(path.join("a file"), "").unwrap();
        let there = ask(&path);
        assert_eq!(there.get("type"), Some("directory"), "{name}");
        assert_eq!(there.get("mode"), Some("751"));
        assert!(there.get("owner").is_some_and(|o| o.contains(':')));
        assert_eq!(
            there.all("entry"),
            ["pvc-1_data_data-postgresql-0", "two words"]
        );
        assert_eq!(there.get("parent"), path.to_str());
        for number in ["block", "free", "unused", "blocks"] {
            assert!(there.number(number).is_some_and(|n| n > 0), "{number}");
        }
        assert_eq!(there.get("blocked"), None);
        assert_eq!(there.get("readonly"), None);
    }
    assert_eq!(fs::read_dir(&root).unwrap().count(), 5, "nothing was made");
}

#[test]
fn the_question_sees_what_stands_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let at = |name: &str| root.join(name);
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("dir")).unwrap();
    symlink(at("gone"), at("dangling")).unwrap();
    symlink(at("dir"), at("link")).unwrap();
    symlink(at("file"), at("link to file")).unwrap();

    assert_eq!(ask(&at("file")).get("type"), Some("other"));
    assert_eq!(ask(&at("link to file")).get("type"), Some("other"));
    let dangling = ask(&at("dangling"));
    assert_eq!(
        dangling.get("type"),
        Some(format!("dangling {}", at("gone").display()).as_str())
    );
    assert_eq!(dangling.get("blocked"), None);
    let link = ask(&at("link"));
    assert_eq!(link.get("type"), Some("directory"));
    assert_eq!(link.get("real"), at("dir").to_str());
    let below = ask(&at("file/a/b"));
    assert_eq!(below.get("type"), Some("absent"));
    assert_eq!(below.get("blocked"), at("file").to_str());
    assert_eq!(below.get("parent"), root.to_str());
    assert_eq!(
        ask(&at("dangling/a")).get("blocked"),
        at("dangling").to_str()
    );
    let deep = ask(&at("x/y/z"));
    assert_eq!(
        (deep.get("type"), deep.get("blocked"), deep.get("parent")),
        (Some("absent"), None, root.to_str())
    );
}

/// The question about the files, with its fixed folders moved below another root and its answer moved back.
fn configuration(root: &Path) -> String {
    let root = root.to_str().unwrap();
    let mut moved = ASK_CONFIG.replace("/etc/rancher", &format!("{root}/etc/rancher"));
    for folder in ["/etc/systemd", "/usr/lib/systemd", "/lib/systemd"] {
        moved = moved.replace(&format!(" {folder}"), &format!(" {root}{folder}"));
    }
    let out = in_shell(&moved, b"");
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    out.text().replace(root, "")
}

#[test]
fn the_question_about_the_configuration_runs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(configuration(root), "");
    let write = |path: &str, text: &str| {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let state = |text: String| step().state(&right().shell(CONFIG, text).0).unwrap();
    write(
        "/etc/rancher/k3s/config.yaml",
        "# default-local-storage-path: /no\nwrite-kubeconfig-mode: \"0600\"\ndefault-local-storage-path: /base\n",
    );
    write(paths::DROP_IN, &drop_in(AT));
    write(
        "/etc/systemd/system/k3s.service",
        "[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--disable=traefik' \\\n",
    );
    let s = state(configuration(root));
    assert_eq!(s.ours().as_deref(), Some(AT));
    assert_eq!(s.winners(AT), []);

    for (line, value) in [
        ("default-local-storage-path: /data", "/data"),
        ("default-local-storage-path: \"/data/\" # here", "/data"),
        ("default-local-storage-path : '/data'", "/data"),
        ("\"default-local-storage-path\": /data", "/data"),
        ("  default-local-storage-path:   /data  ", "/data"),
    ] {
        for name in ["60-x.yaml", "60-x.yml"] {
            let path = format!("/etc/rancher/k3s/config.yaml.d/{name}");
            write(&path, &format!("{line}\n"));
            let s = state(configuration(root));
            assert_eq!(s.winners(AT), [(path.clone(), value.into())], "{line}");
            fs::remove_file(root.join(&path[1..])).unwrap();
        }
    }
    for flag in [
        "--default-local-storage-path=/data",
        "--default-local-storage-path /data",
        "'--default-local-storage-path' \\\n  '/data'",
        "'--default-local-storage-path=/data' \\\n",
        "\"--default-local-storage-path=/data\"",
    ] {
        let path = "/etc/systemd/system/k3s.service.d/override.conf";
        write(
            path,
            &format!("[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server {flag}\n"),
        );
        let s = state(configuration(root));
        assert_eq!(
            s.winners(AT),
            [(path.to_owned(), "/data".to_owned())],
            "{flag}"
        );
    }
}

#[test]
fn our_drop_in_reads_back() {
    let line = drop_in(AT)
        .lines()
        .nth(1)
        .map(|l| format!("file={} {l}\n", paths::DROP_IN));
    let given = right().shell(CONFIG, line.unwrap());
    assert_eq!(step().state(&given.0).unwrap().ours().as_deref(), Some(AT));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Runs the script that makes the directory; only root can give it to root.
fn make(path: &Path) -> Output {
    let as_anybody = format!("chown() {{ :; }}\n{MAKE}");
    with_args(&as_anybody, &[path.to_str().unwrap()])
}

#[test]
fn making_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let deep = root.join("a b/it's/store");
    let out = make(&deep);
    assert!(out.ok(), "{}", out.stderr);
    assert_eq!(mode(&deep), 0o700);
    assert_eq!(mode(deep.parent().unwrap()), 0o755);
    // What is in it stays.
    fs::write(deep.join("data"), "x").unwrap();
    for wrong in [0o755, 0o2700, 0o1777, 0o4711, 0o000] {
        fs::set_permissions(&deep, fs::Permissions::from_mode(wrong)).unwrap();
        let out = make(&deep);
        assert!(out.ok(), "{}", out.stderr);
        assert_eq!(mode(&deep), 0o700, "was {wrong:o}");
    }
    assert_eq!(fs::read_to_string(deep.join("data")).unwrap(), "x");
    // A parent whose group is handed down hands it to the new directory, too.
    let parent = root.join("shared");
    fs::create_dir(&parent).unwrap();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o2775)).unwrap();
    assert!(make(&parent.join("store")).ok());
    assert_eq!(mode(&parent.join("store")), 0o700);
    // A link to a directory is kept; its target gets the mode.
    let link = root.join("link");
    symlink(&deep, &link).unwrap();
    fs::set_permissions(&deep, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(make(&link).ok());
    assert_eq!(mode(&deep), 0o700);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // A file is not replaced.
    let file = root.join("file");
    fs::write(&file, "mine").unwrap();
    assert!(!make(&file).ok());
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}
