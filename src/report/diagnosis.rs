//! The lines of a diagnosis for people.
//!
//! May depend on `engine::event`. One reason: the chain of causes and what to type stand with the other problems on
//! standard error; here is the verdict, and what was seen.

use super::style::{Ink, Style};
use crate::engine::event::{Diagnosis, DiagnosisVerdict};

/// The host, the verdict, and a line for each fact; a name stands once for all facts of its kind.
pub(crate) fn render(style: Style, host: &str, found: &Diagnosis) -> Vec<String> {
    let ink = match found.verdict {
        DiagnosisVerdict::Healthy => Ink::Good,
        DiagnosisVerdict::Waiting => Ink::Changed,
        DiagnosisVerdict::Known | DiagnosisVerdict::Unknown => Ink::Bad,
    };
    let row = |name: &str, value: &str| {
        format!(
            "  {} {value}",
            style.paint(Ink::Dim, &format!("{name:<11}"))
        )
    };
    let mut out = vec![style.paint(Ink::Bold, host)];
    out.push(row("verdict", &style.paint(ink, found.verdict.as_str())));
    out.push(row("summary", &found.summary));
    if !found.causes.is_empty() {
        out.push(row("causes", &found.causes.join(", ")));
    }
    let mut before = "";
    for fact in &found.facts {
        let name = match fact.about == before {
            true => "",
            false => fact.about.as_str(),
        };
        out.push(row(name, &fact.said));
        before = &fact.about;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::DiagnosisFact;

    #[test]
    fn facts_of_a_kind_stand_together() {
        let fact = |about: &str, said: &str| DiagnosisFact {
            about: about.into(),
            said: said.into(),
        };
        let found = Diagnosis {
            verdict: DiagnosisVerdict::Known,
            summary: "it keeps crashing".into(),
            causes: vec!["database.space".into(), "policy.label".into()],
            facts: vec![fact("pod", "a"), fact("pod", "b"), fact("log", "c")],
        };
        insta::assert_snapshot!(render(Style { color: false }, "pg1", &found).join("\n"), @r"
        pg1
          verdict     known
          summary     it keeps crashing
          causes      database.space, policy.label
          pod         a
                      b
          log         c
        ");
    }
}
