//! The model at its public edge: text in; entities, problems and plans out.

mod catalog;
mod golden;
mod levels;
mod load;
mod precedence;
mod robust;
