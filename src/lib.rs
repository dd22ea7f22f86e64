//! monopg
