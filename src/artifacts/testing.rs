//! Archives for the tests of this layer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A sound `.tgz` with these files.
pub(crate) fn tgz<C: AsRef<[u8]>>(files: &[(&str, C)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let content = content.as_ref();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content).unwrap();
    }
    let mut encoder = tar.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// A chart as `helm package` makes it, as far as we look at it.
pub(crate) fn chart(name: &str, version: &str) -> Vec<u8> {
    let chart = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    tgz(&[
        (format!("{name}/Chart.yaml").as_str(), chart.as_str()),
        (format!("{name}/values.yaml").as_str(), "a: 1\n"),
    ])
}

/// The head of a 64-bit little-endian executable, and what Helm 4.1.4 says of itself.
pub(crate) fn elf(machine: u16) -> Vec<u8> {
    let mut program = vec![0; 100];
    program[..6].copy_from_slice(b"\x7fELF\x02\x01");
    program[16] = 2;
    program[18..20].copy_from_slice(&machine.to_le_bytes());
    program.extend_from_slice(b"path\thelm.sh/helm/v4/cmd/helm\0v4.1.4\0");
    program
}
