//! What the model must know of plugins without knowing any.

use crate::problem::Problems;
use crate::schema::Field;
use serde_json::Value;

/// What there is to know of one plugin before a request comes.
#[derive(Debug, Clone, Copy)]
pub struct PluginFacts {
    /// Name as users write it: `oauth2-introspection`.
    pub name: &'static str,
    /// Kong's priority; higher runs first.
    pub priority: u32,
    /// Fields of `config`.
    pub config: &'static [Field],
    /// Whether an instance may be bound to a consumer; if not, `consumer` must be null.
    pub consumer_scope: bool,
}

/// The plugins that exist. `portcullis-plugins` implements it; tests make their own.
pub trait Catalog {
    /// The plugin of this name.
    fn find(&self, name: &str) -> Option<&PluginFacts>;

    /// Every plugin, highest priority first.
    fn all(&self) -> &[PluginFacts];

    /// Checks what a table cannot say of a configuration that has passed its table and been completed from it:
    /// fields that depend on each other, and warnings. Paths are relative to `config`.
    fn check(&self, plugin: &PluginFacts, config: &Value) -> Problems;
}
