//! Fetching from files and servers, honest and otherwise.

use std::collections::BTreeMap;
use std::time::Instant;

use super::test_server::{Reply, Server, Then, ok, redirect, status};
use super::*;
use crate::artifacts::testing::{chart as chart_archive, elf, tgz};
use crate::error::Problem;

fn limits() -> Limits {
    Limits {
        archive: 1 << 20,
        index: 10_000,
        manifest: 10_000,
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(1),
        total: Duration::from_millis(2500),
    }
}

fn pin(source: Source, archive: &[u8]) -> ChartPin {
    ChartPin {
        source,
        name: "postgresql".to_owned(),
        version: "17.0.2".to_owned(),
        sha256: sha256(archive),
    }
}

async fn get(pin: &ChartPin, cache: &Cache) -> Result<ChartArchive, ArtifactError> {
    let want = Want {
        artifact: Artifact::Chart,
        sha256: &pin.sha256,
        version: &pin.version,
        limits: limits(),
    };
    chart_within(pin, cache, &want).await
}

/// Everything that a person sees, without what changes from run to run.
fn problem(error: &ArtifactError, hide: &[(&str, &str)]) -> String {
    assert_eq!(error.exit().code(), 30);
    let problem = Problem::from(error);
    let mut text = format!("{} {}", problem.id, problem.what);
    for cause in problem.causes {
        text += &format!("\ncaused by: {cause}");
    }
    for hint in problem.hints {
        text += &format!("\nhint: {hint}");
    }
    for (what, name) in hide {
        text = text.replace(what, name);
    }
    text
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_file_is_read_verified_and_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let archive = chart_archive("postgresql", "17.0.2");
    let path = folder.path().join("p.tgz");
    std::fs::write(&path, &archive).unwrap();
    let got = chart(&pin(Source::File(path), &archive), &cache)
        .await
        .unwrap();
    assert_eq!(got.bytes, archive);
    assert_eq!(files(&folder.path().join("cache")), [""; 0]);
}

#[tokio::test]
async fn files_that_are_not_the_pinned_chart() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let good = chart_archive("postgresql", "17.0.2");
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Source::File(path)
    };
    let large = vec![0; (1 << 20) + 1];
    let newer = chart_archive("postgresql", "17.0.3");
    let other = chart_archive("mysql", "17.0.2");
    let unsafe_one = tgz(&[("a/Chart.yaml", ""), ("b/Chart.yaml", "")]);
    let cases = [
        pin(write("flipped.tgz", &flipped), &good),
        pin(write("cut.tgz", &good[..good.len() - 1]), &good),
        pin(write("large.tgz", &large), &large),
        pin(write("newer.tgz", &newer), &newer),
        pin(write("other.tgz", &other), &other),
        pin(write("unsafe.tgz", &unsafe_one), &unsafe_one),
        pin(Source::File(folder.path().join("absent.tgz")), &good),
        pin(Source::File(folder.path().to_owned()), &good),
    ];
    let (wanted, found, cut) = (
        sha256(&good),
        sha256(&flipped),
        sha256(&good[..good.len() - 1]),
    );
    let mut said = Vec::new();
    for pin in cases {
        let error = get(&pin, &Cache::none()).await.unwrap_err();
        said.push(problem(
            &error,
            &[
                (&root, "/folder"),
                (wanted.as_str(), "WANTED"),
                (found.as_str(), "FLIPPED"),
                (cut.as_str(), "CUT"),
                (&format!("({} bytes)", good.len()), "(ALL bytes)"),
                (&format!("({} bytes)", good.len() - 1), "(ALL-1 bytes)"),
            ],
        ));
    }
    insta::assert_snapshot!(said.join("\n\n"), @r#"
    artifact.digest the chart archive /folder/flipped.tgz has sha256 FLIPPED, wanted WANTED (ALL bytes)
    hint: compare it with the digest that the publisher states; if the pin is right, fetch the archive anew
    hint: only if this is the intended archive, set monopg_chart_sha256: "FLIPPED"

    artifact.digest the chart archive /folder/cut.tgz has sha256 CUT, wanted WANTED (ALL-1 bytes)
    hint: compare it with the digest that the publisher states; if the pin is right, fetch the archive anew
    hint: only if this is the intended archive, set monopg_chart_sha256: "CUT"

    artifact.damaged the chart archive /folder/large.tgz is larger than 1 MiB, more than such an archive can have
    hint: monopg_chart does not name the archive that it should; check it

    artifact.version the chart archive /folder/newer.tgz holds version '17.0.3', wanted '17.0.2'
    hint: correct monopg_chart, or set monopg_chart_version: "17.0.3"

    artifact.name the chart archive /folder/other.tgz holds the chart 'mysql', wanted 'postgresql'
    hint: correct monopg_chart, or set monopg_chart_name: mysql

    artifact.unsafe the chart archive /folder/unsafe.tgz is refused: entry 'b/Chart.yaml'
    caused by: it lies outside of the archive's one top folder
    hint: pack it anew: helm package DIR, or helm pull … --version …; then set monopg_chart_sha256 to its digest

    artifact.file the chart archive /folder/absent.tgz cannot be read
    caused by: No such file or directory (os error 2)
    hint: put the archive there, or correct monopg_chart (a relative path starts at the inventory's folder)

    artifact.file the chart archive /folder is not a plain file
    hint: monopg_chart wants the packed chart: helm package /folder
    "#);
}

#[tokio::test]
async fn a_fifo_does_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let error = get(&pin(Source::File(path), b""), &Cache::none())
        .await
        .unwrap_err();
    assert!(matches!(error, ArtifactError::NotAFile { .. }));
}

#[tokio::test]
async fn helm_comes_from_a_file_by_version_and_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let mut digests = BTreeMap::new();
    for (arch, machine) in [(Arch::Amd64, 62), (Arch::Arm64, 183)] {
        let archive = tgz(&[(
            format!("linux-{}/helm", arch.as_str()).as_str(),
            elf(machine),
        )]);
        std::fs::write(
            folder
                .path()
                .join(format!("helm-v4.1.4-linux-{}.tar.gz", arch.as_str())),
            &archive,
        )
        .unwrap();
        digests.insert(arch, sha256(&archive));
    }
    let mut pin = HelmPin {
        version: semver::Version::new(4, 1, 4),
        sha256: digests,
        source: format!(
            "{}/helm-v{{version}}-{{os}}-{{arch}}.tar.gz",
            folder.path().display()
        ),
    };
    for (arch, machine) in [(Arch::Amd64, 62), (Arch::Arm64, 183)] {
        let got = helm(&pin, arch, &Cache::none()).await.unwrap();
        assert_eq!((got.arch, got.bytes), (arch, elf(machine)));
    }
    pin.sha256.remove(&Arch::Arm64);
    let error = helm(&pin, Arch::Arm64, &Cache::none()).await.unwrap_err();
    insta::assert_snapshot!(problem(&error, &[]), @r#"
    artifact.no_digest monopg_helm_sha256 has no digest for arm64
    hint: set monopg_helm_sha256: {arm64: "…"} to the digest of helm's linux-arm64 archive
    "#);

    pin.source = "https://user:secret@[broken/helm".to_owned();
    let error = helm(&pin, Arch::Amd64, &Cache::none()).await.unwrap_err();
    insta::assert_snapshot!(problem(&error, &[]), @r"
    artifact.source the Helm archive of monopg_helm_source: invalid IPv6 address
    hint: correct monopg_helm_source
    ");
}

#[tokio::test]
async fn a_url_is_fetched_once_and_then_cached() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let archive = chart_archive("postgresql", "17.0.2");
    let body = archive.clone();
    let server = Server::start(move |_| ok(&body)).await;
    let pin = pin(Source::Url(server.url("/p.tgz")), &archive);
    for _ in 0..2 {
        assert_eq!(get(&pin, &cache).await.unwrap().bytes, archive);
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(files(folder.path()), [pin.sha256.as_str()]);

    // Spoiled in the cache: fetched again, and sound afterwards.
    let path = folder.path().join(pin.sha256.as_str());
    std::fs::write(&path, &archive[..100]).unwrap();
    assert_eq!(get(&pin, &cache).await.unwrap().bytes, archive);
    assert_eq!(server.seen().len(), 2);
    assert_eq!(std::fs::read(&path).unwrap(), archive);

    // Without a cache it works in memory.
    let blocked = Cache::at(path.join("below-a-file"));
    assert_eq!(get(&pin, &blocked).await.unwrap().bytes, archive);
    assert_eq!(server.seen().len(), 3);
}

/// Each of these must leave nothing behind and end soon.
#[tokio::test]
async fn servers_that_do_not_deliver() {
    let archive = chart_archive("postgresql", "17.0.2");
    let half = archive.len() / 2;
    let good = archive.clone();
    let server = Server::start(move |head| {
        let path = head.split(' ').nth(1).unwrap();
        let length =
            |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n").into_bytes();
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        match path {
            "/flipped" => {
                let mut bad = good.clone();
                bad[40] ^= 1;
                ok(&bad)
            }
            "/cut" => Reply(
                [length(good.len()), good[..half].to_vec()].concat(),
                Then::Close,
            ),
            "/short-length" => Reply([length(half), good.clone()].concat(), Then::Close),
            "/cut-chunked" => Reply([&chunked[..], b"5\r\nabcde\r\n"].concat(), Then::Close),
            "/silent" => Reply(Vec::new(), Then::Hang),
            "/stalls" => Reply(
                [length(good.len()), good[..half].to_vec()].concat(),
                Then::Hang,
            ),
            "/drips" => Reply(
                length(good.len()),
                Then::Repeat(b"x".to_vec(), Duration::from_millis(100)),
            ),
            "/endless" => Reply(
                chunked.to_vec(),
                Then::Repeat(
                    [&b"10000\r\n"[..], &vec![0; 65536], b"\r\n"].concat(),
                    Duration::ZERO,
                ),
            ),
            "/huge" => Reply(length(1 << 40), Then::Hang),
            "/none" => status("404 Not Found", "", b"\x1b[31mno such thing"),
            "/secret?token=canary" => status("403 Forbidden", "", b""),
            "/no-http" => Reply(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Then::Close),
            "/empty" => ok(b""),
            "/partial" => status("206 Partial Content", "", &good),
            path => panic!("{path}"),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let mut said = Vec::new();
    for path in [
        "/flipped",
        "/cut",
        "/short-length",
        "/cut-chunked",
        "/silent",
        "/stalls",
        "/drips",
        "/endless",
        "/huge",
        "/none",
        "/secret?token=canary",
        "/no-http",
        "/empty",
        "/partial",
    ] {
        let pin = pin(Source::Url(server.url(path)), &archive);
        let begin = Instant::now();
        let error = get(&pin, &cache).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(10), "{path}");
        assert_eq!(files(folder.path()), [""; 0], "{path} left something");
        let text = problem(
            &error,
            &[
                (&server.host(), "HOST"),
                (pin.sha256.as_str(), "WANTED"),
                (sha256(&archive[..half]).as_str(), "HALF"),
                (sha256(b"").as_str(), "EMPTY"),
                (&archive.len().to_string(), "ALL"),
                (&half.to_string(), "HALF"),
            ],
        );
        assert!(!text.contains("canary"), "{text}");
        // Hints are the same for each kind; the first lines tell the kinds apart.
        said.push(
            text.lines()
                .filter(|l| !l.starts_with("hint:"))
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
    let said = said.join("\n").replace(
        sha256(&{
            let mut bad = archive.clone();
            bad[40] ^= 1;
            bad
        })
        .as_str(),
        "FLIPPED",
    );
    let drips = regex::Regex::new(r"\(\d+ bytes did\)").unwrap();
    insta::assert_snapshot!(drips.replace(&said, "(FEW bytes did)"), @r"
    artifact.digest the chart archive http://HOST/flipped has sha256 FLIPPED, wanted WANTED (ALL bytes)
    artifact.transfer the transfer of the chart archive http://HOST/cut broke off after HALF of ALL bytes: sha256 so far HALF, wanted WANTED
    caused by: error reading a body from connection
    caused by: end of file before message length reached
    artifact.digest the chart archive http://HOST/short-length has sha256 HALF, wanted WANTED (HALF bytes)
    artifact.transfer the transfer of the chart archive http://HOST/cut-chunked broke off after 5 bytes: sha256 so far 36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c, wanted WANTED
    caused by: error reading a body from connection
    caused by: unexpected EOF during chunk size line
    artifact.fetch the chart archive http://HOST/silent cannot be fetched
    caused by: operation timed out
    artifact.transfer the transfer of the chart archive http://HOST/stalls broke off after HALF of ALL bytes: sha256 so far HALF, wanted WANTED
    caused by: operation timed out
    artifact.transfer the chart archive http://HOST/drips did not arrive within 2 s (FEW bytes did)
    artifact.damaged the chart archive http://HOST/endless is larger than 1 MiB, more than such an archive can have
    artifact.damaged the chart archive http://HOST/huge is larger than 1 MiB, more than such an archive can have
    artifact.fetch the chart archive http://HOST/none cannot be fetched: the server answers 404
    artifact.fetch the chart archive http://HOST/secret?*** cannot be fetched: the server answers 403
    artifact.fetch the chart archive http://HOST/no-http cannot be fetched
    caused by: client error (SendRequest)
    caused by: invalid HTTP version parsed
    artifact.digest the chart archive http://HOST/empty has sha256 EMPTY, wanted WANTED (0 bytes)
    artifact.fetch the chart archive http://HOST/partial cannot be fetched: the server answers 206
    ");
}

#[tokio::test]
async fn redirects_are_followed_within_limits() {
    let archive = chart_archive("postgresql", "17.0.2");
    let good = archive.clone();
    let server = Server::start(move |head| match head.split(' ').nth(1).unwrap() {
        "/5" => redirect("/4"),
        "/4" => redirect("/3"),
        "/3" => redirect("/2"),
        "/2" => redirect("/1"),
        "/1" => redirect("/good"),
        "/6" => redirect("/5"),
        "/loop" => redirect("/loop"),
        "/away" => redirect("http://192.0.2.1/p.tgz"),
        "/file" => redirect("file:///etc/passwd"),
        "/good" => ok(&good),
        path => panic!("{path}"),
    })
    .await;
    let cache = Cache::none();
    let of = |path: &str| pin(Source::Url(server.url(path)), &archive);
    assert_eq!(get(&of("/5"), &cache).await.unwrap().bytes, archive);
    assert!(
        server
            .seen()
            .iter()
            .all(|head| !head.to_lowercase().contains("referer"))
    );
    let mut said = Vec::new();
    for path in ["/6", "/loop", "/away", "/file"] {
        let error = get(&of(path), &cache).await.unwrap_err();
        said.push(problem(&error, &[(&server.host(), "HOST")]));
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    artifact.fetch the chart archive http://HOST/6 cannot be fetched
    caused by: more than 5 redirects
    hint: set monopg_chart to the address where the archive really is
    artifact.fetch the chart archive http://HOST/loop cannot be fetched
    caused by: more than 5 redirects
    hint: set monopg_chart to the address where the archive really is
    artifact.fetch the chart archive http://HOST/away cannot be fetched
    caused by: a redirect to http is followed to a loopback address only
    hint: set monopg_chart to the address where the archive really is
    artifact.fetch the chart archive http://HOST/file cannot be fetched: the server answers 302
    hint: try again later, or fetch the archive by other means and give its file name
    ");
}

#[tokio::test]
async fn plain_http_is_for_loopback_only() {
    for url in [
        "http://192.0.2.1/p.tgz",
        "http://u:canary@h.example/p.tgz",
        "ftp://127.0.0.1/p.tgz",
    ] {
        let pin = pin(Source::Url(Url::parse(url).unwrap()), b"");
        let error = get(&pin, &Cache::none()).await.unwrap_err();
        assert!(matches!(error, ArtifactError::BadSource { .. }), "{error}");
        assert!(!error.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let url = Url::parse(&format!("http://u:canary@{host}/p.tgz?canary")).unwrap();
    let error = get(&pin(Source::Url(url), b""), &Cache::none())
        .await
        .unwrap_err();
    insta::assert_snapshot!(problem(&error, &[(&host, "HOST")]), @r"
    artifact.fetch the chart archive http://***@HOST/p.tgz?*** cannot be fetched
    caused by: client error (Connect)
    caused by: tcp connect error
    caused by: Connection refused (os error 111)
    hint: check the address and the network: curl -fIL http://***@HOST/p.tgz?***
    hint: a proxy is taken from HTTPS_PROXY and NO_PROXY, further root certificates from SSL_CERT_FILE
    ");
}

#[tokio::test]
async fn credentials_in_the_url_become_basic_authentication() {
    let archive = chart_archive("postgresql", "17.0.2");
    let good = archive.clone();
    let elsewhere = Server::start(move |_| ok(&good)).await;
    let to = elsewhere.url("/p.tgz").to_string();
    let server = Server::start(move |_| redirect(&to)).await;
    let mut url = server.url("/p.tgz");
    url.set_username("user").unwrap();
    url.set_password(Some("canary")).unwrap();
    get(&pin(Source::Url(url), &archive), &Cache::none())
        .await
        .unwrap();
    // base64 of user:canary
    assert!(server.seen()[0].contains("authorization: Basic dXNlcjpjYW5hcnk="));
    assert!(!elsewhere.seen()[0].to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn a_repository_is_asked_through_its_index() {
    let archive = chart_archive("postgresql", "17.0.2");
    let good = archive.clone();
    let index = "entries:\n  postgresql:\n  - version: 17.0.2\n    urls: [charts/p.tgz]\n  - version: 18.0.0\n    urls: [none.tgz]\n";
    let server = Server::start(move |head| match head.split(' ').nth(1).unwrap() {
        "/repo/index.yaml" => ok(index.as_bytes()),
        "/repo/charts/p.tgz" => ok(&good),
        "/large/index.yaml" => ok(&[b' '; 10_001]),
        _ => status("404 Not Found", "", b""),
    })
    .await;
    let from = |path: &str| Source::Repository {
        url: server.url(path),
        chart: "postgresql".to_owned(),
    };
    let cache = Cache::none();
    for path in ["/repo", "/repo/"] {
        assert_eq!(
            get(&pin(from(path), &archive), &cache).await.unwrap().bytes,
            archive
        );
    }
    let newer = |version: &str, path: &str| ChartPin {
        version: version.to_owned(),
        ..pin(from(path), &archive)
    };
    let mut said = Vec::new();
    for pin in [
        newer("17.0.3", "/repo"),
        newer("18.0.0", "/repo"),
        newer("17.0.2", "/none"),
        newer("17.0.2", "/large"),
    ] {
        let error = get(&pin, &cache).await.unwrap_err();
        said.push(problem(&error, &[(&server.host(), "HOST")]));
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    artifact.repository the repository index http://HOST/repo/index.yaml has no postgresql 17.0.3
    hint: it has 17.0.2, 18.0.0: check monopg_chart_version
    artifact.fetch the chart archive http://HOST/repo/none.tgz cannot be fetched: the server answers 404
    hint: check monopg_chart and the version in http://HOST/repo/none.tgz
    artifact.repository the repository index http://HOST/none/index.yaml cannot be used: the server answers 404
    hint: check that monopg_chart is a Helm repository's address (with index.yaml below it), or that of the archive itself, ending in .tgz
    artifact.repository the repository index http://HOST/large/index.yaml cannot be used: it is larger than 9.7 KiB
    hint: check that monopg_chart is a Helm repository's address (with index.yaml below it), or that of the archive itself, ending in .tgz
    ");
}
