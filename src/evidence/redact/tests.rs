use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use base64::Engine as _;
use sha2::Digest as _;

/// Has every character that somebody escapes.
pub const CANARY: &str = "c4n/ry+\"p'w <&>\\ é$9?=";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn percent(text: &str, upper: bool, all: bool) -> String {
    text.bytes()
        .map(|b| match (b.is_ascii_alphanumeric() && !all, upper) {
            (true, _) => char::from(b).to_string(),
            (_, true) => format!("%{b:02X}"),
            (_, false) => format!("%{b:02x}"),
        })
        .collect()
}

/// The secret in every spelling that is promised, by name.
pub fn spellings(secret: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, text: String| all.push((name.to_owned(), text));
    let json = serde_json::to_string(secret).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    add("plain", secret.to_owned());
    let twice = serde_json::to_string(&json).unwrap();
    add("json in a url", percent(&json, true, false));
    let html = json.replace('&', "&amp;").replace('<', "&lt;");
    add("json in html", html.replace('"', "&quot;"));
    add("json twice", twice[1..twice.len() - 1].to_owned());
    add("json", json);
    add(
        "json of escapes",
        secret
            .encode_utf16()
            .map(|u| format!("\\u{u:04X}"))
            .collect(),
    );
    add("url", percent(secret, true, false));
    add("url, small letters", percent(secret, false, false));
    add("url, everything", percent(secret, true, true));
    add(
        "form",
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
    );
    add("shell", secret.replace('\'', r"'\''"));
    add("shell, other quotes", secret.replace('\'', r#"'"'"'"#));
    add("sql", secret.replace('\'', "''"));
    let html = secret.replace('&', "&amp;").replace('<', "&lt;");
    let html = html.replace('>', "&gt;").replace('"', "&quot;");
    add("html", html.replace('\'', "&#39;"));
    add("hex", hex(secret.as_bytes()));
    add("hex, capitals", hex(secret.as_bytes()).to_uppercase());
    let pairs: Vec<String> = secret.bytes().map(|b| format!("{b:02x}")).collect();
    add("hex dump", pairs.join(" "));
    let digests = [
        ("sha256", sha2::Sha256::digest(secret.as_bytes()).to_vec()),
        ("sha512", sha2::Sha512::digest(secret.as_bytes()).to_vec()),
        ("sha1", sha1::Sha1::digest(secret.as_bytes()).to_vec()),
        ("md5", md5::compute(secret).0.to_vec()),
        (
            "md5 with user",
            md5::compute(format!("{secret}app")).0.to_vec(),
        ),
        (
            "sha256 of a line",
            sha2::Sha256::digest(format!("{secret}\n")).to_vec(),
        ),
    ];
    for (name, digest) in digests {
        add(name, hex(&digest));
        add(&format!("{name}, capitals"), hex(&digest).to_uppercase());
        add(&format!("{name} in base64"), STANDARD.encode(digest));
    }
    for (name, engine) in [
        ("base64", &STANDARD),
        ("base64 without padding", &STANDARD_NO_PAD),
        ("base64 for urls", &URL_SAFE),
        ("base64 for urls without padding", &URL_SAFE_NO_PAD),
    ] {
        let once = engine.encode(secret);
        add(&format!("{name}, twice"), engine.encode(&once));
        add(&format!("{name} in a url"), percent(&once, true, false));
        add(name, once);
        for before in ["x", "xy", "xyz"] {
            for after in ["", "1", "12"] {
                let text = engine.encode(format!("{before}{secret}{after}"));
                add(&format!("{name} between {before:?} and {after:?}"), text);
            }
        }
    }
    all
}

fn redactor(secret: &str) -> Redactor {
    Redactor::new([&Secret::from(secret)], &["app"]).unwrap()
}

/// Breaks a text after so many characters.
fn broken(text: &str, every: usize, joint: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let lines: Vec<String> = chars.chunks(every).map(|c| c.iter().collect()).collect();
    lines.join(joint)
}

#[test]
fn every_spelling_is_found() {
    for secret in [CANARY, "hunter22", "0123", "Ünïcødé-🔑-x"] {
        let redactor = redactor(secret);
        for (name, text) in spellings(secret) {
            let mut count = 0;
            let clean = redactor.text(&format!("before <{text}> after"), &mut count);
            assert_eq!(count, 1, "{name} of {secret}: {clean}");
            // Of base64 between other bytes, what tells of those alone stays.
            if name.contains("between") {
                let left = clean.replace("before <", "").replace("> after", "");
                let left = left.replace(MASK, "");
                assert!(left.len() <= 4 + 5, "{name} of {secret}: {clean}");
                assert!(clean.contains(MASK), "{name} of {secret}: {clean}");
            } else {
                assert_eq!(clean, "before <********> after", "{name} of {secret}");
            }
        }
    }
}

#[test]
fn line_ends_do_not_hide_it() {
    let redactor = redactor(CANARY);
    for joint in [
        "\n",
        "\r\n",
        "\n    ",
        "\\\n",
        "\\n",
        "\" +\n  \"",
        "\n> ",
        "\n# ",
        "\n2026-11-23T04:33:42.123456789Z ",
        "\n  - ",
    ] {
        for (name, text) in spellings(CANARY) {
            // A backslash at a line's end may be of either.
            if text.contains('\\') && joint.starts_with('\\') || name.starts_with("hex dump") {
                continue;
            }
            for every in [7, 20] {
                let split = broken(&text, every, joint);
                let mut count = 0;
                let clean = redactor.text(&format!("a: {split}."), &mut count);
                // A letter of the secret that looks like the joint's decoration stays out of reach.
                let lines: Vec<&str> = split.split(joint).collect();
                let begins = |l: &&str| {
                    let l = l.trim_start_matches(' ');
                    l.starts_with(['+', '|', '>', '#', '"', '\'', '*', '/', '-', '='])
                };
                let ends = |l: &&str| {
                    let l = l.trim_end_matches(' ');
                    l.ends_with(['"', '\'', '\\', '+'])
                };
                let eaten = lines.iter().skip(1).any(begins) || lines.iter().any(ends);
                // Of blanks, where some line ends have one and others none, or one has several.
                let mut blanks: Vec<usize> = lines
                    .windows(2)
                    .map(|l| {
                        let before = l[0].len() - l[0].trim_end_matches(' ').len();
                        before + l[1].len() - l[1].trim_start_matches(' ').len()
                    })
                    .collect();
                blanks.dedup();
                if eaten || blanks.len() > 1 || blanks.iter().any(|b| *b > 1) {
                    continue;
                }
                assert!(count > 0, "{name} split by {joint:?} each {every}: {clean}");
            }
        }
    }
}

#[test]
fn a_passphrase_that_is_wrapped_at_its_blanks_is_found() {
    const PHRASE: &str = "correct horse battery staple";
    let redactor = redactor(PHRASE);
    for joint in [
        "\n",
        " \n",
        "\r\n",
        "\n    ",
        "\\n",
        "\" +\n  \"",
        "\n> ",
        "\n# ",
    ] {
        for wrapped in [
            PHRASE.replace(' ', joint),
            PHRASE.replacen(' ', joint, 1),
            format!("correct horse{joint}battery staple"),
        ] {
            let mut count = 0;
            let clean = redactor.text(&format!("a: {wrapped}."), &mut count);
            assert_eq!((clean.as_str(), count), ("a: ********.", 1), "{wrapped:?}");
        }
    }
    let mut count = 0;
    let folded = "passphrase: >-\n  correct horse\n  battery staple\nport: 5432\n";
    insta::assert_snapshot!(redactor.text(folded, &mut count), @r"
    passphrase: >-
      ********
    port: 5432
    ");
    // Other words at line ends stay.
    let other = "correct horse\nbattery\nstable";
    assert_eq!(redactor.text(other, &mut count), other);
}

#[test]
fn what_was_said_is_looked_at_as_a_log() {
    let said = "log: STATEMENT:  ALTER ROLE other PASSWORD 'of-another'";
    let hint = "set monopg_credentials_password: in the vault";
    let value = serde_json::json!({"what": said, "causes": [said], "hints": [hint], "measured": {"said": {"x": "a: b", "line": said}}});
    let mut count = 0;
    let clean = redactor("hunter22").value(&value, &mut count);
    let left = "log: STATEMENT:  ALTER ROLE other PASSWORD '********'";
    assert_eq!(
        clean,
        serde_json::json!({"what": left, "causes": [left], "hints": [hint], "measured": {"said": {"x": "a: b", "line": left}}})
    );
    assert_eq!(count, 3);
}

#[test]
fn what_is_no_secret_stays() {
    let redactor = redactor("hunter22");
    let text = "a sha256:0f0f and base64 aGVsbG8= \u{1b}[31mred\u{1b}[0m\n2026-11-23 hunter2";
    let mut count = 0;
    insta::assert_snapshot!(redactor.text(text, &mut count), @r"
    a sha256:0f0f and base64 aGVsbG8= red
    2026-11-23 hunter2
    ");
    assert_eq!(count, 0);
    let value = serde_json::json!({"hunter22": [1, "xhunter22y", null, true], "n": 5});
    assert_eq!(
        redactor.value(&value, &mut count),
        serde_json::json!({"********": [1, "x********y", null, true], "n": 5})
    );
    assert_eq!(count, 2);
}

#[test]
fn control_characters_inside_do_not_hide_it() {
    let mut count = 0;
    let clean = redactor("hunter22").text("x hun\u{1b}[1mter\u{7}22 y", &mut count);
    assert_eq!((clean.as_str(), count), ("x ******** y", 1));
    // Nor characters that nobody sees.
    for unseen in ['\u{ad}', '\u{200b}', '\u{2060}', '\u{feff}'] {
        let clean = redactor("hunter22").text(&format!("x hun{unseen}ter22 y"), &mut count);
        assert_eq!(clean, "x ******** y");
    }
}

#[test]
fn a_number_may_be_a_secret() {
    let mut count = 0;
    let clean = redactor("8675309").value(&serde_json::json!({"a": 8_675_309}), &mut count);
    assert_eq!(clean, serde_json::json!({"a": MASK}));
}

#[test]
fn long_secrets_and_short_ones() {
    let long: String = (0..200).map(|i| format!("{i:03}-")).collect();
    let redactor = Redactor::new(
        [
            &Secret::from(long.as_str()),
            &Secret::from("abc"),
            &Secret::from(""),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(redactor.short(), 1);
    let mut count = 0;
    let clean = redactor.text(&format!("<{long}>"), &mut count);
    assert!(clean.replace(MASK, "").len() < 2 + 48, "{clean}");
    let part = redactor.text(&format!("<{}>", &long[300..450]), &mut count);
    assert!(part.contains(MASK), "{part}");
    assert_eq!(redactor.text("abc", &mut count), "abc");
}

#[test]
fn bytes_that_are_no_text() {
    let secret = Secret::new(vec![0xff, 0xfe, 1, 2, 3, 4]);
    let redactor = Redactor::new([&secret], &[]).unwrap();
    let mut count = 0;
    let text = format!(
        "{} {}",
        STANDARD.encode(secret.expose()),
        hex(secret.expose())
    );
    assert_eq!(redactor.text(&text, &mut count), "******** ********");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_secret_in_any_spelling(secret in "[ -~]{4,24}", before in "[a-z]{0,3}", which in 0usize..1000) {
        let redactor = redactor(&secret);
        let all = spellings(&secret);
        let (name, text) = &all[which % all.len()];
        let mut count = 0;
        let clean = redactor.text(&format!("{before}\n{text}\n"), &mut count);
        prop_assert!(count > 0, "{} of {:?}", name, secret);
        if !name.contains("between") {
            prop_assert!(!clean.contains(text.as_str()), "{} of {:?}: {}", name, secret, clean);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let redactor = redactor("hunter22");
        let mut count = 0;
        redactor.log(&text, &mut count);
        redactor.log(&text.replace('a', "\n"), &mut count);
    }
}
