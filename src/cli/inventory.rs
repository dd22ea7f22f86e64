//! `monopg inventory`: what the inventory says, and why.
//!
//! May depend on `inventory`, `settings` (which variables are secret) and `report`. One reason: before a
//! run it can be seen, without Ansible and without a host, what the run will be given.

use std::fmt::Write as _;
use std::sync::Arc;

use super::args::{InventoryArgs, OutputArgs};
use super::sources;
use crate::engine::emit::Emitter;
use crate::engine::event::{Kind, Sink};
use crate::error::{Exit, Problem, worst};
use crate::inventory::shown::{Look, Shown};
use crate::inventory::{AnsibleConfig, Inventory, Var, Vars, connection, list};
use crate::report::{Format, Options, print_data};
use crate::secrets::Masker;
use crate::settings::table;

// Writing to a String cannot fail; the result of `write!` says nothing.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

/// The command. Its answer goes to standard output, remarks to standard error.
pub(super) fn show(output: &OutputArgs, args: &InventoryArgs) -> Exit {
    let mut report = Options::detect(output.output, output.color, output.verbosity());
    let mut warnings = Vec::new();
    let answer = answer(report.format, args, &mut warnings);
    if answer.is_ok() && matches!(report.format, Format::Json | Format::Jsonl) {
        // The one object is the inventory itself.
        report.format = if report.terminal {
            Format::Human
        } else {
            Format::Plain
        };
    }
    let Ok(reporter) = super::start(report) else {
        return Exit::Unforeseen;
    };
    let sink: Arc<dyn Sink> = reporter.clone();
    let emitter = Emitter::new(sink, Masker::default());
    for warning in warnings {
        let problem = Problem::new("inventory", Exit::Settings, warning);
        emitter.run(Kind::Warning { problem });
    }
    match answer {
        Ok(text) => match reporter.finish(Exit::Done, Vec::new()) {
            Exit::Done => print_data(&text),
            exit => exit,
        },
        Err(problems) => reporter.finish(worst(&problems), problems),
    }
}

/// True for a variable whose value is a secret wherever it was written.
fn is_secret(name: &str) -> bool {
    connection::is_password(name) || table::find(name).is_some_and(|setting| setting.secret)
}

fn answer(
    format: Format,
    args: &InventoryArgs,
    warnings: &mut Vec<String>,
) -> Result<String, Vec<Problem>> {
    if format == Format::Jsonl {
        let what = "there is no stream of an inventory";
        return Err(vec![
            Problem::new("usage", Exit::Usage, what).hint("--output json is the one object"),
        ]);
    }
    let (options, config) = sources::options(&args.sources)?;
    warnings.extend(config.warnings.iter().cloned());
    let mut request = options.request();
    request.explain.clone_from(&args.show.explain);
    let mut inventory = Inventory::load(&request).map_err(|faults| sources::problems(&faults))?;
    let limit = args.show.host.as_deref().or(options.limit.as_deref());
    let (hosts, remarks) = inventory
        .select(limit)
        .map_err(|fault| sources::problems(&[fault]))?;
    warnings.extend(remarks);
    one_host(args.show.host.as_deref(), &hosts)?;
    let look = Look {
        reveal: args.show.show_secrets,
        mark_unsafe: args.show.host.is_none() && args.show.explain.is_none(),
        secret: &is_secret,
    };
    let json = format == Format::Json;
    if let Some(name) = &args.show.explain {
        let explained = Explained::of(&mut inventory, name, &hosts, &look)?;
        warnings.extend(inventory.take_warnings());
        return Ok(if json {
            explained.json().pretty() + "\n"
        } else {
            explained.text()
        });
    }
    let text = match (&args.show.host, json) {
        (Some(_), true) => hosts
            .first()
            .map_or_else(
                || Ok(Shown::Map(std::collections::BTreeMap::new())),
                |host| list::host(&mut inventory, host, &look),
            )
            .map(|shown| shown.pretty() + "\n"),
        (None, true) => {
            list::list(&mut inventory, &hosts, &look).map(|shown| shown.pretty() + "\n")
        }
        (one, false) => {
            let mut out = String::new();
            if one.is_none() {
                heading(&mut out, &config, &options.cwd, &request.sources);
                groups(&mut out, &inventory);
            }
            host_sections(&mut out, &mut inventory, &hosts, &look).map(|()| out)
        }
    };
    let text = text.map_err(|faults| sources::problems(&faults))?;
    warnings.extend(inventory.take_warnings());
    Ok(text)
}

/// Where a variable of some hosts gets its value.
struct Explained<'a> {
    name: &'a str,
    look: &'a Look<'a>,
    /// Each host's values of it, strong to weak.
    hosts: Vec<(&'a str, Vec<Var>)>,
}

impl<'a> Explained<'a> {
    fn of(
        inventory: &mut Inventory,
        name: &'a str,
        hosts: &'a [String],
        look: &'a Look<'a>,
    ) -> Result<Self, Vec<Problem>> {
        let mut faults = Vec::new();
        let mut all = Vec::new();
        for host in hosts {
            let values = inventory.vars(host).and_then(|vars| {
                let mut values = inventory.definitions(host)?;
                values.reverse();
                // Two sources in one folder have the same files beside them.
                let mut known = Vec::new();
                values.retain(|var| {
                    let again = var.place.line().is_some() && known.contains(&var.place);
                    known.push(var.place.clone());
                    !again
                });
                // What the host has: with hash_behaviour=merge more than the last value says.
                if let (Some(first), Some(var)) = (values.first_mut(), vars.get(name)) {
                    *first = var.clone();
                }
                Ok(values)
            });
            match values {
                Ok(values) => all.push((host.as_str(), values)),
                Err(more) => faults.extend(more),
            }
        }
        if !faults.is_empty() {
            return Err(sources::problems(&faults));
        }
        if all.iter().all(|(_, values)| values.is_empty()) {
            let what = format!("{name} has no value for any of the {} hosts", hosts.len());
            let problem = Problem::new("inventory.variable", Exit::Settings, what)
                .hint("monopg inventory lists the variables that there are");
            return Err(vec![problem]);
        }
        Ok(Explained {
            name,
            look,
            hosts: all,
        })
    }

    fn json(&self) -> Shown {
        let entry = |var: &Var| {
            [
                ("value", self.look.var(self.name, var)),
                ("place", Shown::text(var.place.to_string())),
                ("rule", Shown::text(var.rule.to_string())),
            ]
        };
        let hosts = self.hosts.iter().map(|(host, values)| {
            let Some((winner, losers)) = values.split_first() else {
                return (*host, Shown::Literal("null".to_owned()));
            };
            let lost = losers.iter().map(|var| Shown::map(entry(var))).collect();
            let lost = ("lost", Shown::List(lost));
            (*host, Shown::map(entry(winner).into_iter().chain([lost])))
        });
        Shown::map([
            ("variable", Shown::text(self.name)),
            ("hosts", Shown::map(hosts)),
        ])
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (host, values) in &self.hosts {
            let Some((winner, losers)) = values.split_first() else {
                put!(out, "{host}: {} is not set", self.name);
                continue;
            };
            let value = |var: &Var| self.look.var(self.name, var).compact();
            put!(out, "{host}: {} = {}", self.name, value(winner));
            put!(out, "    {}: {}", winner.place, winner.rule);
            for loser in losers {
                put!(out, "  lost: {}", value(loser));
                put!(out, "    {}: {}", loser.place, loser.rule);
            }
        }
        out
    }
}

/// `--host` takes a pattern, as Ansible's, that means exactly one.
fn one_host(pattern: Option<&str>, hosts: &[String]) -> Result<(), Vec<Problem>> {
    match (pattern, hosts.len()) {
        (None, _) | (Some(_), 1) => Ok(()),
        (Some(pattern), n) => {
            let what = format!("--host {pattern} means {n} hosts, not one");
            let problem = Problem::new("inventory.host", Exit::Settings, what)
                .hint("name one host, or take --limit");
            Err(vec![problem])
        }
    }
}

fn heading(out: &mut String, config: &AnsibleConfig, cwd: &std::path::Path, sources: &[String]) {
    let file = config.shown_file(cwd);
    put!(out, "ansible.cfg: {}", file.as_deref().unwrap_or("none"));
    put!(out, "inventory: {}", sources.join(", "));
}

fn groups(out: &mut String, inventory: &Inventory) {
    put!(out, "\ngroups");
    for name in inventory.groups() {
        let hosts = inventory.hosts_of(name);
        let children = inventory.children_of(name);
        if name != "all" && hosts.is_empty() && children.is_empty() {
            continue;
        }
        let mut parts = Vec::new();
        if name != "all" && !hosts.is_empty() {
            parts.push(format!("hosts {}", hosts.join(", ")));
        }
        if !children.is_empty() {
            parts.push(format!("children {}", children.join(", ")));
        }
        put!(out, "  {name}: {}", parts.join("; "));
    }
}

fn host_sections(
    out: &mut String,
    inventory: &mut Inventory,
    hosts: &[String],
    look: &Look<'_>,
) -> Result<(), Vec<crate::inventory::InventoryError>> {
    let mut faults = Vec::new();
    for host in hosts {
        match inventory.vars(host) {
            Ok(vars) => host_section(out, host, &vars, look),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn host_section(out: &mut String, host: &str, vars: &Vars, look: &Look<'_>) {
    put!(out, "\n{host}");
    for (name, var) in vars.iter().filter(|(name, _)| list::is_listed(name)) {
        let value = look.var(name, var).compact();
        put!(out, "  {name} = {value}");
        put!(out, "      {}: {}", var.place, var.rule);
    }
}
