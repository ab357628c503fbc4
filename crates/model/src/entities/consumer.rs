//! Consumers: whom an authentication plugin may find behind a credential.

use super::names::{CREATED_AT, ID, TAGS, UPDATED_AT};
use super::{Table, is_empty};
use crate::problem::{Path, Problems};
use crate::schema::{Field, Rule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub const TABLE: Table = Table { name: "consumers", key: "username", fields: FIELDS, check };

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("username").rules(&[Rule::MinLength(1)]).says("Unique; plugins may find a consumer by it."),
    Field::string("custom_id")
        .rules(&[Rule::MinLength(1)])
        .says("Unique; an id from elsewhere, such as a client's at the authorization server."),
    TAGS,
];

/// A consumer that has passed its table. A million of them are held at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    pub id: Uuid,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub username: Option<Box<str>>,
    pub custom_id: Option<Box<str>>,
    pub tags: Option<Box<[String]>>,
}

fn check(consumer: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    if is_empty(consumer.get("username")) && is_empty(consumer.get("custom_id")) {
        let message = "at least one of these fields must be non-empty: 'custom_id', 'username'";
        problems.error_hint(path.clone(), message, "write for example username: alice");
    }
}
