//! Every command of docs/runbook.md, in its order, as an operator would type it.
//!
//! The folder is a copy of the example inventory with the sandbox' node as `db1`; `ssh db1` is the installed ssh with the
//! node's key. That the French runbook has the same commands is a test of its own (tests/documents.rs).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::check::{Check, During};
use crate::runbook::{Part, sections};
use crate::world::{STORAGE, World};
use crate::{Case, Group, ensure};

/// What the runbook calls the host.
const HOST: &str = "db1";
const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// What happens between the commands, as the operator's shell would do it to the node.
const PROVOCATIONS: &[(&str, &str)] = &[
    (
        "somebody stores something",
        r#"ssh db1 'k3s kubectl -n data exec -i postgresql-0 -c postgresql -- sh -c "PGPASSWORD=\$(cat \$POSTGRES_POSTGRES_PASSWORD_FILE) exec psql -h 127.0.0.1 -v ON_ERROR_STOP=1 -U postgres -d app"' <<<"CREATE TABLE runbook (word text); INSERT INTO runbook VALUES ('kept')""#,
    ),
    (
        "somebody opens the policy",
        r#"ssh db1 'for p in $(k3s kubectl -n data get networkpolicy -o name); do k3s kubectl -n data patch "$p" --type=merge -p "{\"spec\":{\"ingress\":[{}]}}"; done'"#,
    ),
    // The sandbox' disk is this machine's, so the database moves to a small one first.
    (
        "the disk fills",
        r#"ssh db1 '
            set -e
            k() { k3s kubectl -n data "$@"; }
            k scale statefulset/postgresql --replicas=0
            k wait --for=delete pod/postgresql-0 --timeout=120s
            mkdir -p /srv/small
            mount -t tmpfs -o size=1400m,mode=0700 none /srv/small
            cp -a /srv/k3s-storage/. /srv/small
            mount --bind /srv/small /srv/k3s-storage
            k scale statefulset/postgresql --replicas=1
            until k wait --for=condition=Ready pod/postgresql-0 --timeout=120s; do sleep 1; done
            head -c 1150m /dev/zero >/srv/k3s-storage/filler || true'"#,
    ),
    ("somebody makes room", "ssh db1 rm /srv/k3s-storage/filler"),
    (
        "a wrong image is declared",
        r#"mkdir -p inventory/host_vars/db1
           echo 'monopg_image: {registry: docker.io, repository: bitnamilegacy/postgresql, tag: 0.0.0-nowhere}' >inventory/host_vars/db1/image.yml"#,
    ),
    (
        "the right image is declared",
        "rm inventory/host_vars/db1/image.yml",
    ),
    (
        "a larger volume is declared",
        "mkdir -p inventory/host_vars/db1; echo 'monopg_volume_size: 2Gi' >inventory/host_vars/db1/volume.yml",
    ),
    (
        "the volume is declared as it was",
        "rm inventory/host_vars/db1/volume.yml",
    ),
    (
        "the password is changed in the database only",
        r#"ssh db1 'k3s kubectl -n data exec -i postgresql-0 -c postgresql -- sh -c "PGPASSWORD=\$(cat \$POSTGRES_POSTGRES_PASSWORD_FILE) exec psql -h 127.0.0.1 -U postgres -d app"' <<<"ALTER ROLE app PASSWORD 'known-to-nobody-else'""#,
    ),
];

pub fn group() -> Group {
    Group {
        name: "runbook",
        setup,
        cases: sections(RUNBOOK)
            .into_iter()
            .map(|section| {
                Case::new(section.title, move |world| {
                    let operator = Operator::new(world);
                    section.parts.iter().try_for_each(|part| match part {
                        Part::Provoke(name) => {
                            let script = PROVOCATIONS
                                .iter()
                                .find(|(known, _)| known == name)
                                .ok_or_else(|| format!("nobody knows how to: {name}"))?;
                            operator.types(script.1, 0).during(name)
                        }
                        Part::Block { commands, exit } => operator.types(commands, *exit),
                    })
                })
            })
            .chain([Case::new(
                "what was written on the first day is there",
                |world| {
                    let found = Operator::new(world).sql("select word from runbook")?;
                    ensure!(found == "kept", "the row is lost: {found:?}");
                    Ok(())
                },
            )])
            .collect(),
    }
}

/// A bare node and the operator's folder.
fn setup(world: &World) -> Check {
    world.node.reset()?;
    let operator = Operator::new(world);
    if operator.folder.exists() {
        // An earlier attempt's.
        std::fs::remove_dir_all(&operator.folder)?;
    }
    std::fs::create_dir_all(&operator.bin)?;
    let copied = Command::new("cp")
        .arg("-R")
        .arg(world.checkout.join("inventory"))
        .arg(operator.folder.join("inventory"))
        .status()?;
    ensure!(copied.success(), "the example inventory cannot be copied");
    let helm = &world.helm[&4];
    let host = json!({
        "ansible_host": world.node.address,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": world.node.key,
        "ansible_ssh_common_args":
            format!("-F none -o UserKnownHostsFile={}", world.node.known_hosts.display()),
        "monopg_chart": world.chart.path,
        "monopg_chart_version": world.chart.version,
        "monopg_chart_sha256": world.chart.sha256,
        "monopg_helm_source": helm.path,
        "monopg_helm_version": helm.version,
        "monopg_helm_sha256": helm.sha256,
        "monopg_storage_path": STORAGE,
    });
    std::fs::write(
        operator.folder.join("inventory/hosts.yml"),
        json!({"all": {"children": {"k3s_postgresql": {"hosts": {HOST: host}}}}}).to_string(),
    )?;
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_monopg"), operator.bin.join("monopg"))?;
    operator.program(
        "ssh",
        &format!(
            "case $1 in {HOST}) shift ;; *) echo \"who is $1?\" >&2; exit 9 ;; esac\n\
             exec /usr/bin/ssh -F none -o BatchMode=yes -o LogLevel=ERROR -o UserKnownHostsFile={} -i {} root@{} \"$@\"",
            world.node.known_hosts.display(),
            world.node.key.display(),
            world.node.address
        ),
    )?;
    // Somebody at the editor, who changes the one password: to one that YAML, shells and SQL each have to quote.
    operator.program(
        "editor",
        r#"exec sed -i "s/^\(vault_postgres_password: \).*/\1\"it's #1, typed in\"/" "$1""#,
    )?;
    let out = Command::new(world.checkout.join("scripts/lib/ansible-venv"))
        .arg("2.19.14")
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(out.status.success(), "scripts/lib/ansible-venv failed");
    let ansible = PathBuf::from(String::from_utf8(out.stdout)?.trim());
    operator.program(
        "ansible-vault",
        &format!("exec {} \"$@\"", ansible.join("ansible-vault").display()),
    )
}

/// Somebody at a shell in the folder of the infrastructure.
struct Operator<'a> {
    world: &'a World,
    folder: PathBuf,
    bin: PathBuf,
}

impl<'a> Operator<'a> {
    fn new(world: &'a World) -> Operator<'a> {
        let folder = world.folder.join("runbook");
        Operator {
            world,
            bin: folder.join("bin"),
            folder,
        }
    }

    /// Puts a program before all others.
    fn program(&self, name: &str, script: &str) -> Check {
        let path = self.bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        Ok(std::fs::set_permissions(
            path,
            std::fs::Permissions::from_mode(0o755),
        )?)
    }

    fn shell(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        bash.args(["-eo", "pipefail", "-c", script])
            .env_clear()
            .env("HOME", &self.world.home)
            .env("USER", crate::run::USER)
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .env("EDITOR", "editor")
            .env(
                "ANSIBLE_VAULT_PASSWORD_FILE",
                self.key("demo-vault-password"),
            )
            .env("SOPS_AGE_KEY_FILE", self.key("demo-age-key"))
            .env("LANG", "C.UTF-8")
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        bash
    }

    fn key(&self, name: &str) -> PathBuf {
        Path::new(&self.folder).join("inventory").join(name)
    }

    /// Types the commands; fails unless the shell ends with this code.
    fn types(&self, commands: &str, exit: i32) -> Check {
        let begin = Instant::now();
        let out = self.shell(commands).output()?;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        self.world.record(&stdout, &stderr)?;
        let tail = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n")
        };
        ensure!(
            out.status.code() == Some(exit),
            "{:?} instead of {exit} after {} s:\n{commands}\n{}\n{}",
            out.status.code(),
            begin.elapsed().as_secs(),
            tail(&stdout),
            tail(&stderr)
        );
        Ok(())
    }

    /// The answer of the database to its administrator.
    fn sql(&self, statement: &str) -> Check<String> {
        let out = self
            .shell(r#"ssh db1 'k3s kubectl -n data exec -i postgresql-0 -c postgresql -- sh -c "PGPASSWORD=\$(cat \$POSTGRES_POSTGRES_PASSWORD_FILE) exec psql -h 127.0.0.1 -Atq -v ON_ERROR_STOP=1 -U postgres -d app"' <<<"$STATEMENT""#)
            .env("STATEMENT", statement)
            .output()?;
        ensure!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }
}
