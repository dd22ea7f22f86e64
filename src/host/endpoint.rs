//! Where a host's SSH answers, seen from this machine.
//!
//! May depend on the ways (`ssh`, `openssh`) and `settings`' connection. One reason: whoever wants to know what else
//! answers at that address must not mistake a jump host's for it.

use std::sync::Arc;

use super::HostError;
use super::openssh;
use super::person::Person;
use super::ssh::Route;
use crate::settings::spec::{Connection, Via};

/// How this machine gets to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// By a TCP connection of its own.
    Straight {
        /// A name or an IP address, as the configuration of SSH says.
        host: String,
        /// Where its SSH listens.
        port: u16,
    },
    /// Another way, in words that follow "it is reached".
    Roundabout(String),
}

impl Endpoint {
    /// Resolves it from the same files and arguments as the connection itself; nothing is connected to. Errors are
    /// those of the configuration.
    pub async fn of(name: &str, connection: &Connection) -> Result<Endpoint, HostError> {
        match connection.via {
            Via::Local => Ok(Endpoint::Roundabout("without a network".into())),
            Via::Ssh => Ok(Route::resolve(connection)?.endpoint()),
            Via::OpenSsh => {
                let nobody: Arc<Person> = Person::nobody("nobody can be asked");
                let client = openssh::resolve(name, connection, &nobody).await?;
                Ok(client.endpoint())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(via: Via, args: &[&str]) -> Connection {
        Connection {
            via,
            user: Some("root".into()),
            ssh_args: ["-F", "none"]
                .iter()
                .chain(args)
                .map(|a| (*a).to_owned())
                .collect(),
            ..Connection::to("192.0.2.7")
        }
    }

    #[tokio::test]
    async fn straight_or_not() {
        let straight = |port| Endpoint::Straight {
            host: "192.0.2.7".into(),
            port,
        };
        let command = Endpoint::Roundabout("through a ProxyCommand".into());
        let jump = Endpoint::Roundabout("through a jump host".into());
        for via in [Via::Ssh, Via::OpenSsh] {
            for (args, want) in [
                (&[][..], straight(22)),
                (&["-o", "Port=2222"], straight(2222)),
                (&["-o", "ProxyCommand=none"], straight(22)),
                (&["-o", "ProxyCommand=nc %h %p"], command.clone()),
                (&["-J", "ops@192.0.2.1"], jump.clone()),
                (
                    &["-o", "HostName=192.0.2.8"],
                    Endpoint::Straight {
                        host: "192.0.2.8".into(),
                        port: 22,
                    },
                ),
            ] {
                let found = Endpoint::of("pg1", &connection(via, args)).await.unwrap();
                assert_eq!(found, want, "{via:?} {args:?}");
            }
        }
        let local = Endpoint::of("pg1", &connection(Via::Local, &[])).await;
        assert_eq!(
            local.unwrap(),
            Endpoint::Roundabout("without a network".into())
        );
    }
}
