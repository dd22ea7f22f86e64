//! Helm's own record of a release: the Secrets `sh.helm.release.v1.NAME.vN`.
//!
//! Pure; depends on nothing of the crate. One reason: Helm refuses to go on from a release that it
//! believes to be in work; only its record can say that the work was cut off.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::facts::{number, text};

/// How large the encoded payload may be, in bytes: the API server takes no Secret above 1 MiB.
const MAX_ENCODED: usize = 2 << 20;
/// How large the decoded record may become, in bytes.
const MAX_DECODED: u64 = 64 << 20;

/// The state of one revision, as Helm names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Accepted by the API server.
    Deployed,
    /// Replaced by a later revision.
    Superseded,
    /// Did not go through.
    Failed,
    /// An install is in work, or was cut off.
    PendingInstall,
    /// An upgrade is in work, or was cut off.
    PendingUpgrade,
    /// A rollback is in work, or was cut off.
    PendingRollback,
    /// Being removed, or its removal was cut off.
    Uninstalling,
    /// Removed with its history kept.
    Uninstalled,
    /// Anything else.
    Unknown,
}

impl std::fmt::Display for Status {
    /// Helm's word.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Status {
    /// From Helm's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "deployed" => Status::Deployed,
            "superseded" => Status::Superseded,
            "failed" => Status::Failed,
            "pending-install" => Status::PendingInstall,
            "pending-upgrade" => Status::PendingUpgrade,
            "pending-rollback" => Status::PendingRollback,
            "uninstalling" => Status::Uninstalling,
            "uninstalled" => Status::Uninstalled,
            _ => Status::Unknown,
        }
    }

    /// Helm's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Deployed => "deployed",
            Status::Superseded => "superseded",
            Status::Failed => "failed",
            Status::PendingInstall => "pending-install",
            Status::PendingUpgrade => "pending-upgrade",
            Status::PendingRollback => "pending-rollback",
            Status::Uninstalling => "uninstalling",
            Status::Uninstalled => "uninstalled",
            Status::Unknown => "unknown",
        }
    }

    /// True while Helm refuses every other operation.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback
        )
    }
}

/// One revision, from its Secret's labels alone (the payload is large and needs no reading).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Its number, from 1.
    pub version: u64,
    /// Its state.
    pub status: Status,
}

/// The newest revision in kubectl's table `NAME TYPE DATA AGE VERSION STATUS` of a release's Secrets
/// (`get secrets -l owner=helm,name=… --no-headers -L version,status`): the API server fills tables
/// without sending the payloads. Other lines are skipped.
pub fn newest(table: &str) -> Option<Revision> {
    let revision = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, "helm.sh/release.v1", _, _, version, status] = words[..] else {
            return None;
        };
        name.starts_with("sh.helm.release.v1.").then_some(())?;
        Some(Revision {
            version: version.parse().ok()?,
            status: Status::parse(status),
        })
    };
    table.lines().filter_map(revision).max_by_key(|r| r.version)
}

/// The Secret's name for a revision.
pub fn secret_of(release: &str, version: u64) -> String {
    format!("sh.helm.release.v1.{release}.v{version}")
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There is no payload.
    #[error("the release's Secret has no payload")]
    Empty,
    /// It is larger than Helm can have written.
    #[error("the release's payload is larger than {0} bytes")]
    TooLarge(u64),
    /// It is not base64.
    #[error("the release's payload is not base64")]
    Base64(#[source] base64::DecodeError),
    /// It cannot be unpacked.
    #[error("the release's payload cannot be unpacked")]
    Gzip(#[source] std::io::Error),
    /// It is not JSON.
    #[error("the release's payload is not JSON")]
    Json(#[source] serde_json::Error),
}

/// A release's record, decoded. It holds the user's values and rendered Secrets: never shown as a whole.
#[derive(Clone, PartialEq)]
pub struct Release {
    record: Value,
}

impl std::fmt::Debug for Release {
    /// Without values and manifest, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Release")
            .field("name", &self.name())
            .field("version", &self.version())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Release {
    /// Decodes the payload of a Secret as the API gives it (`data.release`: base64 of base64 of gzip).
    pub fn decode(payload: &str) -> Result<Self, ReleaseError> {
        if payload.is_empty() {
            return Err(ReleaseError::Empty);
        }
        if payload.len() > MAX_ENCODED {
            return Err(ReleaseError::TooLarge(MAX_ENCODED as u64));
        }
        let inner = STANDARD
            .decode(payload.trim())
            .map_err(ReleaseError::Base64)?;
        let bytes = STANDARD.decode(&inner).map_err(ReleaseError::Base64)?;
        // Helm writes plain JSON in releases of its first years; the gzip magic tells.
        let json = if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut out = Vec::new();
            GzDecoder::new(bytes.as_slice())
                .take(MAX_DECODED + 1)
                .read_to_end(&mut out)
                .map_err(ReleaseError::Gzip)?;
            if out.len() as u64 > MAX_DECODED {
                return Err(ReleaseError::TooLarge(MAX_DECODED));
            }
            out
        } else {
            bytes
        };
        let record = serde_json::from_slice(&json).map_err(ReleaseError::Json)?;
        Ok(Release { record })
    }

    /// Encodes the record as `data.release`.
    pub fn encode(&self) -> Result<String, ReleaseError> {
        let json = serde_json::to_vec(&self.record).map_err(ReleaseError::Json)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&json).map_err(ReleaseError::Gzip)?;
        let bytes = gzip.finish().map_err(ReleaseError::Gzip)?;
        Ok(STANDARD.encode(STANDARD.encode(bytes)))
    }

    /// The release's name.
    pub fn name(&self) -> &str {
        text(&self.record, "/name")
    }

    /// The revision.
    pub fn version(&self) -> i64 {
        number(&self.record, "/version").unwrap_or(0)
    }

    /// Its state.
    pub fn status(&self) -> Status {
        Status::parse(text(&self.record, "/info/status"))
    }

    /// What Helm says of it, as `Upgrade complete`.
    pub fn description(&self) -> &str {
        text(&self.record, "/info/description")
    }

    /// The chart inside, as `("postgresql", "17.0.2")`.
    pub fn chart(&self) -> (&str, &str) {
        (
            text(&self.record, "/chart/metadata/name"),
            text(&self.record, "/chart/metadata/version"),
        )
    }

    /// The rendered manifest, YAML of several documents. May hold secrets.
    pub fn manifest(&self) -> &str {
        text(&self.record, "/manifest")
    }

    /// True if Helm applied it on the server; `None` from a Helm that does not say (3.x).
    pub fn server_side(&self) -> bool {
        text(&self.record, "/apply_method") == "ssa"
    }

    /// The values that it was made with, beside the chart's own. May hold secrets.
    pub fn values(&self) -> &Value {
        self.record.get("config").unwrap_or(&Value::Null)
    }
}

/// The payload with another state, everything else as it was.
pub fn with_status(
    payload: &str,
    status: Status,
    description: &str,
) -> Result<String, ReleaseError> {
    let mut release = Release::decode(payload)?;
    release.record["info"]["status"] = json!(status.as_str());
    release.record["info"]["description"] = json!(description);
    release.encode()
}

/// The JSON patch that marks a revision's Secret (given whole) as failed, so that the next
/// `helm upgrade` goes on from there. It fails if the Secret was written in between. Helm reads the
/// state from the payload, its filters read the label: both change together.
pub fn mark_failed(secret: &Value, description: &str) -> Result<Vec<Value>, ReleaseError> {
    let payload = with_status(text(secret, "/data/release"), Status::Failed, description)?;
    let version = secret
        .pointer("/metadata/resourceVersion")
        .cloned()
        .unwrap_or(Value::Null);
    Ok(vec![
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
        json!({"op": "replace", "path": "/data/release", "value": payload}),
        json!({"op": "replace", "path": "/metadata/labels/status", "value": Status::Failed.as_str()}),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(status: &str) -> String {
        Release {
            record: json!({
                "name": "postgresql",
                "info": {"first_deployed": "2026-11-22T10:00:00Z", "status": status, "description": "Preparing upgrade"},
                "chart": {"metadata": {"name": "postgresql", "version": "17.0.2"}, "values": {"a": 1.5, "b": 12345678901_u64}},
                "config": {"auth": {"password": "canary"}},
                "manifest": "---\nkind: Service\n", "version": 3, "namespace": "data",
            }),
        }
        .encode()
        .unwrap()
    }

    fn secret(name: &str, version: &str, status: &str) -> Value {
        json!({"metadata": {
            "name": format!("sh.helm.release.v1.{name}.v{version}"), "uid": format!("u{version}"), "resourceVersion": "5",
            "labels": {"owner": "helm", "name": name, "version": version, "status": status}},
            "data": {"release": payload(status)}})
    }

    #[test]
    fn the_newest_is_by_number() {
        let table = "\
sh.helm.release.v1.db.v9    helm.sh/release.v1   1     5d    9     superseded
sh.helm.release.v1.db.v10   helm.sh/release.v1   1     1s    10    pending-upgrade
sh.helm.release.v1.db.vx    helm.sh/release.v1   1     1s    x     deployed
db-credentials              Opaque               2     5d    99    deployed
noise
";
        let newest = newest(table).unwrap();
        assert_eq!(
            (newest.version, newest.status),
            (10, Status::PendingUpgrade)
        );
        assert_eq!(super::newest(""), None);
        assert_eq!(secret_of("db", 10), "sh.helm.release.v1.db.v10");
    }

    #[test]
    fn every_status_has_its_word() {
        for word in [
            "deployed",
            "superseded",
            "failed",
            "pending-install",
            "pending-upgrade",
            "pending-rollback",
            "uninstalling",
            "uninstalled",
        ] {
            assert_eq!(Status::parse(word).as_str(), word);
            assert_eq!(
                Status::parse(word).is_pending(),
                word.starts_with("pending")
            );
        }
        assert_eq!(Status::parse("new-word"), Status::Unknown);
    }

    #[test]
    fn only_the_status_changes() {
        let before = payload("pending-upgrade");
        let after = with_status(&before, Status::Failed, "cut off").unwrap();
        let (mut b, a) = (
            Release::decode(&before).unwrap(),
            Release::decode(&after).unwrap(),
        );
        assert_eq!(a.status(), Status::Failed);
        assert_eq!(a.description(), "cut off");
        assert_eq!(a.chart(), ("postgresql", "17.0.2"));
        assert_eq!(a.version(), 3);
        b.record["info"]["status"] = json!("failed");
        b.record["info"]["description"] = json!("cut off");
        assert_eq!(a.record.to_string(), b.record.to_string());
    }

    #[test]
    fn marking_tests_the_version_and_changes_label_and_payload() {
        let patch = mark_failed(&secret("postgresql", "3", "pending-upgrade"), "x").unwrap();
        assert_eq!(patch[0]["value"], "5");
        assert_eq!(patch[2]["value"], "failed");
        let release = Release::decode(patch[1]["value"].as_str().unwrap()).unwrap();
        assert_eq!(release.status(), Status::Failed);
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        let bomb = {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            for _ in 0..65 {
                gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
            }
            STANDARD.encode(STANDARD.encode(gzip.finish().unwrap()))
        };
        for (payload, message) in [
            (String::new(), "the release's Secret has no payload"),
            ("%".into(), "the release's payload is not base64"),
            (STANDARD.encode("%"), "the release's payload is not base64"),
            (
                STANDARD.encode(STANDARD.encode("{")),
                "the release's payload is not JSON",
            ),
            (
                STANDARD.encode(STANDARD.encode([0x1f, 0x8b, 1])),
                "the release's payload cannot be unpacked",
            ),
            (
                "A".repeat(MAX_ENCODED + 1),
                "the release's payload is larger than 2097152 bytes",
            ),
            (bomb, "the release's payload is larger than 67108864 bytes"),
        ] {
            assert_eq!(Release::decode(&payload).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let release = Release::decode(&payload("deployed")).unwrap();
        assert!(!format!("{release:?}").contains("canary"));
    }
}
