//! The data plane.

mod core;
mod data_plane;
pub mod decide;
mod head;
mod headers;
mod ids;
mod listener;
pub mod peek;
pub mod render;
pub mod router;
pub mod target;
pub mod telemetry;
