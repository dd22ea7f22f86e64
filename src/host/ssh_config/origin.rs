//! Where a value came from.
//!
//! May depend on `known_hosts`' places. One reason: every message about a value names the line to change.

use std::fmt;

use crate::host::known_hosts::Place;

/// Where a value came from, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable of the inventory.
    Variable(&'static str),
    /// An argument of ssh, as it was given.
    Argument(String),
    /// A line of a file; 0 for the file as a whole.
    File(Place),
    /// The host's name itself.
    Host,
    /// Nobody: Ansible's or OpenSSH's default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Variable(name) => f.write_str(name),
            Origin::Argument(argument) => write!(f, "the ssh argument {argument}"),
            Origin::File(place) if place.line == 0 => write!(f, "{}", place.file.display()),
            Origin::File(place) => write!(f, "{place}"),
            Origin::Host => f.write_str("ansible_host"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// Another value from the same place.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced {
            value: make(self.value),
            origin: self.origin,
        }
    }
}
