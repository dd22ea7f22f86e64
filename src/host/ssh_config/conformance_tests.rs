//! What OpenSSH recorded with `ssh -G`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

/// The lines of `ssh -G` by keyword.
pub(super) type Dump = BTreeMap<String, Vec<String>>;

/// A configuration as `ssh -G` shows it, for all keywords that are read here, with OpenSSH's defaults.
pub(super) fn dump(config: &HostConfig, machine: &Machine) -> Dump {
    let mut dump = Dump::new();
    let mut put = |keyword: &str, values: Vec<String>| {
        dump.insert(keyword.to_owned(), values);
    };
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    fn or<T: Clone>(value: &Option<Sourced<T>>, default: T) -> T {
        value.as_ref().map_or(default, |s| s.value.clone())
    }
    fn given<T: ToString>(value: &Option<Sourced<T>>) -> Vec<String> {
        value.iter().map(|s| s.value.to_string()).collect()
    }
    let files = |files: &[Sourced<NamedFile>]| -> Vec<String> {
        files.iter().map(|f| f.value.written.clone()).collect()
    };
    let joined = |paths: &Option<Sourced<Vec<PathBuf>>>, default: [String; 2]| -> Vec<String> {
        let paths: Vec<String> = match paths {
            None => default.to_vec(),
            Some(s) if s.value.is_empty() => vec!["none".into()],
            Some(s) => s.value.iter().map(|p| p.display().to_string()).collect(),
        };
        vec![paths.join(" ")]
    };
    put("host", vec![config.original_host.clone()]);
    put("hostname", vec![config.host_name.value.clone()]);
    put("user", vec![or(&config.user, machine.user.clone())]);
    put("port", vec![or(&config.port, 22).to_string()]);
    put(
        "identitiesonly",
        vec![yes(or(&config.identities_only, false))],
    );
    put(
        "hashknownhosts",
        vec![yes(or(&config.hash_known_hosts, false))],
    );
    put("batchmode", vec![yes(or(&config.batch_mode, false))]);
    put(
        "passwordauthentication",
        vec![yes(or(&config.password_authentication, true))],
    );
    put(
        "kbdinteractiveauthentication",
        vec![yes(or(&config.kbd_interactive_authentication, true))],
    );
    put(
        "pubkeyauthentication",
        vec![or(&config.pubkey_authentication, true).to_string()],
    );
    put(
        "connectionattempts",
        vec![or(&config.connection_attempts, 1).to_string()],
    );
    put(
        "numberofpasswordprompts",
        vec![or(&config.number_of_password_prompts, 3).to_string()],
    );
    put(
        "serveraliveinterval",
        vec![
            or(&config.server_alive_interval, None)
                .unwrap_or(0)
                .to_string(),
        ],
    );
    put(
        "serveralivecountmax",
        vec![or(&config.server_alive_count_max, 3).to_string()],
    );
    let timeout = or(&config.connect_timeout, None);
    put(
        "connecttimeout",
        vec![timeout.map_or("none".into(), |s| s.to_string())],
    );
    let strict = match or(&config.strict_host_key_checking, StrictHostKeyChecking::Ask) {
        StrictHostKeyChecking::Yes => "true",
        StrictHostKeyChecking::Ask => "ask",
        StrictHostKeyChecking::AcceptNew => "accept-new",
        StrictHostKeyChecking::No => "false",
    };
    put("stricthostkeychecking", vec![strict.into()]);
    let family = match or(&config.address_family, AddressFamily::Any) {
        AddressFamily::Any => "any",
        AddressFamily::Inet => "inet",
        AddressFamily::Inet6 => "inet6",
    };
    put("addressfamily", vec![family.into()]);
    let agent = config.identity_agent.as_ref().map(|s| match &s.value {
        Agent::None => "none".to_owned(),
        Agent::Environment => "SSH_AUTH_SOCK".to_owned(),
        Agent::Socket(path) => path.display().to_string(),
    });
    put("identityagent", agent.into_iter().collect());
    let identities = files(&config.identity_files);
    // The defaults differ from version to version.
    if !identities.is_empty() {
        put("identityfile", identities);
    }
    put("certificatefile", files(&config.certificate_files));
    let own = |name: &str| format!("{}/.ssh/{name}", machine.home.display());
    put(
        "userknownhostsfile",
        joined(
            &config.user_known_hosts_files,
            [own("known_hosts"), own("known_hosts2")],
        ),
    );
    put(
        "globalknownhostsfile",
        joined(
            &config.global_known_hosts_files,
            [
                "/etc/ssh/ssh_known_hosts".into(),
                "/etc/ssh/ssh_known_hosts2".into(),
            ],
        ),
    );
    put("hostkeyalias", given(&config.host_key_alias));
    put("bindaddress", given(&config.bind_address));
    put("bindinterface", given(&config.bind_interface));
    put("pkcs11provider", given(&config.pkcs11_provider));
    let methods = config.preferred_authentications.iter();
    put(
        "preferredauthentications",
        methods.map(|s| s.value.join(",")).collect(),
    );
    let env = |env: &[Sourced<String>]| env.iter().map(|s| s.value.clone()).collect();
    put("sendenv", env(&config.send_env));
    put("setenv", env(&config.set_env));
    let (mut jump, mut command) = (Vec::new(), Vec::new());
    match config.proxy.as_ref().map(|s| &s.value) {
        None => {}
        Some(Proxy::Command(text)) => command.push(text.clone()),
        Some(Proxy::Jump(hops)) => jump.push(
            hops.iter()
                .map(|hop| {
                    let user = hop
                        .user
                        .as_ref()
                        .map(|u| format!("{u}@"))
                        .unwrap_or_default();
                    let port = hop.port.map(|p| format!(":{p}")).unwrap_or_default();
                    let host = match hop.host.contains(':') {
                        true => format!("[{}]", hop.host),
                        false => hop.host.clone(),
                    };
                    format!("{user}{host}{port}")
                })
                .collect::<Vec<_>>()
                .join(","),
        ),
    }
    put("proxyjump", jump);
    put("proxycommand", command);
    dump
}

/// What `ssh -G` said, by keyword.
pub(super) fn read_dump(text: &str) -> Dump {
    let mut dump = Dump::new();
    for line in text.lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        dump.entry(keyword.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    dump
}

/// The folder with OpenSSH's recorded answers.
fn folder() -> PathBuf {
    let root = std::env::var_os("MONOPG_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance"),
        PathBuf::from,
    );
    root.join("ssh-config")
}

/// Copies files, with the copy's own place in them, and as no umask can spoil them.
fn copy(from: &Path, to: &Path, root: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, root);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&target, text.replace("__DIR__", root)).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

#[test]
fn recorded_answers_of_openssh_are_ours() {
    let copied = tempfile::tempdir().unwrap();
    copy(&folder(), copied.path(), copied.path().to_str().unwrap());
    let mut machine = Machine::testing("/root", &[]);
    machine.user = "root".into();
    let (mut cases, mut compared) = (0, 0);
    for entry in std::fs::read_dir(copied.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(host) = name.strip_prefix("G-").and_then(|n| n.strip_suffix(".txt")) else {
            continue;
        };
        let expected = read_dump(&std::fs::read_to_string(&path).unwrap());
        let config = evaluate(&Request {
            // The recording shows the host in lower case; what was asked for is in the file's name.
            host,
            assignments: &[],
            files: Files::Only(copied.path().join("config")),
            machine: &machine,
        })
        .unwrap();
        assert!(config.warnings.is_empty(), "{host}: {:?}", config.warnings);
        let ours = dump(&config, &machine);
        for (keyword, values) in &expected {
            if let Some(ours) = ours.get(keyword) {
                assert_eq!(ours, values, "{host}: {keyword}");
                compared += 1;
            }
        }
        cases += 1;
    }
    assert!(cases >= 6 && compared >= cases * 10, "{cases} {compared}");
}
