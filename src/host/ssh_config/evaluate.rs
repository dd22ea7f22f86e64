//! Reading a configuration for one host: the command line, then the files, first value wins.
//!
//! May depend on everything below it in this folder. One reason: order, blocks, includes and the second reading
//! are one state machine in OpenSSH (`readconf.c`), and must be one here to give the same answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, ConfigProblem};
use super::files::{self, NotRead};
use super::host_config::HostConfig;
use super::jump;
use super::keywords::{self, Form, Keyword, Word};
use super::lexer;
use super::machine::Machine;
use super::matching::{self, Facts};
use super::origin::{Origin, Sourced};
use super::pattern;
use super::tokens::{self, Tokens};
use super::values;
use crate::host::known_hosts::Place;
use crate::settings::table::nearest;

/// As in OpenSSH.
const DEPTH: usize = 16;
const MOST_IDENTITIES: usize = 100;
/// All files together, in bytes and number: includes can multiply.
const MOST_BYTES: usize = 4 << 20;
const MOST_FILES: usize = 512;
/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 50;
/// Values that one keyword may collect.
const MOST_VALUES: usize = 1024;

/// Which files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// `~/.ssh/config`, then `/etc/ssh/ssh_config`.
    Usual,
    /// Only this one, for `-F FILE`.
    Only(PathBuf),
    /// None, for `-F none`.
    None,
}

/// One value that counts before all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// What is set.
    pub what: Assigned,
    /// By whom.
    pub origin: Origin,
}

/// The two ways of writing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assigned {
    /// `Keyword=value` or `Keyword value`, as behind `-o`.
    Line(String),
    /// A keyword and its value, which is taken as it is.
    Value(Keyword, String),
}

/// What is asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// The host as `ssh` would be given it.
    pub host: &'a str,
    /// The command line, in order.
    pub assignments: &'a [Assignment],
    /// The files.
    pub files: Files,
    /// The machine we are on.
    pub machine: &'a Machine,
}

/// One value as it was written.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub words: Vec<String>,
    pub origin: Origin,
}

/// What was set, by keyword.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<Keyword, Vec<Setting>>);

impl Settings {
    /// All values of a keyword.
    pub fn all(&self, keyword: Keyword) -> &[Setting] {
        self.0.get(&keyword).map_or(&[], Vec::as_slice)
    }

    /// The value of a keyword that has one.
    pub fn first(&self, keyword: Keyword) -> Option<&Setting> {
        self.all(keyword).first()
    }

    /// The same as a word.
    pub fn word(&self, keyword: Keyword) -> Option<&str> {
        self.first(keyword)?.words.first().map(String::as_str)
    }

    /// All of them in words; a value of SetEnv may be a secret.
    pub fn listed(&self) -> Vec<Sourced<String>> {
        let each = self
            .0
            .iter()
            .flat_map(|(k, all)| all.iter().map(move |s| (*k, s)));
        each.map(|(keyword, setting)| Sourced {
            value: match keyword {
                Keyword::SetEnv => keyword.name().to_owned(),
                _ => format!("{} {}", keyword.name(), setting.words.join(" ")),
            },
            origin: setting.origin.clone(),
        })
        .collect()
    }

    fn replace(&mut self, keyword: Keyword, setting: Setting) {
        self.0.insert(keyword, vec![setting]);
    }

    fn add(&mut self, keyword: Keyword, setting: Setting) -> Result<(), String> {
        let known = self.0.entry(keyword).or_default();
        let limit = match keyword {
            Keyword::IdentityFile | Keyword::CertificateFile => MOST_IDENTITIES,
            _ => MOST_VALUES,
        };
        if !keyword.accumulates() {
            if known.is_empty() {
                known.push(setting);
            }
        } else if known.iter().all(|k| k.words != setting.words) {
            if known.len() >= limit {
                return Err(format!(
                    "{} is given more than {limit} times",
                    keyword.name()
                ));
            }
            known.push(setting);
        }
        Ok(())
    }
}

/// Reads the configuration of a host. All problems are reported at once.
pub fn evaluate(request: &Request<'_>) -> Result<HostConfig, ConfigError> {
    let mut reading = Reading::new(request);
    if !jump::valid_host(request.host) {
        let what = format!("{:?} cannot be the name of a host", request.host);
        return Err(ConfigError::one(ConfigProblem::new(&Origin::Host, what)));
    }
    for Assignment { what, origin } in request.assignments {
        match what {
            Assigned::Line(line) => {
                let mut scope = Scope::new(Section::CommandLine);
                reading.line(line, origin, &mut scope);
            }
            Assigned::Value(keyword, value) => {
                let setting = Setting {
                    words: vec![value.clone()],
                    origin: origin.clone(),
                };
                if let Err(what) = reading.settings.add(*keyword, setting) {
                    reading.problem(origin, what);
                }
            }
        }
    }
    reading.pass();
    let host = reading.resolve_host();
    if reading.wants_final && reading.problems.is_empty() {
        reading.resolved = Some(host.clone());
        reading.pass();
    }
    reading.expand_user(&host);
    let tokens = reading.tokens(&host);
    let config = HostConfig::build(
        request,
        &reading.settings,
        &host,
        &tokens,
        &mut reading.problems,
    );
    if reading.problems.is_empty() {
        Ok(HostConfig {
            warnings: reading.warnings,
            ..config
        })
    } else {
        Err(ConfigError {
            problems: reading.problems,
        })
    }
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    CommandLine,
    User,
    System,
}

/// What holds for the lines of one file.
#[derive(Debug, Clone)]
struct Scope {
    section: Section,
    /// The block applies.
    active: bool,
    /// The file is included by a block that does not apply: it is only checked.
    checked_only: bool,
    depth: usize,
}

impl Scope {
    fn new(section: Section) -> Scope {
        Scope {
            section,
            active: true,
            checked_only: false,
            depth: 0,
        }
    }
}

/// The state of a reading.
struct Reading<'a> {
    request: &'a Request<'a>,
    machine: &'a Machine,
    settings: Settings,
    /// The host's name after the first reading, during the second one.
    resolved: Option<String>,
    wants_final: bool,
    files: usize,
    bytes: usize,
    problems: Vec<ConfigProblem>,
    warnings: Vec<String>,
}

impl<'a> Reading<'a> {
    fn new(request: &'a Request<'a>) -> Reading<'a> {
        Reading {
            request,
            machine: request.machine,
            settings: Settings::default(),
            resolved: None,
            wants_final: false,
            files: 0,
            bytes: MOST_BYTES,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn problem(&mut self, origin: &Origin, what: impl Into<String>) {
        self.report(ConfigProblem::new(origin, what.into()));
    }

    fn report(&mut self, problem: ConfigProblem) {
        if self.problems.len() < MOST_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST_PROBLEMS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Reads all files once.
    fn pass(&mut self) {
        match &self.request.files {
            Files::None => {}
            Files::Only(path) => {
                // OpenSSH does not ask who may write to a file that is named.
                let origin = Origin::Argument(format!("-F {}", path.display()));
                let scope = Scope::new(Section::User);
                if let Some(NotRead::Missing) = self.file(path, false, scope, &origin) {
                    self.problem(&origin, "there is no such file");
                }
            }
            Files::Usual => {
                let user = self.machine.home.join(".ssh/config");
                let system = self.machine.system.join("ssh_config");
                for (path, guarded, section) in [
                    (user, true, Section::User),
                    (system, false, Section::System),
                ] {
                    self.file(
                        &path,
                        guarded,
                        Scope::new(section),
                        &Origin::File(place(&path, 0)),
                    );
                }
            }
        }
    }

    /// Reads one file; gives the reason if that could not be done. Whatever but a missing file is reported here.
    fn file(&mut self, path: &Path, guarded: bool, scope: Scope, from: &Origin) -> Option<NotRead> {
        self.files += 1;
        if self.files > MOST_FILES {
            self.problem(from, format!("more than {MOST_FILES} files are read"));
            return None;
        }
        let bytes = match files::read(path, guarded, self.machine.uid, self.bytes) {
            Ok(bytes) => bytes,
            Err(why) => {
                let path = path.display();
                match &why {
                    NotRead::Missing => {}
                    NotRead::Writable => self.report(
                        ConfigProblem::new(from, format!("bad owner or permissions on {path}"))
                            .hint(format!(
                                "chmod go-w {path}, and it must belong to you or root"
                            )),
                    ),
                    NotRead::TooLarge => self.problem(
                        from,
                        format!("{path}: the files have more than {MOST_BYTES} bytes in all"),
                    ),
                    // OpenSSH goes on without the usual files; a word about it is due.
                    NotRead::Failed(error)
                        if scope.depth == 0 && guarded_or_system(&scope, guarded) =>
                    {
                        self.warn(format!("{path} cannot be read: {error}"));
                    }
                    NotRead::Failed(error) => {
                        self.problem(from, format!("{path} cannot be read: {error}"));
                    }
                }
                return Some(why);
            }
        };
        self.bytes = self.bytes.saturating_sub(bytes.len());
        let mut scope = scope;
        let file: Arc<Path> = path.into();
        for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let origin = Origin::File(Place {
                file: Arc::clone(&file),
                line: index + 1,
            });
            let Some(line) = self.text(line, &origin) else {
                continue;
            };
            self.line(line, &origin, &mut scope);
        }
        None
    }

    /// A line as text; comments may be in any encoding.
    fn text<'l>(&mut self, line: &'l [u8], origin: &Origin) -> Option<&'l str> {
        let mut bytes = line.iter().filter(|b| !b" \t\r\n".contains(b));
        if bytes.next().is_none_or(|b| *b == b'#') {
            return None;
        }
        match std::str::from_utf8(line) {
            Ok(line) if !line.contains('\0') => return Some(line),
            Ok(_) => self.problem(origin, "the line has a NUL byte"),
            Err(_) => self.problem(origin, "the line is not UTF-8"),
        }
        None
    }

    fn line(&mut self, text: &str, origin: &Origin, scope: &mut Scope) {
        let line = match lexer::split(text) {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(what) => return self.problem(origin, what),
        };
        let Some(word) = keywords::find(&line.keyword) else {
            return self.unknown(&line.keyword, origin);
        };
        let outcome = match word {
            Word::Host | Word::Match | Word::Include if scope.section == Section::CommandLine => {
                Err("has no meaning on the command line".to_owned())
            }
            Word::Host => self.host(&line.arguments, scope),
            Word::Match => self.match_(&line.arguments, text, origin, scope),
            Word::Include => {
                self.include(&line.arguments, origin, scope);
                Ok(())
            }
            Word::Value(keyword, form) => self.value(keyword, form, &line, origin, scope),
        };
        if let Err(what) = outcome {
            let keyword = keywords::names()
                .find(|name| name.eq_ignore_ascii_case(&line.keyword))
                .unwrap_or(&line.keyword);
            self.problem(origin, format!("{keyword} {what}"));
        }
    }

    fn unknown(&mut self, keyword: &str, origin: &Origin) {
        let ignored = self.settings.word(Keyword::IgnoreUnknown);
        if ignored.is_some_and(|list| pattern::matches_name(keyword, list)) {
            return;
        }
        // A word that is no word would only garble the terminal.
        let shown: String = keyword.chars().take(60).collect();
        let mut problem = ConfigProblem::new(origin, format!("there is no keyword {shown:?}"));
        problem = match nearest(&shown, keywords::names()) {
            Some(known) => problem.hint(format!("did you mean {known}?")),
            None => problem.hint(format!(
                "ssh refuses the file too, unless a line before says: IgnoreUnknown {shown}"
            )),
        };
        self.report(problem);
    }

    fn host(&mut self, patterns: &[String], scope: &mut Scope) -> Result<(), String> {
        scope.active = false;
        let host = self.resolved.as_deref().unwrap_or(self.request.host);
        let applies = matching::host(patterns, host)?;
        scope.active = applies && !scope.checked_only;
        Ok(())
    }

    fn match_(
        &mut self,
        conditions: &[String],
        text: &str,
        origin: &Origin,
        scope: &mut Scope,
    ) -> Result<(), String> {
        // Whatever is wrong with the line: what follows must not apply.
        scope.active = false;
        let host = self.current_host()?;
        let outcome = matching::conditions(
            conditions,
            &Facts {
                host: &host,
                original: self.request.host,
                user: self
                    .settings
                    .word(Keyword::User)
                    .unwrap_or(&self.machine.user),
                local_user: &self.machine.user,
                tag: self.settings.word(Keyword::Tag),
                final_pass: self.resolved.is_some(),
            },
        )?;
        self.wants_final |= outcome.wants_final;
        if scope.checked_only {
            return Ok(());
        }
        if let Some(condition) = outcome.unsupported {
            let shown: String = text
                .trim()
                .chars()
                .filter(|c| !c.is_control())
                .take(80)
                .collect();
            self.warn(format!(
                "{origin}: the block `{shown}` is skipped: monopg does not judge `{condition}`"
            ));
        }
        scope.active = outcome.applies;
        Ok(())
    }

    /// The host's name as far as it is known by now.
    fn current_host(&self) -> Result<String, String> {
        match (&self.resolved, self.settings.word(Keyword::HostName)) {
            (Some(resolved), _) => Ok(resolved.clone()),
            (None, None) => Ok(self.request.host.to_owned()),
            (None, Some(name)) => self.host_token().percent(name),
        }
    }

    fn host_token(&self) -> Tokens {
        Tokens::new([('h', self.request.host.to_owned())])
    }

    fn include(&mut self, paths: &[String], origin: &Origin, scope: &mut Scope) {
        for path in paths {
            match self.included(path, scope) {
                Err(what) => self.problem(origin, format!("Include {what}")),
                Ok(_) if scope.depth >= DEPTH => {
                    self.problem(
                        origin,
                        format!("files include each other more than {DEPTH} deep"),
                    );
                }
                Ok(found) => {
                    for path in found {
                        let inner = Scope {
                            checked_only: !scope.active,
                            depth: scope.depth + 1,
                            ..scope.clone()
                        };
                        self.file(&path, true, inner, origin);
                    }
                }
            }
        }
    }

    /// The files that one argument of Include means.
    fn included(&self, path: &str, scope: &Scope) -> Result<Vec<PathBuf>, String> {
        if path.is_empty() {
            return Err("has an empty value".into());
        }
        let host = self.current_host()?;
        let path = self
            .tokens(&host)
            .percent_dollar(path, self.machine.env())?;
        let path = if path.starts_with('~') {
            if scope.section == Section::System {
                return Err("cannot use `~` in the file of the system".into());
            }
            tokens::tilde(&path, self.machine)?
        } else if path.starts_with('/') {
            path
        } else if scope.section == Section::System {
            format!("{}/{path}", self.machine.system.display())
        } else {
            tokens::tilde(&format!("~/.ssh/{path}"), self.machine)?
        };
        files::expand(&path).ok_or_else(|| format!("means too many files: {path:?}"))
    }

    fn value(
        &mut self,
        keyword: Keyword,
        form: Form,
        line: &lexer::Line<'_>,
        origin: &Origin,
        scope: &Scope,
    ) -> Result<(), String> {
        let words = values::check(form, line, self.machine.env())?;
        if !scope.active || keyword == Keyword::Other {
            return Ok(());
        }
        let setting = Setting {
            words,
            origin: origin.clone(),
        };
        // Of the two the first one counts; `ProxyJump none` leaves the other one a chance.
        let jumps = |s: &Setting| {
            s.words
                .first()
                .is_some_and(|w| !w.eq_ignore_ascii_case("none"))
        };
        let other = match keyword {
            Keyword::ProxyCommand => self.settings.first(Keyword::ProxyJump).is_some_and(jumps),
            Keyword::ProxyJump => {
                jumps(&setting) && self.settings.first(Keyword::ProxyCommand).is_some()
            }
            _ => false,
        };
        if other {
            return Ok(());
        }
        self.settings.add(keyword, setting)
    }

    /// The name that is connected to: after `HostName`, in lower case.
    fn resolve_host(&mut self) -> String {
        let name = match self.current_host() {
            Ok(name) => name,
            Err(what) => {
                if let Some(origin) = self
                    .settings
                    .first(Keyword::HostName)
                    .map(|s| s.origin.clone())
                {
                    self.problem(&origin, format!("HostName {what}"));
                }
                return self.request.host.to_owned();
            }
        };
        match name.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        }
    }

    /// Tokens in a login that a file or an argument names; what a variable says is the login itself.
    fn expand_user(&mut self, host: &str) {
        let Some(Setting { words, origin }) = self.settings.first(Keyword::User).cloned() else {
            return;
        };
        let word = words.into_iter().next().unwrap_or_default();
        let user = match &origin {
            Origin::Variable(_) | Origin::Host => Ok(word),
            _ => {
                let tokens = self.tokens(host).only("Ldhijklnpu");
                tokens
                    .percent_dollar(&word, self.machine.env())
                    .and_then(|user| {
                        if user == word || jump::valid_user(&user) {
                            Ok(user)
                        } else {
                            Err(format!("cannot be {user:?}"))
                        }
                    })
            }
        };
        match user {
            Ok(user) => self.settings.replace(
                Keyword::User,
                Setting {
                    words: vec![user],
                    origin,
                },
            ),
            Err(what) => self.problem(&origin, format!("User {what}")),
        }
    }

    /// What all tokens stand for, as far as it is known by now.
    fn tokens(&self, host: &str) -> Tokens {
        let word = |keyword| self.settings.word(keyword);
        let own = &self.machine.host_name;
        let alias = match word(Keyword::HostKeyAlias) {
            Some(alias) => alias.to_ascii_lowercase(),
            None => self.request.host.to_owned(),
        };
        let port = word(Keyword::Port).unwrap_or("22");
        let user = word(Keyword::User).unwrap_or(&self.machine.user);
        let jump = match word(Keyword::ProxyJump).map(jump::parse) {
            Some(Ok(Some(hops))) => hops.last().map(|h| h.host.clone()).unwrap_or_default(),
            _ => String::new(),
        };
        Tokens::new([
            ('C', hash(&[own, host, port, user, &jump])),
            ('L', own.split('.').next().unwrap_or_default().to_owned()),
            ('d', self.machine.home.to_string_lossy().into_owned()),
            ('h', host.to_owned()),
            ('i', self.machine.uid.to_string()),
            ('j', jump.clone()),
            ('k', alias),
            ('l', own.clone()),
            ('n', self.request.host.to_owned()),
            ('p', port.to_owned()),
            ('r', user.to_owned()),
            ('u', self.machine.user.clone()),
        ])
    }
}

/// The usual files, which OpenSSH goes on without.
fn guarded_or_system(scope: &Scope, guarded: bool) -> bool {
    guarded || scope.section == Section::System
}

fn place(path: &Path, line: usize) -> Place {
    Place {
        file: path.into(),
        line,
    }
}

/// `%C`.
fn hash(parts: &[&str]) -> String {
    use sha1::Digest as _;
    let digest = sha1::Sha1::digest(parts.concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
