//! The evidence of a run: what was seen, kept so that another person can judge it later.
//!
//! May depend on `verify`, `steps`, `engine`, `report` (cleaning), `host`, `cluster`, `settings`. One reason: proof that
//! stays on one screen is no proof.

pub mod bundle;
pub mod collect;
pub mod document;
pub mod objects;
pub mod page;
mod questions;
pub mod record;
pub mod redact;
pub mod run_facts;
pub mod write;
