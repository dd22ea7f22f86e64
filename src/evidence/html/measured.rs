//! What a check measured, as names and lines of text.
//!
//! May depend on the formats. One reason: the values are JSON of any shape, and a report shows no braces.

use serde::Serialize;
use serde_json::{Map, Value};

use super::format;
use super::words::Words;

/// Lines of one name that are shown.
const MOST_LINES: usize = 60;
/// Names that are shown.
const MOST_NAMES: usize = 60;

/// One name with what was measured.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// As in `checks.json`.
    name: String,
    /// A line for each item; none if there was nothing.
    lines: Vec<String>,
}

/// All that a check measured, in its order.
pub fn of(words: &Words, measured: &Map<String, Value>) -> Vec<Measured> {
    measured
        .iter()
        .take(MOST_NAMES)
        .map(|(name, value)| Measured {
            name: name.clone(),
            lines: lines(words, name, value),
        })
        .collect()
}

fn lines(words: &Words, name: &str, value: &Value) -> Vec<String> {
    let mut out: Vec<String> = match value {
        Value::Array(items) => items
            .iter()
            .take(MOST_LINES)
            .map(|v| line(words, name, v, 0))
            .collect(),
        Value::Object(map) => map
            .iter()
            .take(MOST_LINES)
            .map(|(k, v)| {
                pair(
                    words,
                    k,
                    &line(words, if suffixed(k) { k } else { name }, v, 0),
                )
            })
            .collect(),
        Value::Null => Vec::new(),
        one => vec![line(words, name, one, 0)],
    };
    let all = value
        .as_array()
        .map(Vec::len)
        .or(value.as_object().map(Map::len))
        .unwrap_or(0);
    if all > MOST_LINES {
        out.push(format!("… (+{})", all - MOST_LINES));
    }
    out
}

/// True if the name itself tells the unit.
fn suffixed(name: &str) -> bool {
    name.ends_with("_bytes") || name.ends_with("_seconds") || name.ends_with("_ms")
}

fn line(words: &Words, name: &str, value: &Value, depth: usize) -> String {
    match value {
        Value::Null => words.get("unknown").to_owned(),
        Value::Bool(true) => words.get("yes").to_owned(),
        Value::Bool(false) => words.get("no").to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(n) => number(words, name, n),
        // Deeper than anything that a check measures.
        _ if depth > 3 => "…".to_owned(),
        Value::Array(items) => {
            let items = items
                .iter()
                .take(MOST_LINES)
                .map(|v| line(words, name, v, depth + 1));
            items.collect::<Vec<_>>().join(", ")
        }
        Value::Object(map) => {
            let pairs = map
                .iter()
                .take(MOST_LINES)
                .map(|(k, v)| pair(words, k, &line(words, k, v, depth + 1)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

fn pair(words: &Words, name: &str, value: &str) -> String {
    format!("{name}{}{value}", words.get("colon"))
}

/// A figure with the unit that its name tells.
fn number(words: &Words, name: &str, n: &serde_json::Number) -> String {
    match (n.as_u64(), n.as_i64()) {
        (Some(n), _) if name.ends_with("_bytes") => format::bytes(words, n),
        (Some(n), _) if name.ends_with("_ms") => format::duration(words, n),
        (Some(n), _) if name.ends_with("_seconds") => {
            format::duration(words, n.saturating_mul(1000))
        }
        (Some(n), _) => format::whole(words.lang, i128::from(n)),
        (_, Some(n)) => format::whole(words.lang, i128::from(n)),
        _ => {
            let value = n.as_f64().unwrap_or_default();
            if name.ends_with("_seconds") && value >= 0.0 {
                // Saturates.
                return format::duration(words, (value * 1000.0).round() as u64);
            }
            format::decimal(words.lang, value, 2)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::html::Lang;

    #[test]
    fn shapes() {
        let measured = json!({
            "free_bytes": 5_368_709_120_u64,
            "away_seconds": {"pod": 4.2, "node": 61},
            "objects": 1234,
            "wrong_password": "refused",
            "exporter_ready": true,
            "policies": ["data/pg", "data/other"],
            "tried": [{"who": "shop", "tries": 1200}],
            "deep": [[[[[["x"]]]]]],
            "none": null, "empty": [], "delta": -3, "load": 0.5, "huge_seconds": 1e300
        });
        let got: Vec<String> = of(&Words::of(Lang::Fr), measured.as_object().unwrap())
            .iter()
            .map(|m| format!("{} = {}", m.name, m.lines.join(" | ")))
            .collect();
        insta::assert_snapshot!(got.join("\n").replace('\u{a0}', "~").replace('\u{202f}', "_"), @"
        free_bytes = 5,0~Gio
        away_seconds = pod~: 4,2~s | node~: 1~min 1~s
        objects = 1_234
        wrong_password = refused
        exporter_ready = oui
        policies = data/pg | data/other
        tried = who~: shop, tries~: 1_200
        deep = …
        none = 
        empty = 
        delta = −3
        load = 0,50
        huge_seconds = 5_124_095_576_030~h 25~min
        ");
    }

    #[test]
    fn lists_without_end_are_cut() {
        let long: Vec<u32> = (0..500).collect();
        let got = of(
            &Words::of(Lang::En),
            json!({"many": long}).as_object().unwrap(),
        );
        assert_eq!(got[0].lines.len(), MOST_LINES + 1);
        assert_eq!(got[0].lines.last().unwrap(), "… (+440)");
    }
}
