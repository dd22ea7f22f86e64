//! Before and after, for people.
//!
//! May depend on `engine::step`. One reason: a difference of one word is one line, one of a whole
//! file is a unified diff, and both come from the same [`Change`].

use super::style::{Ink, Style};
use crate::engine::step::{Change, Changes, Disruption};

/// Lines around a difference that are shown.
const CONTEXT: usize = 3;
/// Above this many cells the table of the line comparison costs too much: all out, all in.
const CELLS: usize = 4_000_000;

/// What a disruption means, for people; `None` if nobody notices.
pub(crate) fn disruption(d: Disruption) -> Option<&'static str> {
    match d {
        Disruption::None => None,
        Disruption::PodRestart => Some("the database restarts"),
        Disruption::K3sRestart => Some("k3s restarts, running pods stay"),
    }
}

/// Every difference with its before and after.
pub(crate) fn render(style: Style, changes: &Changes) -> Vec<String> {
    let mut out = Vec::new();
    for item in &changes.items {
        out.push(format!("    {}", style.paint(Ink::Bold, &item.what)));
        let lines = |t: &Option<String>| -> Vec<String> {
            t.as_deref()
                .map(|t| t.lines().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        if item.before.is_none() {
            out.push(format!("      {}", style.paint(Ink::Dim, "(was absent)")));
        }
        for line in compare(&lines(&item.before), &lines(&item.after)) {
            let ink = match line.chars().next() {
                Some('-') => Some(Ink::Bad),
                Some('+') => Some(Ink::Good),
                Some('@') => Some(Ink::Note),
                _ => None,
            };
            let line = ink.map_or_else(|| line.clone(), |i| style.paint(i, &line));
            out.push(format!("      {line}"));
        }
        if item.after.is_none() {
            out.push(format!(
                "      {}",
                style.paint(Ink::Dim, "(will be absent)")
            ));
        }
    }
    if let Some(text) = disruption(changes.disruption) {
        out.push(format!(
            "    {} {text}",
            style.paint(Ink::Changed, "disruption:")
        ));
    }
    out
}

/// Every difference in one line.
pub(crate) fn summary(changes: &Changes) -> Vec<String> {
    let mut out: Vec<String> = changes.items.iter().map(one_line).collect();
    if let Some(text) = disruption(changes.disruption) {
        out.push(format!("disruption: {text}"));
    }
    out
}

fn one_line(c: &Change) -> String {
    let value = |v: &Option<String>| match v {
        None => "absent".to_owned(),
        Some(t) => match t.split_once('\n') {
            Some((first, _)) => format!("{} …", short(first)),
            None => short(t),
        },
    };
    format!("{}: {} → {}", c.what, value(&c.before), value(&c.after))
}

fn short(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The lines of a unified diff, without file headers; hunk headers only when something was left out.
fn compare(before: &[String], after: &[String]) -> Vec<String> {
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let end = before[start..]
        .iter()
        .rev()
        .zip(after[start..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (
        &before[start..before.len() - end],
        &after[start..after.len() - end],
    );
    // (sign, line number before, line number after, text)
    let mut edits: Vec<(char, usize, usize, &str)> = Vec::new();
    for (i, line) in before[..start].iter().enumerate() {
        edits.push((' ', i, i, line));
    }
    for (sign, i, j) in script(a, b) {
        let text = if sign == '+' { &b[j] } else { &a[i] };
        edits.push((sign, start + i, start + j, text));
    }
    let (a_end, b_end) = (before.len() - end, after.len() - end);
    for (n, line) in before[a_end..].iter().enumerate() {
        edits.push((' ', a_end + n, b_end + n, line));
    }
    let shown: Vec<bool> = (0..edits.len())
        .map(|n| {
            let from = n.saturating_sub(CONTEXT);
            let to = (n + CONTEXT + 1).min(edits.len());
            edits[from..to].iter().any(|e| e.0 != ' ')
        })
        .collect();
    let partial = shown.iter().any(|s| !s);
    let mut out = Vec::new();
    for (n, (sign, i, j, text)) in edits.iter().enumerate() {
        if !shown[n] {
            continue;
        }
        if partial && (n == 0 || !shown[n - 1]) {
            out.push(format!("@@ -{} +{} @@", i + 1, j + 1));
        }
        out.push(format!("{sign} {text}"));
    }
    out
}

/// The shortest edit script by the longest common subsequence.
fn script(a: &[String], b: &[String]) -> Vec<(char, usize, usize)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    if a.len().saturating_mul(b.len()) > CELLS {
        out.extend((0..a.len()).map(|i| ('-', i, 0)));
        out.extend((0..b.len()).map(|j| ('+', a.len(), j)));
        return out;
    }
    let width = b.len() + 1;
    let mut table = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if a[i] == b[j] {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push((' ', i, j));
            i += 1;
            j += 1;
        } else if j == b.len()
            || (i < a.len() && table[(i + 1) * width + j] >= table[i * width + j + 1])
        {
            out.push(('-', i, j));
            i += 1;
        } else {
            out.push(('+', i, j));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(changes: &Changes) -> String {
        render(Style { color: false }, changes).join("\n")
    }

    #[test]
    fn one_word() {
        let mut c = Changes::one(
            "mode of /srv/k3s-storage",
            Some("0755".into()),
            Some("0700".into()),
        );
        c.disruption = Disruption::K3sRestart;
        insta::assert_snapshot!(plain(&c), @r"
            mode of /srv/k3s-storage
              - 0755
              + 0700
            disruption: k3s restarts, running pods stay
        ");
        insta::assert_snapshot!(summary(&c).join("\n"), @r"
        mode of /srv/k3s-storage: 0755 → 0700
        disruption: k3s restarts, running pods stay
        ");
    }

    #[test]
    fn absent_before_or_after() {
        let c = Changes::new(
            vec![
                Change {
                    what: "Secret data/postgresql".into(),
                    before: None,
                    after: Some("present".into()),
                },
                Change {
                    what: "env FOO of StatefulSet data/postgresql".into(),
                    before: Some("bar".into()),
                    after: None,
                },
            ],
            Disruption::None,
        );
        insta::assert_snapshot!(plain(&c), @r"
            Secret data/postgresql
              (was absent)
              + present
            env FOO of StatefulSet data/postgresql
              - bar
              (will be absent)
        ");
    }

    #[test]
    fn a_long_text_shows_its_hunks() {
        let before: Vec<String> = (1..=30).map(|n| format!("line {n}")).collect();
        let mut after = before.clone();
        after[9] = "line ten".into();
        after.remove(24);
        let c = Changes::one("values", Some(before.join("\n")), Some(after.join("\n")));
        insta::assert_snapshot!(plain(&c), @r#"
        values
          @@ -7 +7 @@
            line 7
            line 8
            line 9
          - line 10
          + line ten
            line 11
            line 12
            line 13
          @@ -22 +22 @@
            line 22
            line 23
            line 24
          - line 25
            line 26
            line 27
            line 28
        "#);
    }

    #[test]
    fn too_large_for_the_table_is_all_out_all_in() {
        let a: Vec<String> = (0..2100).map(|n| format!("a{n}")).collect();
        let b: Vec<String> = (0..2100).map(|n| format!("b{n}")).collect();
        assert_eq!(compare(&a, &b).len(), 4200);
    }

    proptest! {
        #[test]
        fn minus_and_context_is_before_plus_and_context_is_after(
            a in proptest::collection::vec("[ab]", 0..12),
            b in proptest::collection::vec("[ab]", 0..12),
        ) {
            let ops = script(&a, &b);
            let pick = |skip: char| -> Vec<String> {
                ops.iter()
                    .filter(|o| o.0 != skip)
                    .map(|o| if o.0 == '+' { b[o.2].clone() } else { a[o.1].clone() })
                    .collect()
            };
            prop_assert_eq!(pick('+'), a.clone());
            prop_assert_eq!(pick('-'), b.clone());
        }
    }
}
