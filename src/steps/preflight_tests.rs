use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::cluster::samples;
use crate::engine::answers::Clocks;
use crate::steps::testing::{Given, NOW, problems, script};

#[path = "preflight_space_tests.rs"]
mod space;

const GIB: u64 = 1 << 30;

fn step() -> Preflight {
    Preflight {
        spec: samples::spec(),
        image: Arc::default(),
        waits: true,
    }
}

const MACHINE: &str = "uname=Linux x86_64\nuid=0\nsystemd=yes\nk3s=yes\nkubeconfig=600";

fn node() -> Value {
    json!({
        "kind": "Node", "metadata": {"name": "n1"},
        "status": {
            "nodeInfo": {"kubeletVersion": "v1.33.1+k3s1"},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}],
        },
    })
}

fn disk(free: u64, total: u64) -> String {
    format!(
        "type=directory\nmode=700\nowner=0:0\nparent=/srv/k3s-storage\nreal=/srv/k3s-storage\n\
         block=1\nfree={free}\nunused={free}\nblocks={total}\ninodes_free=100000\ninodes=200000"
    )
}

fn class(provisioner: &str) -> Value {
    json!({"kind": "StorageClass", "metadata": {"name": "local-path"}, "provisioner": provisioner})
}

fn claim() -> Value {
    json!({"kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-postgresql-0", "namespace": "data", "uid": "c1"},
        "spec": {"volumeName": "pvc-c1"}})
}

fn volume_of(path: &str) -> Value {
    json!({"kind": "PersistentVolume", "metadata": {"name": "pvc-c1"},
        "spec": {"claimRef": {"namespace": "data", "name": "data-postgresql-0", "uid": "c1"},
            "hostPath": {"path": path}, "persistentVolumeReclaimPolicy": "Retain"},
        "status": {"phase": "Bound"}})
}

/// A bare node on which nothing is wrong.
fn fine() -> Given {
    let s = step();
    Given::nothing(&s.questions())
        .shell(FACTS, MACHINE)
        .shell(storage::PATH, disk(20 * GIB, 100 * GIB))
        .object(
            &objects::storage_class(&s.spec),
            class("rancher.io/local-path"),
        )
        .object(&storage::config_map(), json!({"kind": "ConfigMap"}))
        .object(&storage::provisioner(), json!({"kind": "Deployment"}))
        .list(&objects::nodes(), vec![node()])
}

/// The same with a database of ours on it.
fn installed(free: u64, total: u64) -> Given {
    let s = step();
    let mut sts = samples::live_statefulset();
    sts["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
        json!("8Gi");
    let mut node = node();
    node["status"]["images"] = json!([{"names": ["docker.io/bitnami/postgresql:17"]}]);
    let entry = "entry=pvc-c1_data_data-postgresql-0\n";
    fine()
        .shell(storage::PATH, format!("{entry}{}", disk(free, total)))
        .object(&objects::stateful_set(&s.spec), sts)
        .object(&objects::claim(&s.spec), claim())
        .list(
            &objects::volumes(),
            vec![volume_of("/srv/k3s-storage/pvc-c1_data_data-postgresql-0")],
        )
        .list(&objects::nodes(), vec![node])
}

fn ids(given: &Given) -> Vec<String> {
    let judgement = step().judge(&given.0).unwrap();
    let mut ids: Vec<String> = match judgement.verdict {
        Verdict::InSync => Vec::new(),
        Verdict::Refused(all) => all
            .iter()
            .map(|p| format!("{} {}", p.exit.code(), p.id))
            .collect(),
        other => panic!("{other:?}"),
    };
    ids.extend(
        judgement
            .warnings
            .iter()
            .map(|w| format!("warning {}", w.id)),
    );
    ids
}

#[test]
fn nothing_is_wrong() {
    assert_eq!(fine().judged(&step()), "in sync");
    assert_eq!(installed(20 * GIB, 100 * GIB).judged(&step()), "in sync");
}

#[test]
fn the_machine() {
    let with = |facts: &str| fine().shell(FACTS, facts).judged(&step());
    assert_snapshot!(with("uname=Darwin arm64\nuid=0\nsystemd=yes\nk3s=yes\nkubeconfig=600"), @r#"
    refused
    31 preflight.os: the node runs Darwin, not Linux
      hint: k3s and the chart's images need Linux
    "#);
    assert_snapshot!(with("uname=Linux armv7l\nuid=0\nsystemd=yes\nk3s=yes\nkubeconfig=600"), @r#"
    refused
    31 preflight.arch: the node's architecture armv7l is not supported
      hint: use an x86_64 or aarch64 machine
    "#);
    assert_snapshot!(with("uname=Linux aarch64\nuid=1000\nsystemd=yes\nk3s=yes\nkubeconfig=600"), @r#"
    refused
    22 preflight.root: commands on the node do not run as root
      hint: log in as root, or leave ansible_become unset (or true) so that sudo is used
    "#);
    assert_snapshot!(with("uname=Linux aarch64\nuid=0\nk3s=yes\nkubeconfig=600"), @r#"
    in sync
    warning 31 preflight.systemd: the node does not run systemd: Helm does not outlive a lost connection there, and k3s cannot be restarted by monopg
    "#);
    assert_snapshot!(with(&format!("{MACHINE}\nselinux=1\nfirewall=ufw\nfirewall=firewalld")), @r#"
    in sync
    warning 31 preflight.selinux: SELinux is enforcing: pods may not be allowed into the storage path
      hint: label it once: semanage fcontext -a -t container_file_t '/srv/k3s-storage(/.*)?' && restorecon -R /srv/k3s-storage
    warning 31 preflight.firewall: ufw is active: without rules for the pod and service networks (10.42.0.0/16, 10.43.0.0/16) pods cannot talk to each other
      hint: see k3s' documentation, Requirements, Operating systems
    warning 31 preflight.firewall: firewalld is active: without rules for the pod and service networks (10.42.0.0/16, 10.43.0.0/16) pods cannot talk to each other
      hint: see k3s' documentation, Requirements, Operating systems
    "#);
    assert_eq!(with(&format!("{MACHINE}\nselinux=0")), "in sync");
    // Nothing was said at all: not "all is well".
    assert_snapshot!(with(""), @r#"
    refused
    22 preflight.root: commands on the node do not run as root
      hint: log in as root, or leave ansible_become unset (or true) so that sudo is used
    "#);
}

#[test]
fn facts_that_cannot_be_read_are_an_error() {
    assert_eq!(
        fine().fails(FACTS, 2, "sh: oops\n").judged(&step()),
        "unreadable: preflight.facts could not be read: sh: oops"
    );
}

#[test]
fn no_k3s_no_kubeconfig() {
    let down = fine().unreadable("dial tcp 127.0.0.1:6443: refused");
    let with = |facts: &str| down.clone().shell(FACTS, facts).judged(&step());
    assert_snapshot!(with("uname=Linux x86_64\nuid=0\nsystemd=yes"), @r#"
    refused
    33 preflight.k3s: k3s is not installed on the node
      hint: install it first (monopg does not do that): https://docs.k3s.io/quick-start
    "#);
    assert_snapshot!(with("uname=Linux x86_64\nuid=0\nsystemd=yes\nk3s=yes"), @r#"
    refused
    33 preflight.kubeconfig: /etc/rancher/k3s/k3s.yaml does not exist: k3s has never started on this node, or writes its kubeconfig elsewhere
      hint: start k3s (`systemctl start k3s`) without --write-kubeconfig elsewhere, as a server and not as an agent
    "#);
}

#[test]
fn an_api_that_does_not_answer_is_the_only_thing_to_say() {
    let down = fine()
        .unreadable("dial tcp 127.0.0.1:6443: refused")
        .shell(storage::PATH, disk(0, 10));
    assert_eq!(down.follow_up(&step()), ["preflight.k3s"]);
    let down = down.shell(K3S, "unit k3s is failed\nlevel=fatal msg=\"no space\"\n");
    assert_snapshot!(down.judged(&step()), @r#"
    refused
    33 preflight.api: the Kubernetes API of k3s does not answer
      caused by: nodes could not be read: dial tcp 127.0.0.1:6443: refused
      caused by: unit k3s is failed
      caused by: level=fatal msg="no space"
      hint: look at `systemctl status k3s` and `journalctl -u k3s` on the node, start it, then run again
    "#);
}

#[test]
fn who_may_read_the_kubeconfig() {
    for (mode, warned) in [
        ("600", false),
        ("0600", false),
        ("400", false),
        ("700", false),
        ("0", false),
        ("640", true),
        ("0640", true),
        ("644", true),
        ("604", true),
        ("666", true),
    ] {
        let facts = MACHINE.replace("kubeconfig=600", &format!("kubeconfig={mode}"));
        let want: &[&str] = if warned {
            &["warning preflight.kubeconfig"]
        } else {
            &[]
        };
        assert_eq!(ids(&fine().shell(FACTS, facts)), want, "{mode}");
    }
    let facts = MACHINE.replace("kubeconfig=600", "kubeconfig=644");
    assert_snapshot!(fine().shell(FACTS, facts).judged(&step()), @r#"
    in sync
    warning 31 preflight.kubeconfig: /etc/rancher/k3s/k3s.yaml has mode 644: whoever can read it is the cluster's administrator
      hint: chmod 600 /etc/rancher/k3s/k3s.yaml, and set write-kubeconfig-mode: "0600" in /etc/rancher/k3s/config.yaml
    "#);
}

#[test]
fn clocks() {
    // Seconds of the node's clock against the moment of sending; the answer took two seconds.
    let skewed = |seconds: i64| {
        let mut given = fine();
        let sent: jiff::Timestamp = NOW.parse().unwrap();
        let at = |s: i64| jiff::Timestamp::from_second(sent.as_second() + s).unwrap();
        given.0.clocks = Some(Clocks {
            sent,
            node: at(seconds),
            received: at(2),
        });
        given
    };
    for (seconds, wrong) in [
        (0, false),
        (1, false),
        (-30, false),
        (-31, true),
        (32, false),
        (33, true),
        (86_400, true),
    ] {
        let want: &[&str] = if wrong { &["31 preflight.clock"] } else { &[] };
        assert_eq!(ids(&skewed(seconds)), want, "{seconds}");
    }
    assert_snapshot!(skewed(-31).judged(&step()), @r#"
    refused
    31 preflight.clock: the node's clock is 31 s behind this machine's
      hint: synchronise the one that is wrong (`timedatectl set-ntp true`), then run again
    "#);
    assert_snapshot!(skewed(33).judged(&step()), @r#"
    refused
    31 preflight.clock: the node's clock is 31 s ahead of this machine's
      hint: synchronise the one that is wrong (`timedatectl set-ntp true`), then run again
    "#);
}

#[test]
fn a_clock_that_could_not_be_read_is_said() {
    let mut given = fine();
    given.0.clocks = None;
    assert_snapshot!(given.judged(&step()), @r#"
    refused
    31 preflight.clock: the node's clock could not be read
      hint: `date +%s` on the node has to print the seconds since 1970
    "#);
}

#[test]
fn the_node() {
    let with = |all: Vec<Value>| fine().list(&objects::nodes(), all).judged(&step());
    assert_snapshot!(with(vec![]), @r#"
    refused
    33 preflight.node: the cluster has no node yet
      hint: wait until `k3s kubectl get nodes` lists one, then run again
    "#);
    assert_snapshot!(with(vec![node(), node()]), @r#"
    refused
    31 preflight.node: the cluster has 2 nodes; monopg keeps one database on a cluster of one node
      hint: a local-path volume is bound to one node: use a mono-node cluster
    "#);
    let mut unwell = node();
    unwell["status"]["conditions"] =
        json!([{"type": "Ready", "status": "Unknown"}, {"type": "DiskPressure", "status": "True"}]);
    assert_snapshot!(with(vec![unwell]), @r#"
    refused
    33 preflight.node: the node is not Ready
      hint: look at `k3s kubectl describe node`, then run again
    32 preflight.disk_pressure: the node is under disk pressure: the kubelet evicts pods
      hint: free space on the node's disks, then run again
    "#);
    let mut unknown = node();
    unknown["status"]["conditions"] = json!([]);
    assert_eq!(
        ids(&fine().list(&objects::nodes(), vec![unknown])),
        ["33 preflight.node"]
    );
}

/// As after a start of the kubelet; without anything else that is wrong it is waited for.
#[test]
fn a_node_that_has_just_started() {
    let since = |seconds: i64, ready: &str, pressure: &str| {
        let now: jiff::Timestamp = NOW.parse().unwrap();
        let time = jiff::Timestamp::from_second(now.as_second() - seconds).unwrap();
        let mut node = node();
        node["status"]["conditions"] = json!([
            {"type": "Ready", "status": ready, "lastTransitionTime": time.to_string()},
            {"type": "DiskPressure", "status": pressure}]);
        fine().list(&objects::nodes(), vec![node])
    };
    let waiting = "waiting: the node is not Ready since ";
    for (seconds, waits) in [
        (0, true),
        (59, true),
        (-5, true),
        (60, false),
        (-3600, false),
    ] {
        let said = since(seconds, "False", "False").judged(&step());
        assert_eq!(said.starts_with(waiting), waits, "{seconds}: {said}");
        assert_eq!(
            said.contains("33 preflight.node"),
            !waits,
            "{seconds}: {said}"
        );
    }
    let pressed = since(5, "False", "True").judged(&step());
    assert!(
        pressed.starts_with("refused\n32 preflight.disk_pressure"),
        "{pressed}"
    );
    let asking = Preflight {
        waits: false,
        ..step()
    };
    assert_eq!(
        since(5, "False", "False").judged(&asking),
        "refused\n33 preflight.node: the node is not Ready\n  hint: look at `k3s kubectl describe node`, then run again"
    );
    // The pod follows the node.
    for (seconds, ready, pod, waits) in [
        (5, "True", Some("False"), true),
        (5, "True", Some("True"), false),
        (5, "True", None, false),
        (60, "True", Some("False"), false),
    ] {
        let mut given = since(seconds, ready, "False");
        if let Some(ready) = pod {
            let pod = json!({"kind": "Pod", "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            given = given.object(&objects::pod(&step().spec), pod);
        }
        let said = given.judged(&step());
        let want = "waiting: Pod data/postgresql-0 is not ready, the node is since ";
        assert_eq!(said.starts_with(want), waits, "{seconds} {pod:?}: {said}");
        assert_eq!(said == "in sync", !waits, "{seconds} {pod:?}: {said}");
    }
}

#[test]
fn versions() {
    for (version, refused) in [
        ("v1.24.17+k3s1", true),
        ("v1.25.0+k3s1", false),
        ("v1.33.1-rc1+k3s1", false),
        ("v2.0.0", false),
        ("v0.30.0", true),
        // What cannot be read is not guessed about.
        ("unknown", false),
    ] {
        let mut node = node();
        node["status"]["nodeInfo"]["kubeletVersion"] = json!(version);
        let want: &[&str] = if refused {
            &["31 preflight.version"]
        } else {
            &[]
        };
        assert_eq!(
            ids(&fine().list(&objects::nodes(), vec![node])),
            want,
            "{version}"
        );
    }
    let mut old = node();
    old["status"]["nodeInfo"]["kubeletVersion"] = json!("v1.24.17+k3s1");
    assert_snapshot!(fine().list(&objects::nodes(), vec![old]).judged(&step()), @r#"
    refused
    31 preflight.version: k3s is v1.24.17+k3s1; the chart needs Kubernetes 1.25 or newer
      hint: upgrade k3s
    "#);
}

#[test]
fn the_storage_class_and_its_provisioner() {
    let s = step();
    assert_snapshot!(fine().without(&objects::storage_class(&s.spec)).judged(&s), @r#"
    refused
    32 preflight.storage_class: there is no StorageClass local-path
      hint: enable k3s' local-storage (remove `disable: local-storage`), or set monopg_storage_class
    "#);
    assert_snapshot!(fine().object(&objects::storage_class(&s.spec), class("ebs.csi.aws.com")).judged(&s), @r#"
    refused
    32 preflight.storage_class: StorageClass local-path is provisioned by ebs.csi.aws.com, not by rancher.io/local-path
      hint: set monopg_storage_class to the local-path class
    "#);
    let mut named = class("rancher.io/local-path");
    named["parameters"] = json!({"pathPattern": "{{ .PVC.Namespace }}/{{ .PVC.Name }}"});
    let reference = objects::storage_class(&s.spec);
    assert_snapshot!(fine().object(&reference, named.clone()).judged(&s), @r#"
    refused
    32 preflight.storage_class: StorageClass local-path names its volumes' directories itself (parameters.pathPattern: {{ .PVC.Namespace }}/{{ .PVC.Name }}): a new volume could begin in an earlier one's directory
      hint: set monopg_storage_class to a class of rancher.io/local-path without pathPattern, as k3s' own local-path
    "#);
    // A database that is there already is let be.
    let there = installed(20 * GIB, 100 * GIB).object(&reference, named);
    let there = there.judged(&s);
    assert!(!there.contains("storage_class"), "{there}");
    assert_snapshot!(fine().without(&storage::provisioner()).judged(&s), @r#"
    refused
    32 preflight.provisioner: k3s' local-path provisioner is not installed
      hint: enable k3s' local-storage (remove `disable: local-storage` from its configuration)
    "#);
    assert_eq!(
        ids(&fine().without(&storage::config_map())),
        ["32 preflight.provisioner"]
    );
}

#[test]
fn what_is_asked_in_addition() {
    let s = step();
    // Without a release, the node's images are looked at; with one only if its image is not in the node's status.
    assert_eq!(fine().follow_up(&s), ["preflight.images"]);
    assert_eq!(installed(20 * GIB, 100 * GIB).follow_up(&s), [""; 0]);
    assert_eq!(
        installed(20 * GIB, 100 * GIB)
            .list(&objects::nodes(), vec![node()])
            .follow_up(&s),
        ["preflight.images"]
    );
    assert_eq!(
        installed(8 * GIB - 1, 80 * GIB).follow_up(&s),
        ["preflight.used"]
    );
    let mut given = installed(GIB, 80 * GIB).list(
        &objects::volumes(),
        vec![volume_of("/srv/k3s-storage/it's $(x)")],
    );
    let more = s.follow_up(&given.0).unwrap();
    assert_eq!(
        script(&more[0]).0,
        r"timeout 20 du -skx -- '/srv/k3s-storage/it'\''s $(x)'"
    );
    // Without a bound volume there is nothing to count.
    given = given.list(&objects::volumes(), vec![]);
    assert_eq!(given.follow_up(&s), [""; 0]);
}

#[test]
fn images_that_are_not_on_the_node() {
    let s = step();
    s.image
        .set("docker.io/bitnami/postgresql:17.6.0-debian-12-r4".into())
        .unwrap();
    let listed = |text: &str| fine().shell(IMAGES, text).judged(&s);
    assert_snapshot!(listed("docker.io/rancher/mirrored-pause:3.6\n"), @r#"
    in sync
    warning 31 preflight.image: image docker.io/bitnami/postgresql:17.6.0-debian-12-r4 is not on the node; it will have to be pulled
      hint: docker.io/bitnami/* moved in August 2025; this one lives on as docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4: set monopg_image
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
    "#);
    assert_eq!(
        listed("docker.io/bitnami/postgresql:17.6.0-debian-12-r4\n"),
        "in sync"
    );
    // The chart was not fetched, so nobody knows which image it will be.
    assert_eq!(fine().judged(&step()), "in sync");
    // A release that is there tells its own.
    let installed = installed(20 * GIB, 100 * GIB).list(&objects::nodes(), vec![node()]);
    assert_eq!(ids(&installed), ["warning preflight.image"]);
    assert_eq!(
        ids(&installed.shell(IMAGES, "docker.io/bitnami/postgresql:17\n")),
        [""; 0]
    );
}

#[test]
fn what_cannot_be_changed() {
    let mut s = step();
    s.spec.volume_size.text = "16Gi".into();
    s.spec.volume_size.bytes = 16 * GIB;
    let given = installed(20 * GIB, 100 * GIB);
    assert_snapshot!(given.judged(&s), @r#"
    refused
    31 preflight.immutable: the volume's size of StatefulSet data/postgresql cannot be changed from 8Gi to 16Gi
      hint: set monopg_volume_size to 8Gi again: local-path does not enforce it, the file system of /srv/k3s-storage is the limit
    "#);
}

#[test]
fn other_owners_and_foreign_state() {
    let s = step();
    let flux = json!({"kind": "HelmRelease", "metadata": {"name": "postgresql", "namespace": "data"}, "spec": {}});
    let given = fine()
        .list(&owners::types()[0], vec![flux])
        .object(&objects::claim(&s.spec), claim());
    assert_snapshot!(given.judged(&s), @r#"
    refused
    31 preflight.owner: Flux HelmRelease data/postgresql already owns release data/postgresql
      hint: to hand it over: `flux suspend helmrelease postgresql -n data`, then delete the HelmRelease with `--cascade=orphan` and its finalizer removed, so that Flux does not uninstall the release
      hint: or choose another monopg_release or monopg_namespace
    31 preflight.orphan_pvc: claim data/data-postgresql-0 exists without a release of monopg
      caused by: it is bound to volume pvc-c1, which may hold a database
      hint: the database in it would keep its old passwords; nothing is deleted for you
      hint: keep it: choose another monopg_release; or, after a dump, remove it with its data: `k3s kubectl -n data delete pvc data-postgresql-0`
    "#);
    // An unreadable type is not "no owner".
    let mut given = fine();
    given
        .0
        .lists
        .insert(owners::types()[1].clone(), Err("forbidden".into()));
    assert_eq!(
        given.judged(&s),
        "unreadable: applications.argoproj.io could not be read: forbidden"
    );
}

/// The claim of a release that monopg made, or was about to make, is no orphan.
#[test]
fn a_claim_of_ours_is_no_orphan() {
    let s = step();
    let given = fine().object(&objects::claim(&s.spec), claim());
    assert_eq!(ids(&given), ["31 preflight.orphan_pvc"]);
    let intent = json!({"schema": 1, "namespace": "data", "release": "postgresql", "run": "r", "revision": 1,
        "inputs": {"chart": "", "chart_version": "", "values": [], "computed": "", "helm": ""}});
    let ours = given
        .clone()
        .shell("release.record", format!("intent={intent}"));
    assert_eq!(ids(&ours), [""; 0]);
    let other = given.shell(
        "release.record",
        format!("intent={intent}").replace("\"data\"", "\"other\""),
    );
    assert_eq!(
        ids(&other),
        ["31 preflight.other_release", "31 preflight.orphan_pvc"]
    );
}

#[test]
fn several_at_once_and_the_worst_code() {
    let s = step();
    let mut given = fine()
        .shell(
            FACTS,
            "uname=Linux riscv64\nuid=0\nsystemd=yes\nk3s=yes\nkubeconfig=644\nfirewall=ufw",
        )
        .shell(
            storage::PATH,
            disk(GIB, 10 * GIB).replace("inodes_free=100000", "inodes_free=7"),
        )
        .without(&storage::provisioner())
        .object(&objects::storage_class(&s.spec), class("x"));
    assert_eq!(
        ids(&given),
        [
            "31 preflight.arch",
            "32 preflight.storage_class",
            "32 preflight.provisioner",
            "32 preflight.space",
            "32 preflight.inodes",
            "warning preflight.firewall",
            "warning preflight.kubeconfig",
        ]
    );
    let worst = |given: &Given| match s.judge(&given.0).unwrap().verdict {
        Verdict::Refused(all) => crate::error::worst(&all),
        other => panic!("{other:?}"),
    };
    assert_eq!(worst(&given), Exit::Storage);
    let mut unwell = node();
    unwell["status"]["conditions"] = json!([]);
    given = given.list(&objects::nodes(), vec![unwell]);
    assert_eq!(worst(&given), Exit::Cluster);
    assert_eq!(
        worst(&fine().shell(FACTS, MACHINE.replace("x86_64", "riscv64"))),
        Exit::Refused
    );
    let Verdict::Refused(all) = s.judge(&given.0).unwrap().verdict else {
        panic!("not refused")
    };
    for p in &all {
        assert!(!p.hints.is_empty(), "what to do?\n{}", problems(&all));
    }
}

/// The questions are shell that runs: what this machine says is understood.
#[test]
fn the_question_about_the_machine_runs() {
    let out = crate::steps::testing::in_shell(ASK, b"");
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{}", out.text());
    let facts = Facts::parse(&out.text());
    assert!(facts.get("uname").is_some_and(|u| u.starts_with("Linux ")));
    assert!(facts.number("uid").is_some());
}
