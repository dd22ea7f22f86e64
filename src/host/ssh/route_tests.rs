use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;

/// The way to `node` with a configuration and arguments: each stop, or what is wrong.
fn way(config: &str, args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".ssh")).unwrap();
    let file = folder.path().join(".ssh/config");
    std::fs::write(&file, config).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let machine = Machine::testing(folder.path(), &[]);
    let connection = Connection {
        port: Some(2200),
        user: Some("ops".into()),
        private_key: Some("/key".into()),
        password: Some(crate::secrets::Secret::from("x")),
        ssh_args: args.iter().map(|a| (*a).to_owned()).collect(),
        host_key_checking: false,
        timeout: Duration::from_secs(1),
        ..Connection::to("node")
    };
    let text = match Route::resolve_on(&machine, &connection) {
        Ok(route) => {
            let command = route
                .command
                .map(|c| format!("`{}` ({})", c.value, c.origin));
            let stops = route.stops.iter().map(|o| {
                let direct = if o.direct { "" } else { ", behind" };
                let keys: Vec<_> = o.identities.iter().filter(|_| o.identities_named).collect();
                let name = o.jump_host.as_deref().unwrap_or("itself");
                let strict = o.strict;
                format!(
                    "{name}: {}@{} {strict:?} {keys:?}{direct}",
                    o.user,
                    o.address()
                )
            });
            command
                .into_iter()
                .chain(stops)
                .collect::<Vec<_>>()
                .join("\n")
        }
        Err(HostError::Config {
            what,
            problems,
            hints,
        }) => [vec![what], problems, hints].concat().join("\n"),
        Err(other) => panic!("{other:?}"),
    };
    text.replace(folder.path().to_str().unwrap(), "~")
}

#[test]
fn nothing_lies_before_a_host_without_a_word_about_it() {
    for config in ["", "ProxyJump none\n", "ProxyCommand none\n"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(way(config, &[]), @r#"itself: ops@node:2200 AcceptNew ["/key"]"#);
        }
    }
}

#[test]
fn each_jump_host_has_a_configuration_of_its_own() {
    let config = "\
        Host node\n ProxyJump first,eve@second:23\n\
        Host first\n HostName 192.0.2.1\n User one\n IdentityFile ~/first\n StrictHostKeyChecking yes\n\
        Host second\n HostName 192.0.2.2\n User two\n Port 24\n ProxyJump never\n";
    insta::assert_snapshot!(way(config, &[]), @r#"
    first: one@192.0.2.1:22 Yes ["~/first"]
    second: eve@192.0.2.2:23 Ask [], behind
    itself: ops@node:2200 AcceptNew ["/key"], behind
    "#);
    // The argument wins over the file; neither the host's own arguments nor its variables count for the others.
    insta::assert_snapshot!(way(config, &["-J", "second", "-oIdentityFile=/own", "-oHostKeyAlgorithms=x"]), @r#"
    never: me@never:22 Ask []
    second: two@192.0.2.2:24 Ask [], behind
    itself: ops@node:2200 AcceptNew ["/key", "/own"], behind
    "#);
    insta::assert_snapshot!(way(config, &["-J", "[2001:db8::1]:23,a@b"]), @r#"
    2001:db8::1: me@[2001:db8::1]:23 Ask []
    b: a@b:22 Ask [], behind
    itself: ops@node:2200 AcceptNew ["/key"], behind
    "#);
    // -F holds for all of them.
    insta::assert_snapshot!(way(config, &["-F", "none", "-J", "first"]), @r#"
    first: me@first:22 Ask []
    itself: ops@node:2200 AcceptNew ["/key"], behind
    "#);
}

#[test]
fn a_jump_host_may_have_a_way_of_its_own() {
    let config = "\
        Host node\n ProxyJump near\n\
        Host near\n ProxyJump far\n\
        Host far\n ProxyCommand lead %r@%h:%p\n";
    insta::assert_snapshot!(way(config, &[]), @r#"
    `lead me@far:22` (~/.ssh/config:6)
    far: me@far:22 Ask [], behind
    near: me@near:22 Ask [], behind
    itself: ops@node:2200 AcceptNew ["/key"], behind
    "#);
    // Of the two the first one counts.
    insta::assert_snapshot!(way(config, &["-oProxyCommand=run %n"]), @r#"
    `run node` (the ssh argument -o ProxyCommand=run %n)
    itself: ops@node:2200 AcceptNew ["/key"], behind
    "#);
    insta::assert_snapshot!(way(config, &["-J", "none"]), @r#"itself: ops@node:2200 AcceptNew ["/key"]"#);
}

#[test]
fn ways_that_never_arrive_are_told_with_their_steps() {
    insta::assert_snapshot!(way("Host *\n ProxyJump bastion\n", &[]), @"jump host bastion: ~/.ssh/config:2: ProxyJump leads from bastion to bastion itself");
    insta::assert_snapshot!(way("Host node\n ProxyJump a\nHost a\n ProxyJump b\nHost b\n ProxyJump a\n", &[]), @r"
    ~/.ssh/config:6: ProxyJump leads in a circle
    the way is ops@node:2200 through me@a:22 through me@b:22 through me@a:22
    ProxyJump none for the jump host that is reached directly
    ");
    let many: String = (0..9)
        .map(|n| format!("Host h{n}\n ProxyJump h{}\n", n + 1))
        .collect();
    insta::assert_snapshot!(way(&many, &["-J", "h0"]), @r"
    ~/.ssh/config:16: the way has more than 8 jump hosts
    the way is ops@node:2200 through me@h0:22 through me@h1:22 through me@h2:22 through me@h3:22 through me@h4:22 through me@h5:22 through me@h6:22 through me@h7:22
    ProxyJump none for the jump host that is reached directly
    ");
    // Eight are let through.
    assert_eq!(way(&many, &["-J", "h2"]).lines().count(), 9);
}

#[test]
fn what_is_wrong_with_a_jump_host_names_it() {
    insta::assert_snapshot!(way("Host first\n RevokedHostKeys /r\n", &["-J", "first,second"]), @r"
    jump host first: ~/.ssh/config:2: RevokedHostKeys is not supported
    mark revoked keys in known_hosts (@revoked), and set RevokedHostKeys to none for this host
    ");
}
