//! `monopg` brings one PostgreSQL on one mono-node k3s host to a declared state over SSH,
//! proves that it is there, and leaves the evidence.
//!
//! The modules form layers; arrows go down only, and `tests/layering.rs` keeps it so:
//!
//! ```text
//! main ─► cli ─┬─► settings ─► inventory · secrets
//!              ├─► diagnose ─► steps · engine · host · cluster · settings
//!              ├─► evidence ─► verify · steps · engine · host · cluster · settings
//!              ├─► verify ───► steps · engine · host · cluster · settings
//!              ├─► steps ────► engine · host · artifacts · cluster · settings
//!              ├─► engine ───► host · cluster
//!              └─► report ───► engine::event
//! ```
//!
//! `docs/architecture.md` tells why.

pub mod artifacts;
pub mod cli;
pub mod cluster;
pub mod diagnose;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod host;
pub mod inventory;
pub mod report;
pub mod secrets;
pub mod settings;
pub mod steps;
pub mod verify;
pub mod yaml;
