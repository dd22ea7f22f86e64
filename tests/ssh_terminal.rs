//! The channel over a terminal, for a sudo that wants one, against a real OpenSSH server.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ssh_support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use monopg::host::channel::Channel;
use monopg::host::person::Person;
use monopg::host::privileged::Privileged;
use monopg::host::{Command, Host, Upload};
use monopg::secrets::Secret;
use monopg::settings::spec::Via;
use ssh_support::{Server, Setup};

fn server() -> Server {
    Server::start(Setup {
        config: "SetEnv MONOPG_RUN_DIR=@DIR@/run",
        ..Setup::default()
    })
}

/// All bytes that a terminal could take for itself, many times over.
fn every_byte(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 256) as u8).collect()
}

async fn channel(server: &Server, via: Via) -> Channel {
    let nobody = Person::nobody("nobody can be asked");
    let mut connection = server.connection();
    connection.via = via;
    connection.host_key = Some(server.fingerprint_of("host_ed25519"));
    Channel::open_on_terminal("k3s", &connection, &nobody)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_terminal_carries_the_channel_unchanged() {
    let server = server();
    for via in [Via::Ssh, Via::OpenSsh] {
        carries(&channel(&server, via).await).await;
    }
}

async fn carries(channel: &Channel) {
    // There is one, and both streams go to it.
    let out = channel
        .run(Command::new("tty", ": </dev/tty && echo there"))
        .await
        .unwrap();
    assert_eq!(out.text(), "there", "{out:?}");
    let data = every_byte(300_000);
    let command = Command::new("cat", "cat; echo \"a word\" >&2; echo >&2 second; exit 7")
        .stdin(Secret::new(data.clone()));
    let out = channel.run(command).await.unwrap();
    assert!(out.stdout == data, "{} bytes", out.stdout.len());
    assert_eq!((out.status, out.stderr.trim()), (7, "a word\nsecond"));
    // What one command said is not the next one's.
    let out = channel.run(Command::new("true", "true")).await.unwrap();
    assert_eq!((out.status, out.stderr.trim()), (0, ""));
    let out = channel
        .lock_and_run("a test", Command::new("x", "printf x"))
        .await
        .unwrap();
    assert_eq!(out.text(), "x");
}

#[tokio::test]
async fn uploads_go_over_a_terminal() {
    let server = server();
    for via in [Via::Ssh, Via::OpenSsh] {
        let path = server.dir().join(format!("{via:?}/file"));
        uploads(&channel(&server, via).await, &path).await;
    }
}

async fn uploads(channel: &Channel, path: &Path) {
    let content = every_byte(5 << 20);
    let seen = AtomicU64::new(0);
    let upload = Upload {
        content: &content,
        path: path.to_str().unwrap(),
        mode: 0o640,
    };
    channel
        .upload(upload, &|n| seen.store(n, Ordering::Relaxed))
        .await
        .unwrap();
    assert!(std::fs::read(path).unwrap() == content);
    assert_eq!(seen.load(Ordering::Relaxed), content.len() as u64);
}

#[tokio::test]
async fn wake_ups_come_between_long_answers() {
    let server = server();
    let channel = channel(&server, Via::Ssh).await;
    channel
        .watch(vec!["while :; do echo x; sleep 0.01; done".into()])
        .await
        .unwrap();
    let data = every_byte(200_000);
    for _ in 0..10 {
        let cat = Command::new("cat", "cat").stdin(Secret::new(data.clone()));
        let out = channel.run(cat).await.unwrap();
        assert!(out.stdout == data, "{} bytes", out.stdout.len());
        assert_eq!(out.stderr.trim(), "");
    }
    assert!(channel.woken(Duration::from_secs(10)).await.unwrap());
    channel.watch(Vec::new()).await.unwrap();
    // Nothing is left behind, in the folder or as a process.
    drop(channel);
    let run = server.dir().join("run");
    let left = || -> Vec<String> {
        let names = std::fs::read_dir(&run).unwrap();
        names
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.starts_with("said.") || n.starts_with("watchers."))
            .collect()
    };
    for _ in 0..400 {
        if left().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_pays_for_the_second_chance() {
    let server = server();
    let nobody = Person::nobody("nobody can be asked");
    let host = Privileged::open("k3s", &server.connection(), &nobody)
        .await
        .unwrap();
    let out = host.run(Command::new("x", "printf x")).await.unwrap();
    assert_eq!((host.name(), out.text().as_str()), ("k3s", "x"));
    // The session's opening and the first answer.
    assert_eq!(host.round_trips(), 2);
}
