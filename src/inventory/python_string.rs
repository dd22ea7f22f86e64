//! String literals of Python: prefixes, quotes, escapes.

/// What a literal holds.
pub(super) enum Part {
    /// Text.
    Text(String),
    /// `b'…'`.
    Bytes(Vec<u8>),
}

/// The literal at the beginning of a text with what comes after it; `Some(None)` if there is none, and
/// `None` if it is a wrong one or one that is no constant.
pub(super) fn read(text: &str) -> Option<Option<(Part, &str)>> {
    let start = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(0);
    let (prefix, body) = text.split_at(start);
    if !body.starts_with(['"', '\'']) {
        return Some(None);
    }
    let (raw, bytes) = match prefix.to_ascii_lowercase().as_str() {
        "" | "u" => (false, false),
        "r" => (true, false),
        "b" => (false, true),
        "br" | "rb" => (true, true),
        // `f''`, or a name before a quote.
        _ => return None,
    };
    let quote = body.get(..1)?;
    let triple = body.get(..3).filter(|q| *q == quote.repeat(3));
    let close = triple.unwrap_or(quote);
    let inside = body.get(close.len()..)?;
    let length = closing(inside, close, triple.is_some())?;
    let (content, rest) = (inside.get(..length)?, inside.get(length + close.len()..)?);
    let part = if bytes {
        if !content.is_ascii() {
            return None;
        }
        Part::Bytes(if raw {
            content.as_bytes().to_vec()
        } else {
            byte_escapes(content)?
        })
    } else {
        Part::Text(if raw {
            content.to_owned()
        } else {
            escapes(content)?
        })
    };
    Some(Some((part, rest)))
}

/// How long the content is; also in raw literals a backslash protects the quote after it.
fn closing(inside: &str, close: &str, triple: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = inside.get(at..)?;
        if rest.starts_with(close) {
            return Some(at);
        }
        let mut chars = rest.chars();
        let c = chars.next()?;
        at += c.len_utf8();
        match c {
            '\\' => at += chars.next()?.len_utf8(),
            '\n' | '\r' if !triple => return None,
            _ => {}
        }
    }
}

/// One escape: what it stands for and how many bytes come after its backslash.
enum Escape {
    /// A code point, which may be half of a pair.
    Code(u32, usize),
    /// A backslash before the end of a line: nothing.
    Nothing(usize),
    /// No escape: the backslash stays.
    Backslash,
}

fn escape(after: &str, unicode: bool) -> Option<Escape> {
    let c = after.chars().next()?;
    let hex = |length: usize| {
        let digits = after.get(1..=length)?;
        let valid = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| valid)?;
        (code <= 0x10_FFFF).then_some(Escape::Code(code, 1 + length))
    };
    Some(match c {
        'n' => Escape::Code(10, 1),
        't' => Escape::Code(9, 1),
        'r' => Escape::Code(13, 1),
        'a' => Escape::Code(7, 1),
        'b' => Escape::Code(8, 1),
        'f' => Escape::Code(12, 1),
        'v' => Escape::Code(11, 1),
        '\\' | '\'' | '"' => Escape::Code(c as u32, 1),
        '\n' => Escape::Nothing(1),
        '0'..='7' => {
            let octal = after
                .bytes()
                .take(3)
                .take_while(|b| (b'0'..=b'7').contains(b));
            let (code, length) = octal.fold((0, 0), |(code, n), b| {
                (code * 8 + u32::from(b - b'0'), n + 1)
            });
            Escape::Code(code, length)
        }
        'x' => hex(2)?,
        'u' if unicode => hex(4)?,
        'U' if unicode => hex(8)?,
        // The names of Unicode are not known here; the text stays as it is written.
        'N' if unicode => return None,
        _ => Escape::Backslash,
    })
}

fn escapes(content: &str) -> Option<String> {
    let mut out = String::with_capacity(content.len());
    let mut rest = content;
    // The first half of a surrogate pair, which Ansible's JSON joins with the second.
    let mut high = None;
    loop {
        let Some(at) = rest.find('\\') else {
            out.push_str(rest);
            return high.is_none().then_some(out);
        };
        if at > 0 && high.is_some() {
            return None;
        }
        out.push_str(rest.get(..at)?);
        let after = rest.get(at + 1..)?;
        let length = match escape(after, true)? {
            Escape::Code(code, length) => {
                match (high.take(), code) {
                    (None, 0xD800..=0xDBFF) => high = Some(code),
                    (Some(high), 0xDC00..=0xDFFF) => {
                        let code = 0x1_0000 + ((high - 0xD800) << 10) + (code - 0xDC00);
                        out.push(char::from_u32(code)?);
                    }
                    // Half of a pair is no character.
                    (None, code) => out.push(char::from_u32(code)?),
                    (Some(_), _) => return None,
                }
                length
            }
            _ if high.is_some() => return None,
            Escape::Nothing(length) => length,
            Escape::Backslash => {
                out.push('\\');
                0
            }
        };
        rest = after.get(length..)?;
    }
}

fn byte_escapes(content: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(rest.get(..at)?.as_bytes());
        let after = rest.get(at + 1..)?;
        let length = match escape(after, false)? {
            // Octal ones may be larger than a byte: Python takes the low bits.
            Escape::Code(code, length) => {
                out.push((code & 0xFF) as u8);
                length
            }
            Escape::Nothing(length) => length,
            Escape::Backslash => {
                out.push(b'\\');
                0
            }
        };
        rest = after.get(length..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}
