//! The way to a host: the jump hosts in the order in which they are visited, each with its own configuration.
//!
//! May depend on the options. One reason: the whole way is known, and anything wrong with it told, before anything
//! is connected to.
//!
//! Rules: ssh_config(5) "ProxyJump"; OpenSSH's `main` (ssh.c), which makes of a list `a,b` a `ProxyCommand` that runs
//! `ssh -J a -W [%h]:%p b` with the same `-F` and nothing else of its arguments: so `-o`, `-i` and Ansible's
//! variables are the host's alone, and only the first jump host's own ProxyJump counts.

use std::sync::Arc;

use super::options::{Options, Proxying, machine};
use crate::host::HostError;
use crate::host::endpoint::Endpoint;
use crate::host::ssh_config::{Hop, Machine, Proxy, Sourced};
use crate::settings::spec::Connection;

/// More jump hosts than this are a mistake.
const MOST: usize = 8;

/// A way; `stops` are visited in their order.
#[derive(Debug)]
pub struct Route {
    /// What leads to the first stop in place of a TCP connection of ours.
    pub command: Option<Sourced<String>>,
    /// Jump hosts, then the host itself: one at least.
    pub stops: Vec<Arc<Options>>,
}

impl Route {
    /// Resolves a connection and all that lies before it.
    pub fn resolve(connection: &Connection) -> Result<Route, HostError> {
        Self::resolve_on(&machine()?, connection)
    }

    /// The same on a given machine.
    pub(super) fn resolve_on(
        machine: &Machine,
        connection: &Connection,
    ) -> Result<Route, HostError> {
        let (mut options, Proxying { mut proxy, files }) =
            Options::resolve_on(machine, connection)?;
        let mut nearer: Vec<Arc<Options>> = Vec::new();
        loop {
            let Some(Sourced { value, origin }) = proxy.take() else {
                nearer.push(Arc::new(options));
                return Ok(Route::backwards(nearer, None));
            };
            options.direct = false;
            let mut hops = match value {
                Proxy::Jump(hops) => hops,
                Proxy::Command(value) => {
                    nearer.push(Arc::new(options));
                    return Ok(Route::backwards(nearer, Some(Sourced { value, origin })));
                }
            };
            nearer.push(Arc::new(options));
            if nearer.len() > MOST {
                let what = format!("{origin}: the way has more than {MOST} jump hosts");
                return Err(circle(what, &nearer, None));
            }
            // An empty list is none that the reader lets through.
            let Some(hop) = hops.pop() else {
                return Ok(Route::backwards(nearer, None));
            };
            let (at, further) = Options::of_jump_host(machine, &hop, &hops, &origin, &files)
                .map_err(|error| error.at_jump_host(&hop.host))?;
            let seen = nearer.iter().any(|o| {
                (&o.target.host, o.target.port, &o.user)
                    == (&at.target.host, at.target.port, &at.user)
            });
            if seen {
                let what = format!("{origin}: ProxyJump leads in a circle");
                return Err(circle(what, &nearer, Some(&at)));
            }
            options = at;
            proxy = further;
        }
    }

    /// Where its last stop is, if nothing stands between.
    pub fn endpoint(&self) -> Endpoint {
        match (&self.command, self.stops.as_slice()) {
            (Some(_), _) => Endpoint::Roundabout("through a ProxyCommand".into()),
            (None, [one]) => Endpoint::Straight {
                host: one.target.host.clone(),
                port: one.target.port,
            },
            (None, _) => Endpoint::Roundabout("through a jump host".into()),
        }
    }

    fn backwards(mut nearer: Vec<Arc<Options>>, command: Option<Sourced<String>>) -> Route {
        nearer.reverse();
        Route {
            command,
            stops: nearer,
        }
    }
}

/// A way that never arrives, with each of its steps.
fn circle(what: String, nearer: &[Arc<Options>], again: Option<&Options>) -> HostError {
    let steps = nearer.iter().map(AsRef::as_ref).chain(again);
    let steps: Vec<String> = steps
        .map(|o| format!("{}@{}", o.user, o.address()))
        .collect();
    HostError::Config {
        what,
        problems: vec![format!("the way is {}", steps.join(" through "))],
        hints: vec!["ProxyJump none for the jump host that is reached directly".into()],
    }
}

/// As `-J` takes it.
pub(super) fn written(hops: &[Hop]) -> String {
    let each = hops.iter().map(|hop| {
        let user = hop.user.as_ref().map(|u| format!("{u}@"));
        let port = hop.port.map(|p| format!(":{p}"));
        let host = match hop.host.contains(':') {
            true => format!("[{}]", hop.host),
            false => hop.host.clone(),
        };
        format!(
            "{}{host}{}",
            user.unwrap_or_default(),
            port.unwrap_or_default()
        )
    });
    each.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
