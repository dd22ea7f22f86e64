//! What the cases share: the node, the archives, the inventory, the folder of this run, the seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::check::{Check, During};
use crate::database::Database;
use crate::ensure;
use crate::inventory::Inventory;
use crate::run::{Monopg, Outcome};
use crate::sandbox::Sandbox;

/// A file with its digest.
#[derive(Clone)]
pub struct Archive {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// The version that the inventory pins.
    pub version: String,
}

impl Archive {
    /// Reads a file's digest.
    pub fn of(path: &Path, version: &str) -> Check<Archive> {
        let bytes = std::fs::read(path).during(path.display())?;
        Ok(Archive {
            path: path.to_owned(),
            sha256: sha256(&bytes),
            version: version.to_owned(),
        })
    }
}

/// The SHA-256 of some bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Where the release lives.
pub const NAMESPACE: &str = "data";
/// The release's name, which is also its objects'.
pub const RELEASE: &str = "postgresql";
/// The storage directory.
pub const STORAGE: &str = "/srv/k3s-storage";

/// The world.
pub struct World {
    /// The checkout under test.
    pub checkout: PathBuf,
    /// The node.
    pub node: Sandbox,
    /// The folder of this run.
    pub folder: PathBuf,
    /// An empty home for monopg.
    pub home: PathBuf,
    /// The stand-in chart.
    pub chart: Archive,
    /// Helm archives by major version.
    pub helm: BTreeMap<u8, Archive>,
    /// The sample.
    pub draw: Draw,
    /// What every run of monopg printed, on all nodes.
    pub outputs: PathBuf,
    /// The passwords: canaries, unlike anything else.
    pub admin_password: String,
    /// The application's.
    pub user_password: String,
}

/// Of the whole process: a second world on the same node must not write over what the first one kept.
fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl World {
    /// Boots the node and makes the archives.
    pub fn new(draw: Draw, number: usize, parent: &Path) -> Check<World> {
        let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let node = Sandbox::up(&checkout, &format!("e2e{number}"))?;
        let (outputs, folder) = (parent.join("outputs"), parent.join(number.to_string()));
        let home = folder.join("home");
        std::fs::create_dir_all(&home)?;
        std::fs::create_dir_all(&outputs)?;

        let out = Command::new(checkout.join("scripts/lib/chart"))
            .arg(folder.join("chart"))
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(out.status.success(), "scripts/lib/chart failed");
        let line = String::from_utf8(out.stdout)?;
        let (path, digest) = line
            .trim()
            .split_once(' ')
            .ok_or("scripts/lib/chart said nothing")?;
        let chart = Archive::of(Path::new(path), "17.0.2")?;
        ensure!(
            chart.sha256 == digest,
            "scripts/lib/chart names another digest"
        );

        let mut helm = BTreeMap::new();
        for major in [3, 4] {
            let path = Sandbox::artifact(&checkout, &format!("helm{major}"))?;
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            let version = name
                .strip_prefix("helm-v")
                .and_then(|n| n.split_once("-linux-"))
                .map(|(v, _)| v.to_owned())
                .ok_or_else(|| format!("{name} does not look like Helm's archive"))?;
            helm.insert(major, Archive::of(&path, &version)?);
        }
        // Unlike anything that may stand in a log by chance, and the same for a seed.
        let secret = |what: &str| {
            format!(
                "canary-{}",
                &sha256(format!("{what} {}", draw.seed).as_bytes())[..24]
            )
        };
        Ok(World {
            checkout,
            node,
            home,
            folder,
            chart,
            helm,
            draw,
            outputs,
            admin_password: secret("admin"),
            user_password: secret("user"),
        })
    }

    /// The inventory that most cases use, with Helm 4.
    pub fn inventory(&self) -> Inventory {
        self.inventory_with(&self.chart, &self.helm[&4])
    }

    /// An inventory with other archives.
    pub fn inventory_with(&self, chart: &Archive, helm: &Archive) -> Inventory {
        Inventory::new(
            &self.node,
            json!({
                "monopg_chart": chart.path,
                "monopg_chart_version": chart.version,
                "monopg_chart_sha256": chart.sha256,
                "monopg_helm_source": helm.path,
                "monopg_helm_version": helm.version,
                "monopg_helm_sha256": helm.sha256,
                "monopg_release": RELEASE,
                "monopg_namespace": NAMESPACE,
                "monopg_storage_path": STORAGE,
                "monopg_volume_size": "1Gi",
                "monopg_username": "app",
                "monopg_database": "app",
                "monopg_image": {
                    "registry": "docker.io",
                    "repository": "bitnamilegacy/postgresql",
                    "tag": "17.6.0-debian-12-r4",
                },
                "monopg_allowed_clients": [{"namespace": "apps", "pod_labels": {"app": "api"}}],
            }),
            json!({"postgres-password": self.admin_password, "password": self.user_password}),
        )
    }

    /// `monopg apply`.
    pub fn apply(&self, inventory: &Inventory) -> Check<Outcome> {
        Monopg::new(self, "apply", inventory)?.json()
    }

    /// `monopg plan`.
    pub fn plan(&self, inventory: &Inventory) -> Check<Outcome> {
        Monopg::new(self, "plan", inventory)?.json()
    }

    /// The database of the usual inventory.
    pub fn database(&self) -> Database<'_> {
        Database { world: self }
    }

    /// A bare node with the database applied to it.
    pub fn installed(&self, inventory: &Inventory) -> Check {
        self.node.reset()?;
        self.apply(inventory)?
            .expect_changed(true)
            .during("apply on a bare node")
    }

    /// An empty folder of this run.
    pub fn fresh_folder(&self, what: &str) -> Check<PathBuf> {
        let folder = self.folder.join(format!("{what}-{}", number()));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Keeps what a run printed, for the canary search at the end.
    pub fn record(&self, stdout: &str, stderr: &str) -> Check {
        let file = self
            .outputs
            .join(format!("{}-{}", self.node.name, number()));
        Ok(std::fs::write(file, format!("{stdout}\n{stderr}"))?)
    }

    /// The name of the Secret that the StatefulSet refers to.
    pub fn secret_name(&self) -> Check<String> {
        let sts = self
            .node
            .kubectl_json(&format!("get statefulset {RELEASE} -n {NAMESPACE}"))?;
        sts["spec"]["template"]["spec"]["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|v| v["secret"]["secretName"].as_str())
            .map(str::to_owned)
            .ok_or_else(|| "the StatefulSet refers to no Secret".into())
    }

    /// The NetworkPolicy that closes the door on 5432, and its ingress rules.
    pub fn policy(&self) -> Check<(String, Value)> {
        let list = self
            .node
            .kubectl_json(&format!("get networkpolicy -n {NAMESPACE}"))?;
        let items: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
        let chosen = items
            .iter()
            .find(|p| p["spec"]["ingress"].to_string().contains("5432"))
            .ok_or("no NetworkPolicy names port 5432")?;
        Ok((
            chosen["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            chosen["spec"]["ingress"].clone(),
        ))
    }
}

/// What is drawn from matrices that are too long for every day.
#[derive(Clone, Copy)]
pub struct Draw {
    /// Everything instead of a sample.
    pub all: bool,
    /// What the sample follows from.
    pub seed: u64,
}

impl Draw {
    /// A number below `limit`, drawn from the seed and a name: repeatable, whatever ran before.
    pub fn number(&self, name: &str, limit: u64) -> u64 {
        let hash = Sha256::digest(format!("{} {name}", self.seed).as_bytes());
        let mut eight = [0; 8];
        eight.copy_from_slice(&hash[..8]);
        u64::from_be_bytes(eight) % limit.max(1)
    }

    /// The whole of a matrix, or `n` of it, in the matrix' order.
    pub fn sample<T: Clone>(&self, name: &str, matrix: &[T], n: usize) -> Vec<T> {
        if self.all || n >= matrix.len() {
            return matrix.to_vec();
        }
        let mut order: Vec<usize> = (0..matrix.len()).collect();
        order.sort_by_key(|i| self.number(&format!("{name} {i}"), u64::MAX));
        order.truncate(n);
        order.sort_unstable();
        order.into_iter().map(|i| matrix[i].clone()).collect()
    }
}
