//! Restarts, played by a host that says what it is told to.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::host::Upload;
use crate::verify::samples::{World, said};

/// Answers by the command's label, in order; whatever else is asked succeeds and says nothing.
struct Played {
    script: Mutex<VecDeque<(&'static str, Result<Output, HostError>)>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Host for Played {
    fn name(&self) -> &str {
        "pg1"
    }
    async fn run(&self, command: Command) -> Result<Output, HostError> {
        let told = format!(
            "{} {}",
            command.label,
            command.args.get(2).cloned().unwrap_or_default()
        );
        assert!(!told.contains("c4nary") && !command.script.contains("c4nary"));
        self.asked.lock().unwrap().push(told.trim().to_owned());
        let mut script = self.script.lock().unwrap();
        match script.iter().position(|(label, _)| *label == command.label) {
            Some(at) => script.remove(at).unwrap().1,
            None => Ok(Output::default()),
        }
    }
    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError> {
        assert_eq!(holder, "me");
        self.run(command).await
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
        let mut script = self.script.lock().unwrap();
        match script.iter().position(|(label, _)| *label == "reconnect") {
            Some(at) => script.remove(at).unwrap().1.map(drop),
            None => Ok(()),
        }
    }
    fn round_trips(&self) -> u64 {
        0
    }
}

fn says(text: &str) -> Result<Output, HostError> {
    Ok(Output {
        stdout: text.into(),
        ..Output::default()
    })
}

fn fails(status: i32, stderr: &str) -> Result<Output, HostError> {
    Ok(Output {
        status,
        stderr: stderr.into(),
        ..Output::default()
    })
}

fn lost() -> Result<Output, HostError> {
    Err(HostError::Lost {
        host: "pg1".into(),
        during: "x".into(),
        tail: String::new(),
    })
}

const WRITTEN: &str = "write a row";
const REMOVED: &str = "remove the row";
const WAIT: &str = "wait for the database";

/// What is found, and what was asked of the host.
async fn tried(
    restart: Restart,
    script: Vec<(&'static str, Result<Output, HostError>)>,
) -> (String, Vec<String>) {
    tried_in(World::healthy(), restart, BOOT, script).await
}

async fn tried_in(
    mut world: World,
    restart: Restart,
    boot: Duration,
    script: Vec<(&'static str, Result<Output, HostError>)>,
) -> (String, Vec<String>) {
    world.pod()["metadata"]["uid"] = json!("u-old");
    let host = Played {
        script: Mutex::new(script.into()),
        asked: Mutex::default(),
    };
    let answers = world.answers(&questions(&world.spec)).0;
    let trial = Trial {
        host: &host,
        spec: &world.spec,
        restart,
        run: "01token",
        holder: "me",
        pause: Duration::from_millis(1),
        boot,
        cancel: &CancellationToken::new(),
    };
    let text = match trial.run(&answers).await {
        Ok(finding) => format!("{} {}", said(&finding), Value::from(finding.measured)),
        Err(e) => format!("error: {e}"),
    };
    (text, host.asked.into_inner().unwrap())
}

fn deleted() -> (&'static str, Result<Output, HostError>) {
    ("delete the pod", says("1000.5"))
}

#[tokio::test]
async fn the_row_comes_back() {
    let (text, asked) = tried(
        Restart::Pod,
        vec![
            (WRITTEN, says("on")),
            deleted(),
            (WAIT, fails(4, "")),
            (WAIT, says("1007.71\n01token")),
        ],
    )
    .await;
    insta::assert_snapshot!(text, @r#"passed: a row written before is there on volume pvc-c1 after 7.2 s without a ready pod {"volume":"pvc-c1","away_seconds":{"pod":7.2}}"#);
    insta::assert_snapshot!(asked.join("\n"), @r#"
    write a row set client_min_messages = error; drop table if exists monopg_verify.token; drop schema if exists monopg_verify; create schema monopg_verify; create table monopg_verify.token (token text not null); set local synchronous_commit = on; insert into monopg_verify.token values ('01token'); select current_setting('fsync')
    delete the pod
    wait for the database select token from monopg_verify.token
    wait for the database select token from monopg_verify.token
    remove the row set client_min_messages = error; drop table if exists monopg_verify.token; drop schema if exists monopg_verify
    "#);
}

#[tokio::test]
async fn the_row_does_not_come_back() {
    for row in ["1007.7", "1007.7\nolder"] {
        let (text, asked) = tried(
            Restart::Node,
            vec![(WRITTEN, says("on")), deleted(), (WAIT, says(row))],
        )
        .await;
        assert!(
            text.starts_with("failed\n43 persistence: after a restart of the pod there is "),
            "{text}"
        );
        // Nothing more is restarted, and the row goes.
        assert!(asked.last().unwrap().contains("drop schema"), "{asked:?}");
        assert!(
            !asked.iter().any(|a| a.contains("restart k3s")),
            "{asked:?}"
        );
    }
}

/// The claim would go with the pod, and the next pod would get an empty volume.
#[tokio::test]
async fn a_deleted_claim_keeps_the_pod() {
    let mut world = World::healthy();
    world.claim.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!("2026-11-22T10:00:00Z");
    let (text, asked) = tried_in(
        world,
        Restart::Pod,
        BOOT,
        vec![(WRITTEN, says("on")), deleted()],
    )
    .await;
    insta::assert_snapshot!(text, @"not run: nothing is restarted: claim data/data-postgresql-0 is being deleted since 2026-11-22T10:00:00Z {}");
    assert_eq!(asked, [""; 0]);
}

/// What runs was made by hand, or is older than the template: another pod, or none, would come.
#[tokio::test]
async fn a_pod_that_would_not_come_back_as_it_is_stays() {
    type Spoil = fn(&mut World);
    fn set(w: &mut World) -> &mut Value {
        &mut w.live[0]
    }
    fn edited(w: &mut World) {
        set(w)["spec"]["template"]["spec"]["containers"][0]["image"] = json!("postgres:18");
        set(w)["metadata"]["generation"] = json!(2);
        set(w)["status"]["observedGeneration"] = json!(2);
        set(w)["status"]["updateRevision"] = json!("postgresql-2");
    }
    let table: [(Spoil, &str); 8] = [
        // kubectl delete sts --cascade=orphan
        (
            |w| w.live.retain(|o| o["kind"] != "StatefulSet"),
            "StatefulSet data/postgresql does not exist yet",
        ),
        (
            |w| {
                w.live.retain(|o| o["kind"] != "StatefulSet");
                w.record = None;
            },
            "StatefulSet data/postgresql does not exist yet",
        ),
        (
            |w| set(w)["metadata"]["uid"] = json!("made anew"),
            "pod data/postgresql-0 is not of this StatefulSet",
        ),
        (
            |w| set(w)["spec"]["replicas"] = json!(0),
            "StatefulSet data/postgresql is scaled to 0",
        ),
        (
            |w| {
                edited(w);
                set(w)["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
            },
            "pod data/postgresql-0 is of an earlier revision and is not replaced by itself: the StatefulSet's update strategy is OnDelete",
        ),
        (
            |w| {
                edited(w);
                set(w)["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(1);
            },
            "pod data/postgresql-0 is of an earlier revision and is not replaced by itself: the StatefulSet's rolling update stops at partition 1",
        ),
        // It runs so already, and its data would go with it.
        (
            |w| {
                let pod = &mut set(w)["spec"]["template"]["spec"];
                pod["containers"][0]["volumeMounts"][0]["name"] = json!("empty-dir");
            },
            "StatefulSet data/postgresql: spec.template.spec.containers[postgresql].volumeMounts[/bitnami/postgresql].name: empty-dir instead of data",
        ),
        (
            |w| w.rendered.retain(|o| o["kind"] != "StatefulSet"),
            "the release renders no StatefulSet data/postgresql",
        ),
    ];
    for (spoil, why) in table {
        let mut world = World::healthy();
        spoil(&mut world);
        let (text, asked) = tried_in(
            world,
            Restart::Pod,
            BOOT,
            vec![(WRITTEN, says("on")), deleted()],
        )
        .await;
        let told = "not run: nothing is restarted, as the pod would not, or not surely, be made again as it is: ";
        assert_eq!(text, format!("{told}{why} {{}}"));
        assert_eq!(asked, [""; 0]);
    }
    // What a person may do on purpose, and what is not about the pod, hinders nothing.
    let mut world = World::healthy();
    set(&mut world)["spec"]["template"]["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/restartedAt": "2026-11-22T10:00:00Z"});
    set(&mut world)["metadata"]["labels"]["app.kubernetes.io/name"] = json!("other");
    let (text, _) = tried_in(
        world,
        Restart::Pod,
        BOOT,
        vec![
            (WRITTEN, says("on")),
            deleted(),
            (WAIT, says("1007.7\n01token")),
        ],
    )
    .await;
    assert!(text.starts_with("passed"), "{text}");
}

/// "The database is restarted now" is said only where it is.
#[test]
fn what_keeps_it_from_being_tried() {
    let hindered = |ready: bool| {
        let mut world = World::healthy();
        if !ready {
            world.pod()["status"] = json!({});
        }
        let host = Played {
            script: Mutex::default(),
            asked: Mutex::default(),
        };
        let answers = world.answers(&questions(&world.spec)).0;
        let trial = Trial {
            host: &host,
            spec: &world.spec,
            restart: Restart::Pod,
            run: "01token",
            holder: "me",
            pause: Duration::from_millis(1),
            boot: BOOT,
            cancel: &CancellationToken::new(),
        };
        trial.hindered(&answers)
    };
    assert!(!hindered(true));
    assert!(hindered(false));
}

#[tokio::test]
async fn what_ends_it_before() {
    let (text, asked) = tried(
        Restart::Pod,
        vec![(
            WRITTEN,
            fails(2, "psql: error: x\nFATAL: password authentication failed"),
        )],
    )
    .await;
    insta::assert_snapshot!(text, @"not run: no row could be written: FATAL: password authentication failed {}");
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (text, asked) = tried(
        Restart::Pod,
        vec![
            (WRITTEN, says("on")),
            ("delete the pod", fails(1, "Forbidden")),
        ],
    )
    .await;
    insta::assert_snapshot!(text, @r#"not run: the pod could not be deleted: Forbidden {"volume":"pvc-c1"}"#);
    assert!(asked.last().unwrap().contains("drop schema"));
    let (text, _) = tried(
        Restart::Pod,
        vec![(WRITTEN, says("on")), deleted(), (WAIT, lost())],
    )
    .await;
    insta::assert_snapshot!(text, @"error: the connection to pg1 was lost during: x");
    let (text, _) = tried(
        Restart::Pod,
        vec![
            (WRITTEN, says("off")),
            deleted(),
            (WAIT, says("1007.7\n01token")),
            (REMOVED, fails(1, "no")),
        ],
    )
    .await;
    insta::assert_snapshot!(text, @r#"
    failed
    43 persistence: fsync is off: what was committed is lost with the power
      hint: remove fsync = off from the configuration (primary.extendedConfiguration in the values)
    43 persistence: the row that was written could not be removed
      hint: the next run removes it; or, in psql: drop table monopg_verify.token; drop schema monopg_verify {"volume":"pvc-c1","away_seconds":{"pod":7.2}}
    "#);
}

#[tokio::test]
async fn k3s_and_the_node() {
    let boot = |id: &str| ("ask for the boot", says(id));
    let (text, asked) = tried(
        Restart::Node,
        vec![
            (WRITTEN, says("on")),
            deleted(),
            (WAIT, says("1007.7\n01token")),
            (WAIT, says("1010.0\n01token")),
            boot("b1"),
            ("boot the node", says("")),
            boot("b1"),
            ("ask for the boot", lost()),
            boot("b2"),
            (WAIT, says("1100.0\n01token")),
        ],
    )
    .await;
    assert!(text.starts_with("passed: a row written before is there on volume pvc-c1 after 7.2 s without a ready pod, after a restart of k3s, after "), "{text}");
    insta::assert_snapshot!(asked.join("\n"), @r#"
    write a row set client_min_messages = error; drop table if exists monopg_verify.token; drop schema if exists monopg_verify; create schema monopg_verify; create table monopg_verify.token (token text not null); set local synchronous_commit = on; insert into monopg_verify.token values ('01token'); select current_setting('fsync')
    delete the pod
    wait for the database select token from monopg_verify.token
    restart k3s
    wait for the database select token from monopg_verify.token
    ask for the boot
    boot the node
    ask for the boot
    ask for the boot
    reconnect
    ask for the boot
    take the lock again
    wait for the database select token from monopg_verify.token
    remove the row set client_min_messages = error; drop table if exists monopg_verify.token; drop schema if exists monopg_verify
    "#);
}

/// What was found before it went away is told all the same.
#[tokio::test]
async fn a_node_that_stays_away() {
    let (text, _) = tried_in(
        World::healthy(),
        Restart::Node,
        Duration::ZERO,
        vec![
            (WRITTEN, says("on")),
            deleted(),
            (WAIT, says("1007.7\n01token")),
            (WAIT, says("1010.0\n01token")),
            ("ask for the boot", says("b1")),
            ("boot the node", says("")),
            ("ask for the boot", lost()),
            ("reconnect", lost()),
            (REMOVED, lost()),
        ],
    )
    .await;
    insta::assert_snapshot!(text, @r#"
    failed
    43 persistence: the node did not boot within 0 s
      hint: look at its console; once it is there, `monopg diagnose` and `monopg verify` tell how the database is
    43 persistence: the row that was written could not be removed
      hint: the next run removes it; or, in psql: drop table monopg_verify.token; drop schema monopg_verify {"volume":"pvc-c1","away_seconds":{"pod":7.2}}
    "#);
}

/// Told to stop while the pod is away: nothing is waited for, the row goes.
#[tokio::test]
async fn told_to_stop() {
    let world = World::healthy();
    let cancel = CancellationToken::new();
    let host = Played {
        script: Mutex::new(
            vec![
                (WRITTEN, says("on")),
                deleted(),
                (WAIT, fails(4, "")),
                (REMOVED, fails(2, "not yet")),
            ]
            .into(),
        ),
        asked: Mutex::default(),
    };
    let answers = world.answers(&questions(&world.spec)).0;
    let trial = Trial {
        host: &host,
        spec: &world.spec,
        restart: Restart::Node,
        run: "01token",
        holder: "me",
        pause: Duration::from_millis(1),
        boot: BOOT,
        cancel: &cancel,
    };
    cancel.cancel();
    let finding = trial.run(&answers).await.unwrap();
    assert!(finding.problems.is_empty(), "{finding:?}");
    let asked = host.asked.into_inner().unwrap();
    let labels: Vec<&str> = asked.iter().map(|a| &a[..a.len().min(11)]).collect();
    assert_eq!(
        labels,
        ["write a row", "reconnect", "remove the ", "remove the "]
    );
}

#[test]
fn a_real_shell_waits_for_another_pod() {
    use crate::steps::testing::with_args;
    // kubectl as a function: the pod's uid and whether it is ready, then what psql says.
    let kubectl = |uid: &str, psql: &str| {
        format!(
            "kc() {{ case $1 in get) printf %s {uid} ;; *) cat >/dev/null; {psql} ;; esac; }}\nsleep() {{ end=0; }}\n"
        )
    };
    let asked = |uid: &str, psql: &str, other: &str| {
        let script = format!("{}{SQL}{AWAIT}", kubectl(uid, psql));
        let out = with_args(&script, &["data", "postgresql-0", READ, other]);
        (
            out.status,
            out.text().lines().skip(1).collect::<Vec<_>>().join("\n"),
        )
    };
    assert_eq!(asked("'new True'", "echo row", "old"), (0, "row".into()));
    // It answers, but no Service leads there yet.
    assert_eq!(asked("'new False'", "echo row", "old"), (4, String::new()));
    assert_eq!(asked("'new '", "echo row", "old"), (4, String::new()));
    assert_eq!(asked("'old True'", "echo row", "old"), (4, String::new()));
    assert_eq!(
        asked("'old2026-11-23T00:00:00Z True'", "echo row", "old"),
        (4, String::new())
    );
    assert_eq!(asked("' '", "echo row", "old"), (4, String::new()));
    assert_eq!(asked("'same True'", "echo row", ""), (0, "row".into()));
    assert_eq!(
        asked("'new True'", "{ echo starting up; false; }", "old"),
        (4, String::new())
    );
    assert_eq!(
        asked(
            "'new True'",
            "{ echo 'ERROR:  42P01: relation does not exist'; false; }",
            "old"
        ),
        (0, String::new())
    );
    // What the kubelet says of a pod that it has not found again yet is no answer of the database.
    assert_eq!(
        asked(
            "'new True'",
            "{ echo 'error: pod does not exist'; false; }",
            "old"
        ),
        (4, String::new())
    );
}
