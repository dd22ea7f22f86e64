//! Helm's program out of its release archive.
//!
//! May depend on this layer and `settings::spec`. One reason: the node gets a program that was
//! checked on the laptop and needs no internet.

use crate::artifacts::archive::{self, Caps};
use crate::artifacts::error::{ArtifactError, Subject};
use crate::artifacts::fetch::sha256;
use crate::settings::spec::{Arch, Sha256Hex};

/// Helm 4.1's archive has four entries and a program of 63 MB.
pub const CAPS: Caps = Caps {
    entries: 64,
    file: 256 << 20,
    total: 300 << 20,
};

/// Helm for a node, out of the pinned archive.
pub struct HelmBinary {
    /// The pinned version.
    pub version: semver::Version,
    /// What it runs on.
    pub arch: Arch,
    /// The digest of the archive, equal to the pin.
    pub archive_sha256: Sha256Hex,
    /// The digest of `bytes`.
    pub sha256: Sha256Hex,
    /// The program.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for HelmBinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelmBinary")
            .field("version", &self.version)
            .field("arch", &self.arch)
            .field("sha256", &self.sha256)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Takes `linux-ARCH/helm` out of the archive, whose bytes have the pinned digest already.
///
/// # Errors
/// `Damaged`, `Refused`, `Lacks` and `Binary`.
pub fn open(
    subject: &Subject,
    archive: &[u8],
    version: semver::Version,
    arch: Arch,
    archive_sha256: Sha256Hex,
) -> Result<HelmBinary, ArtifactError> {
    let file = format!("linux-{}/helm", arch.as_str());
    let mut program = None;
    archive::read(subject, archive, CAPS, |path, size, content| {
        if path == file {
            program = Some(archive::whole(content, size)?);
        }
        Ok(())
    })?;
    let Some(bytes) = program else {
        return Err(ArtifactError::Lacks {
            subject: subject.clone(),
            file,
        });
    };
    let sound = machine(&bytes, arch).and_then(|()| is_helm(&bytes, &version));
    sound.map_err(|why| ArtifactError::Binary {
        subject: subject.clone(),
        file,
        arch,
        why,
    })?;
    let sha256 = sha256(&bytes);
    Ok(HelmBinary {
        version,
        arch,
        archive_sha256,
        sha256,
        bytes,
    })
}

/// A Helm says its version and its module's path somewhere; a program that does not is another one. That it really
/// answers with this version is seen on the node.
fn is_helm(program: &[u8], version: &semver::Version) -> Result<(), String> {
    for word in [
        format!("v{version}"),
        format!("helm.sh/helm/v{}", version.major),
    ] {
        if memchr::memmem::find(program, word.as_bytes()).is_none() {
            return Err(format!(
                "it is not Helm {version}: {word} stands nowhere in it"
            ));
        }
    }
    Ok(())
}

/// Checks the ELF header (System V ABI, chapter 4): 64 bit, little-endian, executable, right machine.
fn machine(program: &[u8], arch: Arch) -> Result<(), String> {
    /// `EM_X86_64`
    const X86_64: u16 = 62;
    /// `EM_AARCH64`
    const AARCH64: u16 = 183;
    let Some(header) = program.first_chunk::<64>() else {
        return Err(format!("it has only {} bytes", program.len()));
    };
    if !header.starts_with(b"\x7fELF") {
        return Err("it is no ELF file".to_owned());
    }
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let (class, order, kind, machine) = (header[4], header[5], half(16), half(18));
    if (class, order) != (2, 1) {
        return Err("it is no 64-bit little-endian ELF file".to_owned());
    }
    // ET_EXEC, or ET_DYN for a position-independent one.
    if !matches!(kind, 2 | 3) {
        return Err(format!("it is no executable (ELF type {kind})"));
    }
    let wanted = match arch {
        Arch::Amd64 => X86_64,
        Arch::Arm64 => AARCH64,
    };
    if machine == wanted {
        return Ok(());
    }
    Err(match machine {
        X86_64 => "it is one for amd64".to_owned(),
        AARCH64 => "it is one for arm64".to_owned(),
        other => format!("its ELF machine is {other}, wanted {wanted}"),
    })
}

#[cfg(test)]
#[path = "helm_tests.rs"]
mod tests;
