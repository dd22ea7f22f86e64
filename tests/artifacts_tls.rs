//! Fetching over TLS and through proxies, set up as a user sets them up: by the environment.
//!
//! The environment belongs to a process, so each case runs in a process of its own: this test
//! program again, asked for the one test that is ignored otherwise.

#![expect(clippy::unwrap_used, reason = "a test")]

mod artifacts_support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

const VERSION: &str = "17.0.2";
#[tokio::test]
#[ignore = "run by the other tests of this file, each time with an environment of its own"]
async fn case() {
    artifacts_support::case().await;
}

async fn fetched(url: &str, environment: &[(&str, &str)]) -> String {
    let chart = artifacts_support::chart(VERSION);
    artifacts_support::fetched(url, VERSION, &chart, environment).await
}

/// A certificate authority, its certificate in a file, and a server's configuration with a
/// certificate of it for these names.
fn authority(file: &Path, names: &[&str]) -> Arc<rustls::ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = file.file_stem().unwrap().to_str().unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    Arc::new(config)
}

/// Reads a request's head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            break;
        };
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Answers one request: `/p.tgz` is the chart, everything else leads to `elsewhere`.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, elsewhere: &str) {
    let head = head(&mut stream).await;
    let chart = artifacts_support::chart(VERSION);
    let answer = if head.starts_with("GET /p.tgz ") {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            chart.len()
        );
        [head.into_bytes(), chart].concat()
    } else {
        format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    // A client that refuses the redirect or the certificate is gone by now.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

/// A server that speaks TLS if it gets a configuration; gives its host and port.
async fn serve(tls: Option<Arc<rustls::ServerConfig>>, elsewhere: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, elsewhere) = (tls.clone(), elsewhere.clone());
            tokio::spawn(async move {
                match tls {
                    None => answer(stream, &elsewhere).await,
                    Some(tls) => {
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            answer(stream, &elsewhere).await;
                        }
                    }
                }
            });
        }
    });
    host
}

/// A proxy that leads every CONNECT to `to`; gives its host and port and what it was asked.
async fn proxy(to: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let request = head(&mut client).await;
            let tunnel = request.starts_with("CONNECT ");
            log.lock().unwrap().push(request);
            if !tunnel {
                continue;
            }
            let mut server = TcpStream::connect(&to).await.unwrap();
            client
                .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
                .await
                .unwrap();
            tokio::spawn(async move {
                // Either side may end first.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (host, asked)
}

#[tokio::test]
async fn tls_is_trusted_as_the_user_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (ours, others) = (folder.join("ours.pem"), folder.join("others.pem"));
    let tls = authority(&ours, &["127.0.0.1", "chart.example"]);
    authority(&others, &["127.0.0.1"]);
    let (ours, others) = (ours.to_str().unwrap(), others.to_str().unwrap());
    let plain = serve(None, String::new()).await;
    let host = serve(Some(tls), format!("http://{plain}/p.tgz")).await;
    let port = host.rsplit_once(':').unwrap().1;
    let get = |path: &str| format!("https://{host}{path}");

    let trusted = [("SSL_CERT_FILE", ours)];
    let mut said = vec![fetched(&get("/p.tgz"), &trusted).await];
    said.push(fetched(&get("/p.tgz"), &[("SSL_CERT_FILE", others)]).await);
    // The certificate is for the address, not for the name.
    said.push(fetched(&format!("https://localhost:{port}/p.tgz"), &trusted).await);
    said.push(fetched(&get("/p.tgz"), &[("SSL_CERT_FILE", "/dev/null")]).await);
    // Where it leads to would serve the right chart.
    assert_eq!(
        fetched(&format!("http://{plain}/p.tgz"), &trusted).await,
        "fetched postgresql 17.0.2"
    );
    said.push(fetched(&get("/away"), &trusted).await);
    let said = said
        .join("\n\n")
        .replace(&host, "HOST")
        .replace(port, "PORT");
    insta::assert_snapshot!(said, @r#"
    fetched postgresql 17.0.2

    the chart archive https://HOST/p.tgz cannot be fetched
    client error (Connect)
    invalid peer certificate: UnknownIssuer
    check the address and the network: curl -fIL https://HOST/p.tgz
    a proxy is taken from HTTPS_PROXY and NO_PROXY, further root certificates from SSL_CERT_FILE

    the chart archive https://localhost:PORT/p.tgz cannot be fetched
    client error (Connect)
    invalid peer certificate: certificate not valid for name "localhost"; certificate is only valid for IpAddress(127.0.0.1) or DnsName("chart.example")
    check the address and the network: curl -fIL https://localhost:PORT/p.tgz
    a proxy is taken from HTTPS_PROXY and NO_PROXY, further root certificates from SSL_CERT_FILE

    the chart archive https://HOST/p.tgz: no HTTPS client can be made
    unexpected error: No CA certificates were loaded from the system
    install the system's root certificates (Debian: apt install ca-certificates), or set SSL_CERT_FILE

    the chart archive https://HOST/away cannot be fetched
    a redirect from https to http is not followed
    set monopg_chart to the address where the archive really is
    "#);
}

#[tokio::test]
async fn proxies_are_used_as_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ours = folder.join("ours.pem");
    let tls = authority(&ours, &["chart.example"]);
    let host = serve(Some(tls), String::new()).await;
    let (proxy, asked) = proxy(host).await;
    let login = format!("http://user:canary@{proxy}");
    let trusted = ("SSL_CERT_FILE", ours.to_str().unwrap());
    let url = "https://chart.example/p.tgz";

    let said = fetched(url, &[trusted, ("HTTPS_PROXY", &login)]).await;
    assert_eq!(said, "fetched postgresql 17.0.2");
    let requests = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("CONNECT chart.example:443 "),
        "{requests:?}"
    );
    // base64 of user:canary
    assert!(
        requests[0]
            .to_lowercase()
            .contains("proxy-authorization: basic dxnlcjpjyw5hcnk="),
        "{requests:?}"
    );

    // Not used: no such name here, and the proxy's password is in no message.
    let said = fetched(
        url,
        &[trusted, ("HTTPS_PROXY", &login), ("NO_PROXY", ".example")],
    )
    .await;
    assert!(
        said.starts_with("the chart archive https://chart.example/p.tgz cannot be fetched"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(asked.lock().unwrap().len(), 0);

    // A proxy never sees what is plain.
    let plain = serve(None, String::new()).await;
    let environment = [
        trusted,
        ("HTTP_PROXY", login.as_str()),
        ("ALL_PROXY", &login),
    ];
    let said = fetched(&format!("http://{plain}/p.tgz"), &environment).await;
    assert_eq!(said, "fetched postgresql 17.0.2");
    assert_eq!(asked.lock().unwrap().len(), 0);

    // A proxy that is not there.
    let said = fetched(
        url,
        &[trusted, ("HTTPS_PROXY", "http://user:canary@127.0.0.1:1")],
    )
    .await;
    assert!(said.contains("Connection refused"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}
