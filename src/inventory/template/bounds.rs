//! What a template may cost. Nothing that a person writes into an inventory comes near.

/// The longest template, in bytes.
pub(super) const MAX_TEMPLATE: usize = 16 * 1024;
/// The longest text that a template, a filter or a lookup gives, in bytes.
pub(super) const MAX_TEXT: usize = 1024 * 1024;
/// How deep variables refer to each other.
pub(super) const MAX_CHAIN: usize = 20;
/// How many templates one variable may render, those that it refers to included.
pub(super) const MAX_RENDERS: usize = 2_000;
/// What one template may do, in the template engine's unit: about one instruction, or 64 bytes of text.
pub(super) const FUEL: u64 = 50_000;
/// How deep lists and mappings lie in each other.
pub(super) const MAX_DEPTH: usize = 100;
/// How many values one result has.
pub(super) const MAX_VALUES: usize = 100_000;
