//! Bringing a file to a host through its channel: pieces, digest, rename.
//!
//! May depend on the channel. One reason: it works wherever commands do (no SFTP, no second channel), as root, and
//! nothing has its name before it is whole.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::channel::{Channel, Sent, nonce};
use super::{Command, HostError, Upload};

/// Pieces begin small, as nobody knows yet how fast the way is, and grow while they arrive quickly: each is a sign of
/// life, which the helper ends without after 30 s.
const FIRST: usize = 256 << 10;
const SMALLEST: usize = 64 << 10;
const LARGEST: usize = 4 << 20;
/// So many pieces may be under way.
const WINDOW: usize = 3;
/// A piece may take so long.
const LIMIT: Duration = Duration::from_secs(28);
/// Hashing and writing out may take so long.
const SLOW_DISK: Duration = Duration::from_secs(120);
/// Of a piece so much is compressed first, to see whether it is worth it.
const SAMPLE: usize = 32 << 10;

/// As [`super::Host::upload`].
pub(super) async fn upload(
    channel: &Channel,
    upload: Upload<'_>,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), HostError> {
    let label = format!("upload {}", upload.path);
    let (folder, file) = upload.path.rsplit_once('/').unwrap_or(("", upload.path));
    let temp = format!("{folder}/.monopg-upload.{}", nonce()?);
    let open = Command::new(&label, OPEN).arg(folder).arg(&temp);
    let mut way = Way {
        channel,
        under_way: VecDeque::from([(0, channel.start(&open).await?)]),
        arrived: 0,
        size: FIRST,
        last: Instant::now(),
        progress,
    };
    let mut digest = Sha256::new();
    let mut rest = upload.content;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(way.size.min(rest.len()));
        rest = later;
        way.room().await?;
        way.send(&label, &temp, piece).await?;
        // While it travels.
        digest.update(piece);
    }
    let digest: String = digest
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let close = Command::new(&label, CLOSE)
        .arg(&temp)
        .arg(format!("{folder}/{file}"))
        .arg(folder)
        .arg(&digest)
        .arg(format!("{:04o}", upload.mode))
        .limit(SLOW_DISK);
    let close = channel.start(&close).await?;
    way.all_arrived().await?;
    let out = channel.wait(close).await?;
    match out.status {
        0 => Ok(()),
        9 => Err(HostError::Corrupt {
            path: upload.path.to_owned(),
            got: super::channel::clean(&out.stdout)
                .chars()
                .take(64)
                .collect(),
            want: digest,
        }),
        status => Err(HostError::Failed {
            what: label,
            status,
            tail: out.stderr,
        }),
    }
}

/// The pieces under way.
struct Way<'a> {
    channel: &'a Channel,
    under_way: VecDeque<(usize, Sent)>,
    arrived: u64,
    size: usize,
    last: Instant,
    progress: &'a (dyn Fn(u64) + Send + Sync),
}

impl Way<'_> {
    async fn send(&mut self, label: &str, temp: &str, piece: &[u8]) -> Result<(), HostError> {
        let packed = gzip(piece).map(Zeroizing::new);
        let data = packed.as_ref().map_or(piece, |p| p.as_slice());
        let sent = self
            .channel
            .feed(label, temp, data, packed.is_some(), LIMIT)
            .await?;
        self.under_way.push_back((piece.len(), sent));
        Ok(())
    }

    /// Waits until one more piece may be sent.
    async fn room(&mut self) -> Result<(), HostError> {
        while self.under_way.len() > WINDOW {
            self.one_arrives().await?;
        }
        Ok(())
    }

    async fn all_arrived(&mut self) -> Result<(), HostError> {
        while !self.under_way.is_empty() {
            self.one_arrives().await?;
        }
        Ok(())
    }

    async fn one_arrives(&mut self) -> Result<(), HostError> {
        let Some((bytes, sent)) = self.under_way.pop_front() else {
            return Ok(());
        };
        let what = sent.label().to_owned();
        let out = self.channel.wait(sent).await?;
        if !out.ok() {
            return Err(HostError::Failed {
                what,
                status: out.status,
                tail: out.stderr,
            });
        }
        if bytes == 0 {
            // The opening.
            return Ok(());
        }
        self.arrived += bytes as u64;
        (self.progress)(self.arrived);
        let took = self.last.elapsed();
        self.last = Instant::now();
        if took < Duration::from_secs(1) {
            self.size = (self.size * 2).min(LARGEST);
        } else if took > Duration::from_secs(4) {
            self.size = (self.size / 2).max(SMALLEST);
        }
        Ok(())
    }
}

/// The piece compressed, if that makes it smaller by a tenth at least.
fn gzip(piece: &[u8]) -> Option<Vec<u8>> {
    let sample = piece.get(..SAMPLE).unwrap_or(piece);
    packed(sample)?;
    packed(piece)
}

fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into a vector cannot fail; if it did, the piece would go uncompressed.
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len() / 10 * 9).then_some(packed)
}

// Only one run holds the lock, so whatever bears our name there was left by one that died. The helper removes what
// stands in `upload.$main` when it ends. With -C a shell opens nothing that is there already, not even a link.
const OPEN: &str = r#"
set -e
(umask 022; mkdir -p -- "$1")
rm -f -- "$1"/.monopg-upload.*
printf '%s\n' "$2" >"$R/upload.$main"
set -C
: >"$2"
"#;

// The order matters after a power cut: content on the disk, then the name, then the folder. The disk writes while the
// processor hashes.
const CLOSE: &str = r#"
sync "$1" & written=$!
got=$(sha256sum <"$1") && got=${got%% *} || exit 1
if [ "$got" != "$4" ]; then rm -f -- "$1"; printf %s "$got"; exit 9; fi
wait "$written" && chmod "$5" "$1" && sync "$1" && mv -f -T -- "$1" "$2" && sync "$3" || { r=$?; rm -f -- "$1"; exit "$r"; }
"#;
