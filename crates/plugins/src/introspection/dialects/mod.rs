//! The written forms of the one introspection plugin: each has its own names, defaults and schema, and a function
//! into what [`super::Introspection`] is made of.

pub mod oauth2_introspection;
