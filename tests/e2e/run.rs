//! Runs monopg as a user would and reads what it says.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::check::{Check, During, Fail};
use crate::ensure;
use crate::inventory::Inventory;
use crate::world::World;

/// No run of the tests may take longer: a hang is a failure, not a wait.
const LIMIT: Duration = Duration::from_secs(420);

/// Who runs monopg, as its environment says.
pub const USER: &str = "e2e-tester";

/// What a run said.
pub struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Standard output as JSON, with `--output json`; else null.
    pub json: Value,
    /// How long it took.
    pub took: Duration,
    host: String,
}

impl Outcome {
    /// The host's part of the JSON object.
    pub fn host(&self) -> &Value {
        &self.json["hosts"][&self.host]
    }

    /// The steps of a list of outcomes, by id.
    fn steps(&self, outcomes: &[&str]) -> BTreeSet<String> {
        self.host()["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|s| outcomes.iter().any(|o| s["outcome"] == *o))
            .filter_map(|s| s["id"].as_str().map(str::to_owned))
            .collect()
    }

    /// The steps that were, or in check mode would be, changed.
    pub fn changed_steps(&self) -> BTreeSet<String> {
        self.steps(&["changed", "would_change"])
    }

    /// The steps that check mode could not judge.
    pub fn deferred_steps(&self) -> BTreeSet<String> {
        self.steps(&["deferred"])
    }

    /// Everything that the run says about itself, for messages and searches.
    pub fn words(&self) -> String {
        format!("{}\n{}", self.host(), self.stderr)
    }

    /// The host's differences as text.
    pub fn diff(&self) -> String {
        self.host()["diff"].to_string()
    }

    /// The problems that ended the run, as text.
    pub fn errors(&self) -> String {
        format!("{} {}", self.host()["msg"], self.host()["errors"])
    }

    /// Fails unless the run ended with this code and the JSON object says the same.
    pub fn expect(&self, code: i32) -> Check {
        ensure!(
            self.code == Some(code),
            "exit {} instead of {code}: {}",
            self.code.map_or("by a signal".into(), |c| c.to_string()),
            self.summary()
        );
        let failed = code != 0 && code != 5;
        ensure!(
            self.json["failed"] == failed,
            "`failed` is {} at exit {code}: {}",
            self.json["failed"],
            self.summary()
        );
        ensure!(
            self.host().is_null() || self.host()["exit"] == code || code == 5,
            "the host's exit is {} and the program's {code}",
            self.host()["exit"]
        );
        ensure!(
            self.json["msg"].as_str().is_some_and(|m| !m.is_empty()),
            "no msg: {}",
            self.summary()
        );
        Ok(())
    }

    /// Fails unless the run ended well and changed nothing (or something).
    pub fn expect_changed(&self, changed: bool) -> Check {
        self.expect(0)?;
        ensure!(
            self.json["changed"] == changed && self.host()["changed"] == changed,
            "changed is {} (host {}) instead of {changed}: steps {:?}, diff {}",
            self.json["changed"],
            self.host()["changed"],
            self.changed_steps(),
            self.diff()
        );
        Ok(())
    }

    /// A few words for a failure.
    pub fn summary(&self) -> String {
        let errors = self.errors();
        let mut text = if self.json.is_null() {
            self.stdout.clone()
        } else {
            format!("{} steps changed {:?}", errors, self.changed_steps())
        };
        let stderr: Vec<&str> = self.stderr.lines().collect();
        text.push_str(" | stderr: ");
        text.push_str(&stderr[stderr.len().saturating_sub(12)..].join(" | "));
        text.chars().take(3000).collect()
    }
}

/// A run being put together.
pub struct Monopg<'a> {
    world: &'a World,
    host: String,
    command: Command,
    limit: Duration,
    json: bool,
}

impl<'a> Monopg<'a> {
    /// `monopg VERB -i INVENTORY -e @SECRETS`, from an empty home.
    pub fn new(world: &'a World, verb: &str, inventory: &Inventory) -> Check<Monopg<'a>> {
        let (hosts, secrets) = inventory.write(&world.fresh_folder("inventory")?)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_monopg"));
        command
            .arg(verb)
            .arg("-i")
            .arg(hosts)
            .arg("-e")
            .arg(format!("@{}", secrets.display()))
            .env_clear()
            .env("HOME", &world.home)
            .env("USER", USER)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(&world.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if matches!(verb, "apply" | "plan") {
            command.args(["--wait-timeout", "180"]);
        }
        Ok(Monopg {
            world,
            host: inventory.name.clone(),
            command,
            limit: LIMIT,
            json: false,
        })
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Runs with `--output json` and reads the object.
    pub fn json(mut self) -> Check<Outcome> {
        self.command.args(["--output", "json"]);
        self.json = true;
        self.finish()
    }

    /// Runs with whatever output was asked for.
    pub fn finish(mut self) -> Check<Outcome> {
        let start = Instant::now();
        let mut child = self.command.spawn().during("monopg does not start")?;
        let out = reader(child.stdout.take());
        let err = reader(child.stderr.take());
        let code = loop {
            if let Some(status) = child.try_wait()? {
                break status.code();
            }
            if start.elapsed() > self.limit {
                child.kill()?;
                child.wait()?;
                return Err(Fail(format!(
                    "monopg was still running after {} s; stderr: {}",
                    self.limit.as_secs(),
                    err.join().unwrap_or_default()
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let stdout = out.join().unwrap_or_default();
        let stderr = err.join().unwrap_or_default();
        self.world.record(&stdout, &stderr)?;
        let json = if self.json {
            serde_json::from_str(&stdout).during(format!(
                "standard output is not exactly one JSON object (exit {code:?}, stderr {stderr:?}): {stdout:?}"
            ))?
        } else {
            Value::Null
        };
        Ok(Outcome {
            code,
            stdout,
            stderr,
            json,
            took: start.elapsed(),
            host: self.host,
        })
    }

    /// Starts with `--output jsonl`; the caller reads the events.
    pub fn events(mut self) -> Check<Events> {
        self.command.args(["--output", "jsonl"]);
        let mut child = self.command.spawn().during("monopg does not start")?;
        let lines = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let stderr = reader(child.stderr.take());
        Ok(Events {
            child,
            lines,
            stderr: Some(stderr),
            seen: String::new(),
        })
    }
}

fn reader(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // What was read before an error is what there is.
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A run whose events are read while it goes.
pub struct Events {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    stderr: Option<std::thread::JoinHandle<String>>,
    seen: String,
}

impl Events {
    /// The next event; `None` at the end.
    pub fn next(&mut self) -> Check<Option<Value>> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        self.seen.push_str(&line);
        serde_json::from_str(&line)
            .map(Some)
            .during(format!("not an event: {line:?}"))
    }

    /// Reads on until a step begins to be *applied*: it was judged to differ and not yet finished.
    /// False if the run ended first.
    pub fn until_step(&mut self, step: &str) -> Check<bool> {
        while let Some(event) = self.next()? {
            if event["kind"] == "step_started" && event["step"] == step {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Check {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Lets it end and gives its exit code, its events and its standard error.
    pub fn end(mut self, world: &World) -> Check<(Option<i32>, String, String)> {
        while self.next()?.is_some() {}
        let code = self.child.wait()?.code();
        let stderr = self
            .stderr
            .take()
            .and_then(|s| s.join().ok())
            .unwrap_or_default();
        world.record(&self.seen, &stderr)?;
        Ok((code, std::mem::take(&mut self.seen), stderr))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // A case that failed in between leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
