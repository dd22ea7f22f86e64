//! Settings that are given as arguments instead of files: the task of an Ansible module.
//!
//! One reason: whoever gives them has rendered and decrypted them already, and knows one host only;
//! from there on they are checked like the variables of an inventory.

use serde_json::{Map, Value as Json};

use super::check;
use super::options::Options;
use super::problem::{SettingProblem, SettingsErrors};
use super::reader::Reader;
use super::table::{self, Kind, SETTINGS, nearest};
use super::{Resolved, host, settle};
use crate::inventory::{Place, Rule, Var, Vars};
use crate::yaml::{Mapping, Mark, Node, Value};

/// An argument beside the `monopg_*` settings.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Ansible's variable of the same meaning, whose rules it follows; `None`: about the run, not the host.
    pub variable: Option<&'static str>,
    /// True if no message may show the value.
    pub secret: bool,
    /// One line.
    pub doc: &'static str,
}

const fn argument(name: &'static str, variable: &'static str, doc: &'static str) -> Argument {
    Argument {
        name,
        variable: Some(variable),
        secret: false,
        doc,
    }
}

const fn password(name: &'static str, variable: &'static str, doc: &'static str) -> Argument {
    Argument {
        secret: true,
        ..argument(name, variable, doc)
    }
}

const fn of_run(name: &'static str, doc: &'static str) -> Argument {
    Argument {
        name,
        variable: None,
        secret: false,
        doc,
    }
}

/// Everything that a task may say beside the settings, in the order of the reference page.
pub const ARGUMENTS: &[Argument] = &[
    argument(
        "host",
        "ansible_host",
        "The node's address. Without it the node is the machine that the module runs on.",
    ),
    argument(
        "connection",
        "ansible_connection",
        "`ssh` or `local`; `ssh` if there is a `host`, else `local`.",
    ),
    argument("port", "ansible_port", "The port of sshd."),
    argument("user", "ansible_user", "The login."),
    password("password", "ansible_password", "The login's password."),
    argument(
        "private_key_file",
        "ansible_ssh_private_key_file",
        "The private key, a file of the machine that the module runs on.",
    ),
    argument(
        "ssh_args",
        "ansible_ssh_common_args",
        "Arguments for ssh, as `-o UserKnownHostsFile=…`.",
    ),
    argument(
        "host_key_checking",
        "ansible_host_key_checking",
        "False to accept any host key; pin one with `monopg_host_key` instead.",
    ),
    argument(
        "timeout",
        "ansible_ssh_timeout",
        "Seconds that connecting and authenticating may take.",
    ),
    argument(
        "become",
        "ansible_become",
        "False: never use sudo. A login other than root does so otherwise.",
    ),
    password(
        "become_password",
        "ansible_become_password",
        "sudo's password.",
    ),
    argument(
        "become_exe",
        "ansible_become_exe",
        "sudo, if it is elsewhere.",
    ),
    argument(
        "become_flags",
        "ansible_become_flags",
        "Flags of sudo instead of `-H -S -n`.",
    ),
    of_run(
        "wait_timeout",
        "How long the database may take to become ready, as `10m`, `90s` or 300 (seconds).",
    ),
    of_run(
        "deep",
        "True: compare files on the node by their full digest.",
    ),
    of_run(
        "defined",
        "Names of the play's variables; one that begins with `monopg_` and is no setting is refused, as in an inventory.",
    ),
];

/// Where an argument stands; never with its value.
const ARGUMENT: Place = Place::Flag("module argument");

/// The settings of the one host that the arguments describe. Relative paths are relative to
/// [`Options::cwd`]. Arguments about the run ([`Argument::variable`] is `None`) are passed over, unknown
/// ones refused. Every text means itself: nothing is rendered or decrypted again. All that is wrong is
/// returned together.
pub fn resolve_given(
    arguments: &Map<String, Json>,
    options: &Options,
) -> Result<Resolved, SettingsErrors> {
    let mut vars = Vars::new();
    let mut problems = Vec::new();
    for (name, value) in arguments {
        let argument = ARGUMENTS.iter().find(|a| a.name == name);
        let (variable, kind) = match (argument.map(|a| a.variable), table::find(name)) {
            (Some(None), _) => continue,
            (Some(Some(variable)), _) => (variable, None),
            (None, Some(setting)) => (setting.name, Some(setting.kind)),
            (None, None) => {
                problems.push(unknown(name));
                continue;
            }
        };
        let var = Var {
            node: node(value, kind),
            place: ARGUMENT,
            rule: Rule::Extra,
        };
        vars.insert(variable.to_owned(), var);
    }
    let defined = arguments.get("defined").and_then(Json::as_array);
    for name in defined.into_iter().flatten().filter_map(Json::as_str) {
        if let Some(problem) = host::unknown_variable(name, &ARGUMENT) {
            problems.push(problem);
        }
    }
    let given = |variable: &str| vars.get(variable).filter(|var| !var.node.is_null());
    let host = given("ansible_host").and_then(|var| var.node.as_str());
    let name = host.unwrap_or("localhost").to_owned();
    if host.is_none() && given("ansible_connection").is_none() {
        let local = Var {
            node: Node::text("local"),
            place: ARGUMENT,
            rule: Rule::Extra,
        };
        vars.insert("ansible_connection".to_owned(), local);
    }
    let (host, more, warnings) = settle(&name, Reader::literal(&vars), options, &options.cwd);
    problems.extend(more.into_iter().map(as_argument));
    match host {
        Some(host) if problems.is_empty() => Ok(Resolved {
            hosts: vec![host],
            warnings,
        }),
        _ => Err(SettingsErrors::new(problems, warnings)),
    }
}

/// An argument that is true or false, also in the words that Ansible takes for one; `None` if it is not
/// given. The error says what is wrong with it.
pub fn boolean(arguments: &Map<String, Json>, name: &str) -> Result<Option<bool>, &'static str> {
    match arguments.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => check::boolean(&plain(value))
            .map(Some)
            .map_err(|_| "must be true or false"),
    }
}

/// Something that is wrong with an argument.
pub fn wrong(name: &str, what: impl Into<String>) -> SettingProblem {
    SettingProblem::new("settings.value", what)
        .at(ARGUMENT)
        .of(name)
}

fn unknown(name: &str) -> SettingProblem {
    let known = ARGUMENTS
        .iter()
        .map(|a| a.name)
        .chain(SETTINGS.iter().map(|s| s.name));
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => "`monopg reference` lists the arguments".to_owned(),
    };
    SettingProblem::new("settings.unknown", "is not an argument of this module")
        .at(ARGUMENT)
        .of(name)
        .hint(hint)
}

/// Speaks of `port`, not of `ansible_port`: that is what stands in the task.
fn as_argument(mut problem: SettingProblem) -> SettingProblem {
    let argument = ARGUMENTS
        .iter()
        .find(|a| a.variable.is_some() && a.variable == problem.subject.as_deref());
    if let Some(argument) = argument {
        problem.subject = Some(argument.name.to_owned());
    }
    problem
}

/// A value as the reader of an inventory would have made it. Tasks on one line (`ansible -a`) give text
/// only, so a list or a mapping may also be JSON in a text, and a list of plain words separated by commas.
fn node(value: &Json, kind: Option<Kind>) -> Node {
    if let (Json::String(text), Some(kind)) = (value, kind)
        && let Some(structure) = unfolded(text, kind)
    {
        return plain(&structure);
    }
    plain(value)
}

fn unfolded(text: &str, kind: Kind) -> Option<Json> {
    let structured = matches!(
        kind,
        Kind::Sha256ByArch
            | Kind::Secrets
            | Kind::Paths
            | Kind::Clients
            | Kind::Cidrs
            | Kind::Names
            | Kind::Map(_)
    );
    let text = text.trim();
    if structured && text.starts_with(['{', '[']) {
        return serde_json::from_str(text).ok();
    }
    if matches!(kind, Kind::Paths | Kind::Cidrs | Kind::Names) {
        let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
        return Some(words.collect());
    }
    None
}

fn plain(value: &Json) -> Node {
    // Line and column of an argument say nothing; its name is in the message.
    let mark = Mark { line: 1, column: 1 };
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i128() {
            Some(i) => Value::Int(i),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Sequence(items.iter().map(plain).collect()),
        Json::Object(map) => {
            let pairs = map.iter().map(|(k, v)| (Node::text(k.as_str()), plain(v)));
            Value::Mapping(Mapping::new(pairs.collect()))
        }
    };
    Node::new(value, mark)
}
