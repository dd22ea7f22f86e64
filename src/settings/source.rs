//! Where archives come from: files, URLs, repositories, registries. Whether they exist is not asked:
//! a run that finds nothing to do must work with all of them out of reach.

use std::path::{Path, PathBuf};

use url::Url;

use super::check::{Bad, Checked, bad, shown, text};
use super::spec::Source;
use super::table::nearest;
use crate::yaml::Node;

/// The placeholders of `monopg_helm_source`.
const PLACEHOLDERS: [&str; 3] = ["version", "os", "arch"];

/// Paths of this machine start here.
pub(super) struct Paths<'a> {
    pub base: &'a Path,
    pub home: Option<&'a Path>,
}

impl Paths<'_> {
    /// An absolute path; `~/` is the home of whoever runs monopg.
    pub fn absolute(&self, path: &str) -> PathBuf {
        let path = match (path.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.base.join(path),
        };
        // By text, as Ansible does: `..` of a link is the folder in which the link is written.
        let mut out = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    out.pop();
                }
                std::path::Component::CurDir => {}
                part => out.push(part),
            }
        }
        out
    }
}

fn is_archive(path: &str) -> bool {
    path.ends_with(".tgz") || path.ends_with(".tar.gz")
}

/// A URL that may be fetched: https, or http on this machine itself; never with a password in it.
fn remote(text: &str, node: &Node) -> Checked<Url> {
    let url = Url::parse(text)
        .map_err(|e| vec![bad(format!("{} is not a URL: {e}", shown(text))).at(node)])?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not shown: it holds a password.
        return Err(vec![
            bad("a URL with a user or a password in it would end up in logs").at(node),
        ]);
    }
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(vec![
            bad(format!(
                "{}: plain http is accepted from this machine only",
                shown(text)
            ))
            .at(node)
            .hint("use https://"),
        ]),
        scheme => Err(vec![
            bad(format!(
                "{}: the scheme `{scheme}` is not supported",
                shown(text)
            ))
            .at(node)
            .hint("a path, https:// or oci://"),
        ]),
    }
}

/// `monopg_chart`.
pub(super) fn chart(node: &Node, name: &str, paths: &Paths<'_>) -> Checked<Source> {
    let value = text(node)?;
    if let Some(reference) = value.strip_prefix("oci://") {
        return oci(value, reference, node);
    }
    if value.contains("://") {
        let url = remote(value, node)?;
        return Ok(if is_archive(url.path()) {
            Source::Url(url)
        } else {
            Source::Repository {
                url,
                chart: name.to_owned(),
            }
        });
    }
    if !is_archive(value) {
        return Err(vec![
            bad(format!(
                "{} is neither an archive (.tgz) nor a URL",
                shown(value)
            ))
            .at(node)
            .hint("names of `helm repo add` are not known here: give the repository's https:// URL and monopg_chart_name, or `helm pull` the archive"),
        ]);
    }
    Ok(Source::File(paths.absolute(value)))
}

fn oci(value: &str, reference: &str, node: &Node) -> Checked<Source> {
    let wrong = |why: &str, hint: &str| -> Vec<Bad> {
        vec![
            bad(format!("{}: {why}", shown(value)))
                .at(node)
                .hint(hint.to_owned()),
        ]
    };
    if reference.contains('@') {
        return Err(wrong(
            "a digest or a user does not belong here",
            "the pin is monopg_chart_version with monopg_chart_sha256",
        ));
    }
    let form = "write it as oci://registry/path/postgresql";
    let Some((registry, path)) = reference.split_once('/') else {
        return Err(wrong("there is no path behind the registry", form));
    };
    if path.contains(':') {
        return Err(wrong(
            "a tag does not belong here",
            "the version is monopg_chart_version",
        ));
    }
    let host_fits = Url::parse(&format!("https://{registry}/"))
        .is_ok_and(|u| u.host_str().is_some() && !registry.is_empty());
    let part_fits = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(inner)
    };
    if !host_fits || !path.split('/').all(part_fits) {
        return Err(wrong("this is not a reference to a registry", form));
    }
    Ok(Source::Oci(value.to_owned()))
}

/// `monopg_helm_source`: the template, with an absolute path if it is one.
pub(super) fn helm(node: &Node, paths: &Paths<'_>) -> Checked<String> {
    let value = text(node)?;
    let mut bads = Vec::new();
    let mut filled = String::new();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((word, after)) = from.split_once('}') else {
            bads.push(bad(format!("{}: a `{{` is not closed", shown(value))).at(node));
            break;
        };
        if PLACEHOLDERS.contains(&word) {
            filled.push('x');
        } else {
            let hint = match nearest(word, PLACEHOLDERS) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => "known are {version}, {os} and {arch}".to_owned(),
            };
            let what = format!(
                "the placeholder {} is unknown",
                shown(&format!("{{{word}}}"))
            );
            bads.push(bad(what).at(node).hint(hint));
        }
        rest = after;
    }
    filled.push_str(rest);
    if !bads.is_empty() {
        return Err(bads);
    }
    if value.contains("://") {
        let url = remote(&filled, node)?;
        if !is_archive(url.path()) {
            return Err(vec![not_archive(value, node)]);
        }
        return Ok(value.to_owned());
    }
    if !is_archive(value) {
        return Err(vec![not_archive(value, node)]);
    }
    Ok(paths.absolute(value).to_string_lossy().into_owned())
}

fn not_archive(value: &str, node: &Node) -> Bad {
    bad(format!("{} does not end in .tar.gz or .tgz", shown(value)))
        .at(node)
        .hint("the archive as Helm publishes it, not the program itself")
}

/// `monopg_storage_path`.
pub(super) fn storage_path(node: &Node) -> Checked<String> {
    /// Folders whose mode and content belong to the system: the storage folder gets mode 0700.
    const SYSTEM: [&str; 14] = [
        "/srv",
        "/mnt",
        "/media",
        "/opt",
        "/home",
        "/root",
        "/var",
        "/var/lib",
        "/var/lib/rancher",
        "/var/lib/rancher/k3s",
        "/usr/local",
        "/lost+found",
        "/data/lost+found",
        "/snap",
    ];
    /// Folders where nothing below is a place for data either.
    const NEVER: [&str; 18] = [
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib32",
        "/lib64",
        "/proc",
        "/run",
        "/sbin",
        "/sys",
        "/tmp",
        "/usr",
        "/var/run",
        "/var/tmp",
        "/var/lib/kubelet",
        "/var/lib/monopg",
        "/var/lib/rancher/k3s/agent",
    ];
    let value = text(node)?;
    let wrong = |why: &str| Err(vec![bad(format!("{} {why}", shown(value))).at(node)]);
    if !value.starts_with('/') {
        return wrong("is not an absolute path");
    }
    let path = value.strip_suffix('/').unwrap_or(value);
    if path.is_empty() {
        return wrong("cannot be the storage folder");
    }
    if let Some(c) = path
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "/._-+=@".contains(*c)))
    {
        return wrong(&format!(
            "has {} in it; k3s' configuration and systemd take letters, digits and / . _ - + = @ only",
            shown(&c.to_string())
        ));
    }
    let mut parts = path.split('/').skip(1);
    if parts.any(|p| p.is_empty() || p == "." || p == "..") {
        return wrong("has an empty, `.` or `..` part in it");
    }
    if path.len() > 200 {
        return wrong("is longer than 200 characters");
    }
    let below = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if SYSTEM.contains(&path) {
        return Err(vec![
            bad(format!(
                "{} belongs to the system and would get mode 0700",
                shown(value)
            ))
            .at(node)
            .hint(format!("use a folder of its own, as {path}/k3s-storage")),
        ]);
    }
    if let Some(folder) = NEVER.iter().find(|f| below(f)) {
        return Err(vec![
            bad(format!(
                "{} is no place for data: {folder} is the system's",
                shown(value)
            ))
            .at(node)
            .hint("use a folder such as /srv/k3s-storage"),
        ]);
    }
    Ok(path.to_owned())
}
