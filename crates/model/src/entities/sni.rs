//! SNIs: for which server names a certificate is shown.

use super::names::{CREATED_AT, ID, TAGS, UPDATED_AT};
use super::{Reference, Table, hosts, nothing_more};
use crate::schema::{Field, Rule};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub const TABLE: Table = Table { name: "snis", key: "name", fields: FIELDS, check: nothing_more };

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name")
        .required()
        .rules(&[Rule::Check(hosts::certificate_name)])
        .example("api.example.com")
        .says("Unique; a server name with at most one `*` as its first or last label, or `*` for all others."),
    TAGS,
    Field::foreign("certificate", "certificates").required().says("What is shown."),
];

/// An SNI that has passed its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sni {
    pub id: Uuid,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub name: String,
    pub tags: Option<Vec<String>>,
    pub certificate: Reference,
}
