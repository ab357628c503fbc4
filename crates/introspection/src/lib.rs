//! Token introspection (RFC 7662): token in, answer out.
