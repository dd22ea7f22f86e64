//! Room on the file system of the storage path, and how little of it is too little.
//!
//! Pure. One reason: before the first change and in every later look, a disk that is about to be full is the same.

use super::facts::Facts;

/// A filled disk stops PostgreSQL; below this many bytes nothing more is put on it.
pub const RESERVE: u64 = 1 << 30;
/// Fewer free inodes than this are as good as none.
pub const INODES: u64 = 10_000;

/// What `stat -f` says, in bytes and inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What PostgreSQL may still fill.
    pub free: u64,
    /// What it may fill on an empty disk: what is kept back for root is not counted, as `df` does not either.
    pub total: u64,
    /// Free inodes; `None` where the file system has no fixed number.
    pub inodes_free: Option<u64>,
}

impl Space {
    /// From the answer to [`super::storage::path_question`]; `None` if it says too little.
    pub fn read(facts: &Facts) -> Option<Self> {
        let (block, free) = (facts.number("block")?, facts.number("free")?);
        let (unused, blocks) = (facts.number("unused")?, facts.number("blocks")?);
        let fillable = blocks.saturating_sub(unused).saturating_add(free);
        Some(Space {
            free: free.saturating_mul(block),
            total: fillable.saturating_mul(block),
            inodes_free: facts
                .number("inodes_free")
                .filter(|_| facts.number("inodes").is_some_and(|all| all > 0)),
        })
    }

    /// Less than a tenth, or than [`RESERVE`].
    pub fn is_short(&self) -> bool {
        self.free < RESERVE || self.free < self.total / 10
    }

    /// The number of free inodes, if it is too low.
    pub fn few_inodes(&self) -> Option<u64> {
        self.inodes_free.filter(|n| *n < INODES)
    }
}

/// Bytes for people.
pub fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}
