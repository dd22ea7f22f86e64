//! `ssh_config`: what OpenSSH's own files say about a host, with OpenSSH's rules.
//!
//! May depend on `known_hosts` (its matcher and places) and `settings`' suggestions. One reason: a user whose
//! `ssh HOST` works must reach the same host with the same keys, and a test must be able to compare with `ssh -G`.
//!
//! [`evaluate`] reads; [`HostConfig`] is the answer. It runs no command and looks up no name: a `Match` block
//! with a condition that would need it is skipped, with a warning.
//!
//! Rules: ssh_config(5), and where that is silent OpenSSH's `readconf.c` and `ssh.c`.

mod error;
mod evaluate;
mod files;
mod host_config;
mod jump;
mod keywords;
mod lexer;
mod machine;
mod matching;
mod origin;
mod pattern;
mod tokens;
mod values;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

pub use self::error::{ConfigError, ConfigProblem};
pub use self::evaluate::{Assigned, Assignment, Files, Request, evaluate};
pub use self::host_config::{
    AddressFamily, Agent, HostConfig, NamedFile, Proxy, StrictHostKeyChecking,
};
pub use self::jump::{Hop, destination};
pub use self::keywords::Keyword;
pub use self::machine::Machine;
pub use self::origin::{Origin, Sourced};
pub use self::tokens::tilde;
