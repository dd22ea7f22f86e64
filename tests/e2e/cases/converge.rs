//! From a bare node to a database, and nothing to do after that.

use serde_json::json;

use super::untouched;
use crate::check::{Check, During};
use crate::run::Monopg;
use crate::world::{NAMESPACE, RELEASE, STORAGE, World};
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "converge",
        setup: |world| world.node.reset(),
        cases: vec![
            Case::new(
                "plan of a bare node lists all changes and touches nothing",
                plan_bare,
            ),
            Case::new(
                "plan with --detailed-exitcode ends with 5",
                detailed_exit_code,
            ),
            Case::new(
                "a storage path below /var/lib/rancher draws a warning",
                erased_path,
            ),
            Case::new(
                "apply ends with a ready pod and its volume below the storage directory",
                apply,
            ),
            Case::new("only the allowed client gets in", door),
            Case::new("a second apply and plan change and touch nothing", again),
            Case::new("status reads only", status),
            Case::new("nothing to do needs no sources", sources_out_of_reach),
            Case::new("one host that fails does not stop the other", two_hosts),
            Case::new("nothing to do after a reboot", reboot),
        ],
    }
}

fn plan_bare(world: &World) -> Check {
    untouched(world, true, || {
        let plan = world.plan(&world.inventory())?;
        plan.expect_changed(true)?;
        let changed = plan.changed_steps();
        for step in [
            "storage.directory",
            "helm.binary",
            "chart.archive",
            "namespace",
            "credentials",
        ] {
            ensure!(
                changed.contains(step),
                "plan does not list {step}: {changed:?}"
            );
        }
        let deferred = plan.deferred_steps();
        for step in ["release", "volume"] {
            ensure!(
                changed.contains(step) || deferred.contains(step),
                "plan says nothing of {step}: {changed:?}, deferred {deferred:?}"
            );
        }
        ensure!(
            plan.diff().contains(STORAGE),
            "the diff does not name {STORAGE}: {}",
            plan.diff()
        );
        ensure!(
            plan.words().contains("k3s_restart"),
            "plan does not say that k3s will be restarted: {}",
            plan.diff()
        );
        Ok(())
    })
}

fn detailed_exit_code(world: &World) -> Check {
    Monopg::new(world, "plan", &world.inventory())?
        .args(&["--detailed-exitcode"])
        .json()?
        .expect(5)
}

fn erased_path(world: &World) -> Check {
    let inventory = world
        .inventory()
        .with("monopg_storage_path", "/var/lib/rancher/k3s/database");
    let plan = world.plan(&inventory)?;
    plan.expect_changed(true)?;
    let warnings = plan.host()["warnings"].to_string();
    ensure!(
        warnings.contains("/var/lib/rancher") && warnings.contains("uninstall"),
        "no warning that k3s-uninstall.sh erases it: {warnings}"
    );
    Ok(())
}

fn apply(world: &World) -> Check {
    world.apply(&world.inventory())?.expect_changed(true)?;
    let node = &world.node;
    let pod = node.kubectl_json(&format!("get pod {RELEASE}-0 -n {NAMESPACE}"))?;
    ensure!(
        pod["status"]["containerStatuses"][0]["ready"] == true,
        "apply ended and the pod is not ready: {}",
        pod["status"]
    );
    let claim = node.kubectl_json(&format!("get pvc data-{RELEASE}-0 -n {NAMESPACE}"))?;
    ensure!(
        claim["status"]["phase"] == "Bound",
        "the claim is {}",
        claim["status"]["phase"]
    );
    let volume = node.kubectl_json(&format!(
        "get pv {}",
        claim["spec"]["volumeName"].as_str().unwrap_or_default()
    ))?;
    let path = volume["spec"]["hostPath"]["path"]
        .as_str()
        .or(volume["spec"]["local"]["path"].as_str())
        .unwrap_or_default();
    ensure!(
        path.starts_with(&format!("{STORAGE}/")),
        "the volume lies at {path:?}, not below {STORAGE}"
    );
    ensure!(
        node.test(&format!("test -d '{path}'"))?,
        "{path} is not there"
    );
    ensure!(
        volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain",
        "the reclaim policy is {}",
        volume["spec"]["persistentVolumeReclaimPolicy"]
    );
    let root = node.run(&format!("stat -c '%U:%G %a' {STORAGE}"))?;
    ensure!(root.trim() == "root:root 700", "{STORAGE} is {root}");
    let database = world.database();
    database.mark("first")?;
    database.expect_mark("first")?;
    let who = database
        .sql_as("app", &world.user_password, "select current_user")
        .during("as the application's user")?;
    ensure!(who == "app", "logged in as {who:?}");
    ensure!(
        database.sql_as("app", "wrong", "select 1").is_err(),
        "a wrong password gets in, so the right one proves nothing"
    );
    ensure!(
        node.test("test -L /usr/local/bin/helm && /usr/local/bin/helm version --short")?,
        "/usr/local/bin/helm is not linked"
    );
    Ok(())
}

fn door(world: &World) -> Check {
    let database = world.database();
    database.client("apps", "allowed", r#""app":"api""#)?;
    database.client("apps", "unlabelled", r#""app":"other""#)?;
    database.client("elsewhere", "same-label", r#""app":"api""#)?;
    database.client(
        NAMESPACE,
        "chart-label",
        &format!(r#""{RELEASE}-client":"true""#),
    )?;
    // The policy engine needs a moment after a pod has started, so the allowed one goes first.
    let mut in_time = false;
    for _ in 0..20 {
        if database.reaches("apps", "allowed")? {
            in_time = true;
            break;
        }
    }
    ensure!(in_time, "the allowed client does not get in");
    for (namespace, pod) in [
        ("apps", "unlabelled"),
        ("elsewhere", "same-label"),
        (NAMESPACE, "chart-label"),
    ] {
        ensure!(
            !database.reaches(namespace, pod)?,
            "{namespace}/{pod} gets in"
        );
    }
    // Only now do the refusals mean something: the allowed one still gets in.
    ensure!(
        database.reaches("apps", "allowed")?,
        "the allowed client is out again"
    );
    world
        .node
        .kubectl("delete pod --now -n apps allowed unlabelled")?;
    world
        .node
        .kubectl("delete pod --now -n elsewhere same-label")?;
    world
        .node
        .kubectl(&format!("delete pod --now -n {NAMESPACE} chart-label"))?;
    Ok(())
}

fn again(world: &World) -> Check {
    untouched(world, true, || {
        world
            .apply(&world.inventory())?
            .expect_changed(false)
            .during("second apply")?;
        world
            .plan(&world.inventory())?
            .expect_changed(false)
            .during("plan after it")?;
        Monopg::new(world, "apply", &world.inventory())?
            .args(&["--check", "--diff", "--detailed-exitcode"])
            .json()?
            .expect_changed(false)
            .during("apply --check --diff")
    })?;
    world.database().expect_mark("first")
}

fn status(world: &World) -> Check {
    untouched(world, true, || {
        let status = Monopg::new(world, "status", &world.inventory())?.json()?;
        status.expect_changed(false)?;
        let words = status.words();
        for word in [RELEASE, STORAGE, &world.chart.version, "Bound"] {
            ensure!(words.contains(word), "status does not tell {word}: {words}");
        }
        Ok(())
    })
}

fn sources_out_of_reach(world: &World) -> Check {
    let inventory = world
        .inventory()
        .with("monopg_chart", "/nowhere/postgresql-17.0.2.tgz")
        .with(
            "monopg_helm_source",
            "https://127.0.0.1:9/helm-v{version}-{os}-{arch}.tar.gz",
        );
    untouched(world, true, || {
        world.apply(&inventory)?.expect_changed(false)
    })
}

fn two_hosts(world: &World) -> Check {
    let mut inventory = world.inventory();
    inventory.others.push((
        "nobody".into(),
        json!({"ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_user": "root"}),
    ));
    let out = world.apply(&inventory)?;
    ensure!(
        out.code == Some(20),
        "exit {:?} instead of 20: {}",
        out.code,
        out.summary()
    );
    ensure!(
        out.host()["failed"] == false && out.host()["exit"] == 0,
        "the good host failed too: {}",
        out.host()["msg"]
    );
    ensure!(
        out.json["hosts"]["nobody"]["exit"] == 20,
        "the other host: {}",
        out.json["hosts"]["nobody"]
    );
    ensure!(out.json["failed"] == true, "`failed` is not true");
    Ok(())
}

fn reboot(world: &World) -> Check {
    world.node.reboot()?;
    world.database().await_ready()?;
    world.apply(&world.inventory())?.expect_changed(false)?;
    world.database().expect_mark("first")
}
