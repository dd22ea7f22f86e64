//! The helper's two streams out of the one that a terminal has.
//!
//! May depend on nothing of the crate. One reason: a sudo with `requiretty` gives us one stream for everything, and
//! the channel above must not know.
//!
//! The helper keeps what is said on standard error and sends it behind each answer as a line `@S BASE64;`. Only
//! wake-ups (`\n@W<nonce>\n`, one write each) come at any moment, also in the middle of a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
};

/// As the channel's own limit for an answer.
const LONGEST: usize = 64 << 20;
/// What may wait for a reader.
const AHEAD: usize = 64 << 10;

/// Standard output and standard error of the helper; both end with the stream.
pub fn split(from: Box<dyn AsyncRead + Send + Unpin>, nonce: &str) -> (DuplexStream, DuplexStream) {
    let (mut out, stdout) = tokio::io::duplex(AHEAD);
    let (mut err, stderr) = tokio::io::duplex(AHEAD);
    let mut lines = Lines::new(nonce);
    tokio::spawn(async move {
        let mut reader = BufReader::with_capacity(AHEAD, from);
        loop {
            let mut line = Vec::new();
            let read = (&mut reader)
                .take(LONGEST as u64)
                .read_until(b'\n', &mut line)
                .await;
            if !matches!(read, Ok(n) if n > 0) || line.pop() != Some(b'\n') {
                break;
            }
            let Some(parts) = lines.take(line) else {
                break;
            };
            // A reader that is gone does not stop the other one.
            let _ = out.write_all(&parts.stdout).await;
            let _ = err.write_all(&parts.stderr).await;
        }
    });
    (stdout, stderr)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Puts lines together that a wake-up has torn.
struct Lines {
    wake: Vec<u8>,
    /// The helper refuses to start.
    refusal: Vec<u8>,
    /// A line that a wake-up may have cut short.
    held: Option<Vec<u8>>,
    /// A wake-up came right behind the held line.
    torn: bool,
}

impl Lines {
    fn new(nonce: &str) -> Self {
        Lines {
            wake: format!("@W{nonce}").into_bytes(),
            refusal: format!("@U{nonce}").into_bytes(),
            held: None,
            torn: false,
        }
    }

    /// Takes a line without its end. `None`: the far side does not keep to the protocol.
    fn take(&mut self, line: Vec<u8>) -> Option<Parts> {
        let mut parts = Parts::default();
        if line == self.wake {
            self.torn = true;
            parts.stderr = [b"\n", &self.wake[..], b"\n"].concat();
            return Some(parts);
        }
        if line == self.refusal {
            // Said before there is an answer that it could follow.
            parts.stderr = [&self.refusal[..], b"\n"].concat();
            return Some(parts);
        }
        let whole = match self.held.take() {
            Some(mut held) if self.torn => {
                held.extend_from_slice(&line);
                held
            }
            Some(held) => {
                parts.stdout = held;
                parts.stdout.push(b'\n');
                line
            }
            None => line,
        };
        self.torn = false;
        if whole.len() > LONGEST {
            return None;
        }
        match whole
            .strip_prefix(b"@S ")
            .and_then(|w| w.strip_suffix(b";"))
        {
            Some(said) => parts.stderr = STANDARD.decode(said).ok()?,
            None => self.held = Some(whole),
        }
        Some(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the two streams say in all.
    fn both(stream: &str) -> (String, String) {
        let mut lines = Lines::new("ab");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for line in stream.split_terminator('\n') {
            let parts = lines.take(line.as_bytes().to_vec()).unwrap();
            out.extend(parts.stdout);
            err.extend(parts.stderr);
        }
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    #[test]
    fn a_wake_up_may_tear_any_line_at_any_place() {
        // "err\n@Eab 1 0\n" and then an answer without a word on standard error but its end.
        let said = STANDARD.encode("err\n\n@Eab 1 0\n");
        let stream = format!("1 AAAA\n@S {said};\n2 \n@S {said};\n");
        let (out, err) = both(&stream);
        assert_eq!(out, "1 AAAA\n2 \n");
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            let torn = format!("{head}\n@Wab\n{tail}");
            let (torn_out, torn_err) = both(&torn);
            assert_eq!(torn_out.replace("\n\n", "\n").trim_start(), out, "{torn:?}");
            assert_eq!(torn_err.replace("\n@Wab\n", ""), err, "{torn:?}");
            let twice = format!("{head}\n@Wab\n\n@Wab\n{tail}");
            assert_eq!(both(&twice).1.matches("@Wab").count(), 2);
        }
    }

    #[test]
    fn a_refusal_comes_without_an_answer() {
        assert_eq!(both("@Uab\n"), (String::new(), "@Uab\n".into()));
    }

    #[test]
    fn nonsense_ends_the_stream() {
        let mut lines = Lines::new("ab");
        assert_eq!(lines.take(b"@S !!;".to_vec()), None);
    }
}
