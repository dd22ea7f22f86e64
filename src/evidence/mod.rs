//! The evidence of a run: what was seen, kept so that another person can judge it later.
//!
//! May depend on `verify`, `steps`, `engine`, `host`, `cluster`, `settings`. One reason: proof that stays on one screen
//! is no proof.

pub mod criteria;
pub mod html;
pub mod page;
pub mod timeline;
pub mod topology;
