//! The database as its users see it: rows that must survive, and who gets in.

use std::time::Duration;

use crate::check::{Check, Fail};
use crate::ensure;
use crate::sandbox::KUBECTL;
use crate::world::{NAMESPACE, RELEASE, World};

/// The database of the usual release.
pub struct Database<'a> {
    /// Where it runs.
    pub world: &'a World,
}

/// The image that client pods run; it is on the node.
const CLIENT_IMAGE: &str = "docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4";

impl Database<'_> {
    /// Runs SQL as the administrator over TCP in the pod, so that the password is proven too.
    pub fn sql(&self, statement: &str) -> Check<String> {
        self.sql_as("postgres", &self.world.admin_password, statement)
    }

    /// Runs SQL as somebody.
    pub fn sql_as(&self, user: &str, password: &str, statement: &str) -> Check<String> {
        // The password goes through standard input: this harness samples command lines for it.
        let script = format!(
            "{KUBECTL} exec -i -n {NAMESPACE} {RELEASE}-0 -c postgresql -- sh -c 'read -r PGPASSWORD; export PGPASSWORD; exec psql -h 127.0.0.1 -U {user} -d app -v ON_ERROR_STOP=1 -Atqf -'"
        );
        self.world
            .node
            .run_with(&script, format!("{password}\n{statement}\n").as_bytes())
            .map(|out| out.trim().to_owned())
    }

    /// Waits until the pod is ready, as kubectl sees it.
    pub fn await_ready(&self) -> Check {
        self.world.node.until(
            "the pod is ready",
            Duration::from_secs(120),
            &format!(
                "{KUBECTL} rollout status statefulset/{RELEASE} -n {NAMESPACE} --timeout=1s && {KUBECTL} wait --for=condition=Ready pod/{RELEASE}-0 -n {NAMESPACE} --timeout=1s"
            ),
        )
    }

    /// Writes a row that must never be lost.
    pub fn mark(&self, word: &str) -> Check {
        self.sql(&format!(
            "create table if not exists e2e (word text primary key, at timestamptz default now()); insert into e2e (word) values ('{word}'); checkpoint;"
        ))
        .map(drop)
    }

    /// Fails unless a row that was written before is still there.
    pub fn expect_mark(&self, word: &str) -> Check {
        let found = self.sql(&format!("select count(*) from e2e where word = '{word}'"))?;
        ensure!(found == "1", "the row {word:?} is lost: found {found:?}");
        Ok(())
    }

    /// Starts a pod that can be asked to connect.
    pub fn client(&self, namespace: &str, name: &str, labels: &str) -> Check {
        self.world.node.kubectl_apply(&format!(
            r#"{{"apiVersion":"v1","kind":"List","items":[
                {{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{namespace}"}}}},
                {{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"{namespace}","labels":{{{labels}}}}},
                  "spec":{{"terminationGracePeriodSeconds":0,"containers":[{{"name":"c","image":"{CLIENT_IMAGE}","imagePullPolicy":"Never",
                    "command":["sleep","infinity"]}}]}}}}]}}"#
        ))?;
        self.world
            .node
            .kubectl(&format!(
                "wait -n {namespace} --for=condition=Ready pod/{name} --timeout=90s"
            ))
            .map(drop)
    }

    /// True if the pod gets an answer to a query by the service's name; false if nobody answers it.
    pub fn reaches(&self, namespace: &str, pod: &str) -> Check<bool> {
        let address = self.world.node.kubectl(&format!(
            "get service {RELEASE} -n {NAMESPACE} -o jsonpath={{.spec.clusterIP}}"
        ))?;
        let script = format!(
            "{KUBECTL} exec -i -n {namespace} {pod} -- sh -c 'read -r PGPASSWORD; export PGPASSWORD; PGCONNECT_TIMEOUT=3 exec psql -h {address} -U app -d app -Atc \"select 6*7\"'"
        );
        let out = self.world.node.shell(
            &script,
            format!("{}\n", self.world.user_password).as_bytes(),
        )?;
        let said = String::from_utf8_lossy(&out.stdout);
        let complaint = String::from_utf8_lossy(&out.stderr);
        match (out.status.success(), said.trim()) {
            (true, "42") => Ok(true),
            _ if complaint.contains("timeout expired")
                || complaint.contains("refused")
                || complaint.contains("timed out") =>
            {
                Ok(false)
            }
            _ => Err(Fail(format!(
                "{namespace}/{pod} got neither an answer nor a closed door: {said} {complaint}"
            ))),
        }
    }
}
