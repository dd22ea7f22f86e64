//! The probe part of `credentials`: the database itself is asked.
//!
//! May depend on `steps::credentials`, `engine`, `host`. One reason: PostgreSQL keeps its own passwords; that the Secret
//! is right says nothing of what the database believes, and a database that trusts everybody takes the right password
//! as well.

use super::{CheckId, Finding, problem};
use crate::engine::answers::{AnswerError, Answers, unreadable};
use crate::engine::query::Query;
use crate::secrets::Secret;
use crate::settings::Spec;
use crate::steps::credentials::{self as step, REFUSED, answers_queries};
use crate::steps::objects;

const ID: CheckId = CheckId("credentials");
const WRONG: &str = "verify.login.wrong";

/// The logins that are tried: key and user.
fn logins(spec: &Spec) -> Vec<(&str, &str)> {
    [
        ("postgres-password", Some("postgres")),
        ("password", spec.username.as_deref()),
    ]
    .into_iter()
    .filter_map(|(key, user)| Some((key, user?)))
    .filter(|(key, _)| spec.credentials.contains_key(*key))
    .collect()
}

fn key(of: &str) -> String {
    format!("verify.login.{of}")
}

/// What to ask, given the first answers; nothing while the database does not answer anyway. `run` is the run's id: it
/// makes a password that nobody has.
pub fn questions(spec: &Spec, answers: &Answers, run: &str) -> Result<Vec<Query>, AnswerError> {
    if !answers_queries(answers.object(&objects::pod(spec))?) {
        return Ok(Vec::new());
    }
    let step = step::Credentials {
        namespace: spec.namespace.clone(),
        release: spec.release.clone(),
        values: spec.credentials.clone(),
        username: spec.username.clone(),
    };
    let mut all: Vec<Query> = logins(spec)
        .into_iter()
        .filter_map(|(k, user)| Some(step.login(key(k), user, spec.credentials.get(k)?)))
        .collect();
    if let Some((_, user)) = logins(spec).last() {
        all.push(step.login(WRONG, user, &Secret::from(format!("wrong-{run}"))));
    }
    Ok(all)
}

/// What the database said.
pub fn judge(spec: &Spec, answers: &Answers) -> Result<Finding, AnswerError> {
    if !answers_queries(answers.object(&objects::pod(spec))?) {
        return Ok(Finding::not_run(
            "no login could be tried: the database's pod is not ready",
        ));
    }
    let mut finding = Finding::passed("");
    let mut users = Vec::new();
    for (k, user) in logins(spec) {
        let out = answers.output(&key(k))?;
        match out.status {
            0 => users.push(user),
            REFUSED => finding.fail(
                problem(ID, format!("the database refuses the inventory's password of {user}"))
                    .because("PostgreSQL keeps the password of its first start; the Secret is only read then")
                    .hint(format!("change it in the database (psql's \\password {user}), or put the one that it has back into the vault")),
            ),
            _ => finding.and(Finding::not_run(format!(
                "the login of {user} could not be tried: {}",
                unreadable("psql", out)
            ))),
        }
    }
    finding.measure("logins", users.clone());
    let wrong = answers.output(WRONG)?;
    match wrong.status {
        0 => finding.fail(
            problem(ID, "the database lets a wrong password in: its pg_hba.conf trusts everybody")
                .hint("look for `trust` in pg_hba.conf (psql: select * from pg_hba_file_rules); the chart's default asks for passwords"),
        ),
        REFUSED => finding.measure("wrong_password", "refused"),
        _ => finding.and(Finding::not_run(format!(
            "a wrong password could not be tried: {}",
            unreadable("psql", wrong)
        ))),
    }
    if finding.summary.is_empty() {
        finding.summary = format!(
            "{} can log in, a wrong password is refused",
            users.join(" and ")
        );
    }
    Ok(finding)
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
