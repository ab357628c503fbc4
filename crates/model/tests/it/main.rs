//! The model at its public edge: text in; entities, problems and plans out.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and shows what it saw")]

mod catalog;
mod certificates;
mod golden;
mod levels;
mod load;
mod pems;
mod precedence;
mod robust;
