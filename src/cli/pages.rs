//! Completions and manual pages, from the definition of the command line.
//!
//! May depend on `args`. One reason: what is made from the definition cannot disagree with it.

use clap::CommandFactory as _;

use super::args::Cli;
use crate::error::{Exit, Problem};

/// A shell's completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "monopg", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The manual page of the program or of a command.
pub(super) fn man(command: Option<&str>) -> Result<String, Problem> {
    let root = super::definition();
    let page = match command {
        None => root,
        Some(name) => {
            let Some(found) = root.find_subcommand(name) else {
                return Err(Problem::new(
                    "usage",
                    Exit::Usage,
                    format!("there is no command `{name}`"),
                )
                .hint("monopg --help lists them"));
            };
            found.clone().display_name(format!("monopg-{name}"))
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(page).render(&mut out).map_err(|e| {
        Problem::new("man", Exit::Unforeseen, "the page could not be made").because(e.to_string())
    })?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_knows_the_flags() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = completions(shell);
            for word in ["apply", "plan", "status", "wait-timeout"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn pages_have_their_names_and_flags() {
        let page = man(None).unwrap();
        assert!(page.contains(".TH monopg 1") && page.contains("apply"));
        let page = man(Some("apply")).unwrap();
        assert!(page.contains("monopg\\-apply") && page.contains("wait\\-timeout"));
        assert_eq!(man(Some("aply")).unwrap_err().exit, Exit::Usage);
    }
}
