//! `credentials`: the Secret that the chart refers to.
//!
//! May depend on `engine`, `host`, `cluster`, `secrets`. One reason: the values come from the inventory's
//! encrypted files and go through standard input; they are in no argument, no log, no values file, and
//! on no disk but the cluster's own store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::namespace;
use crate::cluster::facts::is_true;
use crate::cluster::object::ObjectRef;
use crate::cluster::values;
use crate::engine::answers::Answers;
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{
    Change, Changes, Context, Disruption, Judgement, Step, StepError, StepId, Verdict,
};
use crate::error::{Exit, Problem};
use crate::host::Command;
use crate::secrets::Secret;

/// The step's id.
pub const ID: StepId = StepId("credentials");
const OWNER: &str = "app.kubernetes.io/managed-by";

/// The step.
pub struct Credentials {
    /// The release's namespace.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// Key → value.
    pub values: BTreeMap<String, Secret>,
    /// The user whose password is `password`, if there is one.
    pub username: Option<String>,
}

/// One password that differs from the cluster's Secret, and whom it belongs to.
struct Login<'a> {
    key: &'a str,
    user: &'a str,
    value: &'a Secret,
}

impl Credentials {
    /// The Secret that the chart refers to.
    pub fn secret(&self) -> ObjectRef {
        ObjectRef::new(
            "v1",
            "Secret",
            &self.namespace,
            &values::secret_name(&self.release),
        )
    }

    fn pod(&self) -> ObjectRef {
        ObjectRef::new(
            "v1",
            "Pod",
            &self.namespace,
            &values::pod_name(&self.release),
        )
    }

    /// Keys that are not as they shall be, given the live Secret; the values themselves are never told.
    pub fn changes(&self, live: Option<&Value>) -> Vec<Change> {
        let name = self.secret();
        let Some(live) = live else {
            return vec![Change {
                what: name.to_string(),
                before: None,
                after: Some("with the inventory's credentials".into()),
            }];
        };
        let none = Map::new();
        let data = live.get("data").and_then(Value::as_object).unwrap_or(&none);
        let change = |key: &str, before: Option<&str>, after: Option<&str>| Change {
            what: format!("{name}: {key}"),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let mut items: Vec<Change> = Vec::new();
        for (key, want) in &self.values {
            match data
                .get(key)
                .and_then(Value::as_str)
                .and_then(|v| BASE64.decode(v).ok())
                .map(Zeroizing::new)
            {
                Some(have) if want.same_as(&have) => {}
                Some(_) => items.push(change(key, Some("differs"), Some("as in the inventory"))),
                None => items.push(change(key, None, Some("as in the inventory"))),
            }
        }
        for key in data.keys().filter(|k| !self.values.contains_key(*k)) {
            items.push(change(
                key,
                Some("a key that is not in the inventory"),
                None,
            ));
        }
        items
    }

    fn differing(&self, live: Option<&Value>) -> Vec<Login<'_>> {
        let changed = self.changes(live);
        let users = [
            ("postgres-password", Some("postgres")),
            ("password", self.username.as_deref()),
        ];
        users
            .into_iter()
            .filter_map(|(key, user)| {
                Some(Login {
                    key,
                    user: user?,
                    value: self.values.get(key)?,
                })
            })
            .filter(|l| {
                live.is_none()
                    || changed
                        .iter()
                        .any(|c| c.what.ends_with(&format!(": {}", l.key)))
            })
            .collect()
    }

    /// Asks whether the running database lets a user in with a password, over TCP: status 0 or [`REFUSED`]; anything
    /// else means that it could not be tried.
    pub fn login(&self, key: impl Into<String>, user: &str, password: &Secret) -> Query {
        let mut line = password.expose().to_vec();
        line.push(b'\n');
        let args = [&self.namespace, &self.pod().name, user]
            .map(crate::host::channel::quote)
            .join(" ");
        let mut query = Query::shell(key, format!("set -- {args}\n{LOGIN}"));
        if let crate::engine::query::Ask::Shell { stdin, .. } = &mut query.ask {
            *stdin = Some(Secret::new(line));
        }
        query
    }

    fn login_key(login: &Login<'_>) -> String {
        format!("credentials.login.{}", login.key)
    }
}

/// The status of a login that the database refused because of the password.
pub const REFUSED: i32 = 28;

/// The database's pod runs and says that it is ready.
pub fn answers_queries(pod: Option<&Value>) -> bool {
    pod.is_some_and(|p| is_true(p, "Ready"))
}

/// Exit status 0: let in; 28: refused; anything else: could not be tried. PostgreSQL tells a wrong password only by
/// its words (SQLSTATE 28P01 is not printed for a connection), so they are read here and nowhere else.
const LOGIN: &str = r#"
set -- "$1" "$2" "$3"
kc exec -i -n "$1" "$2" -c postgresql -- /bin/sh -c '
IFS= read -r PGPASSWORD; export PGPASSWORD PGCONNECT_TIMEOUT=5 LC_ALL=C
out=$(psql -w -h "$(hostname -i | cut -d " " -f 1)" -U "$1" -d postgres -Atc "select 1" 2>&1 </dev/null) && exit 0
case $out in *"password authentication failed"*) exit 28;; esac
printf "%s\n" "$out" >&2; exit 1' sh "$3"
"#;

#[async_trait]
impl Step for Credentials {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!(
            "Keep the credentials in Secret {}",
            values::secret_name(&self.release)
        )
    }

    fn questions(&self) -> Vec<Query> {
        vec![Query::objects([
            self.secret(),
            self.pod(),
            namespace::object(&self.namespace),
        ])]
    }

    /// A password that would change in the Secret is first tried against the running database: pushing one that the
    /// database does not have would only hide the difference until the next login.
    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        if !answers_queries(answers.object(&self.pod())?) {
            return Ok(Vec::new());
        }
        let differing = self.differing(answers.object(&self.secret())?);
        Ok(differing
            .iter()
            .map(|l| self.login(Self::login_key(l), l.user, l.value))
            .collect())
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let live = answers.object(&self.secret())?;
        let items = self.changes(live);
        let mut refusals = Vec::new();
        let mut warnings = Vec::new();
        let foreign = live.is_some_and(|l| {
            l.pointer("/metadata/labels")
                .and_then(|m| m.get(OWNER))
                .and_then(Value::as_str)
                != Some("monopg")
        });
        if foreign && !items.is_empty() {
            let what = format!(
                "{} exists, was not made by monopg, and differs from the inventory",
                self.secret()
            );
            refusals.push(Problem::new("credentials.foreign", Exit::Refused, what).hint(format!(
                "take its values over into monopg_credentials, or rename it: nothing else of monopg refers to it (kubectl -n {} get secret {})",
                self.namespace,
                self.secret().name
            )));
        }
        for login in self.differing(live) {
            match answers
                .shell
                .get(&Self::login_key(&login))
                .map(|o| o.status)
            {
                Some(0) => {}
                Some(REFUSED) => refusals.push(refused_password(&login)),
                _ if answers
                    .object(&namespace::object(&self.namespace))?
                    .is_some()
                    && live.is_some() =>
                {
                    let what = format!(
                        "the password of {} changes in the Secret, and no running database could be asked whether it is the right one",
                        login.user
                    );
                    warnings.push(
                        Problem::new("credentials.untried", Exit::Refused, what)
                            .hint("once the database runs, `monopg status` and a login tell"),
                    );
                }
                _ => {}
            }
        }
        let verdict = match (refusals.is_empty(), items.is_empty()) {
            (false, _) => Verdict::Refused(refusals),
            (true, true) => Verdict::InSync,
            (true, false) => Verdict::Drift(Changes::new(items, Disruption::None)),
        };
        Ok(Judgement { verdict, warnings })
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        let live = ctx.answers.object(&self.secret())?;
        let data: Map<String, Value> = self
            .values
            .iter()
            .map(|(k, v)| (k.clone(), Value::String(BASE64.encode(v.expose()))))
            .collect();
        let name = self.secret().name;
        let labels = json!({OWNER: "monopg", "app.kubernetes.io/instance": self.release});
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "data": data,
        });
        // Neither of the two keeps a copy in an annotation, as a client-side apply would.
        let verb = if live.is_some() { "replace" } else { "create" };
        let script = format!("{KUBECTL}kc {verb} --field-manager=monopg -f - >/dev/null");
        let stdin = Secret::new(serde_json::to_vec(&manifest).unwrap_or_default());
        let out = ctx
            .host
            .run(Command::new("write the Secret", script).stdin(stdin))
            .await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(ID, "could not write the Secret", &out))
        }
    }
}

fn refused_password(login: &Login<'_>) -> Problem {
    let what = format!(
        "the running database refuses the inventory's password of {}",
        login.user
    );
    Problem::new("credentials.refused", Exit::Refused, what)
        .because("PostgreSQL keeps the password of its first start; the Secret is only read then")
        .hint(format!("change it in the database first: ALTER ROLE {} PASSWORD '…' (psql's \\password), then in the vault, then run again", login.user))
        .hint("or put the password that the database has back into the vault")
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
