//! Archives that must be refused, and a server that breaks off.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::check::{Check, During};
use crate::world::Archive;

/// What is done to an archive.
#[derive(Debug, Clone, Copy)]
pub enum Spoil {
    /// One bit flipped in the middle; the digest is the good one's.
    FlippedBit,
    /// The file breaks off; the digest is the good one's.
    Truncated,
    /// An entry `../escaped`; the digest is the bad one's.
    ParentPath,
    /// An entry with an absolute path; the digest is the bad one's.
    AbsolutePath,
    /// A symbolic link leading out, and a file through it; the digest is the bad one's.
    SymbolicLink,
    /// A hard link leading out; the digest is the bad one's.
    HardLink,
    /// Another version inside (a chart's Chart.yaml); the digest is the bad one's.
    ChartVersion,
    /// Another name inside (a chart's Chart.yaml); the digest is the bad one's.
    ChartName,
}

/// Makes a spoiled copy in a folder; the pin's digest is as a careless user's would be.
pub fn spoil(good: &Archive, how: Spoil, folder: &Path) -> Check<Archive> {
    let name = good.path.file_name().ok_or("no file name")?;
    let path = folder.join(name);
    let bytes = std::fs::read(&good.path)?;
    let honest = |bytes: Vec<u8>| -> Check<Archive> {
        std::fs::write(&path, bytes)?;
        Archive::of(&path, &good.version)
    };
    let cheating = |bytes: Vec<u8>| -> Check<Archive> {
        std::fs::write(&path, bytes)?;
        Ok(Archive {
            path: path.clone(),
            ..good.clone()
        })
    };
    match how {
        Spoil::FlippedBit => {
            let mut bytes = bytes;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            cheating(bytes)
        }
        Spoil::Truncated => cheating(bytes[..bytes.len() * 2 / 3].to_vec()),
        Spoil::ParentPath => honest(with_entries(
            &bytes,
            &[("postgresql/../../escaped", None)],
            |_, _| (),
        )?),
        Spoil::AbsolutePath => honest(with_entries(&bytes, &[("/escaped", None)], |_, _| ())?),
        Spoil::SymbolicLink => honest(with_entries(
            &bytes,
            &[
                (
                    "postgresql/out",
                    Some((EntryType::Symlink, "../../../../tmp")),
                ),
                ("postgresql/out/escaped", None),
            ],
            |_, _| (),
        )?),
        Spoil::HardLink => honest(with_entries(
            &bytes,
            &[("postgresql/out", Some((EntryType::Link, "/etc/passwd")))],
            |_, _| (),
        )?),
        Spoil::ChartVersion => honest(with_entries(&bytes, &[], |path, content| {
            replace_line(path, content, "version: ", "version: 17.0.1");
        })?),
        Spoil::ChartName => honest(with_entries(&bytes, &[], |path, content| {
            replace_line(path, content, "name: ", "name: postgresqI");
        })?),
    }
}

fn replace_line(path: &str, content: &mut Vec<u8>, starts: &str, by: &str) {
    if path == "postgresql/Chart.yaml" {
        let text = String::from_utf8_lossy(content).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .map(|l| if l.starts_with(starts) { by } else { l })
            .collect();
        *content = lines.join("\n").into_bytes();
    }
}

/// An additional entry: its path, and what it links to (`None` = a small file).
type Extra<'a> = (&'a str, Option<(EntryType, &'a str)>);

/// Writes a `.tar.gz` anew, with each file edited and some entries added, whatever their paths.
fn with_entries(
    gz: &[u8],
    extra: &[Extra<'_>],
    edit: impl Fn(&str, &mut Vec<u8>),
) -> Check<Vec<u8>> {
    let mut out = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut archive = tar::Archive::new(GzDecoder::new(gz));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let mut header = entry.header().clone();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        edit(&path, &mut content);
        header.set_size(content.len() as u64);
        header.set_cksum();
        out.append(&header, content.as_slice())?;
    }
    for (path, link) in extra {
        let mut header = Header::new_ustar();
        // The tar crate refuses such paths, so they are put into the header by hand.
        let field = &mut header.as_old_mut().name;
        field[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let content: &[u8] = match link {
            Some((kind, to)) => {
                header.set_entry_type(*kind);
                header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
                b""
            }
            None => {
                header.set_entry_type(EntryType::Regular);
                b"escaped\n"
            }
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        out.append(&header, content)?;
    }
    Ok(out.into_inner()?.finish()?)
}

/// Serves one file over HTTP on the loopback address, and promises more of it than it sends.
pub struct Server {
    /// The file's URL.
    pub url: String,
    /// How often somebody asked.
    pub asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    address: std::net::SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `file`; after `cut` bytes the connection ends (`None` = serves it whole).
    pub fn start(file: PathBuf, cut: Option<usize>) -> Check<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").during("binding a port")?;
        let address = listener.local_addr()?;
        let name = file
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default()
            .to_owned();
        let bytes = std::fs::read(&file)?;
        let asked = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, ended) = (asked.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                // The client's errors are the client's: it has to report them.
                let _ = stream.read(&mut request);
                let _ = stream.write_all(
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        bytes.len()
                    )
                    .as_bytes(),
                );
                let _ = stream.write_all(&bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())]);
            }
        });
        Ok(Server {
            url: format!("http://{address}/{name}"),
            asked,
            stop,
            address,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread up from accept.
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
