//! `network.exposure`: nothing leads to the database from outside, except over private addresses.
//!
//! May depend on `cluster`. One reason: a policy is about pods; whoever comes through a port of the node often has the
//! node's address by then (a forwarder, a load balancer), which no policy of the pod refuses.

mod doors;
mod others;
mod outside;

use std::net::IpAddr;

use serde_json::Value;

use self::doors::{Door, Where};
pub use self::outside::tried;
use super::policy::{pod, pod_questions};
use super::{Check, CheckId, Finding, lists, problem};
use crate::cluster::facts::{list, text};
use crate::cluster::net::Net;
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::settings::Spec;
use crate::steps::facts::Facts;
use crate::steps::objects;

/// The check's id.
pub const ID: CheckId = CheckId("network.exposure");
const NODE: &str = "verify.node";
/// The Service network of k3s where nothing else is said.
const SERVICES: &str = "10.43.0.0/16";

/// What a command line, an argument a line, says of the database's port. `forwards`: an argument is a forward, as
/// kubectl's `15432:5432`, socat's `TCP:HOST:5432`, ssh's `-L 15432:HOST:5432`. `names`: it is named otherwise; in a URL,
/// as a client has it, it counts for nothing. Docker's proxies name their container's address.
const ARGUMENTS: &str = r#"
arguments() {
  c=$(cat)
  named=$(printf '%s\n' "$c" | grep -w -e 5432 | grep -vE -e '://[^/]*:5432([^0-9]|$)') || return 0
  case ${c%%"$nl"*} in docker-proxy|*/docker-proxy)
    printf 'container=%s %s\n' "$1" "$(printf '%s\n' "$c" | sed -n '/^-*container-ip$/{n;p;}')"; return ;;
  esac
  if printf '%s\n' "$named" | grep -qiE -e '^[0-9]*:5432$' -e '^TCP[46]?(-CONNECT)?:[^,]*:5432(,|$)' \
    -e '^(-[A-Z0-9]*L)?(([^]:/[]*|\[[^]]*\]):)?[0-9]+:([^]:/[]+|\[[^]]*\]):5432$'
  then echo "forwards=$1"; else echo "names=$1"; fi
}
nl='
'
"#;

/// The node's own addresses, and who listens on it. Of a listener's command line only this is told: whether it names
/// the database's port, and how. Its arguments may hold somebody's secrets.
const ASK: &str = r#"
if command -v ip >/dev/null; then ip -o addr show | while read -r _ _ _ a _; do echo "address=${a%%/*}"; done
else for a in $(hostname -I); do echo "address=$a"; done; fi
if ! command -v ss >/dev/null; then echo ss=missing; exit 0; fi
l=$(ss -Hltnp) || exit
printf '%s\n' "$l" | while read -r _ _ _ local _ users; do printf 'listen=%s %s\n' "$local" "$users"; done
for p in $(printf '%s\n' "$l" | grep -o 'pid=[0-9]*' | sort -u); do
  p=${p#pid=}
  { tr '\0' '\n' <"/proc/$p/cmdline" | arguments "$p"; } 2>/dev/null
done
:"#;

/// See the module.
pub struct Exposure {
    /// What shall be there.
    pub spec: Spec,
}

/// Addresses that strangers cannot reach.
struct Private {
    nets: Vec<Net>,
}

impl Private {
    /// Loopback and link-local addresses, the cluster's networks, and what the settings call private. Of another Service
    /// network than k3s' own the addresses of the Services are known; with IPVS the node has them as its own.
    fn new(spec: &Spec, node: Option<&Value>, services: &[Value]) -> Self {
        let pods = node.map(|n| list(n, "/spec/podCIDRs")).unwrap_or_default();
        let addresses = services.iter().flat_map(|s| list(s, "/spec/clusterIPs"));
        let nets = pods
            .iter()
            .chain(addresses)
            .filter_map(Value::as_str)
            .chain([
                "127.0.0.0/8",
                "::1",
                "fe80::/10",
                "169.254.0.0/16",
                SERVICES,
            ])
            .chain(spec.private_cidrs.iter().map(String::as_str))
            .filter_map(Net::parse)
            .collect();
        Private { nets }
    }

    /// A name, or anything else that is no address, is not known to be private.
    fn holds(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<IpAddr>() else {
            return false;
        };
        self.nets.iter().any(|n| n.contains(address))
    }
}

impl Exposure {
    /// The node's addresses: what it has, and what the cluster knows of it (as one that a provider maps to it).
    fn addresses(node: Option<&Value>, facts: &Facts) -> Vec<String> {
        let known = node
            .map(|n| list(n, "/status/addresses"))
            .unwrap_or_default();
        let known = known
            .iter()
            .filter(|a| matches!(text(a, "/type"), "InternalIP" | "ExternalIP"))
            .map(|a| text(a, "/address").to_owned());
        let mut all: Vec<String> = facts.all("address").iter().cloned().chain(known).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Looks at cluster and node; `None` while there is neither a pod nor a StatefulSet.
    fn look<T>(
        &self,
        answers: &Answers,
        look: impl FnOnce(&doors::Seen<'_>) -> T,
    ) -> Result<Option<T>, AnswerError> {
        let Some(pod) = pod(answers, &self.spec)? else {
            return Ok(None);
        };
        let facts = Facts::of(answers, NODE)?;
        let mut routes: Vec<&Value> = Vec::new();
        for list in lists::routes() {
            routes.extend(answers.list(&list)?.unwrap_or_default());
        }
        let seen = doors::Seen {
            pod: &pod,
            pods: answers.list(&lists::pods())?.unwrap_or_default(),
            services: answers.list(&lists::services())?.unwrap_or_default(),
            slices: answers.list(&lists::endpoint_slices())?.unwrap_or_default(),
            ingresses: answers.list(&lists::ingresses())?.unwrap_or_default(),
            routes,
            listeners: facts.all("listen"),
            forwarders: facts.all("forwards"),
            namers: facts.all("names"),
            containers: facts.all("container"),
        };
        Ok(Some(look(&seen)))
    }

    fn told(door: &Door, open: &[String]) -> String {
        let leads = match door.certain {
            true => "leads",
            false => "may lead",
        };
        match (&door.at, open) {
            (Where::Unknown, _) => format!(
                "{} {leads} to the database, on addresses that are not known",
                door.what
            ),
            (_, addresses) => {
                let ports = door.port.map(|p| format!(", port {p}")).unwrap_or_default();
                format!(
                    "{} {leads} to the database from outside: {}{ports}",
                    door.what,
                    addresses.join(", ")
                )
            }
        }
    }
}

impl Check for Exposure {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "Nothing leads to the database from outside"
    }

    fn questions(&self) -> Vec<Query> {
        let mut types = vec![
            objects::nodes(),
            lists::pods(),
            lists::services(),
            lists::endpoint_slices(),
            lists::ingresses(),
        ];
        types.extend(lists::routes());
        vec![
            pod_questions(&self.spec),
            Query::lists(types),
            Query::shell(NODE, format!("{ARGUMENTS}{ASK}")),
        ]
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let Some(doors) = self.look(answers, |seen| seen.doors())? else {
            return Ok(Finding::not_run(
                "there is neither a pod nor a StatefulSet of the database",
            ));
        };
        let node = answers.list(&objects::nodes())?.and_then(|all| all.first());
        let facts = Facts::of(answers, NODE)?;
        let everywhere = Self::addresses(node, &facts);
        let services = answers.list(&lists::services())?.unwrap_or_default();
        let private = Private::new(&self.spec, node, services);
        let mut finding = Finding::passed("");
        finding.measure("node_addresses", everywhere.clone());
        let mut shown: Vec<String> = Vec::new();
        for door in &doors {
            let at = match &door.at {
                Where::Node => everywhere.clone(),
                Where::At(addresses) => addresses
                    .iter()
                    .flat_map(|a| match a.as_str() {
                        // Every address, of one kind or of both.
                        "0.0.0.0" | "::" | "*" => everywhere.clone(),
                        one => vec![one.to_owned()],
                    })
                    .collect(),
                Where::Unknown => Vec::new(),
            };
            let open: Vec<String> = at.iter().filter(|a| !private.holds(a)).cloned().collect();
            shown.push(format!("{} ({})", door.what, at.join(", ")));
            if door.at != Where::Unknown && open.is_empty() && !at.is_empty() {
                continue;
            }
            let p = problem(ID, Self::told(door, &open)).hint(door.hint.clone());
            match door.certain {
                true => finding.fail(p.hint(
                    "if that is a VPN or another private network: name it in monopg_private_cidrs",
                )),
                false => finding.warn(p),
            }
        }
        finding.measure("ways_in", shown.clone());
        if facts.get("ss").is_some() {
            finding.warn(
                problem(
                    ID,
                    "who listens on the node could not be seen: ss is not there",
                )
                .hint("install iproute2 on the node"),
            );
        }
        if finding.problems.is_empty() {
            finding.summary = match shown.as_slice() {
                [] => "no port of the node, no Service, no route leads to the database".into(),
                some => format!("only private addresses: {}", some.join("; ")),
            };
        }
        Ok(finding)
    }
}

#[cfg(test)]
mod tests;
