//! The end-to-end tests: monopg against a real node (`scripts/sandbox`).
//!
//! ```text
//! cargo test --test e2e                       a sample of the long matrices; the seed is printed
//! cargo test --test e2e -- --all              the whole matrices
//! cargo test --test e2e -- spoil secret       the cases whose names hold one of the words
//! cargo test --test e2e -- --list             their names
//! cargo test --test e2e -- --acceptance INVENTORY [ARGS…]   checks on a user's own node, see cases/acceptance.rs
//! MONOPG_SEED=7 cargo test --test e2e         the same sample again
//! MONOPG_REAL_CHART=FILE                      runs the cases with the real chart too
//! ```
//! An own main instead of the test harness: the cases follow one another on one node, which is given
//! back bare between groups. A case that cannot run has failed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for people, not the library"
)]

mod archives;
mod cases;
mod check;
mod database;
mod inventory;
mod run;
mod sandbox;
mod snapshot;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use check::{Check, Fail};
use world::World;

/// A named proof.
pub struct Case {
    /// As `secret value`; the group's name stands before it.
    pub name: String,
    /// The proof.
    pub run: Box<dyn Fn(&World) -> Check>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl Fn(&World) -> Check + 'static) -> Case {
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
    let list = flag("--list");
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
    let world = match World::new(all, seed) {
        Ok(world) => world,
        Err(Fail(why)) => {
            // A test that cannot run is a failure.
            println!("the node is not there: {why}\n\ntest result: FAILED. 0 passed; 1 failed");
            return ExitCode::FAILURE;
        }
    };
    let (mut passed, mut failed, mut left_out) = (0, Vec::new(), 0);
    for group in cases::groups(&|name, matrix, n| world.sample(name, matrix, n)) {
        let chosen: Vec<&Case> = group
            .cases
            .iter()
            .filter(|c| {
                let name = format!("{}: {}", group.name, c.name);
                words.is_empty() || words.iter().any(|w| name.contains(w.as_str()))
            })
            .collect();
        left_out += group.cases.len() - chosen.len();
        if chosen.is_empty() {
            continue;
        }
        let begin = Instant::now();
        let ready = (group.setup)(&world);
        eprintln!(
            "{}: set up in {:.0} s",
            group.name,
            begin.elapsed().as_secs_f32()
        );
        for case in chosen {
            let name = format!("{}: {}", group.name, case.name);
            let begin = Instant::now();
            let result = match &ready {
                Ok(()) => (case.run)(&world),
                Err(Fail(why)) => Err(Fail(format!("the node could not be set up: {why}"))),
            };
            let took = begin.elapsed().as_secs_f32();
            match result {
                Ok(()) => {
                    passed += 1;
                    println!("test {name} ... ok ({took:.1} s)");
                }
                Err(Fail(why)) => {
                    println!(
                        "test {name} ... FAILED ({took:.1} s)\n    {}",
                        why.replace('\n', "\n    ")
                    );
                    failed.push(name);
                }
            }
        }
    }
    if !failed.is_empty() {
        println!("\nfailures:");
        for name in &failed {
            println!("    {name}");
        }
    }
    let nothing = passed == 0 && failed.is_empty();
    let good = failed.is_empty() && !nothing;
    println!(
        "\ntest result: {}. {passed} passed; {} failed; 0 ignored; {left_out} filtered out; seed {seed}; finished in {:.0} s",
        if good { "ok" } else { "FAILED" },
        failed.len(),
        start.elapsed().as_secs_f32()
    );
    if nothing {
        println!("no case has such a name; --list shows them");
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
