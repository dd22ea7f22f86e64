//! A connection that a jump host makes for us.
//!
//! May depend on the options and the stream's neighbours. One reason: one SSH connection inside another must not
//! be able to stop the other for ever.
//!
//! Rules: RFC 4254 §7.2 (`direct-tcpip`), §5.1 (the reasons of a refusal).

use std::io;

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Error};

use super::hostkey::Trust;
use super::options::Options;
use super::stream::Stream;
use crate::host::HostError;

/// More than the connection inside may send before we answer it (russh's window of 2 MiB): while its loop waits to
/// write, the jump host's loop must be able to hand over all that comes in, or neither would ever go on.
const BUFFER: usize = 4 << 20;

/// Opens it; `jump_host` is the address that the jump host was reached at.
pub async fn open(
    handle: &Handle<Trust>,
    jump_host: &str,
    options: &Options,
) -> Result<impl Stream + use<>, HostError> {
    let (host, port) = (options.target.host.as_str(), options.target.port);
    let channel = handle
        .channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0)
        .await;
    match channel {
        Ok(channel) => Ok(buffered(channel)),
        Err(error) => Err(HostError::Unreachable {
            address: options.address(),
            source: refused(jump_host, error),
        }),
    }
}

fn refused(jump_host: &str, error: Error) -> io::Error {
    let (kind, why) = match error {
        Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => (
            io::ErrorKind::ConnectionRefused,
            format!("the jump host {jump_host} cannot connect to it"),
        ),
        Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => (
            io::ErrorKind::PermissionDenied,
            format!(
                "the jump host {jump_host} does not let us through (AllowTcpForwarding, DisableForwarding or PermitOpen in its \
                 sshd_config, `restrict` or `no-port-forwarding` in authorized_keys)"
            ),
        ),
        error => (
            io::ErrorKind::Other,
            format!("the jump host {jump_host} gave no way there: {error}"),
        ),
    };
    io::Error::new(kind, why)
}

/// The channel as a stream that always takes what comes in, up to [`BUFFER`].
fn buffered(channel: Channel<Msg>) -> impl Stream {
    let (mut incoming, outgoing) = tokio::io::split(channel.into_stream());
    let (near, mut far) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        // It ends with the connection on either side, which shows there.
        if let Err(error) = tokio::io::copy(&mut incoming, &mut far).await {
            tracing::trace!(%error, "forwarding ended");
        }
    });
    tokio::io::join(near, outgoing)
}
