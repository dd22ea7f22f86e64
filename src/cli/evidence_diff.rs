//! `monopg evidence diff`: what changed between two runs.
//!
//! May depend on `evidence`. One reason: the answer is data, so it goes to standard output in both forms.

use std::path::Path;

use serde_json::json;

use super::args::OutputArgs;
use super::evidence_args::EvidenceDiffArgs;
use crate::error::{Exit, Problem};
use crate::evidence::diff::{Difference, Opened, ReadError, compare, line, open};
use crate::evidence::run_facts::RunFacts;
use crate::report::{Format, print_data};

/// Compares; 5 for differences if that was asked for.
pub(super) fn run(output: &OutputArgs, args: &EvidenceDiffArgs) -> Result<Exit, Vec<Problem>> {
    let (a, b) = match (opened(&args.before), opened(&args.after)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => return Err(a.err().into_iter().chain(b.err()).collect()),
    };
    let all = compare(&a, &b).map_err(|why| {
        let what = "the two cannot be compared";
        vec![Problem::new("evidence.diff", Exit::Usage, what).because(line(&why))]
    })?;
    let different = all.iter().any(Difference::counts);
    let text = match output.output {
        Some(Format::Json | Format::Jsonl) => object(args, (&a, &b), &all, different),
        _ => lines(args, (&a, &b), &all),
    };
    Ok(match print_data(&text) {
        Exit::Done if different && args.detailed_exitcode => Exit::ChangesFound,
        exit => exit,
    })
}

fn opened(path: &Path) -> Result<Opened, Problem> {
    open(path).map_err(|error| {
        let problem = Problem::new("evidence.read", Exit::Usage, line(&error.to_string()));
        match &error {
            ReadError::Unreadable { source, .. } => problem.because(source.to_string()),
            ReadError::Other { .. } => problem,
        }
        .hint("give a folder that --evidence made, or the .tar.gz beside it")
    })
}

fn facts(of: &Opened) -> RunFacts {
    let run = of.files.get("run.json");
    run.and_then(|c| serde_json::from_slice(c).ok())
        .unwrap_or_default()
}

fn object(
    args: &EvidenceDiffArgs,
    (a, b): (&Opened, &Opened),
    all: &[Difference],
    different: bool,
) -> String {
    let side = |path: &Path, of: &Opened| {
        let run = facts(of);
        json!({
            "path": path.display().to_string(),
            "host": run.host,
            "run_id": run.run_id,
            "started": run.started,
            "altered": of.altered,
        })
    };
    let object = json!({
        "same": !different,
        "a": side(&args.before, a),
        "b": side(&args.after, b),
        "differences": all.iter().filter(|d| d.counts()).collect::<Vec<_>>(),
        "storage": all.iter().filter(|d| !d.counts()).collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

fn lines(args: &EvidenceDiffArgs, (a, b): (&Opened, &Opened), all: &[Difference]) -> String {
    let mut out = String::new();
    for (name, path, of) in [("A", &args.before, a), ("B", &args.after, b)] {
        let run = facts(of);
        let started = run.started.map_or_else(
            || "?".into(),
            |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        );
        out.push_str(&format!(
            "{name}  {}  {started}  {}  exit {}  ({})\n",
            line(&run.host),
            line(&run.command),
            run.result.exit,
            line(&path.display().to_string())
        ));
        if !of.altered.is_empty() {
            let files: Vec<String> = of.altered.iter().map(|f| line(f)).collect();
            let files = files.join(", ");
            out.push_str(&format!(
                "   changed after it was written, so it proves nothing: {files}\n"
            ));
        }
    }
    if !all.iter().any(Difference::counts) {
        out.push_str("no difference\n");
    }
    let mut section = None;
    for d in all {
        if section != Some(d.section) {
            out.push_str(&format!("\n{}\n", d.section.title()));
            section = Some(d.section);
        }
        let shown = |v: &Option<String>| v.clone().unwrap_or_else(|| "absent".into());
        match (&d.before, &d.after) {
            (None, None) => out.push_str(&format!("  {}\n", d.what)),
            (before, after) => out.push_str(&format!(
                "  {}: {} → {}\n",
                d.what,
                shown(before),
                shown(after)
            )),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_named_over_two_lines_forges_none() {
        let run = json!({"v": 1, "host": "n1\n\u{1b}[31mno difference", "command": "apply\nx"});
        let of = Opened {
            files: [("run.json".to_owned(), run.to_string().into_bytes())].into(),
            altered: vec!["a\nno difference".into()],
        };
        let args = EvidenceDiffArgs {
            before: "a\nb".into(),
            after: "c".into(),
            detailed_exitcode: false,
        };
        insta::assert_snapshot!(lines(&args, (&of, &of), &[]), @r"
        A  n1 no difference  ?  apply x  exit 0  (a b)
           changed after it was written, so it proves nothing: a no difference
        B  n1 no difference  ?  apply x  exit 0  (c)
           changed after it was written, so it proves nothing: a no difference
        no difference
        ");
    }
}
