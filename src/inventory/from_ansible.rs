//! `--inventory-from ansible`: the installed `ansible-inventory` reads the sources, and its answer
//! becomes the model. For plugins, programs and TOML, which only Ansible itself can read.
//!
//! It runs whatever the sources are configured to run; that is why it has to be asked for.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::yaml::{Mark, Node};

use super::error::Said;
use super::graph::{Graph, UNGROUPED};
use super::request::{AnsibleProgram, Request};
use super::{InventoryError, Place, Rule, Var, json};

const FLAG: Place = Place::Flag("--inventory-from ansible");
/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// How much of its remarks is kept, in bytes.
const MAX_REMARKS: u64 = 64 * 1024;
/// How many lines of its remarks an error shows.
const SHOWN_LINES: usize = 12;
/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Fills the graph with what the program answers; hosts get the variables that Ansible merged.
pub(super) fn read(
    request: &Request,
    ansible: &AnsibleProgram,
    graph: &mut Graph,
) -> Result<(), InventoryError> {
    let answer = ask(request, ansible)?;
    let wrong = |what: String| {
        let program = ansible.program.display().to_string();
        InventoryError::Ansible {
            program,
            what,
            source: None,
        }
    };
    let document: Json = serde_json::from_slice(&answer).map_err(|e| {
        // The place only: the words might show a value.
        wrong(format!(
            "answered with something that is no JSON (line {})",
            e.line()
        ))
    })?;
    let Json::Object(mut groups) = document else {
        return Err(wrong("answered with JSON that is no object".to_owned()));
    };
    let meta = groups.remove("_meta");
    let texts = |group: &Json, key: &str| -> Vec<String> {
        let items = group.get(key).and_then(Json::as_array);
        let items = items.map_or(&[][..], Vec::as_slice);
        items
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect()
    };
    for (name, group) in &groups {
        let index = graph.group(name, &FLAG)?;
        for host in texts(group, "hosts") {
            graph.add_host(&host, index, Some(0), None, &FLAG)?;
        }
        for child in texts(group, "children") {
            let child = graph.group(&child, &FLAG)?;
            graph.add_child(index, child, FLAG)?;
        }
    }
    let Some(Json::Object(mut meta)) = meta else {
        return Ok(());
    };
    let Some(Json::Object(hosts)) = meta.remove("hostvars") else {
        return Ok(());
    };
    for (host, vars) in hosts {
        let host = match graph.find_host(&host) {
            Some(host) => host,
            None => graph.add_host(&host, UNGROUPED, Some(0), None, &FLAG)?,
        };
        let (Json::Object(vars), Some(host)) = (vars, graph.hosts.get_mut(host)) else {
            continue;
        };
        for (name, value) in vars {
            let too_deep = || wrong(format!("answered with too deep a value for `{name}`"));
            let var = Var {
                node: Node {
                    mark: Mark { line: 1, column: 1 },
                    ..json::node(value, None).ok_or_else(too_deep)?
                },
                place: FLAG,
                rule: Rule::Ansible,
            };
            host.vars.insert(name, var);
        }
    }
    Ok(())
}

/// Runs the program; its arguments are a list, no shell sees them.
fn ask(request: &Request, ansible: &AnsibleProgram) -> Result<Vec<u8>, InventoryError> {
    let mut command = Command::new(&ansible.program);
    command.arg("--list").current_dir(&request.cwd);
    for source in &request.sources {
        // In one word, so that a name with a dash in front is no option.
        command.arg(format!("--inventory={source}"));
    }
    if let Some(folder) = &request.playbook_dir {
        let mut argument = std::ffi::OsString::from("--playbook-dir=");
        argument.push(folder);
        command.arg(argument);
    }
    command
        .args(&ansible.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let program = ansible.program.display().to_string();
    let failed = |what: &str, source: Option<Said>| InventoryError::Ansible {
        program: program.clone(),
        what: what.to_owned(),
        source,
    };
    let mut child = command
        .spawn()
        .map_err(|e| failed("cannot be started", Some(Said(e.to_string()))))?;
    let answer = drain(child.stdout.take(), MAX_ANSWER);
    let remarks = drain(child.stderr.take(), MAX_REMARKS);
    let until = Instant::now() + ansible.timeout;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(PAUSE),
            // A program that it started may hold the pipes: they are not waited for.
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let left = until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_secs(1));
    let said = remarks.recv_timeout(left).map(|r| tail(&r)).ok();
    let said = said.filter(|s| !s.is_empty()).map(Said);
    let Some(status) = status else {
        let what = format!("took longer than {} s", ansible.timeout.as_secs());
        return Err(failed(&what, said));
    };
    if !status.success() {
        return Err(failed(&format!("failed ({status})"), said));
    }
    match answer.recv_timeout(left) {
        Ok(bytes) if bytes.len() as u64 > MAX_ANSWER => {
            Err(failed("answered with more than 64 MiB", None))
        }
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(failed("ended, but its output did not", said)),
    }
}

/// Reads in the background; one byte more than the limit tells that there was more. What comes behind it
/// is read and dropped, so that the program never waits for a reader.
fn drain(from: Option<impl Read + Send + 'static>, limit: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut from) = from {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = (&mut from).take(limit + 1).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut from, &mut std::io::sink());
            let _ = sender.send(bytes);
        });
    }
    receiver
}

/// The last lines, without colours and control characters.
fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = console::strip_ansi_codes(&text);
    let lines: Vec<String> = text
        .lines()
        .map(|l| l.chars().filter(|c| !c.is_control()).collect::<String>())
        .filter(|l| !l.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(SHOWN_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
