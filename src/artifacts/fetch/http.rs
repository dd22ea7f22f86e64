//! One HTTPS client with the same rules for every source.
//!
//! May depend on this layer. One reason: redirects, sizes, times and credentials are decided once.
//!
//! - `https` only, `http` to a loopback address only; a redirect never leads from https to http, at
//!   most five are followed, and none carries a Referer.
//! - The system's root certificates; on Linux `SSL_CERT_FILE` and `SSL_CERT_DIR` replace them.
//! - `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured, for loopback addresses
//!   none is used (a proxy would see what plain http carries).
//! - User and password in a URL become basic authentication and stand in no message.

use std::io::{Read as _, Seek as _, Write as _};

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::artifacts::cache::Cache;
use crate::artifacts::error::{ArtifactError, Subject};
use crate::artifacts::fetch::{Limits, Want, blocking};
use crate::artifacts::text::shown;
use crate::settings::spec::Sha256Hex;

/// As curl's habit is to follow many, and five are more than any known mirror needs.
const REDIRECTS: usize = 5;

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
enum Redirect {
    #[error("more than {REDIRECTS} redirects")]
    TooMany,
    #[error("a redirect from https to http is not followed")]
    Downgrade,
    #[error("a redirect to http is followed to a loopback address only")]
    PlainHttp,
}

/// A client, made for one request or for a few to the same server.
pub(crate) struct Http {
    client: reqwest::Client,
    limits: Limits,
}

impl Http {
    /// A client for requests that start at `url`.
    pub(crate) fn new(subject: &Subject, url: &Url, limits: Limits) -> Result<Self, ArtifactError> {
        // Fails only if a provider is there already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let local = is_loopback(url);
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => {
                return Err(ArtifactError::BadSource {
                    subject: subject.clone(),
                    why: "http is accepted for a loopback address only, use https".to_owned(),
                });
            }
            other => {
                return Err(ArtifactError::BadSource {
                    subject: subject.clone(),
                    why: format!("the scheme {other}:// is not known"),
                });
            }
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("monopg/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .read_timeout(limits.idle)
            .redirect(reqwest::redirect::Policy::custom(redirect))
            .referer(false);
        if local {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|e| ArtifactError::Client {
            subject: subject.clone(),
            source: e.without_url(),
        })?;
        Ok(Http { client, limits })
    }

    /// A request to be filled with headers and sent with [`Http::send`].
    pub(crate) fn request(&self, url: &Url) -> reqwest::RequestBuilder {
        self.client.get(url.clone())
    }

    /// Sends it; any status is an answer.
    pub(crate) async fn send(
        &self,
        subject: &Subject,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ArtifactError> {
        match timeout_at(self.deadline(), request.send()).await {
            Ok(answer) => answer.map_err(|e| ArtifactError::Request {
                subject: subject.clone(),
                source: e.without_url(),
            }),
            Err(_) => Err(self.too_slow(subject, 0)),
        }
    }

    /// The whole body when it is small; the caller says what is small.
    pub(crate) async fn text(
        &self,
        subject: &Subject,
        mut response: reqwest::Response,
        limit: u64,
    ) -> Result<Vec<u8>, ArtifactError> {
        let deadline = self.deadline();
        let mut body = Vec::new();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Err(_) => return Err(self.too_slow(subject, body.len() as u64)),
                Ok(Err(e)) => {
                    return Err(ArtifactError::Request {
                        subject: subject.clone(),
                        source: e.without_url(),
                    });
                }
                Ok(Ok(None)) => return Ok(body),
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            }
            if body.len() as u64 > limit {
                return Err(ArtifactError::TooLarge {
                    subject: subject.clone(),
                    limit,
                });
            }
        }
    }

    /// Streams the body into the cache while hashing it, and gives it back if its digest is right.
    pub(crate) async fn archive(
        &self,
        subject: Subject,
        mut response: reqwest::Response,
        want: &Want<'_>,
        cache: &Cache,
    ) -> Result<(Subject, Vec<u8>), ArtifactError> {
        let limit = self.limits.archive;
        let too_large = || ArtifactError::TooLarge {
            subject: subject.clone(),
            limit,
        };
        let announced = response.content_length();
        if announced.is_some_and(|n| n > limit) {
            return Err(too_large());
        }
        let deadline = self.deadline();
        let mut sink = Sink::new(cache);
        let mut hash = Sha256::new();
        let mut received = 0_u64;
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Err(_) => return Err(self.too_slow(&subject, received)),
                Ok(Err(e)) => {
                    return Err(ArtifactError::Broken {
                        received,
                        announced,
                        wanted: want.sha256.clone(),
                        found: digest(hash),
                        source: e.without_url(),
                        subject,
                    });
                }
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => {
                    received += chunk.len() as u64;
                    if received > limit {
                        return Err(too_large());
                    }
                    hash.update(&chunk);
                    sink.write(&chunk);
                }
            }
        }
        let found = digest(hash);
        if found != *want.sha256 {
            return Err(ArtifactError::Digest {
                subject,
                received,
                wanted: want.sha256.clone(),
                found,
            });
        }
        let (cache, wanted) = (cache.clone(), want.sha256.clone());
        let bytes = blocking(subject.clone(), move |subject| {
            sink.finish(&cache, &wanted)
                .map_err(|source| ArtifactError::Unreadable {
                    subject: subject.clone(),
                    source,
                })
        })
        .await?;
        // Once more: these bytes took the way over the disk.
        want.verified(subject, bytes)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.limits.total
    }

    fn too_slow(&self, subject: &Subject, received: u64) -> ArtifactError {
        ArtifactError::TooSlow {
            subject: subject.clone(),
            seconds: self.limits.total.as_secs(),
            received,
        }
    }
}

/// The archive at this URL.
pub(crate) async fn archive(
    url: &Url,
    want: &Want<'_>,
    cache: &Cache,
) -> Result<(Subject, Vec<u8>), ArtifactError> {
    let subject = want.subject(shown(url));
    let http = Http::new(&subject, url, want.limits)?;
    let response = http.send(&subject, http.request(url)).await?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(ArtifactError::Status { subject, status });
    }
    http.archive(subject, response, want, cache).await
}

/// True for `localhost`, 127.0.0.0/8 and ::1.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn redirect(attempt: reqwest::redirect::Attempt) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(Redirect::TooMany);
    }
    if attempt.url().scheme() == "https" {
        return attempt.follow();
    }
    if attempt.previous().iter().any(|url| url.scheme() == "https") {
        return attempt.error(Redirect::Downgrade);
    }
    if is_loopback(attempt.url()) {
        attempt.follow()
    } else {
        attempt.error(Redirect::PlainHttp)
    }
}

fn digest(hash: Sha256) -> Sha256Hex {
    Sha256Hex::from(<[u8; 32]>::from(hash.finalize()))
}

/// Where an archive goes while it arrives: a file in the cache, or memory if that cannot be.
enum Sink {
    File(tempfile::NamedTempFile, u64),
    Memory(Vec<u8>),
}

impl Sink {
    fn new(cache: &Cache) -> Self {
        match cache.unfinished() {
            Some(file) => Sink::File(file, 0),
            None => Sink::Memory(Vec::new()),
        }
    }

    fn write(&mut self, chunk: &[u8]) {
        if let Sink::File(file, written) = self {
            match file.write_all(chunk) {
                Ok(()) => {
                    *written += chunk.len() as u64;
                    return;
                }
                // A full disk: go on in memory with what is there. If even that cannot be read,
                // the digest of the result will be wrong, and the error will say so.
                Err(e) => {
                    tracing::debug!(error = %e, "the cache cannot be written any more");
                    let mut bytes = Vec::new();
                    let _ = file.rewind();
                    let _ = file.as_file().take(*written).read_to_end(&mut bytes);
                    *self = Sink::Memory(bytes);
                }
            }
        }
        if let Sink::Memory(bytes) = self {
            bytes.extend_from_slice(chunk);
        }
    }

    /// Gives the verified file its name and its bytes back.
    fn finish(self, cache: &Cache, digest: &Sha256Hex) -> std::io::Result<Vec<u8>> {
        match self {
            Sink::Memory(bytes) => Ok(bytes),
            Sink::File(mut file, written) => {
                let mut bytes = Vec::new();
                bytes.reserve_exact(usize::try_from(written).unwrap_or(0));
                file.rewind()?;
                file.read_to_end(&mut bytes)?;
                cache.keep(file, digest);
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::fetch::sha256;

    #[test]
    fn a_full_disk_does_not_end_the_transfer() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let mut sink = Sink::new(&cache);
        sink.write(b"first ");
        let Sink::File(file, written) = sink else {
            panic!("not in a file")
        };
        // From now on it cannot be written: the same file, opened for reading only.
        let (_, path) = file.into_parts();
        let read_only = std::fs::File::open(&path).unwrap();
        let mut sink = Sink::File(
            tempfile::NamedTempFile::from_parts(read_only, path),
            written,
        );
        sink.write(b"second ");
        sink.write(b"third");
        let whole = b"first second third";
        assert_eq!(sink.finish(&cache, &sha256(whole)).unwrap(), whole);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn loopback_is_an_address_of_this_machine() {
        for (url, wanted) in [
            ("http://127.0.0.1:80/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:5000/", true),
            ("http://localhost/", true),
            ("http://LOCALHOST/", true),
            ("http://localhost.example/", false),
            ("http://127.0.0.1.example/", false),
            ("http://10.0.0.1/", false),
            ("http://[::2]/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), wanted, "{url}");
        }
    }
}
