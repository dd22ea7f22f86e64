//! Where monopg keeps things on a node.
//!
//! Pure. One reason: these names are a promise to the next run, of whatever version.

/// Everything that has to survive a reboot.
pub const HOME: &str = "/var/lib/monopg";
/// The record of the release: what was applied, bound to its revision.
pub const STATE: &str = "/var/lib/monopg/state.json";
/// The objects that the record names, as a list for `kubectl -f`.
pub const OBJECTS: &str = "/var/lib/monopg/objects.json";
/// What a run is about to do with Helm, written before it starts.
pub const INTENT: &str = "/var/lib/monopg/intent.json";
/// What the transient unit came to, written by the unit itself.
pub const RESULT: &str = "/var/lib/monopg/result.json";
/// What does not have to survive a reboot.
pub const RUN: &str = "/run/monopg";
/// k3s' drop-in with the storage path.
pub const DROP_IN: &str = "/etc/rancher/k3s/config.yaml.d/50-monopg.yaml";
/// The link for people; ours only if nobody else has one there.
pub const HELM_LINK: &str = "/usr/local/bin/helm";
/// The kubeconfig that k3s writes.
pub const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// Helm's binary of a version.
pub fn helm(version: &semver::Version) -> String {
    format!("{HOME}/helm/{version}/helm")
}

/// The chart's archive.
pub fn chart(name: &str, version: &str) -> String {
    format!("{HOME}/charts/{name}-{version}.tgz")
}
