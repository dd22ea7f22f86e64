//! The evidence of a run: what was seen, kept so that another person can judge it later.
//!
//! May depend on `verify`, `steps`, `engine`, `report` (control characters), `host`, `cluster`, `settings`. One reason:
//! proof that stays on one screen is no proof.
//!
//! While a run goes on, [`record`] keeps its events and commands. Then [`collect`] asks the node (`questions`), and
//! [`bundle`] makes files of all of it, from which [`objects`] and [`redact`] take out what others must not see.
//! [`assemble`] gives the report its [`page`], which [`html`] draws; [`write`](mod@write) puts all of it into a folder and
//! an archive.

pub mod assemble;
pub mod bundle;
pub mod collect;
pub mod criteria;
pub mod diff;
pub mod document;
pub mod html;
pub mod objects;
pub mod page;
mod questions;
pub mod record;
pub mod redact;
pub mod run_facts;
pub mod timeline;
pub mod topology;
pub mod write;
