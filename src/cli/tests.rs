//! Signals and panics, in a process of their own: this test program starts itself again.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::report::{Color, Format};

const ROLE: &str = "MONOPG_TEST_ROLE";

#[expect(
    clippy::exit,
    reason = "the child is this test program and must end here"
)]
/// What the child does: ends the process, or returns if this is not a child.
fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let options = Options::detect(Some(Format::Json), Color::Never, Verbosity::Normal);
    let reporter = Reporter::start(options, Masker::default()).unwrap();
    report_panics(reporter.clone());
    reporter.learn(Masker::new([&crate::secrets::Secret::from("c4nary")]));
    let stop = Stop::default();
    let result = in_runtime(&stop, &reporter, async {
        reporter.note("ready");
        match role.as_str() {
            "panic" => {
                tokio::spawn(async { panic!("boom c4nary") }).await.unwrap();
            }
            "graceful" => stop.token().cancelled().await,
            "stubborn" => std::future::pending().await,
            other => panic!("{other}"),
        }
        Err(vec![Problem::new("x", Exit::Remote, "did not end well")])
    });
    let exit = end(&reporter, &stop, result);
    std::process::exit(i32::from(exit.code()));
}

struct Started {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

fn start(test: &str, role: &str) -> Started {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("cli::tests::{test}"), "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut started = Started { child, stderr };
    started.wait_for("ready");
    started
}

impl Started {
    fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while self.stderr.read_line(&mut line).unwrap() > 0 {
            if line.contains(text) {
                return;
            }
            line.clear();
        }
        panic!("{text} did not come");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit code, the only JSON object on standard output, and the rest of standard error.
    fn end(mut self) -> (i32, serde_json::Value, String) {
        let mut stdout = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        // The test harness of the child writes lines of its own.
        let objects: Vec<&str> = stdout.lines().filter(|l| l.starts_with('{')).collect();
        assert_eq!(objects.len(), 1, "{stdout}");
        let object = serde_json::from_str(objects[0]).unwrap();
        (code, object, stderr)
    }
}

#[test]
fn a_panic_is_one_message_one_object_and_exit_1() {
    child();
    let (code, object, stderr) =
        start("a_panic_is_one_message_one_object_and_exit_1", "panic").end();
    assert_eq!(code, 1);
    assert_eq!(object["exit"], 1);
    assert_eq!(object["failed"], true);
    assert_eq!(object["msg"], "monopg has a bug and ended");
    assert_eq!(object["errors"][0]["causes"][0], "boom ********");
    assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn the_first_signal_lets_the_run_end_by_itself() {
    child();
    for (signal, want) in [("INT", 130), ("TERM", 143)] {
        let run = start("the_first_signal_lets_the_run_end_by_itself", "graceful");
        run.signal(signal);
        let (code, object, stderr) = run.end();
        assert_eq!(code, want);
        assert_eq!(object["exit"], want);
        assert_eq!(object["errors"][0]["what"], "did not end well");
        assert!(stderr.contains("a second signal ends at once"), "{stderr}");
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    child();
    let mut run = start("the_second_signal_ends_at_once", "stubborn");
    run.signal("INT");
    run.wait_for("a second signal ends at once");
    run.signal("TERM");
    let (code, object, _) = run.end();
    assert_eq!(code, 143);
    assert_eq!(object["exit"], 143);
    assert_eq!(object["errors"][0]["id"], "run.interrupted");
}
