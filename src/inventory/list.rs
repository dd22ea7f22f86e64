//! The whole inventory as one value: what `ansible-inventory --list` and `--host` answer.

use std::collections::{BTreeMap, BTreeSet};

use super::shown::{Look, Shown};
use super::{Inventory, InventoryError, Vars};

/// Variables of Ansible's own making, which it never lists (`INTERNAL_STATIC_VARS` in its constants).
const INTERNAL: &[&str] = &[
    "ansible_async_path",
    "ansible_collection_name",
    "ansible_config_file",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
];

/// The name of the form in which 2.19 writes values; readers look at it.
const PROFILE: &str = "inventory_legacy";

/// `ansible-inventory --list` of these hosts: groups with their children and hosts, and under
/// `_meta.hostvars` the variables of each host that has any.
///
/// # Errors
/// Everything that is wrong with files of these hosts.
pub fn list(
    inventory: &mut Inventory,
    hosts: &[String],
    look: &Look<'_>,
) -> Result<Shown, Vec<InventoryError>> {
    let mut faults = Vec::new();
    let mut hostvars = BTreeMap::new();
    for host in hosts {
        match inventory.vars(host) {
            Ok(vars) => {
                let vars = visible(&vars, look);
                if !vars.is_empty() {
                    hostvars.insert(host.clone(), Shown::Map(vars));
                }
            }
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let meta = BTreeMap::from([
        ("hostvars".to_owned(), Shown::Map(hostvars)),
        ("profile".to_owned(), Shown::Text(PROFILE.to_owned())),
    ]);
    let mut all = BTreeMap::from([("_meta".to_owned(), Shown::Map(meta))]);
    groups(inventory, hosts, &mut all);
    Ok(Shown::Map(all))
}

/// `ansible-inventory --host`: the variables of one host.
///
/// # Errors
/// Everything that is wrong with its files.
pub fn host(
    inventory: &mut Inventory,
    host: &str,
    look: &Look<'_>,
) -> Result<Shown, Vec<InventoryError>> {
    let vars = inventory.vars(host)?;
    Ok(Shown::Map(visible(&vars, look)))
}

/// True for a variable that Ansible lists.
pub fn is_listed(name: &str) -> bool {
    !INTERNAL.contains(&name)
}

fn visible(vars: &Vars, look: &Look<'_>) -> BTreeMap<String, Shown> {
    vars.iter()
        .filter(|(name, _)| is_listed(name))
        .map(|(name, var)| (name.clone(), look.var(name, var)))
        .collect()
}

/// Every group below `all` that has a host or a child; the hosts of `all` itself are not listed.
fn groups(inventory: &Inventory, hosts: &[String], into: &mut BTreeMap<String, Shown>) {
    let wanted: BTreeSet<&str> = hosts.iter().map(String::as_str).collect();
    let texts = |names: Vec<&str>| {
        let texts = names.iter().map(|name| Shown::Text((*name).to_owned()));
        Shown::List(texts.collect())
    };
    for name in inventory.groups() {
        let mut group = BTreeMap::new();
        let mut own = inventory.hosts_of(name);
        own.retain(|host| wanted.contains(host));
        if name != "all" && !own.is_empty() {
            group.insert("hosts".to_owned(), texts(own));
        }
        let children = inventory.children_of(name);
        if !children.is_empty() {
            group.insert("children".to_owned(), texts(children));
        }
        if !group.is_empty() {
            into.insert(name.to_owned(), Shown::Map(group));
        }
    }
}
