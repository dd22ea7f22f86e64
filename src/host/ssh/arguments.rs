//! The arguments of ssh that Ansible would append, as settings for `ssh_config`.
//!
//! May depend on `ssh_config`. One reason: `-o`, `-F`, `-J`, `-i`, `-p`, `-l` say what a file could say too, and
//! are read by the same rules.
//!
//! Source: ssh(1); the order of OpenSSH's command line: of two equal settings the first one counts.

use std::path::PathBuf;

use crate::host::HostError;
use crate::host::ssh_config::{
    Assigned, Assignment, ConfigError, ConfigProblem, Files, Keyword, Machine, Origin, tilde,
};

/// Letters that a value follows; all others of ssh(1) stand alone.
const WITH_VALUE: &str = "oiplFJESbcemBDILORWwQP";
/// Letters that stand alone and mean nothing for a command without a terminal.
const ALONE: &str = "aACfgkKMnNqsTtvxXyY";

/// Goes through arguments as getopt does: calls with each letter, its value if it is one of `with_value`, and the
/// argument that it stands in. A word without a dash, which ssh would take for the host, is refused.
pub fn each(
    args: &[String],
    with_value: &str,
    mut act: impl FnMut(char, Option<&str>, &str) -> Result<(), HostError>,
) -> Result<(), HostError> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut letters = match arg.strip_prefix('-') {
            Some(letters) if !letters.is_empty() => letters.chars(),
            _ => return Err(refused(arg, "is not supported")),
        };
        while let Some(letter) = letters.next() {
            if !with_value.contains(letter) {
                act(letter, None, arg)?;
                continue;
            }
            let value = match letters.as_str() {
                "" => args
                    .next()
                    .ok_or_else(|| refused(&format!("-{letter}"), "lacks its value"))?,
                attached => attached,
            };
            act(letter, Some(value), arg)?;
            break;
        }
    }
    Ok(())
}

/// What the arguments say.
#[derive(Debug)]
pub struct Arguments {
    /// Settings in their order.
    pub assignments: Vec<Assignment>,
    /// `-F`.
    pub files: Files,
    /// For people: what was given and has no effect.
    pub ignored: Vec<String>,
}

impl Arguments {
    /// Reads them; whatever is not understood is an error, as it is for ssh.
    pub fn read(args: &[String], machine: &Machine) -> Result<Arguments, HostError> {
        let mut read = Arguments {
            assignments: Vec::new(),
            files: Files::Usual,
            ignored: Vec::new(),
        };
        each(args, WITH_VALUE, |letter, value, arg| match value {
            Some(value) => read.with_value(letter, value, machine),
            None => read.alone(letter, arg),
        })?;
        Ok(read)
    }

    fn alone(&mut self, letter: char, arg: &str) -> Result<(), HostError> {
        match letter {
            '4' => self.set(letter, "", Keyword::AddressFamily, "inet"),
            '6' => self.set(letter, "", Keyword::AddressFamily, "inet6"),
            _ if ALONE.contains(letter) => {}
            _ => return Err(refused(arg, "is not supported")),
        }
        Ok(())
    }

    fn with_value(
        &mut self,
        letter: char,
        value: &str,
        machine: &Machine,
    ) -> Result<(), HostError> {
        match letter {
            'o' => self.assignments.push(Assignment {
                what: Assigned::Line(value.to_owned()),
                origin: Origin::Argument(format!("-o {value}")),
            }),
            'l' => self.set(letter, value, Keyword::User, value),
            'b' => self.set(letter, value, Keyword::BindAddress, value),
            'B' => self.set(letter, value, Keyword::BindInterface, value),
            'I' => self.set(letter, value, Keyword::PKCS11Provider, value),
            'P' => self.set(letter, value, Keyword::Tag, value),
            'p' => self.line(letter, value, "Port"),
            'J' => self.line(letter, value, "ProxyJump"),
            'i' => {
                let origin = Origin::Argument(format!("-i {value}"));
                let path = tilde(value, machine).map_err(|what| {
                    HostError::from(ConfigError::one(ConfigProblem::new(&origin, what)))
                })?;
                // As ssh: only a word of warning, and then it does not stand in the way of the default files.
                if PathBuf::from(&path).exists() {
                    self.set(letter, value, Keyword::IdentityFile, &path);
                } else {
                    self.ignored
                        .push(format!("-i {value}: there is no such file"));
                }
            }
            'F' if value.eq_ignore_ascii_case("none") => self.files = Files::None,
            'F' => self.files = Files::Only(PathBuf::from(value)),
            'S' | 'E' | 'e' | 'c' | 'm' => self.ignored.push(format!("-{letter} {value}")),
            _ => {
                return Err(refused(&format!("-{letter} {value}"), "is not supported"));
            }
        }
        Ok(())
    }

    fn set(&mut self, letter: char, given: &str, keyword: Keyword, value: &str) {
        let argument = format!("-{letter} {given}");
        self.assignments.push(Assignment {
            what: Assigned::Value(keyword, value.to_owned()),
            origin: Origin::Argument(argument.trim_end().to_owned()),
        });
    }

    fn line(&mut self, letter: char, value: &str, keyword: &str) {
        self.assignments.push(Assignment {
            what: Assigned::Line(format!("{keyword}={value}")),
            origin: Origin::Argument(format!("-{letter} {value}")),
        });
    }
}

/// An argument that cannot be honoured.
pub fn refused(argument: &str, why: &str) -> HostError {
    let origin = Origin::Argument(argument.to_owned());
    HostError::Config {
        what: format!("{origin} {why}"),
        problems: Vec::new(),
        hints: Vec::new(),
    }
}

impl From<ConfigError> for HostError {
    fn from(error: ConfigError) -> HostError {
        let hints = error
            .problems
            .iter()
            .filter_map(|p| p.hint.clone())
            .collect();
        let mut problems: Vec<String> = error.problems.into_iter().map(|p| p.what).collect();
        let what = match problems.len() {
            1 => problems.remove(0),
            n => format!("the SSH configuration has {n} problems"),
        };
        HostError::Config {
            what,
            problems,
            hints,
        }
    }
}
