//! The end-to-end tests: monopg against a real node (`scripts/sandbox`).
//!
//! ```text
//! cargo test --test e2e                       a sample of the long matrices; the seed is printed
//! cargo test --test e2e -- --all              the whole matrices
//! cargo test --test e2e -- spoil secret       the cases whose names hold one of the words
//! cargo test --test e2e -- --list             their names
//! cargo test --test e2e -- --again            what failed is tried a second time on a bare node, and named if it passes then
//! cargo test --test e2e -- --acceptance INVENTORY [ARGS…]   checks on a user's own node, see cases/acceptance.rs
//! MONOPG_SEED=7 cargo test --test e2e         the same sample again
//! MONOPG_REAL_CHART=FILE                      runs the cases with the real chart too
//! MONOPG_RECORD=DIR                           writes what each cause of diagnose looks like there, see look.rs
//! ```
//! An own main instead of the test harness: the cases follow one another on one node, which is given
//! back bare between groups. A case that cannot run has failed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for people, not the library"
)]

mod ansible;
mod archives;
mod cases;
mod check;
mod database;
mod inventory;
mod look;
mod proxy;
mod run;
mod runbook;
mod sandbox;
mod snapshot;
mod world;

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use check::{Check, Fail};
use world::{Draw, World};

/// A named proof.
pub struct Case {
    /// As `secret value`; the group's name stands before it.
    pub name: String,
    /// The proof.
    pub run: Box<dyn Fn(&World) -> Check + Send>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl Fn(&World) -> Check + Send + 'static) -> Case {
        Case {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// Cases that start from one state of the node.
pub struct Group {
    /// One word.
    pub name: &'static str,
    /// Brings the node there; runs if any case is chosen.
    pub setup: fn(&World) -> Check,
    /// In order.
    pub cases: Vec<Case>,
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = words.iter().position(|w| w == "--acceptance") {
        return cases::acceptance::main(&words.split_off(at)[1..]);
    }
    let mut flag = |name: &str| {
        let before = words.len();
        words.retain(|w| w != name);
        words.len() < before
    };
    let all = flag("--all") || std::env::var_os("MONOPG_ALL").is_some_and(|v| v == "1");
    let (list, second) = (flag("--list"), flag("--again"));
    // cargo test passes these to every test program.
    let _ = (flag("--nocapture"), flag("--quiet"), flag("-q"));
    let seed = std::env::var("MONOPG_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) * 7919 % 100_000);
    let start = Instant::now();
    if list {
        for group in cases::groups(&|_, m, _| m.to_vec()) {
            for case in group.cases {
                println!("{}: {}", group.name, case.name);
            }
        }
        return ExitCode::SUCCESS;
    }
    println!(
        "seed {seed} (again: MONOPG_SEED={seed}){}",
        if all { ", whole matrices" } else { "" }
    );
    let draw = Draw { all, seed };
    let mut tally = Tally::default();
    let mut queue = VecDeque::new();
    let mut last = VecDeque::new();
    let mut names = BTreeSet::new();
    for mut group in cases::groups(&|name, matrix, n| draw.sample(name, matrix, n)) {
        let before = group.cases.len();
        group.cases.retain(|c| {
            let name = format!("{}: {}", group.name, c.name);
            assert!(names.insert(name.clone()), "two cases are named {name}");
            words.is_empty() || words.iter().any(|w| name.contains(w.as_str()))
        });
        tally.left_out += before - group.cases.len();
        if !group.cases.is_empty() {
            // It searches what all the others printed.
            let queue = if group.name == "canary" {
                &mut last
            } else {
                &mut queue
            };
            queue.push_back(group);
        }
    }
    if queue.is_empty() && last.is_empty() {
        println!(
            "no case has such a name; --list shows them\n\ntest result: FAILED. 0 passed; 1 failed"
        );
        return ExitCode::FAILURE;
    }
    let folder = std::env::temp_dir().join(format!("monopg-e2e-{}", std::process::id()));
    let jobs: usize = std::env::var("MONOPG_E2E_JOBS")
        .ok()
        .and_then(|j| j.parse().ok())
        .unwrap_or(2);
    let mut tally = side_by_side(queue, tally, draw, jobs, &folder);
    if second {
        let again = tally.take_unsteady();
        tally = side_by_side(again, tally, draw, jobs, &folder);
    }
    let tally = side_by_side(last, tally, draw, 1, &folder);
    if std::env::var_os("MONOPG_E2E_KEEP").is_none() {
        // Test data only; what failed has been printed.
        let _ = std::fs::remove_dir_all(&folder);
    }
    if !tally.unsteady.is_empty() {
        println!("\npassed at the second attempt only; the first said:");
        for (name, why) in &tally.unsteady {
            println!("    {name}\n        {why}");
        }
    }
    if !tally.failed.is_empty() {
        // Again, with the reasons: of a long log often only the end is kept.
        println!("\nfailures:");
        for (name, why) in &tally.failed {
            println!("    {name}\n        {why}");
        }
    }
    let good = tally.failed.is_empty() && !tally.passed.is_empty();
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; {} filtered out; seed {seed}; finished in {:.0} s",
        if good { "ok" } else { "FAILED" },
        tally.passed.len(),
        tally.failed.len(),
        tally.left_out,
        start.elapsed().as_secs_f32()
    );
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The beginning of a reason, in one line.
fn first_words(why: &str) -> String {
    let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(600).collect()
}

/// How it went.
#[derive(Default)]
struct Tally {
    passed: BTreeSet<String>,
    /// Name and reason.
    failed: Vec<(String, String)>,
    /// What failed before it passed, and the reason of that.
    unsteady: Vec<(String, String)>,
    /// Groups with a case that failed, up to the last of them: a case may stand on the ones before it.
    spoiled: VecDeque<Group>,
    left_out: usize,
}

/// More failures than this are no moment of the cluster.
const MOMENTS: usize = 12;
/// Groups and cases that look for what happens once in many times: a second attempt would hide it.
const RACES: &[&str] = &[
    "kill",
    "power cut",
    "cuts: ",
    "lock: ",
    "canary: ",
    "SIGINT",
    "SIGKILL",
    "a healthy node passes",
];

impl Tally {
    fn passed(&mut self, name: String, took: f32) {
        let before = self.failed.iter().position(|(n, _)| *n == name);
        match before.map(|at| self.failed.remove(at)) {
            Some(failure) => {
                println!("test {name} ... ok at the second attempt ({took:.1} s)");
                self.unsteady.push(failure);
            }
            None => println!("test {name} ... ok ({took:.1} s)"),
        }
        self.passed.insert(name);
    }

    fn failed(&mut self, name: String, why: &str, condition: &str, took: f32) {
        println!(
            "test {name} ... FAILED ({took:.1} s)\n    {}",
            why.replace('\n', "\n    ")
        );
        let why = format!(
            "{}\n        the node: {}",
            first_words(why),
            first_words(condition)
        );
        self.passed.remove(&name);
        match self.failed.iter_mut().find(|(n, _)| *n == name) {
            Some((_, first)) => first.push_str(&format!("\n        and then: {why}")),
            None => self.failed.push((name, why)),
        }
    }

    /// What deserves a second attempt.
    fn take_unsteady(&mut self) -> VecDeque<Group> {
        let mut groups = std::mem::take(&mut self.spoiled);
        if self.failed.len() > MOMENTS {
            groups.clear();
        }
        groups
    }
}

/// Works the groups off on so many nodes.
fn side_by_side(
    queue: VecDeque<Group>,
    tally: Tally,
    draw: Draw,
    nodes: usize,
    folder: &std::path::Path,
) -> Tally {
    let shared = (Mutex::new(queue), Mutex::new(tally));
    std::thread::scope(|scope| {
        for number in 1..=nodes {
            let shared = &shared;
            scope.spawn(move || work(shared, draw, number, folder));
        }
    });
    shared.1.into_inner().unwrap_or_default()
}

/// Works on a node of its own until no group is left. Most of a case is waiting, so two nodes side by
/// side take little more than half of the time.
fn work(
    shared: &(Mutex<VecDeque<Group>>, Mutex<Tally>),
    draw: Draw,
    number: usize,
    folder: &std::path::Path,
) {
    let mut world: Option<Result<World, String>> = None;
    loop {
        let group = match shared.0.lock() {
            Ok(mut queue) => queue.pop_front(),
            Err(_) => None,
        };
        let Some(mut group) = group else { return };
        let world = world.get_or_insert_with(|| World::new(draw, number, folder).map_err(|f| f.0));
        let begin = Instant::now();
        let ready = match world {
            Ok(world) => (group.setup)(world).map_err(|f| f.0),
            Err(why) => Err(format!("there is no node: {why}")),
        };
        eprintln!(
            "{}: set up in {:.0} s",
            group.name,
            begin.elapsed().as_secs_f32()
        );
        let (mut last_failed, mut race) = (None, false);
        for (at, case) in group.cases.iter().enumerate() {
            let name = format!("{}: {}", group.name, case.name);
            let begin = Instant::now();
            let result = match (&ready, &*world) {
                (Ok(()), Ok(world)) => (case.run)(world),
                // A test that cannot run is a failure.
                (Err(why), _) | (_, Err(why)) => {
                    Err(Fail(format!("the node could not be set up: {why}")))
                }
            };
            let took = begin.elapsed().as_secs_f32();
            let result = result.map_err(|Fail(why)| {
                let condition = world.as_ref().map(|w| w.node.condition());
                (why, condition.unwrap_or_default())
            });
            let Ok(mut tally) = shared.1.lock() else {
                return;
            };
            match result {
                Ok(()) => tally.passed(name, took),
                Err((why, condition)) => {
                    race |= RACES.iter().any(|r| name.contains(r));
                    last_failed = Some(at);
                    tally.failed(name, &why, &condition, took);
                }
            }
        }
        if let (Some(at), false, Ok(mut tally)) = (last_failed, race, shared.1.lock()) {
            group.cases.truncate(at + 1);
            tally.spoiled.push_back(group);
        }
    }
}
