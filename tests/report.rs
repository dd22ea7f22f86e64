//! Reports as files, for the browser that `scripts/lib/report-pages` looks at them with.

use std::path::Path;

use monopg::evidence::html::{Lang, render};
use monopg::evidence::page::Page;
use serde_json::Value;

const PAGES: [(&str, &str); 3] = [
    ("healthy", include_str!("report/pages/healthy.json")),
    ("failed", include_str!("report/pages/failed.json")),
    ("half", include_str!("report/pages/half.json")),
];

/// What takes over a browser, what turns text around, what has no place to break, what is wide, what stands on others.
const HOSTILE: &str = concat!(
    "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"alert(3)' {{ 7*7 }} --> &lt; ",
    "\u{202e}gnp.exe\u{0}\u{1b}[31m\u{feff} ",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef ",
    "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字 שלום עולם e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308} ﷽ 👩‍👩‍👧‍👦"
);

/// Every text of a page, but for those that have a few values only.
fn spoil(value: &mut Value, name: &str) {
    const TYPED: [&str; 6] = [
        "outcome",
        "step_outcome",
        "state",
        "kind",
        "tried",
        "started",
    ];
    match value {
        Value::String(text) if !TYPED.contains(&name) => text.push_str(HOSTILE),
        Value::Array(all) => all.iter_mut().for_each(|v| spoil(v, name)),
        Value::Object(all) => all.iter_mut().for_each(|(k, v)| spoil(v, k)),
        _ => {}
    }
}

#[test]
fn pages_for_the_browser() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut pages = vec![("empty", Page::default())];
    for (name, json) in PAGES {
        pages.push((name, serde_json::from_str(json).unwrap()));
    }
    let mut value: Value = serde_json::from_str(PAGES[1].1).unwrap();
    spoil(&mut value, "");
    pages.push(("hostile", serde_json::from_value(value).unwrap()));
    for (name, page) in &pages {
        for lang in Lang::ALL {
            let html = render(page, lang).unwrap();
            assert!(html.ends_with("</html>"));
            std::fs::write(folder.join(format!("{name}-{}.html", lang.tag())), html).unwrap();
        }
    }
}
