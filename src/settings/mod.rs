//! Settings: flags, environment and inventory become one immutable, validated value a host.
//!
//! May depend on `inventory` and `secrets`.

pub mod spec;

pub use spec::*;
