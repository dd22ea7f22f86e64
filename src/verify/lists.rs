//! The types that several checks list.
//!
//! Pure. One reason: the same type has one reference, so it is asked for once.

use crate::cluster::object::ListRef;

/// All pods.
pub fn pods() -> ListRef {
    ListRef::builtin("", "pods", "Pod")
}

/// All Services.
pub fn services() -> ListRef {
    ListRef::builtin("", "services", "Service")
}

/// All namespaces.
pub fn namespaces() -> ListRef {
    ListRef::builtin("", "namespaces", "Namespace")
}

/// All ConfigMaps.
pub fn config_maps() -> ListRef {
    ListRef::builtin("", "configmaps", "ConfigMap")
}

/// The addresses behind all Services.
pub fn endpoint_slices() -> ListRef {
    ListRef::builtin("discovery.k8s.io", "endpointslices", "EndpointSlice")
}

/// All Ingresses.
pub fn ingresses() -> ListRef {
    ListRef::builtin("networking.k8s.io", "ingresses", "Ingress")
}

/// All PodDisruptionBudgets.
pub fn disruption_budgets() -> ListRef {
    ListRef::builtin("policy", "poddisruptionbudgets", "PodDisruptionBudget")
}

/// Routes, which only some clusters know: the Gateway API's and Traefik's, which had another group until its version 3.
/// Those of HTTP count as an Ingress does.
pub fn routes() -> [ListRef; 8] {
    [
        ListRef::custom(
            "gateway.networking.k8s.io",
            "tcproutes",
            "TCPRoute",
            &["v1alpha2"],
        ),
        ListRef::custom(
            "gateway.networking.k8s.io",
            "tlsroutes",
            "TLSRoute",
            &["v1alpha2", "v1alpha3", "v1"],
        ),
        ListRef::custom(
            "traefik.io",
            "ingressroutetcps",
            "IngressRouteTCP",
            &["v1alpha1"],
        ),
        ListRef::custom(
            "gateway.networking.k8s.io",
            "httproutes",
            "HTTPRoute",
            &["v1", "v1beta1"],
        ),
        ListRef::custom(
            "gateway.networking.k8s.io",
            "grpcroutes",
            "GRPCRoute",
            &["v1", "v1alpha2"],
        ),
        ListRef::custom("traefik.io", "ingressroutes", "IngressRoute", &["v1alpha1"]),
        ListRef::custom(
            "traefik.containo.us",
            "ingressroutetcps",
            "IngressRouteTCP",
            &["v1alpha1"],
        ),
        ListRef::custom(
            "traefik.containo.us",
            "ingressroutes",
            "IngressRoute",
            &["v1alpha1"],
        ),
    ]
}

/// The Prometheus operator's types.
pub fn monitors() -> [ListRef; 3] {
    [
        ("servicemonitors", "ServiceMonitor"),
        ("podmonitors", "PodMonitor"),
        ("prometheuses", "Prometheus"),
    ]
    .map(|(resource, kind)| ListRef::custom("monitoring.coreos.com", resource, kind, &["v1"]))
}
