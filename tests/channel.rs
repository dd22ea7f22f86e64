//! The channel's protocol against a real shell on this machine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; clippy sees only the test functions themselves"
)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use monopg::host::channel::{Channel, HELPER, nonce};
use monopg::host::transport::{Ending, RoundTrips, Transport};
use monopg::host::{Command, Host, HostError, Upload};
use monopg::secrets::Secret;

struct Shell {
    channel: Channel,
    dir: tempfile::TempDir,
    pid: u32,
}

fn open_in(dir: &std::path::Path) -> (Channel, u32) {
    let nonce = nonce().unwrap();
    let mut child = tokio::process::Command::new("/bin/sh")
        .args(["-c", HELPER, "sh", &nonce])
        .env("MONOPG_RUN_DIR", dir.join("run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let transport = Transport {
        stdin: Box::new(child.stdin.take().unwrap()),
        stdout: Box::new(child.stdout.take().unwrap()),
        stderr: Box::new(child.stderr.take().unwrap()),
        round_trips: RoundTrips::default(),
        ending: Ending::default(),
        keep: Box::new(()),
    };
    // Reaped at once, as sshd and sudo do it: the watchdog takes a zombie for alive.
    tokio::spawn(async move { child.wait().await });
    (Channel::new("here", &nonce, transport), pid)
}

fn shell() -> Shell {
    let dir = tempfile::tempdir().unwrap();
    let (channel, pid) = open_in(dir.path());
    Shell { channel, dir, pid }
}

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

#[tokio::test]
async fn output_status_and_stderr_arrive_as_they_are() {
    let s = shell();
    let out = s
        .channel
        .run(Command::new(
            "x",
            "printf 'a\\000b\\n\\n'; echo oops >&2; exit 7",
        ))
        .await
        .unwrap();
    assert_eq!(
        (out.status, out.stdout.as_slice(), out.stderr.as_str()),
        (7, &b"a\0b\n\n"[..], "oops\n")
    );
    let out = s
        .channel
        .run(
            Command::new("x", "printf %s \"$1|$2\"")
                .arg("it's $HOME *")
                .arg("-n\nb"),
        )
        .await
        .unwrap();
    assert_eq!(out.stdout, b"it's $HOME *|-n\nb");
}

#[tokio::test]
async fn data_goes_to_the_command_and_what_it_leaves_is_drained() {
    let s = shell();
    let data = Secret::new(vec![b'x'; 3_000_000]);
    let out = s
        .channel
        .run(Command::new("x", "wc -c").stdin(data.clone()))
        .await
        .unwrap();
    assert_eq!(out.text().trim(), "3000000");
    let out = s
        .channel
        .run(Command::new("x", "head -c 3").stdin(data))
        .await
        .unwrap();
    assert_eq!(out.text(), "xxx");
    assert_eq!(
        s.channel
            .run(Command::new("x", "echo still here"))
            .await
            .unwrap()
            .text(),
        "still here"
    );
}

#[tokio::test]
async fn forged_markers_are_only_text() {
    let s = shell();
    let out = s
        .channel
        .run(Command::new(
            "x",
            "echo '@E 1 0' >&2; echo '2 eA=='; exit 3",
        ))
        .await
        .unwrap();
    assert_eq!(
        (out.status, out.text().as_str(), out.stderr.as_str()),
        (3, "2 eA==", "@E 1 0\n")
    );
}

#[tokio::test]
async fn control_sequences_do_not_get_through() {
    let s = shell();
    let out = s
        .channel
        .run(Command::new(
            "x",
            "printf 'a\\033[31mb\\033]0;t\\007c\\r\\n' >&2",
        ))
        .await
        .unwrap();
    assert_eq!(out.stderr, "abc\n");
}

#[tokio::test]
async fn an_upload_is_whole_has_its_mode_and_leaves_no_temporary_file() {
    use std::os::unix::fs::PermissionsExt;
    let s = shell();
    let folder = s.dir.path().join("a/b");
    let path = folder.join("file");
    let content: Vec<u8> = (0..5_000_000u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let seen = std::sync::atomic::AtomicU64::new(0);
    let upload = Upload {
        content: &content,
        path: path.to_str().unwrap(),
        mode: 0o755,
    };
    s.channel
        .upload(upload, &|n| {
            seen.store(n, std::sync::atomic::Ordering::Relaxed)
        })
        .await
        .unwrap();
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(seen.into_inner(), content.len() as u64);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    // An empty file, over an existing one, beside what a dead run left.
    std::fs::write(folder.join(".monopg-upload.dead"), "half").unwrap();
    let upload = Upload {
        content: b"",
        path: path.to_str().unwrap(),
        mode: 0o600,
    };
    s.channel.upload(upload, &|_| ()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[tokio::test]
async fn an_upload_that_cannot_be_written_says_so() {
    let s = shell();
    std::fs::write(s.dir.path().join("file"), "").unwrap();
    let path = s.dir.path().join("file/below");
    let err = s
        .channel
        .upload(
            Upload {
                content: b"x",
                path: path.to_str().unwrap(),
                mode: 0o600,
            },
            &|_| (),
        )
        .await
        .unwrap_err();
    assert!(matches!(err, HostError::Failed { .. }), "{err:?}");
    assert_eq!(
        s.channel
            .run(Command::new("x", "echo on"))
            .await
            .unwrap()
            .text(),
        "on"
    );
}

#[tokio::test]
async fn the_lock_refuses_a_second_run_at_once_and_ends_with_its_holder() {
    let s = shell();
    let first = s
        .channel
        .lock_and_run("run A by ann since noon", Command::new("x", "echo in"))
        .await
        .unwrap();
    assert_eq!(first.text(), "in");
    let (second, _) = open_in(s.dir.path());
    let started = Instant::now();
    let err = second
        .lock_and_run("run B", Command::new("x", "echo in"))
        .await
        .unwrap_err();
    assert!(
        matches!(&err, HostError::Locked { holder, .. } if holder == "run A by ann since noon"),
        "{err:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    // What the holder started does not keep the lock either.
    s.channel.watch(vec!["sleep 100".into()]).await.unwrap();
    drop(s.channel);
    let (third, _) = open_in(s.dir.path());
    let mut tries = 0;
    while let Err(e) = third.lock_and_run("run C", Command::new("x", "true")).await {
        assert!(
            matches!(e, HostError::Locked { .. }) && tries < 100,
            "{e:?}"
        );
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The watchdog ends a helper whose client is gone, but not what hangs on the node.
#[tokio::test]
async fn a_command_that_hangs_does_not_keep_the_lock() {
    for data in [None, Some(Secret::new(b"data".to_vec()))] {
        let s = shell();
        let mut hangs = Command::new("x", "sleep 100 & echo $! >\"$R/hangs\"; wait");
        hangs.stdin = data;
        let first = s.channel.lock_and_run("run A", hangs);
        let hangs = s.dir.path().join("run/hangs");
        let killed = async {
            while std::fs::read_to_string(&hangs)
                .unwrap_or_default()
                .is_empty()
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let status = std::process::Command::new("kill")
                .args(["-KILL", &s.pid.to_string()])
                .status();
            assert!(status.unwrap().success());
        };
        let both = async { tokio::join!(first, killed) };
        // The answer never comes: the hanging command still has the streams.
        tokio::time::timeout(Duration::from_secs(2), both)
            .await
            .unwrap_err();
        let pid: u32 = std::fs::read_to_string(&hangs)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(alive(pid) && !alive(s.pid));
        let (second, _) = open_in(s.dir.path());
        let started = Instant::now();
        let out = second
            .lock_and_run("run B", Command::new("x", "echo in"))
            .await;
        assert!(started.elapsed() < Duration::from_secs(5));
        std::process::Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status()
            .unwrap();
        assert_eq!(out.unwrap().text(), "in");
    }
}

#[tokio::test]
async fn watchers_wake_and_die_with_the_channel() {
    watchers_end(|channel, _| drop(channel)).await;
}

#[tokio::test]
async fn watchers_die_even_if_the_helper_is_killed() {
    watchers_end(|_, pid| {
        assert!(
            std::process::Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()
                .unwrap()
                .success()
        )
    })
    .await;
}

/// The watchdog then no longer knows of them; one that has something to say ends by itself.
#[tokio::test]
async fn watchers_die_even_if_the_run_folder_is_gone() {
    let s = shell();
    let watcher = "while :; do echo woke; sleep 0.05; done";
    s.channel.watch(vec![watcher.into()]).await.unwrap();
    let pid = watcher_of(&s).await;
    assert!(alive(pid));
    std::fs::remove_dir_all(s.dir.path().join("run")).unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &s.pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
    drop(s.channel);
    for _ in 0..100 {
        if !alive(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a watcher outlived its helper");
}

async fn watcher_of(s: &Shell) -> u32 {
    let question = Command::new("x", "cat \"$R/watchers.$main\"");
    let pids = s.channel.run(question).await.unwrap().text();
    pids.trim().parse().unwrap()
}

async fn watchers_end(end: impl FnOnce(Channel, u32)) {
    let s = shell();
    let mark = s.dir.path().join("tick");
    let watcher = format!(
        "while :; do [ -e {0} ] && rm {0} && echo woke; sleep 0.05; done",
        mark.display()
    );
    s.channel.watch(vec![watcher]).await.unwrap();
    assert!(!s.channel.woken(Duration::from_millis(200)).await.unwrap());
    std::fs::write(&mark, "").unwrap();
    assert!(s.channel.woken(Duration::from_secs(5)).await.unwrap());
    let pid = watcher_of(&s).await;
    assert!(alive(pid));
    let helper = s.pid;
    end(s.channel, helper);
    for _ in 0..100 {
        if !alive(pid) && !alive(helper) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a watcher outlived its channel");
}

#[tokio::test]
async fn the_end_of_the_stream_is_an_error_that_names_the_command() {
    let s = shell();
    let err = s
        .channel
        .run(Command::new("restart k3s", "end_family"))
        .await
        .unwrap_err();
    assert!(
        matches!(&err, HostError::Lost { during, .. } if during == "restart k3s"),
        "{err:?}"
    );
    assert!(matches!(
        s.channel.run(Command::new("next", "true")).await,
        Err(HostError::Lost { .. })
    ));
}

#[tokio::test]
async fn waiting_once_for_several_requests_is_one_round_trip() {
    let s = shell();
    assert_eq!(s.channel.round_trips(), 0);
    s.channel
        .lock_and_run("me", Command::new("x", "true"))
        .await
        .unwrap();
    assert_eq!(s.channel.round_trips(), 1);
    s.channel.run(Command::new("x", "true")).await.unwrap();
    assert_eq!(s.channel.round_trips(), 2);
}
