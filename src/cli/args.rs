//! The command line, as clap sees it; help, completions, man page and reference come from it.
//!
//! May depend on `report`'s enums. One reason: flags have one home, named as Ansible names them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::duration;
use super::evidence_args::{EvidenceArgs, KeepArgs};
use super::wire::VerifyOptions;
use crate::report::{Color, Format, Verbosity};
use crate::verify::Level;
use crate::verify::persistence::Restart;

/// Brings one PostgreSQL on one mono-node k3s host to a declared state over SSH, and proves it.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "monopg",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    long_about = "Brings one PostgreSQL on one mono-node k3s host to a declared state over SSH, and proves that it is there.\n\nWhat shall be there are the monopg_* variables of an Ansible inventory. Results go to standard output, everything for people to standard error."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Bring the hosts to the declared state; a second run finds nothing to do
    Apply(ApplyArgs),
    /// Say what apply would change, and change nothing (apply --check --diff)
    Plan(PlanArgs),
    /// Show what is there: release, pod, volume, versions, last run; read-only
    Status(StatusArgs),
    /// Say why the database is not there, or cannot be reached: the chain of causes, and what to type; read-only
    Diagnose(DiagnoseArgs),
    /// Prove that the database is as declared, reachable by whom it shall be, and by nobody else
    Verify(VerifyArgs),
    /// Keep what proves the state of the hosts: collects and runs verify --static; ends as verify does
    Evidence(EvidenceArgs),
    /// Show what the inventory says, of which file each value is and why it won; connects to nothing
    Inventory(InventoryArgs),
    /// Look at encrypted files, and for clear-text credentials where encrypted ones belong
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Print a shell's completions to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page to standard output, in roff: monopg man | man -l -
    Man {
        /// The command whose page is wanted; none = the program's
        command: Option<String>,
    },
    /// Print the reference page to standard output, in Markdown
    #[command(hide = true)]
    Reference,
    /// Print the argument specification of the Ansible role to standard output, in YAML
    #[command(hide = true)]
    ArgumentSpecs,
}

/// How to report; before or after the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Form of the report; without it human on a terminal and plain elsewhere
    #[arg(short, long, global = true, value_enum, value_name = "FORM")]
    pub output: Option<Format>,
    /// Say more: -v verdicts and differences, -vv output of commands, -vvv a trace
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to colour
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub color: Color,
}

impl OutputArgs {
    /// How much to say.
    pub fn verbosity(&self) -> Verbosity {
        Verbosity::from_flags(self.quiet, self.verbose)
    }
}

/// Which hosts, and where their variables stand.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Inventory")]
pub struct SourceArgs {
    /// Inventory file or folder; may be repeated, later ones win. Without it the one that ansible.cfg
    /// or ANSIBLE_INVENTORY names
    #[arg(short, long, value_name = "PATH")]
    pub inventory: Vec<PathBuf>,
    /// Only these hosts or groups, as Ansible's pattern
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Variable that wins over the inventory: KEY=VALUE, or @FILE (YAML or JSON); may be repeated
    #[arg(short, long = "extra-vars", value_name = "KEY=VALUE|@FILE")]
    pub extra_vars: Vec<String>,
    /// Folder of the playbooks, whose group_vars and host_vars Ansible would read too
    #[arg(long, value_name = "DIR")]
    pub playbook_dir: Option<PathBuf>,
    /// Who reads the inventory; ansible runs the installed ansible-inventory, for programs and plugins
    #[arg(long, value_enum, value_name = "READER", default_value = "files")]
    pub inventory_from: InventoryFrom,
    /// Never ask anything
    #[arg(long)]
    pub no_input: bool,
    /// What opens encrypted files.
    #[command(flatten)]
    pub keys: KeyArgs,
}

/// Who reads the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InventoryFrom {
    /// monopg itself.
    Files,
    /// The installed `ansible-inventory`.
    Ansible,
}

/// Which hosts, and how to reach them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hosts and connection")]
pub struct HostArgs {
    /// Which hosts, and where their variables stand.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Hosts that are worked on side by side
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub forks: u16,
    /// Login, unless the inventory names one
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// Private key file, unless the inventory names one
    #[arg(long, alias = "key-file", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Read the private key's passphrase from the first line of a file; the inventory's
    /// monopg_key_passphrase wins, MONOPG_KEY_PASSPHRASE is the passphrase itself
    #[arg(
        long,
        value_name = "FILE",
        env = "MONOPG_KEY_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    pub key_passphrase_file: Option<PathBuf>,
    /// Become root with sudo even if the inventory says no; a login other than root does so anyway
    #[arg(short, long = "become")]
    pub become_root: bool,
    /// Ask for sudo's password on the terminal
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// Read sudo's password from the first line of a file; -K wins
    #[arg(
        long,
        alias = "become-pass-file",
        value_name = "FILE",
        env = "MONOPG_BECOME_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub become_password_file: Option<PathBuf>,
    /// Seconds that connecting and authenticating may take; the inventory's ansible_ssh_timeout or 10
    /// without it
    #[arg(short = 'T', long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
}

/// Passwords of Ansible Vault, named as Ansible names them; SOPS' keys come from its own environment.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Encrypted files")]
pub struct KeyArgs {
    /// File with the Vault password, or a program that prints it; may be repeated
    #[arg(long, alias = "vault-pass-file", value_name = "FILE")]
    pub vault_password_file: Vec<String>,
    /// Vault password by its label: LABEL@FILE or LABEL@prompt, or either without label; may be repeated
    #[arg(long, value_name = "[LABEL@]SOURCE")]
    pub vault_id: Vec<String>,
    /// Ask for the Vault password on the terminal
    #[arg(
        short = 'J',
        long,
        alias = "ask-vault-password",
        conflicts_with = "vault_password_file"
    )]
    pub ask_vault_pass: bool,
}

/// `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// What to do with them.
    #[command(flatten)]
    pub run: RunArgs,
    /// What is checked afterwards.
    #[command(flatten)]
    pub after: AfterArgs,
    /// What is kept of it.
    #[command(flatten)]
    pub evidence: KeepArgs,
}

/// `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// What would be done with them.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The checks after `apply`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Checks")]
pub struct AfterArgs {
    /// Not of plan: verify afterwards, over the same connection; a check that fails ends the run with 43
    #[arg(long, conflicts_with = "check")]
    pub verify: bool,
    /// With --verify: leave a check out. May be repeated
    #[arg(long, value_name = "ID", requires = "verify", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(crate::verify::IDS))]
    pub skip: Vec<String>,
}

impl AfterArgs {
    /// As the checks take them, if they are wanted.
    pub(super) fn options(&self) -> Option<VerifyOptions> {
        self.verify.then(|| VerifyOptions {
            level: Level::Probe,
            restart: Restart::Pod,
            skip: self.skip.clone(),
        })
    }
}

/// What a run does.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// Change nothing, say what would be changed
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show before and after of each change
    #[arg(short = 'D', long, overrides_with = "no_diff")]
    pub diff: bool,
    /// Do not show before and after, nor put them into the JSON object
    #[arg(long, overrides_with = "diff")]
    pub no_diff: bool,
    /// A check that finds changes ends with 5 instead of 0
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// How long the database may take to become ready, as 10m, 90s or 300 (seconds)
    #[arg(long, value_name = "TIME", default_value = duration::DEFAULT, value_parser = duration::parse)]
    pub wait_timeout: Duration,
    /// Compare files on the node by their full digest, not by size and times
    #[arg(long)]
    pub deep: bool,
    /// Accepted and without meaning: apply never asks for confirmation
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
}

/// `diagnose`.
#[derive(Debug, Clone, Args)]
pub struct DiagnoseArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// What is checked.
    #[command(flatten)]
    pub checks: CheckingArgs,
    /// What is kept of it.
    #[command(flatten)]
    pub evidence: KeepArgs,
}

/// How far the checks go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Checks")]
pub struct CheckingArgs {
    /// Only read: no lock, no login, no probe pod
    #[arg(long = "static")]
    pub only_static: bool,
    /// Also restart the database's pod, and with =node k3s and the node as well, to see that what was committed stays
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "pod",
        conflicts_with = "only_static"
    )]
    pub disruptive: Option<Restart>,
    /// Leave a check out; it then does not fail the verdict. May be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(crate::verify::IDS))]
    pub skip: Vec<String>,
}

impl CheckingArgs {
    /// As the checks take them.
    pub(super) fn options(&self) -> VerifyOptions {
        VerifyOptions {
            level: match (self.only_static, self.disruptive) {
                (true, _) => Level::Static,
                (false, None) => Level::Probe,
                (false, Some(_)) => Level::Disruptive,
            },
            restart: self.disruptive.unwrap_or(Restart::Pod),
            skip: self.skip.clone(),
        }
    }
}

/// `inventory`.
#[derive(Debug, Clone, Args)]
pub struct InventoryArgs {
    /// Which hosts.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// What to show.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// What of the inventory is shown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Show")]
pub struct ShowArgs {
    /// Only the variables of this host
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Only this variable, with every value that lost and why
    #[arg(long, value_name = "VARIABLE")]
    pub explain: Option<String>,
    /// Show secrets in clear
    #[arg(long)]
    pub show_secrets: bool,
}

/// `secrets`.
#[derive(Debug, Clone, Subcommand)]
pub enum SecretsCommand {
    /// Print what a file of Ansible Vault or SOPS holds, as ansible-vault view and sops decrypt do
    View(ViewArgs),
    /// Find clear-text credentials where encrypted ones belong, in all files that apply reads
    Check(CheckArgs),
}

/// `secrets view`.
#[derive(Debug, Clone, Args)]
pub struct ViewArgs {
    /// The encrypted file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What opens it.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// Never ask anything
    #[arg(long)]
    pub no_input: bool,
}

/// `secrets check`. It needs no key.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Which inventory.
    #[command(flatten)]
    pub sources: SourceArgs,
}

/// The form that the arguments ask for, found without parsing them: also a usage error has to be
/// reported in it.
pub(super) fn peek_format<'a>(argv: impl IntoIterator<Item = &'a str>) -> Option<Format> {
    use clap::ValueEnum as _;
    let mut found = None;
    let mut argv = argv.into_iter().skip(1);
    while let Some(arg) = argv.next() {
        if arg == "--" {
            break;
        }
        let value = if arg == "--output" {
            argv.next()
        } else if let Some(value) = arg.strip_prefix("--output=") {
            Some(value)
        } else if let Some(cluster) = arg.strip_prefix('-').filter(|c| !c.starts_with('-')) {
            // -vo json: flags without a value may stand before.
            match cluster.trim_start_matches(['v', 'q', 'b', 'C', 'D', 'K', 'J', 'y']) {
                "o" => argv.next(),
                rest => rest
                    .strip_prefix('o')
                    .map(|v| v.strip_prefix('=').unwrap_or(v)),
            }
        } else {
            None
        };
        if let Some(format) = value.and_then(|v| Format::from_str(v, false).ok()) {
            found = Some(format);
        }
    }
    found
}

/// `--color`, found in the same way.
pub(super) fn peek_color<'a>(argv: impl IntoIterator<Item = &'a str>) -> Color {
    use clap::ValueEnum as _;
    let mut found = Color::Auto;
    let mut argv = argv.into_iter().skip(1);
    while let Some(arg) = argv.next().filter(|a| *a != "--") {
        let value = match arg {
            "--color" => argv.next(),
            _ => arg.strip_prefix("--color="),
        };
        if let Some(color) = value.and_then(|v| Color::from_str(v, false).ok()) {
            found = color;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_form_is_found_wherever_it_stands() {
        let table: &[(&[&str], Option<Format>)] = &[
            (&["monopg", "apply"], None),
            (&["monopg", "apply", "--output", "json"], Some(Format::Json)),
            (&["monopg", "--output=json", "aply"], Some(Format::Json)),
            (&["monopg", "--wat", "-o", "jsonl"], Some(Format::Jsonl)),
            (&["monopg", "-ojson", "--wat"], Some(Format::Json)),
            (&["monopg", "-vo=json", "--wat"], Some(Format::Json)),
            (&["monopg", "-vvDo", "json"], Some(Format::Json)),
            (&["monopg", "-o", "xml"], None),
            (&["monopg", "apply", "--", "-o", "json"], None),
            (&["monopg", "-i", "hosts.yml", "-o"], None),
        ];
        for (argv, want) in table {
            assert_eq!(peek_format(argv.iter().copied()), *want, "{argv:?}");
        }
    }

    #[test]
    fn the_colour_too() {
        for (argv, want) in [
            (&["monopg", "--wat"][..], Color::Auto),
            (&["monopg", "--color", "never", "--wat"], Color::Never),
            (&["monopg", "--wat", "--color=always"], Color::Always),
            (&["monopg", "--", "--color=always"], Color::Auto),
        ] {
            assert_eq!(peek_color(argv.iter().copied()), want, "{argv:?}");
        }
    }

    #[test]
    fn flags_as_ansible_has_them() {
        let cli = Cli::try_parse_from([
            "monopg",
            "apply",
            "-i",
            "a.yml",
            "-i",
            "b",
            "-l",
            "db",
            "-e",
            "k=v",
            "-e",
            "@f.yml",
            "-C",
            "-D",
            "-f",
            "3",
            "-u",
            "ops",
            "--private-key",
            "id",
            "-b",
            "-vv",
            "-T",
            "4",
            "--wait-timeout",
            "1m30s",
            "--no-input",
            "--yes",
            "--deep",
            "-o",
            "json",
            "--detailed-exitcode",
            "--color",
            "never",
        ])
        .unwrap();
        let Command::Apply(a) = &cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(a.hosts.sources.inventory.len(), 2);
        assert_eq!(a.hosts.sources.extra_vars, ["k=v", "@f.yml"]);
        assert_eq!((a.hosts.forks, a.hosts.timeout), (3, Some(4)));
        assert!(a.run.check && a.run.diff && a.run.deep && a.run.detailed_exitcode);
        assert_eq!(a.run.wait_timeout, Duration::from_secs(90));
        assert_eq!(cli.output.verbosity(), Verbosity::Output);
        assert_eq!(cli.output.output, Some(Format::Json));
    }

    #[test]
    fn how_far_the_checks_go() {
        let options = |flags: &[&str]| {
            let argv = ["monopg", "verify"].iter().chain(flags);
            match Cli::try_parse_from(argv).map(|c| c.command) {
                Ok(Command::Verify(v)) => {
                    let o = v.checks.options();
                    Some((o.level, o.restart, o.skip))
                }
                _ => None,
            }
        };
        let none = Vec::new;
        assert_eq!(options(&[]), Some((Level::Probe, Restart::Pod, none())));
        assert_eq!(
            options(&["--static", "--skip", "images,metrics", "--skip=storage"]),
            Some((
                Level::Static,
                Restart::Pod,
                vec!["images".into(), "metrics".into(), "storage".into()]
            ))
        );
        assert_eq!(
            options(&["--disruptive"]),
            Some((Level::Disruptive, Restart::Pod, none()))
        );
        assert_eq!(
            options(&["--disruptive=node"]),
            Some((Level::Disruptive, Restart::Node, none()))
        );
        for wrong in [
            &["--disruptive", "--static"][..],
            &["--disruptive", "node"],
            &["--disruptive=k3s"],
            &["--skip", "everything"],
        ] {
            assert_eq!(options(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn checks_after_apply() {
        let skipped = |argv: &[&str]| {
            let argv = ["monopg"].iter().chain(argv);
            match Cli::try_parse_from(argv).map(|c| c.command) {
                Ok(Command::Apply(a)) => Some(a.after.options().map(|o| (o.level, o.skip))),
                _ => None,
            }
        };
        assert_eq!(skipped(&["apply"]), Some(None));
        let images = vec!["images".to_owned()];
        assert_eq!(
            skipped(&["apply", "--verify", "--skip", "images"]),
            Some(Some((Level::Probe, images)))
        );
        for wrong in [
            &["apply", "--verify", "--check"][..],
            &["apply", "--skip", "images"],
            &["plan", "--verify"],
        ] {
            assert_eq!(skipped(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_last_of_diff_and_no_diff_wins() {
        let run = |flags: &[&str]| {
            let argv = ["monopg", "apply"].iter().chain(flags);
            match Cli::try_parse_from(argv).unwrap().command {
                Command::Apply(a) => (a.run.diff, a.run.no_diff),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(run(&["--diff", "--no-diff"]), (false, true));
        assert_eq!(run(&["--no-diff", "--diff"]), (true, false));
    }
}
