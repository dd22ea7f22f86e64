//! The command line: parses, starts the reporter and the runtime, and turns what came of it into an
//! exit code.
//!
//! May depend on everything. One reason: process-wide things (signals, panics, the runtime, standard
//! streams) are set up in one place, so the library below has none of them.

pub mod args;
mod argument_specs;
mod duration;
mod evidence;
mod evidence_args;
mod evidence_diff;
mod inventory;
mod keys;
mod module;
mod pages;
mod password;
mod reference;
mod secrets;
mod sources;
mod status;
pub mod stop;
mod terminal;
mod usage;
pub mod wire;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use self::args::{Cli, Command, HostArgs, OutputArgs};
use self::evidence::Keep;
use self::evidence_args::{EvidenceArgs, EvidenceCommand};
use self::stop::Stop;
use self::wire::{RunOptions, Session, VerifyOptions};
use crate::error::{Exit, Problem, worst};
use crate::report::{Options, Reporter, Verbosity, print_data};
use crate::secrets::Masker;

/// Runs the program with its arguments, the first being its name, and returns the code to end with.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> Exit {
    let argv: Vec<OsString> = argv.into_iter().collect();
    if let Some(task) = module::asked(&argv) {
        return module::run(task);
    }
    match Cli::try_parse_from(&argv) {
        Ok(cli) => dispatch(cli),
        Err(error) if !error.use_stderr() => print_data(&error.render().to_string()),
        Err(error) => refuse(&argv, &error),
    }
}

/// Reports a usage error in the form that the arguments ask for.
fn refuse(argv: &[OsString], error: &clap::Error) -> Exit {
    let argv: Vec<String> = argv
        .iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let format = args::peek_format(argv.iter().map(String::as_str));
    let color = args::peek_color(argv.iter().map(String::as_str));
    let options = Options::detect(format, color, Verbosity::Normal);
    match Reporter::start(options, Masker::default()) {
        Ok(reporter) => reporter.finish(Exit::Usage, vec![usage::problem(error)]),
        Err(_) => Exit::Usage,
    }
}

fn dispatch(cli: Cli) -> Exit {
    match cli.command {
        Command::Completions { shell } => print_data(&pages::completions(shell)),
        Command::Man { command } => match pages::man(command.as_deref()) {
            Ok(page) => print_data(&page),
            Err(problem) => fail(&cli.output, vec![problem]),
        },
        Command::Reference => print_data(&reference::markdown()),
        Command::ArgumentSpecs => print_data(&argument_specs::yaml()),
        Command::Apply(args) => {
            let (after, keep) = (args.after.options(), args.evidence.keep("apply"));
            reach(&cli.output, args.hosts, Work::Apply(args.run, after), keep)
        }
        Command::Plan(args) => reach(&cli.output, args.hosts, Work::Plan(args.run), None),
        Command::Status(args) => reach(&cli.output, args.hosts, Work::Status, None),
        Command::Diagnose(args) => reach(&cli.output, args.hosts, Work::Diagnose, None),
        Command::Verify(args) => {
            let work = Work::Verify(args.checks.options());
            reach(&cli.output, args.hosts, work, args.evidence.keep("verify"))
        }
        Command::Evidence(EvidenceArgs {
            command: Some(EvidenceCommand::Diff(diff)),
            ..
        }) => match evidence_diff::run(&cli.output, &diff) {
            Ok(exit) => exit,
            Err(problems) => fail(&cli.output, problems),
        },
        Command::Evidence(args) => {
            let (keep, work) = (args.keep(), Work::Verify(args.options()));
            reach(&cli.output, args.hosts, work, Some(keep))
        }
        Command::Inventory(args) => inventory::show(&cli.output, &args),
        Command::Secrets(command) => match secrets::run(&cli.output, &command) {
            Ok(exit) => exit,
            Err(problems) => fail(&cli.output, problems),
        },
    }
}

fn fail(output: &OutputArgs, problems: Vec<Problem>) -> Exit {
    let options = Options::detect(output.output, output.color, output.verbosity());
    let exit = worst(&problems);
    match Reporter::start(options, Masker::default()) {
        Ok(reporter) => reporter.finish(exit, problems),
        Err(_) => exit,
    }
}

/// What is done on hosts.
enum Work {
    /// And verify, if that is wanted.
    Apply(args::RunArgs, Option<VerifyOptions>),
    Plan(args::RunArgs),
    Status,
    Diagnose,
    Verify(VerifyOptions),
}

/// How a run that converges is reported, and how it goes.
fn run_options(options: &mut Options, run: &args::RunArgs, plan: bool) -> RunOptions {
    options.check = run.check || plan;
    options.diff = (run.diff || plan) && !run.no_diff;
    options.json_diff = !run.no_diff;
    RunOptions {
        check: options.check,
        detailed_exitcode: run.detailed_exitcode,
        wait: run.wait_timeout,
        deep: run.deep,
        verify: None,
    }
}

/// The commands that reach hosts.
fn reach(output: &OutputArgs, hosts: HostArgs, work: Work, keep: Option<Keep>) -> Exit {
    let mut options = Options::detect(output.output, output.color, output.verbosity());
    let run = match &work {
        Work::Apply(run, after) => Some(RunOptions {
            verify: after.clone(),
            ..run_options(&mut options, run, false)
        }),
        Work::Plan(run) => Some(run_options(&mut options, run, true)),
        Work::Status | Work::Diagnose | Work::Verify(_) => None,
    };
    let verbosity = options.verbosity;
    let Ok(reporter) = start(options) else {
        return Exit::Unforeseen;
    };
    if verbosity >= Verbosity::Trace {
        trace(&reporter, output.verbose);
    }
    let found = sources::options(&hosts.sources).and_then(|(options, config)| {
        let password = password::become_password(&hosts, &config).map_err(|p| vec![p])?;
        Ok((options, password))
    });
    let (settings, become_password) = match found {
        Ok(found) => found,
        Err(problems) => return reporter.finish(worst(&problems), problems),
    };
    let key_passphrase = match password::key_passphrase(&hosts) {
        Ok(passphrase) => passphrase,
        Err(problem) => return reporter.finish(problem.exit, vec![problem]),
    };
    reporter.learn(Masker::new(become_password.iter().chain(&key_passphrase)));
    let stop = Stop::default();
    let person = terminal::person(hosts.sources.no_input, &reporter, &stop);
    let session = Session {
        hosts,
        settings,
        become_password,
        key_passphrase,
        person,
        reporter: reporter.clone(),
        stop: stop.clone(),
        keep,
    };
    let result = in_runtime(&stop, &reporter, async {
        match (&run, &work) {
            (Some(options), _) => wire::apply(&session, options).await,
            (None, Work::Verify(options)) => wire::verify(&session, options).await,
            (None, Work::Diagnose) => wire::diagnose(&session).await,
            (None, _) => wire::status(&session).await,
        }
    });
    end(&reporter, &stop, result)
}

/// A reporter that panics are told to as well.
fn start(options: Options) -> std::io::Result<Arc<Reporter>> {
    let reporter = Reporter::start(options, Masker::default())?;
    report_panics(reporter.clone());
    Ok(reporter)
}

fn end(reporter: &Reporter, stop: &Stop, result: Result<Exit, Vec<Problem>>) -> Exit {
    match result {
        Ok(exit) => {
            // The engine knows that it was asked to stop, not by which signal.
            let exit = match (exit, stop.requested()) {
                (Exit::Interrupted, Some(exit)) => exit,
                (exit, _) => exit,
            };
            reporter.finish(exit, Vec::new())
        }
        Err(problems) => {
            // What fails because the run was asked to stop is not what it ends with.
            let exit = stop.requested().unwrap_or_else(|| worst(&problems));
            reporter.finish(exit, problems)
        }
    }
}

fn in_runtime(
    stop: &Stop,
    reporter: &Arc<Reporter>,
    work: impl Future<Output = Result<Exit, Vec<Problem>>>,
) -> Result<Exit, Vec<Problem>> {
    let unforeseen = |error: std::io::Error| {
        vec![
            Problem::new("runtime", Exit::Unforeseen, "the runtime cannot be started")
                .because(error.to_string()),
        ]
    };
    // Two threads: signals are heard while the other one unpacks or hashes; more would cost memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(unforeseen)?;
    let result = runtime.block_on(async {
        stop::listen(stop.clone(), reporter.clone()).map_err(unforeseen)?;
        work.await
    });
    // A blocking task that hangs (a name that does not resolve) must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// A panic anywhere is one clear message and exit code 1, in JSON also the object: the run cannot be
/// trusted any more, and the next one is made to go on from any state.
fn report_panics(reporter: Arc<Reporter>) {
    std::panic::set_hook(Box::new(move |info| {
        let message = info
            .payload()
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let place = info
            .location()
            .map_or_else(|| "unknown place".to_owned(), ToString::to_string);
        end_after_panic(
            &reporter,
            Problem::new("bug.panic", Exit::Unforeseen, "monopg has a bug and ended")
                .because(message)
                .because(format!("at {place}"))
                .hint("run again: the next run goes on from whatever state the hosts are in; please report it"),
        );
    }));
}

#[expect(
    clippy::exit,
    reason = "after a panic nothing else can be relied upon to end the process with 1"
)]
fn end_after_panic(reporter: &Reporter, problem: Problem) {
    reporter.abort(Exit::Unforeseen, problem);
    std::process::exit(i32::from(Exit::Unforeseen.code()));
}

/// `-vvv`. The SSH library stays at `info`: below that it dumps packets, and those hold passwords.
fn trace(reporter: &Arc<Reporter>, verbose: u8) {
    let own = if verbose > 3 { "trace" } else { "debug" };
    let filter = EnvFilter::new(format!(
        "info,monopg={own},russh=info,hyper=info,reqwest=info"
    ));
    let trace = reporter.trace();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || trace.clone())
        .finish();
    // Fails only if there is one already, as in tests.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// The definition of the command line, for pages made from it.
fn definition() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

#[cfg(test)]
mod tests;
