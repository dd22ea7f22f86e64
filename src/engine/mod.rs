//! The engine: observe, judge, apply, observe. It emits events and prints nothing.
//!
//! May depend on `host` and the pure parts of `cluster`. One reason: a step cannot forget to look again.

pub mod answers;
pub mod check;
pub mod emit;
pub mod event;
pub mod event_table;
pub mod gather;
pub mod problem;
pub mod query;
pub mod run;
pub mod step;
