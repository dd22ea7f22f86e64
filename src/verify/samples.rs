//! A healthy database as the checks see it, for tests to spoil.
//!
//! Tests only. One reason: every check is judged from the same world, so a fault that is meant for one check and
//! disturbs another one shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Finding, Outcome, images};
use crate::cluster::digest::digest;
use crate::cluster::object::ObjectRef;
use crate::cluster::{admission, samples};
use crate::engine::query::Query;
use crate::secrets::Secret;
use crate::settings::Spec;
use crate::settings::spec::Client;
use crate::steps::release::record::{Record, SCHEMA, Seen};
use crate::steps::testing::{self, Given};
use crate::steps::{credentials, objects, release, storage};
use crate::verify::lists;

/// The canary password of the application.
pub const PASSWORD: &str = "c4nary+app";
/// The canary password of the administrator.
pub const ADMIN: &str = "c4nary/adm\"in";
/// Where the volume lies.
pub const DIRECTORY: &str = "/srv/k3s-storage/pvc-c1_data_data-postgresql-0";
/// The image that the release names.
pub const IMAGE: &str = "docker.io/bitnamilegacy/postgresql:17";
const DIGEST: &str = "sha256:aaaa";
const REVISION: &str = "postgresql-1";

/// Everything that the checks ask for. Tests change one thing and judge.
#[derive(Clone)]
pub struct World {
    pub spec: Spec,
    /// As Helm keeps them.
    pub rendered: Vec<Value>,
    /// As the API server has them: StatefulSet, Service, NetworkPolicy.
    pub live: Vec<Value>,
    /// The node's record.
    pub record: Option<Record>,
    /// Helm's revisions.
    pub history: String,
    /// `free` or `busy`.
    pub unit: String,
    /// The values that Helm keeps.
    pub config: Value,
    pub pod: Option<Value>,
    pub secret: Option<Value>,
    pub claim: Option<Value>,
    pub volumes: Vec<Value>,
    pub class: Option<Value>,
    pub provisioner_config: Value,
    pub node: Value,
    pub config_maps: Vec<Value>,
    /// Pods beside the database's.
    pub pods: Vec<Value>,
    /// Services beside the release's.
    pub services: Vec<Value>,
    pub slices: Vec<Value>,
    pub ingresses: Vec<Value>,
    pub routes: [Option<Vec<Value>>; 8],
    /// Policies beside the release's.
    pub policies: Vec<Value>,
    pub budgets: Vec<Value>,
    pub namespaces: Vec<Value>,
    pub monitors: [Option<Vec<Value>>; 3],
    /// Shell answers by key.
    pub shell: Vec<(&'static str, String)>,
    /// Shell answers that failed: key, status, words.
    pub failing: Vec<(&'static str, i32, &'static str)>,
    pub unreadable: bool,
}

fn reference(live: &Value) -> ObjectRef {
    let text = |p: &str| live.pointer(p).and_then(Value::as_str).unwrap_or_default();
    ObjectRef::new(
        text("/apiVersion"),
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    )
}

fn spec() -> Spec {
    let mut spec = samples::spec();
    spec.credentials = [("password", PASSWORD), ("postgres-password", ADMIN)]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), Secret::from(v)))
        .collect();
    // What the sample policy says.
    spec.allowed_clients = vec![Client::Pods {
        namespace: Some("apps".into()),
        pod_labels: std::collections::BTreeMap::new(),
    }];
    spec
}

fn with_image(mut set: Value) -> Value {
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(IMAGE);
    set["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(1001);
    set
}

fn running(mut set: Value) -> Value {
    set["status"] = json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1,
        "currentRevision": REVISION, "updateRevision": REVISION});
    set
}

fn pod(set: &Value) -> Value {
    let mut pod = set["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("postgresql-0");
    pod["metadata"]["namespace"] = json!("data");
    pod["metadata"]["labels"]["controller-revision-hash"] = json!(REVISION);
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": "StatefulSet", "name": "postgresql", "uid": set["metadata"]["uid"]}]);
    pod["status"] = json!({
        "phase": "Running", "podIP": "10.42.0.9", "podIPs": [{"ip": "10.42.0.9"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "postgresql", "ready": true, "image": IMAGE, "imageID": format!("{IMAGE}@{DIGEST}")}],
    });
    pod
}

impl World {
    /// Nothing is wrong.
    pub fn healthy() -> Self {
        let spec = spec();
        let rendered = vec![
            with_image(samples::rendered_statefulset()),
            samples::rendered_service(),
            samples::rendered_policy(),
        ];
        let live = vec![
            running(with_image(samples::live_statefulset())),
            samples::live_service(),
            samples::live_policy(),
        ];
        let record = Record {
            schema: SCHEMA,
            namespace: "data".into(),
            release: "postgresql".into(),
            run: "01RUN".into(),
            at: "2026-11-22T10:00:00Z".into(),
            inputs: release::Release { spec: spec.clone() }.inputs(),
            revision: 3,
            secret_uid: Some("h3".into()),
            objects: live
                .iter()
                .map(|live| Seen {
                    object: reference(live),
                    digest: digest(live),
                })
                .collect(),
        };
        let encode = |text: &str| STANDARD.encode(text);
        World {
            pod: Some(pod(&live[0])),
            secret: Some(json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "postgresql-credentials", "namespace": "data", "labels": {"app.kubernetes.io/managed-by": "monopg"}},
                "data": {"password": encode(PASSWORD), "postgres-password": encode(ADMIN)}})),
            claim: Some(json!({"kind": "PersistentVolumeClaim",
                "metadata": {"name": "data-postgresql-0", "namespace": "data", "uid": "c1"},
                "spec": {"volumeName": "pvc-c1", "storageClassName": "local-path"}, "status": {"phase": "Bound"}})),
            volumes: vec![json!({"kind": "PersistentVolume", "metadata": {"name": "pvc-c1"},
                "spec": {"claimRef": {"namespace": "data", "name": "data-postgresql-0", "uid": "c1"},
                    "hostPath": {"path": DIRECTORY}, "persistentVolumeReclaimPolicy": "Retain"},
                "status": {"phase": "Bound"}})],
            class: Some(json!({"metadata": {"name": "local-path"}, "provisioner": "rancher.io/local-path"})),
            provisioner_config: json!({"data": {"config.json": json!({"nodePathMap": [
                {"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/srv/k3s-storage"]}]}).to_string()}}),
            node: json!({"kind": "Node", "metadata": {"name": "n1"}, "spec": {"podCIDRs": ["10.42.0.0/24"]},
                "status": {"addresses": [{"type": "InternalIP", "address": "192.168.1.5"}, {"type": "Hostname", "address": "n1"}]}}),
            config_maps: vec![json!({"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "data"}, "data": {"ca.crt": "…"}})],
            history: "sh.helm.release.v1.postgresql.v3 helm.sh/release.v1 1 5m 3 deployed\n".into(),
            unit: "free".into(),
            config: json!({"auth": {"existingSecret": "postgresql-credentials"}}),
            pods: Vec::new(),
            services: Vec::new(),
            slices: Vec::new(),
            ingresses: Vec::new(),
            routes: [const { None }; 8],
            policies: Vec::new(),
            budgets: Vec::new(),
            namespaces: Vec::new(),
            monitors: [None, None, None],
            shell: vec![
                (
                    storage::PATH,
                    disk(20 << 30, 100 << 30),
                ),
                (
                    "verify.storage",
                    format!("device=65\ndirectory=65 0 700 1001 17 {DIRECTORY}"),
                ),
                (
                    "verify.images",
                    format!("REF TYPE DIGEST SIZE PLATFORMS LABELS\n{IMAGE} application/vnd.oci.image.manifest.v1+json {DIGEST} 100.0 MiB linux/amd64 io.cri-containerd.image=managed\n"),
                ),
                (
                    "verify.node",
                    "address=127.0.0.1\naddress=::1\naddress=192.168.1.5\naddress=10.42.0.1\naddress=fe80::1\n\
                     listen=0.0.0.0:22 users:((\"sshd\",pid=7,fd=3))\nlisten=*:6443 users:((\"k3s-server\",pid=9,fd=12))".into(),
                ),
            ],
            failing: Vec::new(),
            unreadable: false,
            spec,
            rendered,
            live,
            record: Some(record),
        }
    }

    /// The same with an exporter; `monopg_metrics_clients` names the namespace monitoring.
    pub fn with_metrics() -> Self {
        let mut w = World::healthy();
        w.spec.metrics = true;
        w.spec.metrics_clients = vec![Client::Pods {
            namespace: Some("monitoring".into()),
            pod_labels: std::collections::BTreeMap::new(),
        }];
        let pod = w.pod.as_mut().unwrap();
        pod["spec"]["containers"].as_array_mut().unwrap().push(json!(
            {"name": "metrics", "image": "x", "ports": [{"name": "http-metrics", "containerPort": 9187}]}));
        pod["status"]["containerStatuses"]
            .as_array_mut()
            .unwrap()
            .push(json!(
            {"name": "metrics", "ready": true, "imageID": "x@sha256:bbbb"}));
        let rule = json!({"ports": [{"port": 9187, "protocol": "TCP"}],
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]});
        w.live[2]["spec"]["ingress"]
            .as_array_mut()
            .unwrap()
            .push(rule);
        w.services.push(json!({"kind": "Service", "metadata": {"name": "postgresql-metrics", "namespace": "data", "labels": {"app.kubernetes.io/component": "metrics"}},
            "spec": {"type": "ClusterIP", "selector": {"app.kubernetes.io/name": "postgresql"}, "ports": [{"name": "http-metrics", "port": 9187, "targetPort": "http-metrics"}]}}));
        w.namespaces.push(json!({"metadata": {"name": "monitoring", "labels": {"kubernetes.io/metadata.name": "monitoring"}}}));
        w.namespaces.push(json!({"metadata": {"name": "data", "labels": {"kubernetes.io/metadata.name": "data"}}}));
        w.shell.push(("metrics of the exporter", "pg_up 1".into()));
        w
    }

    /// Replaces a shell answer.
    pub fn says(&mut self, key: &'static str, text: impl Into<String>) {
        self.shell.retain(|(k, _)| *k != key);
        self.shell.push((key, text.into()));
    }

    /// The live pod, to be changed.
    pub fn pod(&mut self) -> &mut Value {
        self.pod.as_mut().unwrap()
    }

    fn payload(&self) -> String {
        let manifest: String = self
            .rendered
            .iter()
            .map(|r| format!("---\n{r}\n"))
            .collect();
        let (name, version) = ("postgresql", "17.0.2");
        let release = json!({"name": "postgresql", "version": 3, "manifest": manifest, "config": self.config,
            "chart": {"metadata": {"name": name, "version": version}}});
        let data = STANDARD.encode(STANDARD.encode(release.to_string()));
        json!({"items": [{"metadata": {"labels": {"version": "3"}}, "data": {"release": data}}]})
            .to_string()
    }

    /// What these questions are answered, and nothing else.
    pub fn answers(&self, queries: &[Query]) -> Given {
        let s = &self.spec;
        let record = self
            .record
            .as_ref()
            .map_or(String::new(), |r| format!("record={}\n", json!(r)));
        let helm = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sh.helm.release.v1.postgresql.v3",
            "namespace": "data", "uid": "h3", "labels": {"owner": "helm", "status": "deployed"}}});
        let mut all = Given::nothing(queries)
            .shell("release.record", record)
            .shell("release.history", &self.history)
            .shell("release.unit", &self.unit)
            .shell("release.payload", self.payload())
            .found(self.live.iter().cloned().chain([helm]).collect())
            .object(&storage::config_map(), self.provisioner_config.clone());
        let set = self.live.iter().find(|o| o["kind"] == "StatefulSet");
        let set = set.cloned();
        let named = [
            (objects::pod(s), &self.pod),
            (secret(s), &self.secret),
            (objects::claim(s), &self.claim),
            (objects::storage_class(s), &self.class),
            (objects::stateful_set(s), &set),
        ];
        for (r, live) in named {
            all = match live {
                Some(live) => all.object(&r, live.clone()),
                None => all.without(&r),
            };
        }
        let plus = |list: &[Value], more: &[Value]| [list, more].concat();
        let policies: Vec<Value> = self
            .live
            .iter()
            .filter(|o| o["kind"] == "NetworkPolicy")
            .cloned()
            .collect();
        let services: Vec<Value> = self
            .live
            .iter()
            .filter(|o| o["kind"] == "Service")
            .cloned()
            .collect();
        let pods: Vec<Value> = self.pod.iter().cloned().collect();
        all = all
            .list(&objects::volumes(), self.volumes.clone())
            .list(&objects::nodes(), vec![self.node.clone()])
            .list(&lists::pods(), plus(&pods, &self.pods))
            .list(&lists::services(), plus(&services, &self.services))
            .list(&lists::endpoint_slices(), self.slices.clone())
            .list(&lists::ingresses(), self.ingresses.clone())
            .list(&lists::config_maps(), self.config_maps.clone())
            .list(&lists::disruption_budgets(), self.budgets.clone())
            .list(&lists::namespaces(), self.namespaces.clone())
            .list(&admission::policies(), plus(&policies, &self.policies));
        let custom = lists::routes()
            .into_iter()
            .zip(&self.routes)
            .chain(lists::monitors().into_iter().zip(&self.monitors));
        for (r, found) in custom {
            if let Some(found) = found {
                all = all.list(&r, found.clone());
            }
        }
        for (key, text) in &self.shell {
            all = all.shell(key, text);
        }
        for (key, status, words) in &self.failing {
            all = all.fails(key, *status, words);
        }
        // What was not asked for is not answered.
        let asked = Given::nothing(queries).0;
        all.0.shell.retain(|k, _| asked.shell.contains_key(k));
        all.0.objects.retain(|k, _| asked.objects.contains_key(k));
        all.0.lists.retain(|k, _| asked.lists.contains_key(k));
        match self.unreadable {
            true => all.unreadable("the API does not answer"),
            false => all,
        }
    }

    /// What a check finds, as text: only from what it asks for itself.
    pub fn judged(&self, id: &str) -> String {
        match self.found(id) {
            Ok(finding) => said(&finding),
            Err(e) => format!("could not be run: {e}"),
        }
    }

    /// What a check finds.
    pub fn found(&self, id: &str) -> Result<Finding, crate::engine::step::StepError> {
        let checks = super::all(&self.spec);
        let check = checks.iter().find(|c| c.id().0 == id).unwrap();
        let mut asked = check.questions();
        if id == images::ID.0 {
            asked.extend(images::ask_registries(&self.spec, &self.answers(&asked).0));
        }
        check.judge(&self.answers(&asked).0)
    }

    /// The checks that do not pass, with what they come to.
    pub fn others(&self) -> Vec<String> {
        super::all(&self.spec)
            .iter()
            .filter_map(|c| match self.found(c.id().0) {
                Ok(f) if matches!(f.outcome, Outcome::Passed | Outcome::NotApplicable) => None,
                Ok(f) => Some(format!("{}: {}", c.id(), f.outcome.as_str())),
                Err(e) => Some(format!("{}: {e}", c.id())),
            })
            .collect()
    }
}

fn secret(spec: &Spec) -> ObjectRef {
    credentials::Credentials {
        namespace: spec.namespace.clone(),
        release: spec.release.clone(),
        values: std::collections::BTreeMap::new(),
        username: None,
    }
    .secret()
}

/// What `stat -f` prints.
pub fn disk(free: u64, total: u64) -> String {
    format!(
        "type=directory\nmode=700\nowner=0:0\nparent=/srv/k3s-storage\nreal=/srv/k3s-storage\n\
         block=1\nfree={free}\nunused={free}\nblocks={total}\ninodes_free=100000\ninodes=200000"
    )
}

/// A finding as text: the outcome and what was seen, then the problems.
pub fn said(finding: &Finding) -> String {
    let first = format!("{}: {}", finding.outcome.as_str(), finding.summary);
    if finding.problems.is_empty() {
        return first;
    }
    let problems = testing::problems(&finding.problems);
    format!("{}\n{problems}", finding.outcome.as_str())
}
