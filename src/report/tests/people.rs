//! Each line that people see.

use super::*;

#[test]
fn human_one_host() {
    let run = one(options(Format::Human));
    assert_eq!(run.stdout.text(), "");
    insta::assert_snapshot!(run.stderr.text(), @r#"
    warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    ok            Check the host
                  pod data/postgresql-0: Pending
    changed       Install the release (the database restarts, 3.2 s)
    1 of 2 steps changed
    "#);
}

#[test]
fn plain_one_host() {
    let run = one(options(Format::Plain));
    assert_eq!(run.stdout.text(), "");
    insta::assert_snapshot!(run.stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] preflight: ok: Check the host
    [pg1] release: Install the release
    [pg1] release: pod data/postgresql-0: Pending
    [pg1] release: changed: Install the release (the database restarts, 3.2 s)
    [pg1] 1 of 2 steps changed
    "#);
}

#[test]
fn evidence_with_its_redactions_also_if_there_are_none() {
    let told = |redactions, missing| {
        let mut run = Run::new(options(Format::Plain));
        run.say(
            "pg1",
            Kind::EvidenceWritten(EvidenceWritten {
                folder: "d/x".into(),
                archive: "d/x.tar.gz".into(),
                archive_sha256: "00".into(),
                files: 20,
                redactions,
                missing,
            }),
        );
        run.stderr.text()
    };
    assert_eq!(
        told(0, 0),
        "[pg1] evidence: d/x and d/x.tar.gz (20 files, 0 redactions)\n"
    );
    assert_eq!(
        told(1, 2),
        "[pg1] evidence: d/x and d/x.tar.gz (20 files, 1 redaction, 2 things could not be read)\n"
    );
}

#[test]
fn human_two_hosts() {
    insta::assert_snapshot!(two(options(Format::Human)).stderr.text(), @r#"
    [pg1]               pod data/postgresql-0: Pending
    [pg1] changed       Install the release (the database restarts, 3.2 s)
    [pg2] failed        Install the release (1 min 1 s)
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] 1 of 2 steps changed
    2 hosts: 1 changed, 0 unchanged, 1 failed (exit 42)
    "#);
}

#[test]
fn plain_two_hosts() {
    insta::assert_snapshot!(two(options(Format::Plain)).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1, pg2
    [pg1] release: Install the release
    [pg1] release: pod data/postgresql-0: Pending
    [pg1] release: changed: Install the release (the database restarts, 3.2 s)
    [pg2] release: failed: Install the release (1 min 1 s)
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] 1 of 2 steps changed
    2 hosts: 1 changed, 0 unchanged, 1 failed (exit 42)
    "#);
}

#[test]
fn human_plan() {
    insta::assert_snapshot!(check(options(Format::Human)).stderr.text(), @r#"
    would change  Install Helm 4.1.4
    would change  Set the storage directory (k3s restarts, running pods stay)
    deferred      Install the release (after helm.binary)
    2 steps would change, 1 is known after them
    "#);
}

#[test]
fn plain_plan_with_diff() {
    let o = Options {
        diff: true,
        ..options(Format::Plain)
    };
    insta::assert_snapshot!(check(o).stderr.text(), @r#"
    check 01JZ0000000000000000000000 on pg1
    [pg1] helm.binary: would change: Install Helm 4.1.4
        /var/lib/monopg/helm/4.1.4/helm
          (was absent)
          + sha256:12ab
    [pg1] storage.directory: would change: Set the storage directory
        default-local-storage-path
          - /var/lib/rancher/k3s/storage
          + /srv/k3s-storage
        disruption: k3s restarts, running pods stay
    [pg1] release: deferred: Install the release (after helm.binary)
    [pg1] 2 steps would change, 1 is known after them
    "#);
}

#[test]
fn human_verdicts() {
    let o = Options {
        verbosity: Verbosity::Verdicts,
        ..options(Format::Human)
    };
    insta::assert_snapshot!(two(o).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1, pg2
    [pg1] release: drift
        replicas of StatefulSet data/postgresql: 2 → 1
        disruption: the database restarts
    [pg1]               pod data/postgresql-0: Pending
    [pg1] changed       Install the release (the database restarts, 3.2 s)
    [pg2] release: stuck
    [pg2] failed        Install the release (1 min 1 s)
    [pg2] ready: deferred: helm.binary
    [pg2] not reached   Wait until ready
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] 1 of 2 steps changed
    2 hosts: 1 changed, 0 unchanged, 1 failed (exit 42)
    "#);
}

#[test]
fn plain_output() {
    let o = Options {
        verbosity: Verbosity::Output,
        ..options(Format::Plain)
    };
    insta::assert_snapshot!(one(o).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] preflight: in sync
    [pg1] preflight: ok: Check the host
    [pg1] release: drift
        replicas of StatefulSet data/postgresql: 2 → 1
        disruption: the database restarts
    [pg1] release: from the host
    [pg1] release: pod data/postgresql-0: Pending
    [pg1] release: changed: Install the release (the database restarts, 3.2 s)
    [pg1] 1 of 2 steps changed
    "#);
}

/// A step that waits, is judged again and again, and is cut short by another.
fn waiting(o: Options, check: bool) -> Run {
    let mut run = Run::new(o);
    let ready = StepId("ready");
    run.start(check, &["pg1"]).say(
        "pg1",
        Kind::StepStarted {
            step: ready,
            title: title(ready).into(),
        },
    );
    for reason in ["pod Pending", "pod Pending", "container starting"] {
        run.say(
            "pg1",
            Kind::StepJudged {
                step: ready,
                verdict: "waiting",
                reason: Some(reason.into()),
                changes: None,
            },
        );
    }
    run.say(
        "pg1",
        Kind::StepFinished {
            step: ready,
            outcome: Outcome::Unchanged,
            elapsed_ms: 0,
            changes: None,
        },
    )
    .over("pg1", HostResult::default())
    .end(false, false, Exit::Done);
    run
}

#[test]
fn a_wait_is_told_when_its_reason_changes() {
    insta::assert_snapshot!(waiting(options(Format::Plain), false).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1
    [pg1] ready: waiting: pod Pending
    [pg1] ready: waiting: container starting
    [pg1] ready: waiting: Wait until ready (container starting)
    "#);
    insta::assert_snapshot!(waiting(options(Format::Human), true).stderr.text(), @r#"waiting       Wait until ready (container starting)"#);
    let o = Options {
        verbosity: Verbosity::Verdicts,
        ..options(Format::Human)
    };
    insta::assert_snapshot!(waiting(o, false).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1
    ready: waiting: pod Pending
    ready: waiting: container starting
    waiting       Wait until ready (container starting)
    "#);
}

#[test]
fn what_was_not_reached_is_told() {
    let over = |outcomes: &[Outcome]| {
        let mut run = Run::new(options(Format::Human));
        let steps = outcomes
            .iter()
            .map(|o| StepResult {
                id: HELM,
                title: "t".into(),
                outcome: *o,
                elapsed_ms: 0,
                changes: None,
                reason: None,
            })
            .collect();
        run.start(false, &["pg1"]).over(
            "pg1",
            HostResult {
                steps,
                ..failed_host()
            },
        );
        let text = run.stderr.text();
        text.lines().last().unwrap().to_owned()
    };
    use Outcome::{Changed, Failed, NotReached};
    assert_eq!(over(&[NotReached, NotReached]), "nothing was changed");
    assert_eq!(
        over(&[Changed, Failed, NotReached]),
        "1 of 3 steps were not reached"
    );
    assert_eq!(over(&[Changed, Failed]), "  hint: set monopg_image");
}

#[test]
fn quiet_says_errors_only() {
    let o = |f| Options {
        verbosity: Verbosity::Quiet,
        diff: true,
        ..options(f)
    };
    assert_eq!(one(o(Format::Plain)).stderr.text(), "");
    insta::assert_snapshot!(two(o(Format::Human)).stderr.text(), @r#"
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    "#);
}

#[test]
fn colours() {
    let o = Options {
        color_stderr: true,
        diff: true,
        ..options(Format::Human)
    };
    insta::assert_snapshot!(check(o).stderr.text().replace('\u{1b}', "^"), @r#"
    ^[33mwould change^[0m  Install Helm 4.1.4
        ^[1m/var/lib/monopg/helm/4.1.4/helm^[0m
          ^[2m(was absent)^[0m
          ^[32m+ sha256:12ab^[0m
    ^[33mwould change^[0m  Set the storage directory
        ^[1mdefault-local-storage-path^[0m
          ^[1;31m- /var/lib/rancher/k3s/storage^[0m
          ^[32m+ /srv/k3s-storage^[0m
        ^[33mdisruption:^[0m k3s restarts, running pods stay
    ^[36mdeferred    ^[0m  Install the release^[2m (after helm.binary)^[0m
    ^[33m2 steps would change, 1 is known after them^[0m
    "#);
}

#[test]
fn a_warning_is_told_once_live_and_once_in_the_result() {
    let text = one(options(Format::Plain)).stderr.text();
    assert_eq!(text.matches("is erased by").count(), 1);
}
