//! What the probes' answers mean.
//!
//! Pure. One reason: "refused" is only worth something where somebody else got in at the same address.

use std::collections::BTreeMap;

use serde_json::json;

use super::plan::{Plan, Probe, Target};
use super::{ALLOWED, DENIED};
use crate::verify::{Finding, problem};

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    word: String,
    tries: u32,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why nothing could be tried.
    pub failed: Option<String>,
    /// What the API server refused to make, an answer each.
    refused: Vec<String>,
    /// Phase and reason by pod.
    states: BTreeMap<String, String>,
    /// By expectation, pod, host and port.
    answers: BTreeMap<(String, String, String, u16), Answer>,
}

impl Seen {
    /// Reads lines `state POD PHASE REASON…` and `refused …`.
    pub fn read(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("state ") {
                let (name, state) = rest.split_once(' ').unwrap_or((rest, ""));
                self.states.insert(name.to_owned(), state.trim().to_owned());
            } else if let Some(why) = line.strip_prefix("refused ") {
                self.refusal(why.trim());
            }
        }
    }

    /// An admission webhook says why on lines of its own, and the API server warns of what it makes all the same.
    fn refusal(&mut self, line: &str) {
        let begins = ["Error", "error", "The ", "Unable "].iter();
        match self.refused.last_mut() {
            _ if line.is_empty() || line.starts_with("Warning:") => {}
            Some(last) if !begins.into_iter().any(|b| line.starts_with(b)) => {
                last.push(' ');
                last.push_str(line);
            }
            _ => self.refused.push(line.to_owned()),
        }
    }

    /// Reads lines `result POD HOST PORT WORD TRIES`, of pods that are expected to get in (`open`) or not (`shut`).
    pub fn phase(&mut self, want: &str, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let ["result", pod, host, port, word, tries] = words[..] else {
                continue;
            };
            let (Ok(port), Ok(tries)) = (port.parse(), tries.parse()) else {
                continue;
            };
            let answer = Answer {
                word: word.to_owned(),
                tries,
            };
            let key = (want.to_owned(), pod.to_owned(), host.to_owned(), port);
            self.answers.insert(key, answer);
        }
    }

    /// As if nobody had been asked there.
    #[cfg(test)]
    pub fn forget(&mut self, host: &str) {
        self.answers.retain(|(_, _, h, _), _| h != host);
    }

    /// Whether a pod runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.states
            .get(name)
            .is_some_and(|s| s.split(' ').next() == Some("Running"))
    }

    fn answer(&self, want: &str, pod: &str, target: &Target) -> Option<&Answer> {
        let key = (
            want.to_owned(),
            pod.to_owned(),
            target.host.clone(),
            target.port,
        );
        self.answers.get(&key)
    }

    /// Whether anybody got in there in this run: a client, or the node.
    fn controlled(&self, target: &Target) -> bool {
        self.answers.iter().any(|((want, _, host, port), a)| {
            want == "open" && *host == target.host && *port == target.port && a.word == "open"
        })
    }

    /// Why the API server did not make a pod; `None` of one that it made, or that nobody knows why it is not there.
    fn refused(&self, probe: &Probe) -> Option<&String> {
        if self.states.contains_key(&probe.name) {
            return None;
        }
        let named = self.refused.iter().find(|r| r.contains(&probe.name));
        // What is said of no pod in particular is said of all.
        named.or_else(|| self.refused.iter().find(|r| !r.contains("monopg-probe-")))
    }

    /// Why a pod could not try.
    fn why(&self, probe: &Probe) -> String {
        match (self.states.get(&probe.name), self.refused(probe)) {
            (Some(state), _) => format!("its probe pod is {state}"),
            (None, Some(why)) => why.clone(),
            (None, None) => "its probe pod was not made".into(),
        }
    }
}

/// The two checks' findings.
pub fn judge(plan: &Plan, seen: &Seen) -> (Finding, Finding) {
    let impossible = plan.impossible.clone().or_else(|| {
        seen.failed
            .clone()
            .map(|e| format!("no probe pod could be made: {e}"))
    });
    if let Some(why) = impossible {
        return (Finding::not_run(why.clone()), Finding::not_run(why));
    }
    (allowed(plan, seen), denied(plan, seen))
}

fn allowed(plan: &Plan, seen: &Seen) -> Finding {
    let clients: Vec<&Probe> = plan
        .probes
        .iter()
        .filter(|p| !p.allowed.is_empty())
        .collect();
    let mut finding = match (clients.len(), plan.untried.len()) {
        (0, 0) if plan.absent.is_empty() => {
            return Finding::not_applicable("monopg_allowed_clients names nobody");
        }
        (0, 1..) => Finding::passed(format!(
            "not tried, the policies tell: {}",
            plan.untried.join("; ")
        )),
        _ => Finding::passed(""),
    };
    finding.measure("not_tried", plan.untried.clone());
    let mut tried = Vec::new();
    let mut slowest = 0;
    for probe in &clients {
        for (target, answer) in answered(seen, probe, &probe.allowed, "open", &mut finding) {
            let word = answer.word.as_str();
            tried.push(json!({"who": probe.who, "address": target.to_string(), "answer": word}));
            slowest = slowest.max(answer.tries);
            if word == "open" {
                continue;
            }
            let what = match word {
                "unresolved" => format!("{} cannot resolve {}", probe.who, target.host),
                word => format!(
                    "{} cannot connect to {target} ({word}), although monopg_allowed_clients names them",
                    probe.who
                ),
            };
            let mut p = problem(ALLOWED, what);
            if !seen.controlled(target) && word != "unresolved" {
                p = p.because("the node itself does not get in there either");
            }
            finding.fail(p.hint("see what network.policy says; a policy for outgoing traffic in the client's namespace refuses as well"));
        }
    }
    finding.measure("tried", tried);
    finding.measure("tries", slowest);
    absent(plan, &mut finding);
    if finding.summary.is_empty() {
        let who: Vec<&str> = clients.iter().map(|p| p.who.as_str()).collect();
        finding.summary = format!(
            "got in at {} addresses: {}",
            clients.first().map_or(0, |p| p.allowed.len()),
            who.join("; ")
        );
    }
    finding
}

/// What a probe was answered, by target. Where it was never asked, or not in time, that is told.
fn answered<'a>(
    seen: &'a Seen,
    probe: &Probe,
    targets: &'a [Target],
    want: &str,
    finding: &mut Finding,
) -> Vec<(&'a Target, &'a Answer)> {
    let mut answers = Vec::new();
    let mut without: Vec<String> = Vec::new();
    for target in targets {
        match seen.answer(want, &probe.name, target) {
            Some(answer) => answers.push((target, answer)),
            None => without.push(target.to_string()),
        }
    }
    let why = match (answers.is_empty(), without.as_slice()) {
        (_, []) => return answers,
        (true, _) => seen.why(probe),
        (false, some) => format!("there was no time to try {}", some.join(", ")),
    };
    finding.and(Finding::not_run(format!("{}: {why}", probe.who)));
    answers
}

/// Clients that cannot be there yet. A namespace that comes later is in order; one that is misspelt is not, and nobody
/// else would notice.
fn absent(plan: &Plan, finding: &mut Finding) {
    for client in &plan.absent {
        let (who, namespace) = (&client.who, &client.namespace);
        let hint = format!(
            "create the namespace and verify again; or mend monopg_allowed_clients if {namespace} is misspelt"
        );
        match client.let_in {
            true => finding.warn(
                problem(
                    ALLOWED,
                    format!("namespace {namespace} does not exist, so nobody could be tried for {who}; the policies would let them in"),
                )
                .hint(hint),
            ),
            false => finding.fail(
                problem(
                    ALLOWED,
                    format!("namespace {namespace} does not exist, and the policies would not let {who} in"),
                )
                .hint("see what network.policy says")
                .hint(hint),
            ),
        }
    }
    let names: Vec<String> = plan.absent.iter().map(|a| a.namespace.clone()).collect();
    finding.measure("absent_namespaces", names);
}

fn denied(plan: &Plan, seen: &Seen) -> Finding {
    let mut finding = Finding::passed("");
    finding.measure(
        "beyond_every_policy",
        json!([
            "the node itself",
            "pods in the node's network (hostNetwork)"
        ]),
    );
    let mut tried = Vec::new();
    let mut refused = 0;
    let mut uncontrolled: Vec<String> = Vec::new();
    let mut entered: Vec<String> = Vec::new();
    let mut by_policy = false;
    let mut unmade: Vec<String> = Vec::new();
    let mut others = false;
    for probe in plan.probes.iter().filter(|p| !p.denied.is_empty()) {
        let stranger = probe.allowed.is_empty();
        if let (true, Some(why)) = (stranger, seen.refused(probe)) {
            unmade.push(format!("{}: {why}", probe.who));
            continue;
        }
        for (target, answer) in answered(seen, probe, &probe.denied, "shut", &mut finding) {
            tried.push(json!({"who": probe.who, "address": target.to_string(), "answer": answer.word, "tries": answer.tries}));
            match answer.word.as_str() {
                "open" => {
                    by_policy |= probe.let_in;
                    entered.push(format!("{} got in at {target}", probe.who));
                }
                "refused" | "silent" if seen.controlled(target) => {
                    refused += 1;
                    others |= stranger;
                }
                // A name that is not resolved is no proof; its address is tried by itself.
                "unresolved" => {}
                // Nor is a name that nobody else has tried: the node does not know the cluster's names.
                "refused" | "silent" if target.host.parse::<std::net::IpAddr>().is_err() => {}
                _ => uncontrolled.push(target.to_string()),
            }
        }
    }
    finding.measure("tried", tried);
    let strangers = plan.probes.iter().filter(|p| p.allowed.is_empty()).count();
    if !entered.is_empty() {
        // Not one door is shut, and no policy opens them.
        let what = match (refused, by_policy) {
            (0, false) => "nothing enforces network policies: strangers get in".to_owned(),
            _ => match entered.as_slice() {
                [one] => one.clone(),
                [first, rest @ ..] => format!("{first} (and {} more ways in)", rest.len()),
                [] => String::new(),
            },
        };
        let causes = entered.iter().skip(usize::from(refused > 0 || by_policy));
        let p = causes.fold(problem(DENIED, what), |p, e| p.because(e.clone()));
        finding.fail(p.hint(match by_policy {
            true => "a NetworkPolicy lets them in: network.policy names it",
            false => "the policies do not let them in, so the policy engine does not work: k3s has one unless disable-network-policy is set (journalctl -u k3s)",
        }));
    }
    if let Some(why) = &plan.no_strangers {
        if strangers == 0 && refused == 0 && entered.is_empty() {
            return Finding::not_applicable(why.clone());
        }
        finding.measure("no_strangers", why.clone());
    }
    if !uncontrolled.is_empty() {
        uncontrolled.sort();
        uncontrolled.dedup();
        finding.and(Finding::not_run(format!(
            "nobody at all gets in at {}: that strangers do not proves nothing",
            uncontrolled.join(", ")
        )));
    }
    for why in unmade {
        match others {
            true => finding.warn(
                problem(DENIED, format!("not every stranger could be tried: {why}"))
                    .hint("let pods with the label monopg.io/probe pass there, if this shall be tried too"),
            ),
            false => finding.and(Finding::not_run(why)),
        }
    }
    if finding.summary.is_empty() {
        finding.summary = format!(
            "{} refused; the node itself and hostNetwork pods are beyond every policy",
            plural(
                refused,
                "connection of strangers",
                "connections of strangers"
            )
        );
    }
    finding
}

fn plural(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}
