//! Written languages, each read into entities.

pub mod declarative;
