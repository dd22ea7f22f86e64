//! `monopg status`: reads what is there, without the lock and without judging.
//!
//! May depend on `steps` (their questions), `engine` and `report` (the shape). One reason: a status shows
//! what is, whether or not it is what the settings want.

use serde_json::Value;

use crate::cluster::facts::is_true;
use crate::cluster::release::newest;
use crate::cluster::values;
use crate::engine::answers::Answers;
use crate::engine::gather::{self, GatherError};
use crate::engine::query::Query;
use crate::engine::run::{host_problem, step_problem};
use crate::engine::step::StepError;
use crate::error::Problem;
use crate::host::Host;
use crate::host::channel::quote;
use crate::report::status::{LastRun, Pod, Release, StatusReport, Versions, Volume};
use crate::settings::Spec;
use crate::steps::facts::Facts;
use crate::steps::release::record::{self, Recorded};
use crate::steps::{objects, storage, volume};

const HISTORY: &str = "status.history";

/// Reads the status of a host, in one exchange.
pub async fn read(host: &dyn Host, spec: &Spec) -> Result<Value, Problem> {
    let answers = gather::ask(host, &questions(spec), None)
        .await
        .map_err(|e| match e {
            GatherError::Host(e) => host_problem(&e),
            GatherError::Answer(e) => step_problem(&StepError::Answer(e)),
        })?;
    let report = report(&answers, spec).map_err(|e| step_problem(&e))?;
    Ok(serde_json::to_value(report).unwrap_or_default())
}

fn questions(spec: &Spec) -> Vec<Query> {
    let (ns, release) = (quote(&spec.namespace), quote(&spec.release));
    let mut all = volume::questions(spec);
    all.extend([
        storage::path_question(&spec.storage_path),
        record::question(),
        Query::objects([objects::pod(spec)]),
        Query::lists([objects::nodes()]),
        Query::shell(
            HISTORY,
            format!(
                "kc get secrets -n {ns} -l owner=helm,name={release} --no-headers -L version,status"
            ),
        ),
    ]);
    all
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    Some(value.pointer(pointer)?.as_str()?.to_owned())
}

fn report(answers: &Answers, spec: &Spec) -> Result<StatusReport, StepError> {
    let recorded = Recorded::read(answers)?;
    let record = recorded.record_of(spec);
    let latest = newest(&answers.text(HISTORY)?);
    let node = answers.list(&objects::nodes())?.and_then(|all| all.first());
    let live_pod = answers.object(&objects::pod(spec))?;
    Ok(StatusReport {
        release: latest.map(|l| Release {
            name: spec.release.clone(),
            namespace: spec.namespace.clone(),
            chart: spec.chart.name.clone(),
            // Only of the revision that we recorded is it known which chart made it.
            version: record
                .filter(|r| r.revision == l.version)
                .map_or_else(|| "unknown".into(), |r| r.inputs.chart_version.clone()),
            revision: l.version,
            status: l.status.to_string(),
        }),
        pod: live_pod.map(read_pod),
        volume: volume_of(answers, spec)?,
        versions: Versions {
            k3s: node.and_then(|n| text(n, "/status/nodeInfo/kubeletVersion")),
            helm: record.map(|r| r.inputs.helm.clone()),
            postgres_image: live_pod
                .and_then(|p| container(p)?.get("image")?.as_str().map(str::to_owned)),
        },
        last_run: record.map(|r| LastRun {
            run_id: r.run.clone(),
            at: r.at.clone(),
            by: None,
            outcome: Some("changed".into()),
        }),
    })
}

fn container(pod: &Value) -> Option<&Value> {
    let all = pod.pointer("/spec/containers")?.as_array()?;
    all.iter().find(|c| c["name"] == "postgresql")
}

fn read_pod(pod: &Value) -> Pod {
    let list = |p: &str| {
        pod.pointer(p)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
            .to_vec()
    };
    let containers = list("/status/containerStatuses");
    Pod {
        name: text(pod, "/metadata/name").unwrap_or_default(),
        phase: text(pod, "/status/phase").unwrap_or_default(),
        ready: is_true(pod, "Ready"),
        restarts: containers
            .iter()
            .filter_map(|c| c["restartCount"].as_u64())
            .sum(),
        since: text(pod, "/status/startTime"),
        reason: containers
            .iter()
            .find_map(|c| text(c, "/state/waiting/reason")),
    }
}

fn volume_of(answers: &Answers, spec: &Spec) -> Result<Option<Volume>, StepError> {
    let Some(claim) = volume::claim(answers, spec)? else {
        return Ok(None);
    };
    let bound = volume::bound(answers, spec)?;
    let facts = Facts::of(answers, storage::PATH)?;
    Ok(Some(Volume {
        claim: values::pvc_name(&spec.release),
        phase: text(claim, "/status/phase").unwrap_or_default(),
        size: text(claim, "/spec/resources/requests/storage"),
        volume: bound.and_then(|v| text(v, "/metadata/name")),
        directory: volume::path(answers, spec)?,
        reclaim_policy: bound.and_then(|v| text(v, "/spec/persistentVolumeReclaimPolicy")),
        free_bytes: facts
            .number("free")
            .zip(facts.number("block"))
            .map(|(f, b)| f.saturating_mul(b)),
    }))
}
