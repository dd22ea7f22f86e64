//! What one host's settings say, after validation: immutable and typed.
//!
//! May depend on `secrets`. One reason: everything below reads this and nothing else, so a setting
//! is checked in one place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::secrets::Secret;

/// A SHA-256 digest as 64 lower-case hexadecimal digits; validated when made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Sha256Hex(String);

impl Sha256Hex {
    /// Accepts 64 hexadecimal digits of either case, with or without a leading `sha256:`.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text
            .strip_prefix("sha256:")
            .unwrap_or(text)
            .to_ascii_lowercase();
        (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(Sha256Hex(hex))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<[u8; 32]> for Sha256Hex {
    fn from(digest: [u8; 32]) -> Self {
        Sha256Hex(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A processor architecture that a node may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64, `uname -m` = x86_64.
    Amd64,
    /// `uname -m` = aarch64.
    Arm64,
}

impl Arch {
    /// Go's name, as in Helm's archive names.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// From what `uname -m` prints.
    pub fn from_uname(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" | "amd64" => Some(Arch::Amd64),
            "aarch64" | "arm64" => Some(Arch::Arm64),
            _ => None,
        }
    }
}

/// Where an archive comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file on the laptop (absolute by now).
    File(PathBuf),
    /// An `https://` (or, for a loopback address only, `http://`) URL of the archive itself.
    Url(url::Url),
    /// A Helm repository: its URL and the chart's name; the archive is found through `index.yaml`.
    Repository {
        /// The repository's base URL.
        url: url::Url,
        /// The chart's name in the repository's index.
        chart: String,
    },
    /// A chart in an OCI registry, `oci://registry/path/name`, without a tag (the tag is the version).
    Oci(String),
}

/// The pinned chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartPin {
    /// `monopg_chart`.
    pub source: Source,
    /// The name that stands inside the archive: `monopg_chart_name`, default `postgresql`.
    pub name: String,
    /// `monopg_chart_version`.
    pub version: String,
    /// `monopg_chart_sha256`.
    pub sha256: Sha256Hex,
}

/// The pinned Helm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmPin {
    /// `monopg_helm_version`, without a leading `v`.
    pub version: semver::Version,
    /// `monopg_helm_sha256`: of the archive, by architecture. A plain string counts for both.
    pub sha256: BTreeMap<Arch, Sha256Hex>,
    /// `monopg_helm_source`: a file or an https URL, in which `{version}`, `{os}` and `{arch}` are replaced.
    pub source: String,
}

/// A quantity of bytes in Kubernetes' notation, with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes {
    /// As the user wrote it, as `8Gi`.
    pub text: String,
    /// In bytes.
    pub bytes: u64,
}

/// Who may connect: a workload, or an address range (a VPN).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Client {
    /// Pods by labels (none = every pod) in a namespace.
    Pods {
        /// The namespace; `None` is the release's own.
        namespace: Option<String>,
        /// All must match; empty means the whole namespace.
        pod_labels: BTreeMap<String, String>,
    },
    /// An IP range in CIDR notation.
    Cidr {
        /// The range.
        cidr: String,
    },
}

/// Where an image comes from when it is not the chart's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageMapping {
    /// As `docker.io`.
    pub registry: Option<String>,
    /// As `bitnamilegacy/postgresql`.
    pub repository: Option<String>,
    /// As `17.6.0-debian-12-r4`.
    pub tag: Option<String>,
    /// As `sha256:…`.
    pub digest: Option<String>,
}

/// What shall be on one host.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The pinned chart.
    pub chart: ChartPin,
    /// The pinned Helm.
    pub helm: HelmPin,
    /// `monopg_release`, default `postgresql`.
    pub release: String,
    /// `monopg_namespace`, default `postgresql`.
    pub namespace: String,
    /// `monopg_storage_path`: absolute, normalised, without a trailing slash; k3s' default-local-storage-path.
    pub storage_path: String,
    /// `monopg_storage_class`, default `local-path`.
    pub storage_class: String,
    /// `monopg_volume_size`, default 8Gi.
    pub volume_size: Bytes,
    /// `monopg_username`; `None` = only the administrator `postgres`.
    pub username: Option<String>,
    /// `monopg_database`, default `app`.
    pub database: String,
    /// `monopg_values_files`: absolute paths with their content, in order.
    pub values_files: Vec<ValuesFile>,
    /// The effective `extraDeploy` of the user's values: Helm replaces lists whole, so monopg's policy is
    /// added to it. Checked: none of these objects opens the database to others.
    pub extra_deploy: Vec<serde_json::Value>,
    /// `monopg_credentials`: Secret key → value; `postgres-password` and, with a username, `password`.
    pub credentials: BTreeMap<String, Secret>,
    /// `monopg_allowed_clients`: who gets to 5432; empty = nobody.
    pub allowed_clients: Vec<Client>,
    /// `monopg_metrics.enabled`, default false.
    pub metrics: bool,
    /// `monopg_metrics_clients`: who gets to 9187; empty = nobody.
    pub metrics_clients: Vec<Client>,
    /// `monopg_private_cidrs`: addresses that count as private.
    pub private_cidrs: Vec<String>,
    /// `monopg_image`.
    pub image: Option<ImageMapping>,
}

/// A values file of the user, passed through byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its bytes; checked: UTF-8, one YAML mapping, not SOPS-encrypted.
    pub content: Vec<u8>,
}

/// How to reach a host; filled from Ansible's connection variables and flags.
#[derive(Debug, Clone)]
pub struct Connection {
    /// How commands get there.
    pub via: Via,
    /// `ansible_host`, default the inventory name.
    pub address: String,
    /// `ansible_port`; `None` = what the arguments or ssh_config say, else 22.
    pub port: Option<u16>,
    /// `ansible_user`; `None` = what the arguments or ssh_config say, else the laptop's user.
    pub user: Option<String>,
    /// `ansible_ssh_private_key_file`.
    pub private_key: Option<PathBuf>,
    /// `monopg_key_passphrase`, `--key-passphrase-file` or `MONOPG_KEY_PASSPHRASE`: opens encrypted private keys.
    pub key_passphrase: Option<Secret>,
    /// `ansible_password`; only then password logins are tried.
    pub password: Option<Secret>,
    /// Arguments for ssh that Ansible would append, split by shell rules (`-o Key=Value` pairs are honoured).
    pub ssh_args: Vec<String>,
    /// `ansible_host_key_checking`: if false, an unknown key is accepted (a changed one never is).
    pub host_key_checking: bool,
    /// `monopg_host_key`: a pinned fingerprint `SHA256:…`.
    pub host_key: Option<String>,
    /// `-T`, `ansible_ssh_timeout`: for connecting and authenticating.
    pub timeout: Duration,
    /// How to become root.
    pub become_root: Become,
}

impl Connection {
    /// The connection to an address for which nothing is set: by SSH, as the user's own files say, and root by sudo.
    pub fn to(address: &str) -> Connection {
        Connection {
            via: Via::Ssh,
            address: address.to_owned(),
            port: None,
            user: None,
            private_key: None,
            key_passphrase: None,
            password: None,
            ssh_args: Vec::new(),
            host_key_checking: true,
            host_key: None,
            timeout: Duration::from_secs(10),
            become_root: Become {
                enabled: true,
                password: None,
                exe: "sudo".to_owned(),
                flags: None,
            },
        }
    }
}

/// The way to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// SSH by the built-in client.
    Ssh,
    /// SSH by the installed `ssh` (`monopg_ssh: openssh`).
    OpenSsh,
    /// This machine itself.
    Local,
}

/// Privilege escalation.
#[derive(Debug, Clone)]
pub struct Become {
    /// False only if the user said so explicitly; a root login never escalates.
    pub enabled: bool,
    /// `ansible_become_password` or `-K`.
    pub password: Option<Secret>,
    /// `ansible_become_exe`, default `sudo`.
    pub exe: String,
    /// `ansible_become_flags`, default `-H -S -n`.
    pub flags: Option<String>,
}

/// One host: where it is and what shall be there.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// The inventory name.
    pub name: String,
    /// How to reach it.
    pub connection: Connection,
    /// What shall be there.
    pub spec: Spec,
    /// Whether the credentials are encrypted where the inventory has them; `None` if one comes from elsewhere.
    pub encrypted_credentials: Option<bool>,
}
