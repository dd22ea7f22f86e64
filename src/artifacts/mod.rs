//! artifacts (to come).
