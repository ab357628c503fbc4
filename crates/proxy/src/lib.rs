//! The data plane.

pub mod target;
