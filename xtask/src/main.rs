//! Recipes of this repository: `cargo xtask test`, `contract`, `bench`.
fn main() {}
