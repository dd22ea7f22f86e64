use std::time::Duration;

use super::*;

fn connection(args: &[&str]) -> Connection {
    Connection {
        user: Some("ops".into()),
        ssh_args: args.iter().map(|a| (*a).to_owned()).collect(),
        timeout: Duration::from_secs(1),
        ..Connection::to("Node")
    }
}

/// A machine without any configuration.
fn machine() -> Machine {
    Machine::testing("/nowhere/home", &[("SSH_AUTH_SOCK", "/agent")])
}

/// The host itself.
fn resolve_on(machine: &Machine, connection: &Connection) -> Result<Options, HostError> {
    Options::resolve_on(machine, connection).map(|(options, _)| options)
}

fn resolve(args: &[&str]) -> Options {
    resolve_on(&machine(), &connection(args)).unwrap()
}

/// What is wrong, with all problems and hints.
fn refused_of(machine: &Machine, connection: &Connection) -> String {
    match resolve_on(machine, connection).unwrap_err() {
        HostError::Config {
            what,
            problems,
            hints,
        } => {
            let problems = problems.into_iter().map(|p| format!("\n- {p}"));
            let hints = hints.into_iter().map(|h| format!("\n! {h}"));
            format!("{what}{}", problems.chain(hints).collect::<String>())
        }
        other => panic!("{other:?}"),
    }
}

fn refused(args: &[&str]) -> String {
    refused_of(&machine(), &connection(args))
}

/// A home with a configuration.
fn home(config: &str) -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".ssh")).unwrap();
    let file = folder.path().join(".ssh/config");
    std::fs::write(&file, config).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    let machine = Machine::testing(folder.path(), &[]);
    (folder, machine)
}

#[test]
fn options_are_read_in_every_spelling() {
    for args in [
        &["-o", "HostKeyAlias=k"][..],
        &["-oHostKeyAlias=k"],
        &["-o", "hostkeyalias k"],
        &["-o", "HostKeyAlias = \"k\""],
        &["-C", "-o", "HostKeyAlias=k", "-o", "HostKeyAlias=later"],
    ] {
        assert_eq!(resolve(args).target.alias.as_deref(), Some("k"), "{args:?}");
    }
    let options = resolve(&[
        "-Cp2222",
        "-i",
        "/dev/null",
        "-oIdentityFile=~/b",
        "-oStrictHostKeyChecking=accept-new",
        "-oIdentitiesOnly=yes",
        "-oUserKnownHostsFile=/k1 /k2",
        "-oControlMaster=auto",
        "-oCanonicalDomains=x",
        "-oServerAliveInterval=5",
        "-6b::1",
        "-e",
        "none",
        "-i/nowhere/key",
    ]);
    assert_eq!(options.target.port, 2222);
    assert_eq!(options.address(), "node:2222");
    assert_eq!(
        options.identities,
        [PathBuf::from("/dev/null"), "/nowhere/home/b".into()]
    );
    assert_eq!(options.strict, Strict::AcceptNew);
    assert!(options.identities_only && options.identities_named);
    assert_eq!(
        options.user_known_hosts,
        [PathBuf::from("/k1"), PathBuf::from("/k2")]
    );
    assert_eq!(
        (options.keepalive, options.keepalives),
        (Duration::from_secs(5), 3)
    );
    assert_eq!(options.address_family, AddressFamily::Inet6);
    assert_eq!(options.bind_address.as_deref(), Some("::1"));
    assert_eq!(
        options.warnings,
        [
            "ssh argument ignored: -e none",
            "ssh argument ignored: -i /nowhere/key: there is no such file"
        ]
    );
}

#[test]
fn host_key_checking_switched_off_accepts_new_keys_only() {
    let (_folder, machine) = home("Host *\n StrictHostKeyChecking yes\n");
    let mut connection = connection(&[]);
    let strict = |c: &Connection| resolve_on(&machine, c).unwrap().strict;
    assert_eq!(strict(&connection), Strict::Yes);
    connection.host_key_checking = false;
    assert_eq!(strict(&connection), Strict::AcceptNew);
}

#[test]
fn variables_win_over_arguments_and_these_over_the_file() {
    let (_folder, machine) = home(
        "Host node\n HostName 10.0.0.9\nHost *\n User file\n Port 3\n IdentityFile ~/.ssh/third\n HostKeyAlias One\n",
    );
    let mut connection = connection(&["-l", "eve", "-p", "1", "-oIdentityFile=/second"]);
    connection.address = "node".into();
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!((options.user.as_str(), options.target.port), ("ops", 1));
    connection.port = Some(2);
    connection.private_key = Some("/first".into());
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!((options.user.as_str(), options.target.port), ("ops", 2));
    assert_eq!(options.target.host, "10.0.0.9");
    assert_eq!(options.target.alias.as_deref(), Some("one"));
    assert_eq!(
        options.identities,
        [
            PathBuf::from("/first"),
            "/second".into(),
            machine.home.join(".ssh/third")
        ]
    );
    connection.user = None;
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!(options.user, "eve");
    connection.ssh_args.clear();
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!(options.user, "file");
    // The login of `user@host` stands between arguments and files.
    connection.address = "ann@node".into();
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!(
        (options.user.as_str(), options.target.host.as_str()),
        ("ann", "10.0.0.9")
    );
    connection.address = "node".into();
    for none in [["-F", "none"], ["-F", "/dev/null"]] {
        connection.ssh_args = none.map(str::to_owned).to_vec();
        let options = resolve_on(&machine, &connection).unwrap();
        assert_eq!(
            (options.user.as_str(), options.target.host.as_str()),
            ("me", "node")
        );
    }
}

#[test]
fn the_file_of_the_user_wins_over_the_system_s() {
    let (folder, machine) = home("Host node\n Port 3\n");
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    std::fs::write(
        folder.path().join("etc/ssh_config"),
        "Port 4\nHashKnownHosts yes\nGSSAPIAuthentication yes\nSendEnv LANG LC_*\nInclude conf.d/*\n",
    )
    .unwrap();
    let mut connection = connection(&[]);
    connection.address = "node".into();
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!((options.target.port, options.hash_known_hosts), (3, true));
    connection.address = "other".into();
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!(options.target.port, 4);
    let sources: Vec<String> = options
        .settings
        .iter()
        .map(|s| format!("{} ({})", s.value, s.origin).replace(folder.path().to_str().unwrap(), ""))
        .collect();
    insta::assert_snapshot!(sources.join("\n"), @r"
    HashKnownHosts yes (/etc/ssh_config:2)
    Port 4 (/etc/ssh_config:1)
    SendEnv LANG LC_* (/etc/ssh_config:4)
    User ops (ansible_user)
    ");
}

#[test]
fn the_defaults_are_openssh_s() {
    let options = resolve(&[]);
    let home = PathBuf::from("/nowhere/home/.ssh");
    assert_eq!(options.target.port, 22);
    assert_eq!(
        options.identities,
        ["id_rsa", "id_ecdsa", "id_ed25519"].map(|n| home.join(n))
    );
    assert_eq!(
        options.user_known_hosts,
        ["known_hosts", "known_hosts2"].map(|n| home.join(n))
    );
    assert_eq!(options.strict, Strict::Ask);
    assert_eq!(options.agent, Some("/agent".into()));
    assert_eq!((options.attempts, options.keepalives), (1, 2));
    assert_eq!(options.keepalive, Duration::from_secs(8));
    assert!(!options.identities_named && options.warnings.is_empty());
    // Named, but none: nothing is put in their place.
    let options = resolve(&["-oIdentityFile=none", "-oIdentityAgent=none"]);
    assert!(options.identities_named && options.identities.is_empty());
    assert_eq!(options.agent, None);
}

#[test]
fn lists_of_algorithms_let_through() {
    for (list, name, expected) in [
        ("rsa-sha2-*", "rsa-sha2-512", true),
        ("rsa-sha2-*", "ssh-ed25519", false),
        ("+ssh-rsa", "ssh-ed25519", true),
        ("^ssh-ed25519", "rsa-sha2-512", true),
        ("-ssh-ed25519,ecdsa*", "ssh-ed25519", false),
        ("-ssh-ed25519,ecdsa*", "rsa-sha2-512", true),
    ] {
        let options = resolve(&[&format!("-oHostKeyAlgorithms={list}")]);
        assert_eq!(options.wants_algorithm(name), expected, "{list} {name}");
        let options = resolve(&[&format!("-oCASignatureAlgorithms={list}")]);
        assert_eq!(options.wants_authority(name), expected, "{list} {name}");
    }
    assert!(resolve(&[]).wants_algorithm("ssh-ed25519"));
}

#[test]
fn settings_of_keepalive_only_make_silence_shorter() {
    for (interval, count, expected) in [
        (None, None, (8, 2)),
        (None, Some(9), (8, 2)),
        // Switched off, for OpenSSH.
        (Some(0), Some(1), (8, 2)),
        (Some(60), None, (8, 2)),
        (Some(60), Some(1), (8, 1)),
        (Some(5), None, (5, 3)),
        (Some(5), Some(100), (5, 3)),
        (Some(1), Some(0), (1, 1)),
        (Some(1), Some(100), (1, 23)),
    ] {
        assert_eq!(
            keepalive(interval, count),
            expected,
            "{interval:?} {count:?}"
        );
    }
}

#[test]
fn methods_are_switched_off_one_by_one() {
    let mut connection = connection(&[
        "-oPreferredAuthentications=publickey,keyboard-interactive",
        "-oPubkeyAuthentication=no",
    ]);
    let methods = resolve_on(&machine(), &connection).unwrap().methods;
    // Without a password Ansible names the methods itself.
    assert_eq!(
        (
            methods.password.is_ok(),
            methods.keyboard_interactive.is_ok()
        ),
        (true, true)
    );
    connection.password = Some(crate::secrets::Secret::from("x"));
    let methods = resolve_on(&machine(), &connection).unwrap().methods;
    assert_eq!(
        methods.publickey.unwrap_err(),
        "the ssh argument -o PubkeyAuthentication=no: PubkeyAuthentication no"
    );
    assert_eq!(
        methods.password.unwrap_err(),
        "the ssh argument -o PreferredAuthentications=publickey,keyboard-interactive: PreferredAuthentications without password"
    );
    assert_eq!(methods.keyboard_interactive, Ok(()));
    connection.ssh_args = vec!["-oPreferredAuthentications=gssapi-with-mic".into()];
    insta::assert_snapshot!(refused_of(&machine(), &connection), @r"
    no way to log in is left that monopg speaks
    - the ssh argument -o PreferredAuthentications=gssapi-with-mic: PreferredAuthentications without publickey
    - the ssh argument -o PreferredAuthentications=gssapi-with-mic: PreferredAuthentications without password
    - the ssh argument -o PreferredAuthentications=gssapi-with-mic: PreferredAuthentications without keyboard-interactive
    ! monopg speaks publickey, password and keyboard-interactive
    ");
}

#[test]
fn what_leads_elsewhere_is_refused_not_ignored() {
    for (args, why) in [
        (
            &["-oRevokedHostKeys=/f"][..],
            "the ssh argument -o RevokedHostKeys=/f: RevokedHostKeys is not supported",
        ),
        (
            &["-Beth0"],
            "the ssh argument -B eth0: BindInterface is not supported",
        ),
        (&["host"], "the ssh argument host is not supported"),
        (&["-W", "a:1"], "the ssh argument -W a:1 is not supported"),
        (&["-p"], "the ssh argument -p lacks its value"),
        (&["-!"], "the ssh argument -! is not supported"),
        (
            &["-oPort=x"],
            "the ssh argument -o Port=x: Port takes a port from 1 to 65535, not \"x\"",
        ),
        (
            &["-p0"],
            "the ssh argument -p 0: Port takes a port from 1 to 65535, not \"0\"",
        ),
        (
            &["-oHost=x"],
            "the ssh argument -o Host=x: Host has no meaning on the command line",
        ),
        (
            &["-F/nowhere/config"],
            "the ssh argument -F /nowhere/config: there is no such file",
        ),
        (
            &["-oStrictHostKeyChecking=perhaps"],
            "the ssh argument -o StrictHostKeyChecking=perhaps: StrictHostKeyChecking takes one of yes, no, true, false, ask, off, accept-new, not \"perhaps\"",
        ),
    ] {
        let text = refused(args);
        assert_eq!(text.lines().next(), Some(why));
    }
    for name in ["-evil", "a;b", "", "@x"] {
        let mut connection = connection(&[]);
        connection.address = name.into();
        refused_of(&machine(), &connection);
    }
    resolve(&["-oProxyCommand=none", "-oProxyJump=none"]);
}

#[test]
fn everything_that_is_refused_is_named_with_its_line() {
    let (folder, machine) = home(
        "Host node\n ForwardAgent no\n AddKeysToAgent yes\n PKCS11Provider /p\n SecurityKeyProvider /s\n\
         RevokedHostKeys /r\n KnownHostsCommand /k\n BindInterface e\n CanonicalizeHostname yes\n\
         CanonicalizePermittedCNAMEs a:b\n CASignatureAlgorithms ssh-ed25519\n GSSAPIAuthentication yes\n\
         RefuseConnection \"not from here\"\n\
         Host other\n ProxyJump none\n CanonicalizeHostname no\n SecurityKeyProvider internal\n RevokedHostKeys none\n",
    );
    let mut connection = connection(&[]);
    connection.address = "node".into();
    let text = refused_of(&machine, &connection).replace(folder.path().to_str().unwrap(), "");
    insta::assert_snapshot!(text, @r"
    the SSH configuration has 8 problems
    - /.ssh/config:10: CanonicalizePermittedCNAMEs is not supported
    - /.ssh/config:6: RevokedHostKeys is not supported
    - /.ssh/config:7: KnownHostsCommand is not supported
    - /.ssh/config:4: PKCS11Provider is not supported
    - /.ssh/config:5: SecurityKeyProvider is not supported
    - /.ssh/config:8: BindInterface is not supported
    - /.ssh/config:9: CanonicalizeHostname is not supported
    - /.ssh/config:13: RefuseConnection: not from here
    ! write the host's full name, and set CanonicalizePermittedCNAMEs to none for this host
    ! mark revoked keys in known_hosts (@revoked), and set RevokedHostKeys to none for this host
    ! put the keys into known_hosts, and set KnownHostsCommand to none for this host
    ! load the key into ssh-agent, and set PKCS11Provider to none for this host
    ! load the key into ssh-agent, and set SecurityKeyProvider to none for this host
    ! BindAddress is: name the interface's address
    ! write the host's full name, and CanonicalizeHostname no for it
    ");
    connection.address = "other".into();
    resolve_on(&machine, &connection).unwrap();
}

#[test]
fn what_authentication_asks_for_is_carried_over() {
    let options = resolve(&[]);
    assert_eq!((options.prompts, options.batch), (3, false));
    assert!(options.certificates.is_empty());
    let (_folder, machine) = home(
        "CertificateFile ~/c\nCertificateFile none\nNumberOfPasswordPrompts 1\nBatchMode yes\n\
         PreferredAuthentications password,hostbased,publickey\n",
    );
    let mut connection = connection(&["-oCertificateFile=/first"]);
    connection.password = Some(crate::secrets::Secret::from("x"));
    let options = resolve_on(&machine, &connection).unwrap();
    assert_eq!(
        options.certificates,
        [PathBuf::from("/first"), machine.home.join("c")]
    );
    assert_eq!((options.prompts, options.batch), (1, true));
    let order: Vec<&str> = options.methods.order.iter().map(Into::into).collect();
    assert_eq!(order, ["password", "publickey", "keyboard-interactive"]);
    assert!(options.methods.keyboard_interactive.is_err());
    // Without a password Ansible itself says that keys are all there is.
    connection.password = None;
    let options = resolve_on(&machine, &connection).unwrap();
    let order: Vec<&str> = options.methods.order.iter().map(Into::into).collect();
    assert_eq!(order, ["publickey", "keyboard-interactive", "password"]);
}
