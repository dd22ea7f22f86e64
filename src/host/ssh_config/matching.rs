//! Whether a `Host` or `Match` block applies.
//!
//! May depend on patterns. One reason: a block that is applied wrongly changes where we get to and whom we trust.
//!
//! Rules: ssh_config(5) "Host", "Match"; OpenSSH's `match_cfg_line`.

use super::pattern::{matches, matches_list, matches_name};

/// What conditions are compared with.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The host after `HostName`, as far as that is known.
    pub host: &'a str,
    /// The host as it was given.
    pub original: &'a str,
    /// The login, as far as it is known.
    pub user: &'a str,
    /// The laptop's user.
    pub local_user: &'a str,
    /// `Tag`.
    pub tag: Option<&'a str>,
    /// True while the files are read for the second time.
    pub final_pass: bool,
}

/// What came of a `Match` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// All conditions hold, and all could be judged.
    pub applies: bool,
    /// It asks for a second reading.
    pub wants_final: bool,
    /// The condition that cannot be judged, if that alone keeps the block from applying.
    pub unsupported: Option<String>,
}

/// A `Host` line's patterns; an error's text says what is wrong with them.
pub fn host(patterns: &[String], host: &str) -> Result<bool, String> {
    if patterns.iter().any(String::is_empty) {
        return Err("has an empty pattern".into());
    }
    let mut applies = false;
    for pattern in patterns {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern.as_str()),
        };
        if matches(host, pattern) {
            if negated {
                return Ok(false);
            }
            applies = true;
        }
    }
    Ok(applies)
}

/// A `Match` line's conditions.
pub fn conditions(words: &[String], facts: &Facts<'_>) -> Result<Outcome, String> {
    let mut words = words.iter();
    let mut outcome = Outcome {
        applies: true,
        wants_final: false,
        unsupported: None,
    };
    let mut conditions = 0;
    while let Some(word) = words.next() {
        if word.starts_with('#') {
            break;
        }
        let (negated, attribute) = match word.strip_prefix('!') {
            Some(attribute) => (true, attribute),
            None => (false, word.as_str()),
        };
        let (attribute, attached) = match attribute.split_once('=') {
            Some((attribute, value)) => (attribute, Some(value)),
            None => (attribute, None),
        };
        let attribute = attribute.to_ascii_lowercase();
        if attribute == "all" {
            let more = words
                .next()
                .is_some_and(|w| !w.is_empty() && !w.starts_with('#'));
            if conditions > 1 || more || attached.is_some() {
                return Err("`all` stands alone, or after `final` or `canonical`".into());
            }
            outcome.applies &= !negated;
            return Ok(settled(outcome));
        }
        conditions += 1;
        if (attribute == "final" || attribute == "canonical") && attached.is_none() {
            outcome.wants_final |= attribute == "final" && !negated;
            outcome.applies &= facts.final_pass != negated;
            continue;
        }
        let value = attached
            .or_else(|| words.next().map(String::as_str))
            .filter(|v| !v.starts_with('#'))
            .ok_or_else(|| format!("`{attribute}` has no value"))?;
        if value.is_empty() && !matches!(attribute.as_str(), "tagged" | "command") {
            return Err(format!("`{attribute}` has no value"));
        }
        let holds = match attribute.as_str() {
            "host" => matches_name(facts.host, value),
            "originalhost" => matches_name(facts.original, value),
            "user" => matches_list(facts.user, value),
            "localuser" => matches_list(facts.local_user, value),
            "tagged" => match facts.tag {
                None | Some("") => value.is_empty(),
                Some(tag) => matches_list(tag, value),
            },
            _ => {
                outcome.unsupported.get_or_insert(attribute);
                continue;
            }
        };
        outcome.applies &= holds != negated;
    }
    if conditions == 0 {
        return Err("has no condition".into());
    }
    Ok(settled(outcome))
}

/// A condition that cannot be judged does not hold, negated or not; it is worth a word only if it decides.
fn settled(mut outcome: Outcome) -> Outcome {
    if !outcome.applies {
        outcome.unsupported = None;
    }
    outcome.applies &= outcome.unsupported.is_none();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        crate::host::ssh_config::lexer::arguments(line).unwrap()
    }

    #[test]
    fn host_patterns_select_and_negate() {
        for (line, expected) in [
            ("node", true),
            ("NODE", false),
            ("other no*", true),
            ("n?de", true),
            ("!node *", false),
            ("* !node", false),
            ("!other", false),
            ("!other *", true),
            ("a,node", false),
        ] {
            assert_eq!(host(&words(line), "node"), Ok(expected), "{line}");
        }
        assert!(host(&words("a \"\""), "node").is_err());
    }

    #[test]
    fn match_lines_are_judged() {
        let facts = Facts {
            host: "10.0.0.1",
            original: "Node",
            user: "ops",
            local_user: "me",
            tag: Some("lab"),
            final_pass: false,
        };
        let second = Facts {
            final_pass: true,
            ..facts.clone()
        };
        let shown = |facts: &Facts<'_>, line: &str| match conditions(&words(line), facts) {
            Ok(o) => format!(
                "{}{}{}",
                if o.applies { "yes" } else { "no" },
                if o.wants_final { " final" } else { "" },
                o.unsupported.map(|u| format!(" ?{u}")).unwrap_or_default()
            ),
            Err(error) => format!("!{error}"),
        };
        for (line, expected) in [
            ("all", "yes"),
            ("!all", "no"),
            ("ALL # comment", "yes"),
            ("host 10.0.*", "yes"),
            ("host Node", "no"),
            ("originalhost node", "yes"),
            ("OriginalHost=NODE", "yes"),
            ("!originalhost node", "no"),
            ("user ops,root localuser me", "yes"),
            ("user OPS", "no"),
            ("user !ops,*", "no"),
            ("tagged lab", "yes"),
            ("tagged \"\"", "no"),
            ("exec true", "no ?exec"),
            ("!exec \"a b\"", "no ?exec"),
            ("exec=true host 10.0.0.1", "no ?exec"),
            ("exec true host other", "no"),
            ("host other exec true", "no"),
            ("localnetwork 10.0.0.0/8", "no ?localnetwork"),
            ("version OpenSSH_9*", "no ?version"),
            ("sometime later", "no ?sometime"),
            ("final", "no final"),
            ("!final", "yes"),
            ("canonical", "no"),
            ("final all", "no final"),
            ("host other final", "no final"),
            (
                "all host x",
                "!`all` stands alone, or after `final` or `canonical`",
            ),
            (
                "host a user b all",
                "!`all` stands alone, or after `final` or `canonical`",
            ),
            ("host", "!`host` has no value"),
            ("host \"\"", "!`host` has no value"),
            ("host # x", "!`host` has no value"),
            ("\"#\"", "!has no condition"),
        ] {
            assert_eq!(shown(&facts, line), expected, "{line}");
        }
        assert_eq!(shown(&second, "final all"), "yes final");
        assert_eq!(shown(&second, "canonical"), "yes");
        assert_eq!(shown(&second, "!final"), "no");
    }
}
