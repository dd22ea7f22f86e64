//! The flags of evidence: what is kept of a run, in which language, and the command `evidence`.
//!
//! May depend on the other flags. One reason: three commands keep evidence, and say so in the same way.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::HostArgs;
use super::evidence::{self, Keep};
use super::wire::VerifyOptions;
use crate::verify::Level;
use crate::verify::persistence::Restart;

/// What is kept of a run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Evidence")]
pub struct KeepArgs {
    /// Keep the evidence of the run below this folder, also if it fails: a folder and an archive for each host
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// Language.
    #[command(flatten)]
    pub language: LanguageArgs,
}

impl KeepArgs {
    /// As the run takes it.
    pub(super) fn keep(&self, command: &'static str) -> Option<Keep> {
        let folder = self.evidence.clone()?;
        Some(self.language.keep(folder, command))
    }
}

/// The report's language.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Evidence")]
pub struct LanguageArgs {
    /// Language of the report in the evidence; without it French if LC_ALL or LANG says so, else English
    #[arg(long, value_enum, value_name = "LANG")]
    pub lang: Option<Language>,
}

impl LanguageArgs {
    fn keep(&self, folder: PathBuf, command: &'static str) -> Keep {
        let env = |name: &str| std::env::var(name).ok();
        Keep {
            folder,
            language: self.lang.unwrap_or_else(|| Language::of(env)),
            command,
            arguments: evidence::shown(std::env::args_os().skip(1)),
        }
    }
}

/// A language of the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
}

impl Language {
    /// What the environment asks for: the first of `LC_ALL` and `LANG` that is set.
    fn of(env: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LANG"]
            .into_iter()
            .filter_map(env)
            .find(|v| !v.is_empty());
        match set.is_some_and(|v| v.to_lowercase().starts_with("fr")) {
            true => Language::Fr,
            false => Language::En,
        }
    }
}

/// `evidence`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EvidenceArgs {
    /// Something else than collecting.
    #[command(subcommand)]
    pub command: Option<EvidenceCommand>,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Below which folder: a folder and an archive for each host
    #[arg(value_name = "DIR", default_value = "evidence")]
    pub folder: PathBuf,
    /// Leave a check out; it then does not fail the verdict. May be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Checks", value_parser = clap::builder::PossibleValuesParser::new(crate::verify::IDS))]
    pub skip: Vec<String>,
    /// Language.
    #[command(flatten)]
    pub language: LanguageArgs,
}

/// What else is done with evidence.
#[derive(Debug, Clone, Subcommand)]
pub enum EvidenceCommand {
    /// Compare the evidence of two runs: what they came to, versions, checks, objects, storage
    Diff(EvidenceDiffArgs),
}

/// `evidence diff`.
#[derive(Debug, Clone, Args)]
pub struct EvidenceDiffArgs {
    /// The earlier one: a folder or its .tar.gz
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// The later one
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// Differences end with 5 instead of 0
    #[arg(long)]
    pub detailed_exitcode: bool,
}

impl EvidenceArgs {
    /// What is kept.
    pub(super) fn keep(&self) -> Keep {
        self.language.keep(self.folder.clone(), "evidence")
    }

    /// What is checked.
    pub(super) fn options(&self) -> VerifyOptions {
        VerifyOptions {
            level: Level::Static,
            restart: Restart::Pod,
            skip: self.skip.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::*;

    #[test]
    fn what_is_kept_and_in_which_language() {
        let parsed = |argv: &[&str]| Cli::try_parse_from(argv).unwrap().command;
        match parsed(&["monopg", "apply", "--evidence", "d", "--lang", "fr"]) {
            Command::Apply(a) => {
                let keep = a.evidence.keep("apply").unwrap();
                assert_eq!(keep.folder, PathBuf::from("d"));
                assert_eq!((keep.command, keep.language), ("apply", Language::Fr));
            }
            other => panic!("{other:?}"),
        }
        match parsed(&["monopg", "verify"]) {
            Command::Verify(v) => assert!(v.evidence.keep("verify").is_none()),
            other => panic!("{other:?}"),
        }
        match parsed(&["monopg", "evidence", "-i", "inv"]) {
            Command::Evidence(e) => {
                assert_eq!(e.keep().folder, PathBuf::from("evidence"));
                assert_eq!(e.options().level, Level::Static);
            }
            other => panic!("{other:?}"),
        }
        match parsed(&[
            "monopg",
            "evidence",
            "diff",
            "a",
            "b.tar.gz",
            "--detailed-exitcode",
        ]) {
            Command::Evidence(EvidenceArgs {
                command: Some(EvidenceCommand::Diff(diff)),
                ..
            }) => {
                assert_eq!(diff.after, PathBuf::from("b.tar.gz"));
                assert!(diff.detailed_exitcode);
            }
            other => panic!("{other:?}"),
        }
        assert!(Cli::try_parse_from(["monopg", "evidence", "diff", "a"]).is_err());
        for (all, lang, want) in [
            (None, None, Language::En),
            (None, Some("fr_FR.UTF-8"), Language::Fr),
            (Some("fr"), Some("en_US"), Language::Fr),
            (Some("C"), Some("fr_FR"), Language::En),
            (Some(""), Some("fr_CA"), Language::Fr),
        ] {
            let env = |name: &str| match name {
                "LC_ALL" => all.map(str::to_owned),
                _ => lang.map(str::to_owned),
            };
            assert_eq!(Language::of(env), want, "{all:?} {lang:?}");
        }
    }
}
