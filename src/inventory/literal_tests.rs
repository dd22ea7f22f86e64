use super::literal::evaluate;
use crate::yaml::{Mark, Node};

/// The value as JSON; `text` if it stays text; the sentence of a fault.
fn read(text: &str) -> String {
    match evaluate(text, Mark::default()) {
        Ok(Some(node)) => shown(&node),
        Ok(None) => "text".to_owned(),
        Err(what) => what.to_owned(),
    }
}

fn shown(node: &Node) -> String {
    match &node.tag {
        Some(tag) => format!("{tag} {}", node.as_str().unwrap_or_default()),
        None => node
            .to_json("t")
            .map_or_else(|e| e.to_string(), |j| j.to_string()),
    }
}

#[test]
fn numbers_are_pythons() {
    // Each as `ast.literal_eval` of Python 3.11 and Ansible 2.19 have it.
    for (text, wanted) in [
        ("5", "5"),
        ("+5", "5"),
        ("- 1", "-1"),
        ("-(5)", "-5"),
        ("-(-5)", "text"),
        ("--1", "text"),
        ("-True", "text"),
        ("1_000", "1000"),
        ("1__0", "text"),
        ("1_", "text"),
        ("0x1F", "31"),
        ("0x_1f", "31"),
        ("0x", "text"),
        ("0o17", "15"),
        ("0o8", "text"),
        ("0B101", "5"),
        ("0644", "text"),
        ("00", "0"),
        ("0_0", "0"),
        ("09.5", "9.5"),
        ("1.", "1.0"),
        (".5", "0.5"),
        (".", "text"),
        ("1e3", "1000.0"),
        ("1E-7", "1e-7"),
        ("1e", "text"),
        ("1_0.5_0e1_0", "105000000000.0"),
        ("1_.5", "text"),
        ("1.2.3", "text"),
        ("10m", "text"),
        ("12345678901234567890123", "1.2345678901234568e+22"),
        ("5j", "\"5j\""),
        ("-2j", "\"(-0-2j)\""),
        ("1+2j", "\"(1+2j)\""),
        ("1 - 2.5j", "\"(1-2.5j)\""),
        ("1e20+1e-7j", "\"(1e+20+1e-07j)\""),
        ("2j+1", "text"),
        ("1+1", "text"),
        ("(1+2j)+3j", "text"),
        ("1 2", "text"),
        ("1;", "text"),
        ("5 # comment", "5"),
        ("5#c", "5"),
        (" 5", "5"),
        ("5\0", "text"),
        ("é5", "text"),
    ] {
        assert_eq!(read(text), wanted, "{text}");
    }
    let long = "1".repeat(4301);
    assert_eq!(read(&long), "text");
}

#[test]
fn strings_are_pythons() {
    for (text, wanted) in [
        (r#""a""#, r#""a""#),
        ("''", r#""""#),
        ("'it''s'", r#""its""#),
        (r#""a" 'b'"#, r#""ab""#),
        (r#""a" 5"#, "text"),
        (r#""""x"y""""#, r#""x\"y""#),
        (r#""""x"y """"#, r#""x\"y ""#),
        (r"'C:\new'", r#""C:\new""#),
        (r"r'C:\new'", r#""C:\\new""#),
        (r"R'\''", r#""\\'""#),
        (r"u'\x41\101\u00e9\U0001F600'", r#""AAé😀""#),
        (r"'\q'", r#""\\q""#),
        (r"'\xZ'", "text"),
        (r"'\N{BULLET}'", "text"),
        (r"'\ud83d\ude00'", r#""😀""#),
        (r"'\ud83d'", "text"),
        (r"'\ud83dx'", "text"),
        (r"'\U00110000'", "text"),
        (r"b'a\x41\q'", r"!unsafe aA\q"),
        ("b'é'", "text"),
        (r"b'\xff'", "text"),
        ("'a' b'b'", "text"),
        ("f'a'", "text"),
        ("ur'a'", "text"),
        ("'a", "text"),
        ("'a\\", "text"),
        ("x'a'", "text"),
        ("{{ x }}", "text"),
        ("True", "true"),
        ("true", "text"),
        ("None # c", "null"),
        ("Nonex", "text"),
        ("...", r#""...""#),
        ("", "text"),
    ] {
        assert_eq!(read(text), wanted, "{text}");
    }
}

#[test]
fn containers_are_pythons() {
    let unhashable =
        "a list or a mapping cannot be a key or stand in a set: put quotes around the value";
    for (text, wanted) in [
        ("[]", "[]"),
        ("[1, 'x', [None,],]", r#"[1,"x",[null]]"#),
        ("[,]", "text"),
        ("[1", "text"),
        ("[1]]", "text"),
        ("[1, # c", "text"),
        ("['x', {'y': 'z'}]", r#"["x",{"y":"z"}]"#),
        ("()", "[]"),
        ("(1)", "1"),
        ("(1,)", "[1]"),
        ("1,", "[1]"),
        ("1,2 # c", "[1,2]"),
        ("{}", "{}"),
        ("{'a': 1, 'b': 2, 'a': 3}", r#"{"a":3,"b":2}"#),
        ("{1: 'a', True: 'b', 1.0: 'c'}", r#"{"1":"c"}"#),
        ("{None: 1}", r#"{"null":1}"#),
        ("{1, True, 2,}", "[1,2]"),
        ("set()", "[]"),
        ("set(1)", "text"),
        ("{'a': 1, }", r#"{"a":1}"#),
        ("{'a': 1 'b': 2}", "text"),
        ("{(1, 2): 3}", "text"),
        ("{(1, 2)}", "[[1,2]]"),
        ("{{5}}", unhashable),
        ("{[1]: 2}", unhashable),
        ("{[1], x}", "text"),
        ("[b'a']", "t:0:0: the tag !unsafe is not supported here"),
    ] {
        assert_eq!(read(text), wanted, "{text}");
    }
}

#[test]
fn nothing_is_unbounded() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(read(&deep), "this value is nested too deep");
    let long = format!("[{}]", "1,".repeat(100_001));
    assert_eq!(read(&long), "this value has too many parts");
    assert_eq!(read(&"-".repeat(1_000_000)), "text");
    assert_eq!(read(&"'a'".repeat(100_000)).len(), 100_002);
}

#[test]
fn a_number_keeps_how_it_was_written() {
    let source = |text: &str| evaluate(text, Mark::default()).unwrap().unwrap().source;
    assert_eq!(source(" 1.30 # c").as_deref(), Some("1.30"));
    assert_eq!(source("True").as_deref(), Some("True"));
    assert_eq!(source("'1.30'"), None);
    assert_eq!(source("[1]"), None);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[0-9_.eEjxobB+\\-\\[\\](){},:\"'\\\\ #abuUNrTrueNone\\u{0}\té]{0,24}") {
        let _ = evaluate(&text, Mark::default());
    }
}
