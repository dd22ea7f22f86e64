#![allow(warnings, clippy::all, clippy::pedantic, clippy::restriction)]
use monopg::engine::{emit::Emitter, event::*, run::*};
use monopg::host::Host;
use monopg::host::channel::Channel;
use monopg::settings::*;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
struct P;
impl Sink for P {
    fn event(&self, e: &Event) {
        eprintln!("{}", serde_json::to_string(e).unwrap());
    }
}
fn env(k: &str) -> String {
    std::env::var(k).unwrap_or_else(|_| panic!("{k}"))
}
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let d = PathBuf::from(env("D"));
    let conn = Connection {
        via: Via::Ssh,
        address: env("ADDR"),
        port: None,
        user: Some("root".into()),
        private_key: Some(d.join("key")),
        password: None,
        ssh_args: vec![
            "-o".into(),
            format!("UserKnownHostsFile={}", d.join("known_hosts").display()),
        ],
        host_key: None,
        timeout: Duration::from_secs(10),
        become_root: Become {
            enabled: true,
            password: None,
            exe: "sudo".into(),
            flags: None,
        },
    };
    let spec = Spec {
        chart: ChartPin {
            source: Source::File(env("CHART").into()),
            name: "postgresql".into(),
            version: "17.0.2".into(),
            sha256: Sha256Hex::parse(&env("CHART_SHA")).unwrap(),
        },
        helm: HelmPin {
            version: semver::Version::parse(&env("HELM_VERSION")).unwrap(),
            sha256: BTreeMap::from([(Arch::Amd64, Sha256Hex::parse(&env("HELM_SHA")).unwrap())]),
            source: env("HELM"),
        },
        release: "postgresql".into(),
        namespace: "data".into(),
        storage_path: "/srv/k3s-storage".into(),
        storage_class: "local-path".into(),
        volume_size: Bytes {
            text: "1Gi".into(),
            bytes: 1 << 30,
        },
        username: Some("app".into()),
        database: "app".into(),
        values_files: vec![],
        extra_deploy: vec![],
        credentials: BTreeMap::from([
            ("postgres-password".into(), "s3cret-admin".into()),
            ("password".into(), "s3cret-app".into()),
        ]),
        allowed_clients: vec![],
        metrics: false,
        metrics_clients: vec![],
        private_cidrs: vec![],
        image: Some(ImageMapping {
            registry: None,
            repository: Some("bitnamilegacy/postgresql".into()),
            tag: None,
            digest: None,
        }),
    };
    let steps = monopg::steps::all(&spec, &monopg::artifacts::cache::Cache::none(), false);
    let t = std::time::Instant::now();
    let channel = Channel::open("n1", &conn)
        .await
        .unwrap_or_else(|e| panic!("{e:?}"));
    eprintln!("opened {:?}", t.elapsed());
    let check = std::env::args().nth(1).as_deref() == Some("plan");
    let o = Options {
        check,
        wait: Duration::from_secs(180),
        run_id: channel_id(),
        holder: (!check).then(|| "me".into()),
        cancel: Default::default(),
    };
    let em = Emitter::new(Arc::new(P), Default::default());
    let (r, a) = converge(&channel, &steps, &o, &em.host("n1")).await;
    eprintln!("{}", serde_json::to_string_pretty(&serde_json::json!({"changed": r.changed, "failed": r.failed, "msg": r.msg, "exit": r.exit, "errors": r.errors, "warnings": r.warnings, "rt": r.round_trips})).unwrap());
    eprintln!("total {:?}", t.elapsed());
}
fn channel_id() -> String {
    monopg::host::channel::nonce().unwrap()
}
