use super::super::redact::tests::{CANARY, spellings};
use super::super::{assemble, html};
use super::*;
use crate::cluster::samples;
use crate::engine::check::{self, CheckId, CheckResult, Level};
use crate::engine::event::Kind;
use crate::engine::step::{Change, Changes, Disruption, StepId};
use crate::error::Problem as RunProblem;
use crate::secrets::Secret;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A run as the tests make it up; `word` stands everywhere where a text may come from elsewhere.
pub fn made_up(word: &str) -> (Told, HostResult, Vec<Event>, Vec<Ran>, Collection) {
    let mut spec = samples::spec();
    spec.credentials = [("password".to_owned(), Secret::from(CANARY))].into();
    let told = Told {
        run_id: "01RUN".into(),
        command: "apply".into(),
        arguments: vec!["-i".into(), word.into()],
        host: "db1".into(),
        address: Some(word.into()),
        spec,
        encrypted: Some(true),
        started: time("2026-11-23T04:33:42Z"),
        written: time("2026-11-23T04:34:00Z"),
        check: false,
        by: By {
            user: Some(word.into()),
            machine: Some(word.into()),
            system: "linux x86_64".into(),
            folder: Some(word.into()),
        },
        binary: Some("ab".repeat(32)),
        inventory: vec![(format!("/inv/{word}"), "cd".repeat(32))],
    };
    let problem = || {
        RunProblem::new("p", Exit::NotReady, word)
            .because(word)
            .hint(word)
    };
    let mut measured = serde_json::Map::new();
    measured.insert(word.into(), json!([word, {word: word}]));
    let check = CheckResult {
        check: CheckId("storage"),
        title: word.into(),
        level: Level::Static,
        outcome: check::Outcome::Failed,
        failing: true,
        summary: word.into(),
        measured,
        problems: vec![problem()],
        elapsed_ms: 5,
    };
    let result = HostResult {
        failed: true,
        exit: 42,
        msg: word.into(),
        checks: vec![check.clone()],
        errors: vec![problem()],
        warnings: vec![problem()],
        ..HostResult::default()
    };
    let step = StepId("ready");
    let changes = Changes {
        items: vec![Change {
            what: word.into(),
            before: Some(word.into()),
            after: Some(word.into()),
        }],
        disruption: Disruption::None,
    };
    let kinds = vec![
        Kind::StepOutput {
            step,
            stream: "stdout",
            line: word.into(),
        },
        Kind::StepFinished {
            step,
            outcome: crate::engine::event::Outcome::Changed,
            elapsed_ms: 5,
            changes: Some(changes),
        },
        Kind::CheckFinished(Box::new(check)),
        Kind::HostFinished(Box::new(result.clone())),
    ];
    let events = kinds
        .into_iter()
        .zip(0..)
        .map(|(kind, seq)| Event {
            v: 1,
            seq,
            elapsed_ms: 10 * seq,
            host: Some("db1".into()),
            kind,
        })
        .collect();
    let ran = vec![Ran {
        label: word.into(),
        script: format!("echo {word}"),
        args: vec![word.into()],
        exit: Some(1),
        error: Some(word.into()),
        ..Ran::default()
    }];
    (told, result, events, ran, collection(word))
}

fn collection(word: &str) -> Collection {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "postgresql-0", "namespace": "data",
            "managedFields": [word], "annotations": {word: word}},
        "spec": {"containers": [{"name": "postgresql", "args": [word], "env": [{"name": "A", "value": word}]}]},
        "status": {"containerStatuses": [{"name": "postgresql", "image": "i:1", "imageID": "docker.io/i@sha256:aa"}]}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
        "data": {"f": format!("a\n{word}\nb")}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"password": word}, "stringData": {"x": word}});
    let others = json!({"kind": "PersistentVolume", "metadata": {"name": "theirs"},
        "spec": {"storageClassName": "local-path", "claimRef": {"namespace": "theirs"}}});
    let ours = json!({"kind": "PersistentVolume", "metadata": {"name": "ours"},
        "spec": {"storageClassName": "local-path", "claimRef": {"namespace": "data"}}});
    let service = |name: &str, spec: Value| json!({"kind": "Service", "metadata": {"name": name}, "spec": spec});
    let services = vec![
        service("inner", json!({"type": "ClusterIP"})),
        service("by-port", json!({"type": "NodePort"})),
        service("by-balancer", json!({"type": "LoadBalancer"})),
        service(
            "by-address",
            json!({"type": "ClusterIP", "externalIPs": ["192.0.2.1"]}),
        ),
    ];
    let mut facts = serde_json::Map::new();
    facts.insert("os".into(), json!(word));
    facts.insert("storage_free_bytes".into(), json!(5));
    Collection {
        objects: [
            ("pods", vec![pod]),
            ("configmaps", vec![config]),
            ("secrets", vec![secret]),
            ("persistentvolumes", vec![others, ours]),
            ("services-exposed", services),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into(),
        logs: [
            (
                "postgresql-0_postgresql".to_owned(),
                format!("2026-11-23T04:33:42Z said {word}\nend\n"),
            ),
            (format!("pod-{word}"), "x".to_owned()),
        ]
        .into(),
        facts,
        node: format!("$ uname\n{word}\n"),
        digests: [(format!("/var/{word}"), "ef".repeat(32))].into(),
        parts: vec![("facts".into(), 0)],
        missing: vec![Missing {
            what: word.into(),
            why: word.into(),
        }],
        clocks: Some(run_facts::Clocks {
            laptop: time("2026-11-23T04:33:50Z"),
            node: time("2026-11-23T04:33:51.5Z"),
            node_ahead_ms: 1500,
            within_ms: 500,
        }),
    }
}

/// Knows the canary.
pub fn redactor() -> &'static Redactor {
    static ONE: std::sync::LazyLock<Redactor> =
        std::sync::LazyLock::new(|| Redactor::new([&Secret::from(CANARY)], &["app"]).unwrap());
    &ONE
}

pub fn bundle_of(word: &str) -> Bundle {
    let (told, result, events, ran, seen) = made_up(word);
    bundle(&told, &result, &events, &ran, &seen, redactor())
}

/// With its report.
fn with_report(word: &str) -> Bundle {
    let (told, result, events, commands, collection) = made_up(word);
    let seen = assemble::Seen {
        told: &told,
        result: &result,
        events: &events,
        commands: &commands,
        collection: &collection,
    };
    let mut bundle = bundle_of(word);
    let page = assemble::page(&seen, &bundle, redactor()).unwrap();
    let html = html::render(&page, html::Lang::Fr).unwrap();
    bundle.add("report.html", html, redactor());
    bundle
}

#[test]
fn the_files() {
    let bundle = bundle_of("word");
    assert_eq!(bundle.name, "db1-20261123T043342Z-01RUN");
    let names: Vec<&str> = bundle.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "SHA256SUMS",
            "checks.json",
            "commands.jsonl",
            "events.jsonl",
            "logs/pod-word.log",
            "logs/postgresql-0_postgresql.log",
            "node.json",
            "node.txt",
            "resources/configmaps.yaml",
            "resources/persistentvolumes.yaml",
            "resources/pods.yaml",
            "resources/secrets.yaml",
            "resources/services-exposed.yaml",
            "run.json"
        ]
    );
    let text = |name: &str| String::from_utf8(bundle.files[name].clone()).unwrap();
    for line in text("SHA256SUMS").lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        assert_eq!(sha256(&bundle.files[path]), digest);
    }
    assert_eq!(text("SHA256SUMS").lines().count(), names.len() - 1);
    assert!(!text("resources/persistentvolumes.yaml").contains("theirs"));
    let services = text("resources/services-exposed.yaml");
    assert_eq!(services.matches("name: by-").count(), 3, "{services}");
    assert!(!services.contains("inner"), "{services}");
    assert_eq!(text("events.jsonl").lines().count(), 4);
    let run: RunFacts = serde_json::from_str(&text("run.json")).unwrap();
    assert_eq!(run, bundle.run);
    assert_eq!((run.result.exit, run.result.failed), (42, true));
    let clocks = run.clocks.unwrap();
    assert_eq!((clocks.node_ahead_ms, clocks.within_ms), (1500, 500));
    let components: Vec<String> = run
        .components
        .iter()
        .map(|c| {
            let or = |t: &Option<String>| t.clone().unwrap_or_else(|| "-".into());
            let digest: String = or(&c.digest).chars().take(10).collect();
            format!("{} {} {} {digest}", c.what, or(&c.name), or(&c.version))
        })
        .collect();
    insta::assert_snapshot!(components.join("\n"), @r"
    monopg - 0.1.0 sha256:aba
    chart postgresql 17.0.2 sha256:aaa
    helm - 4.1.4 -
    inventory /inv/word - sha256:cdc
    node_os - word -
    image i:1 - sha256:aa
    node_file /var/word - sha256:efe
    ");
    assert_eq!(run.redactions.files["resources/secrets.yaml"], 2);
    assert_eq!(run.redactions.total, 2);
}

/// In no file, in no spelling, and not split over lines either.
fn found_in(bundle: &Bundle, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (path, content) in &bundle.files {
        let text = String::from_utf8_lossy(content);
        let squeezed: String = text.split_whitespace().collect();
        for (name, spelling) in spellings(secret) {
            let core: String = spelling.trim_end_matches('=').split_whitespace().collect();
            // What is left of base64 at its ends tells of the neighbours.
            let core = match name.contains("between") {
                true => core.get(4..core.len() - 4).unwrap_or_default().to_owned(),
                false => core,
            };
            if text.contains(&spelling) || squeezed.contains(&core) || path.contains(&core) {
                found.push(format!("{path}: {name}"));
            }
        }
    }
    found
}

#[test]
fn a_canary_everywhere_is_in_no_file_in_no_spelling() {
    for (name, spelling) in spellings(CANARY) {
        let bundle = with_report(&spelling);
        assert_eq!(found_in(&bundle, CANARY), Vec::<String>::new(), "{name}");
        assert!(
            bundle.run.redactions.total > 20,
            "{name}: {:?}",
            bundle.run.redactions
        );
        for file in [
            "events.jsonl",
            "checks.json",
            "commands.jsonl",
            "node.txt",
            "node.json",
        ] {
            assert!(
                bundle.run.redactions.files.contains_key(file),
                "{name}: {file}"
            );
        }
    }
    for joint in ["\n", "\\\n", "\n    "] {
        let middle = CANARY.char_indices().nth(8).unwrap().0;
        let split = format!("{}{joint}{}", &CANARY[..middle], &CANARY[middle..]);
        let bundle = with_report(&split);
        assert_eq!(found_in(&bundle, CANARY), Vec::<String>::new(), "{joint:?}");
    }
}

#[test]
fn the_search_finds_what_is_not_taken_out() {
    let mut bundle = bundle_of("word");
    bundle
        .files
        .insert("x".into(), format!("a {CANARY} b").into_bytes());
    assert!(found_in(&bundle, CANARY).contains(&"x: plain".to_owned()));
}

#[test]
fn the_digest_of_an_image_that_was_pulled_or_imported() {
    for (id, want) in [
        ("docker.io/i@sha256:aa", Some("sha256:aa")),
        ("sha256:bb", Some("sha256:bb")),
        ("", None),
    ] {
        let pod = json!({"status": {"containerStatuses": [{"image": "i:1", "imageID": id}]}});
        let seen = Collection {
            objects: [("pods".to_owned(), vec![pod])].into(),
            ..Collection::default()
        };
        assert_eq!(images(&seen)[0].digest.as_deref(), want, "{id}");
    }
}

#[test]
fn what_is_added_later_is_masked_and_sealed_too() {
    let mut bundle = bundle_of("word");
    bundle.add("report.html", format!("<p>{CANARY}</p>"), redactor());
    assert_eq!(bundle.files["report.html"], b"<p>********</p>");
    let sums = String::from_utf8(bundle.files[SUMS].clone()).unwrap();
    assert!(sums.contains("  report.html\n"), "{sums}");
}

#[test]
fn names_of_files_stay_below_the_folder() {
    for (name, want) in [
        ("db1", "db1"),
        ("../../etc", "_.._.._etc"),
        ("a/b c\n", "a_b_c_"),
        ("", "_"),
        ("ünï", "_n_"),
    ] {
        assert_eq!(file_name(name), want);
    }
    assert_eq!(file_name(&"x".repeat(500)).len(), 120);
}

#[test]
fn what_a_log_said_is_masked_wherever_it_is_told_again() {
    let said = "STATEMENT:  ALTER ROLE other PASSWORD 'of-another'";
    // Where a container's last line goes: the causes of the problem, the event's and the status' message.
    let (told, mut result, mut events, ran, mut seen) = made_up("word");
    let problem = RunProblem::new("p", Exit::NotReady, "x").because(format!("log: {said}"));
    result.errors = vec![problem.clone()];
    result.checks[0].problems = vec![problem];
    events.truncate(1);
    events[0].kind = Kind::HostFinished(Box::new(result.clone()));
    let pod = json!({"kind": "Pod", "status": {"containerStatuses": [
        {"lastState": {"terminated": {"message": said, "reason": "Error"}}}]}});
    let event = json!({"kind": "Event", "message": said, "reason": "BackOff"});
    seen.objects = [("pods", vec![pod]), ("events", vec![event])]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
    seen.logs = [("p_c".to_owned(), said.to_owned())].into();
    let mut bundle = super::bundle(&told, &result, &events, &ran, &seen, redactor());
    let whole = assemble::Seen {
        told: &told,
        result: &result,
        events: &events,
        commands: &ran,
        collection: &seen,
    };
    let page = assemble::page(&whole, &bundle, redactor()).unwrap();
    let html = html::render(&page, html::Lang::En).unwrap();
    bundle.add("report.html", html, redactor());
    for file in [
        "events.jsonl",
        "checks.json",
        "run.json",
        "report.html",
        "logs/p_c.log",
        "resources/pods.yaml",
        "resources/events.yaml",
    ] {
        let text = String::from_utf8_lossy(&bundle.files[file]).into_owned();
        assert!(text.contains("ALTER ROLE other PASSWORD"), "{file}: {text}");
        assert!(!text.contains("of-another"), "{file}: {text}");
        assert!(text.contains("********"), "{file}: {text}");
    }
}

#[test]
fn a_secret_that_looks_like_a_time_leaves_the_result_as_it_was() {
    let (told, result, events, ran, mut seen) = made_up("word");
    seen.missing.clear();
    for secret in ["2026", "2026-11-23T04:33:42Z"] {
        let redactor = Redactor::new([&Secret::from(secret)], &[]).unwrap();
        let bundle = super::bundle(&told, &result, &events, &ran, &seen, &redactor);
        let read: RunFacts = serde_json::from_slice(&bundle.files["run.json"]).unwrap();
        assert_eq!(read, bundle.run);
        assert_eq!((read.result.exit, read.result.failed), (42, true));
        assert_eq!((read.host.as_str(), read.started), ("db1", None));
        assert_eq!(read.missing.len(), 1);
        assert!(!String::from_utf8_lossy(&bundle.files["run.json"]).contains(secret));
    }
    // Nor one that is the name of a field.
    let redactor = Redactor::new([&Secret::from("failed"), &Secret::from("exit")], &[]).unwrap();
    let bundle = super::bundle(&told, &result, &events, &ran, &seen, &redactor);
    assert_eq!(
        (bundle.run.result.exit, bundle.run.result.failed),
        (42, true)
    );
}

#[test]
fn no_log_takes_the_place_of_another() {
    let (told, result, events, ran, mut seen) = made_up("word");
    let long = "p".repeat(250);
    seen.logs = [
        (format!("{CANARY}_c"), "first"),
        (
            format!("x{CANARY}_c")
                .replacen('x', "", 1)
                .replace('$', "%24"),
            "second",
        ),
        (format!("{long}_a"), "third"),
        (format!("{long}_a_previous"), "fourth"),
        (format!("{long}_b"), "fifth"),
    ]
    .map(|(k, v)| (k, v.to_owned()))
    .into();
    let bundle = super::bundle(&told, &result, &events, &ran, &seen, redactor());
    let logs: Vec<&str> = bundle
        .files
        .keys()
        .filter_map(|p| p.strip_prefix("logs/"))
        .collect();
    assert_eq!(logs.len(), 5, "{logs:?}");
    for end in [
        "p_a.log",
        "p_a_previous.log",
        "p_b.log",
        "_c.log",
        "_c.2.log",
    ] {
        assert!(logs.iter().any(|l| l.ends_with(end)), "{end}: {logs:?}");
    }
    assert!(logs.iter().all(|l| l.len() <= 120), "{logs:?}");
}
