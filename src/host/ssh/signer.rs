//! Who signs: a key of ours, or the agent's.
//!
//! May depend on the identity files. One reason: the SSH library asks for a signature only when the server has
//! said that it takes the key; so a passphrase is asked for, and a security key blinks, for no other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::identity::Unlock;

/// What an agent may take: somebody has to touch a security key or to confirm.
const TOUCH: Duration = Duration::from_secs(60);

/// Signs for one attempt.
pub enum Means<'a> {
    /// The agent, by this identity of its own.
    Agent(&'a mut AgentClient<UnixStream>, Box<AgentIdentity>),
    /// A key that is open.
    Key(Arc<PrivateKey>),
    /// A key that is still encrypted.
    Locked(&'a Path, &'a Zeroizing<String>),
}

/// See [`Means`].
pub struct Signer<'a> {
    /// What signs.
    pub means: Means<'a>,
    /// Opens it.
    pub unlock: &'a Unlock,
}

/// Why there is no signature.
#[derive(Debug)]
pub enum NotSigned {
    /// For the report.
    Why(String),
    /// The connection is gone.
    Gone,
}

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        NotSigned::Gone
    }
}

impl russh::Signer for Signer<'_> {
    type Error = NotSigned;

    /// Appends the signature to what is signed, as the SSH library wants it.
    async fn auth_sign(
        &mut self,
        _shown: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        match &mut self.means {
            Means::Agent(agent, identity) => {
                let _pause = self.unlock.asker.pause();
                match tokio::time::timeout(TOUCH, agent.sign_request(identity, hash, to_sign)).await
                {
                    Ok(Ok(signed)) => Ok(signed),
                    Ok(Err(error)) => {
                        Err(NotSigned::Why(format!("the agent did not sign, {error}")))
                    }
                    Err(_) => Err(NotSigned::Why(format!(
                        "the agent did not sign within {} s",
                        TOUCH.as_secs()
                    ))),
                }
            }
            Means::Key(key) => with_key(key, hash, to_sign),
            Means::Locked(path, text) => {
                let key = self.unlock.open(path, text).await;
                let key = key.map_err(|why| NotSigned::Why(format!("skipped, {why}")))?;
                with_key(&key, hash, to_sign)
            }
        }
    }
}

fn with_key(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    mut data: Vec<u8>,
) -> Result<Vec<u8>, NotSigned> {
    let signature = match key.key_data() {
        KeypairData::Rsa(rsa) => (rsa, hash).try_sign(&data),
        other => other.try_sign(&data),
    };
    let failed = |error: String| NotSigned::Why(format!("it cannot sign: {error}"));
    let signature = signature.map_err(|e| failed(e.to_string()))?;
    let mut bytes = Vec::new();
    signature
        .encode(&mut bytes)
        .and_then(|()| bytes.encode(&mut data))
        .map_err(|e| failed(e.to_string()))?;
    Ok(data)
}
