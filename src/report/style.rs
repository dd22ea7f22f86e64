//! Colours, and whether to use them.
//!
//! May depend on nothing. One reason: a colour is decided once, and text without it is the same text.

use serde::Serialize;

/// When text for people is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb; elsewhere if CLICOLOR_FORCE is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour: the flag wins, then `NO_COLOR` (no-color.org: set and not empty), then
    /// `CLICOLOR_FORCE` (bixense.com/clicolors: set and not 0), then the terminal.
    pub fn decide(self, terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                if env("NO_COLOR").is_some_and(|v| !v.is_empty()) {
                    return false;
                }
                if env("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0") {
                    return true;
                }
                terminal && env("TERM").as_deref() != Some("dumb")
            }
        }
    }
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Good,
    Changed,
    Bad,
    Note,
    Dim,
    Bold,
}

/// Paints, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub color: bool,
}

impl Style {
    pub fn paint(self, ink: Ink, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Changed => "33",
            Ink::Bad => "1;31",
            Ink::Note => "36",
            Ink::Dim => "2",
            Ink::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_then_the_environment_then_the_terminal() {
        type Env = &'static [(&'static str, &'static str)];
        let table: &[(Color, bool, Env, bool)] = &[
            (Color::Auto, true, &[], true),
            (Color::Auto, false, &[], false),
            (Color::Auto, true, &[("NO_COLOR", "1")], false),
            (Color::Auto, true, &[("NO_COLOR", "")], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (
                Color::Auto,
                true,
                &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
                false,
            ),
            (Color::Auto, true, &[("TERM", "dumb")], false),
            (Color::Always, false, &[("NO_COLOR", "1")], true),
            (Color::Never, true, &[("CLICOLOR_FORCE", "1")], false),
        ];
        for (color, terminal, env, want) in table {
            let got = color.decide(*terminal, |name| {
                env.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            });
            assert_eq!(got, *want, "{color:?} terminal={terminal} {env:?}");
        }
    }
}
