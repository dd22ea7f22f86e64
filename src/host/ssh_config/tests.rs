use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// A home with `~/.ssh/config` and further files beside it.
struct Home {
    folder: tempfile::TempDir,
    machine: Machine,
}

impl Home {
    fn new(config: &str) -> Home {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".ssh")).unwrap();
        std::fs::create_dir_all(folder.path().join("etc")).unwrap();
        let machine = Machine::testing(folder.path(), &[("SET", "value"), ("SOCK", "/run/agent")]);
        let home = Home { folder, machine };
        home.write(".ssh/config", config)
    }

    fn write(self, name: &str, text: impl AsRef<[u8]>) -> Home {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        self.mode(name, 0o644)
    }

    fn mode(self, name: &str, mode: u32) -> Home {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), mode).unwrap();
        self
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn ask(&self, host: &str) -> Result<HostConfig, ConfigError> {
        evaluate(&Request {
            host,
            assignments: &[],
            files: Files::Usual,
            machine: &self.machine,
        })
    }

    /// Problems with their hints, without the folder's name.
    fn problems(&self) -> String {
        let error = self.ask("node").unwrap_err();
        let lines: Vec<String> = error
            .problems
            .iter()
            .map(|p| match &p.hint {
                Some(hint) => format!("{} ({hint})", p.what),
                None => p.what.clone(),
            })
            .collect();
        self.bare(&lines.join("\n"))
    }

    fn bare(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "~")
    }
}

#[test]
fn all_mistakes_are_named_at_once_with_their_lines() {
    let home = Home::new(
        "Prot 22\n\
         Host\n\
         Host \"a\n\
         Port\n\
         Host other\n\
         \tPort 99999\n\
         \tIdentitiesOnly perhaps\n\
         Match sorry\n\
         Match host\n\
         Include missing/* inc\n\
         IdentityAgent ${NO_SUCH}\n\
         ProxyJump a:b:c\n\
         Ciphers\n\
         User a b\n\
         Xyzzy \u{1b}[31m\n",
    )
    .write(".ssh/inc", "Porto 22\nIdentityFile \"\"\n");
    insta::assert_snapshot!(home.problems(), @r#"
    ~/.ssh/config:1: there is no keyword "prot" (did you mean Port?)
    ~/.ssh/config:2: Host has no argument
    ~/.ssh/config:3: a quote is not closed after Host
    ~/.ssh/config:4: Port has no argument
    ~/.ssh/config:6: Port takes a port from 1 to 65535, not "99999"
    ~/.ssh/config:7: IdentitiesOnly takes yes or no, not "perhaps"
    ~/.ssh/config:8: Match `sorry` has no value
    ~/.ssh/config:9: Match `host` has no value
    ~/.ssh/inc:1: there is no keyword "porto" (did you mean Port?)
    ~/.ssh/inc:2: IdentityFile has no value
    ~/.ssh/config:11: IdentityAgent names the variable NO_SUCH, which is not set
    ~/.ssh/config:12: ProxyJump takes [user@]host[:port], not "a:b:c"
    ~/.ssh/config:13: Ciphers has no argument
    ~/.ssh/config:14: User takes one value: "b" is too much
    ~/.ssh/config:15: there is no keyword "xyzzy" (ssh refuses the file too, unless a line before says: IgnoreUnknown xyzzy)
    "#);
}

#[test]
fn values_that_cannot_be_expanded_are_mistakes_only_where_they_apply() {
    let home = Home::new(
        "Host other\n HostName %x\n\
         Host node\n\
         IdentityFile ~/%x\n\
         IdentityFile ~nobody-has-this/id\n\
         UserKnownHostsFile ${NO_SUCH}/k\n\
         ProxyCommand nc %d\n\
         ConnectionAttempts 0\n",
    );
    insta::assert_snapshot!(home.problems(), @r#"
    ~/.ssh/config:4: IdentityFile has the unknown token %x: "~/%x"
    ~/.ssh/config:5: IdentityFile names the user nobody-has-this, who is not on this machine
    ~/.ssh/config:7: ProxyCommand has the unknown token %d: "nc %d"
    ~/.ssh/config:6: UserKnownHostsFile names the variable NO_SUCH, which is not set
    ~/.ssh/config:8: ConnectionAttempts must be 1 at least
    "#);
    insta::assert_snapshot!(Home::new("HostName %x\n").problems(), @r#"~/.ssh/config:1: HostName has the unknown token %x: "%x""#);
    insta::assert_snapshot!(Home::new("HostName node\nProxyJump node\n").problems(), @"~/.ssh/config:2: ProxyJump leads from node to node itself");
    assert!(Home::new("Port 2\nProxyJump node\n").ask("node").is_ok());
}

#[test]
fn every_value_knows_its_line_and_is_expanded() {
    let home = Home::new(
        "Include extra\n\
         Host node\n\
         HostName %h.lan\n\
         IdentityFile ~/.ssh/%r@%h-%n_%p\n\
         IdentityFile none\n\
         UserKnownHostsFile ${SET}/%u \"%d/a b\" %l/%L/%k/%%\n\
         GlobalKnownHostsFile ~/%h\n\
         IdentityAgent $SOCK\n\
         ProxyJump %r@j-%n,ssh://x@%h\n",
    )
    .write(".ssh/extra", "# first\nUser ops\nHostKeyAlias ALIAS\n")
    .write("etc/ssh_config", "Include more/*\nPort 2222\nUser other\n");
    let config = home.ask("node").unwrap();
    let place = |origin: &Origin| home.bare(&origin.to_string());
    let user = config.user.as_ref().unwrap();
    assert_eq!(
        (user.value.as_str(), place(&user.origin)),
        ("ops", "~/.ssh/extra:2".into())
    );
    let port = config.port.as_ref().unwrap();
    assert_eq!(
        (port.value, place(&port.origin)),
        (2222, "~/etc/ssh_config:2".into())
    );
    assert_eq!(config.host_name.value, "node.lan");
    assert_eq!(place(&config.host_name.origin), "~/.ssh/config:3");
    let file = |path: &str| Some(home.path(path));
    let identities: Vec<_> = config
        .identity_files
        .iter()
        .map(|f| f.value.path.clone())
        .collect();
    assert_eq!(identities, [file(".ssh/ops@node.lan-node_2222"), None]);
    let known: Vec<String> = config
        .user_known_hosts_files
        .unwrap()
        .value
        .iter()
        .map(|p| home.bare(&p.display().to_string()))
        .collect();
    assert_eq!(known, ["value/me", "~/a b", "laptop.lan/laptop/alias/%"]);
    let global = config.global_known_hosts_files.unwrap().value;
    assert_eq!(global, [Path::new("~/%h")]);
    assert_eq!(
        config.identity_agent.unwrap().value,
        Agent::Socket("/run/agent".into())
    );
    let hop = |user: &str, host: &str, port| Hop {
        user: Some(user.into()),
        host: host.into(),
        port,
    };
    assert_eq!(
        config.proxy.unwrap().value,
        Proxy::Jump(vec![hop("ops", "j-node", None), hop("x", "node.lan", None)])
    );
    assert!(config.warnings.is_empty());
}

#[test]
fn a_proxy_command_is_expanded_but_never_with_a_login_that_a_shell_reads() {
    let command = |user: &str| {
        let home = Home::new(&format!(
            "HostName h.lan\nUser {user}\nProxyCommand nc %h:%p %r %n %% \"$X\"\n"
        ));
        match home.ask("node") {
            Ok(config) => format!("{:?}", config.proxy.unwrap().value),
            Err(_) => home.problems(),
        }
    };
    insta::assert_snapshot!(command("ops"), @r#"Command("nc h.lan:22 ops node % \"$X\"")"#);
    insta::assert_snapshot!(command("\"a;reboot\""), @r#"~/.ssh/config:3: ProxyCommand would give a shell the login "a;reboot""#);
}

#[test]
fn of_jump_and_command_the_first_one_counts() {
    for (config, expected) in [
        ("ProxyJump j\nProxyCommand c\n", "jump"),
        ("ProxyCommand c\nProxyJump j\n", "command"),
        ("ProxyJump none\nProxyJump j\n", "nothing"),
        ("ProxyCommand none\nProxyJump j\n", "nothing"),
        ("ProxyJump none\nProxyCommand c\n", "command"),
    ] {
        let found = match Home::new(config)
            .ask("node")
            .unwrap()
            .proxy
            .map(|s| s.value)
        {
            Some(Proxy::Jump(_)) => "jump",
            Some(Proxy::Command(_)) => "command",
            None => "nothing",
        };
        assert_eq!(found, expected, "{config}");
    }
}

#[test]
fn a_condition_that_is_not_judged_skips_its_block_with_a_warning() {
    for condition in [
        "exec true",
        "exec=true",
        "!exec \"false\"",
        "originalhost node localnetwork 10.0.0.0/8",
        "version OpenSSH_*",
        "command x",
        "sessiontype shell",
        "someday soon",
    ] {
        let home = Home::new(&format!(
            "Match {condition}\n Port 7\n Include leak\n User leaked\nHost node\n IdentitiesOnly yes\n"
        ))
        .write(".ssh/leak", "Host *\nHostName leaked\nMatch all\nProxyJump leaked\n");
        let config = home.ask("node").unwrap();
        assert_eq!(
            (&config.port, &config.user, &config.proxy),
            (&None, &None, &None)
        );
        assert_eq!(config.host_name.value, "node");
        assert!(config.identities_only.is_some(), "{condition}");
        let [warning] = config.warnings.as_slice() else {
            panic!("{condition}: {:?}", config.warnings)
        };
        let expected = format!(
            "~/.ssh/config:1: the block `Match {condition}` is skipped: monopg does not judge `"
        );
        assert!(home.bare(warning).starts_with(&expected), "{warning}");
    }
    // Nothing was decided by it: nobody need know.
    let home = Home::new("Match host other exec true\n Port 7\nHost x\n Match exec true\n");
    assert_eq!(home.ask("node").unwrap().warnings.len(), 1);
    let home = Home::new("Match host other exec true\n Port 7\n");
    assert!(home.ask("node").unwrap().warnings.is_empty());
}

#[test]
fn a_second_reading_sees_the_name_that_the_first_one_found() {
    let home = Home::new(
        "Match final host node.lan\n Port 7\n IdentityFile ~/a\n\
         Host node\n HostName node.lan\n\
         Host node.lan\n User final\n\
         Host *\n IdentityFile ~/a\n",
    );
    let config = home.ask("node").unwrap();
    assert_eq!(config.port.map(|s| s.value), Some(7));
    assert_eq!(config.user.map(|s| s.value).as_deref(), Some("final"));
    assert_eq!(config.identity_files.len(), 1);
    // Nobody asked for it.
    let home =
        Home::new("Match !final\n Port 7\nHost node\n HostName node.lan\nHost node.lan\n User x\n");
    let config = home.ask("node").unwrap();
    assert_eq!((config.port.map(|s| s.value), config.user), (Some(7), None));
}

#[test]
fn tags_select() {
    let home = Home::new(
        "Host node\n Tag lab\nMatch tagged lab,test\n Port 7\nMatch tagged prod\n User x\n",
    );
    let config = home.ask("node").unwrap();
    assert_eq!((config.port.map(|s| s.value), config.user), (Some(7), None));
    assert_eq!(home.ask("other").unwrap().port, None);
}

#[test]
fn unknown_words_may_be_ignored_but_not_before_it_is_said() {
    let home = Home::new("IgnoreUnknown Fancy*,useless\nFancyOption x\nUSELESS\ty\nPort 7\n");
    assert_eq!(home.ask("node").unwrap().port.map(|s| s.value), Some(7));
    insta::assert_snapshot!(Home::new("FancyOption x\nIgnoreUnknown *\n").problems(), @r#"~/.ssh/config:1: there is no keyword "fancyoption" (ssh refuses the file too, unless a line before says: IgnoreUnknown fancyoption)"#);
    insta::assert_snapshot!(Home::new("Host x\nIgnoreUnknown *\nHost *\nIdentityFle ~/x\n").problems(), @r#"~/.ssh/config:4: there is no keyword "identityfle" (did you mean IdentityFile?)"#);
}

#[test]
fn files_that_others_can_write_are_refused() {
    let writable = |home: &Home| home.problems();
    let home = Home::new("Port 7\n").mode(".ssh/config", 0o666);
    insta::assert_snapshot!(writable(&home), @"~/.ssh/config: bad owner or permissions on ~/.ssh/config (chmod go-w ~/.ssh/config, and it must belong to you or root)");
    let home = Home::new("Include inc\n")
        .write(".ssh/inc", "Port 1\n")
        .mode(".ssh/inc", 0o664);
    insta::assert_snapshot!(writable(&home), @"~/.ssh/config:1: bad owner or permissions on ~/.ssh/inc (chmod go-w ~/.ssh/inc, and it must belong to you or root)");
    // As ssh: a file that is named with -F is the caller's affair, and so is the system's.
    let home = Home::new("").write("own", "Port 7\n").mode("own", 0o666);
    let config = evaluate(&Request {
        host: "node",
        assignments: &[],
        files: Files::Only(home.path("own")),
        machine: &home.machine,
    });
    assert_eq!(config.unwrap().port.map(|s| s.value), Some(7));
}

#[test]
fn includes_end() {
    let home = Home::new("Include config\n");
    insta::assert_snapshot!(home.problems(), @"~/.ssh/config:1: files include each other more than 16 deep");
    // Each level doubles the files.
    let home = Home::new("Include config config\n");
    assert!(home.problems().contains("more than 512 files are read"));
    let home = Home::new("Include big\n").write(".ssh/big", " ".repeat(5 << 20));
    insta::assert_snapshot!(home.problems(), @"~/.ssh/config:1: ~/.ssh/big: the files have more than 4194304 bytes in all");
    let home = Home::new("").write("etc/ssh_config", "Include ~/x\n");
    insta::assert_snapshot!(home.problems(), @"~/etc/ssh_config:1: Include cannot use `~` in the file of the system");
}

#[test]
fn the_state_of_a_block_survives_an_include() {
    let home = Home::new("Host node\n Include inc\n User after\nHost other\n Include inc\n")
        .write(".ssh/inc", "Port 7\nHost nothing\n IdentitiesOnly yes\n");
    let config = home.ask("node").unwrap();
    assert_eq!(config.port.map(|s| s.value), Some(7));
    assert_eq!(config.user.map(|s| s.value).as_deref(), Some("after"));
    assert_eq!(config.identities_only, None);
    assert_eq!(home.ask("third").unwrap().port, None);
    // A file that is included by a block that does not apply begins no block that does.
    let home = Home::new("Host other\n Include inc\n")
        .write(".ssh/inc", "Host *\n User leaked\nMatch all\n Port 9\n");
    let config = home.ask("node").unwrap();
    assert_eq!((config.user, config.port), (None, None));
}

#[test]
fn comments_may_be_in_any_encoding_values_may_not() {
    let home = Home::new("").write(".ssh/config", b"# caf\xe9\n  # \xff\nPort 7\n".as_slice());
    assert_eq!(home.ask("node").unwrap().port.map(|s| s.value), Some(7));
    let home = Home::new("").write(".ssh/config", b"User caf\xe9\nUser a\0b\n".as_slice());
    insta::assert_snapshot!(home.problems(), @r"
    ~/.ssh/config:1: the line is not UTF-8
    ~/.ssh/config:2: the line has a NUL byte
    ");
}

#[test]
fn there_may_be_no_file_at_all() {
    let machine = Machine::testing("/nowhere", &[]);
    for files in [Files::Usual, Files::None] {
        let config = evaluate(&Request {
            host: "Node.LAN",
            assignments: &[],
            files,
            machine: &machine,
        })
        .unwrap();
        assert_eq!(config.host_name.value, "node.lan");
        assert!(config.warnings.is_empty() && config.settings.is_empty());
    }
}

#[test]
fn an_address_is_written_in_its_usual_form() {
    for (given, expected) in [
        ("0:0:0::1", "::1"),
        ("FE80::1", "fe80::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("Node", "node"),
    ] {
        let machine = Machine::testing("/nowhere", &[]);
        let config = evaluate(&Request {
            host: given,
            assignments: &[],
            files: Files::None,
            machine: &machine,
        });
        assert_eq!(config.unwrap().host_name.value, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), host in "\\PC{0,20}") {
        let home = Home::new("").write(".ssh/config", &bytes);
        let _ = home.ask(&host);
    }

    #[test]
    fn any_words_are_an_answer_or_an_error(
        lines in prop::collection::vec((
            prop::sample::select(keywords::names().collect::<Vec<_>>()),
            "[ =\"'#]{0,2}",
            "[ -~]{0,20}|[%$~{}a-z0-9!*?,@:/\\[\\]]{0,20}",
        ), 0..20),
    ) {
        let text: String = lines.iter().map(|(k, s, v)| format!("{k} {s}{v}\n")).collect();
        let home = Home::new(&text);
        let _ = home.ask("node");
    }
}
