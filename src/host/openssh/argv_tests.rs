use super::*;
use crate::settings::spec::Via;

fn connection() -> Connection {
    Connection {
        via: Via::OpenSsh,
        ..Connection::to("node")
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The part that is as Ansible's.
fn ansibles(connection: &Connection) -> String {
    let args = arguments(connection, &[]).unwrap().join(" ");
    let (own, rest) = args.split_once(" -o LogLevel=DEBUG3 ").unwrap();
    assert!(own.starts_with("-e none -o NoHostAuthenticationForLocalhost=no "));
    rest.strip_suffix(" -o BatchMode=yes").unwrap().to_owned()
}

#[test]
fn variables_come_in_ansibles_order_and_before_the_arguments() {
    assert_eq!(
        ansibles(&connection()),
        "-o KbdInteractiveAuthentication=no -o PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey \
         -o PasswordAuthentication=no -o ConnectTimeout=10"
    );
    let all = Connection {
        port: Some(2222),
        user: Some("ops".into()),
        private_key: Some("/a b/id".into()),
        host_key_checking: false,
        timeout: Duration::from_secs(33),
        ssh_args: words("-o Port=1 -J jump -F /f"),
        ..connection()
    };
    assert_eq!(
        ansibles(&all),
        "-o StrictHostKeyChecking=no -o Port=2222 -o IdentityFile=\"/a b/id\" -o KbdInteractiveAuthentication=no \
         -o PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey -o PasswordAuthentication=no \
         -o User=\"ops\" -o ConnectTimeout=33 -o Port=1 -J jump -F /f"
    );
}

#[test]
fn arguments_that_would_make_it_another_session_do_not_get_through() {
    for (args, kept) in [
        (
            "-C -oControlMaster=auto -o ControlPersist=60s -o CONTROLPATH=/x",
            "-C",
        ),
        ("-vvvC -4 -tt -N -f -n", "-C -4"),
        ("-S /x -e ~ -E /log -p 1", "-p 1"),
        ("-CoPort=7 -l me", "-C -o Port=7 -l me"),
        (
            "-oProxyCommand=nc -i /k -I /lib.so -b ::1 -c aes256-ctr",
            "-o ProxyCommand=nc -i /k -I /lib.so -b ::1 -c aes256-ctr",
        ),
    ] {
        // In one word what ssh's own getopt would take as one.
        assert_eq!(given(&words(args)).unwrap().join(" "), kept, "{args}");
    }
    for args in [
        "elsewhere",
        "-C -- x",
        "-",
        "-L 1:h:2",
        "-W h:1",
        "-O exit",
        "-CD 1",
        "-Z",
        "-p",
    ] {
        let error = given(&words(args)).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Settings, "{args}");
    }
}

#[test]
fn host_keys_are_never_judged_more_leniently_than_by_the_built_in_client() {
    for (said, wanted) in [
        ("false", "accept-new"),
        ("off", "accept-new"),
        ("accept-new", "accept-new"),
        ("true", "yes"),
        ("ask", "yes"),
        ("something-new", "yes"),
    ] {
        let resolved = Resolved::parse(&format!("stricthostkeychecking {said}\n"));
        assert_eq!(
            resolved.corrections[0],
            format!("StrictHostKeyChecking={wanted}"),
            "{said}"
        );
        let nocheck = Connection {
            host_key_checking: false,
            ssh_args: words("-o StrictHostKeyChecking=no"),
            ..connection()
        };
        let args = arguments(&nocheck, &resolved.corrections).unwrap();
        let first = args.iter().find(|a| a.starts_with("StrictHostKeyChecking"));
        assert_eq!(first, Some(&format!("StrictHostKeyChecking={wanted}")));
    }
}

#[test]
fn silence_is_noticed_within_half_a_minute_whatever_files_say() {
    for (interval, count, wanted) in [
        (0, 3, (8, 2)),
        (600, 100, (8, 2)),
        (5, 3, (5, 3)),
        (5, 100, (5, 3)),
        (1, 0, (1, 1)),
    ] {
        let text = format!("serveraliveinterval {interval}\nserveralivecountmax {count}\n");
        let (interval, count) = wanted;
        assert_eq!(
            Resolved::parse(&text).corrections[1..],
            [
                format!("ServerAliveInterval={interval}"),
                format!("ServerAliveCountMax={count}")
            ],
            "{text}"
        );
    }
}

#[test]
fn the_answer_of_ssh_is_read() {
    let text = "host alias\nuser ops\nhostname 2001:db8::7\nport 2222\nbatchmode yes\nsessiontype none\nstdinnull yes\n\
                forkafterauthentication no\nconnectionattempts 3\nhostkeyalias k\nuserknownhostsfile /a /b\n";
    let resolved = Resolved::parse(text);
    assert_eq!(resolved.address(), "[2001:db8::7]:2222");
    assert_eq!(resolved.user, "ops");
    assert_eq!(resolved.known_hosts, "/a");
    assert_eq!(resolved.alias.as_deref(), Some("k"));
    assert!(!resolved.asks);
    assert_eq!(
        resolved.corrections[3..],
        ["SessionType=default", "StdinNull=no"]
    );
    assert_eq!(
        resolved.limit(Duration::from_secs(9)),
        Duration::from_secs(30)
    );
    assert!(Resolved::parse("batchmode no\n").asks);
}
