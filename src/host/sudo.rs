//! Becoming root: sudo's command line, its dialogue, and its words understood.
//!
//! May depend on the transport, the marker and `secrets`. One reason: the password is given away only here,
//! once, and only to our own prompt.
//!
//! Rules: Ansible's `plugins/become/sudo.py` (flags, prompt), sudo(8) (`-S` reads standard input, `-n` never asks).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::HostError;
use super::marker;
use super::transport::RoundTrips;
use crate::secrets::Secret;
use crate::settings::spec::Become;

/// Ansible's default flags.
const FLAGS: &str = "-H -S -n";
/// So many waits for the next words there may be in all: a trickle shall not hold us.
const WAITS: u32 = 4;
/// Enough for a lecture and a banner, not for a flood.
const WORDS: usize = 64 * 1024;

/// Quotes a word for POSIX sh.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The prompt that sudo is told to use; the random part makes it ours.
pub fn prompt(nonce: &str) -> String {
    format!("[sudo via monopg, key={nonce}] password:")
}

/// The command for POSIX sh that runs the script as root. Without a password sudo is forbidden to ask, so it
/// never reads the data that follow; with one it asks with our prompt.
pub fn command(script: &str, privileges: &Become, nonce: &str) -> Result<String, HostError> {
    let split = |what: &str, text: &str| {
        shell_words::split(text)
            .map_err(|_| HostError::Unsupported(format!("{what} has an unbalanced quote: {text}")))
    };
    let exe = split("ansible_become_exe", &privileges.exe)?;
    let flags = split(
        "ansible_become_flags",
        privileges.flags.as_deref().unwrap_or(FLAGS),
    )?;
    let mut words = if exe.is_empty() {
        vec!["sudo".to_owned()]
    } else {
        exe
    };
    words.extend(flags.iter().filter_map(|f| without_n(f)));
    if !words.iter().any(|w| reads_stdin(w)) {
        words.push("-S".into());
    }
    if privileges.password.is_some() {
        words.extend(["-p".to_owned(), prompt(nonce)]);
    } else {
        words.push("-n".into());
    }
    words.extend(["-u", "root", "/bin/sh", "-c"].map(str::to_owned));
    words.push(marker::mark(script, nonce));
    let line: Vec<String> = words.iter().map(|w| quote(w)).collect();
    // sudo's own words must be the recorded ones, whatever the login's locale.
    Ok(format!("LC_ALL=C; export LC_ALL\nexec {}", line.join(" ")))
}

/// A flag without `-n`, which is set or not by what we know, not by habit.
fn without_n(flag: &str) -> Option<String> {
    if flag == "--non-interactive" {
        return None;
    }
    if !flag.starts_with('-') || flag.starts_with("--") {
        return Some(flag.to_owned());
    }
    let rest = flag.replace('n', "");
    (rest != "-").then_some(rest)
}

fn reads_stdin(flag: &str) -> bool {
    flag == "--stdin" || (flag.starts_with('-') && !flag.starts_with("--") && flag.contains('S'))
}

/// What the dialogue read beyond its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Standard output behind the marker.
    pub stdout: Vec<u8>,
    /// Standard error without prompt and lecture.
    pub stderr: Vec<u8>,
}

/// Answers sudo's prompt once and returns when the marker proves that the script runs. `limit` counts for
/// each wait, and four times for all. Without a password it only waits. `merged`: the far side is a terminal, so all that is said comes on
/// standard output. `login` is for messages.
pub async fn escalate<I, O, E>(
    streams: (&mut I, &mut O, &mut E),
    merged: bool,
    password: Option<&Secret>,
    nonce: &str,
    limit: Duration,
    round_trips: &RoundTrips,
    login: &str,
) -> Result<Beyond, HostError>
where
    I: AsyncWrite + Unpin + ?Sized,
    O: AsyncRead + Unpin + ?Sized,
    E: AsyncRead + Unpin + ?Sized,
{
    let (stdin, stdout, stderr) = streams;
    if password.is_some_and(|p| p.expose().contains(&b'\n')) {
        return Err(HostError::Privilege {
            what: "the password for sudo has a line end in it".into(),
            hints: vec!["check ansible_become_password".into()],
        });
    }
    let end = tokio::time::Instant::now() + limit * WAITS;
    let prompt = prompt(nonce).into_bytes();
    let mut out = Vec::new();
    let mut err = Vec::new();
    // Where in `err` the next prompt may begin; behind the first one once it was answered.
    let mut from = 0;
    let mut answered = false;
    let (mut out_open, mut err_open) = (true, true);
    round_trips.count();
    while out_open || err_open {
        let mut a = [0; 4096];
        let mut b = [0; 4096];
        let read = async {
            tokio::select! {
                n = stdout.read(&mut a), if out_open => (true, n),
                n = stderr.read(&mut b), if err_open => (false, n),
            }
        };
        let until = end.min(tokio::time::Instant::now() + limit);
        let (is_out, n) = match tokio::time::timeout_at(until, read).await {
            Ok((is_out, n)) => (is_out, n.unwrap_or(0)),
            Err(_) => return Err(silent(&err, answered, limit)),
        };
        if is_out {
            out_open = n > 0;
            out.extend_from_slice(a.get(..n).unwrap_or_default());
            if let Some(end) = marker::find(&out, nonce) {
                return Ok(Beyond {
                    stdout: out.split_off(end),
                    stderr: if merged {
                        Vec::new()
                    } else {
                        err.split_off(from)
                    },
                });
            }
        } else {
            err_open = n > 0;
        }
        if is_out == merged {
            let said = if merged { &a } else { &b };
            err.extend_from_slice(said.get(..n).unwrap_or_default());
            if let Some(end) = at_line_start(&err, from, &prompt) {
                if answered {
                    // It asks again, so the first answer was wrong. A second try could lock the account.
                    return Err(explain("Sorry, try again.", Some(1), login));
                }
                answered = true;
                from = end;
                let Some(password) = password else {
                    return Err(explain("a password is required", Some(1), login));
                };
                let mut line = zeroize::Zeroizing::new(password.expose().to_vec());
                line.push(b'\n');
                let sent = async {
                    stdin.write_all(&line).await?;
                    stdin.flush().await
                };
                if let Err(error) = sent.await {
                    tracing::debug!(%error, "sudo does not take the password");
                }
                round_trips.count();
            } else if answered && contains(&err, from, b"Sorry, try again.") {
                return Err(explain("Sorry, try again.", Some(1), login));
            }
        }
        if out.len() > WORDS || err.len() > WORDS {
            return Err(HostError::Privilege {
                what: format!("sudo said more than {} KiB and did not start", WORDS / 1024),
                hints: Vec::new(),
            });
        }
    }
    Err(explain(&marker::clean(&err), None, login))
}

fn at_line_start(bytes: &[u8], from: usize, prompt: &[u8]) -> Option<usize> {
    let tail = bytes.get(from..)?;
    (0..tail.len())
        .filter(|&i| i == 0 || tail.get(i - 1) == Some(&b'\n'))
        .find(|&i| tail.get(i..).is_some_and(|t| t.starts_with(prompt)))
        .map(|i| from + i + prompt.len())
}

fn contains(bytes: &[u8], from: usize, needle: &[u8]) -> bool {
    bytes
        .get(from..)
        .is_some_and(|tail| tail.windows(needle.len()).any(|w| w == needle))
}

fn silent(err: &[u8], answered: bool, limit: Duration) -> HostError {
    let words = marker::clean(err);
    let last = words.lines().rev().find(|l| !l.trim().is_empty());
    let mut what = format!(
        "sudo did not {} within {} s",
        if answered {
            "answer the password"
        } else {
            "ask for the password"
        },
        limit.as_secs()
    );
    if let (Some(last), false) = (last, answered) {
        what.push_str(&format!("; it said: {last}"));
    }
    HostError::Privilege {
        what,
        hints: vec![
            "monopg answers one password prompt only; second factors are not supported: use a NOPASSWD rule or a root login".into(),
        ],
    }
}

/// sudo's words (LC_ALL=C, recorded with sudo 1.9) understood: the one place where text decides, because sudo's
/// exit status 1 is also the command's.
pub fn explain(stderr: &str, status: Option<i32>, login: &str) -> HostError {
    let says = |words: &[&str]| words.iter().any(|w| stderr.contains(w));
    let (what, hints): (String, &[&str]) = if says(&[
        "Sorry, try again.",
        "incorrect password attempt",
        "Authentication failed",
    ]) {
        (
            format!("sudo refused the password of {login}; it was tried once"),
            &["check ansible_become_password, or type it with -K"],
        )
    } else if says(&["a password is required", "no password was provided"]) {
        (
            format!("sudo asks {login} for a password, and none is given"),
            &[
                "give it: -K, or ansible_become_password in a vault",
                "or let the login use sudo without one: a NOPASSWD rule in /etc/sudoers.d",
            ],
        )
    } else if says(&[
        "is not in the sudoers file",
        "may not run sudo",
        "is not allowed to",
    ]) {
        (
            format!("{login} may not use sudo to become root"),
            &["log in as another user (-u, ansible_user), or let this one: visudo on the host"],
        )
    } else if says(&["you must have a tty"]) {
        return HostError::NoTerminal {
            login: login.to_owned(),
        };
    } else if says(&[
        // sshd's own words, before sudo is there at all.
        "Password change required but no TTY available",
        "password has expired",
        "password expired",
        "password is expired",
        "account validation failure",
    ]) {
        (
            format!("the account or password of {login} has expired"),
            &["log in by hand and set a new password, or have the account renewed"],
        )
    } else if says(&["unknown user"]) {
        (
            "sudo does not know the user root".into(),
            &["look at /etc/passwd on the host"],
        )
    } else if says(&[
        "must be owned by uid 0",
        "no new privileges",
        "effective uid is not 0",
    ]) {
        (
            "sudo cannot work on this host: it lacks the setuid bit, or the login forbids new privileges".into(),
            &["log in as root, or repair sudo on the host"],
        )
    } else if status == Some(127) || says(&["sudo: not found", "sudo: command not found"]) {
        (
            "there is no sudo on the host".into(),
            &[
                "log in as root (-u root), or install sudo",
                "doas and su are not supported",
            ],
        )
    } else {
        let last = stderr
            .lines()
            .rev()
            .find(|l| !l.trim().is_empty())
            .unwrap_or("it said nothing");
        let status = status.map_or(String::new(), |s| format!(" with exit status {s}"));
        (
            format!("sudo failed for {login}{status}: {last}"),
            &["try on the host: sudo -H -u root true"],
        )
    };
    HostError::Privilege {
        what,
        hints: hints.iter().map(|h| (*h).to_owned()).collect(),
    }
}

#[cfg(test)]
#[path = "sudo_tests.rs"]
mod tests;
