//! The cluster's side of things, pure: builds kubectl and helm arguments, parses their output, judges it; runs nothing.
//!
//! May depend on `settings` types. One reason: what can be tested by tables shall not need a host.

pub mod digest;
pub mod drift;
pub mod field_path;
pub mod managed_fields;
pub mod manifest;
pub mod object;
pub mod quantity;
pub mod repair;
#[cfg(test)]
mod samples;
pub mod show;
pub mod tolerated;
pub mod values;
