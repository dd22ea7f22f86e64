//! The report's words: how they are looked up, filled in and put into the plural.
//!
//! May depend on the table only. One reason: a sentence that is put together from pieces is wrong in the other language.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Lang;
use super::table::TABLE;

/// A key with its text in each language. `{name}` is filled in; where `n` is a count and the text differs by it,
/// the form for one stands before `|` and the form for more after it.
pub struct Word {
    /// The key.
    pub key: &'static str,
    /// English.
    pub en: &'static str,
    /// French.
    pub fr: &'static str,
}

static INDEX: LazyLock<HashMap<&str, &Word>> =
    LazyLock::new(|| TABLE.iter().map(|w| (w.key, w)).collect());

/// One language's words.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Which.
    pub lang: Lang,
}

impl Words {
    /// The words of a language.
    pub fn of(lang: Lang) -> Self {
        Words { lang }
    }

    /// The text of a key, if there is one.
    pub fn find(&self, key: &str) -> Option<&'static str> {
        INDEX.get(key).map(|w| match self.lang {
            Lang::En => w.en,
            Lang::Fr => w.fr,
        })
    }

    /// The text of a key; the key itself where there is none, which the tests do not let happen.
    pub fn get<'a>(&self, key: &'a str) -> &'a str {
        self.find(key).unwrap_or(key)
    }

    /// The text with names filled in. What is filled in is not looked at again.
    pub fn with(&self, key: &str, filled: &[(&str, &str)]) -> String {
        fill(self.get(key), filled)
    }

    /// The text for a count, which is filled in as `n`.
    pub fn count(&self, key: &str, n: u64, filled: &[(&str, &str)]) -> String {
        let text = self.get(key);
        let form = match text.split_once('|') {
            Some((one, more)) => {
                // French counts nothing as one thing: "0 fichier".
                let singular = match self.lang {
                    Lang::En => n == 1,
                    Lang::Fr => n < 2,
                };
                if singular { one } else { more }
            }
            None => text,
        };
        let figure = super::format::whole(self.lang, i128::from(n));
        let mut all = vec![("n", figure.as_str())];
        all.extend_from_slice(filled);
        fill(form, &all)
    }
}

fn fill(text: &str, filled: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            rest = after;
            continue;
        };
        if let Some((_, value)) = filled.iter().find(|(n, _)| *n == name) {
            out.push_str(value);
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;

    use super::*;

    fn names(text: &str) -> BTreeSet<String> {
        let name = Regex::new(r"\{([a-z]+)\}").unwrap();
        name.captures_iter(text).map(|c| c[1].to_owned()).collect()
    }

    #[test]
    fn every_key_has_both_languages_with_the_same_names_and_forms() {
        for w in TABLE {
            assert!(
                !w.en.trim().is_empty() && !w.fr.trim().is_empty(),
                "{}",
                w.key
            );
            assert_eq!(
                w.en.matches('|').count(),
                w.fr.matches('|').count(),
                "{}",
                w.key
            );
            assert!(w.en.matches('|').count() < 2, "{}", w.key);
            for (en, fr) in w.en.split('|').zip(w.fr.split('|')) {
                assert_eq!(names(en), names(fr), "{}", w.key);
                assert_eq!(
                    en.matches('{').count(),
                    names(en).len(),
                    "{}: a name twice, or a brace",
                    w.key
                );
            }
        }
        assert_eq!(INDEX.len(), TABLE.len(), "a key stands twice");
    }

    /// French has a space that does not break before `: ; ! ?` and inside quotation marks.
    #[test]
    fn french_typography() {
        let bare = Regex::new("[^\u{202f}\u{a0}][;:!?»](?: |$)|«[^\u{202f}\u{a0}]|'").unwrap();
        for w in TABLE {
            assert!(!bare.is_match(w.fr), "{}: {}", w.key, w.fr);
        }
        assert!(bare.is_match("Pourquoi ?") && bare.is_match("l'hôte"));
        assert!(!bare.is_match("Pourquoi\u{202f}?"));
    }

    #[test]
    fn plurals() {
        for (lang, n, want) in [
            (Lang::En, 0, "0 files"),
            (Lang::En, 1, "1 file"),
            (Lang::En, 2, "2 files"),
            (Lang::Fr, 0, "0 fichier"),
            (Lang::Fr, 1, "1 fichier"),
            (Lang::Fr, 2, "2 fichiers"),
        ] {
            assert_eq!(Words::of(lang).count("files.count", n, &[]), want);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        assert_eq!(
            fill("{a} and {b}", &[("a", "{b}"), ("b", "2")]),
            "{b} and 2"
        );
        assert_eq!(fill("{a", &[]), "a");
    }
}
