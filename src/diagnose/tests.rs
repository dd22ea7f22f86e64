use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::cluster::samples::{self, chain};
use crate::engine::query::Ask;
use crate::secrets::Secret;
use crate::settings::spec::Client;
use crate::steps::testing::Given;
use crate::steps::{credentials, objects, storage};

const CLIENT: &str = "apps\tapi-1\tRunning\t{\"app\":\"api\"}\n";

pub(super) fn spec() -> Spec {
    let mut spec = samples::spec();
    spec.allowed_clients = vec![Client::Pods {
        namespace: Some("apps".into()),
        pod_labels: [("app".to_owned(), "api".to_owned())].into(),
    }];
    spec.credentials = [("password".to_owned(), Secret::from("s3cret".to_owned()))].into();
    spec
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "postgresql-0", "namespace": "data", "uid": "p1",
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "labels": {"controller-revision-hash": "r1", "app.kubernetes.io/name": "postgresql"},
        "ownerReferences": [{"kind": "StatefulSet", "name": "postgresql", "uid": "u1"}]},
    "spec": {"containers": [{"name": "postgresql", "image": "docker.io/bitnami/postgresql:17",
        "ports": [{"name": "tcp-postgresql", "containerPort": 5432}]}]},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "postgresql", "image": "docker.io/bitnami/postgresql:17", "ready": true,
            "restartCount": 0, "state": {"running": {"startedAt": "2026-11-22T10:00:00Z"}}}],
    }})
}

fn policy() -> Value {
    let mut policy = samples::live_policy();
    policy["spec"]["ingress"][0]["from"] = json!([{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}},
        "podSelector": {"matchLabels": {"app": "api"}}}]);
    policy
}

/// A node on which all is well, with a database of ours.
pub(super) fn healthy() -> Given {
    let spec = spec();
    let mut set = samples::live_statefulset();
    set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
        json!("8Gi");
    set["metadata"]["annotations"] = json!({"meta.helm.sh/release-name": "postgresql"});
    set["status"] = json!({"observedGeneration": 1, "currentRevision": "r1", "updateRevision": "r1",
        "readyReplicas": 1, "replicas": 1});
    let directory = "/srv/k3s-storage/pvc-c1_data_data-postgresql-0";
    let node = json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {
        "nodeInfo": {"kubeletVersion": "v1.33.1+k3s1"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "images": [{"names": ["docker.io/bitnami/postgresql:17"]}]}});
    Given::nothing(&questions(&spec))
        .shell("preflight.facts", "uname=Linux x86_64\nuid=0\nsystemd=yes\nk3s=yes\nkubeconfig=600")
        .shell(storage::PATH, "type=directory\nmode=700\nowner=0:0\nparent=/srv/k3s-storage\nreal=/srv/k3s-storage\n\
            entry=pvc-c1_data_data-postgresql-0\nblock=1\nfree=21474836480\nunused=21474836480\nblocks=107374182400\n\
            inodes_free=100000\ninodes=200000")
        .shell(HISTORY, "sh.helm.release.v1.postgresql.v1   helm.sh/release.v1   1     5m    1     deployed\n")
        .shell("diagnose.client_pods", CLIENT)
        .object(&objects::storage_class(&spec), json!({"kind": "StorageClass", "metadata": {"name": "local-path"},
            "provisioner": "rancher.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}))
        .object(&storage::config_map(), json!({"kind": "ConfigMap"}))
        .object(&storage::provisioner(), json!({"kind": "Deployment"}))
        .object(&objects::stateful_set(&spec), set)
        .object(&objects::pod(&spec), pod())
        .object(&objects::claim(&spec), json!({"kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-postgresql-0", "namespace": "data", "uid": "c1"},
            "spec": {"volumeName": "pvc-c1", "storageClassName": "local-path"}, "status": {"phase": "Bound"}}))
        .list(&objects::volumes(), vec![json!({"kind": "PersistentVolume",
            "metadata": {"name": "pvc-c1", "creationTimestamp": "2026-11-22T09:00:00Z"},
            "spec": {"claimRef": {"namespace": "data", "name": "data-postgresql-0", "uid": "c1"},
                "local": {"path": directory}, "persistentVolumeReclaimPolicy": "Retain"},
            "status": {"phase": "Bound"}})])
        .list(&objects::nodes(), vec![node])
        .list(&admission::policies(), vec![policy()])
}

/// Verdict, exit code, chains.
fn said(given: &Given) -> String {
    match judge(&given.0, &spec()) {
        Err(e) => format!("error: {}", chain(&step_problem(&e))),
        Ok(found) => {
            let mut lines = vec![format!(
                "{} {}: {}",
                diagnosis::exit(&found.causes).code(),
                found.diagnosis.verdict.as_str(),
                found.diagnosis.summary
            )];
            lines.extend(found.causes.iter().map(chain));
            lines.join("\n")
        }
    }
}

#[test]
fn one_exchange_without_secrets() {
    for query in questions(&spec()) {
        let secret = matches!(query.ask, Ask::Shell { stdin: Some(_), .. });
        assert!(!secret, "{} would travel by itself", query.key);
    }
    assert!(password::logins(&spec(), &healthy().0).unwrap().is_empty());
}

/// An API that takes connections and does not answer: the questions to kubectl follow one another after one that finds
/// it out, so that none of them waits.
#[test]
fn an_api_that_is_away_is_waited_for_once() {
    let scripts: Vec<(String, String)> = questions(&spec())
        .into_iter()
        .filter_map(|q| match q.ask {
            Ask::Shell { script, .. } => Some((q.key, script)),
            _ => None,
        })
        .collect();
    let probe = scripts.iter().position(|(key, _)| key == API).unwrap();
    let mut seen: Vec<&String> = scripts[..probe].iter().map(|(key, _)| key).collect();
    for (key, script) in &scripts[..probe] {
        assert!(!script.contains("kc "), "{key} asks before it is known");
    }
    for (key, script) in &scripts[probe + 1..] {
        let again = seen.contains(&key);
        assert!(
            again || script.starts_with("[ \"$r\" != 124 ] || exit 124\n"),
            "{key}"
        );
        seen.push(key);
    }
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_snapshot!(said(&healthy()), @"0 healthy: nothing found: pod data/postgresql-0 is ready, claim data-postgresql-0 is Bound, 1 network policy, 1 declared client");
    let facts = judge(&healthy().0, &spec()).unwrap().diagnosis.facts;
    let lines: Vec<String> = facts
        .iter()
        .map(|f| format!("{}: {}", f.about, f.said))
        .collect();
    assert_snapshot!(lines.join("\n"), @r"
    release: data/postgresql: deployed
    node: n1: Ready, v1.33.1+k3s1
    statefulset: postgresql: 1 of 1 ready, generation 1 (seen 1)
    pod: postgresql-0: Running
    pod: container postgresql: running
    claim: data-postgresql-0: Bound to pvc-c1, class local-path
    ");
}

#[test]
fn before_there_is_a_release() {
    let s = spec();
    let bare = healthy()
        .without(&objects::stateful_set(&s))
        .without(&objects::pod(&s))
        .without(&objects::claim(&s))
        .list(&objects::volumes(), vec![])
        .shell(HISTORY, "")
        .shell(storage::PATH, "type=absent\nparent=/srv\nreal=/srv/k3s-storage\nblock=1\nfree=21474836480\nunused=21474836480\nblocks=107374182400\ninodes_free=90000\ninodes=99999");
    assert_snapshot!(said(&bare), @r"
    42 known: StatefulSet data/postgresql does not exist
    42 release.absent: StatefulSet data/postgresql does not exist
      caused by: Helm has no revision of the release
      hint: `monopg apply` installs it
    ");
    let failed = bare.shell(
        HISTORY,
        "sh.helm.release.v1.postgresql.v2   helm.sh/release.v1   1     5m    2     failed\n",
    );
    assert_snapshot!(said(&failed), @r"
    42 known: StatefulSet data/postgresql does not exist
    42 release.failed: StatefulSet data/postgresql does not exist
      caused by: Helm's latest revision is failed
      hint: `monopg apply` finishes or repeats it; nothing is uninstalled
    ");
    // What apply would refuse is why there is none.
    let full = failed.shell(storage::PATH, "type=absent\nparent=/srv\nreal=/srv/k3s-storage\nblock=1\nfree=1\nunused=1\nblocks=107374182400\ninodes_free=90000\ninodes=99999");
    assert_snapshot!(said(&full), @r"
    32 known: StatefulSet data/postgresql does not exist
    42 release.failed: StatefulSet data/postgresql does not exist
      caused by: Helm's latest revision is failed
      hint: `monopg apply` finishes or repeats it; nothing is uninstalled
    32 preflight.space: 0.0 GiB are free under /srv, the volume wants 8.0 GiB (8Gi)
      hint: free space, choose a monopg_storage_path on a larger disk, or a smaller monopg_volume_size
    ");
}

#[test]
fn a_cluster_that_does_not_answer_hides_the_rest() {
    let blind = healthy()
        .unreadable("The connection to the server 127.0.0.1:6443 was refused")
        .shell("preflight.k3s", "unit k3s is failed\n")
        .fails(HISTORY, 1, "refused");
    assert_snapshot!(said(&blind), @r"
    33 known: the Kubernetes API of k3s does not answer
    33 preflight.api: the Kubernetes API of k3s does not answer
      caused by: nodes could not be read: The connection to the server 127.0.0.1:6443 was refused
      caused by: unit k3s is failed
      hint: look at `systemctl status k3s` and `journalctl -u k3s` on the node, start it, then run again
    ");
    assert!(password::logins(&spec(), &blind.0).unwrap().is_empty());
    // Something else that could not be read is an error, never "nothing found".
    assert!(said(&healthy().fails(HISTORY, 1, "x")).starts_with("error: 40"));
}

#[test]
fn a_cause_and_a_full_disk() {
    let mut crashed = pod();
    crashed["status"]["conditions"][1]["status"] = json!("False");
    crashed["status"]["containerStatuses"][0] = json!({"name": "postgresql", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}});
    let given = healthy()
        .object(&objects::pod(&spec()), crashed)
        .shell("observer.logs", "FATAL:  could not write lock file \"postmaster.pid\": No space left on device\n")
        .shell("observer.disk", "root=directory 700 0:0 /srv/k3s-storage\nmeasured=/srv/k3s-storage\nspace=4096 0 1000\ninodes=5 9\n\
            volume=directory 777 0:0 /srv/k3s-storage/pvc-c1_data_data-postgresql-0\n\
            volume=directory 777 0:0 /srv/k3s-storage/pvc-old_data_data-postgresql-0\n")
        .shell(storage::PATH, "type=directory\nmode=700\nowner=0:0\nparent=/srv/k3s-storage\nreal=/srv/k3s-storage\n\
            entry=pvc-c1_data_data-postgresql-0\nblock=1\nfree=0\nunused=0\nblocks=107374182400\ninodes_free=5\ninodes=9");
    assert_snapshot!(said(&given), @r#"
    32 known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    32 database.space: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 3 restarts
      caused by: log: FATAL:  could not write lock file "postmaster.pid": No space left on device
      caused by: on the node, 0 MiB of 3 MiB and 5 inodes are free under /srv/k3s-storage
      hint: free space there: `df -h /srv/k3s-storage`, `du -xh /srv/k3s-storage | sort -h | tail`; never remove files of the data directory, pg_wal least of all
      hint: then run `monopg apply`: PostgreSQL recovers by itself; nothing that was committed is lost
    32 preflight.space: 0.0 GiB of 100.0 GiB are free under /srv/k3s-storage: the database is about to fill its disk
      hint: free space or enlarge the disk; nothing is changed on a disk with less than 10 % or 1 GiB free
    32 preflight.inodes: only 5 inodes are free under /srv/k3s-storage
      hint: remove small files there, or choose another file system
    "#);
}

#[test]
fn a_client_with_another_label() {
    let given = healthy().shell(
        "diagnose.client_pods",
        "apps\tapi-1\tRunning\t{\"app\":\"api-server\"}\ncut off",
    );
    assert_snapshot!(said(&given), @r"
    42 known: pod apps/api-1 looks like a declared client and does not get to port 5432
    42 policy.label: pod apps/api-1 looks like a declared client and does not get to port 5432
      caused by: monopg_allowed_clients names pods app=api of namespace apps, and no pod of namespace apps has these labels
      caused by: its label app is api-server, not api
      hint: if it is meant: label its template (`k3s kubectl -n apps get pod api-1 --show-labels`, wanted: app=api), or change monopg_allowed_clients and run `monopg apply`
    ");
    // Nobody has deployed it yet, or the list could not be read.
    assert!(said(&healthy().shell("diagnose.client_pods", "")).starts_with("0 healthy"));
    assert!(said(&healthy().fails("diagnose.client_pods", 1, "x")).starts_with("0 healthy"));
    let mut other = policy();
    other["spec"]["ingress"] = json!([]);
    let closed = healthy().list(&admission::policies(), vec![other]);
    assert_snapshot!(said(&closed), @r"
    42 known: the declared client apps/api-1 does not get to port 5432
    42 policy.closed: the declared client apps/api-1 does not get to port 5432
      caused by: monopg_allowed_clients names pods app=api of namespace apps
      caused by: NetworkPolicy data/postgresql-monopg closes the database's port, and none lets them in
      hint: `monopg apply` brings the policy to what the settings say
    ");
}

#[test]
fn a_login_decides_about_passwords() {
    let line = "2026 UTC [9] FATAL:  password authentication failed for user \"app\"\n";
    let s = spec();
    let tried = healthy().shell("diagnose.refused_logins", line);
    let asked = password::logins(&s, &tried.0).unwrap();
    let keys: Vec<&str> = asked.iter().map(|q| q.key.as_str()).collect();
    assert_eq!(keys, ["diagnose.login.password"]);
    // A stranger's wrong password, or the one that verify tries.
    let right = tried.clone().shell("diagnose.login.password", "");
    assert!(said(&right).starts_with("0 healthy"));
    let facts = judge(&right.0, &s).unwrap().diagnosis.facts;
    assert_snapshot!(facts.last().unwrap().said, @r#"app can log in with the inventory's password; somebody else was refused: 2026 UTC [9] FATAL:  password authentication failed for user "app""#);
    let wrong = tried
        .clone()
        .fails("diagnose.login.password", credentials::REFUSED, "");
    assert_snapshot!(said(&wrong), @r#"
    31 known: the running database refuses the inventory's password of app
    31 database.password: the running database refuses the inventory's password of app
      caused by: log: 2026 UTC [9] FATAL:  password authentication failed for user "app"
      caused by: PostgreSQL keeps the password of its first start; the Secret is only read then
      hint: change it in the database: k3s kubectl -n data exec -it postgresql-0 -c postgresql -- psql -U postgres, then \password app
      hint: or put the password that the database has back into the vault, then run `monopg apply`
    "#);
    // The Secret was written after the volume was made: the old volume's passwords count.
    let secret = json!({"kind": "Secret", "metadata": {"name": "postgresql-credentials", "namespace": "data",
        "creationTimestamp": "2026-11-22T09:59:00Z", "managedFields": [{"time": "2026-11-22T10:01:00Z"}]}});
    let name = crate::steps::credentials::Credentials {
        namespace: s.namespace.clone(),
        release: s.release.clone(),
        values: Default::default(),
        username: None,
    }
    .secret();
    let younger = healthy().object(&name, secret);
    assert_eq!(password::logins(&s, &younger.0).unwrap().len(), 1);
    let wrong = younger.fails("diagnose.login.password", credentials::REFUSED, "");
    assert!(
        said(&wrong)
            .contains("the volume is of 2026-11-22T09:00:00Z, the Secret of 2026-11-22T10:01:00Z")
    );
    // Nobody answers: nothing is asked.
    let mut away = pod();
    away["status"]["conditions"][1]["status"] = json!("False");
    let away = tried.object(&objects::pod(&s), away);
    assert!(password::logins(&s, &away.0).unwrap().is_empty());
}
