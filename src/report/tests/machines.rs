//! The JSON object and the stream.

use super::*;

#[test]
fn json_of_two_hosts() {
    let run = two(options(Format::Json));
    let object = run.object();
    let keys: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let documented: Vec<&str> = JSON_KEYS.iter().map(|k| k.0).collect();
    assert_eq!(keys, documented);
    insta::assert_json_snapshot!(object, @r#"
    {
      "changed": true,
      "failed": true,
      "msg": "1 of 2 hosts changed, 1 failed; pg2: the image of postgresql-0 cannot be pulled",
      "hints": [
        "set monopg_image"
      ],
      "exit": 42,
      "run_id": "01JZ0000000000000000000000",
      "check": false,
      "diff": [
        {
          "step": "release",
          "before": "2\n",
          "after": "1\n",
          "before_header": "pg1: release: replicas of StatefulSet data/postgresql",
          "after_header": "pg1: release: replicas of StatefulSet data/postgresql",
          "disruption": "pod_restart",
          "host": "pg1"
        }
      ],
      "warnings": [
        "pg1: /var/lib/rancher/x is erased by k3s-uninstall.sh (choose another monopg_storage_path)"
      ],
      "errors": [],
      "hosts": {
        "pg1": {
          "changed": true,
          "failed": false,
          "msg": "1 of 2 steps changed",
          "exit": 0,
          "diff": [
            {
              "step": "release",
              "before": "2\n",
              "after": "1\n",
              "before_header": "release: replicas of StatefulSet data/postgresql",
              "after_header": "release: replicas of StatefulSet data/postgresql",
              "disruption": "pod_restart"
            }
          ],
          "steps": [
            {
              "id": "release",
              "title": "Install the release",
              "outcome": "changed",
              "elapsed_ms": 3210,
              "changes": {
                "items": [
                  {
                    "what": "replicas of StatefulSet data/postgresql",
                    "before": "2",
                    "after": "1"
                  }
                ],
                "disruption": "pod_restart"
              }
            }
          ],
          "warnings": [
            {
              "id": "preflight.uninstall",
              "what": "/var/lib/rancher/x is erased by k3s-uninstall.sh",
              "hints": [
                "choose another monopg_storage_path"
              ],
              "exit": 31
            }
          ],
          "round_trips": 0
        },
        "pg2": {
          "changed": false,
          "failed": true,
          "msg": "the image of postgresql-0 cannot be pulled",
          "exit": 42,
          "diff": [],
          "steps": [],
          "warnings": [],
          "errors": [
            {
              "id": "ready.image",
              "what": "the image of postgresql-0 cannot be pulled",
              "causes": [
                "ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0"
              ],
              "hints": [
                "set monopg_image"
              ],
              "exit": 42
            }
          ],
          "round_trips": 0
        }
      }
    }
    "#);
}

#[test]
fn no_diff_empties_the_lists() {
    let o = Options {
        json_diff: false,
        ..options(Format::Json)
    };
    let object = one(o).object();
    assert_eq!(object["diff"], serde_json::json!([]));
    assert_eq!(object["hosts"]["pg1"]["diff"], serde_json::json!([]));
    assert_eq!(object["changed"], true);
}

#[test]
fn json_of_settings_that_are_wrong() {
    let mut run = Run::new(Options {
        check: true,
        ..options(Format::Json)
    });
    let problems = [
        Problem::new(
            "settings.unknown",
            Exit::Settings,
            "hosts.yml:3: unknown variable monopg_chrat",
        )
        .hint("did you mean monopg_chart?"),
        Problem::new(
            "settings.missing",
            Exit::Settings,
            "monopg_helm_version is missing",
        ),
    ];
    run.core.end(Exit::Settings, &problems);
    let object = run.object();
    assert_eq!(object["failed"], true);
    assert_eq!(object["changed"], false);
    assert_eq!(object["exit"], 10);
    assert_eq!(object["check"], true);
    assert_eq!(
        object["msg"],
        "hosts.yml:3: unknown variable monopg_chrat (and 1 more)"
    );
    assert_eq!(object["errors"].as_array().unwrap().len(), 2);
    insta::assert_snapshot!(run.stderr.text(), @r#"
    error: hosts.yml:3: unknown variable monopg_chrat
      hint: did you mean monopg_chart?
    error: monopg_helm_version is missing
    "#);
}

#[test]
fn json_of_a_run_that_was_cut_off_knows_what_was_done() {
    let mut run = Run::new(options(Format::Json));
    run.start(false, &["pg1", "pg2"])
        .step("pg1", HELM, "drift", Outcome::Changed, 1, Some(changes()))
        .over("pg2", HostResult::default());
    run.core.end(
        Exit::Interrupted,
        &[Problem::new("run.interrupted", Exit::Interrupted, "cut")],
    );
    // A second end, as by a panic while the first one is on its way, adds nothing.
    run.core.end(Exit::Unforeseen, &[]);
    let object = run.object();
    assert_eq!(object["changed"], true);
    assert_eq!(object["failed"], true);
    assert_eq!(object["exit"], 130);
    assert_eq!(object["diff"].as_array().unwrap().len(), 1);
    let host = &object["hosts"]["pg1"];
    assert_eq!(
        (&host["failed"], &host["exit"], &host["steps"][0]["title"]),
        (&true.into(), &130.into(), &"Install Helm 4.1.4".into())
    );
    assert_eq!(object["hosts"]["pg2"]["failed"], false);
}

/// First `run_started`, last exactly one `run_finished`, numbers without gaps.
fn check_stream(text: &str) -> Vec<Value> {
    let events: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    for (n, e) in events.iter().enumerate() {
        assert_eq!(e["seq"], n, "{e}");
        assert_eq!(e["kind"] == "run_started", n == 0, "{e}");
        assert_eq!(e["kind"] == "run_finished", n == events.len() - 1, "{e}");
    }
    events
}

#[test]
fn jsonl_is_whole_however_the_run_ends() {
    let run = two(options(Format::Jsonl));
    assert_eq!(check_stream(&run.stdout.text()).len(), 15);
    insta::assert_snapshot!(run.stderr.text(), @r#"
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    "#);

    let mut never_began = Run::new(options(Format::Jsonl));
    never_began.core.end(Exit::Settings, &[problem()]);
    let events = check_stream(&never_began.stdout.text());
    assert_eq!(events[1]["problem"]["id"], "ready.image");
    assert_eq!(events[2]["exit"], 10);
    assert_eq!(never_began.stderr.text().matches("error:").count(), 1);

    let mut cut = Run::new(options(Format::Jsonl));
    cut.start(false, &["pg1"])
        .step("pg1", HELM, "drift", Outcome::Changed, 1, Some(changes()));
    cut.core.end(Exit::Interrupted, &[]);
    let events = check_stream(&cut.stdout.text());
    assert_eq!(events.last().unwrap()["changed"], true);
}

#[test]
fn status_is_data() {
    let status = |format| {
        let mut run = Run::new(options(format));
        run.start(true, &["pg1"]).say(
            "pg1",
            Kind::HostStatus {
                status: serde_json::to_value(status::StatusReport::default()).unwrap(),
            },
        );
        run.end(false, false, Exit::Done);
        run
    };
    let run = status(Format::Plain);
    assert!(run.stdout.text().starts_with("pg1\n  release"));
    let object = status(Format::Json).object();
    assert_eq!(object["failed"], false);
    assert_eq!(object["hosts"]["pg1"]["exit"], 0);
    assert!(object["hosts"]["pg1"]["status"]["versions"].is_object());
}
