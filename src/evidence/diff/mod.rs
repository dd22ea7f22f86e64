//! What changed between two runs, by their evidence.
//!
//! May depend on the other parts of `evidence`. One reason: "what is different from last week" is asked when something
//! broke, and then the node cannot tell any more.

mod compare;
mod objects;
mod read;

pub use compare::{Difference, Section, compare, line};
pub use read::{Opened, ReadError, open};
