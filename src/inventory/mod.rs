//! inventory (to come).
