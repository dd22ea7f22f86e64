//! An OpenSSH server of the test's own: own port, own keys, own files, gone when dropped.
#![expect(clippy::expect_used, clippy::panic, reason = "a test's own server")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use monopg::settings::spec::Connection;

/// What is special about a server.
#[derive(Default)]
pub struct Setup {
    /// Lines that win over the usual ones.
    pub config: &'static str,
    /// Types of the host keys; none = ed25519 only.
    pub host_keys: &'static [&'static str],
    /// How the authority signs the first host key; none = well.
    pub sign: Option<&'static [&'static str]>,
    /// What stands in the account's authorized_keys before the key, as `command="…" `.
    pub key_options: String,
}

pub struct Server {
    pub child: Child,
    dir: tempfile::TempDir,
    pub port: u16,
}

pub struct Keygen;

impl Keygen {
    pub fn make(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
        let path = dir.join(name);
        run(Command::new("ssh-keygen")
            .args(["-q", "-C", name, "-f"])
            .arg(&path)
            .args(args));
        path
    }

    pub fn ed25519(dir: &Path, name: &str) -> PathBuf {
        Self::make(dir, name, &["-t", "ed25519", "-N", ""])
    }
}

pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; install openssh-server and openssh-client"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
        .port()
}

/// A connection to loopback without any identity, agent or known_hosts of the machine.
pub fn connection(port: u16) -> Connection {
    Connection {
        port: Some(port),
        user: Some("root".into()),
        ssh_args: [
            "-o",
            "GlobalKnownHostsFile=none",
            "-o",
            "UserKnownHostsFile=none",
            "-o",
            "IdentityAgent=none",
            // What the account's own ~/.ssh/config says must not count.
            "-F",
            "none",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Connection::to("127.0.0.1")
    }
}

impl Server {
    pub fn start(setup: Setup) -> Server {
        let dir = tempfile::Builder::new()
            .prefix("monopg-sshd-")
            .tempdir()
            .expect("a folder");
        let at = dir.path().to_owned();
        Keygen::ed25519(&at, "id");
        let public = std::fs::read_to_string(at.join("id.pub")).expect("the key");
        let space = if setup.key_options.is_empty() {
            ""
        } else {
            " "
        };
        std::fs::write(
            at.join("authorized"),
            format!("{}{space}{public}", setup.key_options),
        )
        .expect("authorized keys");
        let types = if setup.host_keys.is_empty() {
            &["ed25519"]
        } else {
            setup.host_keys
        };
        let mut config = setup.config.replace("@DIR@", &at.display().to_string());
        config.push('\n');
        std::fs::write(at.join("banner"), "Authorized use only.\n".repeat(100)).expect("banner");
        for kind in types {
            let key = Keygen::make(&at, &format!("host_{kind}"), &["-t", kind, "-N", ""]);
            config.push_str(&format!("HostKey {}\n", key.display()));
        }
        // An authority of the test's own that vouches for the first key.
        Keygen::ed25519(&at, "ca");
        run(Command::new("ssh-keygen")
            .args(["-q", "-s", "ca", "-I", "host"])
            .args(setup.sign.unwrap_or(&["-h", "-n", "127.0.0.1"]))
            .arg(format!("host_{}.pub", types[0]))
            .current_dir(&at));
        // sshd wants it, and nobody made it where systemd does not run.
        std::fs::create_dir_all("/run/sshd").expect("/run/sshd");
        let port = free_port();
        config.push_str(&format!(
            "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nAuthorizedKeysFile {}/authorized\nPrintMotd no\nLogLevel VERBOSE\n",
            at.display()
        ));
        std::fs::write(at.join("sshd_config"), config).expect("configuration");
        let log = std::fs::File::create(at.join("log")).expect("log");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd; install openssh-server");
        let server = Server { child, dir, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "sshd does not start: {}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server.know("ed25519");
        server
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir().join("log")).unwrap_or_default()
    }

    /// `type base64` of a host key.
    pub fn host_key(&self, kind: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.dir().join(format!("host_{kind}.pub"))).ok()?;
        let mut words = text.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?))
    }

    /// `SHA256:…` of a key in the folder.
    pub fn fingerprint_of(&self, name: &str) -> String {
        let text = run(Command::new("ssh-keygen")
            .args(["-l", "-f"])
            .arg(self.dir().join(format!("{name}.pub"))));
        text.split(' ').nth(1).expect("a fingerprint").to_owned()
    }

    /// Puts one host key into known_hosts.
    pub fn know(&self, kind: &str) {
        if let Some(key) = self.host_key(kind) {
            self.known_hosts(&format!("[127.0.0.1]:{} {key}\n", self.port));
        }
    }

    pub fn known_hosts(&self, text: &str) {
        std::fs::write(self.dir().join("known_hosts"), text).expect("known_hosts");
    }

    /// A connection with this server's key and known_hosts.
    pub fn connection(&self) -> Connection {
        let mut connection = connection(self.port);
        connection.private_key = Some(self.dir().join("id"));
        connection.ssh_args[3] = format!(
            "UserKnownHostsFile={}",
            self.dir().join("known_hosts").display()
        );
        connection
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
