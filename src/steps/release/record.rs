//! The node's record of the release: what was applied, bound to the revision that it made.
//!
//! Pure. One reason: labels on the release are inherited by anybody's `helm upgrade --reuse-values`, so
//! only a record of our own, with the revision and the live objects' digests, vouches for anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cluster::object::ObjectRef;
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::settings::Spec;
use crate::steps::facts::Facts;
use crate::steps::paths;

/// The version of the record's format; another one is not trusted.
pub const SCHEMA: u32 = 1;
const KEY: &str = "release.record";

/// What a release is made of, as digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The chart's archive.
    pub chart: String,
    /// The chart's version, for people.
    pub chart_version: String,
    /// Each values file of the user, in order.
    pub values: Vec<String>,
    /// The values that monopg owns.
    pub computed: String,
    /// Helm's version.
    pub helm: String,
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release's namespace.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// The run that applied it.
    pub run: String,
    /// When, by the laptop's clock.
    pub at: String,
    /// What it is made of.
    pub inputs: Inputs,
    /// The revision that this made.
    pub revision: u64,
    /// The uid of that revision's Secret: a release that was removed and made anew may reach the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_uid: Option<String>,
    /// Digest of each live object after it was applied.
    pub objects: Vec<Seen>,
}

/// One live object as it was after our apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// Its digest.
    pub digest: String,
}

/// What a run is about to do: written and fsynced before Helm starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release's namespace.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// The run.
    pub run: String,
    /// What it will be made of.
    pub inputs: Inputs,
    /// The revision that Helm will make.
    pub revision: u64,
}

/// What the transient unit came to, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitResult {
    /// The run.
    pub run: String,
    /// Helm's exit status.
    pub status: i32,
}

/// Everything that the node knows about its release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What was applied.
    pub record: Option<Record>,
    /// What was about to be applied.
    pub intent: Option<Intent>,
    /// What the unit came to.
    pub result: Option<UnitResult>,
}

/// Reads the three files; each is one line of JSON.
pub fn question() -> Query {
    let line = |name: &str, path: &str| {
        format!("[ -r {path} ] && printf '{name}=%s\\n' \"$(cat {path})\"\n")
    };
    Query::shell(
        KEY,
        [
            line("record", paths::STATE),
            line("intent", paths::INTENT),
            line("result", paths::RESULT),
            ":".to_owned(),
        ]
        .concat(),
    )
}

impl Recorded {
    /// What the answers say. A file that is not ours to read (another schema, half written) counts as absent.
    pub fn read(answers: &Answers) -> Result<Self, AnswerError> {
        let facts = Facts::of(answers, KEY)?;
        let read = |name: &str| facts.get(name);
        Ok(Recorded {
            record: read("record")
                .and_then(|t| serde_json::from_str(t).ok())
                .filter(|r: &Record| r.schema == SCHEMA),
            intent: read("intent")
                .and_then(|t| serde_json::from_str(t).ok())
                .filter(|i: &Intent| i.schema == SCHEMA),
            result: read("result").and_then(|t| serde_json::from_str(t).ok()),
        })
    }

    /// The record, if it is about this release.
    pub fn record_of(&self, spec: &Spec) -> Option<&Record> {
        self.record
            .as_ref()
            .filter(|r| r.namespace == spec.namespace && r.release == spec.release)
    }

    /// The intent, if it is about this release.
    pub fn intent_of(&self, spec: &Spec) -> Option<&Intent> {
        self.intent
            .as_ref()
            .filter(|i| i.namespace == spec.namespace && i.release == spec.release)
    }

    /// True if the unit of the intended run said that Helm did what was intended. The revision's number alone does
    /// not: somebody may have made that revision after the run was killed.
    pub fn did(&self, intent: &Intent) -> bool {
        self.result
            .as_ref()
            .is_some_and(|r| r.run == intent.run && r.status == 0)
    }

    /// Another release that this node's record is about: there is one record a node.
    pub fn other_release(&self, spec: &Spec) -> Option<String> {
        let record = self.record.as_ref().map(|r| (&r.namespace, &r.release));
        let intent = self.intent.as_ref().map(|i| (&i.namespace, &i.release));
        let other = |(ns, release): &(&String, &String)| {
            **ns != spec.namespace || **release != spec.release
        };
        let (ns, release) = record.into_iter().chain(intent).find(other)?;
        Some(format!("{ns}/{release}"))
    }

    /// True if monopg made this release, or was about to.
    pub fn is_ours(&self, spec: &Spec) -> bool {
        self.record_of(spec).is_some() || self.intent_of(spec).is_some()
    }
}

/// The list of objects for `kubectl -f`: those of the release, its Helm Secret, and the one that somebody's next
/// revision would have. The next ones are how a change behind our back is seen without listing.
pub fn object_list(record: &Record) -> serde_json::Value {
    let mut refs: Vec<ObjectRef> = record.objects.iter().map(|s| s.object.clone()).collect();
    refs.extend(helm_secrets(record));
    let items: Vec<_> = refs
        .iter()
        .map(|r| {
            let mut metadata: BTreeMap<&str, &str> = BTreeMap::from([("name", r.name.as_str())]);
            metadata.extend(r.namespace.as_deref().map(|ns| ("namespace", ns)));
            serde_json::json!({"apiVersion": r.api_version, "kind": r.kind, "metadata": metadata})
        })
        .collect();
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Helm's Secrets of the recorded revision and of the next.
pub fn helm_secrets(record: &Record) -> [ObjectRef; 2] {
    [record.revision, record.revision + 1]
        .map(|n| helm_secret(&record.namespace, &record.release, n))
}

/// True if this Secret of Helm's is another one than the recorded one of the same name.
pub fn is_another(record: &Record, secret: &serde_json::Value) -> bool {
    let uid = secret
        .pointer("/metadata/uid")
        .and_then(serde_json::Value::as_str);
    matches!((uid, record.secret_uid.as_deref()), (Some(live), Some(ours)) if live != ours)
}

/// Helm's Secret of a revision.
pub fn helm_secret(namespace: &str, release: &str, revision: u64) -> ObjectRef {
    ObjectRef::new(
        "v1",
        "Secret",
        namespace,
        &format!("sh.helm.release.v1.{release}.v{revision}"),
    )
}
