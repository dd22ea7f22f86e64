//! Whether the database has the passwords that the inventory has.
//!
//! May depend on `steps::credentials`, `cluster`, `engine`. One reason: a volume that is older than the Secret keeps its
//! old passwords, the pod is ready all the same, and only clients see it. The log alone would blame the database for
//! anybody's typing error (and for the wrong password that `verify` tries), so a login decides.

use jiff::Timestamp;

use crate::cluster::causes::problem;
use crate::cluster::diagnosis::Fact;
use crate::cluster::facts::{text, written};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::gather::unless_away;
use crate::engine::query::Query;
use crate::error::Problem;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::steps::credentials::{Credentials, REFUSED, answers_queries};
use crate::steps::{objects, volume};

const REFUSALS: &str = "diagnose.refused_logins";

/// What a look at passwords came to.
#[derive(Default)]
pub(super) struct Logins {
    /// The database refuses the inventory's own.
    pub problem: Option<Problem>,
    /// What else was seen.
    pub facts: Vec<Fact>,
}

fn step(spec: &Spec) -> Credentials {
    Credentials {
        namespace: spec.namespace.clone(),
        release: spec.release.clone(),
        values: spec.credentials.clone(),
        username: spec.username.clone(),
    }
}

fn key(of: &str) -> String {
    format!("diagnose.login.{of}")
}

/// The users whose passwords the inventory has: key and name.
fn users(spec: &Spec) -> Vec<(&'static str, String)> {
    [
        ("postgres-password", Some("postgres".to_owned())),
        ("password", spec.username.clone()),
    ]
    .into_iter()
    .filter_map(|(key, user)| Some((key, user?)))
    .filter(|(key, _)| spec.credentials.contains_key(*key))
    .collect()
}

/// The Secret, and what the log says of refused logins.
pub(super) fn questions(spec: &Spec) -> Vec<Query> {
    let (ns, pod) = (quote(&spec.namespace), quote(&objects::pod(spec).name));
    vec![
        Query::objects([step(spec).secret()]),
        unless_away(
            REFUSALS,
            &format!(
                "log=$(kc logs -n {ns} {pod} -c postgresql --tail=2000 --limit-bytes=1000000 2>/dev/null)\nr=$?; [ $r != 124 ] || exit 124\nprintf '%s\\n' \"$log\" | grep -F 'password authentication failed for user' | tail -n 3 | cut -c 1-500; :"
            ),
        ),
    ]
}

fn refusals(answers: &Answers) -> Vec<String> {
    let out = answers.shell.get(REFUSALS).filter(|o| o.ok());
    out.map(|o| o.text().lines().map(|l| l.trim().to_owned()).collect())
        .unwrap_or_default()
}

/// When the volume was made, and when the Secret was last written; if the Secret is the younger one.
fn older_volume(
    spec: &Spec,
    answers: &Answers,
) -> Result<Option<(Timestamp, Timestamp)>, AnswerError> {
    let made = volume::bound(answers, spec)?
        .and_then(|v| text(v, "/metadata/creationTimestamp").parse().ok());
    let written = answers.object(&step(spec).secret())?.and_then(written);
    Ok(made.zip(written).filter(|(made, written)| made < written))
}

/// The logins to try: none while nothing speaks for a wrong password, or nobody would answer.
pub(super) fn logins(spec: &Spec, answers: &Answers) -> Result<Vec<Query>, AnswerError> {
    // Without an API there is nothing to see here; the judge says so.
    let Ok(pod) = answers.object(&objects::pod(spec)) else {
        return Ok(Vec::new());
    };
    let suspicious = !refusals(answers).is_empty() || older_volume(spec, answers)?.is_some();
    if !suspicious || !answers_queries(pod) {
        return Ok(Vec::new());
    }
    Ok(users(spec)
        .into_iter()
        .filter_map(|(k, user)| Some(step(spec).login(key(k), &user, spec.credentials.get(k)?)))
        .collect())
}

/// What the database said.
pub(super) fn judge(spec: &Spec, answers: &Answers) -> Result<Logins, AnswerError> {
    let mut found = Logins::default();
    let (mut refused, mut right) = (Vec::new(), Vec::new());
    for (k, user) in users(spec) {
        match answers.shell.get(&key(k)).map(|o| o.status) {
            Some(REFUSED) => refused.push(user),
            Some(0) => right.push(user),
            _ => {}
        }
    }
    let log = refusals(answers);
    if refused.is_empty() {
        let who = right.join(" and ");
        found.facts.extend(log.into_iter().map(|line| Fact {
            about: "logins".into(),
            said: match who.as_str() {
                "" => line,
                who => format!("{who} can log in with the inventory's password; somebody else was refused: {line}"),
            },
        }));
        return Ok(found);
    }
    let names = refused.join(" and ");
    let mut p = problem(
        "database.password",
        format!("the running database refuses the inventory's password of {names}"),
    );
    for line in log {
        p = p.because(format!("log: {line}"));
    }
    if let Some((made, written)) = older_volume(spec, answers)? {
        p = p.because(format!(
            "the volume is of {made}, the Secret of {written}: the database in it was made with another one"
        ));
    }
    p = p.because("PostgreSQL keeps the password of its first start; the Secret is only read then");
    for user in &refused {
        p = p.hint(format!(
            "change it in the database: k3s kubectl -n {} exec -it {} -c postgresql -- psql -U postgres, then \\password {user}",
            spec.namespace,
            objects::pod(spec).name
        ));
    }
    found.problem = Some(p.hint(
        "or put the password that the database has back into the vault, then run `monopg apply`",
    ));
    Ok(found)
}
