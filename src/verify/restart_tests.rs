//! Probes and budgets, fit and unfit.

use serde_json::{Value, json};

use crate::verify::samples::World;

fn judged(spoil: impl FnOnce(&mut Value)) -> String {
    let mut world = World::healthy();
    spoil(world.pod());
    world.judged("restart.safety")
}

fn container(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

#[test]
fn a_probe_that_can_kill_a_recovery() {
    insta::assert_snapshot!(judged(|_| {}), @r#"
    warning
    43 restart.safety: the liveness probe kills PostgreSQL 30 s after its start if it is still recovering; a recovery may take 300 s and more
      hint: in the values: primary.startupProbe {enabled: true, periodSeconds: 10, failureThreshold: 60} gives it ten minutes
    "#);
    insta::assert_snapshot!(judged(|p| container(p)["livenessProbe"] = json!({"exec": {}, "initialDelaySeconds": 240, "periodSeconds": 10, "failureThreshold": 6})), @"passed: 300 s to recover, 30 s to shut down");
    insta::assert_snapshot!(judged(|p| container(p)["startupProbe"] = json!({"exec": {}, "periodSeconds": 5, "failureThreshold": 12})), @r#"
    warning
    43 restart.safety: the startup probe kills PostgreSQL 60 s after its start if it is still recovering; a recovery may take 300 s and more
      hint: in the values: primary.startupProbe {enabled: true, periodSeconds: 10, failureThreshold: 60} gives it ten minutes
    "#);
    insta::assert_snapshot!(judged(|p| container(p)["startupProbe"] = json!({"exec": {}, "periodSeconds": 10, "failureThreshold": 60})), @"passed: 600 s to recover, 30 s to shut down");
    // PostgreSQL takes connections while it recovers.
    insta::assert_snapshot!(judged(|p| container(p)["livenessProbe"] = json!({"tcpSocket": {"port": 5432}})), @"passed: no probe ends a recovery, 30 s to shut down");
    insta::assert_snapshot!(judged(|p| container(p)["livenessProbe"] = Value::Null), @"passed: no probe ends a recovery, 30 s to shut down");
}

#[test]
fn the_time_to_shut_down() {
    insta::assert_snapshot!(judged(|p| {
        container(p)["livenessProbe"] = Value::Null;
        p["spec"]["terminationGracePeriodSeconds"] = json!(5);
    }), @r#"
    warning
    43 restart.safety: PostgreSQL has 5 s to shut down; then it is killed, and has to recover
      hint: set primary.terminationGracePeriodSeconds to 30 or more in the values
    "#);
}

#[test]
fn budgets() {
    let with = |budgets: &[Value]| {
        let mut w = World::healthy();
        container(w.pod())["livenessProbe"] = Value::Null;
        w.budgets = budgets
            .iter()
            .enumerate()
            .map(|(i, spec)| {
                let mut spec = spec.clone();
                spec["selector"] = json!({"matchLabels": {"app.kubernetes.io/name": "postgresql"}});
                json!({"metadata": {"name": format!("b{i}"), "namespace": "data"}, "spec": spec})
            })
            .collect();
        w.judged("restart.safety")
    };
    insta::assert_snapshot!(with(&[json!({"maxUnavailable": 1})]), @"passed: no probe ends a recovery, 30 s to shut down");
    insta::assert_snapshot!(with(&[json!({"minAvailable": 1})]), @r#"
    warning
    43 restart.safety: PodDisruptionBudget data/b0 never lets the only pod go: `kubectl drain` waits for ever
      hint: set primary.pdb.minAvailable: 0 or maxUnavailable: 1 in the values
    "#);
    for never in [
        json!({"minAvailable": "50%"}),
        json!({"minAvailable": 2}),
        json!({"minAvailable": "1%"}),
    ] {
        assert!(
            with(std::slice::from_ref(&never)).contains("never lets the only pod go"),
            "{never}"
        );
    }
    for fine in [
        json!({"minAvailable": "0%"}),
        json!({"minAvailable": 0}),
        json!({"maxUnavailable": "1%"}),
    ] {
        assert!(
            with(std::slice::from_ref(&fine)).starts_with("passed"),
            "{fine}"
        );
    }
    insta::assert_snapshot!(with(&[json!({"maxUnavailable": "0%"})]), @r#"
    warning
    43 restart.safety: PodDisruptionBudget data/b0 never lets the only pod go: `kubectl drain` waits for ever
      hint: set primary.pdb.minAvailable: 0 or maxUnavailable: 1 in the values
    "#);
    insta::assert_snapshot!(with(&[json!({"maxUnavailable": 1}), json!({"minAvailable": 0})]), @r#"
    warning
    43 restart.safety: PodDisruptionBudgets b0 and b1 select the same pod: it can never be evicted
      hint: keep one of them
    "#);
}
