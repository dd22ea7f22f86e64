//! A proxy between monopg and the node that makes the way slow, cuts it, or lets it go silent: toxiproxy's server,
//! spoken to through its HTTP interface.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::{Check, During};
use crate::ensure;
use crate::inventory::Inventory;
use crate::sandbox::Sandbox;
use crate::world::World;

/// A running proxy to the node's sshd; ends when dropped.
pub struct Proxy {
    child: Child,
    control: u16,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Proxy {
    /// Starts a proxy that does nothing to the traffic yet.
    pub fn start(world: &World) -> Check<Proxy> {
        let program = Sandbox::artifact(&world.checkout, "toxiproxy")?;
        let control = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // It ends with us, also if we are interrupted.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program)
            .args(["-host", "127.0.0.1", "-port", &control.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .during(program.display())?;
        let mut proxy = Proxy {
            child,
            control,
            port: 0,
        };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", control)).is_err() {
            ensure!(
                begin.elapsed() < Duration::from_secs(10),
                "toxiproxy does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let made = proxy.ask(
            "POST",
            "/proxies",
            &json!({"name": "node", "listen": "127.0.0.1:0", "upstream": format!("{}:22", world.node.address), "enabled": true}),
        )?;
        proxy.port = made["listen"]
            .as_str()
            .and_then(|l| l.rsplit_once(':'))
            .and_then(|(_, port)| port.parse().ok())
            .ok_or_else(|| format!("toxiproxy listens nowhere: {made}"))?;
        Ok(proxy)
    }

    /// The inventory with the way through this proxy.
    pub fn way(&self, mut inventory: Inventory, world: &World) -> Inventory {
        let host = &mut inventory.host;
        host.insert("ansible_host".into(), "127.0.0.1".into());
        host.insert("ansible_port".into(), self.port.into());
        host.insert(
            "ansible_ssh_common_args".into(),
            format!(
                "-o UserKnownHostsFile={} -o HostKeyAlias={}",
                world.node.known_hosts.display(),
                world.node.address
            )
            .into(),
        );
        inventory
    }

    /// Delays each direction by half of this, so that a round trip takes all of it.
    pub fn latency(&self, milliseconds: u64) -> Check {
        self.toxics(
            "latency",
            &json!({"latency": milliseconds / 2, "jitter": 0}),
        )
    }

    /// At most so many KiB a second, in each direction.
    pub fn bandwidth(&self, kib: u64) -> Check {
        self.toxics("bandwidth", &json!({"rate": kib}))
    }

    /// Nothing gets through any more; no connection ends by it, old or new.
    pub fn stall(&self) -> Check {
        self.toxics("timeout", &json!({"timeout": 0}))
    }

    fn toxics(&self, kind: &str, attributes: &Value) -> Check {
        for stream in ["upstream", "downstream"] {
            let toxic = json!({"name": format!("{kind}-{stream}"), "type": kind, "stream": stream, "attributes": attributes});
            self.ask("POST", "/proxies/node/toxics", &toxic)?;
        }
        Ok(())
    }

    /// Ends all connections; new ones are let through at once.
    pub fn cut(&self) -> Check {
        self.ask("POST", "/proxies/node", &json!({"enabled": false}))?;
        self.ask("POST", "/proxies/node", &json!({"enabled": true}))?;
        Ok(())
    }

    /// Nothing special happens any more; what was stalled is cut.
    pub fn heal(&self) -> Check {
        self.ask("POST", "/reset", &json!({})).map(drop)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Check<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.control))?;
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        ensure!(
            head.split(' ')
                .nth(1)
                .is_some_and(|code| code.starts_with('2')),
            "toxiproxy: {method} {path}: {answer}"
        );
        if body.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(body).during(format!("toxiproxy said {body:?}"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
