//! What `monopg status` shows.
//!
//! May depend on `error`. One reason: the facts have one typed shape for JSON and for people.

use serde::{Deserialize, Serialize};

use super::style::{Ink, Style};

/// One host's facts. What could not be read or does not exist is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReport {
    /// The Helm release.
    pub release: Option<Release>,
    /// The database's pod.
    pub pod: Option<Pod>,
    /// Its volume.
    pub volume: Option<Volume>,
    /// Versions on the node.
    pub versions: Versions,
    /// The last run of monopg that changed something.
    pub last_run: Option<LastRun>,
}

/// The Helm release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub version: String,
    /// Helm's revision number.
    pub revision: u64,
    /// Helm's word: `deployed`, `failed`, `pending-upgrade`…
    pub status: String,
}

/// The database's pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// `Running`, `Pending`…
    pub phase: String,
    /// True if every readiness probe passes.
    pub ready: bool,
    /// Restarts of its containers.
    pub restarts: u64,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// Why it is not ready, as `CrashLoopBackOff`.
    pub reason: Option<String>,
}

/// The database's volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// The PVC's name.
    pub claim: String,
    /// `Bound`, `Pending`…
    pub phase: String,
    /// The requested size, as `8Gi`.
    pub size: Option<String>,
    /// The PV's name.
    pub volume: Option<String>,
    /// The directory on the node.
    pub directory: Option<String>,
    /// `Retain` or `Delete`.
    pub reclaim_policy: Option<String>,
    /// Free bytes of its file system.
    pub free_bytes: Option<u64>,
}

/// Versions on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// As `v1.34.1+k3s1`.
    pub k3s: Option<String>,
    /// As `4.1.4`.
    pub helm: Option<String>,
    /// The image that PostgreSQL runs from.
    pub postgres_image: Option<String>,
}

/// The last run that changed something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastRun {
    /// Its id.
    pub run_id: String,
    /// When it ended, RFC 3339.
    pub at: String,
    /// Who, as `alice@laptop`.
    pub by: Option<String>,
    /// How, as `changed` or `failed`.
    pub outcome: Option<String>,
}

impl StatusReport {
    /// The lines for people.
    pub(crate) fn render(&self, style: Style, host: &str) -> Vec<String> {
        let mut out = vec![style.paint(Ink::Bold, host)];
        let mut row = |name: &str, value: String| {
            out.push(format!(
                "  {} {value}",
                style.paint(Ink::Dim, &format!("{name:<11}"))
            ));
        };
        let good = |ok: bool, word: &str| style.paint(if ok { Ink::Good } else { Ink::Bad }, word);
        let absent = || style.paint(Ink::Changed, "absent");
        match &self.release {
            Some(r) => row(
                "release",
                format!(
                    "{}/{}: chart {} {}, revision {}, {}",
                    r.namespace,
                    r.name,
                    r.chart,
                    r.version,
                    r.revision,
                    good(r.status == "deployed", &r.status)
                ),
            ),
            None => row("release", absent()),
        }
        match &self.pod {
            Some(p) => {
                let mut text = format!(
                    "{}: {}, {}, {} {}",
                    p.name,
                    p.phase,
                    good(p.ready, if p.ready { "ready" } else { "not ready" }),
                    p.restarts,
                    if p.restarts == 1 {
                        "restart"
                    } else {
                        "restarts"
                    }
                );
                for (word, value) in [("since ", &p.since), ("", &p.reason)] {
                    if let Some(value) = value {
                        text.push_str(&format!(", {word}{value}"));
                    }
                }
                row("pod", text);
            }
            None => row("pod", absent()),
        }
        match &self.volume {
            Some(v) => {
                let mut text = format!("{}: {}", v.claim, good(v.phase == "Bound", &v.phase));
                for value in [&v.size, &v.reclaim_policy].into_iter().flatten() {
                    text.push_str(&format!(", {value}"));
                }
                if let Some(free) = v.free_bytes {
                    text.push_str(&format!(", {} free", indicatif::BinaryBytes(free)));
                }
                row("volume", text);
                if let Some(directory) = &v.directory {
                    row("directory", directory.clone());
                }
            }
            None => row("volume", absent()),
        }
        for (name, value) in [
            ("k3s", &self.versions.k3s),
            ("helm", &self.versions.helm),
            ("image", &self.versions.postgres_image),
        ] {
            row(name, value.clone().unwrap_or_else(absent));
        }
        match &self.last_run {
            Some(l) => {
                let mut text = format!("{} at {}", l.run_id, l.at);
                if let Some(by) = &l.by {
                    text.push_str(&format!(" by {by}"));
                }
                if let Some(outcome) = &l.outcome {
                    text.push_str(&format!(": {outcome}"));
                }
                row("last run", text);
            }
            None => row("last run", "none".to_owned()),
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_node() {
        insta::assert_snapshot!(StatusReport::default().render(Style { color: false }, "pg1").join("\n"), @r#"
        pg1
          release     absent
          pod         absent
          volume      absent
          k3s         absent
          helm        absent
          image       absent
          last run    none
        "#);
    }

    #[test]
    fn a_running_database() {
        let s = StatusReport {
            release: Some(Release {
                name: "postgresql".into(),
                namespace: "data".into(),
                chart: "postgresql".into(),
                version: "17.0.2".into(),
                revision: 3,
                status: "deployed".into(),
            }),
            pod: Some(Pod {
                name: "postgresql-0".into(),
                phase: "Running".into(),
                ready: true,
                restarts: 1,
                since: Some("2026-05-01T10:00:00Z".into()),
                reason: None,
            }),
            volume: Some(Volume {
                claim: "data-postgresql-0".into(),
                phase: "Bound".into(),
                size: Some("8Gi".into()),
                volume: Some("pvc-1".into()),
                directory: Some("/srv/k3s-storage/pvc-1_data_data-postgresql-0".into()),
                reclaim_policy: Some("Retain".into()),
                free_bytes: Some(3 << 30),
            }),
            versions: Versions {
                k3s: Some("v1.34.1+k3s1".into()),
                helm: Some("4.1.4".into()),
                postgres_image: Some(
                    "docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4".into(),
                ),
            },
            last_run: Some(LastRun {
                run_id: "01JZZZZZZZZZZZZZZZZZZZZZZZ".into(),
                at: "2026-05-01T10:00:30Z".into(),
                by: Some("alice@laptop".into()),
                outcome: Some("changed".into()),
            }),
        };
        insta::assert_snapshot!(s.render(Style { color: false }, "pg1").join("\n"), @r#"
        pg1
          release     data/postgresql: chart postgresql 17.0.2, revision 3, deployed
          pod         postgresql-0: Running, ready, 1 restart, since 2026-05-01T10:00:00Z
          volume      data-postgresql-0: Bound, 8Gi, Retain, 3.00 GiB free
          directory   /srv/k3s-storage/pvc-1_data_data-postgresql-0
          k3s         v1.34.1+k3s1
          helm        4.1.4
          image       docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4
          last run    01JZZZZZZZZZZZZZZZZZZZZZZZ at 2026-05-01T10:00:30Z by alice@laptop: changed
        "#);
        let value = serde_json::to_value(&s).unwrap();
        assert_eq!(serde_json::from_value::<StatusReport>(value).unwrap(), s);
    }
}
