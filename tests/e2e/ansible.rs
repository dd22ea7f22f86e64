//! A real ansible-core beside monopg: the same inventory files for both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::check::{Check, During};
use crate::ensure;
use crate::inventory::Inventory;
use crate::world::World;

/// The file with the password of the vaulted credentials.
const VAULT: &str = "vault-password";

/// An ansible-core of one version, with an inventory.
pub struct Ansible<'a> {
    world: &'a World,
    bin: PathBuf,
    folder: PathBuf,
    host: String,
    program: PathBuf,
    library: PathBuf,
}

/// What a playbook run came to.
pub struct Played {
    /// Standard output and standard error.
    pub text: String,
    /// The exit code.
    pub code: Option<i32>,
    /// The host's line of the recap, as `ok=2 changed=1 … failed=0 …`.
    recap: String,
}

impl<'a> Ansible<'a> {
    /// Writes the inventory into a folder of its own, the credentials encrypted by Ansible Vault.
    pub fn new(world: &'a World, version: &str, inventory: &Inventory) -> Check<Ansible<'a>> {
        let out = Command::new(world.checkout.join("scripts/lib/ansible-venv"))
            .arg(version)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            out.status.success(),
            "scripts/lib/ansible-venv {version} failed"
        );
        let folder = world.fresh_folder("ansible")?;
        let (_, secrets) = inventory.write(&folder)?;
        let credentials = folder.join("group_vars/k3s_postgresql/credentials.yml");
        std::fs::rename(secrets, &credentials)?;
        std::fs::write(folder.join(VAULT), "of-the-tests\n")?;
        let bin = PathBuf::from(String::from_utf8(out.stdout)?.trim());
        let vaulted = Command::new(bin.join("ansible-vault"))
            .args(["encrypt", "--vault-password-file", VAULT])
            .arg(&credentials)
            .env("HOME", &world.home)
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(vaulted.success(), "ansible-vault encrypt failed");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_monopg"));
        let library = world.folder.join("library");
        if !library.exists() {
            std::fs::create_dir(&library)?;
            // Without symbols it is a fifth: Ansible copies it to the node.
            let stripped = Command::new("strip")
                .arg("-o")
                .arg(library.join("monopg"))
                .arg(&program)
                .status()
                .during("strip")?;
            ensure!(stripped.success(), "strip failed");
        }
        Ok(Ansible {
            world,
            bin,
            folder,
            host: inventory.name.clone(),
            program,
            library,
        })
    }

    /// The same without monopg, neither as a program nor as a module.
    #[must_use]
    pub fn without_monopg(mut self) -> Self {
        self.program = self.folder.join("nowhere");
        self.library = self.folder.join("nowhere");
        self
    }

    /// The inventory that Ansible and monopg read.
    pub fn inventory(&self) -> PathBuf {
        self.folder.join("hosts.yml")
    }

    /// Runs a playbook of the checkout.
    pub fn play(&self, playbook: &str, args: &[&str]) -> Check<Played> {
        let path = self.world.checkout.join("playbooks").join(playbook);
        self.run(&path, args)
    }

    /// Runs one task on the hosts of the group.
    pub fn task(&self, task: &Value, args: &[&str]) -> Check<Played> {
        let play = serde_json::json!([{
            "hosts": "k3s_postgresql", "gather_facts": false, "tasks": [task],
        }]);
        let path = self.folder.join("play.yml");
        std::fs::write(&path, play.to_string())?;
        self.run(&path, args)
    }

    fn run(&self, playbook: &Path, args: &[&str]) -> Check<Played> {
        // No run may hang: that is a failure, not a wait.
        let out = Command::new("timeout")
            .args(["--kill-after=10", "400"])
            .arg(self.bin.join("ansible-playbook"))
            .arg("-i")
            .arg(self.inventory())
            .arg(playbook)
            .args(args)
            .env_clear()
            .env("HOME", &self.world.home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("MONOPG", &self.program)
            // One for both.
            .env("ANSIBLE_VAULT_PASSWORD_FILE", self.folder.join(VAULT))
            .env("ANSIBLE_LIBRARY", &self.library)
            .env("ANSIBLE_NOCOLOR", "1")
            // A connection that stays open for a minute would outlive the tests.
            .env("ANSIBLE_SSH_ARGS", "-o ControlMaster=no")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .during("ansible-playbook does not start")?;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        );
        self.world.record(&stdout, &stderr)?;
        let recap = stdout
            .lines()
            .rev()
            .find_map(|l| l.strip_prefix(self.host.as_str())?.trim().strip_prefix(':'))
            .unwrap_or_default()
            .to_owned();
        Ok(Played {
            text: format!("{stdout}\n{stderr}"),
            code: out.status.code(),
            recap,
        })
    }
}

impl Played {
    fn counted(&self, what: &str) -> Option<u32> {
        self.recap
            .split_whitespace()
            .find_map(|word| word.strip_prefix(what)?.strip_prefix('=')?.parse().ok())
    }

    /// Fails unless the run ended well with this many changed tasks.
    pub fn expect_changed(&self, changed: u32) -> Check {
        let (got, failed) = (self.counted("changed"), self.counted("failed"));
        ensure!(
            self.code == Some(0) && got == Some(changed) && failed == Some(0),
            "exit {:?}, recap {:?} instead of changed={changed} failed=0:\n{}",
            self.code,
            self.recap,
            self.text
        );
        Ok(())
    }

    /// Fails unless a task failed with these words, and nothing was changed.
    pub fn expect_failed(&self, words: &[&str]) -> Check {
        let (changed, failed) = (self.counted("changed"), self.counted("failed"));
        ensure!(
            self.code == Some(2) && changed == Some(0) && failed == Some(1),
            "exit {:?}, recap {:?} instead of changed=0 failed=1:\n{}",
            self.code,
            self.recap,
            self.text
        );
        self.expect_words(words)
    }

    /// Fails unless it says all of these words.
    pub fn expect_words(&self, words: &[&str]) -> Check {
        for word in words {
            ensure!(
                self.text.contains(word),
                "{word:?} is not said:\n{}",
                self.text
            );
        }
        Ok(())
    }

    /// Fails if one of these is said.
    pub fn expect_none(&self, words: &[&str]) -> Check {
        for word in words {
            ensure!(!self.text.contains(word), "{word:?} is said");
        }
        Ok(())
    }
}
