//! The data plane.

pub mod render;
pub mod router;
pub mod target;
pub mod telemetry;
