//! `%` tokens, `${VARIABLE}` and `~` in values.
//!
//! May depend on the machine. One reason: which of them a keyword takes differs, how they are replaced does not.
//!
//! Source: ssh_config(5) "TOKENS" and "ENVIRONMENT VARIABLES"; OpenSSH's `percent_expand`, `tilde_expand`.

use super::machine::Machine;

/// How the environment is asked.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A longer result is an error: tokens multiply.
const LONGEST: usize = 64 * 1024;

/// What the letters stand for.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<(char, String)>);

impl Tokens {
    /// The letters with what they stand for; `%%` needs no entry.
    pub fn new(entries: impl IntoIterator<Item = (char, String)>) -> Tokens {
        Tokens(entries.into_iter().collect())
    }

    /// Only some of the letters.
    #[must_use]
    pub fn only(&self, letters: &str) -> Tokens {
        Tokens(
            self.0
                .iter()
                .filter(|(letter, _)| letters.contains(*letter))
                .cloned()
                .collect(),
        )
    }

    /// Replaces tokens.
    pub fn percent(&self, text: &str) -> Result<String, String> {
        expand(text, Some(self), None)
    }

    /// Replaces tokens and variables; what a variable holds is not looked at again.
    pub fn percent_dollar(&self, text: &str, env: Lookup<'_>) -> Result<String, String> {
        expand(text, Some(self), Some(env))
    }

    /// A path: `~` first, then tokens and variables, as OpenSSH does it.
    pub fn path(&self, text: &str, machine: &Machine) -> Result<String, String> {
        self.percent_dollar(&tilde(text, machine)?, &|name| machine.variable(name))
    }

    fn get(&self, letter: char) -> Option<&str> {
        self.0
            .iter()
            .find(|(l, _)| *l == letter)
            .map(|(_, value)| value.as_str())
    }
}

/// Replaces variables only.
pub fn dollar(text: &str, env: Lookup<'_>) -> Result<String, String> {
    expand(text, None, Some(env))
}

fn expand(text: &str, tokens: Option<&Tokens>, env: Option<Lookup<'_>>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '$']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        let sign = chars.next();
        rest = chars.as_str();
        match (sign, tokens, env) {
            (Some('$'), _, Some(env)) if rest.starts_with('{') => {
                let (name, tail) = rest
                    .get(1..)
                    .and_then(|r| r.split_once('}'))
                    .ok_or_else(|| format!("has a `${{` that is not closed: {text:?}"))?;
                if name.is_empty() {
                    return Err(format!("names no variable in `${{}}`: {text:?}"));
                }
                out.push_str(
                    &env(name)
                        .ok_or_else(|| format!("names the variable {name}, which is not set"))?,
                );
                rest = tail;
            }
            (Some('%'), Some(tokens), _) => {
                match chars.next() {
                    Some('%') => out.push('%'),
                    Some(letter) => out.push_str(
                        tokens
                            .get(letter)
                            .ok_or_else(|| format!("has the unknown token %{letter}: {text:?}"))?,
                    ),
                    None => return Err(format!("ends with a lone %: {text:?}")),
                }
                rest = chars.as_str();
            }
            (sign, ..) => out.extend(sign),
        }
        if out.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes after expansion"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Replaces `~` and `~user` at the beginning.
pub fn tilde(text: &str, machine: &Machine) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('~') else {
        return Ok(text.to_owned());
    };
    let (user, path) = rest.split_once('/').unwrap_or((rest, ""));
    let home = match user {
        "" => machine.home.clone(),
        user => machine
            .home_of(user)
            .ok_or_else(|| format!("names the user {user}, who is not on this machine"))?,
    };
    let home = home
        .to_str()
        .ok_or_else(|| "needs the home folder, whose name is not UTF-8".to_owned())?;
    let slash = if home.ends_with('/') { "" } else { "/" };
    Ok(format!("{home}{slash}{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_variables_and_homes_are_replaced() {
        let machine = Machine::testing("/home/ops", &[("SET", "a%h${SET}")]);
        let tokens = Tokens::new([('h', "node".to_owned()), ('p', "22".to_owned())]);
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("%h-%p-%%h", Ok("node-22-%h")),
            ("~/k_%h", Ok("/home/ops/k_node")),
            ("~//k", Ok("/home/ops/k")),
            ("~", Ok("/home/ops/")),
            ("~root/k", Ok("/root/k")),
            ("a~", Ok("a~")),
            ("${SET}", Ok("a%h${SET}")),
            ("$SET$", Ok("$SET$")),
            (
                "~nobody-has-this/k",
                Err("names the user nobody-has-this, who is not on this machine"),
            ),
            ("%x", Err("has the unknown token %x: \"%x\"")),
            ("a%", Err("ends with a lone %: \"a%\"")),
            ("${}", Err("names no variable in `${}`: \"${}\"")),
            ("${NO}", Err("names the variable NO, which is not set")),
        ] {
            let found = tokens.path(text, &machine);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        }
        assert_eq!(tokens.percent("${SET}%h").as_deref(), Ok("${SET}node"));
        assert_eq!(
            tokens.only("h").percent("%p").unwrap_err(),
            "has the unknown token %p: \"%p\""
        );
    }

    #[test]
    fn expansion_is_bounded() {
        let tokens = Tokens::new([('h', "x".repeat(1000))]);
        assert!(tokens.percent(&"%h".repeat(100_000)).is_err());
    }
}
