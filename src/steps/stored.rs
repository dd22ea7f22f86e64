//! A file that monopg stores on the node, and how it knows without reading it whole that it is still the same.
//!
//! May depend on `engine` and `host`. One reason: hashing a 63 MB helm takes 0.2 s, which a run that
//! finds nothing to do does not have; so inode, size and times vouch for the digest that was taken at
//! installation, and only when they differ (or with `--deep`) the file is read.

use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::host::channel::quote;
use crate::host::{Command, Host, HostError};
use crate::settings::Sha256Hex;

/// A stored file: its path and the digest of the archive that it came from.
pub struct StoredFile {
    /// Names the questions, as `helm.binary`.
    pub key: &'static str,
    /// Where it is.
    pub path: String,
    /// The pin: the digest of the archive (for a chart, of the file itself).
    pub pin: Sha256Hex,
    /// Read the file even if its times vouch for it.
    pub deep: bool,
}

/// What is known about a stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// As it was installed, from the pinned archive.
    Same,
    /// Not there.
    Missing,
    /// There, but nobody recorded what it is.
    Unrecorded,
    /// From another archive.
    OtherPin(String),
    /// The same bytes with another mode: the one that it should have and the one that it has.
    OtherMode {
        /// At installation.
        want: String,
        /// Now.
        got: String,
    },
    /// Changed since; the digest that it should have and the one that it has (`None`: not read yet).
    Touched {
        /// At installation.
        want: String,
        /// Now.
        got: Option<String>,
    },
}

impl StoredFile {
    fn record(&self) -> String {
        format!("{}.stored", self.path)
    }

    /// What is on the node: the record (pin, digest, stat) and the stat of now.
    pub fn question(&self) -> Query {
        let (path, record) = (quote(&self.path), quote(&self.record()));
        Query::shell(
            self.key,
            format!(
                "[ -f {path} ] || exit 0; stat -c '%i %s %y %z %a' -- {path} && {{ cat -- {record} 2>/dev/null || :; }}"
            ),
        )
    }

    /// The whole file's digest, if its times do not vouch for it.
    pub fn follow_up(&self, answers: &Answers) -> Result<Option<Query>, AnswerError> {
        let unread = matches!(self.judge(answers)?, Stored::Touched { got: None, .. });
        Ok(unread.then(|| {
            Query::shell(
                format!("{}.sha256", self.key),
                format!("sha256sum <{}", quote(&self.path)),
            )
        }))
    }

    /// What the answers mean.
    pub fn judge(&self, answers: &Answers) -> Result<Stored, AnswerError> {
        let text = answers.text(self.key)?;
        let mut lines = text.lines();
        let Some(stat) = lines.next() else {
            return Ok(Stored::Missing);
        };
        let (Some(pin), Some(digest), Some(recorded)) = (lines.next(), lines.next(), lines.next())
        else {
            return Ok(Stored::Unrecorded);
        };
        if pin != self.pin.as_str() {
            return Ok(Stored::OtherPin(pin.to_owned()));
        }
        let got = match answers.shell.get(&format!("{}.sha256", self.key)) {
            None => None,
            Some(out) if out.ok() => out
                .text()
                .split_ascii_whitespace()
                .next()
                .map(str::to_owned),
            Some(out) => return Err(crate::engine::answers::unreadable(self.key, out)),
        };
        // The mode is the last word; other times may be anybody's innocent `touch`.
        let mode = |stat: &str| stat.rsplit(' ').next().unwrap_or_default().to_owned();
        let (want_mode, got_mode) = (mode(recorded), mode(stat));
        Ok(match got {
            Some(got) if got == digest && got_mode != want_mode => Stored::OtherMode {
                want: want_mode,
                got: got_mode,
            },
            Some(got) if got == digest => Stored::Same,
            None if stat == recorded && !self.deep => Stored::Same,
            got => Stored::Touched {
                want: digest.to_owned(),
                got,
            },
        })
    }

    /// Records what was just uploaded: the pin, the file's own digest, and its stat.
    pub async fn record_it(&self, host: &dyn Host, digest: &str) -> Result<(), HostError> {
        // The old one, or a link that somebody put there, is not written through.
        let script = r#"set -e
rm -f -- "$2.new"; set -C
printf '%s\n%s\n%s\n' "$3" "$4" "$(stat -c '%i %s %y %z %a' -- "$1")" >"$2.new"
sync "$2.new"; mv -f -- "$2.new" "$2"; sync "${2%/*}""#;
        let command = Command::new(format!("record {}", self.path), script)
            .arg(&self.path)
            .arg(self.record())
            .arg(self.pin.as_str())
            .arg(digest);
        let out = host.run(command).await?;
        if out.ok() {
            return Ok(());
        }
        Err(HostError::Failed {
            what: format!("record {}", self.path),
            status: out.status,
            tail: out.stderr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Output;

    fn file(deep: bool) -> StoredFile {
        StoredFile {
            key: "f",
            path: "/f".into(),
            pin: Sha256Hex::parse(&"a".repeat(64)).unwrap(),
            deep,
        }
    }

    fn judge(deep: bool, text: &str, sha: Option<&str>) -> Stored {
        let mut answers = Answers::default();
        answers.shell.insert(
            "f".into(),
            Output {
                stdout: text.into(),
                ..Output::default()
            },
        );
        if let Some(sha) = sha {
            answers.shell.insert(
                "f.sha256".into(),
                Output {
                    stdout: sha.into(),
                    ..Output::default()
                },
            );
        }
        file(deep).judge(&answers).unwrap()
    }

    #[test]
    fn what_vouches_for_a_file() {
        let pin = "a".repeat(64);
        let same = format!("1 2 x y 755\n{pin}\nd1\n1 2 x y 755\n");
        let touched = format!("1 2 z y 755\n{pin}\nd1\n1 2 x y 755\n");
        let other = format!("1 2 x y 755\n{}\nd1\n1 2 x y 755\n", "b".repeat(64));
        assert_eq!(judge(false, "", None), Stored::Missing);
        assert_eq!(judge(false, "1 2 x y 755\n", None), Stored::Unrecorded);
        assert_eq!(judge(false, "1 2 x y 755\nhalf", None), Stored::Unrecorded);
        assert_eq!(judge(false, &same, None), Stored::Same);
        assert_eq!(
            judge(true, &same, None),
            Stored::Touched {
                want: "d1".into(),
                got: None
            }
        );
        assert_eq!(judge(true, &same, Some("d1  -")), Stored::Same);
        assert_eq!(
            judge(false, &touched, None),
            Stored::Touched {
                want: "d1".into(),
                got: None
            }
        );
        assert_eq!(judge(false, &touched, Some("d1  -")), Stored::Same);
        assert_eq!(
            judge(false, &touched, Some("d2  -")),
            Stored::Touched {
                want: "d1".into(),
                got: Some("d2".into())
            }
        );
        assert_eq!(judge(false, &other, None), Stored::OtherPin("b".repeat(64)));
    }
}
