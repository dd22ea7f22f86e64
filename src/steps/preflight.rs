//! `preflight`: what has to be true before anything is changed. It changes nothing itself.
//!
//! May depend on `engine`, `cluster`, `settings`. One reason: all that is wrong is listed at once, before
//! the first change, each with what to do.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::facts::Facts;
use super::release::record::{self, Recorded};
use super::space::{Space, gib};
use super::{objects, paths, storage, volume};
use crate::cluster::facts::{condition, is_true, text};
use crate::cluster::{manifest, owners, refusals, values};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::error::{Exit, Problem};
use crate::host::channel::NOT_ROOT;
use crate::settings::{Arch, Spec};

/// The step's id.
pub const ID: StepId = StepId("preflight");
const FACTS: &str = "preflight.facts";
const K3S: &str = "preflight.k3s";
const USED: &str = "preflight.used";
const IMAGES: &str = "preflight.images";

/// The clocks may differ by this many seconds: certificates and tokens start to fail beyond it.
const SKEW: i64 = 30;
/// For so many seconds a node that is not Ready may only be one whose kubelet has just started: it can call itself so in
/// its first report, and makes the next one 10 s later (kubelet's `nodeStatusUpdateFrequency`).
const STARTS: i64 = 60;
/// Kubernetes before this has no `policy/v1`, which the chart uses.
const OLDEST: (u64, u64) = (1, 25);

/// The step.
pub struct Preflight {
    /// What shall be there.
    pub spec: Spec,
    /// The image that the chart and the values will lead to, once the chart was fetched.
    pub image: Arc<OnceCell<String>>,
    /// What will be well in a moment is waited for; who only asks is told at once.
    pub waits: bool,
}

const ASK: &str = r#"
echo "uname=$(uname -sm)"
echo "uid=$(id -u)"
[ -d /run/systemd/system ] && echo systemd=yes
command -v k3s >/dev/null && echo k3s=yes
c=/etc/rancher/k3s/k3s.yaml
[ -e "$c" ] && echo "kubeconfig=$(stat -L -c %a -- "$c")"
[ -r /sys/fs/selinux/enforce ] && read -r e </sys/fs/selinux/enforce && echo "selinux=$e"
grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf && echo firewall=ufw
[ -e /run/firewalld.pid ] || [ -d /run/firewalld ] && echo firewall=firewalld
:"#;

/// What the machine is; several steps ask it.
pub fn facts_question() -> Query {
    Query::shell(FACTS, ASK)
}

/// What the unit of k3s says of itself: asked when its API does not answer.
pub fn k3s_question() -> Query {
    Query::shell(
        K3S,
        "systemctl is-active k3s | sed 's/^/unit k3s is /'; journalctl -u k3s -n 3 --no-pager -o cat 2>/dev/null; :",
    )
}

/// The node's architecture; `None` if Helm is not published for it.
pub fn arch(answers: &Answers) -> Result<Option<Arch>, AnswerError> {
    let facts = Facts::of(answers, FACTS)?;
    Ok(facts
        .get("uname")
        .and_then(|u| u.split_once(' '))
        .and_then(|(_, m)| Arch::from_uname(m)))
}

impl Preflight {
    fn machine(&self, facts: &Facts, found: &mut Found) {
        let uname = facts.get("uname").unwrap_or("unknown");
        let (system, machine) = uname.split_once(' ').unwrap_or((uname, ""));
        if system != "Linux" {
            found.refuse(
                "preflight.os",
                Exit::Refused,
                format!("the node runs {system}, not Linux"),
                "k3s and the chart's images need Linux",
            );
        } else if Arch::from_uname(machine).is_none() {
            found.refuse(
                "preflight.arch",
                Exit::Refused,
                format!("the node's architecture {machine} is not supported"),
                "use an x86_64 or aarch64 machine",
            );
        }
        if facts.get("uid") != Some("0") {
            let what = "commands on the node do not run as root";
            found.refuse("preflight.root", Exit::Privilege, what, NOT_ROOT);
        }
        if facts.get("systemd").is_none() {
            found.warn("preflight.systemd", "the node does not run systemd: Helm does not outlive a lost connection there, and k3s cannot be restarted by monopg", "");
        }
        if facts.get("selinux") == Some("1") {
            let hint = format!(
                "label it once: semanage fcontext -a -t container_file_t '{0}(/.*)?' && restorecon -R {0}",
                self.spec.storage_path
            );
            found.warn(
                "preflight.selinux",
                "SELinux is enforcing: pods may not be allowed into the storage path",
                &hint,
            );
        }
        for firewall in facts.all("firewall") {
            let what = format!(
                "{firewall} is active: without rules for the pod and service networks (10.42.0.0/16, 10.43.0.0/16) pods cannot talk to each other"
            );
            found.warn(
                "preflight.firewall",
                &what,
                "see k3s' documentation, Requirements, Operating systems",
            );
        }
    }

    /// True if the rest can be judged at all.
    fn cluster(
        &self,
        answers: &Answers,
        facts: &Facts,
        found: &mut Found,
    ) -> Result<bool, AnswerError> {
        if facts.get("k3s").is_none() {
            found.refuse(
                "preflight.k3s",
                Exit::Cluster,
                "k3s is not installed on the node",
                "install it first (monopg does not do that): https://docs.k3s.io/quick-start",
            );
            return Ok(false);
        }
        if facts.get("kubeconfig").is_none() {
            let what = format!(
                "{} does not exist: k3s has never started on this node, or writes its kubeconfig elsewhere",
                paths::KUBECONFIG
            );
            found.refuse("preflight.kubeconfig", Exit::Cluster, what, "start k3s (`systemctl start k3s`) without --write-kubeconfig elsewhere, as a server and not as an agent");
            return Ok(false);
        }
        if let Some(mode) = facts
            .get("kubeconfig")
            .filter(|m| u32::from_str_radix(m, 8).is_ok_and(|bits| bits & 0o066 != 0))
        {
            let what = format!(
                "{} has mode {mode}: whoever can read it is the cluster's administrator",
                paths::KUBECONFIG
            );
            found.warn("preflight.kubeconfig", &what, &format!("chmod 600 {}, and set write-kubeconfig-mode: \"0600\" in /etc/rancher/k3s/config.yaml", paths::KUBECONFIG));
        }
        let list = match answers.list(&objects::nodes()) {
            Ok(list) => list.unwrap_or_default(),
            Err(e) => {
                let mut p = Problem::new(
                    "preflight.api",
                    Exit::Cluster,
                    "the Kubernetes API of k3s does not answer",
                )
                .because(e.to_string());
                if let Some(out) = answers.shell.get(K3S) {
                    p.causes.extend(out.text().lines().map(str::to_owned));
                }
                found.refusals.push(p.hint("look at `systemctl status k3s` and `journalctl -u k3s` on the node, start it, then run again"));
                return Ok(false);
            }
        };
        match list {
            [node] => self.node(node, answers, found),
            [] => found.refuse(
                "preflight.node",
                Exit::Cluster,
                "the cluster has no node yet",
                "wait until `k3s kubectl get nodes` lists one, then run again",
            ),
            many => {
                let what = format!(
                    "the cluster has {} nodes; monopg keeps one database on a cluster of one node",
                    many.len()
                );
                found.refuse(
                    "preflight.node",
                    Exit::Refused,
                    what,
                    "a local-path volume is bound to one node: use a mono-node cluster",
                );
            }
        }
        Ok(true)
    }

    fn node(&self, node: &Value, answers: &Answers, found: &mut Found) {
        let version = node
            .pointer("/status/nodeInfo/kubeletVersion")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        let numbers: Vec<u64> = version
            .trim_start_matches('v')
            .split(['.', '+', '-'])
            .map_while(|n| n.parse().ok())
            .collect();
        if let [major, minor, ..] = numbers[..]
            && (major, minor) < OLDEST
        {
            let what = format!(
                "k3s is {version}; the chart needs Kubernetes {}.{} or newer",
                OLDEST.0, OLDEST.1
            );
            found.refuse("preflight.version", Exit::Refused, what, "upgrade k3s");
        }
        let since = condition(node, "Ready").map_or("", |c| text(c, "/lastTransitionTime"));
        let lately = self.waits && began(since, answers);
        if is_true(node, "Ready") {
            // The database cannot be asked for its passwords before its pod is ready, too.
            let pod = objects::pod(&self.spec);
            let live = answers.object(&pod).ok().flatten();
            if lately && live.is_some_and(|pod| !is_true(pod, "Ready")) {
                found.waiting = Some(format!("{pod} is not ready, the node is since {since}"));
            }
        } else if lately {
            found.waiting = Some(format!("the node is not Ready since {since}"));
        } else {
            found.refuse(
                "preflight.node",
                Exit::Cluster,
                "the node is not Ready",
                "look at `k3s kubectl describe node`, then run again",
            );
        }
        if is_true(node, "DiskPressure") {
            found.refuse(
                "preflight.disk_pressure",
                Exit::Storage,
                "the node is under disk pressure: the kubelet evicts pods",
                "free space on the node's disks, then run again",
            );
        }
    }

    fn clock(&self, answers: &Answers, found: &mut Found) {
        let Some(c) = answers.clocks else {
            return found.refuse(
                "preflight.clock",
                Exit::Refused,
                "the node's clock could not be read",
                "`date +%s` on the node has to print the seconds since 1970",
            );
        };
        // The node answered somewhere between sending and receiving.
        let early = c.sent.as_second() - c.node.as_second();
        let late = c.node.as_second() - c.received.as_second();
        let skew = early.max(late);
        if skew > SKEW {
            let side = if early > late { "behind" } else { "ahead of" };
            let what = format!("the node's clock is {skew} s {side} this machine's");
            found.refuse(
                "preflight.clock",
                Exit::Refused,
                what,
                "synchronise the one that is wrong (`timedatectl set-ntp true`), then run again",
            );
        }
    }

    fn storage_class_and_space(
        &self,
        answers: &Answers,
        found: &mut Found,
    ) -> Result<(), StepError> {
        let class = &self.spec.storage_class;
        match answers.object(&objects::storage_class(&self.spec))? {
            None => found.refuse("preflight.storage_class", Exit::Storage, format!("there is no StorageClass {class}"), "enable k3s' local-storage (remove `disable: local-storage`), or set monopg_storage_class"),
            Some(c) if c["provisioner"] != "rancher.io/local-path" => {
                let what = format!("StorageClass {class} is provisioned by {}, not by rancher.io/local-path", c["provisioner"].as_str().unwrap_or("nobody"));
                found.refuse("preflight.storage_class", Exit::Storage, what, "set monopg_storage_class to the local-path class");
            }
            // A claim that is bound has its directory. What earlier claims left is known by the provisioner's own names only.
            Some(c) if volume::bound(answers, &self.spec)?.is_none() => {
                let pattern = text(c, "/parameters/pathPattern");
                if !pattern.is_empty() {
                    let what = format!("StorageClass {class} names its volumes' directories itself (parameters.pathPattern: {pattern}): a new volume could begin in an earlier one's directory");
                    found.refuse("preflight.storage_class", Exit::Storage, what, "set monopg_storage_class to a class of rancher.io/local-path without pathPattern, as k3s' own local-path");
                }
            }
            Some(_) => {}
        }
        if answers.object(&storage::provisioner())?.is_none()
            || answers.object(&storage::config_map())?.is_none()
        {
            found.refuse("preflight.provisioner", Exit::Storage, "k3s' local-path provisioner is not installed", "enable k3s' local-storage (remove `disable: local-storage` from its configuration)");
        }
        let facts = Facts::of(answers, storage::PATH)?;
        let parent = facts.get("parent").unwrap_or("/");
        let Some(space) = Space::read(&facts) else {
            let what = format!("the free space under {parent} cannot be read");
            found.refuse(
                "preflight.space",
                Exit::Storage,
                what,
                "see what `stat -f` says about it on the node",
            );
            return Ok(());
        };
        let (free, total) = (space.free, space.total);
        let wanted = self.spec.volume_size.bytes;
        if volume::claim(answers, &self.spec)?.is_none() {
            if free < wanted {
                let what = format!(
                    "{} are free under {parent}, the volume wants {} ({})",
                    gib(free),
                    gib(wanted),
                    self.spec.volume_size.text
                );
                found.refuse("preflight.space", Exit::Storage, what, "free space, choose a monopg_storage_path on a larger disk, or a smaller monopg_volume_size");
            }
        } else if space.is_short() {
            let what = format!(
                "{} of {} are free under {parent}: the database is about to fill its disk",
                gib(free),
                gib(total)
            );
            found.refuse("preflight.space", Exit::Storage, what, "free space or enlarge the disk; nothing is changed on a disk with less than 10 % or 1 GiB free");
        } else if free < wanted {
            let used = answers
                .shell
                .get(USED)
                // 1: a file vanished while it was counted, as they do below a running database.
                .filter(|o| matches!(o.status, 0 | 1))
                .and_then(|o| {
                    o.text()
                        .split_ascii_whitespace()
                        .next()?
                        .parse::<u64>()
                        .ok()
                })
                .unwrap_or(0)
                .saturating_mul(1024);
            if free.saturating_add(used) < wanted {
                let what = format!(
                    "the volume may grow to {}, but only {} are used and {} free under {parent}",
                    gib(wanted),
                    gib(used),
                    gib(free)
                );
                found.warn(
                    "preflight.space",
                    &what,
                    "local-path does not enforce sizes: watch the disk",
                );
            }
        }
        if let Some(free) = space.few_inodes() {
            found.refuse(
                "preflight.inodes",
                Exit::Storage,
                format!("only {free} inodes are free under {parent}"),
                "remove small files there, or choose another file system",
            );
        }
        Ok(())
    }

    /// Objects with the release's names that belong to no Helm release: Helm would refuse them after half of the work.
    fn taken_names(&self, answers: &Answers, found: &mut Found) -> Result<(), AnswerError> {
        for object in objects::named(&self.spec) {
            let Some(live) = answers.object(&object)? else {
                continue;
            };
            if live
                .pointer("/metadata/annotations/meta.helm.sh~1release-name")
                .is_none()
            {
                let what = format!(
                    "{object} exists and belongs to no Helm release: the chart cannot make its own"
                );
                found.refuse("preflight.name_taken", Exit::Refused, what, "choose another monopg_release or monopg_namespace, or remove that object if nobody needs it");
            }
        }
        Ok(())
    }

    /// Images that the kubelet would have to pull: a node without internet cannot, and Bitnami's moved away.
    fn images(&self, answers: &Answers, found: &mut Found) -> Result<(), AnswerError> {
        let wanted = match answers.object(&objects::stateful_set(&self.spec))? {
            Some(live) => manifest::images(&[(objects::stateful_set(&self.spec), live.clone())]),
            None => self.image.get().cloned().into_iter().collect(),
        };
        let node = answers.list(&objects::nodes())?.and_then(|all| all.first());
        let listed = answers
            .shell
            .get(IMAGES)
            .filter(|o| o.ok())
            .map(|o| o.text())
            .unwrap_or_default();
        let present = refusals::present_images(node, &listed);
        found
            .warnings
            .extend(refusals::missing_images(&wanted, &present));
        Ok(())
    }
}

/// What preflight found.
#[derive(Default)]
pub struct Found {
    /// Reasons not to begin.
    pub refusals: Vec<Problem>,
    /// What hurts nobody yet.
    pub warnings: Vec<Problem>,
    /// What will be well in a moment, if nothing else is wrong.
    pub waiting: Option<String>,
}

/// True if it began just now, by the cluster's clock, which is the node's.
fn began(time: &str, answers: &Answers) -> bool {
    let Some((time, clocks)) = time.parse::<Timestamp>().ok().zip(answers.clocks) else {
        return false;
    };
    (clocks.node.as_second() - time.as_second()).abs() < STARTS
}

impl Found {
    fn refuse(&mut self, id: &str, exit: Exit, what: impl Into<String>, hint: &str) {
        self.refusals.push(Problem::new(id, exit, what).hint(hint));
    }

    fn warn(&mut self, id: &str, what: &str, hint: &str) {
        let p = Problem::new(id, Exit::Refused, what);
        self.warnings
            .push(if hint.is_empty() { p } else { p.hint(hint) });
    }
}

#[async_trait]
impl Step for Preflight {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        "Check the node".into()
    }

    fn questions(&self) -> Vec<Query> {
        let mut lists = vec![objects::nodes()];
        lists.extend(owners::types());
        let mut all = vec![
            facts_question(),
            storage::path_question(&self.spec.storage_path),
            record::question(),
            Query::objects([
                objects::storage_class(&self.spec),
                objects::stateful_set(&self.spec),
                objects::pod(&self.spec),
                storage::config_map(),
                storage::provisioner(),
            ]),
            Query::lists(lists),
        ];
        all.push(Query::objects(objects::named(&self.spec)));
        all.extend(volume::questions(&self.spec));
        all
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        let mut more = Vec::new();
        if answers.list(&objects::nodes()).is_err() {
            more.push(k3s_question());
        } else if let Some(path) = volume::claim(answers, &self.spec)?
            .and_then(|_| volume::path(answers, &self.spec).ok().flatten())
        {
            let facts = Facts::of(answers, storage::PATH)?;
            let free = facts
                .number("free")
                .zip(facts.number("block"))
                .map(|(f, b)| f.saturating_mul(b));
            if free.is_some_and(|f| f < self.spec.volume_size.bytes) {
                more.push(Query::shell(
                    USED,
                    format!(
                        "timeout 20 du -skx -- {}",
                        crate::host::channel::quote(&path)
                    ),
                ));
            }
        }
        // The node's status names only some of its images.
        let mut found = Found::default();
        let undeployed = answers
            .object(&objects::stateful_set(&self.spec))
            .is_ok_and(|s| s.is_none());
        if undeployed || (self.images(answers, &mut found).is_ok() && !found.warnings.is_empty()) {
            more.push(Query::shell(IMAGES, "k3s ctr images ls -q"));
        }
        Ok(more)
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let mut found = Found::default();
        let facts = Facts::of(answers, FACTS)?;
        self.machine(&facts, &mut found);
        // Without root nothing else can be read rightly.
        if facts.get("uid") != Some("0") {
            found.refusals.retain(|p| p.exit == Exit::Privilege);
            return Ok(Verdict::Refused(found.refusals).into());
        }
        self.clock(answers, &mut found);
        if self.cluster(answers, &facts, &mut found)? {
            self.storage_class_and_space(answers, &mut found)?;
            found.refusals.extend(refusals::immutable_settings(
                &self.spec,
                answers.object(&objects::stateful_set(&self.spec))?,
            ));
            self.images(answers, &mut found)?;
            for list in owners::types() {
                let objects = answers.list(&list)?.unwrap_or_default();
                found.refusals.extend(owners::owners(
                    objects,
                    &self.spec.namespace,
                    &self.spec.release,
                    &values::statefulset_name(&self.spec.release),
                ));
            }
            let recorded = Recorded::read(answers)?;
            if let Some(other) = recorded.other_release(&self.spec) {
                let what = format!(
                    "monopg keeps the release {other} on this node, and one release a node"
                );
                found.refuse("preflight.other_release", Exit::Refused, what, "set monopg_namespace and monopg_release back to it; if it was removed for good, its data too, move /var/lib/monopg/*.json away");
            }
            if !recorded.is_ours(&self.spec) {
                self.taken_names(answers, &mut found)?;
            }
            found.refusals.extend(volume::refusals(
                answers,
                &self.spec,
                recorded.is_ours(&self.spec),
            )?);
        }
        let verdict = match found.waiting {
            _ if !found.refusals.is_empty() => Verdict::Refused(found.refusals),
            Some(reason) => Verdict::Waiting { reason },
            None => Verdict::InSync,
        };
        Ok(Judgement {
            verdict,
            warnings: found.warnings,
        })
    }

    async fn apply(&self, _ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "preflight_tests.rs"]
mod tests;
