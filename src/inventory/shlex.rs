//! Words of a line as Python's `shlex.split(line, comments=True)` gives them.
//!
//! Not as the shell: `#` begins a comment also within a word, and a word may be empty.

/// Splits a line; each word with the column, from 1, at which it begins. The error is a sentence.
pub(super) fn split(line: &str) -> Result<Vec<(String, usize)>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    // Where the word began; a word of empty quotes is one too.
    let mut start = None;
    let mut quote = None;
    let mut chars = line.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => word.push(c),
                Some((_, c)) => word.extend(['\\', c]),
                None => return Err("a backslash stands at the end of the line"),
            },
            (Some(_), c) => word.push(c),
            (None, ' ' | '\t' | '\r' | '\n') => {
                if let Some(column) = start.take() {
                    words.push((std::mem::take(&mut word), column));
                }
            }
            (None, '#') => break,
            (None, c) => {
                start = start.or(Some(at + 1));
                match c {
                    '"' | '\'' => quote = Some(c),
                    '\\' => match chars.next() {
                        Some((_, c)) => word.push(c),
                        None => return Err("a backslash stands at the end of the line"),
                    },
                    c => word.push(c),
                }
            }
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(start.map(|column| (word, column)));
    Ok(words)
}
