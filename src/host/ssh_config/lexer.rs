//! A line of `ssh_config` into its keyword and arguments.
//!
//! May depend on nothing. One reason: quoting and separators decide what a value is, and OpenSSH has one rule
//! for the keyword and another for what follows (`strdelim` and `argv_split` in its `misc.c`).

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The keyword in lower case.
    pub keyword: String,
    /// All that follows it, as it stands there: what keywords take that pass a command on.
    pub rest: &'a str,
    /// The same in words, without quotes and a comment at the end.
    pub arguments: Vec<String>,
}

/// What separates words in OpenSSH's own terms.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits a line. `None` for a comment or an empty line; an error's text says what is wrong with it.
pub fn split(line: &str) -> Result<Option<Line<'_>>, String> {
    let line = trim_end(line);
    let Some((mut keyword, mut rest)) = delimit(line) else {
        return Ok(None);
    };
    if keyword.is_empty() {
        // The line begins with blanks, or with `=`.
        match rest.and_then(delimit) {
            Some(next) => (keyword, rest) = next,
            None => return Ok(None),
        }
    }
    if keyword.is_empty() || keyword.starts_with('#') {
        return Ok(None);
    }
    let rest = rest.unwrap_or_default().trim_start_matches(BLANK);
    if rest.is_empty() {
        return Err(format!("{keyword} has no argument"));
    }
    match arguments(rest) {
        Some(arguments) => Ok(Some(Line {
            keyword: keyword.to_ascii_lowercase(),
            rest,
            arguments,
        })),
        None => Err(format!("a quote is not closed after {keyword}")),
    }
}

/// Without blanks at the end; the first character stays, whatever it is.
fn trim_end(line: &str) -> &str {
    let end = |c: char| BLANK.contains(&c) || c == '\x0c';
    let trimmed = line.trim_end_matches(end);
    if trimmed.is_empty() {
        let first = line.chars().next().map_or(0, char::len_utf8);
        line.get(..first).unwrap_or_default()
    } else {
        trimmed
    }
}

/// The first word and what follows its separator: blanks with at most one `=` among them. `None` if a quote
/// in the word is not closed; OpenSSH then takes the line for empty.
fn delimit(text: &str) -> Option<(String, Option<&str>)> {
    let Some(at) = text.find(|c: char| BLANK.contains(&c) || c == '"' || c == '=') else {
        return Some((text.to_owned(), None));
    };
    let (word, tail) = text.split_at(at);
    let mut tail = tail.chars();
    match tail.next() {
        Some('"') => {
            let (quoted, rest) = tail.as_str().split_once('"')?;
            Some((
                format!("{word}{quoted}"),
                Some(rest.trim_start_matches(BLANK)),
            ))
        }
        separator => {
            let rest = tail.as_str().trim_start_matches(BLANK);
            let rest = match rest.strip_prefix('=') {
                Some(rest) if separator != Some('=') => rest.trim_start_matches(BLANK),
                _ => rest,
            };
            Some((word.to_owned(), Some(rest)))
        }
    }
}

/// Words with either kind of quotes and few escapes; a `#` that begins a word ends them. `None` if a quote is
/// not closed.
pub fn arguments(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return Some(words);
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', _) => {
                    let escaped = chars.next_if(|e| {
                        matches!(e, '\'' | '"' | '\\') || (*e == ' ' && quote.is_none())
                    });
                    word.push(escaped.unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(q)) if c == q => quote = None,
                (c, _) => word.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `keyword|argument|…`, or what is wrong.
    fn shown(line: &str) -> String {
        match split(line) {
            Ok(None) => "-".into(),
            Ok(Some(line)) => {
                let mut words = vec![line.keyword];
                words.extend(line.arguments);
                words.join("|")
            }
            Err(error) => format!("!{error}"),
        }
    }

    #[test]
    fn a_line_is_split_as_openssh_does() {
        for (line, expected) in [
            ("", "-"),
            ("   \t ", "-"),
            ("# Port 1", "-"),
            ("  #Port 1", "-"),
            ("Port 1", "port|1"),
            ("\tPORT\t1\r\n", "port|1"),
            ("Port=1", "port|1"),
            ("Port = 1", "port|1"),
            ("Port  =  1\x0c", "port|1"),
            ("Port == 1", "port|=|1"),
            ("Port= =1", "port|=1"),
            ("\"Port\" 1", "port|1"),
            ("Po\"rt\"1", "port|1"),
            ("Port\"x", "-"),
            ("=Port 1", "port|1"),
            ("Port", "!Port has no argument"),
            ("Port =", "!Port has no argument"),
            ("Port # 1", "port"),
            ("Host a b#c # d", "host|a|b#c"),
            ("IdentityFile \"a b\"", "identityfile|a b"),
            ("IdentityFile 'a \"b'", "identityfile|a \"b"),
            (
                "IdentityFile a\\ b \\x \\\\ \\\"",
                "identityfile|a b|\\x|\\|\"",
            ),
            ("IdentityFile \"a\\ b\"", "identityfile|a\\ b"),
            ("IdentityFile a\"b c\"d", "identityfile|ab cd"),
            ("IdentityFile \"\"", "identityfile|"),
            (
                "IdentityFile \"a",
                "!a quote is not closed after IdentityFile",
            ),
            ("Benutzer \u{fc} \u{201e}x", "benutzer|\u{fc}|\u{201e}x"),
        ] {
            assert_eq!(shown(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_command_is_left_as_it_stands() {
        let line = split("ProxyCommand = nc \"%h\" %p # x").unwrap().unwrap();
        assert_eq!(line.rest, "nc \"%h\" %p # x");
    }
}
