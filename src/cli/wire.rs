//! Where the command line meets settings, steps and engine.
//!
//! May depend on everything below. One reason: what a command does is read here from top to bottom.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use ulid::Ulid;

use super::args::{HostArgs, SourceArgs};
use super::evidence::{self, Keep, Keeping};
use super::stop::Stop;
use crate::artifacts::cache::Cache;
use crate::cluster::values;
use crate::diagnose;
use crate::engine;
use crate::engine::emit::Emitter;
use crate::engine::event::{HostResult, Kind, Sink};
use crate::error::{Exit, Problem};
use crate::evidence::record::Watched;
use crate::host::Host;
use crate::host::endpoint::Endpoint;
use crate::host::lasting::Lasting;
use crate::host::person::Person;
use crate::report::Reporter;
use crate::secrets::{Masker, Secret};
use crate::settings::{self, HostSettings, Resolved, SettingsErrors, Spec};
use crate::steps;
use crate::verify::persistence::Restart;
use crate::verify::{self, Level};

/// What a run shall do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Change nothing.
    pub check: bool,
    /// A check that finds changes ends with 5.
    pub detailed_exitcode: bool,
    /// How long to wait for readiness.
    pub wait: Duration,
    /// Compare files on the node by their full digest.
    pub deep: bool,
    /// What to check when the host is as declared.
    pub verify: Option<VerifyOptions>,
}

impl RunOptions {
    /// The code that a run over hosts ends with; `codes` are the hosts' own.
    pub fn exit(&self, changed: bool, codes: impl IntoIterator<Item = Exit>) -> Exit {
        match Exit::of_hosts(codes) {
            Exit::Done if self.check && self.detailed_exitcode && changed => Exit::ChangesFound,
            exit => exit,
        }
    }
}

/// What `verify` shall look at.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// How far it goes.
    pub level: Level,
    /// What is restarted at the disruptive level.
    pub restart: Restart,
    /// Ids of checks that are left out.
    pub skip: Vec<String>,
}

/// What every command that reaches hosts is given.
pub struct Session {
    /// Which hosts, and how to reach them.
    pub hosts: HostArgs,
    /// The inventory and its keys, as flags and Ansible's configuration say.
    pub settings: settings::Options,
    /// sudo's password from `-K` or a file; a variable of the inventory wins, as Ansible has it.
    pub become_password: Option<Secret>,
    /// The private key's passphrase from a file; a variable wins here too.
    pub key_passphrase: Option<Secret>,
    /// Who is asked about host keys and passphrases, if somebody can be.
    pub person: Arc<Person>,
    /// Takes the events (`engine::event::Sink`); tell it every secret with [`Reporter::learn`]
    /// before anything that may hold one.
    pub reporter: Arc<Reporter>,
    /// Whether to stop.
    pub stop: Stop,
    /// Where the evidence of the run shall be kept, if it shall.
    pub keep: Option<Keep>,
}

/// `apply` and `plan`. Events carry all that happens on hosts; an `Err` is for what ends the run as a
/// whole, as wrong settings: all of them at once.
pub async fn apply(session: &Session, options: &RunOptions) -> Result<Exit, Vec<Problem>> {
    let run = Run::begin(session, options.check)?;
    Ok(converge(&run, &session.person, &session.stop, options).await)
}

/// The same for hosts whose settings came another way than from the command line; with `settings` the
/// reporter learns what it must not tell.
pub async fn apply_to(
    settings: Result<Resolved, SettingsErrors>,
    reporter: &Arc<Reporter>,
    stop: &Stop,
    options: &RunOptions,
) -> Result<Exit, Vec<Problem>> {
    let resolved = settings.map_err(|errors| errors.as_problems())?;
    let run = Run::of(resolved, reporter, 1, Vec::new(), options.check, None);
    let nobody = Person::nobody("a task of Ansible has no terminal");
    Ok(converge(&run, &nobody, stop, options).await)
}

async fn converge(run: &Run, person: &Arc<Person>, stop: &Stop, options: &RunOptions) -> Exit {
    let cache = Cache::from_env(|name| std::env::var_os(name));
    let holder = (!options.check).then(|| run.holder());
    let results = run
        .each(|host| {
            let engine = engine::run::Options {
                check: options.check,
                wait: options.wait,
                run_id: run.id.clone(),
                holder: holder.clone(),
                cancel: stop.token(),
            };
            let steps = steps::all(&host.spec, &cache, options.deep);
            let emitter = run.emitter.host(&host.name);
            async move {
                let work = async |channel: &dyn Host| {
                    let (applied, _) =
                        engine::run::converge(channel, &steps, &engine, &emitter).await;
                    match &options.verify {
                        Some(wanted) if !applied.failed => {
                            match checks(run, host, wanted, stop, true).await {
                                Ok(checks) => {
                                    verify::run::verify_after(
                                        channel, &host.spec, &checks, &emitter, applied,
                                    )
                                    .await
                                }
                                Err(failed) => HostResult {
                                    changed: applied.changed,
                                    diff: applied.diff,
                                    steps: applied.steps,
                                    ..failed
                                },
                            }
                        }
                        _ => applied,
                    }
                };
                let mut result = match reach(host, person, stop).await {
                    Ok(channel) => run.kept(host, &channel, stop, work).await,
                    Err(result) => result,
                };
                result.facts = Some(facts(&host.spec));
                run.point_to_diagnose(&host.name, &mut result);
                result
            }
        })
        .await;
    let changed = results.iter().any(|r| r.changed);
    let codes = results
        .iter()
        .map(|r| Exit::from_code(r.exit).unwrap_or(Exit::Unforeseen));
    run.end(changed, options.exit(changed, codes))
}

/// `status`: emits `Kind::HostStatus` for each host.
pub async fn status(session: &Session) -> Result<Exit, Vec<Problem>> {
    let run = Run::begin(session, true)?;
    let results = run
        .each(|host| {
            let emitter = run.emitter.host(&host.name);
            async move {
                let mut result = HostResult::default();
                match reach(host, &session.person, &session.stop).await {
                    Ok(channel) => match super::status::read(&channel, &host.spec).await {
                        Ok(status) => emitter.emit(Kind::HostStatus { status }),
                        Err(problem) => result = engine::run::failed(vec![problem]),
                    },
                    Err(failed) => result = failed,
                }
                result
            }
        })
        .await;
    let codes = results
        .iter()
        .map(|r| Exit::from_code(r.exit).unwrap_or(Exit::Unforeseen));
    Ok(run.end(false, Exit::of_hosts(codes)))
}

/// `diagnose`: emits `Kind::HostDiagnosis` for each host.
pub async fn diagnose(session: &Session) -> Result<Exit, Vec<Problem>> {
    let run = Run::begin(session, true)?;
    let results = run
        .each(|host| {
            let emitter = run.emitter.host(&host.name);
            async move {
                let channel = match reach(host, &session.person, &session.stop).await {
                    Ok(channel) => channel,
                    Err(failed) => return failed,
                };
                let token = session.stop.token();
                tokio::select! {
                    biased;
                    () = token.cancelled() => engine::run::interrupted(),
                    result = diagnose::diagnose(&channel, &host.spec, &emitter) => result,
                }
            }
        })
        .await;
    let codes = results
        .iter()
        .map(|r| Exit::from_code(r.exit).unwrap_or(Exit::Unforeseen));
    Ok(run.end(false, Exit::of_hosts(codes)))
}

/// `verify`: emits `Kind::CheckFinished` for each check of each host.
pub async fn verify(session: &Session, options: &VerifyOptions) -> Result<Exit, Vec<Problem>> {
    let run = Run::begin(session, true)?;
    let results = run
        .each(|host| {
            let emitter = run.emitter.host(&host.name);
            let run = &run;
            async move {
                let checks = match checks(run, host, options, &session.stop, false).await {
                    Ok(checks) => checks,
                    Err(failed) => return failed,
                };
                let work = async |channel: &dyn Host| {
                    verify::run::verify(channel, &host.spec, &checks, &emitter).await
                };
                match reach(host, &session.person, &session.stop).await {
                    Ok(channel) => run.kept(host, &channel, &session.stop, work).await,
                    Err(failed) => failed,
                }
            }
        })
        .await;
    let codes = results
        .iter()
        .map(|r| Exit::from_code(r.exit).unwrap_or(Exit::Unforeseen));
    Ok(run.end(false, Exit::of_hosts(codes)))
}

/// What is checked on a host; what came of it if its way cannot be told. `locked`: the channel holds the lock already.
async fn checks(
    run: &Run,
    host: &HostSettings,
    options: &VerifyOptions,
    stop: &Stop,
    locked: bool,
) -> Result<verify::run::Options, HostResult> {
    let endpoint = Endpoint::of(&host.name, &host.connection)
        .await
        .map_err(|error| engine::run::failure(&error))?;
    Ok(verify::run::Options {
        level: options.level,
        restart: options.restart,
        skip: options.skip.clone(),
        run_id: run.id.to_lowercase(),
        holder: run.holder(),
        locked,
        endpoint,
        cancel: stop.token(),
    })
}

/// The channel to a host; what came of it otherwise. A run that is to stop does not wait for a host or a person.
async fn reach(
    host: &HostSettings,
    person: &Arc<Person>,
    stop: &Stop,
) -> Result<Lasting, HostResult> {
    let opened = Lasting::open(&host.name, &host.connection, person);
    let token = stop.token();
    let opened = tokio::select! {
        biased;
        () = token.cancelled() => return Err(engine::run::interrupted()),
        opened = opened => opened,
    };
    opened.map_err(|error| match token.is_cancelled() {
        // The answer to a question did not come because of it.
        true => engine::run::interrupted(),
        false => engine::run::failure(&error),
    })
}

/// One run over the hosts that are meant.
struct Run {
    id: String,
    hosts: Vec<HostSettings>,
    forks: usize,
    emitter: Arc<Emitter>,
    /// How to ask for a diagnosis of these hosts, up to `-l`.
    diagnose: String,
    check: bool,
    /// Secrets beside the hosts'.
    given: Vec<Secret>,
    keeping: Option<Keeping>,
}

impl Run {
    /// Settles the settings of all hosts, or says all that is wrong with them.
    fn begin(session: &Session, check: bool) -> Result<Self, Vec<Problem>> {
        let args = &session.hosts;
        let mut options = session.settings.clone();
        options.user = args.user.clone();
        options.become_root = args.become_root;
        options.become_password = session.become_password.clone();
        options.key_passphrase = session.key_passphrase.clone();
        options.private_key = args.private_key.clone();
        options.timeout = args.timeout.map(Duration::from_secs);
        let resolved = settings::resolve(&options).map_err(|errors| errors.as_problems())?;
        let given: Vec<Secret> = session
            .become_password
            .iter()
            .chain(&session.key_passphrase)
            .cloned()
            .collect();
        let keeping = match &session.keep {
            None => None,
            Some(keep) => {
                keep.prepare().map_err(|p| vec![p])?;
                let to: Arc<dyn Sink> = session.reporter.clone();
                Some(Keeping::begin(keep.clone(), &options, to))
            }
        };
        let run = Self::of(
            resolved,
            &session.reporter,
            usize::from(args.forks),
            given,
            check,
            keeping,
        );
        Ok(Run {
            diagnose: diagnose_command(&args.sources),
            ..run
        })
    }

    /// A run over hosts that are settled; `given` are secrets beside theirs.
    fn of(
        resolved: Resolved,
        reporter: &Arc<Reporter>,
        forks: usize,
        given: Vec<Secret>,
        check: bool,
        keeping: Option<Keeping>,
    ) -> Self {
        let masker = Masker::new(resolved.hosts.iter().flat_map(secrets).chain(&given));
        reporter.learn(masker.clone());
        let sink: Arc<dyn Sink> = match &keeping {
            Some(keeping) => keeping.sink(),
            None => reporter.clone(),
        };
        let run = Run {
            id: Ulid::generate().to_string(),
            hosts: resolved.hosts,
            forks,
            emitter: Emitter::new(sink, masker),
            diagnose: "monopg diagnose -i INVENTORY".into(),
            check,
            given,
            keeping,
        };
        run.emitter.run(Kind::RunStarted {
            run_id: run.id.clone(),
            check,
            hosts: run.hosts.iter().map(|h| h.name.clone()).collect(),
        });
        for warning in resolved.warnings {
            run.emitter.run(Kind::Warning {
                problem: Problem::new("settings", Exit::Settings, warning),
            });
        }
        run
    }

    /// Works on the hosts side by side, as many as `--forks` allows; one that fails does not stop the others.
    async fn each<'a, F, W>(&'a self, work: F) -> Vec<HostResult>
    where
        F: Fn(&'a HostSettings) -> W,
        W: Future<Output = HostResult>,
    {
        futures::stream::iter(&self.hosts)
            .map(|host| {
                let work = work(host);
                async move {
                    let result = work.await;
                    self.emitter
                        .host(&host.name)
                        .emit(Kind::HostFinished(Box::new(result.clone())));
                    result
                }
            })
            .buffer_unordered(self.forks)
            .collect()
            .await
    }

    /// Whoever is told that the database is not ready is told where to read why.
    fn point_to_diagnose(&self, host: &str, result: &mut HostResult) {
        let not_ready = |p: &&mut Problem| p.exit == Exit::NotReady;
        if let Some(problem) = result.errors.iter_mut().rfind(not_ready) {
            problem.hints.push(format!(
                "all that is seen of it, at any later time: `{} -l {}`",
                self.diagnose,
                shell_words::quote(host)
            ));
        }
    }

    /// Works on a host, and asks it for the evidence afterwards if that is wanted, whatever the work came to.
    async fn kept<W>(
        &self,
        host: &HostSettings,
        channel: &Lasting,
        stop: &Stop,
        work: W,
    ) -> HostResult
    where
        W: AsyncFnOnce(&dyn Host) -> HostResult,
    {
        let Some(keeping) = &self.keeping else {
            return work(channel).await;
        };
        let watched = Watched::new(channel, keeping.began());
        let result = work(&watched).await;
        let interrupted = stop.requested().is_some();
        keeping.collect(host, &watched, interrupted).await;
        result
    }

    fn end(&self, changed: bool, exit: Exit) -> Exit {
        let exit = match &self.keeping {
            None => exit,
            Some(keeping) => {
                let (hosts, given) = (&self.hosts, &self.given);
                let write = || keeping.write(&self.id, self.check, hosts, given, &self.emitter);
                // It takes a while; signals are heard meanwhile.
                evidence::exit(exit, tokio::task::block_in_place(write))
            }
        };
        let failed = !matches!(exit, Exit::Done | Exit::ChangesFound);
        self.emitter.run(Kind::RunFinished {
            changed,
            failed,
            exit: exit.code(),
        });
        exit
    }

    /// Who we are, for another run that finds the lock taken.
    fn holder(&self) -> String {
        let user = std::env::var("USER")
            .or_else(|_| std::env::var("LOGNAME"))
            .unwrap_or_else(|_| "somebody".into());
        let machine = gethostname::gethostname();
        let since = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S %Z");
        format!(
            "{user}@{} (pid {}) since {since}, run {}",
            machine.to_string_lossy(),
            std::process::id(),
            self.id
        )
    }
}

/// `monopg diagnose` with the same inventory. What `-e` says may be a secret, so only files of it are repeated.
fn diagnose_command(sources: &SourceArgs) -> String {
    let mut command = String::from("monopg diagnose");
    for inventory in &sources.inventory {
        command.push_str(" -i ");
        command.push_str(&shell_words::quote(&inventory.to_string_lossy()));
    }
    for extra in &sources.extra_vars {
        match extra.starts_with('@') {
            true => command.push_str(&format!(" -e {}", shell_words::quote(extra))),
            false => command.push_str(" -e …"),
        }
    }
    command
}

/// Everything secret that a host's settings hold.
pub(super) fn secrets(host: &HostSettings) -> impl Iterator<Item = &Secret> {
    let connection = &host.connection;
    host.spec
        .credentials
        .values()
        .chain(&connection.password)
        .chain(&connection.key_passphrase)
        .chain(&connection.become_root.password)
}

/// What others need to use the database: where it is and where its credentials are, never what they are.
fn facts(spec: &Spec) -> serde_json::Value {
    let host = format!(
        "{}.{}.svc.cluster.local",
        values::service_name(&spec.release),
        spec.namespace
    );
    serde_json::json!({
        "release": spec.release,
        "namespace": spec.namespace,
        "chart_version": spec.chart.version,
        "host": host,
        "port": 5432,
        "database": spec.database,
        "username": spec.username.as_deref().unwrap_or("postgres"),
        "secret": {"namespace": spec.namespace, "name": values::secret_name(&spec.release), "keys": spec.credentials.keys().collect::<Vec<_>>()},
        "storage_path": spec.storage_path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_diagnosis_repeats_no_secret() {
        use clap::Parser as _;
        for (given, command) in [
            ("", "monopg diagnose"),
            (
                "-i hosts.yml -i more",
                "monopg diagnose -i hosts.yml -i more",
            ),
            (
                "-i hosts.yml -e @s.yml -e password=x",
                "monopg diagnose -i hosts.yml -e @s.yml -e …",
            ),
            ("-i my#hosts", "monopg diagnose -i 'my#hosts'"),
        ] {
            let argv = ["monopg", "diagnose"]
                .into_iter()
                .chain(given.split_whitespace());
            let cli = super::super::args::Cli::try_parse_from(argv).unwrap();
            let super::super::args::Command::Diagnose(args) = cli.command else {
                panic!("{given}")
            };
            assert_eq!(diagnose_command(&args.hosts.sources), command, "{given}");
        }
    }

    #[test]
    fn only_a_check_asked_in_detail_tells_of_changes() {
        let exit = |check, detailed_exitcode, changed, code| {
            RunOptions {
                check,
                detailed_exitcode,
                wait: Duration::from_secs(1),
                deep: false,
                verify: None,
            }
            .exit(changed, [Exit::Done, code])
        };
        assert_eq!(exit(true, true, true, Exit::Done), Exit::ChangesFound);
        assert_eq!(exit(true, true, false, Exit::Done), Exit::Done);
        assert_eq!(exit(true, false, true, Exit::Done), Exit::Done);
        assert_eq!(exit(false, true, true, Exit::Done), Exit::Done);
        assert_eq!(exit(true, true, true, Exit::Refused), Exit::Refused);
    }
}
