//! The checks that can be made on a user's own k3s node without breaking anything there:
//! `scripts/acceptance INVENTORY [ARGS…]`. They see the node through monopg's own answers.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::check::{Check, During, Fail};
use crate::ensure;

/// Runs monopg on the user's inventory.
struct User {
    args: Vec<String>,
}

impl User {
    fn run(&self, verb: &str, more: &[&str]) -> Check<(Option<i32>, Value, String)> {
        let out = Command::new(env!("CARGO_BIN_EXE_monopg"))
            .arg(verb)
            .args(&self.args)
            .args(more)
            .args(["--output", "json"])
            // The user may be asked for passwords.
            .stdin(Stdio::inherit())
            .output()?;
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        let json = serde_json::from_slice(&out.stdout)
            .during(format!("monopg {verb} printed no JSON object: {stderr}"))?;
        Ok((out.status.code(), json, stderr))
    }

    fn good(&self, verb: &str, more: &[&str]) -> Check<Value> {
        let (code, json, stderr) = self.run(verb, more)?;
        ensure!(
            code == Some(0),
            "monopg {verb} ended with {code:?}: {} {stderr}",
            json["msg"]
        );
        Ok(json)
    }
}

fn unchanged(json: &Value) -> Check {
    ensure!(json["changed"] == false, "changed: {}", json["diff"]);
    Ok(())
}

/// A name and a proof.
type Proof = (&'static str, fn(&User) -> Check);

const PROOFS: &[Proof] = &[
    ("plan can be made, twice the same", |u| {
        let (first, second) = (u.good("plan", &[])?, u.good("plan", &[])?);
        ensure!(
            first["diff"] == second["diff"] && first["changed"] == second["changed"],
            "two plans differ: {} / {}",
            first["diff"],
            second["diff"]
        );
        Ok(())
    }),
    ("apply converges", |u| u.good("apply", &[]).map(drop)),
    ("a second apply finds nothing to do", |u| {
        unchanged(&u.good("apply", &[])?)
    }),
    ("plan finds nothing to do", |u| {
        unchanged(&u.good("plan", &["--detailed-exitcode"])?)
    }),
    ("no step was changed, waited for or left out", |u| {
        let json = u.good("apply", &[])?;
        for (name, host) in json["hosts"].as_object().into_iter().flatten() {
            for step in host["steps"].as_array().into_iter().flatten() {
                ensure!(
                    step["outcome"] == "unchanged",
                    "{name}: {} is {}",
                    step["id"],
                    step["outcome"]
                );
            }
        }
        Ok(())
    }),
    ("nothing to do needs at most four round trips", |u| {
        let json = u.good("apply", &[])?;
        for (name, host) in json["hosts"].as_object().into_iter().flatten() {
            ensure!(
                host["round_trips"].as_u64().is_some_and(|n| n <= 4),
                "{name} needed {} round trips",
                host["round_trips"]
            );
        }
        Ok(())
    }),
    ("status tells of the release", |u| {
        let json = u.good("status", &[])?;
        ensure!(
            json["hosts"].as_object().is_some_and(|h| !h.is_empty()),
            "no hosts: {json}"
        );
        unchanged(&json)
    }),
    (
        "nothing was disrupted: the last runs restarted neither k3s nor the pod",
        |u| {
            let json = u.good("plan", &[])?;
            ensure!(
                !json["diff"].to_string().contains("_restart"),
                "a restart is still planned: {}",
                json["diff"]
            );
            Ok(())
        },
    ),
];

/// `scripts/acceptance`.
pub fn main(args: &[String]) -> ExitCode {
    let Some((inventory, more)) = args.split_first() else {
        eprintln!("usage: scripts/acceptance INVENTORY [monopg's ARGUMENTS…]");
        return ExitCode::from(4);
    };
    let mut all = vec!["-i".to_owned(), inventory.clone()];
    all.extend(more.iter().cloned());
    let user = User { args: all };
    let (start, mut failed) = (Instant::now(), 0);
    for (name, proof) in PROOFS {
        match proof(&user) {
            Ok(()) => println!("test acceptance: {name} ... ok"),
            Err(Fail(why)) => {
                failed += 1;
                println!("test acceptance: {name} ... FAILED\n    {why}");
            }
        }
    }
    println!(
        "\ntest result: {}. {} passed; {failed} failed; finished in {:.0} s",
        if failed == 0 { "ok" } else { "FAILED" },
        PROOFS.len() - failed,
        start.elapsed().as_secs_f32()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
