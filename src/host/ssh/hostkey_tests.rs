use russh::keys::PublicKey;

use super::*;
use crate::host::person::Person;
use crate::host::ssh_config::Machine;
use crate::settings::spec::Connection;

fn key(kind: &str) -> PublicKeyOrCertificate {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/known-hosts");
    let text = std::fs::read_to_string(folder.join(format!("hk_{kind}.pub"))).unwrap();
    PublicKey::from_openssh(&text).unwrap().into()
}

/// What judges one connection to a host of which nothing is written down.
fn trust(person: &Arc<Person>, host: &str, checking: &str) -> Trust {
    let connection = Connection {
        user: Some("root".into()),
        ssh_args: [
            "-F",
            "none",
            "-oUserKnownHostsFile=none",
            "-oGlobalKnownHostsFile=none",
            &format!("-oStrictHostKeyChecking={checking}"),
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Connection::to("192.0.2.1")
    };
    let machine = Machine::testing("/nonexistent", &[]);
    let (options, _) = Options::resolve_on(&machine, &connection).unwrap();
    let asker = Asker::new(Arc::clone(person), host);
    Trust::new(Arc::new(options), None, Reason::default(), asker)
}

async fn shown(trust: &mut Trust, kind: &str) -> Result<(), String> {
    match trust.check_server_key(&key(kind)).await {
        Ok(true) => Ok(()),
        Ok(false) => panic!("refused without a word"),
        Err(Stop::HostKey(error)) => Err(error.to_string()),
        Err(Stop::Ssh(error)) => panic!("{error}"),
    }
}

const SWAPPED: &str = "the host key of 192.0.2.1 has changed in the middle of the run";

#[tokio::test]
async fn another_key_in_the_middle_of_a_connection_is_refused() {
    let nobody = Person::nobody("nobody can be asked");
    let mut trust = trust(&nobody, "k3s", "accept-new");
    shown(&mut trust, "ed25519").await.unwrap();
    shown(&mut trust, "ed25519").await.unwrap();
    let why = shown(&mut trust, "ecdsa").await.unwrap_err();
    assert!(why.starts_with(SWAPPED), "{why}");
    // The first one is still the one.
    shown(&mut trust, "ed25519").await.unwrap();
}

#[tokio::test]
async fn another_key_at_the_next_connection_of_a_run_is_refused_though_nothing_is_written_down() {
    let nobody = Person::nobody("nobody can be asked");
    for (host, checking, kind, accepted) in [
        ("k3s", "no", "ed25519", true),
        ("k3s", "accept-new", "ed25519", true),
        ("k3s", "no", "ecdsa", false),
        // The same address may lead elsewhere behind another jump host.
        ("other", "no", "ecdsa", true),
    ] {
        let judged = shown(&mut trust(&nobody, host, checking), kind).await;
        assert_eq!(judged.is_ok(), accepted, "{host} {kind}: {judged:?}");
        if let Err(why) = judged {
            assert!(why.starts_with(SWAPPED), "{why}");
        }
    }
    let next_run = Person::nobody("nobody can be asked");
    shown(&mut trust(&next_run, "k3s", "no"), "ecdsa")
        .await
        .unwrap();
}
