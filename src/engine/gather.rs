//! Gathers the answers to many questions in one exchange.
//!
//! May depend on `cluster` and `host`. One reason: a run that finds nothing to do costs the handshake
//! and one exchange, whatever the number of steps.
//!
//! The questions become one script. Each answer comes back as a line `KEY-NUMBER STATUS LENGTH`, then so
//! many bytes; what a question says on standard error follows a line `@Q NUMBER` there. Objects are asked
//! for with two kubectl calls: one `get -f -` for everything that has a name (it goes on where something
//! does not exist), one `get -A` for the lists; each start of kubectl costs 40 ms on a small node, so the
//! two run side by side as soon as it is known which types there are.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{AnswerError, Answers, Clocks, clock, unreadable};
use super::query::{Ask, Query};
use crate::cluster::object::{ListRef, ObjectRef};
use crate::host::channel::quote;
use crate::host::{Command, Host, HostError, Output};

/// `kc` runs kubectl on the node; its discovery cache stays in memory below /run, not in $HOME.
/// An API that takes connections and does not answer would hold kubectl for minutes (each request of its discovery
/// has a time-out of its own), so all of it has one.
pub const KUBECTL: &str = "kc() { timeout 20 k3s kubectl --cache-dir=/run/monopg/kubectl --request-timeout=15s \"$@\"; }\n";

/// Asks whether the API answers at all: status 124 if it does not. Before many questions by [`unless_away`].
pub fn is_away(key: &str) -> Query {
    let script = "timeout 8 k3s kubectl --cache-dir=/run/monopg/kubectl get --raw=/version >/dev/null || exit 124";
    Query::shell(key, script)
}

/// A question by kubectl that is not asked if the one before it ended with 124, and then ends so itself. Many in a row
/// would else wait [`KUBECTL`]'s time each for an API that takes connections and does not answer, and together longer
/// than `LIMIT`.
pub fn unless_away(key: &str, script: &str) -> Query {
    Query::shell(key, format!("[ \"$r\" != 124 ] || exit 124\n{script}"))
}

/// `ask NUMBER SCRIPT` answers one question; the value of `o` is kept for the next.
const ASK: &str = r#"ask() {
  printf '\n@Q %s\n' "$1" >&2
  o=$(eval "$2" </dev/null); r=$?
  printf '%s %s %s\n%s\n' "$1" "$r" "${#o}" "$o"
}
"#;

/// The types that were there the last time are listed while the named objects are read. Which types there are now is
/// decided by the named objects, as ever: if they are others, this answer is thrown away. The file is in memory
/// (/run), for root only, and gone at once: a HelmChart may hold anybody's values.
const LISTS_AHEAD: &str = r#"ahead='' types=''
{ read -r types </run/monopg/types; } 2>/dev/null
if [ -n "$types" ]; then kc get --ignore-not-found -A -o json "$types" >"/run/monopg/lists.$$" 2>/dev/null & ahead=$!; fi
"#;
const LISTS_ARRIVED: &str = r#"[ -z "$ahead" ] || wait "$ahead" || types=''
"#;

/// Everything in one exchange may take so long.
const LIMIT: Duration = Duration::from_secs(90);

const CLOCK: &str = "engine.clock";
const OBJECTS: &str = "engine.objects";
const LISTS: &str = "engine.lists";

/// Questions put together.
struct Batch {
    script: String,
    keys: Vec<String>,
    objects: Vec<ObjectRef>,
    lists: Vec<ListRef>,
}

/// Asks all questions, with the run's lock taken first if a holder is given.
pub async fn ask(
    host: &dyn Host,
    queries: &[Query],
    lock: Option<&str>,
) -> Result<Answers, GatherError> {
    let batch = compose(queries);
    let command = Command::new("observe the host", batch.script.clone()).limit(LIMIT);
    let sent = Timestamp::now();
    let out = match lock {
        Some(holder) => host.lock_and_run(holder, command).await?,
        None => host.run(command).await?,
    };
    let received = Timestamp::now();
    let mut answers = batch.read(&out)?;
    if let Some(node) = answers.shell.get(CLOCK).and_then(|o| clock(&o.text())) {
        answers.clocks = Some(Clocks {
            sent,
            node,
            received,
        });
    }
    for q in queries {
        if let Ask::Shell {
            script,
            stdin: Some(data),
        } = &q.ask
        {
            let command = Command::new(&q.key, format!("{KUBECTL}{script}"))
                .stdin(data.clone())
                .limit(LIMIT);
            answers
                .shell
                .insert(q.key.clone(), host.run(command).await?);
        }
    }
    Ok(answers)
}

/// Why questions could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The way to the host failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The host answered something else.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

fn compose(queries: &[Query]) -> Batch {
    let mut batch = Batch {
        script: format!("{KUBECTL}{ASK}"),
        keys: Vec::new(),
        objects: Vec::new(),
        lists: Vec::new(),
    };
    let mut files = Vec::new();
    batch.add(CLOCK, "date +%s.%N");
    for q in queries {
        match &q.ask {
            Ask::Shell {
                script,
                stdin: None,
            } => batch.add(&q.key, script),
            Ask::Shell { .. } => {}
            Ask::Objects(refs) => merge(&mut batch.objects, refs),
            Ask::Lists(refs) => merge(&mut batch.lists, refs),
            Ask::Recorded { path } => merge(&mut files, std::slice::from_ref(path)),
        }
    }
    if !batch.lists.is_empty() {
        batch.script.push_str(LISTS_AHEAD);
    }
    if !batch.objects.is_empty() || !files.is_empty() || !batch.lists.is_empty() {
        batch.add_objects(&files);
    }
    if !batch.lists.is_empty() {
        batch.script.push_str(LISTS_ARRIVED);
        batch.add_lists();
    }
    batch
}

fn merge<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !all.contains(item) {
            all.push(item.clone());
        }
    }
}

impl Batch {
    fn add(&mut self, key: &str, script: &str) {
        if self.keys.iter().any(|k| k == key) {
            return;
        }
        self.script
            .push_str(&format!("ask {} {}\n", self.keys.len(), quote(script)));
        self.keys.push(key.to_owned());
    }

    fn add_objects(&mut self, files: &[String]) {
        let mut items: Vec<Value> = self.objects.iter().map(reference).collect();
        items.extend(
            self.lists
                .iter()
                .flat_map(api_services)
                .map(|name| reference(&ObjectRef::cluster(APISERVICE.0, APISERVICE.1, &name))),
        );
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let mut script = String::from("set --\n");
        for file in files {
            script.push_str(&format!(
                "[ ! -s {0} ] || set -- \"$@\" -f {0}\n",
                quote(file)
            ));
        }
        script.push_str(&format!(
            "printf %s {} | kc get --ignore-not-found --show-managed-fields -o json -f - \"$@\"",
            quote(&list)
        ));
        self.add(OBJECTS, &script);
    }

    /// Types that are not installed would fail the whole call: those whose group answered above are asked for, and if
    /// a group is there without the type, the API server's own list decides.
    fn add_lists(&mut self) {
        // No second wait for an API that did not answer the first question.
        let mut script = String::from(
            "[ \"$r\" != 124 ] || { rm -f \"/run/monopg/lists.$$\"; exit 124; }\nset --\n",
        );
        for list in &self.lists {
            let arg = quote(&list.argument());
            if list.versions.is_empty() {
                script.push_str(&format!("set -- \"$@\" {arg}\n"));
            } else {
                let patterns: Vec<String> = api_services(list)
                    .map(|name| format!("*'\"name\": \"{name}\"'*"))
                    .collect();
                script.push_str(&format!(
                    "case $o in {}) set -- \"$@\" {arg};; esac\n",
                    patterns.join("|")
                ));
            }
        }
        script.push_str(
            r#"ahead=/run/monopg/lists.$$
[ $# -gt 0 ] || { rm -f "$ahead"; exit 0; }
IFS=,; all="$*"; unset IFS
echo "$@"
if [ "$all" = "$types" ]; then cat "$ahead"; rm -f "$ahead"; exit; fi
rm -f "$ahead"
kc get --ignore-not-found -A -o json "$all" && { printf '%s\n' "$all" >/run/monopg/types; exit; }
known=$(kc api-resources -o name) || exit
n=$#
for t; do printf '%s\n' "$known" | grep -qxF -e "$t" -e "${t%.}" && set -- "$@" "$t"; done
shift "$n"
echo @AGAIN "$@"
[ $# -gt 0 ] || exit 0
IFS=,; all="$*"; unset IFS
kc get --ignore-not-found -A -o json "$all" || exit
printf '%s\n' "$all" >/run/monopg/types"#,
        );
        self.add(LISTS, &script);
    }

    fn read(&self, out: &Output) -> Result<Answers, AnswerError> {
        if !out.ok() {
            return Err(unreadable("the host's answers", out));
        }
        let errors = split_errors(&out.stderr);
        let mut answers = Answers::default();
        let mut rest = out.stdout.as_slice();
        while let Some((number, status, text, after)) = frame(rest) {
            rest = after;
            let Some(key) = self.keys.get(number) else {
                break;
            };
            let stderr = errors.get(&number).cloned().unwrap_or_default();
            answers.shell.insert(
                key.clone(),
                Output {
                    status,
                    stdout: text.to_vec(),
                    stderr,
                },
            );
        }
        if let Some(missing) = self.keys.iter().find(|k| !answers.shell.contains_key(*k)) {
            return Err(AnswerError::Unreadable {
                what: missing.clone(),
                why: "the host's answers are cut off".into(),
            });
        }
        if let Some(out) = answers.shell.remove(OBJECTS) {
            self.read_objects(&out, &mut answers);
        }
        if let Some(out) = answers.shell.remove(LISTS) {
            self.read_lists(&out, &mut answers);
        }
        Ok(answers)
    }

    fn read_objects(&self, out: &Output, answers: &mut Answers) {
        let found = match items(&out.stdout) {
            Ok(found) if out.ok() || only_unknown_kinds(&out.stderr) => found,
            Ok(_) => return self.objects_failed(unreadable(OBJECTS, out), answers),
            Err(e) => {
                return self.objects_failed(
                    AnswerError::Unreadable {
                        what: OBJECTS.into(),
                        why: e,
                    },
                    answers,
                );
            }
        };
        for r in &self.objects {
            answers
                .objects
                .insert(r.clone(), Ok(found.iter().find(|o| r.matches(o)).cloned()));
        }
        answers.found = found;
        answers.readable = Some(Ok(()));
    }

    fn objects_failed(&self, error: AnswerError, answers: &mut Answers) {
        let why = match error {
            AnswerError::Unreadable { why, .. } | AnswerError::NotAsked(why) => why,
        };
        for r in &self.objects {
            answers.objects.insert(r.clone(), Err(why.clone()));
        }
        answers.readable = Some(Err(why));
    }

    fn read_lists(&self, out: &Output, answers: &mut Answers) {
        let text = String::from_utf8_lossy(&out.stdout);
        let mut parts = text.lines();
        let mut asked: Vec<&str> = parts
            .next()
            .map(|l| l.split_ascii_whitespace().collect())
            .unwrap_or_default();
        let mut json = text.split_once('\n').map(|(_, j)| j).unwrap_or_default();
        // At the beginning of a line: an object may have any text in it, but JSON no line end in a text.
        if let Some(at) = text.find("\n@AGAIN").map(|at| at + 1) {
            let (line, rest) = text[at..].split_once('\n').unwrap_or((&text[at..], ""));
            asked = line.split_ascii_whitespace().skip(1).collect();
            json = rest;
        }
        let result = if out.ok() {
            items(json.as_bytes())
        } else {
            Err(unreadable(LISTS, out).to_string())
        };
        // Without readable objects, nobody knows which types there are.
        let groups_known = answers.readable.clone().unwrap_or(Ok(()));
        for list in &self.lists {
            let answer = match (&result, &groups_known) {
                (_, Err(why)) | (Err(why), _) => Err(why.clone()),
                (Ok(_), _) if !asked.contains(&list.argument().as_str()) => Ok(None),
                (Ok(all), _) => Ok(Some(
                    all.iter().filter(|o| list.holds(o)).cloned().collect(),
                )),
            };
            answers.lists.insert(list.clone(), answer);
        }
    }
}

const APISERVICE: (&str, &str) = ("apiregistration.k8s.io/v1", "APIService");

/// The names of the objects with which the API server says that it serves a group.
fn api_services(list: &ListRef) -> impl Iterator<Item = String> + '_ {
    list.versions.iter().map(|v| format!("{v}.{}", list.group))
}

fn reference(r: &ObjectRef) -> Value {
    let mut metadata = json!({"name": r.name});
    if let Some(ns) = &r.namespace {
        metadata["namespace"] = json!(ns);
    }
    json!({"apiVersion": r.api_version, "kind": r.kind, "metadata": metadata})
}

/// `NUMBER STATUS LENGTH\n`, so many bytes, `\n`.
fn frame(bytes: &[u8]) -> Option<(usize, i32, &[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let (number, status, length): (usize, i32, usize) = (
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    );
    let text = bytes.get(end + 1..)?.get(..length)?;
    Some((
        number,
        status,
        text,
        bytes.get(end + 1 + length + 1..).unwrap_or_default(),
    ))
}

fn split_errors(stderr: &str) -> BTreeMap<usize, String> {
    let mut all: BTreeMap<usize, String> = BTreeMap::new();
    let mut current = None;
    for line in stderr.lines() {
        if let Some(number) = line.strip_prefix("@Q ").and_then(|n| n.parse().ok()) {
            current = Some(number);
        } else if let Some(number) = current {
            let text = all.entry(number).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    all
}

/// kubectl prints one object as itself, several as a list, none as nothing.
fn items(stdout: &[u8]) -> Result<Vec<Value>, String> {
    if stdout.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let mut value: Value =
        serde_json::from_slice(stdout).map_err(|e| format!("kubectl's output is not JSON: {e}"))?;
    if value["kind"].as_str().is_some_and(|k| k.ends_with("List"))
        && let Some(Value::Array(items)) = value.get_mut("items").map(Value::take)
    {
        return Ok(items);
    }
    Ok(vec![value])
}

/// kubectl has one exit status for everything, so its words decide: an unknown kind is an answer, all else is not.
fn only_unknown_kinds(stderr: &str) -> bool {
    let mut lines = stderr
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .peekable();
    lines.peek().is_some()
        && lines
            .all(|l| l.contains("no matches for kind") || l == "ensure CRDs are installed first")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(batch: &Batch, texts: &[(i32, &str)]) -> Output {
        let mut stdout = String::new();
        for (i, (status, text)) in texts.iter().enumerate() {
            stdout.push_str(&format!("{i} {status} {}\n{text}\n", text.len()));
        }
        assert_eq!(texts.len(), batch.keys.len());
        Output {
            status: 0,
            stdout: stdout.into_bytes(),
            stderr: "@Q 1\nbad\n".into(),
        }
    }

    #[test]
    fn answers_are_found_by_key_with_their_errors() {
        let batch = compose(&[
            Query::shell("a", "x"),
            Query::shell("b", "y"),
            Query::shell("a", "x"),
        ]);
        let answers = batch
            .read(&answer(&batch, &[(0, "1.0"), (3, "two\nlines\n"), (0, "")]))
            .unwrap();
        assert_eq!(
            answers.output("a").unwrap(),
            &Output {
                status: 3,
                stdout: b"two\nlines\n".to_vec(),
                stderr: "bad\n".into()
            }
        );
        assert_eq!(answers.text("b").unwrap(), "");
        assert_eq!(
            answers.text("a").unwrap_err().to_string(),
            "a could not be read: bad"
        );
        assert_eq!(
            answers.text("c").unwrap_err().to_string(),
            "question c was not asked"
        );
    }

    #[test]
    fn cut_off_answers_are_an_error() {
        let batch = compose(&[Query::shell("a", "x")]);
        let whole = answer(&batch, &[(0, "1.0"), (0, "abc")]);
        for cut in 0..whole.stdout.len() - 1 {
            let out = Output {
                stdout: whole.stdout[..cut].to_vec(),
                ..whole.clone()
            };
            assert!(batch.read(&out).is_err(), "{cut}");
        }
    }

    #[test]
    fn missing_objects_are_answers_and_unreadable_ones_are_errors() {
        let (here, gone) = (
            ObjectRef::new("v1", "Secret", "ns", "here"),
            ObjectRef::new("v1", "Secret", "ns", "gone"),
        );
        let batch = compose(&[Query::objects([here.clone(), gone.clone()])]);
        let one =
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"here","namespace":"ns"}}"#;
        let answers = batch
            .read(&answer(&batch, &[(0, "1.0"), (0, one)]))
            .unwrap();
        assert!(answers.object(&here).unwrap().is_some());
        assert!(answers.object(&gone).unwrap().is_none());
        let failed = batch
            .read(&answer(&batch, &[(0, "1.0"), (1, one)]))
            .unwrap();
        assert!(failed.object(&here).is_err() && failed.object(&gone).is_err());
    }

    #[test]
    fn a_type_that_is_not_there_is_an_answer() {
        let (pv, chart) = (
            ListRef::builtin("", "persistentvolumes", "PersistentVolume"),
            ListRef::custom("helm.cattle.io", "helmcharts", "HelmChart", &["v1"]),
        );
        let batch = compose(&[Query::lists([pv.clone(), chart.clone()])]);
        let list = |kinds: &str| {
            format!(
                "{kinds}\n{{\"kind\":\"List\",\"items\":[{{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\"}}]}}"
            )
        };
        let one = batch
            .read(&answer(
                &batch,
                &[(0, "1.0"), (0, ""), (0, &list("persistentvolumes"))],
            ))
            .unwrap();
        assert_eq!(one.list(&pv).unwrap().unwrap().len(), 1);
        assert!(one.list(&chart).unwrap().is_none());
        let both = batch
            .read(&answer(
                &batch,
                &[
                    (0, "1.0"),
                    (0, ""),
                    (0, &list("persistentvolumes helmcharts.helm.cattle.io")),
                ],
            ))
            .unwrap();
        assert_eq!(both.list(&chart).unwrap().unwrap().len(), 0);
        let failed = batch
            .read(&answer(&batch, &[(0, "1.0"), (1, ""), (0, "")]))
            .unwrap();
        assert!(failed.list(&chart).is_err());
    }

    /// Traefik's types have the same names in its old group and in the new one.
    #[test]
    fn an_object_is_of_one_type_only() {
        let of =
            |group: &str| ListRef::custom(group, "ingressroutes", "IngressRoute", &["v1alpha1"]);
        let (old, new) = (of("traefik.containo.us"), of("traefik.io"));
        let batch = compose(&[Query::lists([old.clone(), new.clone()])]);
        let list = json!({"kind": "List", "items": [
            {"apiVersion": "traefik.containo.us/v1alpha1", "kind": "IngressRoute", "metadata": {"name": "a"}},
            {"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": {"name": "b"}},
        ]});
        let text = format!("{} {}\n{list}", old.argument(), new.argument());
        let answers = batch
            .read(&answer(&batch, &[(0, "1.0"), (0, ""), (0, &text)]))
            .unwrap();
        for (list, name) in [(old, "a"), (new, "b")] {
            let found = answers.list(&list).unwrap().unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0]["metadata"]["name"], name);
        }
    }

    #[test]
    fn a_real_shell_frames_answers() {
        let batch = compose(&[
            Query::shell("a", "printf 'x y\\n\\n'; echo no >&2; exit 4"),
            Query::shell("b", "echo \"it's\""),
        ]);
        let out = std::process::Command::new("/bin/sh")
            .env("LC_ALL", "C")
            .args(["-c", &batch.script])
            .output()
            .unwrap();
        let out = Output {
            status: 0,
            stdout: out.stdout,
            stderr: String::from_utf8(out.stderr).unwrap(),
        };
        let answers = batch.read(&out).unwrap();
        assert_eq!(
            answers.output("a").unwrap(),
            &Output {
                status: 4,
                stdout: b"x y".to_vec(),
                stderr: "no\n\n".into()
            }
        );
        assert_eq!(answers.text("b").unwrap(), "it's");
        assert!(clock(&answers.text(CLOCK).unwrap()).is_some());
    }
}
