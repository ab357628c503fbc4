//! Fields that every entity has, and the texts that name things.

use crate::schema::{Element, Field, Rule};
use serde_json::Value;
use uuid::Uuid;

pub(super) const ID: Field = Field::string("id")
    .rules(&[Rule::Check(uuid)])
    .says("Primary key, a UUID. Without one it follows from the entity's name and place, the same at each load.");
pub(super) const CREATED_AT: Field =
    Field::integer("created_at").says("Seconds since 1970. Of two routes that match alike, the older one wins.");
pub(super) const UPDATED_AT: Field = Field::integer("updated_at").says("Seconds since 1970.");
pub(super) const TAGS: Field =
    Field::set("tags", Element::STRING.rules(&[Rule::Check(tag)])).says("Free labels; without effect on requests.");
pub(super) const NAME_RULES: &[Rule] = &[Rule::MinLength(1), Rule::Check(name)];

pub(super) fn uuid(value: &Value) -> Result<(), String> {
    // Hyphenated only, as everybody prints it: other spellings of one id would be other keys to other tools.
    let valid = value.as_str().is_some_and(|text| text.len() == 36 && Uuid::try_parse(text).is_ok());
    if valid { Ok(()) } else { Err("expected a valid UUID".to_owned()) }
}

fn name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || ".-_~".contains(c);
    if text.chars().all(plain) {
        return Ok(());
    }
    Err(format!("invalid value '{text}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"))
}

fn tag(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let printable = |c: char| !c.is_ascii() || ((c.is_ascii_graphic() || c == ' ') && c != ',' && c != '/');
    if !text.is_empty() && text.chars().all(printable) {
        return Ok(());
    }
    Err(format!("invalid tag '{text}': expected printable ascii (except ',' and '/') or valid utf-8 sequences"))
}
