//! A chart made by the tests, the pin for it, and fetching in a process of its own: the environment
//! (proxies, certificates, logins) belongs to a process.

use std::io::Write as _;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use monopg::artifacts::{Cache, fetch};
use monopg::error::Problem;
use monopg::settings::spec::{ChartPin, Sha256Hex, Source};
use sha2::{Digest as _, Sha256};
use url::Url;

/// A chart's archive as `helm package` makes it, as far as monopg looks at it.
pub fn chart(version: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let chart = format!("apiVersion: v2\nname: postgresql\nversion: {version}\n");
    for (path, content) in [
        ("postgresql/Chart.yaml", chart.as_str()),
        ("postgresql/values.yaml", "a: 1\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let mut encoder = tar.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// The pin of these bytes.
pub fn pin(source: Source, version: &str, archive: &[u8]) -> ChartPin {
    ChartPin {
        source,
        name: "postgresql".to_owned(),
        version: version.to_owned(),
        sha256: Sha256Hex::from(<[u8; 32]>::from(Sha256::digest(archive))),
    }
}

/// Those that a fetch listens to; none may come from whoever runs the tests.
const VARIABLES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// What runs in the process of its own, for the test program's one ignored test: fetches
/// `CASE_SOURCE` in the version `CASE_VERSION`, pinned to the file `CASE_ARCHIVE`, and writes what
/// became of it to `CASE_OUT`.
pub async fn case() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let source = match variable("CASE_SOURCE") {
        oci if oci.starts_with("oci://") => Source::Oci(oci),
        url => Source::Url(Url::parse(&url).unwrap()),
    };
    let archive = std::fs::read(variable("CASE_ARCHIVE")).unwrap();
    let pin = pin(source, &variable("CASE_VERSION"), &archive);
    let said = match fetch::chart(&pin, &Cache::none()).await {
        Ok(chart) => format!("fetched {} {}", chart.name, chart.version),
        Err(e) => {
            let problem = Problem::from(e);
            [vec![problem.what], problem.causes, problem.hints]
                .concat()
                .join("\n")
        }
    };
    std::fs::write(variable("CASE_OUT"), said).unwrap();
}

/// Starts this test program again for its ignored test `case`, and gives what became of the fetch.
/// HOME is an empty folder there, unless the environment says otherwise.
pub async fn fetched(
    source: &str,
    version: &str,
    archive: &[u8],
    environment: &[(&str, &str)],
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (pinned, out) = (folder.path().join("pinned"), folder.path().join("out"));
    std::fs::write(&pinned, archive).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "case", "--ignored"]);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
        .env("HOME", folder.path())
        .env("CASE_SOURCE", source)
        .env("CASE_VERSION", version)
        .env("CASE_ARCHIVE", pinned)
        .env("CASE_OUT", &out)
        .envs(environment.iter().copied());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stdout)
    );
    std::fs::read_to_string(out).unwrap()
}
