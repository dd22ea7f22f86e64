//! Which programs are accepted.

use super::*;
use crate::artifacts::error::Artifact;
use crate::artifacts::fetch::sha256;
use crate::artifacts::testing::{elf, tgz};

fn opened(files: &[(&str, Vec<u8>)], arch: Arch) -> Result<HelmBinary, String> {
    let bytes = tgz(files);
    let subject = Subject {
        artifact: Artifact::Helm,
        place: "/h.tar.gz".to_owned(),
    };
    let version = semver::Version::new(4, 1, 4);
    open(&subject, &bytes, version, arch, sha256(&bytes)).map_err(|e| e.to_string())
}

#[test]
fn the_program_of_the_right_machine_is_taken() {
    for (arch, folder, machine) in [
        (Arch::Amd64, "linux-amd64", 62),
        (Arch::Arm64, "linux-arm64", 183),
    ] {
        let program = elf(machine);
        let files = [
            (format!("{folder}/LICENSE"), b"text".to_vec()),
            (format!("{folder}/helm"), program.clone()),
        ];
        let files: Vec<_> = files
            .iter()
            .map(|(path, content)| (path.as_str(), content.clone()))
            .collect();
        let helm = opened(&files, arch).unwrap();
        assert_eq!(helm.bytes, program);
        assert_eq!(helm.sha256, sha256(&program));
        assert_ne!(helm.sha256, helm.archive_sha256);
    }
}

#[test]
fn other_programs_are_refused() {
    let helm =
        |program: Vec<u8>| opened(&[("linux-amd64/helm", program)], Arch::Amd64).unwrap_err();
    let changed = |at: usize, to: u8| {
        let mut program = elf(62);
        program[at] = to;
        helm(program)
    };
    let messages = [
        helm(elf(183)),
        helm(elf(243)),
        helm(
            b"#!/bin/sh\necho this is a script that is longer than any header, to be sure of it\n"
                .to_vec(),
        ),
        helm(b"\x7fELF".to_vec()),
        helm(Vec::new()),
        changed(4, 1),
        changed(5, 2),
        changed(16, 1),
        changed(elf(62).len() - 2, b'3'),
        changed(100 + 19, b'3'),
        opened(&[("linux-arm64/helm", elf(183))], Arch::Amd64).unwrap_err(),
        opened(&[("linux-amd64/bin/helm", elf(62))], Arch::Amd64).unwrap_err(),
        opened(&[("darwin-amd64/helm", elf(62))], Arch::Amd64).unwrap_err(),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is one for arm64
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: its ELF machine is 243, wanted 62
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is no ELF file
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it has only 4 bytes
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it has only 0 bytes
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is no 64-bit little-endian ELF file
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is no 64-bit little-endian ELF file
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is no executable (ELF type 1)
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is not Helm 4.1.4: v4.1.4 stands nowhere in it
    linux-amd64/helm in the Helm archive /h.tar.gz is no program for an amd64 node: it is not Helm 4.1.4: helm.sh/helm/v4 stands nowhere in it
    the Helm archive /h.tar.gz has no linux-amd64/helm inside
    the Helm archive /h.tar.gz has no linux-amd64/helm inside
    the Helm archive /h.tar.gz has no linux-amd64/helm inside
    ");
}
