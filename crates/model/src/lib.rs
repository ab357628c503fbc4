//! The gateway's vocabulary, as values: entities as their users write them, formats that read them, and the
//! [`plan`] that the data plane runs.
//!
//! Everything here is pure. Nothing opens a file or a socket, nothing waits, nothing reads a clock: text goes in,
//! values and [`problem`]s come out. That is why one assertion can say "these two configurations mean the same".
//!
//! ```text
//! text -> yaml (tree with places) -> formats (flat, referenced) -> check (tables) -> entities -> lower -> plan
//! ```
//!
//! What it is not: it knows no plugin. What a plugin is called, how its configuration is completed and when it
//! runs is asked of a [`catalog::Catalog`], which `portcullis-plugins` implements.

pub mod catalog;
pub mod check;
pub mod entities;
pub mod formats;
pub mod lower;
pub mod moment;
pub mod plan;
pub mod print;
pub mod problem;
pub mod schema;
pub mod secret;
pub mod yaml;
