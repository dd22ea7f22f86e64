//! What `ssh_config` may ask about this machine: the account, its home, names, the environment.
//!
//! May depend on nothing. One reason: the account is the one of the user id, as in OpenSSH, not of `HOME` and
//! `USER`, which may be another's; and a test needs a machine of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tokens::Lookup;

/// Asks for a variable.
type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The machine and the account that monopg runs on.
#[derive(Clone)]
pub struct Machine {
    /// The account's name.
    pub user: String,
    /// Its user id.
    pub uid: u32,
    /// Its home folder.
    pub home: PathBuf,
    /// The machine's own host name, whole.
    pub host_name: String,
    /// `/etc/ssh`.
    pub system: PathBuf,
    env: Arc<Environment>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({}, {})", self.user, self.home.display())
    }
}

impl Machine {
    /// This machine. `None` if the account has neither an entry nor the usual variables.
    pub fn this() -> Option<Machine> {
        let uid = uid();
        let entry = uid.and_then(|uid| entries(|e| e.uid == uid));
        let (user, home) = match entry {
            Some(entry) => (entry.name, entry.home),
            // An account of a directory service.
            None => (
                ["LOGNAME", "USER"]
                    .iter()
                    .find_map(|name| std::env::var(name).ok().filter(|u| !u.is_empty()))?,
                std::env::home_dir().filter(|h| !h.as_os_str().is_empty())?,
            ),
        };
        Some(Machine {
            user,
            uid: uid.unwrap_or_default(),
            home,
            host_name: gethostname::gethostname().to_string_lossy().into_owned(),
            system: PathBuf::from("/etc/ssh"),
            env: Arc::new(|name| std::env::var(name).ok()),
        })
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// The environment.
    pub fn env(&self) -> Lookup<'_> {
        &*self.env
    }

    /// Another account's home.
    pub fn home_of(&self, user: &str) -> Option<PathBuf> {
        entries(|e| e.name == user).map(|e| e.home)
    }

    /// A machine for tests: user `me`, host `laptop.lan`, no system file.
    #[cfg(test)]
    pub fn testing(home: impl AsRef<Path>, env: &[(&str, &str)]) -> Machine {
        let env: Vec<_> = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Machine {
            user: "me".into(),
            uid: uid().unwrap_or_default(),
            home: home.as_ref().to_owned(),
            host_name: "laptop.lan".into(),
            system: home.as_ref().join("etc"),
            env: Arc::new(move |name| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())),
        }
    }
}

/// One account.
struct Entry {
    name: String,
    uid: u32,
    home: PathBuf,
}

/// Who we are, without a call that needs `unsafe`.
fn uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let own = std::fs::metadata("/proc/self");
    own.or_else(|_| std::fs::metadata(std::env::home_dir().unwrap_or_default()))
        .ok()
        .map(|m| m.uid())
}

fn entries(wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    let passwd = std::fs::read(Path::new("/etc/passwd")).ok()?;
    let passwd = String::from_utf8_lossy(&passwd);
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let entry = Entry {
            name: fields.next()?.to_owned(),
            uid: fields.nth(1)?.parse().ok()?,
            home: fields.nth(2)?.into(),
        };
        (wanted(&entry) && !entry.home.as_os_str().is_empty()).then_some(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_the_one_of_the_user_id() {
        let machine = Machine::this().unwrap();
        let id = |flag: &str| {
            let output = std::process::Command::new("id").arg(flag).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(machine.user, id("-un"));
        assert_eq!(machine.uid.to_string(), id("-u"));
        assert_eq!(machine.home_of("root"), Some("/root".into()));
        assert_eq!(machine.home_of("nobody-has-this"), None);
    }
}
