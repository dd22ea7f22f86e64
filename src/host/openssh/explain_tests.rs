use std::error::Error as _;

use super::*;
use crate::error::Exit;

fn resolved() -> Resolved {
    Resolved::parse("user root\nhostname 127.0.0.1\nport 2299\nuserknownhostsfile /kh /kh2\n")
}

fn log(text: &str) -> Log {
    let mut log = Log::default();
    log.push(text.as_bytes());
    log
}

const OFFERED: &str = "debug1: Server host key: ssh-ed25519 SHA256:CGct\n";

fn told(text: &str, pin: Option<&str>) -> String {
    let error = refused(&log(text), &resolved(), pin, Duration::from_secs(7));
    let mut told = format!("{} {error}", error.exit().code());
    if let Some(source) = error.source() {
        told += &format!("\ncaused by: {source}");
    }
    match error {
        HostError::HostKey { hints, .. } => {
            told.extend(hints.iter().map(|hint| format!("\nhint: {hint}")));
        }
        HostError::Authentication { tried, .. } => {
            told.extend(tried.iter().map(|line| format!("\n- {line}")));
        }
        _ => {}
    }
    told
}

#[test]
fn an_unknown_key() {
    let text = format!(
        "{OFFERED}No ED25519 host key is known for [127.0.0.1]:2299 and you have requested strict checking.\r\n\
         Host key verification failed.\r\n"
    );
    insta::assert_snapshot!(told(&text, None), @r#"
    21 the host key of [127.0.0.1]:2299 is unknown, and nobody can be asked: ED25519 SHA256:CGct
    hint: compare the fingerprint with the host's own, on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    hint: then: ssh-keyscan -p 2299 127.0.0.1 >> /kh
    hint: or pin it in the inventory: monopg_host_key: SHA256:CGct
    "#);
    insta::assert_snapshot!(told(&text, Some("SHA256:other")), @r#"
    21 the host key of [127.0.0.1]:2299 is ED25519 SHA256:CGct, but monopg_host_key says SHA256:other
    hint: compare on the host's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    "#);
}

#[test]
fn a_changed_key() {
    let text = format!(
        "{OFFERED}@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\n\
         IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nOffending ECDSA key in /kh:1\n  remove with:\n\
         Host key for [127.0.0.1]:2299 has changed and you have requested strict checking.\n\
         Host key verification failed.\n"
    );
    insta::assert_snapshot!(told(&text, None), @r#"
    21 the host key of [127.0.0.1]:2299 has changed: it is ED25519 SHA256:CGct, but /kh:1 says another ECDSA key
    hint: somebody may be in between: find out on the host's console whether it was reinstalled
    hint: only if it was: ssh-keygen -f /kh -R '[127.0.0.1]:2299'
    "#);
}

#[test]
fn a_revoked_key() {
    let text = format!(
        "{OFFERED}@       WARNING: REVOKED HOST KEY DETECTED!               @\n\
         The ED25519 host key for [127.0.0.1]:2299 is marked as revoked.\n\
         ED25519 host key for [127.0.0.1]:2299 was revoked and you have requested strict checking.\n\
         Host key verification failed.\n"
    );
    insta::assert_snapshot!(told(&text, None), @r#"
    21 the host key of [127.0.0.1]:2299 is revoked: ED25519 SHA256:CGct
    hint: whoever has this key may be an attacker: give the host a new key
    "#);
}

#[test]
fn a_refused_login_names_every_identity() {
    let text = "debug1: Authentications that can continue: publickey,password\n\
        debug1: Offering public key: /a b/id ED25519 SHA256:one explicit agent\n\
        debug1: Authentications that can continue: publickey,password\n\
        debug1: Offering public key: me@host RSA SHA256:two agent\n\
        debug1: Server accepts key: me@host RSA SHA256:two agent\n\
        debug1: Trying private key: /nothing\n\
        no such identity: /nothing: No such file or directory\n\
        Load key \"/broken\": error in libcrypto\n\
        root@127.0.0.1: Permission denied (publickey,password).\n";
    insta::assert_snapshot!(told(text, None), @r#"
    20 root@127.0.0.1:2299 refused every identity
    - /a b/id (ED25519 SHA256:one): refused
    - me@host (RSA SHA256:two): known to the server, but not enough
    - /nothing: skipped, there is no such file
    - Load key "/broken": error in libcrypto
    - password: not tried, it cannot be given to ssh (monopg_ssh: russh can)
    "#);
}

#[test]
fn what_ends_before_the_login_is_told_by_kind() {
    let all: Vec<String> = [
        "ssh: Could not resolve hostname nowhere: Name or service not known\n",
        "debug1: connect to address 127.0.0.1 port 1: Connection refused\nssh: connect to host 127.0.0.1 port 1: Connection refused\n",
        "ssh: connect to host 192.0.2.1 port 22: Connection timed out\n",
        "Connection timed out during banner exchange\nConnection to 127.0.0.1 port 2299 timed out\n",
        "kex_exchange_identification: Connection closed by remote host\nConnection closed by 127.0.0.1 port 2299\n",
        "Unable to negotiate with 127.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa\n",
        "Received disconnect from 127.0.0.1 port 2299:2: Too many authentication failures\n",
        "",
    ]
    .iter()
    .map(|text| told(text, None))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    20 127.0.0.1:2299 cannot be reached
    caused by: Name or service not known
    20 127.0.0.1:2299 cannot be reached
    caused by: Connection refused
    20 no connection to 127.0.0.1:2299 within 7 s
    20 no connection to 127.0.0.1:2299 within 7 s
    20 the SSH connection to 127.0.0.1:2299 failed
    caused by: Connection closed by 127.0.0.1 port 2299
    20 the SSH connection to 127.0.0.1:2299 failed
    caused by: Unable to negotiate with 127.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa
    20 root@127.0.0.1:2299 refused every identity
    - Received disconnect from 127.0.0.1 port 2299:2: Too many authentication failures
    20 the SSH connection to 127.0.0.1:2299 failed
    caused by: ssh said nothing
    "#);
}

#[test]
fn the_status_255_is_the_commands_only_if_ssh_says_so() {
    const BEGUN: &str = "Authenticated to h ([::1]:22) using \"publickey\".\n";
    let end = |text: &str, status| match ended(&log(&format!("{BEGUN}{text}")), &resolved(), status)
    {
        End::Exited(status) => format!("exited {status}"),
        End::Lost(error) => format!("lost: {}", error.unwrap().source().unwrap()),
        End::Refused(error) => format!(
            "refused {}: {}",
            error.exit().code(),
            error.source().unwrap()
        ),
    };
    const STATUS: &str = "debug1: client_input_channel_req: channel 0 rtype exit-status reply 0\n";
    assert_eq!(end(STATUS, 255), "exited 255");
    assert_eq!(end(&STATUS.replace("status", "signal"), 255), "exited 255");
    assert_eq!(end("", 7), "exited 7");
    assert_eq!(
        end("debug1: Exit status -1\n", 255),
        "lost: the server closed the connection"
    );
    assert_eq!(
        end("Timeout, server h not responding.\n", 255),
        "lost: Timeout, server h not responding."
    );
    assert_eq!(
        end("channel 0: open failed: connect failed: open failed\n", 255),
        "refused 20: channel 0: open failed: connect failed: open failed"
    );
    // Words of the far side, passed on by ssh.
    assert_eq!(
        end(
            "debug1: Remote: client_input_channel_req: channel 0 rtype exit-status\n",
            255
        ),
        "lost: the server closed the connection"
    );
    assert_eq!(
        refused(&log(""), &resolved(), None, Duration::ZERO).exit(),
        Exit::Unreachable
    );
}
