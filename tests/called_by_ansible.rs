//! What Ansible relies on, without Ansible: one JSON object on standard output whatever happens, no
//! question ever, and the module's answer to a file of arguments.

#![expect(
    clippy::unwrap_used,
    reason = "in a test an unexpected state is a failure"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const CANARY: &str = "c4nary-1f6b";

/// Settings that are right; nobody answers at the address.
fn settings() -> Value {
    json!({
        "monopg_chart": "/srv/postgresql-17.0.2.tgz",
        "monopg_chart_version": "17.0.2",
        "monopg_chart_sha256": SHA,
        "monopg_helm_version": "4.1.4",
        "monopg_helm_sha256": SHA,
        "monopg_helm_source": "/srv/helm-v4.1.4-linux-amd64.tar.gz",
        "monopg_storage_path": "/srv/k3s-storage",
        "monopg_credentials": {"postgres-password": CANARY},
    })
}

fn merged(mut all: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// An inventory of one host with these variables.
    fn inventory(&self, vars: &Value) -> PathBuf {
        let hosts = json!({"all": {"hosts": {"pg1": vars}}});
        self.write("hosts.yml", &hosts.to_string())
    }

    /// monopg as Ansible's `command` starts it: nothing of a session in the environment.
    fn monopg(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monopg"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    fn apply(&self, vars: &Value) -> Command {
        let mut command = self.monopg();
        command
            .args(["apply", "--output", "json", "--no-input", "-i"])
            .arg(self.inventory(vars));
        command
    }

    /// Starts the module as Ansible does.
    fn module(&self, arguments: &Value) -> Command {
        let program = self.path().join("AnsiballZ_monopg");
        if !program.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_monopg"), &program).unwrap();
        }
        let mut command = Command::new(&program);
        command
            .arg(self.write("args", &arguments.to_string()))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }
}

/// The code and the only object on standard output; nothing else is there, and no secret anywhere.
fn object(output: &Output) -> (i32, Value) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stdout.lines().count(), 1, "{stdout}\n{stderr}");
    assert!(
        !stdout.contains(CANARY) && !stderr.contains(CANARY),
        "{stdout}\n{stderr}"
    );
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert!(object.is_object(), "{stdout}");
    (output.status.code().unwrap(), object)
}

fn nobody() -> Value {
    // Port 9 of this machine: refused at once.
    json!({"ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_user": "root"})
}

#[test]
fn command_one_object_in_every_case() {
    let folder = Folder::new();
    for (vars, code) in [
        (merged(settings(), nobody()), 20),
        (merged(settings(), json!({"monopg_chart": 5})), 10),
        (json!({"monopg_chart": "x.tgz"}), 10),
        (json!({}), 10),
    ] {
        for more in [&["--yes", "--no-diff"][..], &["--check", "--diff"]] {
            let (got, object) = object(&folder.apply(&vars).args(more).output().unwrap());
            assert_eq!(got, code, "{object}");
            assert_eq!(object["exit"], code, "{object}");
            assert_eq!(object["failed"], true, "{object}");
            assert_eq!(object["changed"], false, "{object}");
            assert!(
                object["msg"].as_str().is_some_and(|m| !m.is_empty()),
                "{object}"
            );
            assert_eq!(object["check"], more.contains(&"--check"), "{object}");
        }
    }
    for args in [
        &["apply", "-o", "json", "-i", "nowhere.yml"][..],
        &["apply", "-o", "json"],
        &["apply", "-o", "json", "--wat"],
        &["aply", "-o", "json"],
    ] {
        let (code, object) = object(&folder.monopg().args(args).output().unwrap());
        assert!(code == 10 || code == 4, "{object}");
        assert_eq!(object["failed"], true);
    }
}

#[test]
fn command_with_closed_streams() {
    let folder = Folder::new();
    let inventory = folder.inventory(&merged(settings(), nobody()));
    for closed in ["<&-", "2>&-", "<&- 2>&-"] {
        let script = format!("exec \"$0\" apply -o json --no-input -i \"$1\" {closed}");
        let output = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_monopg"))
            .arg(&inventory)
            .env_clear()
            .output()
            .unwrap();
        let (code, object) = object(&output);
        assert_eq!((code, &object["exit"]), (20, &json!(20)), "{closed}");
    }
    // A password that only a person could give is no reason to wait either.
    let output = Command::new("setsid")
        .args([
            "--wait",
            "/bin/sh",
            "-c",
            "exec \"$0\" apply -K -o json -i \"$1\" <&-",
        ])
        .arg(env!("CARGO_BIN_EXE_monopg"))
        .arg(&inventory)
        .output()
        .unwrap();
    assert_eq!(object(&output).0, 4);
}

/// A server that accepts and never says a word: the run is under way for as long as the test likes.
fn silent() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Sends SIGTERM as soon as the run has connected.
fn terminate(mut command: Command, listener: &std::net::TcpListener) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let connection = listener.accept().unwrap();
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    // Only now: it must not be a lost connection that ends the run.
    drop(connection);
    output
}

#[test]
fn terminated_it_still_answers() {
    let folder = Folder::new();
    let (listener, port) = silent();
    let way = json!({"ansible_host": "127.0.0.1", "ansible_port": port, "ansible_user": "root"});
    let (code, answer) = object(&terminate(
        folder.apply(&merged(settings(), way)),
        &listener,
    ));
    assert_eq!(
        (code, &answer["exit"], &answer["failed"]),
        (143, &json!(143), &json!(true))
    );

    let way = json!({"host": "127.0.0.1", "port": port, "user": "root", "_ansible_module_name": "monopg"});
    let (code, answer) = object(&terminate(
        folder.module(&merged(settings(), way)),
        &listener,
    ));
    assert_eq!(
        (code, &answer["monopg_exit"], &answer["failed"]),
        (143, &json!(143), &json!(true)),
        "{answer}"
    );
}

#[test]
fn module_answers_by_name_or_by_file() {
    let folder = Folder::new();
    let way = json!({"host": "127.0.0.1", "port": "9", "user": "root"});
    let arguments = merged(settings(), way);
    let (code, by_name) = object(&folder.module(&arguments).output().unwrap());
    assert_eq!(code, 20);
    assert_eq!(by_name["failed"], true);
    assert_eq!(by_name["monopg_exit"], 20);
    assert!(by_name.get("rc").is_none() && by_name.get("invocation").is_none());
    // With Ansible's keys in the file the name does not matter.
    let arguments = merged(arguments, json!({"_ansible_module_name": "monopg"}));
    let file = folder.write("args2", &arguments.to_string());
    let (code, by_file) = object(&folder.monopg().arg(file).output().unwrap());
    assert_eq!((code, &by_file["msg"]), (20, &by_name["msg"]));
    // A file of somebody else is an unknown command.
    let file = folder.write("args3", &settings().to_string());
    let output = folder.monopg().arg(file).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0));
}

#[test]
fn module_says_all_that_is_wrong() {
    let folder = Folder::new();
    let arguments = merged(
        settings(),
        json!({"prot": 22, "wait_timeout": "soon", "deep": "perhaps", "monopg_credentials": [CANARY]}),
    );
    let (code, answer) = object(&folder.module(&arguments).output().unwrap());
    assert_eq!((code, &answer["monopg_exit"]), (10, &json!(10)));
    let msg = answer["msg"].as_str().unwrap();
    for part in [
        "prot: is not an argument of this module (hint: did you mean port?)",
        "wait_timeout: `soon` is not a duration",
        "deep: must be true or false",
        "monopg_credentials: must be a mapping of passwords, not a list",
    ] {
        assert!(msg.contains(part), "{part}: {msg}");
    }
    // The same without a word of it.
    let arguments = merged(
        arguments,
        json!({"_ansible_no_log": true, "_ansible_verbosity": 4}),
    );
    let output = folder.module(&arguments).output().unwrap();
    let (_, answer) = object(&output);
    assert_eq!(
        answer,
        json!({"changed": false, "failed": true, "monopg_exit": 10, "msg": "settings or inventory are wrong"})
    );
    assert_eq!(output.stderr, b"");
}

#[test]
fn module_with_arguments_that_cannot_be_read() {
    let folder = Folder::new();
    for (text, why) in [
        (format!("{{\"password\": \"{CANARY}\" x"), "it is not JSON"),
        ("host=127.0.0.1".to_owned(), "it is not JSON"),
        ("[]".to_owned(), "it is not one JSON object"),
        ("[".repeat(200_000), "it is not JSON"),
        (" ".repeat(5 << 20), "it is longer than"),
    ] {
        let mut command = folder.module(&json!({}));
        let mut file = std::fs::File::create(folder.path().join("args")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let (code, answer) = object(&command.output().unwrap());
        assert_eq!((code, &answer["failed"]), (4, &json!(true)));
        assert!(answer["msg"].as_str().unwrap().contains(why), "{answer}");
    }
}

#[test]
fn module_at_any_verbosity_tells_no_secret() {
    let folder = Folder::new();
    for verbosity in 0..=5 {
        let arguments = merged(
            settings(),
            json!({
                "host": "127.0.0.1", "port": 9, "user": "root", "password": CANARY,
                "become_password": CANARY, "_ansible_verbosity": verbosity, "_ansible_diff": true,
            }),
        );
        let output = folder.module(&arguments).output().unwrap();
        // `object` looks for the canary on both streams.
        assert_eq!(object(&output).0, 20);
        assert!(!output.stderr.is_empty(), "{verbosity}");
    }
}
