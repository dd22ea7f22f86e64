//! Which identities are offered, in which order.
//!
//! May depend on the identity files. One reason: servers end a login after a few wrong keys, so the order decides
//! who gets in; as a pure function it can be compared with OpenSSH's own.
//!
//! Rules: OpenSSH's `load_public_identity_files` (ssh.c) and `pubkey_prepare` (sshconnect2.c): certificates that
//! CertificateFile names, the agent's keys that are configured, the agent's others, files. A certificate beside a
//! key counts as a file of its own behind the key, and only if no CertificateFile is given.

use std::path::PathBuf;

use russh::keys::agent::AgentIdentity;
use russh::keys::{Certificate, PublicKey};

use super::identity::File;

/// What is shown to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A plain key.
    Key(PublicKey),
    /// A certificate.
    Certificate(Box<Certificate>),
}

impl Shown {
    /// The same key, and both plain or the same certificate; comments do not count.
    fn same(&self, other: &Shown) -> bool {
        match (self, other) {
            (Shown::Key(a), Shown::Key(b)) => a.key_data() == b.key_data(),
            (Shown::Certificate(a), Shown::Certificate(b)) => {
                matches!((a.to_bytes(), b.to_bytes()), (Ok(a), Ok(b)) if a == b)
            }
            _ => false,
        }
    }

    fn of(identity: &AgentIdentity) -> Shown {
        match identity {
            AgentIdentity::PublicKey { key, .. } => Shown::Key(key.clone()),
            AgentIdentity::Certificate { certificate, .. } => {
                Shown::Certificate(Box::new(certificate.clone()))
            }
        }
    }
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the server is shown; `None` for a locked file whose public part nobody knows, or one that cannot
    /// be used at all.
    pub shown: Option<Shown>,
    /// The file that stands for it, if one does: an index.
    pub file: Option<usize>,
    /// The certificate's own file.
    pub certificate: Option<PathBuf>,
    /// The agent's identity that signs: an index.
    pub agent: Option<usize>,
}

/// All attempts in their order. `certificates` are those that CertificateFile names; with none, each file's
/// `beside` counts.
pub fn order(
    files: &[File],
    beside: &[Option<Certificate>],
    certificates: &[(PathBuf, Certificate)],
    agent: &[AgentIdentity],
    only_configured: bool,
) -> Vec<Candidate> {
    let held: Vec<Shown> = agent.iter().map(Shown::of).collect();
    // A plain key in the agent signs for a certificate of the same key, too.
    let signer = |cert: &Certificate| {
        let whole = Shown::Certificate(Box::new(cert.clone()));
        held.iter().position(|h| h.same(&whole)).or_else(|| {
            held.iter()
                .position(|h| matches!(h, Shown::Key(k) if k.key_data() == cert.public_key()))
        })
    };
    let file_of = |cert: &Certificate| {
        files.iter().position(|f| {
            f.public
                .as_ref()
                .is_some_and(|k| k.key_data() == cert.public_key())
        })
    };
    let mut all: Vec<Candidate> = certificates
        .iter()
        .map(|(path, cert)| Candidate {
            shown: Some(Shown::Certificate(Box::new(cert.clone()))),
            file: file_of(cert),
            certificate: Some(path.clone()),
            agent: signer(cert),
        })
        .collect();

    let mut configured: Vec<Candidate> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        configured.push(Candidate {
            shown: file.public.clone().map(Shown::Key),
            file: Some(index),
            certificate: None,
            agent: None,
        });
        let cert = beside.get(index).and_then(Option::as_ref);
        if let (Some(cert), true) = (cert, certificates.is_empty()) {
            configured.push(Candidate {
                shown: Some(Shown::Certificate(Box::new(cert.clone()))),
                file: Some(index),
                certificate: None,
                agent: None,
            });
        }
    }
    let mut others = Vec::new();
    for (index, shown) in held.iter().enumerate() {
        let known = configured
            .iter()
            .position(|c| c.shown.as_ref().is_some_and(|s| s.same(shown)));
        match known {
            Some(at) => {
                let mut candidate = configured.remove(at);
                candidate.agent = Some(index);
                all.push(candidate);
            }
            None if only_configured => {}
            None => others.push(Candidate {
                shown: Some(shown.clone()),
                file: None,
                certificate: None,
                agent: Some(index),
            }),
        }
    }
    all.append(&mut others);
    for mut candidate in configured {
        if let Some(Shown::Certificate(cert)) = &candidate.shown {
            candidate.agent = signer(cert);
        }
        all.push(candidate);
    }
    all
}
