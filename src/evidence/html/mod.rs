//! Draws a page as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.
//!
//! May depend on `evidence::page` and its criteria. One reason: how it looks changes more often than what is known.
//!
//! Nothing of the page is trusted. Every text passes the formatter (`clean`), which shows control characters instead of
//! sending them, cuts what is too long, and escapes; attributes are quoted; the style is admitted by its digest, and
//! the content security policy refuses everything else.

mod chart;
mod clean;
mod format;
mod measured;
mod picture;
mod table;
mod view;
mod words;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use sha2::{Digest, Sha256};

use self::words::Words;
use super::page::Page;

const TEMPLATE: &str = include_str!("report.html.j2");
const STYLE: &str = include_str!("style.css");

/// The report's language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
}

impl Lang {
    /// Both.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Fr];

    /// The language tag, as in `--lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Fr => "fr",
        }
    }
}

/// Why a page could not be drawn. The page's content is never the reason: only a bug in the template is.
#[derive(Debug, thiserror::Error)]
#[error("the report's template is broken")]
pub struct HtmlError(#[from] Error);

/// Draws the page. Long texts and lists are cut, so the size is bounded whatever the page holds.
pub fn render(page: &Page, lang: Lang) -> Result<String, HtmlError> {
    let words = Words::of(lang);
    let digest = BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let view = view::View::of(page, words);
    let environment = environment(words)?;
    let context = minijinja::context! {
        lang => lang.tag(),
        style => Value::from_safe_string(STYLE.to_owned()),
        style_digest => digest,
        ..Serde(&view)
    };
    Ok(environment.get_template("report.html")?.render(context)?)
}

fn environment(words: Words) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    // A name that the view does not have is a bug, not an empty text.
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    env.set_formatter(clean::formatter);
    env.add_function("t", move |key: &str, names: Kwargs| {
        text(words, key, None, &names)
    });
    env.add_function("n", move |key: &str, n: u64, names: Kwargs| {
        text(words, key, Some(n), &names)
    });
    env.add_filter("bytes", move |n: u64| format::bytes(&words, n));
    env.add_filter("duration", move |ms: u64| format::duration(&words, ms));
    env.add_filter("whole", move |n: i64| {
        format::whole(words.lang, i128::from(n))
    });
    env.add_template("report.html", TEMPLATE)?;
    Ok(env)
}

/// A text of the table; a key that is not there ends the drawing.
fn text(words: Words, key: &str, n: Option<u64>, names: &Kwargs) -> Result<String, Error> {
    if words.find(key).is_none() {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("no text has the key {key}"),
        ));
    }
    let mut filled = Vec::new();
    for name in names.args() {
        let value: Value = names.get(name)?;
        filled.push((name, value.to_string()));
    }
    let filled: Vec<(&str, &str)> = filled.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Ok(match n {
        Some(n) => words.count(key, n, &filled),
        None => words.with(key, &filled),
    })
}
