//! A script running as root on a host, whatever the way there.
//!
//! May depend on all ways (`ssh`, `openssh`, `local`, `sudo`). One reason: the channel above asks for streams to its
//! script and must not know how they came about.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::person::Person;
use super::process::{End, Process};
use super::transport::Transport;
use super::{HostError, local, marker, openssh, ssh, sudo};
use crate::settings::spec::{Connection, Via};

/// sudo may take this much longer than the connection: a wrong password costs it two seconds or more.
const SUDO_SLACK: Duration = Duration::from_secs(5);

/// What a way is before the script is known.
enum Way {
    Ssh(ssh::Session),
    OpenSsh(openssh::Client),
    Local,
}

/// Starts a POSIX sh script as root (as the login itself, if escalation is disabled). The script is an
/// argument, `args` are its positional parameters; its standard input is the caller's alone. Without a sudo password nothing is awaited beyond the
/// opening of the channel: a script that does not start shows as an end of `stdout`, and `ending` says why.
pub async fn open(
    name: &str,
    connection: &Connection,
    script: &str,
    args: &[&str],
) -> Result<Transport, HostError> {
    let nobody = Person::nobody("nobody can be asked");
    open_asking(name, connection, &nobody, script, args).await
}

/// As [`open`], with a person who may be asked about the host key and for passphrases.
pub async fn open_asking(
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
    script: &str,
    args: &[&str],
) -> Result<Transport, HostError> {
    let script = with_args(script, args);
    let begun = begin(name, connection, person, &script, false).await?;
    if begun.escalated && connection.become_root.password.is_some() {
        return dialogue(begun, false, connection).await;
    }
    let (escalated, login) = (begun.escalated, begun.login);
    Ok(marker::expect(
        begun.process,
        &begun.nonce,
        Box::new(move |stderr, stdout, status| {
            if escalated {
                sudo::explain(stderr, status, &login)
            } else {
                no_shell(stderr, stdout, status, &login)
            }
        }),
    ))
}

/// As [`open_asking`], for a sudo that wants a terminal: the script has one, in raw mode, so all that it says comes on
/// standard output. Returns when the script runs: before that, the terminal may drop what it is sent.
pub async fn open_on_terminal(
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
    script: &str,
    args: &[&str],
) -> Result<Transport, HostError> {
    let script = with_args(script, args);
    let begun = begin(name, connection, person, &script, true).await?;
    dialogue(begun, true, connection).await
}

/// A process on its way to become our script.
struct Begun {
    process: Process,
    /// What its first words will hold, and nobody else's.
    nonce: String,
    login: String,
    escalated: bool,
}

async fn begin(
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
    script: &str,
    terminal: bool,
) -> Result<Begun, HostError> {
    let nonce = super::channel::nonce()?;
    let way = match connection.via {
        Via::Local => Way::Local,
        Via::Ssh => Way::Ssh(ssh::connect_asking(name, connection, person).await?),
        Via::OpenSsh => Way::OpenSsh(openssh::resolve(name, connection, person).await?),
    };
    let login = match &way {
        Way::Ssh(session) => session.user().to_owned(),
        Way::OpenSsh(client) => client.user().to_owned(),
        Way::Local => ssh::local_user()?,
    };
    let escalated = connection.become_root.enabled && login != "root";
    let command = if escalated {
        sudo::command(script, &connection.become_root, &nonce)?
    } else {
        marker::mark(script, &nonce)
    };
    let process = match way {
        Way::Ssh(session) if terminal => session.exec_on_terminal(&for_any_shell(&command)).await?,
        Way::Ssh(session) => session.exec(&for_any_shell(&command)).await?,
        Way::OpenSsh(client) if terminal => {
            let command = openssh::raw(&command);
            client
                .exec_on_terminal(&for_any_shell(&command), &nonce)
                .await?
        }
        Way::OpenSsh(client) => {
            let command = openssh::heading(&command, &nonce);
            client.exec(&for_any_shell(&command), &nonce).await?
        }
        Way::Local => local::spawn(&command)?,
    };
    Ok(Begun {
        process,
        nonce,
        login,
        escalated,
    })
}

async fn dialogue(
    begun: Begun,
    merged: bool,
    connection: &Connection,
) -> Result<Transport, HostError> {
    let mut raw = begun.process;
    let (nonce, login) = (&begun.nonce, &begun.login);
    let limit = connection.timeout + SUDO_SLACK;
    let password = connection.become_root.password.as_ref();
    let streams = (&mut *raw.stdin, &mut *raw.stdout, &mut *raw.stderr);
    let round_trips = raw.round_trips.clone();
    let escalated =
        sudo::escalate(streams, merged, password, nonce, limit, &round_trips, login).await;
    match escalated {
        Ok(beyond) => {
            raw.stdout = Box::new(Cursor::new(beyond.stdout).chain(raw.stdout));
            raw.stderr = Box::new(Cursor::new(beyond.stderr).chain(raw.stderr));
            Ok(raw.transport())
        }
        Err(error) => {
            // A connection that broke says more than a sudo that fell silent.
            match tokio::time::timeout(Duration::from_millis(200), raw.ended).await {
                Ok(End::Refused(error) | End::Lost(Some(error))) => Err(error),
                _ => Err(error),
            }
        }
    }
}

/// A login shell that did not run our script at all.
fn no_shell(stderr: &str, stdout: &str, status: Option<i32>, login: &str) -> HostError {
    if stderr.contains("Password change required") {
        return sudo::explain(stderr, status, login);
    }
    let tail = if stderr.trim().is_empty() {
        stdout
    } else {
        stderr
    };
    HostError::Failed {
        what: format!("starting a shell as {login}"),
        status: status.unwrap_or(255),
        tail: tail.trim().to_owned(),
    }
}

/// The script with its positional parameters set.
fn with_args(script: &str, args: &[&str]) -> String {
    if args.is_empty() {
        return script.to_owned();
    }
    let args: Vec<String> = args.iter().map(|a| sudo::quote(a)).collect();
    format!("set -- {}\n{script}", args.join(" "))
}

/// A command line that sh, bash, zsh, fish and csh understand alike, for a script of POSIX sh. Within single
/// quotes csh still takes `!` and line ends for itself, and fish backslashes before quotes, so these and all
/// that is special between double quotes travel as `\0ooo`, which `printf %b` turns back.
pub fn for_any_shell(script: &str) -> String {
    let mut encoded = String::with_capacity(script.len() + script.len() / 4);
    for byte in script.trim_end().bytes() {
        match byte {
            b'\'' | b'"' | b'$' | b'`' | b'\\' | b'!' | 0..=31 | 127.. => {
                encoded.push_str(&format!("\\0{byte:03o}"));
            }
            plain => encoded.push(char::from(plain)),
        }
    }
    format!("exec /bin/sh -c 'eval \"$(printf %b \"{encoded}\")\"'")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What a login shell makes of a script.
    fn said(shell: &str, script: &str) -> String {
        let output = Command::new(shell)
            .arg("-c")
            .arg(for_any_shell(script))
            .output()
            .unwrap_or_else(|e| panic!("{shell}: {e}; install fish and tcsh"));
        assert!(output.status.success(), "{shell}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn every_login_shell_passes_a_script_on_unchanged() {
        let script = with_args(
            "printf '%s|' \"$@\"; cat <<'E'\nit's \\0134 \\n \\' \\\\ $HOME `x` \"!!\" %s !x ~ {a,b} é\tend\nE",
            &["a b", "it's", "", "-n", "$(x)!"],
        );
        let expected =
            "a b|it's||-n|$(x)!|it's \\0134 \\n \\' \\\\ $HOME `x` \"!!\" %s !x ~ {a,b} é\tend\n";
        for shell in ["/bin/sh", "bash", "fish", "tcsh"] {
            assert_eq!(said(shell, &script), expected, "{shell}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_text_survives(text in "[ -~\\n\\tä€]{0,60}") {
            let script = format!("printf '%s.' {}", sudo::quote(&text));
            for shell in ["/bin/sh", "fish", "tcsh"] {
                prop_assert_eq!(said(shell, &script), format!("{text}."), "{}", shell);
            }
        }
    }

    #[test]
    fn nothing_that_a_shell_could_take_for_itself_is_left() {
        let all: String = (1u8..=255).map(char::from).collect();
        let line = for_any_shell(&all);
        let inner = line
            .strip_prefix("exec /bin/sh -c 'eval \"$(printf %b \"")
            .and_then(|l| l.strip_suffix("\")\"'"))
            .unwrap();
        assert!(inner.bytes().all(|b| (32..127).contains(&b)));
        assert!(!inner.contains(['\'', '"', '$', '`', '!']), "{inner}");
        assert_eq!(inner.matches('\\').count(), inner.matches("\\0").count());
    }
}
