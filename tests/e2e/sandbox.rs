//! The node that the cases work on: `scripts/sandbox` and ssh as root, nothing of monopg's own code,
//! so that a fault there cannot hide itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::check::{Check, During, Fail};
use crate::ensure;

/// A sandbox node.
pub struct Sandbox {
    script: PathBuf,
    /// Its name, which is also the inventory name.
    pub name: String,
    /// Its IPv4 address.
    pub address: String,
    /// The private key that opens all its accounts.
    pub key: PathBuf,
    /// The node's real host keys.
    pub known_hosts: PathBuf,
    /// A file with the password that sudo asks `admin` for.
    pub admin_password: PathBuf,
}

impl Sandbox {
    /// Boots the node, or takes the one that already runs.
    pub fn up(checkout: &Path, name: &str) -> Check<Sandbox> {
        let mut node = Sandbox {
            script: checkout.join("scripts/sandbox"),
            name: name.to_owned(),
            address: String::new(),
            key: PathBuf::new(),
            known_hosts: PathBuf::new(),
            admin_password: PathBuf::new(),
        };
        node.command(&["up", "--node", name])?;
        let status: Value = serde_json::from_str(&node.answer(&["status", "--json"])?)
            .during("scripts/sandbox status --json")?;
        let mine = status["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|n| n["name"] == name)
            .ok_or_else(|| {
                Fail(format!(
                    "scripts/sandbox status does not list {name}: {status}"
                ))
            })?;
        let text = |v: &Value, what: &str| {
            v.as_str()
                .map(str::to_owned)
                .ok_or_else(|| Fail(format!("scripts/sandbox status names no {what}: {status}")))
        };
        node.address = text(&mine["address"], "address")?;
        node.key = text(&status["key"], "key")?.into();
        node.known_hosts = text(&status["known_hosts"], "known_hosts")?.into();
        node.admin_password = text(&status["admin_password_file"], "admin_password_file")?.into();
        Ok(node)
    }

    /// Path of an archive or program that `scripts/sandbox artifact` makes, as `helm4`.
    pub fn artifact(checkout: &Path, what: &str) -> Check<PathBuf> {
        let out = Command::new(checkout.join("scripts/sandbox"))
            .args(["artifact", what])
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            out.status.success(),
            "scripts/sandbox artifact {what} failed"
        );
        let text = String::from_utf8(out.stdout)?;
        let line = text.lines().last().unwrap_or_default().trim();
        ensure!(
            Path::new(line).is_file(),
            "scripts/sandbox artifact {what} printed {line:?}, which is no file"
        );
        Ok(line.into())
    }

    fn answer(&self, args: &[&str]) -> Check<String> {
        let out = Command::new(&self.script).args(args).output()?;
        ensure!(
            out.status.success(),
            "scripts/sandbox {} failed: {}",
            args.join(" "),
            tail(&out.stderr)
        );
        Ok(String::from_utf8(out.stdout)?)
    }

    fn command(&self, args: &[&str]) -> Check {
        self.answer(args).map(drop)
    }

    /// A bare node again: k3s without a database.
    pub fn reset(&self) -> Check {
        self.command(&["reset", "--node", &self.name, "--k3s"])
    }

    /// A node without k3s.
    pub fn reset_light(&self) -> Check {
        self.command(&["reset", "--node", &self.name, "--no-k3s"])
    }

    /// Pulls the plug and boots again, until the cluster answers.
    pub fn powercut(&self) -> Check {
        self.command(&["powercut", "--node", &self.name])
    }

    /// An orderly reboot, until the cluster answers.
    pub fn reboot(&self) -> Check {
        self.command(&["reboot", "--node", &self.name])
    }

    /// Pulls the plug and leaves it out.
    pub fn power_off(&self) -> Check {
        self.command(&["powercut", "--node", &self.name, "--off"])
    }

    /// Boots the node that is off, until the cluster answers.
    pub fn power_on(&self) -> Check {
        self.command(&["up", "--node", &self.name])
    }

    /// How the node itself is, in one line: what a failure may come from that is none of monopg's.
    pub fn condition(&self) -> String {
        let script = format!(
            "systemctl show k3s -p ActiveState -p SubState -p NRestarts | paste -sd' '; \
             timeout 10 {KUBECTL} get nodes -o 'jsonpath={{range .items[*].status.conditions[*]}}{{.type}}={{.status}} {{end}}'; \
             timeout 10 {KUBECTL} get pods -A --no-headers | awk '{{print $2, $3, $4, $5}}' | paste -sd,; \
             df -h --output=avail / | tail -1; uptime; journalctl -u k3s -o cat --no-pager | grep '^k3s: ' | tail -3"
        );
        match self.shell(&script, b"") {
            Ok(out) => String::from_utf8_lossy(&out.stdout).into_owned(),
            Err(why) => why.0,
        }
    }

    /// An ssh command line to the node.
    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=10",
        ])
        .args(["-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=10"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()))
        .arg("-i")
        .arg(&self.key)
        .arg(format!("root@{}", self.address));
        ssh
    }

    /// Runs a shell script as root, with data on its standard input.
    pub fn shell(&self, script: &str, input: &[u8]) -> Check<Output> {
        // The script is an argument, so that standard input is free for data.
        let mut child = self
            .ssh()
            .arg("--")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // The script may end without reading: not our concern.
            let _ = stdin.write_all(input);
        }
        Ok(child.wait_with_output()?)
    }

    /// Starts a shell script as root and leaves it running; its end is the caller's business.
    pub fn start(&self, script: &str, input: &[u8]) -> Check<std::process::Child> {
        let mut child = self
            .ssh()
            .arg("--")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input)?;
        }
        Ok(child)
    }

    /// Standard output of a script that must succeed.
    pub fn run(&self, script: &str) -> Check<String> {
        self.run_with(script, b"")
    }

    /// The same, with data on standard input.
    pub fn run_with(&self, script: &str, input: &[u8]) -> Check<String> {
        let out = self.shell(script, input)?;
        ensure!(
            out.status.success(),
            "on the node, `{}` ended with {}: {}",
            first_line(script),
            out.status,
            tail(&out.stderr)
        );
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// True if the script ends with 0.
    pub fn test(&self, script: &str) -> Check<bool> {
        let out = self.shell(script, b"")?;
        match out.status.code() {
            Some(0) => Ok(true),
            Some(255) | None => Err(Fail(format!(
                "ssh to the node failed: {}",
                tail(&out.stderr)
            ))),
            Some(_) => Ok(false),
        }
    }

    /// `kubectl ARGS`, run on the node; the cache is kept away from root's home, which snapshots look at.
    pub fn kubectl(&self, args: &str) -> Check<String> {
        self.run(&format!("{KUBECTL} {args}"))
    }

    /// `kubectl ARGS -o json`.
    pub fn kubectl_json(&self, args: &str) -> Check<Value> {
        let text = self.kubectl(&format!("{args} -o json"))?;
        serde_json::from_str(&text).during(format!("kubectl {args} -o json"))
    }

    /// `kubectl apply -f -` of one manifest.
    pub fn kubectl_apply(&self, manifest: &str) -> Check {
        self.run_with(&format!("{KUBECTL} apply -f -"), manifest.as_bytes())
            .map(drop)
    }

    /// `kubectl patch` with a JSON (`json`) or merge patch (`merge`), as a person would by hand.
    pub fn kubectl_patch(&self, what: &str, kind: &str, patch: &Value) -> Check {
        self.run_with(
            &format!("{KUBECTL} patch {what} --type={kind} --patch-file=/dev/stdin"),
            patch.to_string().as_bytes(),
        )
        .map(drop)
    }

    /// Waits until a script on the node succeeds.
    pub fn until(&self, what: &str, limit: Duration, script: &str) -> Check {
        let start = Instant::now();
        loop {
            if self.test(script)? {
                return Ok(());
            }
            ensure!(
                start.elapsed() < limit,
                "waited {} s in vain until {what}",
                limit.as_secs()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// kubectl on the node, with its cache where no snapshot looks.
pub const KUBECTL: &str = "k3s kubectl --cache-dir=/run/e2e-cache";

/// The last lines of what a program complained.
pub fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

fn first_line(script: &str) -> &str {
    script.trim().lines().next().unwrap_or_default()
}
