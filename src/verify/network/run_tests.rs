//! The pods' life, played by a host that hangs where it is told to.

use std::sync::Mutex;

use super::*;
use crate::host::{Output, Upload};
use crate::verify::network::plan::Probe;

/// Answers everything at once but one command, which never ends.
struct Hanging {
    at: &'static str,
    asked: Mutex<Vec<String>>,
    cancel: CancellationToken,
}

#[async_trait::async_trait]
impl Host for Hanging {
    fn name(&self) -> &str {
        "pg1"
    }
    async fn run(&self, command: Command) -> Result<Output, HostError> {
        self.asked.lock().unwrap().push(command.label.clone());
        if command.label == self.at {
            self.cancel.cancel();
            std::future::pending::<()>().await;
        }
        Ok(Output {
            stdout: b"state monopg-probe-plain-x Running".to_vec(),
            ..Output::default()
        })
    }
    async fn lock_and_run(&self, _: &str, _: Command) -> Result<Output, HostError> {
        panic!("the lock is held already")
    }
    async fn upload(
        &self,
        _: Upload<'_>,
        _: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError> {
        panic!("nothing is uploaded")
    }
    async fn watch(&self, _: Vec<String>) -> Result<(), HostError> {
        Ok(())
    }
    async fn woken(&self, _: Duration) -> Result<bool, HostError> {
        Ok(false)
    }
    async fn reconnect(&self) -> Result<(), HostError> {
        self.asked.lock().unwrap().push("reconnect".into());
        Ok(())
    }
    fn round_trips(&self) -> u64 {
        0
    }
}

async fn asked(hangs_at: &'static str) -> String {
    let host = Hanging {
        at: hangs_at,
        asked: Mutex::default(),
        cancel: CancellationToken::new(),
    };
    let target = Target {
        host: "10.42.0.9".into(),
        port: 5432,
    };
    let plan = Plan {
        run: "x".into(),
        targets: vec![target.clone()],
        probes: vec![Probe {
            name: "monopg-probe-plain-x".into(),
            namespace: "data".into(),
            labels: serde_json::Map::new(),
            who: "a pod".into(),
            allowed: Vec::new(),
            denied: vec![target],
            let_in: false,
        }],
        ..Plan::default()
    };
    run(&host, &plan, &host.cancel).await.unwrap();
    host.asked.into_inner().unwrap().join(", ")
}

/// Told to stop in any of its commands, it leaves that behind with its connection and removes the pods over another one.
#[tokio::test]
async fn told_to_stop() {
    insta::assert_snapshot!(asked("nowhere").await, @"make the probe pods, ask the probe pods, ask the probe pods, remove the probe pods");
    insta::assert_snapshot!(asked("make the probe pods").await, @"make the probe pods, reconnect, remove the probe pods");
    insta::assert_snapshot!(asked("ask the probe pods").await, @"make the probe pods, ask the probe pods, reconnect, remove the probe pods");
}

/// What is left behind may come to make its pods after they were removed: then it makes none.
#[test]
fn nothing_is_made_for_a_run_that_is_over() {
    use crate::steps::testing::with_args;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display().to_string();
    // Everything but what decides is said, not done.
    let said = "kc() { case $1 in create) cat >/dev/null; echo made >&2; echo made ;; *) : ;; esac; }\n\
        sysrun() { :; }\nsetsid() { :; }\nsystemctl() { :; }\nk3s() { :; }\n";
    let tried = |script: &str, run: &str| {
        let script = script.replace("/run/monopg", &here);
        // A function's name has no hyphen.
        let script = format!("{said}{}", script.replace("systemd-run", "sysrun"));
        with_args(&script, &[run, LABEL]).text()
    };
    assert!(tried(START, "a").contains("refused made"));
    tried(STOP, "a");
    assert!(!tried(START, "a").contains("made"));
    assert!(tried(START, "b").contains("refused made"));
}
