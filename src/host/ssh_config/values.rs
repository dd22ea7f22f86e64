//! Whether a value has its keyword's form, and what it then means.
//!
//! May depend on the lexer, the keywords and jumps. One reason: OpenSSH checks each value where it stands,
//! also in blocks that do not apply, so the check must not wait until a value is used.

use super::jump;
use super::keywords::Form;
use super::lexer::Line;
use super::tokens::{self, Lookup};

/// `IdentityFile`s, known hosts and the like: more than anybody has, and a bound on memory.
const MOST_WORDS: usize = 256;

/// Checks a line's value; gives the words to keep. An error's text says what is wrong.
pub fn check(form: Form, line: &Line<'_>, env: Lookup<'_>) -> Result<Vec<String>, String> {
    let words = &line.arguments;
    if words.len() > MOST_WORDS {
        return Err(format!("has more than {MOST_WORDS} values"));
    }
    match form {
        Form::Any => Ok(words.clone()),
        Form::Rest => Ok(vec![command(line.rest).to_owned()]),
        Form::Jump => {
            let text = command(line.rest);
            jump::parse(text)?;
            Ok(vec![text.to_owned()])
        }
        Form::Words => {
            all_filled(words)?;
            if words.len() > 1 && words.iter().any(|w| w.eq_ignore_ascii_case("none")) {
                return Err("takes `none` only alone".into());
            }
            Ok(words.clone())
        }
        Form::SendEnv => {
            all_filled(words)?;
            match words.iter().find(|w| w.contains('=')) {
                Some(word) => Err(format!("takes names of variables, not {word:?}")),
                None => Ok(words.clone()),
            }
        }
        Form::SetEnv => {
            all_filled(words)?;
            match words.iter().find(|w| !w.contains('=')) {
                Some(word) => Err(format!("takes NAME=value, not {word:?}")),
                None => Ok(words.clone()),
            }
        }
        Form::Flag
        | Form::Choice(_)
        | Form::Text
        | Form::Port
        | Form::Integer
        | Form::Time
        | Form::Agent => {
            let word = match words.as_slice() {
                [word] if !word.is_empty() => word,
                [_] | [] => return Err("has no value".into()),
                [_, extra, ..] => return Err(format!("takes one value: {extra:?} is too much")),
            };
            check_word(form, word, env)?;
            Ok(vec![word.clone()])
        }
    }
}

fn all_filled(words: &[String]) -> Result<(), String> {
    if words.is_empty() {
        return Err("has no value".into());
    }
    if words.iter().any(String::is_empty) {
        return Err("has an empty value".into());
    }
    Ok(())
}

fn check_word(form: Form, word: &str, env: Lookup<'_>) -> Result<(), String> {
    let wrong = |wanted: &str| Err(format!("takes {wanted}, not {word:?}"));
    match form {
        Form::Flag if flag(word).is_none() => wrong("yes or no"),
        Form::Choice(choices) if !choices.iter().any(|c| c.eq_ignore_ascii_case(word)) => {
            wrong(&format!("one of {}", choices.join(", ")))
        }
        Form::Port if port(word).is_none() => wrong("a port from 1 to 65535"),
        Form::Integer if integer(word).is_none() => wrong("a number"),
        Form::Time if word != "none" && seconds(word).is_none() => wrong("a time, as 90 or 1m30s"),
        Form::Agent => agent(word, env),
        _ => Ok(()),
    }
}

fn agent(word: &str, env: Lookup<'_>) -> Result<(), String> {
    tokens::dollar(word, env)?;
    match word.strip_prefix('$') {
        Some(name) if !name.starts_with('{') && !variable_name(name) => {
            Err(format!("takes the name of a variable, not {word:?}"))
        }
        _ => Ok(()),
    }
}

/// True for a name that `$NAME` may have.
pub fn variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What a keyword that takes a command takes.
fn command(rest: &str) -> &str {
    rest.trim_start_matches([' ', '\t', '\r', '\n', '='])
}

/// `yes` or `no`.
pub fn flag(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

/// A TCP port; service names are not looked up.
pub fn port(word: &str) -> Option<u16> {
    digits(word)?.parse().ok().filter(|p| *p != 0)
}

/// A number as OpenSSH takes it: up to 2³¹-1.
pub fn integer(word: &str) -> Option<u32> {
    digits(word)?.parse::<i32>().ok().map(i32::unsigned_abs)
}

/// `90`, `1h30m`: seconds, up to 2³¹-1. Units: s m h d w.
pub fn seconds(word: &str) -> Option<u32> {
    let mut total: u32 = 0;
    let mut rest = word;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let mut tail = tail.chars();
        let unit = match tail.next().map(|c| c.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86400,
            Some('w') => 604_800,
            Some(_) => return None,
        };
        total = total.checked_add(integer(number)?.checked_mul(unit)?)?;
        rest = tail.as_str();
    }
    i32::try_from(total).ok().map(i32::unsigned_abs)
}

fn digits(word: &str) -> Option<&str> {
    (!word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ssh_config::lexer;

    fn checked(form: Form, line: &str) -> String {
        let line = lexer::split(line).unwrap().unwrap();
        let env = |name: &str| (name == "SET").then(|| "x".to_owned());
        match check(form, &line, &env) {
            Ok(words) => words.join("|"),
            Err(error) => format!("!{error}"),
        }
    }

    #[test]
    fn values_are_checked_where_they_stand() {
        for (form, line, expected) in [
            (Form::Flag, "k YES", "YES"),
            (Form::Flag, "k 1", "!takes yes or no, not \"1\""),
            (
                Form::Flag,
                "k yes no",
                "!takes one value: \"no\" is too much",
            ),
            (Form::Flag, "k #", "!has no value"),
            (Form::Text, "k \"\"", "!has no value"),
            (Form::Port, "k 65535", "65535"),
            (
                Form::Port,
                "k 65536",
                "!takes a port from 1 to 65535, not \"65536\"",
            ),
            (
                Form::Port,
                "k 0",
                "!takes a port from 1 to 65535, not \"0\"",
            ),
            (
                Form::Port,
                "k +1",
                "!takes a port from 1 to 65535, not \"+1\"",
            ),
            (Form::Integer, "k 2147483647", "2147483647"),
            (
                Form::Integer,
                "k 2147483648",
                "!takes a number, not \"2147483648\"",
            ),
            (Form::Integer, "k -1", "!takes a number, not \"-1\""),
            (Form::Time, "k none", "none"),
            (
                Form::Time,
                "k 1x",
                "!takes a time, as 90 or 1m30s, not \"1x\"",
            ),
            (Form::Choice(&["a", "b"]), "k A", "A"),
            (
                Form::Choice(&["a", "b"]),
                "k c",
                "!takes one of a, b, not \"c\"",
            ),
            (Form::Words, "k a \"b c\"", "a|b c"),
            (Form::Words, "k none", "none"),
            (Form::Words, "k none a", "!takes `none` only alone"),
            (Form::Words, "k a \"\"", "!has an empty value"),
            (Form::Rest, "k = nc \"%h\" # x", "nc \"%h\" # x"),
            (Form::Agent, "k ${SET}/a", "${SET}/a"),
            (Form::Agent, "k $UNSET", "$UNSET"),
            (
                Form::Agent,
                "k ${UNSET}",
                "!names the variable UNSET, which is not set",
            ),
            (
                Form::Agent,
                "k ${SET",
                "!has a `${` that is not closed: \"${SET\"",
            ),
            (
                Form::Agent,
                "k $A-B",
                "!takes the name of a variable, not \"$A-B\"",
            ),
            (Form::SendEnv, "k LANG LC_*", "LANG|LC_*"),
            (
                Form::SendEnv,
                "k A=b",
                "!takes names of variables, not \"A=b\"",
            ),
            (Form::SetEnv, "k A=b C=", "A=b|C="),
            (Form::SetEnv, "k A", "!takes NAME=value, not \"A\""),
            (Form::Any, "k x y z", "x|y|z"),
        ] {
            assert_eq!(checked(form, line), expected, "{line}");
        }
    }

    #[test]
    fn times_are_openssh_s() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("1m30s", Some(90)),
            ("1H1", Some(3601)),
            ("2d", Some(172_800)),
            ("1w1d", Some(691_200)),
            ("", None),
            ("s", None),
            ("-1", None),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("3551w", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
