//! What may not reach a reader: characters that are not seen or turn the text around, and text without end.
//!
//! May depend on nothing of the crate. One reason: escaping makes text harmless to the browser, not to the reader.

use std::borrow::Cow;

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value, escape_formatter};

/// Characters of one text that are shown.
pub const MOST: usize = 4000;

/// Marks that stand on one letter; more than this and they cover the lines around.
const MOST_MARKS: usize = 4;

/// Prints a value: text is cleaned first, everything is escaped as the template says.
pub fn formatter(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.kind() == ValueKind::String
        && !value.is_safe()
        && let Some(text) = value.as_str()
    {
        return escape_formatter(out, state, &Value::from(clean(text).into_owned()));
    }
    escape_formatter(out, state, value)
}

/// The text as it may be shown: what is not seen, or turns text around, stands there as `\u{202e}`; at most [`MOST`]
/// characters, then how many more there were.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST && text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(MOST * 2));
    let mut marks = 0;
    for (at, c) in text.chars().enumerate() {
        if at == MOST {
            let more = text.chars().count() - MOST;
            out.push_str(&format!("… (+{more})"));
            break;
        }
        marks = if combining(c) { marks + 1 } else { 0 };
        if hidden(c) {
            out.extend(c.escape_unicode());
        } else if marks <= MOST_MARKS {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Controls but for line ends and tabs; what turns the direction of text; what has no width; what is no character.
fn hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        c if c.is_control() => true,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => {
            true
        }
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => u32::from(c) & 0xfffe == 0xfffe,
    }
}

/// Marks that stand on the letter before.
fn combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Lines of at most `width` columns (wide characters count two) and at most `most` lines; the last one says that it was
/// cut. Breaks after spaces, `/`, `.` , `,` and `-` where it can, else anywhere.
pub fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let text = clean(text).replace(['\n', '\t'], " ");
    let mut lines = vec![String::new()];
    for word in text.split_inclusive([' ', '/', '.', ',', '-', ':']) {
        let mut rest = word;
        while !rest.is_empty() {
            let used = lines.last().map_or(0, |l| columns(l));
            if used + columns(rest.trim_end()) <= width {
                push(&mut lines, rest);
                break;
            }
            // A word that fits a line begins one; a longer one is parted.
            let first = rest
                .chars()
                .next()
                .map_or(0, |c| if wide(c) { 2 } else { 1 });
            if used > 0 && (used + first > width || columns(rest.trim_end()) <= width) {
                lines.push(String::new());
                continue;
            }
            let (head, tail) = part(rest, width.saturating_sub(used).max(1));
            push(&mut lines, head);
            lines.push(String::new());
            rest = tail;
        }
        if lines.len() > most {
            break;
        }
    }
    let cut = lines.len() > most;
    lines.truncate(most.max(1));
    if let (true, Some(last)) = (cut, lines.last_mut()) {
        while columns(last) >= width && last.pop().is_some() {}
        last.truncate(last.trim_end().len());
        last.push('…');
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines.retain(|l| !l.is_empty());
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

fn part(text: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += if wide(c) { 2 } else { 1 };
        if used > width && at > 0 {
            return text.split_at(at);
        }
    }
    (text, "")
}

fn columns(text: &str) -> usize {
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

/// True for characters that are about twice as wide as a letter.
fn wide(c: char) -> bool {
    matches!(c, '—' | '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{ffef}' | '\u{1f000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_shown() {
        for (text, want) in [
            ("plain", "plain"),
            ("ligne à deux\nvers", "ligne à deux\nvers"),
            ("a\u{202e}b", "a\\u{202e}b"),
            (
                "\u{0}\u{1b}[31m\u{7f}\u{9b}\r",
                "\\u{0}\\u{1b}[31m\\u{7f}\\u{9b}\\u{d}",
            ),
            (
                "\u{feff}\u{2028}\u{2066}\u{ffff}\u{1fffe}",
                "\\u{feff}\\u{2028}\\u{2066}\\u{ffff}\\u{1fffe}",
            ),
            ("\u{e0041}", "\\u{e0041}"),
            ("e\u{301}", "e\u{301}"),
            (
                "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}x",
                "e\u{301}\u{301}\u{301}\u{301}x",
            ),
        ] {
            assert_eq!(clean(text), want);
        }
    }

    #[test]
    fn text_without_end_is_cut() {
        let got = clean(&"é".repeat(MOST + 7)).into_owned();
        assert_eq!(got, format!("{}… (+7)", "é".repeat(MOST)));
        assert_eq!(clean(&"x".repeat(MOST)).len(), MOST);
        assert!(clean(&"x".repeat(MOST + 1)).ends_with("x… (+1)"));
    }

    #[test]
    fn lines() {
        for (text, width, most, want) in [
            ("", 10, 2, vec![]),
            (
                "pods app=shop of namespace apps",
                16,
                3,
                vec!["pods app=shop of", "namespace apps"],
            ),
            (
                "/var/lib/storage/pvc-1234567890abcdef",
                14,
                4,
                vec!["/var/lib/", "storage/pvc-12", "34567890abcdef"],
            ),
            ("one two three four", 5, 2, vec!["one", "two…"]),
            ("日本語", 4, 2, vec!["日本", "語"]),
            ("日", 1, 2, vec!["日"]),
            ("a\u{202e}b", 20, 1, vec!["a\\u{202e}b"]),
        ] {
            assert_eq!(wrap(text, width, most), want, "{text}");
        }
        for width in 1..12 {
            for line in wrap("ab cdefghijklmnop/q--- 日本語日本語 r", width, 50) {
                assert!(columns(&line) <= width.max(2), "{width}: {line}");
            }
        }
    }
}
