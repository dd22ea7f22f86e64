//! A channel that is cut: what has not arrived whole is not run, nothing is left, the same run gets its lock back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use monopg::error::Exit;
use monopg::host::channel::{Channel, HELPER, nonce};
use monopg::host::transport::{Ending, RoundTrips, Transport};
use monopg::host::{Command, Host, HostError, Upload};
use monopg::secrets::Secret;

fn open_in(run: &Path) -> Channel {
    let nonce = nonce().unwrap();
    let mut child = tokio::process::Command::new("/bin/sh")
        .args(["-c", HELPER, "sh", &nonce])
        .env("MONOPG_RUN_DIR", run)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let transport = Transport {
        stdin: Box::new(child.stdin.take().unwrap()),
        stdout: Box::new(child.stdout.take().unwrap()),
        stderr: Box::new(child.stderr.take().unwrap()),
        round_trips: RoundTrips::default(),
        ending: Ending::default(),
        keep: Box::new(()),
    };
    // Reaped at once, as sshd and sudo do it.
    tokio::spawn(async move { child.wait().await });
    Channel::new("here", &nonce, transport)
}

/// What a helper leaves that is given these bytes and then the end of the stream.
fn fed(bytes: &[u8], run: &Path) {
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", HELPER, "sh", "abc"])
        .env("MONOPG_RUN_DIR", run)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait().unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).map(|e| e.flatten().collect::<Vec<_>>());
    let mut names: Vec<_> = entries
        .unwrap_or_default()
        .iter()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

async fn until(what: &str, limit: u64, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(limit), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_request_is_run_only_if_it_has_arrived_whole() {
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    // Each beginning of it would do something if it were run.
    let script = format!(
        "echo a >>'{0}'; cat >>'{0}'; echo b >>'{0}'",
        done.display()
    );
    let data = b"one\ntwo\n";
    let mut request = format!("run 1 {} {} 20\n{script}", script.len(), data.len()).into_bytes();
    request.extend_from_slice(data);
    for cut in 0..request.len() {
        fed(&request[..cut], &dir.path().join("run"));
        assert!(!done.exists(), "cut after {cut} bytes of {}", request.len());
    }
    fed(&request, &dir.path().join("run"));
    assert_eq!(std::fs::read_to_string(&done).unwrap(), "a\none\ntwo\nb\n");
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_nothing_of_an_upload() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("to");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "old").unwrap();
    let channel = open_in(&dir.path().join("run"));
    let content: Vec<u8> = (0..8_000_000u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let path = folder.join("file");
    let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let upload = async {
        let upload = Upload {
            content: &content,
            path: path.to_str().unwrap(),
            mode: 0o600,
        };
        channel
            .upload(upload, &|n| {
                let _ = tell.send(n);
            })
            .await
    };
    tokio::select! {
        done = upload => panic!("it was over before it was cut: {done:?}"),
        n = begun.recv() => assert!(n.unwrap() > 0),
    }
    assert_eq!(
        files(&folder).len(),
        2,
        "no temporary file: nothing is proven"
    );
    drop(channel);
    until("something is left", 15, || files(&folder) == ["file"]).await;
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let left = || {
        let mut left = files(&dir.path().join("run"));
        left.retain(|f| !f.starts_with("run."));
        left
    };
    until("something is left of the helper", 15, || left().is_empty()).await;
}

/// What its lost channel still does is waited for, but not for long.
#[tokio::test]
async fn a_run_gets_its_lock_back_after_its_connection_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    for (hangs, data) in [
        (false, None),
        (true, None),
        (true, Some(Secret::new(b"x".to_vec()))),
    ] {
        let first = open_in(&run);
        let mark = dir.path().join("mark");
        let pid = dir.path().join("pid");
        let _ = (std::fs::remove_file(&mark), std::fs::remove_file(&pid));
        let seconds = if hangs { 300 } else { 2 };
        let script = format!(
            "sleep {seconds} & echo $! >'{}'; wait; touch '{}'",
            pid.display(),
            mark.display()
        );
        let mut command = Command::new("x", script);
        command.stdin = data;
        let begun = async { until("it does not begin", 10, || pid.exists()).await };
        tokio::select! {
            _ = first.lock_and_run("me, run 1", command) => panic!("it ended"),
            () = begun => {}
        }
        drop(first);
        // At once, before the helper can know.
        let again = open_in(&run);
        let begin = Instant::now();
        let out = again
            .lock_and_run("me, run 1", Command::new("y", "echo in"))
            .await;
        assert_eq!(out.unwrap().text(), "in");
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert_eq!(mark.exists(), !hangs);
        let pid = std::fs::read_to_string(&pid).unwrap();
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
        assert!(
            stat.map_or(true, |s| s.contains(") Z ")),
            "what hung is still there beside the one who has the lock"
        );
        drop(again);
        until("the lock is not free", 10, || {
            std::process::Command::new("flock")
                .arg("-n")
                .arg(run.join("run.lock"))
                .arg("true")
                .status()
                .is_ok_and(|s| s.success())
        })
        .await;
    }
}

#[tokio::test]
async fn a_folder_in_run_that_others_could_write_to_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    std::fs::create_dir(&target).unwrap();
    let link = dir.path().join("link");
    symlink(&target, &link).unwrap();
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    for run in [&link, &open] {
        let channel = open_in(run);
        let error = channel
            .lock_and_run("me", Command::new("x", "true"))
            .await
            .unwrap_err();
        assert_eq!(error.exit(), Exit::Privilege);
        assert!(
            matches!(&error, HostError::Privilege { what, .. } if what.contains("root's alone"))
        );
    }
    assert!(files(&target).is_empty() && files(&open).is_empty());
}

/// What cannot be written must not be taken for requests.
#[tokio::test]
async fn the_content_of_a_file_is_never_a_request() {
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    let script = format!("touch '{}'", done.display());
    let request = format!("\nrun 77 {} 0 20\n{script}", script.len());
    let content = request.repeat(20_000);
    std::fs::write(dir.path().join("file"), "").unwrap();
    for path in ["file/below", "fine", "file/below"] {
        let channel = open_in(&dir.path().join("run"));
        let path = dir.path().join(path);
        let upload = Upload {
            content: content.as_bytes(),
            path: path.to_str().unwrap(),
            mode: 0o600,
        };
        let uploaded = channel.upload(upload, &|_| ()).await;
        assert_eq!(uploaded.is_ok(), path.ends_with("fine"), "{uploaded:?}");
        let out = channel.run(Command::new("x", "echo on")).await.unwrap();
        assert_eq!(out.text(), "on");
    }
    assert_eq!(
        std::fs::read(dir.path().join("fine")).unwrap(),
        content.as_bytes()
    );
    assert!(!done.exists());
}

#[tokio::test]
async fn links_are_replaced_and_not_written_through() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let path = dir.path().join("file");
    symlink(&victim, &path).unwrap();
    for name in ["file.stored.new", "file.stored", ".monopg-upload.abc"] {
        symlink(&victim, dir.path().join(name)).unwrap();
    }
    let channel = open_in(&dir.path().join("run"));
    let upload = Upload {
        content: b"new",
        path: path.to_str().unwrap(),
        mode: 0o644,
    };
    channel.upload(upload, &|_| ()).await.unwrap();
    let stored = monopg::steps::stored::StoredFile {
        key: "x",
        path: path.to_str().unwrap().to_owned(),
        pin: monopg::settings::Sha256Hex::parse(&"0".repeat(64)).unwrap(),
        deep: false,
    };
    stored.record_it(&channel, "digest").await.unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    let plain = |name: &str| {
        std::fs::symlink_metadata(dir.path().join(name))
            .unwrap()
            .is_file()
    };
    assert!(plain("file") && plain("file.stored"));
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(files(dir.path()), ["file", "file.stored", "run", "victim"]);
}
