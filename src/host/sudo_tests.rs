use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::error::Exit;

const NONCE: &str = "abcdef";

fn privileges(password: Option<&str>, exe: &str, flags: Option<&str>) -> Become {
    Become {
        enabled: true,
        password: password.map(Secret::from),
        exe: exe.into(),
        flags: flags.map(str::to_owned),
    }
}

#[test]
fn the_command_line_asks_only_when_there_is_an_answer() {
    let line = |password, exe, flags| {
        let line = command("x", &privileges(password, exe, flags), NONCE).unwrap();
        let (head, tail) = line.split_once(" '/bin/sh' '-c' ").unwrap();
        assert_eq!(
            tail,
            r"'printf '\''%s\n'\'' '\''MONOPG-READY abcdef'\''
x'"
        );
        head.strip_prefix("LC_ALL=C; export LC_ALL\nexec ")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        line(None, "sudo", None),
        "'sudo' '-H' '-S' '-n' '-u' 'root'"
    );
    assert_eq!(
        line(Some("pw"), "sudo", None),
        "'sudo' '-H' '-S' '-p' '[sudo via monopg, key=abcdef] password:' '-u' 'root'"
    );
    // Without a password -n is not a matter of taste: sudo would read our data as one.
    assert_eq!(
        line(None, "/opt/sudo -E", Some("-H")),
        "'/opt/sudo' '-E' '-H' '-S' '-n' '-u' 'root'"
    );
    assert_eq!(
        line(Some("pw"), "", Some("-HSn --non-interactive")),
        "'sudo' '-HS' '-p' '[sudo via monopg, key=abcdef] password:' '-u' 'root'"
    );
    assert!(command("x", &privileges(None, "sudo '", None), NONCE).is_err());
}

/// The far side of a dialogue.
struct Sudo {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
}

impl Sudo {
    async fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        while let Ok(byte) = self.stdin.read_u8().await {
            if byte == b'\n' {
                break;
            }
            line.push(byte);
        }
        String::from_utf8(line).unwrap()
    }

    /// True if nothing more comes and the far end is closed.
    async fn hears_no_more(mut self) -> bool {
        let mut rest = Vec::new();
        drop((self.stdout, self.stderr));
        self.stdin.read_to_end(&mut rest).await.unwrap();
        rest.is_empty()
    }
}

/// Runs the dialogue against a scripted sudo. The scripted side says at its end whether it was told too much.
async fn against<F>(far: impl FnOnce(Sudo) -> F) -> (Result<Beyond, HostError>, u64)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut stdin, far_stdin) = duplex(1024);
    let (mut stdout, far_stdout) = duplex(1024);
    let (mut stderr, far_stderr) = duplex(1024);
    let sudo = tokio::spawn(far(Sudo {
        stdin: far_stdin,
        stdout: far_stdout,
        stderr: far_stderr,
    }));
    let trips = RoundTrips::default();
    let result = escalate(
        (&mut stdin, &mut stdout, &mut stderr),
        false,
        Some(&Secret::from("hunter22")),
        NONCE,
        Duration::from_millis(300),
        &trips,
        "admin",
    )
    .await;
    drop((stdin, stdout, stderr));
    sudo.await.unwrap();
    (result, trips.get())
}

fn refusal(result: Result<Beyond, HostError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Privilege);
    error.to_string()
}

const ASKS: &[u8] = b"[sudo via monopg, key=abcdef] password:";

#[tokio::test]
async fn the_password_is_given_once_to_our_prompt() {
    let (result, trips) = against(|mut sudo| async move {
        sudo.stderr
            .write_all(b"We trust you have received the usual lecture.\n\n")
            .await
            .unwrap();
        // In two pieces, as a network may deliver it.
        sudo.stderr.write_all(&ASKS[..10]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        sudo.stderr.write_all(&ASKS[10..]).await.unwrap();
        assert_eq!(sudo.read_line().await, "hunter22");
        sudo.stdout
            .write_all(b"rc noise\nMONOPG-READY abcdef\nfirst words")
            .await
            .unwrap();
        assert!(sudo.hears_no_more().await);
    })
    .await;
    assert_eq!(
        result.unwrap(),
        Beyond {
            stdout: b"first words".to_vec(),
            stderr: Vec::new()
        }
    );
    assert_eq!(trips, 2);
}

#[tokio::test]
async fn a_sudo_that_does_not_ask_is_told_nothing() {
    let (result, trips) = against(|mut sudo| async move {
        sudo.stdout
            .write_all(b"MONOPG-READY abcdef\n")
            .await
            .unwrap();
        assert!(sudo.hears_no_more().await);
    })
    .await;
    assert_eq!(result.unwrap(), Beyond::default());
    assert_eq!(trips, 1);
}

#[tokio::test]
async fn a_prompt_that_is_not_ours_gets_no_password() {
    for words in [
        "Password:",
        "[sudo] password for admin:",
        "[sudo via monopg, key=zzzzzz] password:",
        "echo: [sudo via monopg, key=abcdef] password:",
    ] {
        let (result, _) = against(move |mut sudo| async move {
            sudo.stderr.write_all(words.as_bytes()).await.unwrap();
            let mut byte = [0];
            // The other side gives up first.
            assert_eq!(sudo.stdin.read(&mut byte).await.unwrap(), 0, "{words}");
        })
        .await;
        let text = refusal(result);
        assert!(
            text.starts_with("sudo did not ask for the password within 0 s; it said: "),
            "{text}"
        );
        assert!(text.ends_with(words), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    for again in [&b"\nSorry, try again.\n"[..], ASKS] {
        let again = again.to_vec();
        let told_twice = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&told_twice);
        let (result, _) = against(move |mut sudo| async move {
            sudo.stderr.write_all(ASKS).await.unwrap();
            assert_eq!(sudo.read_line().await, "hunter22");
            sudo.stderr.write_all(&again).await.unwrap();
            let _ = sudo.stderr.write_all(ASKS).await;
            told.store(!sudo.read_line().await.is_empty(), Ordering::Relaxed);
        })
        .await;
        assert_eq!(
            refusal(result),
            "sudo refused the password of admin; it was tried once"
        );
        assert!(!told_twice.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn an_end_before_the_marker_is_explained() {
    let (result, _) = against(|mut sudo| async move {
        sudo.stderr
            .write_all(b"admin is not in the sudoers file.\n")
            .await
            .unwrap();
    })
    .await;
    insta::assert_snapshot!(refusal(result), @"admin may not use sudo to become root");
}

#[tokio::test]
async fn a_flood_is_cut_short() {
    let (result, _) =
        against(
            |mut sudo| async move { while sudo.stderr.write_all(&[b'x'; 1024]).await.is_ok() {} },
        )
        .await;
    insta::assert_snapshot!(refusal(result), @"sudo said more than 64 KiB and did not start");
}

#[tokio::test]
async fn a_trickle_is_cut_short() {
    let (result, _) = against(|mut sudo| async move {
        while sudo.stderr.write_all(b".\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    insta::assert_snapshot!(refusal(result), @"sudo did not ask for the password within 0 s; it said: .");
}

#[tokio::test]
async fn on_a_terminal_all_comes_in_one_stream() {
    let (mut stdin, mut far_stdin) = duplex(1024);
    let (mut stdout, mut far) = duplex(1024);
    let mut stderr = tokio::io::empty();
    let sudo = tokio::spawn(async move {
        far.write_all(b"Welcome\n").await.unwrap();
        far.write_all(ASKS).await.unwrap();
        let mut line = [0; 9];
        far_stdin.read_exact(&mut line).await.unwrap();
        far.write_all(b"\nMONOPG-READY abcdef\nbeyond")
            .await
            .unwrap();
        (line, far_stdin)
    });
    let beyond = escalate(
        (&mut stdin, &mut stdout, &mut stderr),
        true,
        Some(&Secret::from("hunter22")),
        NONCE,
        Duration::from_secs(5),
        &RoundTrips::default(),
        "admin",
    )
    .await
    .unwrap();
    assert_eq!(&sudo.await.unwrap().0, b"hunter22\n");
    assert!(b"beyond".starts_with(&beyond.stdout));
    assert_eq!(beyond.stderr, b"");
}

#[tokio::test]
async fn a_password_with_a_line_end_is_not_sent() {
    let (mut a, mut b, mut c) = (tokio::io::sink(), tokio::io::empty(), tokio::io::empty());
    let error = escalate(
        (&mut a, &mut b, &mut c),
        false,
        Some(&Secret::from("two\nlines")),
        NONCE,
        Duration::from_secs(1),
        &RoundTrips::default(),
        "admin",
    )
    .await
    .unwrap_err();
    assert!(!error.to_string().contains("two"));
    assert_eq!(error.exit(), Exit::Privilege);
}

/// sudo 1.9's words under LC_ALL=C, as they were recorded on Debian 12.
#[test]
fn recorded_words_are_understood() {
    let table = [
        (
            "sudo: a password is required\n",
            1,
            "sudo asks ops for a password, and none is given",
        ),
        (
            "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n",
            1,
            "sudo refused the password of ops; it was tried once",
        ),
        (
            "sudo: no password was provided\n",
            1,
            "sudo asks ops for a password, and none is given",
        ),
        (
            "ops is not in the sudoers file.\n",
            1,
            "ops may not use sudo to become root",
        ),
        (
            "ops is not in the sudoers file.  This incident will be reported.\n",
            1,
            "ops may not use sudo to become root",
        ),
        (
            "Sorry, user ops is not allowed to execute '/bin/sh -c x' as root on node.\n",
            1,
            "ops may not use sudo to become root",
        ),
        (
            "Sorry, user ops may not run sudo on node.\n",
            1,
            "ops may not use sudo to become root",
        ),
        (
            "sudo: sorry, you must have a tty to run sudo\n",
            1,
            "sudo wants a terminal for ops (requiretty)",
        ),
        (
            "WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
            1,
            "the account or password of ops has expired",
        ),
        (
            "sudo: Account or password is expired, reset your password and try again\n",
            1,
            "the account or password of ops has expired",
        ),
        (
            "sudo: unknown user root\nsudo: error initializing audit plugin sudoers_audit\n",
            1,
            "sudo does not know the user root",
        ),
        (
            "sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.\n",
            1,
            "sudo cannot work on this host: it lacks the setuid bit, or the login forbids new privileges",
        ),
        (
            "sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set\n",
            1,
            "sudo cannot work on this host: it lacks the setuid bit, or the login forbids new privileges",
        ),
        (
            "/bin/sh: 2: exec: sudo: not found\n",
            127,
            "there is no sudo on the host",
        ),
        (
            "motd\nsudo: the unforeseen\n\n",
            1,
            "sudo failed for ops with exit status 1: sudo: the unforeseen",
        ),
        (
            "",
            1,
            "sudo failed for ops with exit status 1: it said nothing",
        ),
    ];
    for (words, status, what) in table {
        let error = explain(words, Some(status), "ops");
        assert_eq!(error.to_string(), what, "{words}");
        assert_eq!(error.exit(), Exit::Privilege, "{words}");
        match error {
            HostError::Privilege { hints, .. } => assert!(!hints.is_empty(), "{words}"),
            // Not the end: it is tried once more on a terminal.
            other => assert!(matches!(other, HostError::NoTerminal { .. }), "{words}"),
        }
    }
}
