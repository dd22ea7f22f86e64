//! Looks at a template's text before the engine does: is it one, which statements are in it, and what do
//! backslashes in it mean.

/// The statements that are understood. The others would need files (`include`), or could make a value out of
/// itself again and again until it is too large to look at (`set`, `macro`).
const STATEMENTS: [&str; 8] = [
    "if", "elif", "else", "endif", "for", "endfor", "raw", "endraw",
];

/// True for text that Ansible would take for a template.
pub(super) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

/// A stretch of a template.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Expression,
    Statement,
    Comment,
}

/// Doubles each backslash in the string constants of `{{ … }}`, as Ansible does, so that `'\1'` is a backslash
/// and a digit: YAML has resolved its escapes already. In `{% … %}` escapes stay the engine's.
///
/// `Err` names what is not supported, as `the statement `include` is`.
pub(super) fn prepare(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut part = Part::Text;
    let mut rest = text;
    let (mut products, mut lists) = (0, false);
    while !rest.is_empty() {
        let (next, length) = match part {
            Part::Text => text_part(rest),
            Part::Comment => until(rest, "#}"),
            Part::Expression => code_part(rest, "}}"),
            Part::Statement => code_part(rest, "%}"),
        };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if part == Part::Expression && piece.starts_with(['\'', '"']) {
            out.push_str(&constant(piece));
        } else {
            out.push_str(piece);
        }
        if matches!(part, Part::Expression | Part::Statement) && !piece.starts_with(['\'', '"']) {
            products += piece.matches('*').count() - piece.matches("**").count();
            lists |= piece.contains(['[', '{', ',']);
        }
        if part == Part::Text && next == Part::Statement {
            let name = statement(after)?;
            if name == "raw" {
                // Nothing in there is code.
                let (_, end) = until_endraw(after);
                let (raw, after) = after.split_at_checked(end).unwrap_or((after, ""));
                out.push_str(raw);
                rest = after;
                part = Part::Text;
                continue;
            }
        }
        part = next;
        rest = after;
    }
    // A list of lists of lists, each a thousand times the same one, is small until somebody compares it.
    if products > 1 && lists {
        return Err("more than one `*` beside lists is".to_owned());
    }
    Ok(out)
}

/// A string constant whose backslashes mean themselves. One that is not closed stays as it is, for the engine
/// to complain about.
fn constant(piece: &str) -> String {
    let quote = piece.chars().next().unwrap_or('"');
    let mut out = String::with_capacity(piece.len() + 8);
    let mut escaped = false;
    let mut closed = false;
    for (at, c) in piece.char_indices() {
        closed = at > 0 && c == quote && !escaped;
        if escaped && c == quote {
            out.push('\\');
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
        if c == '\\' {
            out.push(c);
        }
    }
    if closed { out } else { piece.to_owned() }
}

/// Text up to and with the next opening.
fn text_part(rest: &str) -> (Part, usize) {
    let mut from = 0;
    while let Some(at) = rest.get(from..).and_then(|r| r.find('{')) {
        let at = from + at;
        let part = match rest.as_bytes().get(at + 1) {
            Some(b'{') => Part::Expression,
            Some(b'%') => Part::Statement,
            Some(b'#') => Part::Comment,
            _ => {
                from = at + 1;
                continue;
            }
        };
        return (part, at + 2);
    }
    (Part::Text, rest.len())
}

fn until(rest: &str, end: &str) -> (Part, usize) {
    match rest.find(end) {
        Some(at) => (Part::Text, at + end.len()),
        None => (Part::Text, rest.len()),
    }
}

/// One string constant, the end of the code, or the code before either.
fn code_part(rest: &str, end: &str) -> (Part, usize) {
    let this = if end == "}}" {
        Part::Expression
    } else {
        Part::Statement
    };
    let mut chars = rest.char_indices();
    if let Some((_, quote @ ('\'' | '"'))) = chars.next() {
        let mut escaped = false;
        for (at, c) in chars {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                return (this, at + 1);
            }
        }
        return (this, rest.len());
    }
    let mut depth = 0usize;
    for (at, c) in rest.char_indices() {
        match c {
            '\'' | '"' => return (this, at),
            '{' | '[' | '(' => depth += 1,
            _ if depth == 0 && rest.get(at..).is_some_and(|r| r.starts_with(end)) => {
                return (Part::Text, at + end.len());
            }
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (this, rest.len())
}

/// The name of the statement that begins here, behind its `{%`.
fn statement(after: &str) -> Result<&str, String> {
    let code = after.trim_start_matches(['-', '+']).trim_start();
    let end = code
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(code.len());
    let name = code.get(..end).unwrap_or(code);
    if !name.is_empty() && !STATEMENTS.contains(&name) {
        return Err(format!("the statement `{name}` is"));
    }
    Ok(name)
}

fn until_endraw(after: &str) -> (Part, usize) {
    let mut from = 0;
    while let Some(at) = after.get(from..).and_then(|r| r.find("{%")) {
        let inner = from + at + 2;
        let code = after.get(inner..).unwrap_or_default();
        if code
            .trim_start_matches(['-', '+'])
            .trim_start()
            .starts_with("endraw")
        {
            let (_, length) = until(code, "%}");
            return (Part::Text, inner + length);
        }
        from = inner;
    }
    (Part::Text, after.len())
}

/// True if nothing in the text could take an undefined value for a defined one without being noticed:
/// comparisons and tests do not report what they look at.
pub(super) fn may_chain(text: &str) -> bool {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| !w.is_empty())
        .collect();
    let tested = |at: usize| {
        let mut next = words.iter().skip(at + 1).filter(|w| **w != "not");
        matches!(next.next(), Some(&("defined" | "undefined")))
    };
    !text.contains(['=', '<', '>'])
        && !words.contains(&"in")
        && words
            .iter()
            .enumerate()
            .all(|(at, word)| *word != "is" || tested(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_are_doubled_in_strings_of_expressions_only() {
        for (text, expected) in [
            (r"a\b", r"a\b"),
            (r"{{ 'a\1' }}\n", r"{{ 'a\\1' }}\n"),
            (r"{{ 'it\'s' }}", r"{{ 'it\\\'s' }}"),
            (r"{{ 'a\' }}", r"{{ 'a\' }}"),
            (r#"{{ {"}}": '\d'} }}\"#, r#"{{ {"}}": '\\d'} }}\"#),
            (
                r"{% if '\n' %}{{ '\n' }}{% endif %}",
                r"{% if '\n' %}{{ '\\n' }}{% endif %}",
            ),
            (r"{# '\' #}{{ '\d' }}", r"{# '\' #}{{ '\\d' }}"),
            (
                r"{% raw %}{{ '\' }}{% endraw %}{{ '\x' }}",
                r"{% raw %}{{ '\' }}{% endraw %}{{ '\\x' }}",
            ),
            ("{{ 'open", "{{ 'open"),
            ("{", "{"),
        ] {
            assert_eq!(prepare(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn statements_that_are_not_understood_are_named() {
        for (text, expected) in [
            ("{% include 'x' %}", "include"),
            ("{%- macro m() %}{% endmacro %}", "macro"),
            ("{% set x = 1 %}", "set"),
            ("{% if a %}{% filter upper %}", "filter"),
        ] {
            let expected = format!("the statement `{expected}` is");
            assert_eq!(prepare(text).unwrap_err(), expected, "{text}");
        }
        for (text, fine) in [
            ("{{ 2 * 3 * 4 }}", true),
            ("{{ [1] * 3 }}", true),
            ("{{ [[1] * 999] * 999 }}", false),
            ("{{ '[*]' * 3 * 3 }}", true),
        ] {
            assert_eq!(prepare(text).is_ok(), fine, "{text}");
        }
        assert!(prepare("{% raw %}{% include 'x' %}{% endraw %}").is_ok());
    }

    #[test]
    fn what_hides_an_undefined_value_may_not_be_chained() {
        for text in [
            "{{ a.b | d('x') }}",
            "{{ a.b is not defined }}",
            "{{ a.b is undefined or c }}",
        ] {
            assert!(may_chain(text), "{text}");
        }
        for text in [
            "{{ a.b == 1 }}",
            "{{ a.b is none }}",
            "{{ 1 in a.b }}",
            "{{ a.b is not none }}",
        ] {
            assert!(!may_chain(text), "{text}");
        }
    }
}
