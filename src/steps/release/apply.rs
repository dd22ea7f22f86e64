//! Applying the release: Helm, then the fields that Helm leaves alone, then the record.
//!
//! May depend on `engine`, `host`, `cluster`. One reason: each part accepts that the one before it was
//! done by a run that died.

use serde_json::{Value, json};

use super::plan::next_revision;
use super::record::{self, Intent, Record, SCHEMA, Seen, object_list};
use super::{HISTORY, ID, PAYLOAD, Release, helm};
use crate::cluster::digest::digest;
use crate::cluster::drift::{self, FieldDrift};
use crate::cluster::object::ObjectRef;
use crate::cluster::refusals;
use crate::cluster::release::{self, Revision, newest};
use crate::cluster::repair::repair;
use crate::engine::answers::Answers;
use crate::engine::gather::{self, GatherError, KUBECTL};
use crate::engine::query::Query;
use crate::engine::step::{Context, StepError};
use crate::error::{Exit, Problem};
use crate::host::channel::quote;
use crate::host::{Command, Upload};
use crate::secrets::Secret;
use crate::steps::{objects, paths};

/// The release as Helm keeps it now.
pub struct Current {
    revision: Revision,
    secret_uid: Option<String>,
    objects: Vec<(ObjectRef, Value)>,
}

/// An object for the record. One that was edited since it was mended must not be vouched for: it gets no digest, so
/// it is compared field by field until it is as rendered.
pub(super) fn seen(object: &ObjectRef, wanted: &Value, found: &Value) -> Seen {
    let same = drift::compare(object, wanted, Some(found)).is_empty();
    Seen {
        object: object.clone(),
        digest: if same { digest(found) } else { String::new() },
    }
}

async fn ask(ctx: &Context<'_>, queries: &[Query]) -> Result<Answers, StepError> {
    gather::ask(ctx.host, queries, None)
        .await
        .map_err(|e| match e {
            GatherError::Host(e) => StepError::Host(e),
            GatherError::Answer(e) => StepError::Answer(e),
        })
}

impl Release {
    pub(super) async fn upgrade(
        &self,
        ctx: &Context<'_>,
        latest: Option<Revision>,
    ) -> Result<(), StepError> {
        let mut server_side = true;
        if let Some(latest) = &latest {
            let payload = ask(ctx, &[self.payload_question(latest.version)])
                .await?
                .text(PAYLOAD)?;
            let (secret, release) = helm::decode(&payload)?;
            server_side = release.server_side();
            if latest.status.is_pending() {
                ctx.progress.line(&format!(
                    "revision {} was left {}; marking it failed",
                    latest.version, latest.status
                ));
                self.mark_failed(ctx, latest, &secret).await?;
            }
        }
        let values = self.upload_values(ctx).await?;
        if ctx
            .answers
            .object(&objects::stateful_set(&self.spec))?
            .is_some()
        {
            self.refuse_immutable(ctx, &values).await?;
        }
        self.write_intent(ctx, next_revision(latest.as_ref()))
            .await?;
        let mut arguments: Vec<String> = vec![
            paths::helm(&self.spec.helm.version),
            "upgrade".into(),
            "--install".into(),
        ];
        arguments.extend(self.release_arguments(&values));
        arguments.extend(["--history-max=10".into(), "--timeout=5m".into()]);
        // Helm 4 applies on the server and stops at a field that somebody else owns, unless told otherwise; on a
        // release that Helm 3 made, which is patched on the client, the same flag is an error.
        if self.spec.helm.version.major >= 4 && server_side {
            arguments.extend(["--server-side=true".into(), "--force-conflicts".into()]);
        }
        helm::run(ctx, &arguments).await
    }

    fn release_arguments(&self, values: &[String]) -> Vec<String> {
        let chart = paths::chart(&self.spec.chart.name, &self.spec.chart.version);
        let mut all = vec![
            self.spec.release.clone(),
            chart,
            format!("--namespace={}", self.spec.namespace),
        ];
        all.extend(values.iter().map(|v| format!("--values={v}")));
        all
    }

    /// Helm refuses to touch a release that is "pending"; nobody is at work on it any more.
    async fn mark_failed(
        &self,
        ctx: &Context<'_>,
        latest: &Revision,
        secret: &Value,
    ) -> Result<(), StepError> {
        let malformed = |e: release::ReleaseError| StepError::Malformed {
            what: "Helm's record of the release".into(),
            source: e.into(),
        };
        let description = format!(
            "left {} by a run that ended; marked failed by monopg run {}",
            latest.status, ctx.run_id
        );
        let patch = release::mark_failed(secret, &description).map_err(malformed)?;
        let object = record::helm_secret(&self.spec.namespace, &self.spec.release, latest.version);
        self.send_patch(ctx, &object, patch).await
    }

    async fn upload_values(&self, ctx: &Context<'_>) -> Result<Vec<String>, StepError> {
        let folder = format!("{}/values", paths::HOME);
        let mut all = Vec::new();
        for (i, file) in self.spec.values_files.iter().enumerate() {
            let path = format!("{folder}/{:02}.yaml", i + 1);
            ctx.host
                .upload(
                    Upload {
                        content: &file.content,
                        path: &path,
                        mode: 0o600,
                    },
                    &|_| (),
                )
                .await?;
            all.push(path);
        }
        let path = format!("{folder}/monopg.json");
        ctx.host
            .upload(
                Upload {
                    content: &self.computed(),
                    path: &path,
                    mode: 0o600,
                },
                &|_| (),
            )
            .await?;
        all.push(path);
        Ok(all)
    }

    /// The API server refuses some changes of a StatefulSet for ever; better before Helm has made a failed revision.
    async fn refuse_immutable(
        &self,
        ctx: &Context<'_>,
        values: &[String],
    ) -> Result<(), StepError> {
        let mut words = vec![
            quote(&paths::helm(&self.spec.helm.version)),
            "template".into(),
        ];
        words.extend(self.release_arguments(values).iter().map(|a| quote(a)));
        let script = format!("{}{} --dry-run=server", helm::ENVIRONMENT, words.join(" "));
        let out = ctx
            .host
            .run(Command::new("render the chart", script).limit(std::time::Duration::from_secs(60)))
            .await?;
        if !out.ok() {
            return Err(StepError::remote(
                ID,
                "Helm could not render the chart",
                &out,
            ));
        }
        let rendered = helm::parse(&out.text(), &self.spec.namespace)?;
        let workload = objects::stateful_set(&self.spec);
        let Some(live) = ctx.answers.object(&workload)? else {
            return Ok(());
        };
        let refusal = rendered
            .iter()
            .filter(|(object, _)| object.kind == workload.kind && object.name == workload.name)
            .find_map(|(object, wanted)| refusals::immutable_rendering(object, wanted, live));
        match refusal {
            Some(problem) => Err(StepError::Problem(problem)),
            None => Ok(()),
        }
    }

    async fn write_intent(&self, ctx: &Context<'_>, revision: u64) -> Result<(), StepError> {
        let intent = Intent {
            schema: SCHEMA,
            namespace: self.spec.namespace.clone(),
            release: self.spec.release.clone(),
            run: ctx.run_id.to_owned(),
            inputs: self.inputs(),
            revision,
        };
        write(ctx, paths::INTENT, &json!(intent)).await
    }

    /// The newest revision and its objects.
    pub(super) async fn current(&self, ctx: &Context<'_>) -> Result<Current, StepError> {
        let text = ask(ctx, &[self.history_question()]).await?.text(HISTORY)?;
        let Some(revision) = newest(&text) else {
            return Err(StepError::Problem(Problem::new(
                ID.0,
                Exit::NotConverged,
                "Helm left no release",
            )));
        };
        let payload = ask(ctx, &[self.payload_question(revision.version)])
            .await?
            .text(PAYLOAD)?;
        let (secret, kept) = helm::decode(&payload)?;
        let uid = secret.pointer("/metadata/uid").and_then(Value::as_str);
        Ok(Current {
            revision,
            secret_uid: uid.map(str::to_owned),
            objects: helm::parse(kept.manifest(), &self.spec.namespace)?,
        })
    }

    /// Takes back what Helm leaves alone: fields that somebody added, and (on the client's patch) some that were changed.
    pub(super) async fn mend(&self, ctx: &Context<'_>, current: &Current) -> Result<(), StepError> {
        let live = ask(
            ctx,
            &[Query::objects(
                current.objects.iter().map(|(r, _)| r.clone()),
            )],
        )
        .await?;
        for (object, wanted) in &current.objects {
            let Some(found) = live.object(object)? else {
                continue;
            };
            let drifts = drift::compare(object, wanted, Some(found));
            if !drifts.is_empty() {
                self.patch(ctx, object, found, &drifts).await?;
            }
        }
        Ok(())
    }

    async fn patch(
        &self,
        ctx: &Context<'_>,
        object: &ObjectRef,
        live: &Value,
        drifts: &[FieldDrift],
    ) -> Result<(), StepError> {
        let repair = repair(live, drifts);
        if let Some(d) = repair.immutable.first() {
            let what = format!(
                "{object}: {} was changed, and cannot be changed back",
                d.path
            );
            return Err(StepError::Problem(Problem::new(
                "release.immutable",
                Exit::Refused,
                what,
            )));
        }
        if repair.patch.is_empty() {
            Ok(())
        } else {
            self.send_patch(ctx, object, repair.patch).await
        }
    }

    /// A JSON patch, through standard input: it may hold what is in a Secret.
    async fn send_patch(
        &self,
        ctx: &Context<'_>,
        object: &ObjectRef,
        patch: Vec<Value>,
    ) -> Result<(), StepError> {
        let kind = match object.api_version.split_once('/') {
            Some((group, version)) => format!("{}.{version}.{group}", object.kind),
            None => object.kind.clone(),
        };
        let script = format!(
            "{KUBECTL}[ -z \"$3\" ] && set -- \"$1\" \"$2\" || set -- \"$1\" \"$2\" -n \"$3\"
kc patch \"$@\" --field-manager=monopg --type=json --patch-file=/dev/stdin >/dev/null"
        );
        let stdin = Secret::new(Value::Array(patch).to_string().into_bytes());
        let namespace = object.namespace.clone().unwrap_or_default();
        let command = Command::new(format!("mend {object}"), script)
            .arg(kind)
            .arg(&object.name)
            .arg(namespace)
            .stdin(stdin);
        let out = ctx.host.run(command).await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(
                ID,
                format!("could not mend {object}"),
                &out,
            ))
        }
    }

    /// Records what is there now, so that the next run can see at a glance that nothing changed.
    pub(super) async fn record(
        &self,
        ctx: &Context<'_>,
        current: &Current,
    ) -> Result<(), StepError> {
        let live = ask(
            ctx,
            &[Query::objects(
                current.objects.iter().map(|(r, _)| r.clone()),
            )],
        )
        .await?;
        let mut objects = Vec::new();
        for (object, wanted) in &current.objects {
            if let Some(found) = live.object(object)? {
                objects.push(seen(object, wanted, found));
            }
        }
        let record = Record {
            schema: SCHEMA,
            namespace: self.spec.namespace.clone(),
            release: self.spec.release.clone(),
            run: ctx.run_id.to_owned(),
            at: jiff::Timestamp::now().to_string(),
            inputs: self.inputs(),
            revision: current.revision.version,
            secret_uid: current.secret_uid.clone(),
            objects,
        };
        // The list first: a record that names objects nobody asks for would look like missing objects.
        write(ctx, paths::OBJECTS, &object_list(&record)).await?;
        write(ctx, paths::STATE, &json!(record)).await
    }
}

/// One line of JSON, written whole or not at all.
async fn write(ctx: &Context<'_>, path: &str, value: &Value) -> Result<(), StepError> {
    let mut content = value.to_string().into_bytes();
    content.push(b'\n');
    Ok(ctx
        .host
        .upload(
            Upload {
                content: &content,
                path,
                mode: 0o600,
            },
            &|_| (),
        )
        .await?)
}
