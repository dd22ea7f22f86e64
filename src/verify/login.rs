//! The probe part of `credentials`: the database itself is asked.
//!
//! May depend on `steps::credentials`, `engine`, `host`. One reason: PostgreSQL keeps its own passwords; that the Secret
//! is right says nothing of what the database believes, and a database that trusts everybody takes the right password
//! as well.

use super::{CheckId, Finding, problem};
use crate::engine::answers::{AnswerError, Answers, unreadable};
use crate::engine::query::{Ask, Query};
use crate::host::channel::quote;
use crate::secrets::Secret;
use crate::settings::Spec;
use crate::steps::credentials::{self as step, REFUSED, answers_queries};
use crate::steps::objects;

const ID: CheckId = CheckId("credentials");
const WRONG: &str = "verify.login.wrong";
const TRUST: &str = "verify.login.trust";

/// Lines of pg_hba.conf that let somebody else than the pod itself in without a password, as the administrator sees
/// them. A wrong password is tried with one user, one database and one address; such a line may be about others.
const RULES: &str = r#"
kc exec -i -n "$1" "$2" -c postgresql -- /bin/sh -c '
IFS= read -r PGPASSWORD; export PGPASSWORD PGCONNECT_TIMEOUT=5 LC_ALL=C
exec psql -w -h "$(hostname -i | cut -d " " -f 1)" -U postgres -d postgres -Atqc "$0"' "
select left(concat_ws(chr(32), type, array_to_string(database, chr(44)), array_to_string(user_name, chr(44)), address, netmask, auth_method), 200)
from pg_hba_file_rules where type <> 'local' and auth_method = 'trust'
and address not like '127.%' and address not in ('::1', 'localhost') order by line_number limit 10"
"#;

/// The key of the administrator's password.
const ADMIN: &str = "postgres-password";

/// The logins that are tried: key and user.
fn logins(spec: &Spec) -> Vec<(&str, &str)> {
    [
        (ADMIN, Some("postgres")),
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
    if let Some(password) = spec.credentials.get(ADMIN) {
        all.push(rules(spec, password));
    }
    Ok(all)
}

fn rules(spec: &Spec, password: &Secret) -> Query {
    let args = [&spec.namespace, &objects::pod(spec).name]
        .map(|a| quote(a))
        .join(" ");
    let mut query = Query::shell(TRUST, format!("set -- {args}\n{RULES}"));
    if let Ask::Shell { stdin, .. } = &mut query.ask {
        let mut line = password.expose().to_vec();
        line.push(b'\n');
        *stdin = Some(Secret::new(line));
    }
    query
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
    if users.contains(&"postgres") {
        let out = answers.output(TRUST)?;
        let text = out.text();
        let lines: Vec<&str> = text.lines().filter(|l| !l.is_empty()).collect();
        match (out.status, lines.is_empty()) {
            (0, true) => {}
            (0, false) => {
                let what = "pg_hba.conf lets some in without a password";
                let p = lines
                    .iter()
                    .fold(problem(ID, what), |p, l| p.because(format!("line: {l}")));
                finding.fail(p.hint(
                    "replace `trust` by scram-sha-256 in pg_hba.conf (the values' primary.pgHbaConfiguration, if it stands there)",
                ));
            }
            _ => finding.and(Finding::not_run(format!(
                "pg_hba.conf could not be read: {}",
                unreadable("psql", out)
            ))),
        }
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
