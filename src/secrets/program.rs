//! Programs that print a secret: run without a shell, with bounded output and time.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// The longest output, in bytes.
const MAX_OUTPUT: u64 = 1024 * 1024;
/// A program may ask a person, so it is given as long as people need.
const TIME: Duration = Duration::from_secs(300);
/// How often is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// Why a program printed nothing that can be used. Never holds what it printed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be started.
    Start(std::io::Error),
    /// It ended with a code, or by a signal.
    Ended(Option<i32>),
    /// It printed more than a megabyte.
    TooMuch,
    /// It ran for longer than five minutes.
    TooLong,
    /// Its output could not be read.
    Read(std::io::Error),
}

/// What it prints. It has our standard input and error: it may ask a person.
pub(super) fn output(command: &mut Command) -> Result<Zeroizing<Vec<u8>>, Failure> {
    output_within(command, TIME)
}

fn output_within(command: &mut Command, time: Duration) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let deadline = Instant::now() + time;
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::Start)?;
    let result = collect(&mut child, deadline);
    if result.is_err() {
        // It may have ended by itself in the meantime.
        let _ = child.kill();
        let _ = child.wait();
    }
    result
}

fn collect(child: &mut Child, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some(stdout) = child.stdout.take() else {
        return Err(Failure::Read(std::io::ErrorKind::BrokenPipe.into()));
    };
    let (sender, receiver) = mpsc::channel();
    // Not joined: whatever the program left behind may hold its output open.
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = stdout.take(MAX_OUTPUT + 1).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = match receiver.recv_timeout(left) {
        Ok(read) => read.map_err(Failure::Read)?,
        Err(_) => return Err(Failure::TooLong),
    };
    if bytes.len() as u64 > MAX_OUTPUT {
        return Err(Failure::TooMuch);
    }
    loop {
        match child.try_wait().map_err(Failure::Read)? {
            Some(status) if status.success() => return Ok(bytes),
            Some(status) => return Err(Failure::Ended(status.code())),
            None if Instant::now() >= deadline => return Err(Failure::TooLong),
            None => std::thread::sleep(PAUSE),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Start(error) => write!(f, "it cannot be started: {error}"),
            Failure::Ended(Some(code)) => write!(f, "it ended with {code}"),
            Failure::Ended(None) => f.write_str("it was ended by a signal"),
            Failure::TooMuch => write!(f, "it printed more than {MAX_OUTPUT} bytes"),
            Failure::TooLong => write!(f, "it ran for longer than {} s", TIME.as_secs()),
            Failure::Read(error) => write!(f, "its output cannot be read: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[test]
    fn output_and_ends() {
        assert_eq!(**output(&mut sh("printf 'a b\\n'")).unwrap(), *b"a b\n");
        let told = |script: &str| output(&mut sh(script)).unwrap_err().to_string();
        assert_eq!(told("echo secret; exit 3"), "it ended with 3");
        assert_eq!(told("kill -9 $$"), "it was ended by a signal");
        assert_eq!(
            told("exec cat /dev/zero"),
            "it printed more than 1048576 bytes"
        );
        let missing = output(&mut Command::new("/nowhere/at/all")).unwrap_err();
        assert!(matches!(missing, Failure::Start(_)));
    }

    #[test]
    fn time_is_bounded() {
        let short = Duration::from_millis(50);
        for script in ["exec sleep 1000", "exec >&-; exec sleep 1000"] {
            let got = output_within(&mut sh(script), short);
            assert!(matches!(got, Err(Failure::TooLong)), "{script}");
        }
    }
}
