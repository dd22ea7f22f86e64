use super::*;
use crate::error::Exit;
use crate::settings::spec::Via;

fn connection() -> Connection {
    Connection {
        via: Via::OpenSsh,
        ssh_args: ["-F", "none"].map(str::to_owned).to_vec(),
        ..Connection::to("127.0.0.1")
    }
}

fn nobody() -> Arc<Person> {
    Person::nobody("nobody can be asked")
}

/// Somebody who is never asked by us.
struct Quiet;

#[async_trait::async_trait]
impl crate::host::person::Terminal for Quiet {
    async fn ask(&self, text: &str, _hidden: bool) -> Option<zeroize::Zeroizing<String>> {
        panic!("asked {text}")
    }
}

#[tokio::test]
async fn ssh_asks_only_where_it_may_and_somebody_is_there() {
    let mut asking = connection();
    let somebody = Person::at(Arc::new(Quiet));
    let asks = async |connection: &Connection, person: &Arc<Person>| {
        let client = resolve("k3s", connection, person).await.unwrap();
        let said = std::process::Command::new("ssh")
            .arg("-G")
            .args(&client.args)
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.contains("batchmode no"), client.resolved.asks);
        client.resolved.asks
    };
    assert!(!asks(&asking, &somebody).await);
    asking.ssh_args.extend(["-o".into(), "BatchMode=no".into()]);
    assert!(asks(&asking, &somebody).await);
    assert!(!asks(&asking, &nobody()).await);
}

#[tokio::test]
async fn a_machine_without_ssh_is_told_so() {
    let program = OsStr::new("/nonexistent/ssh");
    let error = resolve_with(program, "k3s", &connection(), &nobody())
        .await
        .unwrap_err();
    assert_eq!(error.exit(), Exit::Settings);
    let HostError::Config { what, hints, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        what,
        "monopg_ssh is openssh, but there is no ssh on this machine"
    );
    assert!(hints[0].starts_with("install the OpenSSH client"));
}

#[tokio::test]
async fn what_ssh_does_not_understand_is_a_mistake_of_the_settings() {
    let mut wrong = connection();
    wrong.ssh_args.extend(["-o".into(), "Prot=22".into()]);
    let error = resolve("k3s", &wrong, &nobody()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Settings);
    let HostError::Config { what, problems, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(what, "ssh does not accept its configuration");
    assert_eq!(
        problems,
        ["command-line: line 0: Bad configuration option: prot"]
    );
}

#[tokio::test]
async fn ssh_itself_agrees_with_every_correction() {
    let mut loose = connection();
    loose.host_key_checking = false;
    loose.user = Some("ops".into());
    loose.ssh_args.extend(
        [
            "-l",
            "other",
            "-o",
            "ServerAliveInterval=600",
            "-o",
            "SessionType=none",
            "-o",
            "UpdateHostKeys=yes",
            "-o",
            "RemoteCommand=x",
        ]
        .map(str::to_owned),
    );
    let client = resolve("k3s", &loose, &nobody()).await.unwrap();
    assert_eq!(client.user(), "ops");
    let said = std::process::Command::new("ssh")
        .arg("-G")
        .args(&client.args)
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for line in [
        "stricthostkeychecking accept-new",
        "serveraliveinterval 8",
        "serveralivecountmax 2",
        "sessiontype default",
        "updatehostkeys false",
        "batchmode yes",
        "escapechar none",
        "clearallforwardings yes",
        "controlmaster false",
        "nohostauthenticationforlocalhost no",
        "verifyhostkeydns false",
        "loglevel DEBUG",
        "passwordauthentication no",
    ] {
        assert!(said.lines().any(|l| l.starts_with(line)), "{line}: {said}");
    }
    assert!(!said.contains("remotecommand x"), "{said}");
}

async fn behind(pieces: &[&[u8]]) -> String {
    let (mut to, from) = tokio::io::duplex(1024);
    let (_stage, reached) = watch::channel(Stage::Authenticated);
    let mut read = behind_heading(from, "abc", reached);
    let write = async {
        for piece in pieces {
            to.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(to);
    };
    let mut all = String::new();
    let (_, read) = tokio::join!(write, read.read_to_string(&mut all));
    read.unwrap();
    all
}

#[tokio::test]
async fn standard_error_begins_behind_its_heading() {
    assert_eq!(
        behind(&[b"Banner\nMONOPG-READY ab", b"c\nwords\nMONOPG-READY abc\n"]).await,
        "words\nMONOPG-READY abc\n"
    );
    // Who never comes that far explains himself.
    assert_eq!(behind(&[b"no shell", b"\n"]).await, "no shell\n");
    let noise = vec![b'x'; NOISE + 10];
    assert_eq!(behind(&[&noise, b"more"]).await.len(), NOISE + 14);
}

#[tokio::test]
async fn standard_error_ends_with_ssh_even_if_somebody_else_holds_it() {
    let (mut to, from) = tokio::io::duplex(1024);
    let (stage, reached) = watch::channel(Stage::Authenticated);
    let mut read = behind_heading(from, "abc", reached);
    to.write_all(b"MONOPG-READY abc\nlast words\n")
        .await
        .unwrap();
    stage.send_replace(Stage::Ended);
    let mut all = String::new();
    read.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "last words\n");
    drop(to);
}
