//! The answer of an Ansible module.

use super::*;

fn answer(options: Options, result: HostResult, exit: Exit) -> (Value, String) {
    let mut run = Run::new(options);
    run.start(false, &["pg1"])
        .step(
            "pg1",
            RELEASE,
            "drift",
            Outcome::Changed,
            1,
            Some(changes()),
        )
        .over("pg1", result);
    run.core.end(exit, &[]);
    (run.object(), run.stderr.text())
}

fn with_facts() -> HostResult {
    HostResult {
        facts: Some(serde_json::json!({"release": "postgresql", "port": 5432})),
        ..changed_host()
    }
}

#[test]
fn of_a_run_that_changed_something() {
    let (object, _) = answer(options(Format::Module), with_facts(), Exit::Done);
    insta::assert_json_snapshot!(object, @r#"
    {
      "changed": true,
      "failed": false,
      "monopg_exit": 0,
      "msg": "1 of 2 steps changed",
      "warnings": [
        "/var/lib/rancher/x is erased by k3s-uninstall.sh (choose another monopg_storage_path)"
      ],
      "diff": [
        {
          "before": "2\n",
          "after": "1\n",
          "before_header": "release: replicas of StatefulSet data/postgresql",
          "after_header": "release: replicas of StatefulSet data/postgresql"
        }
      ],
      "ansible_facts": {
        "monopg": {
          "release": "postgresql",
          "port": 5432
        }
      }
    }
    "#);
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    let documented: Vec<&str> = MODULE_KEYS.iter().map(|k| k.0).collect();
    assert_eq!(keys, documented);
}

#[test]
fn without_diff_there_is_none() {
    let o = Options {
        json_diff: false,
        ..options(Format::Module)
    };
    let (object, _) = answer(o, with_facts(), Exit::Done);
    assert_eq!(object.get("diff"), None);
    assert_eq!(object["changed"], true);
}

#[test]
fn of_a_run_that_failed_with_all_causes_and_hints() {
    let (object, _) = answer(options(Format::Module), failed_host(), Exit::NotReady);
    assert_eq!(
        (&object["failed"], &object["monopg_exit"]),
        (&true.into(), &42.into())
    );
    assert_eq!(
        object["msg"],
        "the image of postgresql-0 cannot be pulled: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0 (hint: set monopg_image)"
    );
}

#[test]
fn of_settings_that_are_wrong_each_in_a_line() {
    let mut run = Run::new(options(Format::Module));
    let wrong = |what: &str| Problem::new("settings.value", Exit::Settings, what);
    run.core.end(
        Exit::Settings,
        &[wrong("one").hint("do this"), wrong("two")],
    );
    let object = run.object();
    assert_eq!(object["msg"], "one (hint: do this)\ntwo");
    assert_eq!(
        (&object["failed"], &object["changed"]),
        (&true.into(), &false.into())
    );
    assert_eq!(object.get("ansible_facts"), None);
}

#[test]
fn no_log_tells_no_value_at_all() {
    let o = || Options {
        no_log: true,
        verbosity: Verbosity::Trace,
        diff: true,
        ..options(Format::Module)
    };
    let (object, stderr) = answer(o(), with_facts(), Exit::Done);
    assert_eq!(
        object,
        serde_json::json!({"changed": true, "failed": false, "monopg_exit": 0, "msg": "done, changed or not"})
    );
    assert_eq!(stderr, "");
    let (object, stderr) = answer(o(), failed_host(), Exit::NotReady);
    assert_eq!(
        object,
        serde_json::json!({
            "changed": false, "failed": true, "monopg_exit": 42,
            "msg": "not ready in time, or known never to become ready",
        })
    );
    assert_eq!(stderr, "");
}
