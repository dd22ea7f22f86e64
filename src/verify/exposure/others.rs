//! Who else of the cluster has a port of the node.
//!
//! Pure; depends on `cluster`. One reason: a port that answers is not the database's only because it has its number.

use serde_json::Value;

use super::doors::{Seen, full};
use crate::cluster::facts::{in_nodes_network, list, number, text};

impl Seen<'_> {
    /// Services that publish this port on purpose and do not lead to the database, and pods that take it; each as
    /// `Service apps/pg (LoadBalancer)`.
    pub fn others(&self, port: i64) -> Vec<String> {
        let mut all: Vec<String> = self
            .services
            .iter()
            .filter_map(|s| self.publishes(s, port))
            .collect();
        // k3s' ServiceLB has pods in between: the Service is who wants it.
        let service_lb = "/metadata/labels/svccontroller.k3s.cattle.io~1svcname";
        all.extend(
            self.pods
                .iter()
                .filter(|p| text(p, service_lb).is_empty() && full(p) != full(self.pod))
                .filter(|p| !matches!(text(p, "/status/phase"), "Succeeded" | "Failed"))
                .filter_map(|p| takes(p, port)),
        );
        all
    }

    fn publishes(&self, service: &Value, wanted: i64) -> Option<String> {
        let kind = text(service, "/spec/type");
        let external = !list(service, "/spec/externalIPs").is_empty();
        let mut ports = list(service, "/spec/ports").iter();
        let how = ports.find_map(|port| {
            if !is_tcp(port) || self.leads(service, port) {
                return None;
            }
            let has = |key: &str| number(port, key) == Some(wanted);
            match kind {
                "LoadBalancer" if has("/port") || has("/nodePort") => Some("LoadBalancer"),
                "NodePort" if has("/nodePort") => Some("NodePort"),
                _ if external && has("/port") => Some("externalIPs"),
                _ => None,
            }
        })?;
        Some(format!("Service {} ({how})", full(service)))
    }
}

fn is_tcp(port: &Value) -> bool {
    matches!(text(port, "/protocol"), "" | "TCP")
}

fn takes(pod: &Value, wanted: i64) -> Option<String> {
    let (key, how) = match in_nodes_network(pod) {
        true => ("/containerPort", "in the node's network"),
        false => ("/hostPort", "hostPort"),
    };
    list(pod, "/spec/containers")
        .iter()
        .chain(list(pod, "/spec/initContainers"))
        .flat_map(|c| list(c, "/ports"))
        .any(|p| is_tcp(p) && number(p, key) == Some(wanted))
        .then(|| format!("pod {} ({how})", full(pod)))
}
