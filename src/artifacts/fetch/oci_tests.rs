//! Names, manifests, logins and token services of a registry that says what a test wants it to say;
//! a real one is asked by `tests/artifacts_oci.rs`.

use super::*;
use crate::artifacts::Artifact;
use crate::artifacts::fetch::test_server::{Reply, Server, ok, redirect, status};
use crate::artifacts::fetch::{Limits, bytes, sha256};
use crate::error::Problem;
use crate::settings::spec::Source;

#[test]
fn versions_become_tags() {
    assert_eq!(tag("17.0.2"), "17.0.2");
    assert_eq!(tag("17.0.2+build.5"), "17.0.2_build.5");
}

#[test]
fn a_port_is_no_tag() {
    for (reference, wanted) in [
        (
            "oci://h.example/c/p:1.0",
            ("oci://h.example/c/p", Some("1.0")),
        ),
        ("oci://h.example/c/p", ("oci://h.example/c/p", None)),
        (
            "oci://h.example:5000/c/p",
            ("oci://h.example:5000/c/p", None),
        ),
        (
            "oci://h.example:5000/c/p:1.0",
            ("oci://h.example:5000/c/p", Some("1.0")),
        ),
        ("oci://h.example", ("oci://h.example", None)),
    ] {
        assert_eq!(split_tag(reference), wanted);
    }
}

fn manifest(config: &str, layers: &[(&str, &str)]) -> Vec<u8> {
    let layers: Vec<_> = layers
        .iter()
        .map(|(kind, digest)| serde_json::json!({"mediaType": kind, "digest": digest, "size": 1}))
        .collect();
    let config = serde_json::json!({"mediaType": config, "digest": "sha256:00", "size": 2});
    serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers})
        .to_string()
        .into_bytes()
}

#[test]
fn only_a_chart_is_a_chart() {
    let digest = format!("sha256:{}", sha256(b"x"));
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let chart = (CHART_LAYERS[0], digest.as_str());
    let provenance = (
        "application/vnd.cncf.helm.chart.provenance.v1.prov",
        "sha256:00",
    );
    assert_eq!(layer(&manifest(CHART_CONFIG, &[chart])), Ok(sha256(b"x")));
    assert_eq!(
        layer(&manifest(CHART_CONFIG, &[provenance, chart])),
        Ok(sha256(b"x"))
    );
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let said: Vec<_> = [
        manifest("application/vnd.oci.image.config.v1+json", &[chart]),
        manifest(CHART_CONFIG, &[]),
        manifest(CHART_CONFIG, &[chart, chart]),
        manifest(
            CHART_CONFIG,
            &[("application/vnd.oci.image.layer.v1.tar+gzip", &digest)],
        ),
        manifest(CHART_CONFIG, &[(CHART_LAYERS[0], &sha512)]),
        manifest(CHART_CONFIG, &[(CHART_LAYERS[0], "sha256:../../secrets")]),
        index.to_vec(),
        b"<html>".to_vec(),
    ]
    .iter()
    .map(|manifest| layer(manifest).unwrap_err())
    .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    its config is application/vnd.oci.image.config.v1+json
    it does not have exactly one layer with a chart
    it does not have exactly one layer with a chart
    it does not have exactly one layer with a chart
    its layer's digest sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 is no sha256
    its layer's digest sha256:../../secrets is no sha256
    its manifest is none of an image: missing field `config` at line 1 column 88
    its manifest is none of an image: expected value at line 1 column 1
    ");
}

#[test]
fn logins_are_found_as_helm_and_docker_leave_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, host: &str, login: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let auth = base64::engine::general_purpose::STANDARD.encode(login);
        let config = serde_json::json!({"auths": {host: {"auth": auth}}, "credsStore": "x"});
        std::fs::write(path, config.to_string()).unwrap();
    };
    write(".docker/config.json", "h.example", "docker:one");
    write(
        ".config/helm/registry/config.json",
        "h.example",
        "helm:t:wo",
    );
    write("d/config.json", "https://index.docker.io/v1/", "hub:three");
    write("helm.json", "other.example:5000", "other:four");
    let home = folder.path().as_os_str();
    let found = |host: &str, more: &[(&str, &str)]| {
        let found = login(host, |name| match name {
            "HOME" => Some(home.to_owned()),
            name => more
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| folder.path().join(value).into_os_string()),
        });
        found.map(|login| format!("{} {}", login.user, login.password.as_str()))
    };
    assert_eq!(found("h.example", &[]).as_deref(), Some("helm t:wo"));
    let docker = [("HELM_REGISTRY_CONFIG", "none.json")];
    assert_eq!(found("h.example", &docker).as_deref(), Some("docker one"));
    let hub = [("DOCKER_CONFIG", "d")];
    assert_eq!(
        found("registry-1.docker.io", &hub).as_deref(),
        Some("hub three")
    );
    let other = [("HELM_REGISTRY_CONFIG", "helm.json")];
    assert_eq!(
        found("other.example:5000", &other).as_deref(),
        Some("other four")
    );
    assert_eq!(found("other.example", &other), None);
    assert!(login_in("h", b"no json").is_none());
    assert!(login_in("h", br#"{"auths":{"h":{"auth":"!"}}}"#).is_none());
    assert!(login_in("h", br#"{"auths":{"h":{}}}"#).is_none());
}

async fn pull(name: &str, version: &str, archive: &[u8]) -> Result<Vec<u8>, String> {
    let digest = sha256(archive);
    let want = Want {
        artifact: Artifact::Chart,
        sha256: &digest,
        version,
        limits: Limits::of(Artifact::Chart),
    };
    match super::archive(name, &tag(version), &want, &Cache::none()).await {
        Ok((_, bytes)) => Ok(bytes),
        Err(e) => {
            let problem = Problem::from(e);
            Err(format!("{} {}", problem.id, problem.what))
        }
    }
}

/// A registry with one chart, behind a token; each test bends one answer.
async fn registry(bend: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::start(move |head| {
        let path = head.split(' ').nth(1).unwrap();
        if let Some(bent) = bend(path) {
            return bent;
        }
        let host = head.lines().find_map(|l| l.strip_prefix("host: ")).unwrap();
        if let Some(query) = path.strip_prefix("/token?") {
            assert_eq!(query, "service=a+registry&scope=repository%3Ac%2Fpostgresql%3Apull");
            return ok(br#"{"token": "the.token"}"#);
        }
        if path == "/elsewhere" {
            return ok(b"archive");
        }
        if !head.contains("authorization: Bearer the.token") {
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"a registry\",scope=\"x\"\r\n");
            return status("401 Unauthorized", &challenge, b"{}");
        }
        let digest = format!("sha256:{}", sha256(b"archive"));
        match path {
            "/v2/c/postgresql/manifests/17.0.2_b" => ok(&manifest(CHART_CONFIG, &[(CHART_LAYERS[0], &digest)])),
            path if path == format!("/v2/c/postgresql/blobs/{digest}") => redirect("/elsewhere"),
            _ => status("404 Not Found", "", b"{}"),
        }
    })
    .await
}

#[tokio::test]
async fn a_chart_is_pulled_with_an_anonymous_token() {
    let server = registry(|_| None).await;
    let name = format!("oci://{}/c/postgresql", server.host());
    assert_eq!(
        pull(&name, "17.0.2+b", b"archive").await.unwrap(),
        b"archive"
    );
    let other = pull(&name, "17.0.2+b", b"another").await.unwrap_err();
    let absent = pull(&name, "17.0.3", b"archive").await.unwrap_err();
    let said = format!("{other}\n{absent}").replace(&server.host(), "HOST");
    insta::assert_snapshot!(said, @r"
    artifact.digest the chart archive oci://HOST/c/postgresql:17.0.2_b names an archive with sha256 0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3, wanted ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5
    artifact.fetch the chart archive oci://HOST/c/postgresql:17.0.3 cannot be fetched: the server answers 404
    ");
}

#[tokio::test]
async fn registries_that_do_not_deliver() {
    let mut said = Vec::new();
    type Bend = fn(&str) -> Option<Reply>;
    let bends: [(&str, Bend); 8] = [
        ("token with a line break", |p| {
            p.starts_with("/token")
                .then(|| ok(b"{\"token\": \"a\\nb\"}"))
        }),
        ("no token", |p| p.starts_with("/token").then(|| ok(b"{}"))),
        ("token refused", |p| {
            p.starts_with("/token")
                .then(|| status("403 Forbidden", "", b""))
        }),
        ("large manifest", |p| {
            p.contains("/manifests/")
                .then(|| ok(&vec![b' '; (4 << 20) + 1]))
        }),
        ("basic", |p| {
            p.contains("/manifests/").then(|| {
                status(
                    "401 Unauthorized",
                    "WWW-Authenticate: Basic realm=\"x\"\r\n",
                    b"",
                )
            })
        }),
        ("plain realm", |p| {
            let challenge = "WWW-Authenticate: Bearer realm=\"http://192.0.2.1/token\"\r\n";
            p.contains("/manifests/")
                .then(|| status("401 Unauthorized", challenge, b""))
        }),
        ("no challenge", |p| {
            p.contains("/manifests/")
                .then(|| status("401 Unauthorized", "", b""))
        }),
        ("other blob", |p| {
            p.contains("/blobs/").then(|| ok(b"something else"))
        }),
    ];
    for (name, bend) in bends {
        let server = registry(bend).await;
        let reference = format!("oci://{}/c/postgresql", server.host());
        let error = pull(&reference, "17.0.2+b", b"archive").await.unwrap_err();
        said.push(format!("{name}: {}", error.replace(&server.host(), "HOST")));
    }
    for reference in [
        "oci://postgresql",
        "oci://charts/postgresql",
        "oci://h.example/UPPER",
        "https://h.example/c",
    ] {
        said.push(pull(reference, "17.0.2", b"archive").await.unwrap_err());
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    token with a line break: artifact.registry the chart archive oci://HOST/c/postgresql:17.0.2_b: the registry refuses access (its token service gives no token, asked anonymously)
    no token: artifact.registry the chart archive oci://HOST/c/postgresql:17.0.2_b: the registry refuses access (its token service gives no token, asked anonymously)
    token refused: artifact.registry the chart archive oci://HOST/c/postgresql:17.0.2_b: the registry refuses access (its token service answers 403, asked anonymously)
    large manifest: artifact.damaged the chart archive oci://HOST/c/postgresql:17.0.2_b is larger than 4 MiB, more than such an archive can have
    basic: artifact.registry the chart archive oci://HOST/c/postgresql:17.0.2_b: the registry refuses access (it wants a login, asked anonymously)
    plain realm: artifact.source the chart archive oci://HOST/c/postgresql:17.0.2_b: http is accepted for a loopback address only, use https
    no challenge: artifact.registry the chart archive oci://HOST/c/postgresql:17.0.2_b: the registry refuses access (it wants a login, asked anonymously)
    other blob: artifact.digest the chart archive oci://HOST/c/postgresql:17.0.2_b has sha256 f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8, wanted 0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3 (14 bytes)
    artifact.source the chart archive oci://postgresql:17.0.2: it has no path
    artifact.source the chart archive oci://charts/postgresql:17.0.2: 'charts' is no registry's host name
    artifact.source the chart archive oci://h.example/UPPER:17.0.2: invalid reference format
    artifact.source the chart archive https://h.example/c:17.0.2: it does not start with oci://
    ");
}

#[tokio::test]
async fn a_repository_may_lead_to_a_registry() {
    let registry = registry(|_| None).await;
    let name = format!("oci://{}/c/postgresql", registry.host());
    // As Bitnami's index has it, with the tag; the second has none.
    let index = format!(
        "entries:\n  postgresql:\n  - {{version: 17.0.2+b, urls: ['{name}:17.0.2_b']}}\n  other:\n  - {{version: 17.0.2+b, urls: ['{name}']}}\n"
    );
    let repository = Server::start(move |_| ok(index.as_bytes())).await;
    let digest = sha256(b"archive");
    let want = Want {
        artifact: Artifact::Chart,
        sha256: &digest,
        version: "17.0.2+b",
        limits: Limits::of(Artifact::Chart),
    };
    for chart in ["postgresql", "other"] {
        let source = Source::Repository {
            url: repository.url("/"),
            chart: chart.to_owned(),
        };
        let (subject, bytes) = bytes(&source, &want, &Cache::none()).await.unwrap();
        assert_eq!(bytes, b"archive");
        assert_eq!(subject.place, format!("{name}:17.0.2_b"));
    }
}
