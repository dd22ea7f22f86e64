//! The terminal that a run's questions go to.
//!
//! May depend on `host`'s person and the reporter. One reason: a question must not be torn by progress bars, must
//! end when the run is asked to stop, and must leave the terminal as it was.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::stop::Stop;
use crate::host::person::{Person, Terminal};
use crate::report::{Reporter, strip_controls};

/// Longer answers are none.
const LONGEST: u64 = 4096;

/// Who can be asked during the run. Standard error has to be a terminal, too: where it is not (Ansible, a log file),
/// nobody sits in front of the one that the process may have inherited.
pub(super) fn person(no_input: bool, reporter: &Arc<Reporter>, stop: &Stop) -> Arc<Person> {
    let terminal = File::open("/dev/tty").is_ok() && std::io::stderr().is_terminal();
    match (no_input, terminal) {
        (true, _) => Person::nobody("--no-input forbids to ask"),
        (false, false) => Person::nobody("there is no terminal to ask on"),
        (false, true) => Person::at(Arc::new(Tty {
            reporter: Arc::clone(reporter),
            stop: stop.token(),
        })),
    }
}

struct Tty {
    reporter: Arc<Reporter>,
    stop: CancellationToken,
}

#[async_trait]
impl Terminal for Tty {
    async fn ask(&self, text: &str, hidden: bool) -> Option<Zeroizing<String>> {
        if self.stop.is_cancelled() {
            return None;
        }
        let _hold = self.reporter.hold();
        // Names of hosts and files are in it; they must not drive the terminal.
        let text = strip_controls(text);
        let read = tokio::task::spawn_blocking(move || match hidden {
            true => unseen(&text),
            false => seen(&text),
        });
        let mut typing = Typing { unseen: hidden };
        tokio::select! {
            answer = read => {
                typing.unseen = false;
                answer.ok()?.ok()
            }
            () = self.stop.cancelled() => None,
        }
    }
}

/// A question that ends without an answer leaves a thread that still reads, with echo off; the process ends soon, but
/// the terminal stays.
struct Typing {
    unseen: bool,
}

impl Drop for Typing {
    fn drop(&mut self) {
        if self.unseen {
            show_typing();
        }
    }
}

fn unseen(text: &str) -> std::io::Result<Zeroizing<String>> {
    rpassword::prompt_password(text).map(Zeroizing::new)
}

fn seen(text: &str) -> std::io::Result<Zeroizing<String>> {
    let mut tty = File::options().read(true).write(true).open("/dev/tty")?;
    tty.write_all(text.as_bytes())?;
    tty.flush()?;
    let mut line = Zeroizing::new(String::new());
    if BufReader::new(tty).take(LONGEST).read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

/// Echo on again and a fresh line, as after a shell's own interrupted prompt.
fn show_typing() {
    let Ok(tty) = File::options().read(true).write(true).open("/dev/tty") else {
        return;
    };
    let _ = (&tty).write_all(b"\n");
    let done = Command::new("stty")
        .args(["echo", "-echonl"])
        .stdin(tty)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = done {
        tracing::debug!(%error, "stty");
    }
}
