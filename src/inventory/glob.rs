//! Shell patterns as Python's `fnmatch` reads them: for names of hosts and groups.

/// A pattern of `*`, `?`, `[abc]`, `[!a-c]`.
pub(super) struct Glob(Vec<Token>);

impl Glob {
    pub fn new(pattern: &str) -> Self {
        Glob(tokens(pattern))
    }

    /// In time that is the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        matches(&self.0, text)
    }
}

fn matches(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some(Token::Star) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(token) if token.fits(*c) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        // Let the last star eat one character more.
        let Some((star_p, star_t)) = star else {
            return false;
        };
        star = Some((star_p, star_t + 1));
        p = star_p + 1;
        t = star_t + 1;
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|token| *token == Token::Star))
}

#[derive(PartialEq)]
enum Token {
    Star,
    Any,
    One(char),
    /// Negated, and the ranges.
    Set(bool, Vec<(char, char)>),
}

impl Token {
    fn fits(&self, c: char) -> bool {
        match self {
            Token::Star => false,
            Token::Any => true,
            Token::One(one) => *one == c,
            Token::Set(negated, ranges) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(c) = chars.get(i) {
        i += 1;
        out.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => {
                let negated = chars.get(i) == Some(&'!');
                let first = i + usize::from(negated);
                // A `]` that comes first is a member.
                let end = (first + 1..chars.len()).find(|j| chars.get(*j) == Some(&']'));
                match end.and_then(|end| Some((end, chars.get(first..end)?))) {
                    None => Token::One('['),
                    Some((end, members)) => {
                        i = end + 1;
                        Token::Set(negated, ranges(members))
                    }
                }
            }
            c => Token::One(*c),
        });
    }
    out
}

fn ranges(members: &[char]) -> Vec<(char, char)> {
    let mut out = Vec::new();
    let mut rest = members;
    loop {
        rest = match rest {
            [] => return out,
            [from, '-', to, more @ ..] => {
                out.push((*from, *to));
                more
            }
            [one, more @ ..] => {
                out.push((*one, *one));
                more
            }
        };
    }
}
