//! From an answer to a consumer: looked up live on every request, after the cache (I-95, I-154).

use portcullis_introspection::Answer;
use portcullis_model::plan::{Consumer, Consumers};
use serde::Deserialize;
use std::sync::Arc;

/// The one rule by which a configuration finds consumers. There is no fall-through from one to the other: a user
/// who registers under the name of a client must not become that client (S-27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerBy {
    /// The answer's `username` is the consumer's `username`.
    #[default]
    Username,
    /// The answer's `client_id` is the consumer's `custom_id`.
    ClientId,
}

impl ConsumerBy {
    /// The consumer behind `answer`, if there is one.
    pub fn find<'c>(self, answer: &Answer, consumers: &'c Consumers) -> Option<&'c Arc<Consumer>> {
        match self {
            ConsumerBy::Username => consumers.by_username(answer.username()?),
            ConsumerBy::ClientId => consumers.by_custom_id(answer.client_id()?),
        }
    }
}

/// The consumer that a configuration calls `anonymous`: by id, else by username, never by `custom_id`.
pub fn anonymous<'c>(name: &str, consumers: &'c Consumers) -> Option<&'c Arc<Consumer>> {
    let by_id = name.parse().ok().and_then(|id| consumers.by_id(&id));
    by_id.or_else(|| consumers.by_username(name))
}
