//! Several hosts at once, as a user runs them: one that is dead delays nobody else.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// The dead host is the first of the inventory, and answers nothing until its time-out; all others, more than there
/// are forks, are over before it.
#[test]
fn a_host_that_never_answers_delays_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .unwrap()
        .port();
    let mut hosts = format!(
        "all:\n  hosts:\n    a-dead: {{ansible_port: {}}}\n",
        silent.local_addr().unwrap().port()
    );
    for n in 1..=8 {
        hosts.push_str(&format!("    b{n}: {{ansible_port: {refusing}}}\n"));
    }
    std::fs::write(folder.path().join("hosts.yml"), hosts).unwrap();
    std::fs::create_dir(folder.path().join("group_vars")).unwrap();
    let digest = "a".repeat(64);
    std::fs::write(
        folder.path().join("group_vars/all.yml"),
        format!(
            "ansible_host: 127.0.0.1\nansible_user: root\nmonopg_chart: oci://registry.invalid/charts/postgresql\n\
             monopg_chart_version: 17.0.2\nmonopg_chart_sha256: {digest}\nmonopg_helm_version: 4.1.4\n\
             monopg_helm_sha256: {digest}\nmonopg_helm_source: https://helm.invalid/helm.tar.gz\n\
             monopg_storage_path: /srv/x\nmonopg_credentials: {{postgres-password: not-a-secret-1}}\n"
        ),
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_monopg"))
        .args(["plan", "-i", "hosts.yml", "-T", "4", "--output", "jsonl"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut finished = Vec::new();
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["kind"] == "host_finished" {
            finished.push(event["host"].as_str().unwrap().to_owned());
        }
        said.push_str(&line);
    }
    let out = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(20), "{stderr} {said}");
    assert_eq!(finished.len(), 9, "{said}");
    assert_eq!(finished.last().unwrap(), "a-dead");
    drop(silent);
}
