//! Helm's own records: one Secret a revision.
//!
//! Pure. One reason: what Helm knows is read from where Helm keeps it, without starting Helm.

use std::fmt;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A payload unpacks to at most so many bytes: a Secret holds 1 MiB of gzip.
const CAP: u64 = 64 << 20;
/// A payload is at most so many bytes: the API server takes no Secret above 1 MiB, encoded once more.
const ENCODED_CAP: usize = 2 << 20;

/// Helm's status of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The revision that is live.
    Deployed,
    /// Helm ended with an error.
    Failed,
    /// A newer revision replaced it.
    Superseded,
    /// Helm began to install and did not finish.
    PendingInstall,
    /// Helm began to upgrade and did not finish.
    PendingUpgrade,
    /// Helm began to roll back and did not finish.
    PendingRollback,
    /// Removed, history kept.
    Uninstalled,
    /// Being removed.
    Uninstalling,
    /// A word that we do not know.
    Unknown,
}

impl Status {
    const WORDS: [(&'static str, Status); 9] = [
        ("deployed", Status::Deployed),
        ("failed", Status::Failed),
        ("superseded", Status::Superseded),
        ("pending-install", Status::PendingInstall),
        ("pending-upgrade", Status::PendingUpgrade),
        ("pending-rollback", Status::PendingRollback),
        ("uninstalled", Status::Uninstalled),
        ("uninstalling", Status::Uninstalling),
        ("unknown", Status::Unknown),
    ];

    /// From Helm's word.
    pub fn parse(word: &str) -> Self {
        Self::WORDS
            .iter()
            .find(|(w, _)| *w == word)
            .map_or(Status::Unknown, |(_, s)| *s)
    }

    /// Helm's word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, s)| *s == self)
            .map_or("unknown", |(w, _)| w)
    }

    /// Helm was (or still is) at work.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// From 1.
    pub revision: u64,
    /// Its status.
    pub status: Status,
}

/// The revisions in a table `NAME TYPE DATA AGE VERSION STATUS`; other lines are skipped.
pub fn history(table: &str) -> Vec<Revision> {
    table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [name, "helm.sh/release.v1", _, _, version, status] = words[..] else {
                return None;
            };
            name.starts_with("sh.helm.release.v1.").then_some(())?;
            Some(Revision {
                revision: version.parse().ok()?,
                status: Status::parse(status),
            })
        })
        .collect()
}

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Larger than anything that Helm writes.
    #[error("the payload is larger than {0} bytes")]
    TooLarge(u64),
    /// Not base64.
    #[error("the payload is not base64")]
    Base64(#[from] base64::DecodeError),
    /// Not gzip.
    #[error("the payload cannot be unpacked")]
    Gzip(#[from] std::io::Error),
    /// Not JSON.
    #[error("the payload is not JSON")]
    Json(#[from] serde_json::Error),
}

/// Unpacks a Secret's `data.release`.
pub fn decode(payload: &str) -> Result<Value, ReleaseError> {
    if payload.len() > ENCODED_CAP {
        return Err(ReleaseError::TooLarge(ENCODED_CAP as u64));
    }
    let packed = BASE64.decode(BASE64.decode(payload.trim())?)?;
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .take(CAP + 1)
        .read_to_end(&mut json)?;
    if json.len() as u64 > CAP {
        return Err(ReleaseError::TooLarge(CAP));
    }
    Ok(serde_json::from_slice(&json)?)
}

/// The payload with another status.
pub fn with_status(
    payload: &str,
    status: Status,
    description: &str,
) -> Result<String, ReleaseError> {
    let mut release = decode(payload)?;
    release["info"]["status"] = json!(status.word());
    release["info"]["description"] = json!(description);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&serde_json::to_vec(&release)?)?;
    Ok(BASE64.encode(BASE64.encode(gzip.finish()?)))
}

/// The chart that a decoded record was made from, as `postgresql 17.0.2`.
pub fn chart(record: &Value) -> Option<String> {
    let metadata = record.pointer("/chart/metadata")?;
    let text = |key: &str| metadata.get(key).and_then(Value::as_str);
    Some(format!("{} {}", text("name")?, text("version")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_everything_but_its_status() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(
            br#"{"name":"db","info":{"status":"pending-install","notes":"n"},"manifest":"a: b"}"#,
        )
        .unwrap();
        let payload = BASE64.encode(BASE64.encode(gzip.finish().unwrap()));
        let failed = decode(&with_status(&payload, Status::Failed, "why").unwrap()).unwrap();
        assert_eq!(
            failed,
            json!({"name": "db", "info": {"status": "failed", "notes": "n", "description": "why"}, "manifest": "a: b"})
        );
        assert!(
            decode("!").is_err()
                && decode("YQ==").is_err()
                && decode(&BASE64.encode(BASE64.encode("x"))).is_err()
        );
    }

    #[test]
    fn the_table_is_read() {
        let table = "sh.helm.release.v1.db.v1   helm.sh/release.v1   1     5d    1     superseded\nsh.helm.release.v1.db.v2   helm.sh/release.v1   1     1s    2     pending-upgrade\nnoise\n";
        let seen = history(table);
        assert_eq!(seen.len(), 2);
        assert_eq!(
            seen[1],
            Revision {
                revision: 2,
                status: Status::PendingUpgrade
            }
        );
        assert!(seen[1].status.is_pending() && !seen[0].status.is_pending());
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        let bomb = {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            for _ in 0..65 {
                gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
            }
            BASE64.encode(BASE64.encode(gzip.finish().unwrap()))
        };
        for (payload, message) in [
            ("%".to_owned(), "the payload is not base64"),
            (BASE64.encode("%"), "the payload is not base64"),
            (
                BASE64.encode(BASE64.encode([0x1f, 0x8b, 1])),
                "the payload cannot be unpacked",
            ),
            (
                "A".repeat(ENCODED_CAP + 1),
                "the payload is larger than 2097152 bytes",
            ),
            (bomb, "the payload is larger than 67108864 bytes"),
        ] {
            assert_eq!(decode(&payload).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_chart_inside() {
        let record = json!({"chart": {"metadata": {"name": "postgresql", "version": "17.0.2"}}});
        assert_eq!(chart(&record).as_deref(), Some("postgresql 17.0.2"));
        assert_eq!(chart(&json!({})), None);
    }
}
