//! The data plane.

pub mod render;
pub mod target;
