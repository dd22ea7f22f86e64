use proptest::prelude::*;

use super::*;

/// A plain scalar, and what PyYAML 6.0.3, go-yaml v3.0.6 and sigs.k8s.io/yaml v1.6.0 write to JSON for
/// it; `!` where they fail.
#[rustfmt::skip]
const SCALARS: &[(&str, &str, &str, &str)] = &[
    ("yes", "true", r#""yes""#, "true"),
    ("no", "false", r#""no""#, "false"),
    ("on", "true", r#""on""#, "true"),
    ("off", "false", r#""off""#, "false"),
    ("y", r#""y""#, r#""y""#, "true"),
    ("n", r#""n""#, r#""n""#, "false"),
    ("Yes", "true", r#""Yes""#, "true"),
    ("TRUE", "true", "true", "true"),
    ("true", "true", "true", "true"),
    ("~", "null", "null", "null"),
    ("null", "null", "null", "null"),
    ("NULL", "null", "null", "null"),
    ("0", "0", "0", "0"),
    ("00", "0", "0", "0"),
    ("0644", "420", "420", "420"),
    ("0o644", r#""0o644""#, "420", "420"),
    ("0o17", r#""0o17""#, "15", "15"),
    ("0x1F", "31", "31", "31"),
    ("0xfg", r#""0xfg""#, r#""0xfg""#, r#""0xfg""#),
    ("0b101", "5", "5", "5"),
    ("1_000", "1000", "1000", "1000"),
    ("0_7", "7", "7", "7"),
    ("08", r#""08""#, "8", "8"),
    ("1:30", "90", r#""1:30""#, r#""1:30""#),
    ("1:30.5", "90.5", r#""1:30.5""#, r#""1:30.5""#),
    ("190:20:30", "685230", r#""190:20:30""#, r#""190:20:30""#),
    ("1:60", r#""1:60""#, r#""1:60""#, r#""1:60""#),
    ("1e3", r#""1e3""#, "1000", "1000"),
    ("1.5e3", r#""1.5e3""#, "1500", "1500"),
    ("1.5e+3", "1500.0", "1500", "1500"),
    ("1.", "1.0", "1", "1"),
    (".5", "0.5", "0.5", "0.5"),
    ("-.5", r#""-.5""#, "-0.5", "-0.5"),
    ("+.5", r#""+.5""#, "0.5", "0.5"),
    (".", r#"".""#, r#"".""#, r#"".""#),
    ("+", r#""+""#, r#""+""#, r#""+""#),
    ("1.10", "1.1", "1.1", "1.1"),
    ("17.0", "17.0", "17", "17"),
    ("-17", "-17", "-17", "-17"),
    ("+17", "17", "17", "17"),
    (".inf", "!", "!", "!"),
    ("-.inf", "!", "!", "!"),
    ("+.Inf", "!", "!", "!"),
    (".nan", "!", "!", "!"),
    ("2024-01-02", r#""2024-01-02""#, r#""2024-01-02T00:00:00Z""#, r#""2024-01-02""#),
    ("2024-1-2", r#""2024-1-2""#, r#""2024-01-02T00:00:00Z""#, r#""2024-1-2""#),
    ("2024-01-02T03:04:05Z", r#""2024-01-02T03:04:05+00:00""#, r#""2024-01-02T03:04:05Z""#, r#""2024-01-02T03:04:05Z""#),
    ("2024-01-02 03:04:05.5 +02:00", r#""2024-01-02T03:04:05.500000+02:00""#, r#""2024-01-02 03:04:05.5 +02:00""#, r#""2024-01-02 03:04:05.5 +02:00""#),
    ("2024-01-02 03:04:05", r#""2024-01-02T03:04:05""#, r#""2024-01-02T03:04:05Z""#, r#""2024-01-02 03:04:05""#),
    ("2024-01-02t3:04:05.123456789-5", r#""2024-01-02T03:04:05.123456-05:00""#, r#""2024-01-02t3:04:05.123456789-5""#, r#""2024-01-02t3:04:05.123456789-5""#),
    ("2024-01-02T03:04", r#""2024-01-02T03:04""#, r#""2024-01-02T03:04""#, r#""2024-01-02T03:04""#),
    ("20240102", "20240102", "20240102", "20240102"),
    ("9223372036854775807", "9223372036854775807", "9223372036854775807", "9223372036854776000"),
    ("9223372036854775808", "9223372036854775808", "9223372036854775808", "9223372036854776000"),
    ("18446744073709551616", "18446744073709551616", "18446744073709552000", "18446744073709552000"),
    ("-9223372036854775809", "-9223372036854775809", "-9223372036854776000", "-9223372036854776000"),
    ("1_0.5_0", "10.5", "10.5", "10.5"),
    ("_1", r#""_1""#, r#""_1""#, r#""_1""#),
    ("1__2", "12", "12", "12"),
    ("0x_f", "15", "15", "15"),
    ("12e03", r#""12e03""#, "12000", "12000"),
    ("12e-03", r#""12e-03""#, "0.012", "0.012"),
    (".e5", r#"".e5""#, r#"".e5""#, r#"".e5""#),
    (".1e+2", "10.0", "10", "10"),
    ("!!str 5", r#""5""#, r#""5""#, r#""5""#),
    (r#"!!int "5""#, "5", "5", "5"),
    ("!!float 5", "5.0", "5", "5"),
    ("!!float 1e3", "1000.0", "1000", "1000"),
    (r#"!!bool "yes""#, "true", "!", "true"),
    ("! 5", "5", "5", r#""5""#),
    (r#""5""#, r#""5""#, r#""5""#, r#""5""#),
    ("'yes'", r#""yes""#, r#""yes""#, r#""yes""#),
    ("<<x", r#""<<x""#, r#""<<x""#, r#""<<x""#),
    ("1.2.3", r#""1.2.3""#, r#""1.2.3""#, r#""1.2.3""#),
    ("v1.30.4+k3s1", r#""v1.30.4+k3s1""#, r#""v1.30.4+k3s1""#, r#""v1.30.4+k3s1""#),
    ("10.0.0.0/8", r#""10.0.0.0/8""#, r#""10.0.0.0/8""#, r#""10.0.0.0/8""#),
    ("0.0.0.0", r#""0.0.0.0""#, r#""0.0.0.0""#, r#""0.0.0.0""#),
    ("0:30", r#""0:30""#, r#""0:30""#, r#""0:30""#),
    ("01:30", r#""01:30""#, r#""01:30""#, r#""01:30""#),
    ("1e400", r#""1e400""#, r#""1e400""#, r#""1e400""#),
    ("+0x1F", "31", "31", "31"),
    ("-0b11", "-3", "-3", "-3"),
    ("0777_", "511", "511", "511"),
];

fn json(text: &str, schema: Schema) -> Result<serde_json::Value, YamlError> {
    parse_one("t.yml", text, schema)?.0.to_json("t.yml")
}

/// Numbers count by value: Go writes 17.0 as 17.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[test]
fn scalars_have_the_types_that_the_real_readers_give() {
    for (text, python, go3, go2) in SCALARS {
        for (schema, wanted) in [
            (Schema::Ansible11, python),
            (Schema::GoYaml3, go3),
            (Schema::GoYaml2, go2),
        ] {
            let got = json(&format!("k: {text}\n"), schema);
            match (*wanted, &got) {
                ("!", Err(_)) => {}
                (wanted, Ok(got)) => {
                    let wanted: serde_json::Value = serde_json::from_str(wanted).unwrap();
                    assert!(
                        same(&got["k"], &wanted),
                        "{text} {schema:?}: {got}, not {wanted}"
                    );
                }
                (wanted, Err(e)) => panic!("{text} {schema:?}: {e}, not {wanted}"),
            }
        }
    }
}

fn ansible(text: &str) -> String {
    match json(text, Schema::Ansible11) {
        Ok(value) => value.to_string(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn collections_anchors_and_merge_keys() {
    for (text, wanted) in [
        ("", "null"),
        ("---\n", "null"),
        ("a: [1, {b: c}]", r#"{"a":[1,{"b":"c"}]}"#),
        (
            "{1: a, true: b, null: c, 1.50: d}",
            r#"{"1":"a","true":"b","null":"c","1.50":"d"}"#,
        ),
        (
            "a: &x {p: 1, q: 2}\nb: *x",
            r#"{"a":{"p":1,"q":2},"b":{"p":1,"q":2}}"#,
        ),
        (
            "a: &x {p: 1, q: 2}\nb:\n  q: 3\n  <<: *x",
            r#"{"a":{"p":1,"q":2},"b":{"p":1,"q":3}}"#,
        ),
        ("b:\n  <<: [{p: 1}, {p: 2, q: 3}]", r#"{"b":{"p":1,"q":3}}"#),
        ("b: {\"<<\": {p: 1}}", r#"{"b":{"<<":{"p":1}}}"#),
        (
            "a: &x\n  <<: {p: 1}\nb:\n  <<: *x\n  r: 2",
            r#"{"a":{"p":1},"b":{"p":1,"r":2}}"#,
        ),
        (
            "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
            r#"{"a":"x\ny\n","b":"x y"}"#,
        ),
        ("a: !!map {b: !!seq [1]}", r#"{"a":{"b":[1]}}"#),
        ("\u{feff}a: 1", r#"{"a":1}"#),
        (
            r#"{"a": "\/\u00e9", "b": [true, null]}"#,
            r#"{"a":"/é","b":[true,null]}"#,
        ),
    ] {
        assert_eq!(ansible(text), wanted, "{text:?}");
    }
}

#[test]
fn faults_name_file_line_and_column() {
    let faults: String = [
        "a: [1",
        "a: 1\n b: 2",
        "a: *x",
        "a: &x [*x]",
        "a: 1\n<<: 5",
        "<<: [{a: 1}, 5]",
        "? [a]\n: 1",
        "a: 2024-13-45",
        "a: 0x_",
        "a: !vault |\n  $ANSIBLE",
        "a: 1\nb: !!int abc",
        "a: .inf",
        "a: 1\n---\nb: 2",
        "a: \u{0}",
        "\tä: 1\n  \u{7}",
    ]
    .iter()
    .map(|text| format!("{text:?} → {}\n", ansible(text)))
    .collect();
    insta::assert_snapshot!(faults, @r#"
    "a: [1" → t.yml:2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']'
    "a: 1\n b: 2" → t.yml:2:3: not valid YAML: mapping values are not allowed in this context
    "a: *x" → t.yml:1:4: not valid YAML: while parsing node, found unknown anchor
    "a: &x [*x]" → t.yml:1:8: this alias names no node that is complete before it
    "a: 1\n<<: 5" → t.yml:2:5: `<<` needs a mapping or a list of mappings, not an integer
    "<<: [{a: 1}, 5]" → t.yml:1:14: `<<` needs a mapping or a list of mappings, not an integer
    "? [a]\n: 1" → t.yml:1:3: a key must be a plain value, not a list
    "a: 2024-13-45" → t.yml:1:4: `2024-13-45` is not a valid date
    "a: 0x_" → t.yml:1:4: `0x_` is not a valid integer
    "a: !vault |\n  $ANSIBLE" → t.yml:1:4: the tag !vault is not supported here
    "a: 1\nb: !!int abc" → t.yml:2:4: `abc` is not a valid integer
    "a: .inf" → t.yml:1:4: infinity and not-a-number cannot be used here
    "a: 1\n---\nb: 2" → t.yml:3:1: a second document begins here; only one is allowed
    "a: \0" → t.yml:1:4: the control character U+0000 is not allowed in YAML
    "\tä: 1\n  \u{7}" → t.yml:2:3: the control character U+0007 is not allowed in YAML
    "#);
    let e = decode("t.yml", b"a: 1\nb: \xff").unwrap_err();
    insta::assert_snapshot!(e, @"t.yml:2:4: this is not UTF-8");
}

#[test]
fn duplicate_keys_warn_with_both_lines_and_the_last_counts() {
    let text = "a: 1\nb: 2\na: 3\nc:\n  <<: {x: 1}\n  x: 2\n";
    let (node, warnings) = parse_one("t.yml", text, Schema::Ansible11).unwrap();
    assert_eq!(
        node.to_json("t").unwrap().to_string(),
        r#"{"a":3,"b":2,"c":{"x":2}}"#
    );
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @"t.yml:3:1: the key `a` stands twice in this mapping (first in line 1); the last one counts");
}

#[test]
fn nodes_know_where_they_stand_and_how_they_were_written() {
    let text = "a: &x 17.10\nb:\n  - *x\n  - !vault abc\n";
    let (node, _) = parse_one("t.yml", text, Schema::Ansible11).unwrap();
    let a = node.get("a").unwrap();
    assert_eq!(
        (a.mark.line, a.mark.column, a.source.as_deref()),
        (1, 4, Some("17.10"))
    );
    let items = node.get("b").unwrap().as_sequence().unwrap();
    assert_eq!(
        (items[0].mark.line, items[0].scalar_text().as_deref()),
        (3, Some("17.10"))
    );
    assert_eq!(
        node.find_tag().map(|(tag, n)| (tag, n.mark.line)),
        Some(("!vault", 4))
    );
    assert_eq!(format!("{:?}", items[1]), "Node(text at 4:5)");
}

#[test]
fn bombs_are_refused_quickly() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..40 {
        let of = format!("*a{}", i - 1);
        laughs += &format!("a{i}: &a{i} [{}]\n", [of.as_str(); 9].join(", "));
    }
    assert_eq!(
        json(&laughs, Schema::Ansible11).unwrap_err().fault,
        Fault::Expansion
    );

    // Each level is deeper than what it names: no single text nests deep, the expansion does.
    let mut chain = String::from("a0: &a0 [[[[[[[[x]]]]]]]]\n");
    for i in 1..100 {
        chain += &format!("a{i}: &a{i} [[[[[[[[*a{}]]]]]]]]\n", i - 1);
    }
    assert_eq!(
        json(&chain, Schema::Ansible11).unwrap_err().fault,
        Fault::TooDeep
    );

    for open in ["[", "{a: ", "- ", "? "] {
        let deep = open.repeat(100_000);
        assert!(json(&deep, Schema::Ansible11).is_err(), "{open}");
    }
    let wide = "[],".repeat(MAX_NODES + 1);
    assert_eq!(
        json(&format!("[{wide}]"), Schema::Ansible11)
            .unwrap_err()
            .fault,
        Fault::TooManyNodes
    );
    let long = "a".repeat(MAX_BYTES + 1);
    assert!(matches!(
        json(&long, Schema::Ansible11).unwrap_err().fault,
        Fault::TooLarge(_)
    ));
    let nested_anchors: String = (0..90).map(|i| format!("[&n{i} ")).collect();
    let text = format!(
        "{nested_anchors}{}{}",
        "x".repeat(1_000_000),
        "]".repeat(90)
    );
    assert_eq!(
        json(&text, Schema::Ansible11).unwrap_err().fault,
        Fault::Expansion
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        for schema in [Schema::Ansible11, Schema::GoYaml3, Schema::GoYaml2] {
            let _ = json(&text, schema);
        }
    }

    #[test]
    fn nothing_that_looks_like_yaml_makes_it_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b: ", "- ", "? ", ": ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "&x ",
                "*x", "<<: ", "!vault ", "!!int ", "! ", "|", ">-\n  ", "\"", "'", "\\", "# c\n", "---\n",
                "...\n", "%TAG ! x\n", "1:30", "0x", "-.5e+", "\t", "é", "\r\n", "~", "\u{85}", "@", "`",
            ]),
            0..60,
        )
    ) {
        let text = parts.concat();
        for schema in [Schema::Ansible11, Schema::GoYaml3, Schema::GoYaml2] {
            let _ = json(&text, schema);
        }
    }

    #[test]
    fn no_scalar_makes_it_panic(text in "[-+]?[0-9_.:eExobTtZ ]{0,24}") {
        for schema in [Schema::Ansible11, Schema::GoYaml3, Schema::GoYaml2] {
            let _ = json(&format!("k: {text}\n"), schema);
        }
    }
}

#[test]
fn unsafe_values_and_sets_are_ansibles() {
    let text = "[!unsafe 5, !unsafe 'yes', !unsafe ~, !unsafe '{{ x }}', !!set {b, a}]";
    let shown = |schema| -> Vec<String> {
        let (node, _) = parse_one("t", text, schema).unwrap();
        let items = node.as_sequence().unwrap().iter();
        items
            .map(|n| {
                let tag = n.tag.as_deref().unwrap_or("-");
                format!("{tag} {}", n.scalar_text().unwrap_or(n.kind().to_owned()))
            })
            .collect()
    };
    assert_eq!(
        shown(Schema::Ansible11),
        ["- 5", "- true", "- ~", "!unsafe {{ x }}", "- a list"]
    );
    assert_eq!(
        shown(Schema::GoYaml3),
        [
            "!unsafe 5",
            "!unsafe yes",
            "!unsafe ~",
            "!unsafe {{ x }}",
            "!!set a mapping"
        ]
    );
}
