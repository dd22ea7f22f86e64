//! An agent of the test's own, and who is let in.
#![expect(clippy::expect_used, reason = "a test's own agent")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ssh_support::{Server, run};

/// An ssh-agent of the test's own.
pub struct Agent {
    child: Child,
    pub socket: PathBuf,
}

impl Agent {
    pub fn start(dir: &Path) -> Agent {
        let socket = dir.join("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent");
        let begin = Instant::now();
        while !socket.exists() {
            assert!(begin.elapsed() < Duration::from_secs(5), "no agent");
            std::thread::sleep(Duration::from_millis(10));
        }
        Agent { child, socket }
    }

    pub fn add(&self, key: &Path) {
        run(Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets one more key in.
pub fn authorize(server: &Server, name: &str) {
    let file = server.dir().join("authorized");
    let mut text = std::fs::read_to_string(&file).expect("authorized keys");
    text.push_str(
        &std::fs::read_to_string(server.dir().join(format!("{name}.pub"))).expect("the key"),
    );
    std::fs::write(file, text).expect("authorized keys");
}
