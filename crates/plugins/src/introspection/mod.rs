//! Token introspection (RFC 7662) as a step. One plugin, several dialects.
