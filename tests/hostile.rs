//! Far sides that mean harm, or are just broken: everything ends, in bounded memory, and nothing of theirs gets through.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use monopg::host::channel::Channel;
use monopg::host::transport::{Ending, RoundTrips, Transport};
use monopg::host::{Command, Host, HostError, Upload};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
};

/// The far side of a channel: what it is sent, and its two voices.
struct Far {
    stdin: BufReader<DuplexStream>,
    stdout: DuplexStream,
    stderr: DuplexStream,
}

/// A request as the helper would see it.
struct Request {
    op: String,
    id: u64,
    script: String,
}

impl Far {
    async fn request(&mut self) -> Option<Request> {
        loop {
            let mut line = String::new();
            if self.stdin.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |n: usize| words.get(n).and_then(|w| w.parse::<usize>().ok());
            let (script, data) = (number(2)?, number(3)?);
            let mut bytes = vec![0; script + data];
            self.stdin.read_exact(&mut bytes).await.ok()?;
            if words[0] != "beat" {
                return Some(Request {
                    op: words[0].to_owned(),
                    id: number(1)? as u64,
                    script: String::from_utf8_lossy(&bytes[..script]).into_owned(),
                });
            }
        }
    }

    /// Answers as the helper would.
    async fn answer(&mut self, request: &Request, status: i32, stdout: &[u8], stderr: &[u8]) {
        let text = base64::engine::general_purpose::STANDARD.encode(stdout);
        let out = format!("{} {text}\n", request.id);
        self.stdout.write_all(out.as_bytes()).await.unwrap();
        self.stderr.write_all(stderr).await.unwrap();
        let end = format!("\n@Eabc {} {status}\n", request.id);
        self.stderr.write_all(end.as_bytes()).await.unwrap();
    }
}

/// A channel to such a far side.
fn channel() -> (Channel, Far) {
    let (stdin, their_stdin) = tokio::io::duplex(256 << 10);
    let (stdout, their_stdout) = tokio::io::duplex(256 << 10);
    let (stderr, their_stderr) = tokio::io::duplex(256 << 10);
    let transport = Transport {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        round_trips: RoundTrips::default(),
        ending: Ending::default(),
        keep: Box::new(()),
    };
    let far = Far {
        stdin: BufReader::new(their_stdin),
        stdout: their_stdout,
        stderr: their_stderr,
    };
    (Channel::new("evil", "abc", transport), far)
}

fn soon(script: &str) -> Command {
    Command::new("ask", script).limit(Duration::from_millis(200))
}

/// Says the same for ever on one stream; counts the bytes that somebody took.
fn for_ever(mut to: DuplexStream, text: &'static str, taken: Arc<AtomicUsize>) {
    tokio::spawn(async move {
        let piece = text.repeat((64 << 10) / text.len());
        while to.write_all(piece.as_bytes()).await.is_ok() {
            taken.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (channel, far) = channel();
    let taken = Arc::new(AtomicUsize::new(0));
    for_ever(far.stdout, "AAAA", Arc::clone(&taken));
    let error = channel
        .run(Command::new("ask", "x").limit(Duration::from_secs(60)))
        .await
        .unwrap_err();
    assert!(matches!(error, HostError::Lost { .. }), "{error:?}");
    assert!(taken.load(Ordering::Relaxed) < 80 << 20);
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_not_our_helper() {
    let ends = |text: &'static str| async move {
        let (channel, far) = channel();
        for_ever(far.stdout, text, Arc::default());
        let error = channel.run(soon("x")).await.unwrap_err();
        assert!(matches!(error, HostError::Lost { .. }), "{error:?}");
        // It is not used any more.
        let error = channel.run(soon("y")).await.unwrap_err();
        assert!(matches!(error, HostError::Lost { .. }), "{error:?}");
    };
    tokio::join!(ends("7777 QUFB\n"), ends("1 QUFB\n"));
}

#[tokio::test]
async fn words_without_end_are_kept_only_at_their_end() {
    for text in ["x", "xxxxxxx\n", "\u{1b}[31m\n"] {
        let (channel, mut far) = channel();
        let begun = tokio::spawn(async move {
            let request = far.request().await.unwrap();
            far.stdout
                .write_all(format!("{} QUFB\n", request.id).as_bytes())
                .await
                .unwrap();
            let piece = text.repeat((64 << 10) / text.len());
            for _ in 0..16 {
                far.stderr.write_all(piece.as_bytes()).await.unwrap();
            }
            far.stderr
                .write_all(format!("\n@Eabc {} 0\n", request.id).as_bytes())
                .await
                .unwrap();
            far
        });
        let out = channel
            .run(Command::new("ask", "x").limit(Duration::from_secs(60)))
            .await
            .unwrap();
        assert!(out.stderr.len() <= 64 << 10, "{}", out.stderr.len());
        assert!(!out.stderr.contains('\u{1b}'));
        begun.await.unwrap();
    }
}

#[tokio::test]
async fn nonsense_instead_of_an_answer_is_a_lost_connection() {
    for text in [
        "99999999999999999999999 AAAA\n",
        "-1 AAAA\n",
        "1 !!!!\n",
        "\n",
        "\u{0}\u{1}\u{2}\n",
        "1 AAAA",
    ] {
        let (channel, mut far) = channel();
        let said = tokio::spawn(async move {
            far.request().await.unwrap();
            far.stdout.write_all(text.as_bytes()).await.unwrap();
            let Far { stdout, .. } = far;
            drop(stdout);
        });
        let error = channel
            .run(Command::new("ask", "x").limit(Duration::from_secs(60)))
            .await
            .unwrap_err();
        assert!(
            matches!(error, HostError::Lost { .. }),
            "{text:?}: {error:?}"
        );
        said.await.unwrap();
    }
}

#[tokio::test]
async fn a_far_side_that_takes_nothing_does_not_hold_us() {
    let (channel, far) = channel();
    let big = monopg::secrets::Secret::new(vec![b'x'; 4 << 20]);
    let error = channel.run(soon("x").stdin(big)).await.unwrap_err();
    assert!(matches!(error, HostError::Timeout { .. }), "{error:?}");
    drop(far);
}

/// What came after half a request would be taken for its other half, and run as root.
#[tokio::test]
async fn nothing_follows_a_request_that_was_cut() {
    let (channel, mut far) = channel();
    let big = monopg::secrets::Secret::new(vec![b'x'; 4 << 20]);
    let turned_away = Duration::from_millis(100);
    let cut = channel.run(Command::new("ask", "one").stdin(big));
    assert!(tokio::time::timeout(turned_away, cut).await.is_err());
    // Now there is room again, and a beat is due.
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        far.stdin.read_to_end(&mut all).await.unwrap();
        all
    });
    let error = channel.run(soon("two")).await.unwrap_err();
    assert!(matches!(error, HostError::Lost { .. }), "{error:?}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    drop(channel);
    let all = reading.await.unwrap();
    let text = all.strip_prefix(b"run 1 3 4194304 200\none".as_slice());
    let text = text.or_else(|| all.strip_prefix(b"run 1 3 4194304 20\none".as_slice()));
    assert!(text.unwrap().iter().all(|b| *b == b'x'));
}

#[tokio::test]
async fn a_digest_that_differs_is_an_error_without_their_words() {
    let (channel, mut far) = channel();
    tokio::spawn(async move {
        while let Some(request) = far.request().await {
            let close = request.script.contains("sha256sum");
            let got = format!("\u{1b}]0;evil\u{7}{}", "e".repeat(4000));
            match close {
                true => far.answer(&request, 9, got.as_bytes(), b"").await,
                false => far.answer(&request, 0, b"", b"").await,
            }
            assert!(close || request.op != "lock");
        }
    });
    let upload = Upload {
        content: &[7; 3_000_000],
        path: "/x/y",
        mode: 0o600,
    };
    let error = channel.upload(upload, &|_| ()).await.unwrap_err();
    let HostError::Corrupt { got, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(got, &"e".repeat(64));
}

#[tokio::test]
async fn who_holds_the_lock_is_told_without_control_sequences() {
    let (channel, mut far) = channel();
    tokio::spawn(async move {
        while let Some(request) = far.request().await {
            far.answer(
                &request,
                1,
                b"\x1b]0;evil\x07\x1b[2Jann\r\x08, since noon",
                b"",
            )
            .await;
        }
    });
    let error = channel.lock_and_run("me", soon("x")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "another run holds the lock of evil: ann, since noon"
    );
}
