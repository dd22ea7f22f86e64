//! A chart in an OCI registry, as `helm push` leaves it there.
//!
//! May depend on this layer. One reason: names, tags and media types are the distribution
//! specification's and Helm's, and nobody else needs them.
//!
//! Names and manifests are parsed by `oci-client`; the requests are our own, because its client
//! follows redirects from https to http, bounds no answer, and sends a token that it was given
//! without looking at it.
//!
//! Anonymous, or with the plain entries (`auths`) that `helm registry login` and `docker login`
//! leave; credential helpers (`credsStore`, `credHelpers`) are programs and are not run.

use std::ffi::OsString;
use std::path::PathBuf;

use base64::Engine as _;
use oci_client::Reference;
use oci_client::manifest::OciImageManifest;
use url::Url;
use zeroize::Zeroizing;

use crate::artifacts::cache::Cache;
use crate::artifacts::error::{ArtifactError, Subject};
use crate::artifacts::fetch::Want;
use crate::artifacts::fetch::http::{Http, is_loopback};
use crate::artifacts::text::plain;
use crate::settings::spec::Sha256Hex;

/// The layer that holds the archive, today and before Helm 3.7.
const CHART_LAYERS: [&str; 2] = [
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    "application/tar+gzip",
];
/// The config of a chart.
const CHART_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// What we accept as manifest; Helm writes the first.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// A version as a tag: tags have no `+`, Helm writes `_` for it.
pub(crate) fn tag(version: &str) -> String {
    version.replace('+', "_")
}

/// Splits `oci://host:port/path:tag`; the port's colon is no tag.
pub(crate) fn split_tag(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && name.contains("://") => (name, Some(tag)),
        _ => (reference, None),
    }
}

/// The chart's archive behind `oci://…` and a tag.
pub(crate) async fn archive(
    name: &str,
    tag: &str,
    want: &Want<'_>,
    cache: &Cache,
) -> Result<(Subject, Vec<u8>), ArtifactError> {
    let subject = want.subject(plain(&format!("{name}:{tag}")));
    let registry = Registry::new(&subject, name, tag, want)?;
    let manifest = registry.get(&format!("manifests/{tag}"), MANIFESTS).await?;
    let manifest = registry
        .http
        .text(&subject, manifest, want.limits.manifest)
        .await?;
    let digest = layer(&manifest).map_err(|why| ArtifactError::Manifest {
        subject: subject.clone(),
        why: plain(&why),
    })?;
    // A blob is called by its digest, so a wrong one is known before it is fetched.
    if digest != *want.sha256 {
        return Err(ArtifactError::Tag {
            subject,
            wanted: want.sha256.clone(),
            found: digest,
        });
    }
    let blob = registry
        .get(&format!("blobs/sha256:{digest}"), "*/*")
        .await?;
    registry.http.archive(subject, blob, want, cache).await
}

/// The digest of the one layer that is a chart's archive.
fn layer(manifest: &[u8]) -> Result<Sha256Hex, String> {
    let manifest: OciImageManifest = serde_json::from_slice(manifest)
        .map_err(|e| format!("its manifest is none of an image: {e}"))?;
    if manifest.config.media_type != CHART_CONFIG {
        return Err(format!("its config is {}", manifest.config.media_type));
    }
    let mut charts = manifest
        .layers
        .iter()
        .filter(|layer| CHART_LAYERS.contains(&layer.media_type.as_str()));
    let (Some(chart), None) = (charts.next(), charts.next()) else {
        return Err("it does not have exactly one layer with a chart".to_owned());
    };
    // Of another algorithm it could not be compared with the pin.
    Sha256Hex::parse(&chart.digest)
        .filter(|_| chart.digest.starts_with("sha256:"))
        .ok_or_else(|| format!("its layer's digest {} is no sha256", chart.digest))
}

/// A registry's repository, and how to log in there.
struct Registry<'a> {
    subject: &'a Subject,
    want: &'a Want<'a>,
    http: Http,
    /// `https://host/v2/`
    api: Url,
    repository: String,
    login: Option<Login>,
}

/// User and password.
struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl<'a> Registry<'a> {
    fn new(
        subject: &'a Subject,
        name: &str,
        tag: &str,
        want: &'a Want<'a>,
    ) -> Result<Self, ArtifactError> {
        let bad = |why: String| ArtifactError::BadSource {
            subject: subject.clone(),
            why: plain(&why),
        };
        let rest = name
            .strip_prefix("oci://")
            .ok_or_else(|| bad("it does not start with oci://".to_owned()))?;
        let reference: Reference = format!("{rest}:{tag}")
            .parse()
            .map_err(|e| bad(format!("{e}")))?;
        // Without a dot or port the parser takes the host for a folder of Docker Hub.
        let (host, _) = rest
            .split_once('/')
            .ok_or_else(|| bad("it has no path".to_owned()))?;
        if reference.registry() != host {
            return Err(bad(format!("'{host}' is no registry's host name")));
        }
        let host = reference.resolve_registry();
        let mut api = Url::parse(&format!("https://{host}/v2/")).map_err(|e| bad(e.to_string()))?;
        if is_loopback(&api) {
            api = Url::parse(&format!("http://{host}/v2/")).map_err(|e| bad(e.to_string()))?;
        }
        Ok(Registry {
            subject,
            want,
            http: Http::new(subject, &api, want.limits)?,
            repository: reference.repository().to_owned(),
            login: login(host, |name| std::env::var_os(name)),
            api,
        })
    }

    /// Asks for a part of the repository; when that needs a login, logs in and asks once more.
    async fn get(&self, part: &str, accept: &str) -> Result<reqwest::Response, ArtifactError> {
        let mut url = self.api.clone();
        url.set_path(&format!("/v2/{}/{part}", self.repository));
        let request = || self.http.request(&url).header("Accept", accept);
        let mut response = self.http.send(self.subject, request()).await?;
        if response.status().as_u16() == 401 {
            let challenges: Vec<String> = response
                .headers()
                .get_all("www-authenticate")
                .iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect();
            let request = self.authorized(request(), &challenges).await?;
            response = self.http.send(self.subject, request).await?;
        }
        match response.status().as_u16() {
            200 => Ok(response),
            status @ (401 | 403) => Err(self.refused(&format!("it answers {status}"))),
            status => Err(ArtifactError::Status {
                subject: self.subject.clone(),
                status,
            }),
        }
    }

    fn refused(&self, why: &str) -> ArtifactError {
        let as_whom = match &self.login {
            Some(login) => format!("as {}", plain(&login.user)),
            None => "anonymously".to_owned(),
        };
        ArtifactError::Registry {
            subject: self.subject.clone(),
            why: format!("{}, asked {as_whom}", plain(why)),
        }
    }

    /// Answers the registry's challenge: basic, or a token from where it says.
    async fn authorized(
        &self,
        request: reqwest::RequestBuilder,
        challenges: &[String],
    ) -> Result<reqwest::RequestBuilder, ArtifactError> {
        let parsed: Vec<_> = challenges
            .iter()
            .filter_map(|header| http_auth::parse_challenges(header).ok())
            .flatten()
            .collect();
        if let Some(bearer) = parsed
            .iter()
            .find(|c| c.scheme.eq_ignore_ascii_case("bearer"))
        {
            let param = |name: &str| {
                let found = bearer
                    .params
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            let realm = param("realm")
                .and_then(|realm| Url::parse(&realm).ok())
                .ok_or_else(|| self.refused("its challenge names no realm"))?;
            let token = self.token(realm, param("service")).await?;
            return Ok(request.bearer_auth(token.as_str()));
        }
        let basic = parsed
            .iter()
            .any(|c| c.scheme.eq_ignore_ascii_case("basic"));
        match &self.login {
            Some(login) if basic => {
                Ok(request.basic_auth(&login.user, Some(login.password.as_str())))
            }
            _ => Err(self.refused("it wants a login")),
        }
    }

    /// A token to pull this repository (the distribution project's token specification).
    async fn token(
        &self,
        mut realm: Url,
        service: Option<String>,
    ) -> Result<Zeroizing<String>, ArtifactError> {
        // The registry chooses the realm: a password goes there only over a way as safe as the
        // registry's own.
        if self.api.scheme() == "https" && realm.scheme() != "https" {
            return Err(self.refused("its realm is not https"));
        }
        realm
            .query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &format!("repository:{}:pull", self.repository));
        let http = Http::new(self.subject, &realm, self.want.limits)?;
        let mut request = http.request(&realm);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.user, Some(login.password.as_str()));
        }
        let response = http.send(self.subject, request).await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(self.refused(&format!("its token service answers {status}")));
        }
        let body = Zeroizing::new(
            http.text(self.subject, response, self.want.limits.manifest)
                .await?,
        );
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        serde_json::from_slice::<Answer>(&body)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token))
            .map(Zeroizing::new)
            // What goes into a header has to be fit for one.
            .filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(|| self.refused("its token service gives no token"))
    }
}

/// The login for `host` from Helm's registry configuration, else from Docker's.
fn login(host: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<Login> {
    let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = path("HOME");
    let in_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
    let helm = path("HELM_REGISTRY_CONFIG").or_else(|| {
        path("XDG_CONFIG_HOME")
            .or_else(|| in_home(".config"))
            .map(|base| base.join("helm/registry/config.json"))
    });
    let docker = path("DOCKER_CONFIG")
        .or_else(|| in_home(".docker"))
        .map(|base| base.join("config.json"));
    [helm, docker]
        .into_iter()
        .flatten()
        .filter_map(|path| std::fs::read(path).ok().map(Zeroizing::new))
        .find_map(|config| login_in(host, &config))
}

fn login_in(host: &str, config: &[u8]) -> Option<Login> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        auths: std::collections::BTreeMap<String, Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        auth: Option<String>,
    }
    let config: Config = serde_json::from_slice(config).ok()?;
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&host);
    let entry = config.auths.iter().find(|(key, _)| {
        let bare = key
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let bare = bare.split('/').next().unwrap_or(bare);
        bare == host || (hub && bare == "index.docker.io")
    });
    let auth = entry?.1.auth.as_ref()?;
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(auth.as_bytes())
        .map(Zeroizing::new)
        .ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Login {
        user: user.to_owned(),
        password: Zeroizing::new(password.trim_end_matches('\0').to_owned()),
    })
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
