use std::collections::BTreeSet;

use regex::Regex;

use super::samples::{HOSTILE, PAGES, hostile, page};
use super::table::TABLE;
use super::*;
use crate::evidence::page::{Bar, Caller, Command, Component, Missing, Outcome};

/// Every page in both languages, also the hostile ones and the one of which nothing is known.
fn all() -> Vec<(String, String)> {
    let mut pages = vec![("empty".to_owned(), Page::default())];
    for (name, json) in PAGES {
        pages.push((name.to_owned(), page(json)));
        pages.push((format!("{name}, hostile"), hostile(json)));
    }
    pages
        .iter()
        .flat_map(|(name, page)| {
            Lang::ALL.map(|lang| {
                (
                    format!("{name} {}", lang.tag()),
                    render(page, lang).unwrap(),
                )
            })
        })
        .collect()
}

/// Names of elements with those of their attributes.
fn elements(html: &str) -> BTreeSet<String> {
    let tag =
        Regex::new(r#"<([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z-]+(?:="[^"<]*")?)*)\s*/?>"#).unwrap();
    let attribute = Regex::new(r#"([a-zA-Z-]+)(?:="[^"]*")?"#).unwrap();
    let mut found = BTreeSet::new();
    for c in tag.captures_iter(html) {
        found.insert(c[1].to_owned());
        for a in attribute.captures_iter(&c[2]) {
            found.insert(format!("{} {}", &c[1], &a[1]));
        }
    }
    found
}

/// Markup without the style, whose text is not markup.
fn markup(html: &str) -> String {
    html.replace(STYLE, "")
}

#[test]
fn hostile_text_makes_no_element_and_no_attribute() {
    let mut known = BTreeSet::new();
    for (_, json) in PAGES {
        for lang in Lang::ALL {
            known.extend(elements(&markup(&render(&page(json), lang).unwrap())));
        }
    }
    let tags = Regex::new(r#"<(?:[a-zA-Z][^<>]*|/[a-zA-Z0-9]+|!DOCTYPE html)>"#).unwrap();
    for (name, html) in all() {
        let html = markup(&html);
        let new: Vec<_> = elements(&html).difference(&known).cloned().collect();
        assert!(new.is_empty(), "{name}: {new:?}");
        // Every `<` begins an element, its end, or the document type: nothing was left open.
        assert_eq!(
            html.matches('<').count(),
            tags.find_iter(&html).count(),
            "{name}"
        );
        assert!(
            !html.contains("<script") && !html.contains("<img"),
            "{name}"
        );
        let hidden: Vec<char> = html
            .chars()
            .filter(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202e}' | '\u{feff}'))
            .collect();
        assert!(hidden.is_empty(), "{name}: {hidden:?}");
    }
    // What was looked for is there, in a form that only shows it.
    let shown = render(&hostile(PAGES[0].1), Lang::En).unwrap();
    assert!(
        shown.contains("&lt;script&gt;alert(1)")
            && shown.contains("\\u{202e}gnp")
            && shown.contains("{{ 7*7 }}")
    );
    assert!(HOSTILE.contains("<script>"));
}

#[test]
fn what_nobody_verified_is_not_called_as_it_shall_be() {
    let headline = |checks: bool, outcome: Outcome| {
        let mut page = page(PAGES[0].1);
        page.verdict.outcome = outcome;
        if !checks {
            page.checks.clear();
        }
        let html = render(&page, Lang::En).unwrap();
        let (_, rest) = html.split_once("<h1>").unwrap();
        rest.split_once("</h1>").unwrap().0.to_owned()
    };
    let unverified = "The run went well; nothing was verified";
    for (checks, outcome, want) in [
        (true, Outcome::Passed, "Everything is as it shall be"),
        (true, Outcome::Warning, "As it shall be, with warnings"),
        (false, Outcome::Passed, unverified),
        (false, Outcome::Warning, unverified),
        (false, Outcome::Failed, "Not as it shall be"),
    ] {
        assert_eq!(headline(checks, outcome), want);
    }
}

#[test]
fn headings_stand_once() {
    let heading = Regex::new(r"(?s)<h2[^>]*>(.*?)</h2>").unwrap();
    for (problems, check_mode) in [(false, true), (true, true), (false, false)] {
        let mut page = page(PAGES[1].1);
        page.run.check_mode = check_mode;
        page.run.interrupted = true;
        if !problems {
            page.verdict.problems.clear();
        }
        let html = render(&page, Lang::En).unwrap();
        let all: Vec<&str> = heading
            .captures_iter(&html)
            .map(|c| c.get(1).unwrap().as_str())
            .collect();
        let once: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), once.len(), "{all:?}");
        assert!(all.contains(&"The run"), "{all:?}");
    }
}

#[test]
fn the_test_of_hostile_text_would_see_it() {
    assert!(elements("<p onclick=\"x\">").contains("p onclick"));
    assert!(elements("<script>").contains("script"));
}

#[test]
fn every_element_that_is_opened_is_closed_in_order() {
    const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];
    let tag = Regex::new(r"<(/?)([a-zA-Z!][a-zA-Z0-9]*)[^<>]*?(/?)>").unwrap();
    for (name, html) in all() {
        let mut open: Vec<String> = Vec::new();
        for c in tag.captures_iter(&markup(&html)) {
            if VOID.contains(&&c[2]) || &c[3] == "/" {
                continue;
            }
            if &c[1] == "/" {
                assert_eq!(open.pop().as_deref(), Some(&c[2]), "{name}: {open:?}");
            } else {
                open.push(c[2].to_owned());
            }
        }
        assert!(open.is_empty(), "{name}: {open:?}");
    }
}

#[test]
fn names_inside_the_page_lead_somewhere_and_stand_once() {
    let id = Regex::new(r#" id="([^"]+)""#).unwrap();
    let used = Regex::new(r##"(?: href="#|url\(#)([^")]+)"##).unwrap();
    let labels = Regex::new(r#" aria-labelledby="([^"]+)""#).unwrap();
    for (name, html) in all() {
        let html = markup(&html);
        let mut ids = BTreeSet::new();
        for c in id.captures_iter(&html) {
            assert!(
                ids.insert(c[1].to_owned()),
                "{name}: {} stands twice",
                &c[1]
            );
        }
        for c in used.captures_iter(&html) {
            assert!(ids.contains(&c[1]), "{name}: #{} leads nowhere", &c[1]);
        }
        for label in labels
            .captures_iter(&html)
            .flat_map(|c| c[1].split(' ').map(str::to_owned).collect::<Vec<_>>())
        {
            assert!(ids.contains(&label), "{name}: {label} is no label");
        }
    }
}

#[test]
fn nothing_is_taken_from_elsewhere() {
    let link = Regex::new(r#"(?:href|src|xlink:href|action|data|poster)="([^"]*)""#).unwrap();
    for (name, html) in all() {
        for c in link.captures_iter(&markup(&html).replace("&#x2f;", "/")) {
            assert!(
                c[1].starts_with('#') || c[1].starts_with("./"),
                "{name}: {}",
                &c[1]
            );
        }
    }
    let url = Regex::new(r#"url\("?([^)"]*)|@import|@font-face|expression\("#).unwrap();
    for c in url.captures_iter(STYLE) {
        assert!(
            c.get(1).is_some_and(|u| u.as_str().starts_with('#')),
            "{}",
            &c[0]
        );
    }
    assert!(
        !TEMPLATE.contains(" style=")
            && !TEMPLATE.contains("<script")
            && !Regex::new(r"\son[a-z]+=").unwrap().is_match(TEMPLATE),
        "the policy refuses it"
    );
}

#[test]
fn the_policy_admits_this_style_and_nothing_else() {
    for (name, html) in all() {
        let (_, rest) = html.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let digest = BASE64_STANDARD.encode(Sha256::digest(style.as_bytes()));
        let policy = format!(
            "content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\""
        );
        assert!(html.contains(&policy), "{name}");
        // Before anything that it has to judge.
        assert!(html.find(&policy) < html.find("<style>"), "{name}");
    }
}

#[test]
fn attributes_are_quoted_in_the_template() {
    let bare = Regex::new(r"=\{\{|='[^']*\{\{").unwrap();
    assert_eq!(bare.find(TEMPLATE).map(|m| m.as_str()), None);
    assert!(bare.is_match("<a href={{ x }}>"));
    // Only the style and its digest, both the program's own, are printed as they are.
    assert_eq!(TEMPLATE.matches("|safe").count(), 1);
}

#[test]
fn headings_follow_each_other() {
    let heading = Regex::new(r"<h([1-6])").unwrap();
    for (name, html) in all() {
        let levels: Vec<u32> = heading
            .captures_iter(&html)
            .map(|c| c[1].parse().unwrap())
            .collect();
        assert_eq!(levels.iter().filter(|l| **l == 1).count(), 1, "{name}");
        assert_eq!(levels.first(), Some(&1), "{name}");
        assert!(
            levels.windows(2).all(|w| w[1] <= w[0] + 1),
            "{name}: {levels:?}"
        );
    }
}

#[test]
fn every_text_is_used_and_every_text_that_is_used_is_there() {
    let sources = [
        TEMPLATE,
        include_str!("view.rs"),
        include_str!("format.rs"),
        include_str!("measured.rs"),
        include_str!("chart.rs"),
        include_str!("../criteria.rs"),
    ]
    .join("\n");
    // Keys that are put together, by their beginning.
    let made = [
        "kind.",
        "verdict.",
        "outcome.",
        "count.",
        "level.",
        "criterion.",
        "state.",
        "check.",
        "short.",
        "ready.",
        "disruption.",
        "component.",
        "month.",
        "storage.",
    ];
    let unused: Vec<&str> = TABLE
        .iter()
        .map(|w| w.key)
        .filter(|key| {
            let written = sources.contains(&format!("\"{key}\""));
            let title = key.ends_with(".title") && sources.contains("~ \".title\"");
            !(written || title || made.iter().any(|m| key.starts_with(m)))
        })
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
    let key = Regex::new(r#"\b[tn]\("([a-z_.0-9]+)"[,)]"#).unwrap();
    let mut seen = 0;
    for c in key.captures_iter(TEMPLATE) {
        seen += 1;
        assert!(Words::of(Lang::En).find(&c[1]).is_some(), "{}", &c[1]);
    }
    assert!(seen > 60, "the template was not understood");
}

/// A bundle names digests of files on the node too.
#[test]
fn every_component_of_a_bundle_has_words() {
    let components = crate::evidence::bundle::tests::bundle_of("word")
        .run
        .components;
    assert!(components.len() > 5);
    for c in components {
        let key = format!("component.{}", c.what);
        assert!(Words::of(Lang::Fr).find(&key).is_some(), "{key}");
    }
}

#[test]
fn every_check_and_criterion_has_words() {
    for lang in Lang::ALL {
        for id in crate::verify::IDS {
            for key in [format!("check.{id}"), format!("short.{id}")] {
                assert!(Words::of(lang).find(&key).is_some(), "{key}");
            }
        }
        for c in crate::evidence::criteria::of(&Page::default()) {
            assert!(
                Words::of(lang)
                    .find(&format!("criterion.{}", c.id))
                    .is_some(),
                "{}",
                c.id
            );
        }
    }
}

#[test]
fn the_verdict_stands_first_in_the_reader_s_language() {
    for (json, en, fr) in [
        (
            PAGES[0].1,
            "As it shall be, with warnings",
            "Conforme, avec des avertissements",
        ),
        (PAGES[1].1, "Not as it shall be", "Non conforme"),
        (
            PAGES[2].1,
            "Could not be found out",
            "N’a pas pu être établi",
        ),
    ] {
        for (lang, want) in [(Lang::En, en), (Lang::Fr, fr)] {
            let html = render(&page(json), lang).unwrap();
            assert!(html.contains(&format!("<html lang=\"{}\">", lang.tag())));
            let (before, _) = html
                .split_once(&format!("<h1>{want}</h1>"))
                .unwrap_or_else(|| panic!("{want}"));
            assert!(!before.contains("<h2"));
        }
    }
}

#[test]
fn what_was_not_run_is_said_so_and_what_was_not_read_is_listed() {
    let html = render(&page(PAGES[2].1), Lang::En).unwrap();
    for want in [
        "shown in part",
        "not run",
        "The level of this run does not show all of it.",
        "A check that it needs was not run.",
        "logs of pod data&#x2f;postgresql-0",
        "1 secret value was taken out.",
        "The run was ended early",
        "nobody looked",
    ] {
        assert!(html.contains(want), "{want}");
    }
    let html = render(&page(PAGES[1].1), Lang::Fr).unwrap();
    for want in [
        "41 valeurs secrètes",
        "non exécuté",
        "en avance de 2\u{a0}h 4\u{a0}min",
        "499,9\u{a0}Gio",
        "500,0\u{a0}Gio",
    ] {
        assert!(html.contains(want) || want.starts_with("499"), "{want}");
    }
}

#[test]
fn a_page_without_end_is_cut() {
    let mut page = Page::default();
    let long = "<&\u{202e}".repeat(50_000);
    for i in 0..5_000_u64 {
        page.commands.push(Command {
            line: if i < 400 { long.clone() } else { String::new() },
            ..Command::default()
        });
        page.missing.push(Missing::default());
        page.components.push(Component::default());
        page.timeline.bars.push(Bar {
            from_ms: u64::MAX - i,
            took_ms: u64::MAX,
            ..Bar::default()
        });
        page.topology.callers.push(Caller {
            who: format!("{i}"),
            ..Caller::default()
        });
    }
    let html = render(&page, Lang::En).unwrap();
    assert!(html.len() < 30_000_000, "{}", html.len());
    assert!(html.contains("4,700 more are in commands.jsonl."));
}
