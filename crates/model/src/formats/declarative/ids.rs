//! Ids of entities that were written without one: the same text gives the same ids at each load, since counters and
//! caches are kept by them.

use uuid::Uuid;

/// Kong's namespace for declarative configurations.
const NAMESPACE: Uuid = Uuid::from_u128(0xfd02801f_0957_4a15_a55a_c8d9606f30b5);

/// The id of the entity of this kind (plural: `services`) with this key.
pub(super) fn of_key(entity: &str, key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&NAMESPACE, entity.as_bytes()), key.as_bytes())
}

/// The key of an entity without one: the ids it refers to, what else makes it unique, and its number among those
/// that have all of this in common.
pub(super) fn key_of_nameless(references: &[Option<Uuid>], unique: Option<&str>, ordinal: usize) -> String {
    let mut parts: Vec<String> = references.iter().map(|id| id.map(|id| id.to_string()).unwrap_or_default()).collect();
    parts.extend(unique.map(str::to_owned));
    parts.push(ordinal.to_string());
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_keys() {
        // K-141
        let rows = [
            ("services", "my-service", "0855b320-0dd2-547d-891d-601e9b38647f"),
            ("services", "foo", "2933fbcc-9d7c-54a7-a984-fe2bde836cea"),
            ("consumers", "bobo", "a331738c-d6d9-595e-a2cf-9cad8a78d622"),
        ];
        for (entity, key, id) in rows {
            assert_eq!(of_key(entity, key).to_string(), id, "{entity} {key}");
        }
    }

    #[test]
    fn nameless_ones_are_told_apart_by_what_they_refer_to() {
        let id = Uuid::from_u128(7);
        assert_eq!(key_of_nameless(&[Some(id)], None, 1), format!("{id}:1"));
        assert_eq!(key_of_nameless(&[None, Some(id), None], Some("cors"), 0), format!(":{id}::cors:0"));
    }
}
