//! The cluster's side of things, pure: builds kubectl and helm arguments, parses their output, judges it; runs nothing.
//!
//! May depend on `settings` types. One reason: what can be tested by tables shall not need a host.

pub mod admission;
pub mod causes;
pub mod client_trouble;
pub mod diagnosis;
pub mod digest;
pub mod disk;
pub mod drift;
pub mod facts;
pub mod field_path;
pub mod images;
pub mod last_words;
pub mod managed_fields;
pub mod manifest;
pub mod net;
pub mod object;
pub mod owners;
pub mod pod_trouble;
pub mod quantity;
pub mod readiness;
pub mod refusals;
pub mod release;
pub mod repair;
#[cfg(test)]
pub mod samples;
pub mod selector;
pub mod show;
pub mod tail;
pub mod tolerated;
pub mod values;
pub mod volume_trouble;
