//! Every `monopg_*` variable, once: from here come validation, "did you mean", the reference page and,
//! for Ansible, argument specs.
//!
//! One reason: a setting that is documented in one place and checked in another drifts.

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A version; as a bare number it would lose digits.
    Version,
    /// A SHA-256 digest as text.
    Sha256,
    /// One digest, or one by architecture.
    Sha256ByArch,
    /// An absolute path on the node.
    NodePath,
    /// A path on this machine, relative to the folder of the inventory.
    Path,
    /// A file or a URL.
    Source,
    /// Bytes in Kubernetes' notation.
    Quantity,
    /// A mapping of keys to secret text.
    Secrets,
    /// A list of paths on this machine.
    Paths,
    /// A list of clients.
    Clients,
    /// A list of address ranges.
    Cidrs,
    /// A list of names of variables, or of dotted paths.
    Names,
    /// A mapping with the named keys.
    Map(&'static [&'static str]),
    /// One of the named words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// For the reference page.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Version => "version (quoted)",
            Kind::Sha256 => "sha256",
            Kind::Sha256ByArch => "sha256, or a mapping by architecture",
            Kind::NodePath => "absolute path on the node",
            Kind::Path => "path",
            Kind::Source => "file or URL",
            Kind::Quantity => "quantity",
            Kind::Secrets => "mapping of secrets",
            Kind::Paths => "list of paths",
            Kind::Clients => "list of clients",
            Kind::Cidrs => "list of CIDRs",
            Kind::Names => "list of names",
            Kind::Map(_) => "mapping",
            Kind::Choice(_) => "word",
        }
    }
}

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable, with its prefix.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it is without a value, as YAML; `None`: no value.
    pub default: Option<&'static str>,
    /// True if there must be a value.
    pub required: bool,
    /// True if no message may show the value.
    pub secret: bool,
    /// One line.
    pub doc: &'static str,
    /// A value, as YAML.
    pub example: &'static str,
}

const fn required(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default: None,
        required: true,
        secret: false,
        doc,
        example,
    }
}

const fn optional(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    example: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        required: false,
        secret: false,
        doc,
        example,
    }
}

/// The table, in the order of the reference page.
pub const SETTINGS: &[Setting] = &[
    required(
        "monopg_chart",
        Kind::Source,
        "../charts/postgresql-17.0.2.tgz",
        "The chart: an archive (`.tgz`) as a file or an `https://` URL, an `oci://` reference without a tag, or the `https://` URL of a Helm repository. A host takes part if this is defined for it.",
    ),
    optional(
        "monopg_chart_name",
        Kind::Text,
        Some("postgresql"),
        "postgresql",
        "The chart's name: it must stand inside the archive, and a repository is asked for it.",
    ),
    required(
        "monopg_chart_version",
        Kind::Version,
        "\"17.0.2\"",
        "The chart's version; it must stand inside the archive.",
    ),
    required(
        "monopg_chart_sha256",
        Kind::Sha256,
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "The SHA-256 of the chart's archive.",
    ),
    required(
        "monopg_helm_version",
        Kind::Version,
        "\"4.1.4\"",
        "The version of Helm to use: 3.13 or newer, or 4.",
    ),
    required(
        "monopg_helm_sha256",
        Kind::Sha256ByArch,
        "{amd64: 70b2c30a19da4db264dfd68c8a3664e05093a361cefd89572ffb36f8abfa3d09}",
        "The SHA-256 of Helm's archive (`helm-v…-linux-….tar.gz`): one, or one for each of `amd64` and `arm64`.",
    ),
    required(
        "monopg_helm_source",
        Kind::Source,
        "https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz",
        "Where Helm's archive comes from: a file or an `https://` URL; `{version}`, `{os}` and `{arch}` are replaced.",
    ),
    optional(
        "monopg_release",
        Kind::Text,
        Some("postgresql"),
        "postgresql",
        "The name of the Helm release.",
    ),
    optional(
        "monopg_namespace",
        Kind::Text,
        Some("postgresql"),
        "data",
        "The namespace of the release.",
    ),
    required(
        "monopg_storage_path",
        Kind::NodePath,
        "/srv/k3s-storage",
        "The folder on the node below which the local-path provisioner keeps volumes; becomes k3s' `default-local-storage-path`.",
    ),
    optional(
        "monopg_storage_class",
        Kind::Text,
        Some("local-path"),
        "local-path",
        "The StorageClass of the volume.",
    ),
    optional(
        "monopg_volume_size",
        Kind::Quantity,
        Some("8Gi"),
        "20Gi",
        "The size of the volume.",
    ),
    Setting {
        name: "monopg_credentials",
        kind: Kind::Secrets,
        default: None,
        required: true,
        secret: true,
        doc: "The passwords: `postgres-password` of the administrator and, with `monopg_username`, `password` of that user. They go into a Secret of the cluster and nowhere else.",
        example: "{postgres-password: …, password: …}",
    },
    optional(
        "monopg_username",
        Kind::Text,
        None,
        "app",
        "A database user beside the administrator `postgres`; it owns the database.",
    ),
    optional(
        "monopg_database",
        Kind::Text,
        Some("app"),
        "orders",
        "The database that is created at the first start.",
    ),
    optional(
        "monopg_values_files",
        Kind::Paths,
        Some("[]"),
        "[values.yaml]",
        "Values files for the chart, passed on byte for byte, later ones over earlier ones. What monopg sets itself must not stand in them otherwise.",
    ),
    optional(
        "monopg_allowed_clients",
        Kind::Clients,
        Some("[]"),
        "[{namespace: apps, pod_labels: {app: api}}, {cidr: 10.8.0.0/24}]",
        "Who may connect to port 5432: each entry is a `namespace` (without: the release's), `pod_labels` (without: all its pods), or a `cidr`. Nobody else gets in.",
    ),
    optional(
        "monopg_metrics",
        Kind::Map(&["enabled"]),
        Some("{enabled: false}"),
        "{enabled: true}",
        "Whether the metrics exporter runs beside the database.",
    ),
    optional(
        "monopg_metrics_clients",
        Kind::Clients,
        Some("[]"),
        "[{namespace: monitoring}]",
        "Who may connect to the exporter's port 9187, written as in `monopg_allowed_clients`.",
    ),
    optional(
        "monopg_private_cidrs",
        Kind::Cidrs,
        Some("[]"),
        "[100.64.0.0/10]",
        "Address ranges that count as private beside the usual ones.",
    ),
    optional(
        "monopg_image",
        Kind::Map(&["registry", "repository", "tag", "digest"]),
        None,
        "{repository: bitnamilegacy/postgresql}",
        "Where the image of PostgreSQL comes from when it is not the chart's own.",
    ),
    optional(
        "monopg_host_key",
        Kind::Text,
        None,
        "SHA256:uNiVztksCsDhcc0u9e8BrrqrXvz8zZ7g6RmjAFQ6ZpE",
        "The fingerprint of the node's SSH host key; with it known_hosts is not asked.",
    ),
    Setting {
        name: "monopg_key_passphrase",
        kind: Kind::Text,
        default: None,
        required: false,
        secret: true,
        doc: "The passphrase of the private key file, where no agent has the key; in an encrypted file only.",
        example: "…",
    },
    optional(
        "monopg_ssh",
        Kind::Choice(&["russh", "openssh"]),
        Some("russh"),
        "openssh",
        "Which SSH client is used: the built-in one (`russh`), or the installed `ssh`, for what the built-in one does not speak (PKCS#11, GSSAPI, FIDO keys in files). It is never given a password.",
    ),
    optional(
        "monopg_clear_text_secrets",
        Kind::Choice(&["refused", "allowed"]),
        Some("refused"),
        "allowed",
        "Whether a secret may stand in clear in a file that git keeps. `secrets check` tells of it either way.",
    ),
    optional(
        "monopg_clear_text_allowed",
        Kind::Names,
        Some("[]"),
        "[app_token, grafana.adminPassword]",
        "What `secrets check` passes over: names of variables, or dotted paths in variables and values files.",
    ),
    optional(
        "monopg_base_dir",
        Kind::Path,
        None,
        "/home/me/infra",
        "The folder that relative paths start from; without it the folder of the inventory.",
    ),
];

/// The entry of a variable.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.name == name)
}

/// The known word that is nearest to a mistyped one, if one is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The prefix that all variables share would make every pair look alike.
    let bare = |s: &str| s.strip_prefix("monopg_").unwrap_or(s).to_ascii_lowercase();
    let wanted = bare(word);
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&wanted, &bare(k)), k))
        .filter(|(score, _)| *score >= 0.82)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// The table as Markdown, for the reference page.
pub fn markdown() -> String {
    let mut out =
        String::from("| variable | type | default | example | meaning |\n|---|---|---|---|---|\n");
    for s in SETTINGS {
        let default = match (s.required, s.default) {
            (true, _) => "**required**".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => "–".to_owned(),
        };
        let kind = match s.kind {
            Kind::Map(keys) => format!("mapping of {}", code_list(keys)),
            Kind::Choice(words) => code_list(words),
            kind => kind.as_str().to_owned(),
        };
        let secret = if s.secret { " Secret." } else { "" };
        out += &format!(
            "| `{}` | {kind} | {default} | `{}` | {}{secret} |\n",
            s.name,
            s.example.replace('|', "\\|"),
            s.doc.replace('|', "\\|"),
        );
    }
    out
}

fn code_list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    words.join(", ")
}
