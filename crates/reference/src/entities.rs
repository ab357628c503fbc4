//! `docs/entities.md`: what somebody wrote in `docs/entities.prose.md`, then every kind of entity, field by field.

use crate::fields::section;
use crate::markdown::GENERATED;
use crate::{Failure, Page, read};
use portcullis_model::entities::{
    Table, ca_certificate, certificate, consumer, plugin, route, service, sni, target, upstream,
};
use portcullis_model::schema::Field;

/// In the order in which a reader meets them.
const TABLES: [&Table; 9] = [
    &service::TABLE,
    &route::TABLE,
    &consumer::TABLE,
    &plugin::TABLE,
    &upstream::TABLE,
    &target::TABLE,
    &certificate::TABLE,
    &sni::TABLE,
    &ca_certificate::TABLE,
];

/// Fields that every entity has; described once.
const COMMON: [&str; 4] = ["id", "created_at", "updated_at", "tags"];

pub(crate) fn page() -> Result<Page, Failure> {
    let prose = read("docs/entities.prose.md")?;
    let is_common = |field: &&Field| COMMON.contains(&field.name);
    let mut text = format!("{GENERATED}{}\n## Every entity\n", prose.trim_start());
    text += &section(service::TABLE.fields.iter().filter(is_common), "");
    for table in TABLES {
        text += &format!("\n## `{}`\n", table.name);
        text += &section(table.fields.iter().filter(|field| !is_common(field)), table.name);
    }
    Ok(Page { path: "docs/entities.md".to_owned(), text })
}
