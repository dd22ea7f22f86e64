//! The exporter and whoever reads it.

use serde_json::{Value, json};

use crate::verify::samples::World;

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::with_metrics();
    spoil(&mut world);
    world.judged("metrics")
}

fn monitor(labels: Value) -> Value {
    json!({"kind": "ServiceMonitor", "metadata": {"name": "postgresql", "namespace": "data", "labels": labels},
        "spec": {"selector": {"matchLabels": {"app.kubernetes.io/component": "metrics"}}}})
}

fn prometheus(spec: Value) -> Value {
    json!({"kind": "Prometheus", "metadata": {"name": "k8s", "namespace": "monitoring"}, "spec": spec})
}

fn operator(w: &mut World, monitors: Vec<Value>, prometheuses: Vec<Value>) {
    w.monitors = [Some(monitors), Some(Vec::new()), Some(prometheuses)];
}

#[test]
fn not_declared() {
    insta::assert_snapshot!(World::healthy().judged("metrics"), @"not applicable: monopg_metrics is not enabled");
}

#[test]
fn the_exporter() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: pg_up 1 through Service data/postgresql-metrics");
    insta::assert_snapshot!(judged(|w| w.pod()["status"]["containerStatuses"][1]["ready"] = json!(false)), @r#"
    failed
    43 metrics: container metrics of pod data/postgresql-0 is not ready
      hint: read what it says: k3s kubectl -n data logs postgresql-0 -c metrics
    "#);
    insta::assert_snapshot!(judged(|w| w.says("metrics of the exporter", "pg_up 0")), @r#"
    failed
    43 metrics: the exporter answers, but cannot reach the database: pg_up is 0
      hint: read what it says: k3s kubectl -n data logs postgresql-0 -c metrics; a changed password of postgres is the usual reason
    "#);
    insta::assert_snapshot!(judged(|w| w.says("metrics of the exporter", "")), @r#"
    failed
    43 metrics: the exporter answers without pg_up
      hint: read what it says: k3s kubectl -n data logs postgresql-0 -c metrics; a changed password of postgres is the usual reason
    "#);
    insta::assert_snapshot!(judged(|w| w.failing.push(("metrics of the exporter", 1, "Error from server (ServiceUnavailable): no endpoints available"))), @r#"
    failed
    43 metrics: Service data/postgresql-metrics gives no metrics
      caused by: metrics of the exporter could not be read: Error from server (ServiceUnavailable): no endpoints available
      hint: look at k3s kubectl -n data get endpointslices -l kubernetes.io/service-name=postgresql-metrics
    "#);
    insta::assert_snapshot!(judged(|w| w.says("metrics of the exporter", "pg_up{server=\"a b\"} 1")), @"passed: pg_up 1 through Service data/postgresql-metrics");
    insta::assert_snapshot!(judged(|w| w.spec.metrics_clients.clear()), @r#"
    warning
    43 metrics: monopg_metrics_clients names nobody: no monitoring gets to the exporter
      hint: name the monitoring's pods or its address there
    "#);
}

#[test]
fn whoever_reads_it() {
    let all = || json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}});
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![prometheus(all())])), @"passed: pg_up 1 through Service data/postgresql-metrics");
    insta::assert_snapshot!(judged(|w| operator(w, vec![], vec![prometheus(all())])), @r#"
    warning
    43 metrics: the Prometheus operator is there, but no ServiceMonitor or PodMonitor chooses the exporter
      hint: set metrics.serviceMonitor.enabled in the values, unless your Prometheus finds its targets another way
    "#);
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![])), @r#"
    warning
    43 metrics: ServiceMonitor data/postgresql is there, but no Prometheus that could read it
    "#);
    let picky = || {
        prometheus(
            json!({"serviceMonitorSelector": {"matchLabels": {"release": "kps"}}, "serviceMonitorNamespaceSelector": {}}),
        )
    };
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![picky()])), @r#"
    failed
    43 metrics: no Prometheus reads ServiceMonitor data/postgresql: its selectors do not match
      hint: give it the labels that the Prometheus' serviceMonitorSelector asks for: metrics.serviceMonitor.labels in the values
    "#);
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({"release": "kps"}))], vec![picky()])), @"passed: pg_up 1 through Service data/postgresql-metrics");
    // Without a selector of namespaces only its own; without one of monitors none.
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![prometheus(json!({"serviceMonitorSelector": {}}))])), @r#"
    failed
    43 metrics: no Prometheus reads ServiceMonitor data/postgresql: its selectors do not match
      hint: give it the labels that the Prometheus' serviceMonitorSelector asks for: metrics.serviceMonitor.labels in the values
    "#);
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![prometheus(json!({"serviceMonitorNamespaceSelector": {}}))])), @r#"
    failed
    43 metrics: no Prometheus reads ServiceMonitor data/postgresql: its selectors do not match
      hint: give it the labels that the Prometheus' serviceMonitorSelector asks for: metrics.serviceMonitor.labels in the values
    "#);
    // Read, but not let in.
    insta::assert_snapshot!(judged(|w| {
        operator(w, vec![monitor(json!({}))], vec![prometheus(all())]);
        w.live[2]["spec"]["ingress"][1]["from"][0]["podSelector"] = json!({"matchLabels": {"app": "x"}});
        w.pods.push(json!({"kind": "Pod", "metadata": {"name": "prometheus-k8s-0", "namespace": "monitoring", "labels": {"operator.prometheus.io/name": "k8s"}}}));
    }), @r#"
    failed
    43 metrics: Prometheus monitoring/k8s reads the monitor, but no NetworkPolicy lets it get to port 9187
      hint: name it: monopg_metrics_clients: [{namespace: monitoring}]
    "#);
}
