//! Charts out of a real OCI registry (the CNCF distribution project's), pushed by Helm itself and by
//! `oci-client`.
//!
//! The registry and Helm are built by `scripts/sandbox artifact`, which each test asks for them: what
//! is not there yet is built then, and a test fails when that fails.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod artifacts_support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use artifacts_support::{chart, fetched, pin};
use monopg::artifacts::{ArtifactError, Cache, HelmBinary, fetch};
use monopg::settings::spec::{Arch, HelmPin, Sha256Hex, Source};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

#[tokio::test]
#[ignore = "run by another test of this file, each time with an environment of its own"]
async fn case() {
    artifacts_support::case().await;
}

/// The path of a program or archive that `scripts/sandbox` builds.
fn artifact(name: &str) -> PathBuf {
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sandbox");
    let made = Command::new(&sandbox)
        .args(["artifact", name])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(
        made.status.success(),
        "`{} artifact {name}` failed; run it by hand, it needs Go and its module proxy:\n{said}",
        sandbox.display()
    );
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim_end())
}

/// A running registry with its own folder; it ends with the test.
struct Registry {
    process: Child,
    folder: TempDir,
    host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// With `htpasswd`, nobody gets in without a login.
    fn start(htpasswd: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\nhttp: {{addr: '127.0.0.1:0', secret: x}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n",
            file("data")
        );
        if let Some(users) = htpasswd {
            std::fs::write(file("users"), users).unwrap();
            config += &format!(
                "auth: {{htpasswd: {{realm: charts, path: {}}}}}\n",
                file("users")
            );
        }
        std::fs::write(file("config.yml"), config).unwrap();
        let mut process = Command::new(artifact("registry"))
            .args(["serve", &file("config.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It chooses a free port and says which.
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        let host = loop {
            let start = said.len();
            if log.read_line(&mut said).unwrap() == 0 {
                panic!("the registry ended: {said}");
            }
            let address = said[start..]
                .split_once("listening on ")
                .map(|(_, rest)| rest);
            if let Some(address) = address.and_then(|rest| rest.split('"').next()) {
                break address.to_owned();
            }
        };
        // Its log must be read on, or it stops when the pipe is full.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Registry {
            process,
            folder,
            host,
        }
    }

    fn name(&self, repository: &str) -> String {
        format!("oci://{}/{repository}", self.host)
    }

    /// Pushes a layer as `oci-client` does it.
    async fn push(&self, repository: &str, tag: &str, config: &str, layer: &str, content: &[u8]) {
        // Fails only if a provider is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        });
        let reference =
            Reference::with_tag(self.host.clone(), repository.to_owned(), tag.to_owned());
        let layers = [ImageLayer::new(content.to_vec(), layer.to_owned(), None)];
        let config = Config::new(b"{}".to_vec(), config.to_owned(), None);
        client
            .push(&reference, &layers, config, &RegistryAuth::Anonymous, None)
            .await
            .unwrap();
    }

    /// Where the registry keeps a blob.
    fn blob(&self, digest: &Sha256Hex) -> PathBuf {
        let hex = digest.as_str();
        let below = format!(
            "data/docker/registry/v2/blobs/sha256/{}/{hex}/data",
            &hex[..2]
        );
        self.folder.path().join(below)
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_chart_is_pulled_and_kept_by_its_digest() {
    let registry = Registry::start(None);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    // A `+` cannot be in a tag.
    let archive = chart("17.0.2+build.5");
    registry
        .push(
            "charts/postgresql",
            "17.0.2_build.5",
            CONFIG,
            LAYER,
            &archive,
        )
        .await;
    let pin = pin(
        Source::Oci(registry.name("charts/postgresql")),
        "17.0.2+build.5",
        &archive,
    );
    let pulled = fetch::chart(&pin, &cache).await.unwrap();
    assert_eq!(pulled.bytes, archive);
    assert_eq!(files(folder.path()), [pin.sha256.as_str()]);

    // From the cache when the registry is gone.
    drop(registry);
    assert_eq!(fetch::chart(&pin, &cache).await.unwrap().bytes, archive);
    let error = fetch::chart(&pin, &Cache::none()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Request { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_the_pinned_chart_is_refused() {
    let registry = Registry::start(None);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let archive = chart("17.0.2");
    let image = "application/vnd.oci.image.config.v1+json";
    registry
        .push("c/postgresql", "17.0.2", CONFIG, LAYER, &archive)
        .await;
    registry
        .push("c/postgresql", "17.0.3", CONFIG, LAYER, &chart("17.0.3"))
        .await;
    registry
        .push("c/image", "17.0.2", image, LAYER, &archive)
        .await;
    registry
        .push("c/lying", "17.0.2", CONFIG, LAYER, &chart("17.0.4"))
        .await;
    let source = |repository: &str| Source::Oci(registry.name(repository));
    let good = pin(source("c/postgresql"), "17.0.2", &archive);
    fetch::chart(&good, &Cache::none()).await.unwrap();

    let mut said = Vec::new();
    for pin in [
        pin(source("c/postgresql"), "17.0.3", &archive),
        pin(source("c/postgresql"), "17.0.9", &archive),
        pin(source("c/absent"), "17.0.2", &archive),
        pin(source("c/image"), "17.0.2", &archive),
        pin(source("c/lying"), "17.0.2", &chart("17.0.4")),
    ] {
        said.push(fetch::chart(&pin, &cache).await.unwrap_err().to_string());
    }
    // One flipped bit, and a truncated blob, on the registry's own disk.
    let blob = registry.blob(&good.sha256);
    let mut flipped = archive.clone();
    flipped[50] ^= 4;
    for content in [&flipped[..], &archive[..archive.len() - 1]] {
        std::fs::write(&blob, content).unwrap();
        said.push(fetch::chart(&good, &cache).await.unwrap_err().to_string());
    }
    let digest =
        |bytes: &[u8]| Sha256Hex::from(<[u8; 32]>::from(Sha256::digest(bytes))).to_string();
    let mut said = said.join("\n").replace(&registry.host, "HOST");
    for (bytes, name) in [
        (&archive[..], "PINNED"),
        (&flipped, "FLIPPED"),
        (&archive[..archive.len() - 1], "CUT"),
        (&chart("17.0.3"), "NEWER"),
    ] {
        said = said.replace(&digest(bytes), name);
    }
    let bytes = archive.len().to_string();
    insta::assert_snapshot!(said.replace(&bytes, "ALL").replace(&(archive.len() - 1).to_string(), "ALL-1"), @r"
    the chart archive oci://HOST/c/postgresql:17.0.3 names an archive with sha256 NEWER, wanted PINNED
    the chart archive oci://HOST/c/postgresql:17.0.9 cannot be fetched: the server answers 404
    the chart archive oci://HOST/c/absent:17.0.2 cannot be fetched: the server answers 404
    the chart archive oci://HOST/c/image:17.0.2 is no chart: its config is application/vnd.oci.image.config.v1+json
    the chart archive oci://HOST/c/lying:17.0.2 holds version '17.0.4', wanted '17.0.2'
    the chart archive oci://HOST/c/postgresql:17.0.2 has sha256 FLIPPED, wanted PINNED (ALL bytes)
    the chart archive oci://HOST/c/postgresql:17.0.2 has sha256 CUT, wanted PINNED (ALL-1 bytes)
    ");
    // The lying one was right as far as its digest goes, and that is what the cache keeps.
    let lying = pin(source("c/lying"), "17.0.4", &chart("17.0.4"));
    assert_eq!(files(folder.path()), [lying.sha256.as_str()]);
}

/// Helm out of the archive that the pin names, as the program does it, installed for this machine.
async fn helm(name: &str, folder: &Path) -> PathBuf {
    let archive = artifact(name);
    let version = archive.file_name().unwrap().to_str().unwrap();
    let version = version
        .trim_start_matches("helm-v")
        .split('-')
        .next()
        .unwrap();
    let arch = Arch::from_uname(std::env::consts::ARCH).unwrap();
    let digest = Sha256::digest(std::fs::read(&archive).unwrap());
    let pin = HelmPin {
        version: version.parse().unwrap(),
        sha256: BTreeMap::from([(arch, Sha256Hex::from(<[u8; 32]>::from(digest)))]),
        source: archive
            .to_str()
            .unwrap()
            .replace(version, "{version}")
            .replace(arch.as_str(), "{arch}"),
    };
    let HelmBinary { bytes, .. } = fetch::helm(&pin, arch, &Cache::none()).await.unwrap();
    let program = folder.join(name);
    std::fs::write(&program, bytes).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Runs Helm with everything that it keeps in `home`.
fn run(program: &Path, home: &Path, arguments: &[&str]) -> String {
    let ran = Command::new(program)
        .args(arguments)
        .env("HOME", home)
        .env_remove("HELM_REGISTRY_CONFIG")
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ran.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn what_helm_packs_pushes_and_logs_in_to_is_pulled() {
    // user:canary, as htpasswd -B makes it
    let users = "user:$2a$05$ZtKR6wNNNBOiIdEG.8028eXqjmK4k5iW8fgwlm3ildh3xoY3F0NCu\n";
    for name in ["helm3", "helm4"] {
        let registry = Registry::start(Some(users));
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let helm = helm(name, home).await;
        let (home_text, host) = (home.to_str().unwrap(), registry.host.as_str());
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chart/postgresql");
        run(
            &helm,
            home,
            &["package", chart.to_str().unwrap(), "-d", home_text],
        );
        let packed = home.join("postgresql-17.0.2.tgz");
        let login = [
            "registry",
            "login",
            host,
            "-u",
            "user",
            "-p",
            "canary",
            "--plain-http",
        ];
        run(&helm, home, &login);
        let to = registry.name("charts");
        run(
            &helm,
            home,
            &["push", packed.to_str().unwrap(), &to, "--plain-http"],
        );

        let archive = std::fs::read(&packed).unwrap();
        let source = registry.name("charts/postgresql");
        // With what `helm registry login` left, wherever it left it.
        let said = fetched(&source, "17.0.2", &archive, &[("HOME", home_text)]).await;
        assert_eq!(said, "fetched postgresql 17.0.2", "{name}");
        let anonymous = fetched(&source, "17.0.2", &archive, &[]).await;
        let wrong = home.join("wrong.json");
        // user:canarx
        std::fs::write(
            &wrong,
            format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"dXNlcjpjYW5hcng=\"}}}}}}"),
        )
        .unwrap();
        let wrong = [("HELM_REGISTRY_CONFIG", wrong.to_str().unwrap())];
        let refused = fetched(&source, "17.0.2", &archive, &wrong).await;
        assert!(!refused.contains("canar"), "{refused}");
        let said = format!("{anonymous}\n\n{refused}").replace(host, "HOST");
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r"
            the chart archive oci://HOST/charts/postgresql:17.0.2: the registry refuses access (it wants a login, asked anonymously)
            log in with: helm registry login HOST, or docker login HOST (plain entries; credential helpers are not run)

            the chart archive oci://HOST/charts/postgresql:17.0.2: the registry refuses access (it answers 401, asked as user)
            log in with: helm registry login HOST, or docker login HOST (plain entries; credential helpers are not run)
            ");
        }
    }
}
