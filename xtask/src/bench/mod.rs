//! Measurements: programs side by side on the same machine, under the same load, in turns.

mod contestant;
pub(crate) mod hot;
mod load;
mod memory;
mod process;
mod scratch;
