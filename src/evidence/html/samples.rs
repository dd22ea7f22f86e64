//! Pages for the tests.

use serde_json::Value;

use crate::evidence::page::Page;

/// Names and pages as JSON, as a folder would keep them.
pub const PAGES: [(&str, &str); 3] = [
    (
        "healthy",
        include_str!("../../../tests/report/pages/healthy.json"),
    ),
    (
        "failed",
        include_str!("../../../tests/report/pages/failed.json"),
    ),
    (
        "half",
        include_str!("../../../tests/report/pages/half.json"),
    ),
];

/// What a node could say to take over the reader's browser, or eyes.
pub const HOSTILE: &str = concat!(
    "</style></title></script><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"alert(3)' onclick='x",
    " {{ 7*7 }} {% raw %} --> ]]> &lt; javascript:alert(4) \u{202e}gnp.exe\u{0}\u{1b}[31m\u{7f}\u{9b}2J\u{feff}"
);

/// A page of the table above.
pub fn page(json: &str) -> Page {
    serde_json::from_str(json).unwrap()
}

/// The same page with each text made hostile; names of enums and times stay.
pub fn hostile(json: &str) -> Page {
    let mut value: Value = serde_json::from_str(json).unwrap();
    walk(&mut value, "");
    serde_json::from_value(value).unwrap()
}

fn walk(value: &mut Value, name: &str) {
    const TYPED: [&str; 6] = [
        "outcome",
        "step_outcome",
        "state",
        "kind",
        "tried",
        "started",
    ];
    match value {
        // `tried` is a word of a caller, but a list in what a check measured.
        Value::String(text) if !TYPED.contains(&name) => *text = format!("{text}{HOSTILE}"),
        Value::Array(all) => all.iter_mut().for_each(|v| walk(v, name)),
        Value::Object(all) => all.iter_mut().for_each(|(k, v)| walk(v, k)),
        _ => {}
    }
}
