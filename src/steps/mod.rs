//! steps (to come).
