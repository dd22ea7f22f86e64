//! Brings a file to a host as a run does, for `scripts/bench upload`: `upload FILE PATH ADDRESS KEY KNOWN_HOSTS`.
//!
//! It connects, uploads (temporary file, SHA-256 on the host, rename) and ends; the time that counts is its own, from
//! start to end. `MONOPG_BENCH_TIMES=1` prints where it went.

use std::io::Write as _;
use std::time::Instant;

use monopg::host::channel::Channel;
use monopg::host::{Host as _, Upload};
use monopg::settings::spec::Connection;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, path, address, key, known_hosts] = words.as_slice() else {
        return Err("upload FILE PATH ADDRESS KEY KNOWN_HOSTS".into());
    };
    let begin = Instant::now();
    let content = std::fs::read(file)?;
    let connection = Connection {
        user: Some("root".into()),
        private_key: Some(key.into()),
        ssh_args: [
            format!("-oUserKnownHostsFile={known_hosts}"),
            "-oIdentitiesOnly=yes".into(),
        ]
        .into(),
        ..Connection::to(address)
    };
    let read = begin.elapsed();
    let channel = Channel::open("bench", &connection).await?;
    let open = begin.elapsed();
    let upload = Upload {
        content: &content,
        path,
        mode: 0o644,
    };
    let arrived = std::sync::Mutex::new(open);
    channel
        .upload(upload, &|n| {
            if n == content.len() as u64
                && let Ok(mut at) = arrived.lock()
            {
                *at = begin.elapsed();
            }
        })
        .await?;
    let all = begin.elapsed();
    if std::env::var_os("MONOPG_BENCH_TIMES").is_some() {
        let arrived = arrived.into_inner().unwrap_or(open);
        writeln!(
            std::io::stderr(),
            "read {read:.3?}, connected {open:.3?}, arrived {arrived:.3?}, in place {all:.3?}"
        )?;
    }
    Ok(())
}
