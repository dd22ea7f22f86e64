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
        "spec": {"selector": {"matchLabels": {"app.kubernetes.io/component": "metrics"}}, "endpoints": [{"port": "http-metrics"}]}})
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

/// Prometheus k8s of namespace monitoring, as it runs.
fn reader(address: &str, host_network: bool) -> Value {
    json!({"kind": "Pod", "metadata": {"name": "prometheus-k8s-0", "namespace": "monitoring", "labels": {"operator.prometheus.io/name": "k8s"}},
        "spec": {"hostNetwork": host_network}, "status": {"podIP": address, "podIPs": [{"ip": address}]}})
}

/// A range of addresses lets in who has one of them; and no policy stops who is in the node's network.
#[test]
fn a_prometheus_by_its_address() {
    let all = || json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}});
    for (block, pods, admitted) in [
        (
            json!({"cidr": "10.42.0.0/16"}),
            vec![reader("10.42.0.30", false)],
            true,
        ),
        (
            json!({"cidr": "10.42.0.30/32"}),
            vec![reader("10.42.0.30", false)],
            true,
        ),
        (
            json!({"cidr": "10.42.0.30/32"}),
            vec![reader("10.42.0.31", false)],
            false,
        ),
        (
            json!({"cidr": "10.42.0.0/16", "except": ["10.42.0.0/27"]}),
            vec![reader("10.42.0.30", false)],
            false,
        ),
        (
            json!({"cidr": "10.8.0.0/24"}),
            vec![reader("10.42.0.30", false)],
            false,
        ),
        (
            json!({"cidr": "10.8.0.0/24"}),
            vec![reader("192.168.1.5", true)],
            true,
        ),
        // One of two that shall both measure.
        (
            json!({"cidr": "10.42.0.30/32"}),
            vec![reader("10.42.0.30", false), reader("10.42.0.31", false)],
            false,
        ),
        // There is none yet, or none that has an address yet.
        (json!({"cidr": "10.42.0.0/16"}), vec![], true),
        (
            json!({"cidr": "10.42.0.0/16"}),
            vec![reader("", false)],
            true,
        ),
        (json!({"cidr": "10.8.0.0/24"}), vec![], false),
    ] {
        let said = judged(|w| {
            operator(w, vec![monitor(json!({}))], vec![prometheus(all())]);
            w.live[2]["spec"]["ingress"][1]["from"] = json!([{"ipBlock": block}]);
            w.pods.extend(pods.clone());
        });
        assert_eq!(
            said.starts_with("passed"),
            admitted,
            "{block} {pods:?}: {said}"
        );
        assert!(
            admitted || said.contains("no NetworkPolicy lets it get to"),
            "{said}"
        );
    }
    let mut hosted = prometheus(all());
    hosted["spec"]["hostNetwork"] = json!(true);
    let said = judged(|w| {
        operator(w, vec![monitor(json!({}))], vec![hosted]);
        w.live[2]["spec"]["ingress"][1]["from"] = json!([{"ipBlock": {"cidr": "10.8.0.0/24"}}]);
    });
    assert!(said.starts_with("passed"), "{said}");
}

/// One that measures is enough; another one that may not is told.
#[test]
fn two_that_read_it() {
    let all = json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}});
    let mut second = prometheus(all.clone());
    second["metadata"] = json!({"name": "second", "namespace": "data"});
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![prometheus(all.clone()), second.clone()])), @r#"
    warning
    43 metrics: Prometheus data/second reads the monitor, but no NetworkPolicy lets it get to port 9187
      hint: name it: monopg_metrics_clients: [{namespace: data}]
    "#);
    insta::assert_snapshot!(judged(|w| operator(w, vec![monitor(json!({}))], vec![second])), @r#"
    failed
    43 metrics: Prometheus data/second reads the monitor, but no NetworkPolicy lets it get to port 9187
      hint: name it: monopg_metrics_clients: [{namespace: data}]
    "#);
}

/// Labels alone do not make a monitor the exporter's.
#[test]
fn which_port_a_monitor_asks() {
    let read = |w: &mut World, monitors: [Vec<Value>; 2]| {
        let [services, pods] = monitors;
        let all = json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}, "podMonitorSelector": {}, "podMonitorNamespaceSelector": {}});
        w.monitors = [Some(services), Some(pods), Some(vec![prometheus(all)])];
    };
    for (endpoints, through_service, through_pod) in [
        (json!([{"port": "http-metrics"}]), true, true),
        (json!([{"port": "web"}]), false, false),
        (
            json!([{"port": "web"}, {"port": "http-metrics"}]),
            true,
            true,
        ),
        // The first of them counts.
        (json!([{"port": "web", "targetPort": 9187}]), false, false),
        (json!([{"targetPort": 9187}]), true, true),
        (json!([{"targetPort": 8080}]), false, false),
        (json!([{"targetPort": "http-metrics"}]), true, true),
        (json!([{"targetPort": "web"}]), false, false),
        (json!([{"port": "", "portNumber": 9187}]), true, true),
        // Services have no `portNumber`: every port is meant.
        (json!([{"portNumber": 8080}]), true, false),
        (json!([{}]), true, true),
        (json!([]), false, false),
        (Value::Null, false, false),
    ] {
        let mut service = monitor(json!({}));
        service["spec"]["endpoints"] = endpoints.clone();
        let pod = json!({"kind": "PodMonitor", "metadata": {"name": "postgresql", "namespace": "data"},
            "spec": {"selector": {}, "podMetricsEndpoints": endpoints}});
        for (monitors, right) in [
            ([vec![service], vec![]], through_service),
            ([vec![], vec![pod]], through_pod),
        ] {
            let said = judged(|w| read(w, monitors.clone()));
            assert_eq!(said.starts_with("passed"), right, "{monitors:?}: {said}");
        }
    }
    let mut other = monitor(json!({}));
    other["spec"]["endpoints"] = json!([{"port": "web"}]);
    insta::assert_snapshot!(judged(|w| read(w, [vec![other], vec![]])), @r#"
    warning
    43 metrics: the Prometheus operator is there, but no ServiceMonitor or PodMonitor chooses the exporter
      caused by: ServiceMonitor data/postgresql chooses it by its labels, but asks another port than 9187
      hint: set metrics.serviceMonitor.enabled in the values, unless your Prometheus finds its targets another way
    "#);
    // The Service's own port may have a number of its own.
    insta::assert_snapshot!(judged(|w| {
        read(w, [vec![monitor(json!({}))], vec![]]);
        w.services[0]["spec"]["ports"][0] = json!({"name": "http-metrics", "port": 80, "targetPort": 9187});
    }), @"passed: pg_up 1 through Service data/postgresql-metrics");
}
