//! Secrets in configurations: written as they are, or as a reference that is resolved at load.
//!
//! `{vault://env/my-name}` in a field that holds a secret stands for the environment variable `MY_NAME`. Entities
//! and plans keep the reference; whoever builds a plugin [`resolve`]s it. Nothing prints a resolved value, and
//! [`mask`] takes out those that were written down.

use crate::problem::{Path, Problems};
use crate::schema::{ElementKind, Field, Kind};
use serde_json::Value;

/// What is printed in place of a secret.
pub const MASK: &str = "<secret>";

/// What to write instead of a reference that is none.
const REFERENCE: &str = "use {vault://env/my-name}";

/// Whether a text is a reference to a secret, rather than a secret: `{vault://…}`.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

/// Puts what `lookup` finds in the environment in the place of every reference in the secret fields of `config`,
/// which has been completed from `fields`. Paths of the problems are relative to `config`; messages name the
/// variable, never a value.
pub fn resolve(fields: &[Field], config: &Value, lookup: impl Fn(&str) -> Option<String>) -> Result<Value, Problems> {
    let mut problems = Problems::new();
    let resolved = rewrite(fields, config, &Path::root(), &mut |text, path| {
        let variable = match variable(text)? {
            Ok(variable) => variable,
            Err(message) => {
                problems.error_hint(path.clone(), message, REFERENCE);
                return None;
            }
        };
        let found = lookup(&variable);
        if found.is_none() {
            problems.error_hint(
                path.clone(),
                format!("could not find {text}: the environment variable {variable} is not set"),
                format!("set {variable}, or write the secret itself"),
            );
        }
        found
    });
    if problems.has_errors() { Err(problems) } else { Ok(resolved) }
}

/// `config` with every secret that is written down in it replaced by [`MASK`]; references stay, they give nothing
/// away.
pub fn mask(fields: &[Field], config: &Value) -> Value {
    rewrite(fields, config, &Path::root(), &mut |text, _| {
        (!is_reference(text) && !text.is_empty()).then(|| MASK.to_owned())
    })
}

/// Whether a text may stand where it stands, and is to be checked as the text it is. A reference is not: its rules
/// would judge the reference and not the secret. In a field that holds no secret it would reach other systems
/// as it is written, so it is an error there.
pub(crate) fn is_allowed(secret: bool, text: &str, path: &Path, problems: &mut Problems) -> bool {
    let Some(variable) = variable(text) else { return true };
    match variable {
        Err(message) => problems.error_hint(path.clone(), message, REFERENCE),
        Ok(_) if !secret => problems.error_hint(
            path.clone(),
            "a reference to a secret is not read in this field",
            "only fields that hold a secret take {vault://env/…}",
        ),
        Ok(_) => {}
    }
    false
}

/// The environment variable that a reference names: `my-name` is `MY_NAME`. `None` if the text is no reference.
fn variable(text: &str) -> Option<Result<String, String>> {
    let inner = text.strip_prefix("{vault://")?.strip_suffix('}')?;
    let Some(name) = inner.strip_prefix("env/") else {
        let vault = inner.split('/').next().unwrap_or(inner);
        return Some(Err(format!("vault '{vault}' is not supported")));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Some(Err("a reference is made of letters, digits, '-' and '_'".to_owned()));
    }
    Some(Ok(name.to_ascii_uppercase().replace('-', "_")))
}

/// `config` with every text of a secret field replaced by what `change` makes of it, if anything.
fn rewrite(
    fields: &[Field],
    config: &Value,
    path: &Path,
    change: &mut impl FnMut(&str, &Path) -> Option<String>,
) -> Value {
    let mut config = config.clone();
    let Some(members) = config.as_object_mut() else { return config };
    for field in fields {
        let Some(value) = members.get_mut(field.name) else { continue };
        let path = path.key(field.name);
        match field.kind {
            Kind::Record(inner) => *value = rewrite(inner, value, &path, &mut *change),
            Kind::Array(element) | Kind::Set(element) if let ElementKind::Record(inner) = element.kind => {
                for (i, one) in value.as_array_mut().into_iter().flatten().enumerate() {
                    *one = rewrite(inner, one, &path.index(i), &mut *change);
                }
            }
            _ if field.secret => rewrite_texts(value, &path, change),
            _ => {}
        }
    }
    config
}

fn rewrite_texts(value: &mut Value, path: &Path, change: &mut impl FnMut(&str, &Path) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(changed) = change(text, path) {
                *text = changed;
            }
        }
        Value::Array(list) => {
            list.iter_mut().enumerate().for_each(|(i, one)| rewrite_texts(one, &path.index(i), change));
        }
        Value::Object(map) => {
            map.iter_mut().for_each(|(key, one)| rewrite_texts(one, &path.key(key.as_str()), change));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Element;
    use serde_json::json;

    const INNER: &[Field] = &[Field::string("password").secret(), Field::string("user")];
    const TABLE: &[Field] = &[
        Field::string("url"),
        Field::string("key").secret(),
        Field::map("headers").secret(),
        Field::array("keys", Element::STRING).secret(),
        Field::record("login", INNER),
        Field::array("logins", Element { kind: ElementKind::Record(INNER), rules: &[] }),
    ];

    fn lookup(name: &str) -> Option<String> {
        (name == "MY_KEY").then(|| "s3cret".to_owned())
    }

    fn everywhere(text: &str) -> Value {
        json!({
            "url": "u", "key": text, "headers": {"x": text}, "keys": [text, null],
            "login": {"password": text, "user": "me"}, "logins": [{"password": text, "user": "me"}],
        })
    }

    #[test]
    fn references_are_resolved_in_secret_fields_alone() {
        let found = resolve(TABLE, &everywhere("{vault://env/my-key}"), lookup).unwrap();
        assert_eq!(found, everywhere("s3cret"));
        assert_eq!(resolve(TABLE, &everywhere("as it is"), lookup).unwrap(), everywhere("as it is"));
        let elsewhere = json!({"url": "{vault://env/my-key}"});
        assert_eq!(resolve(TABLE, &elsewhere, lookup).unwrap(), elsewhere);
    }

    #[test]
    fn one_that_cannot_be_resolved_is_refused_by_field() {
        let config = json!({"key": "{vault://env/none}", "logins": [{"password": "{vault://hcv/x}"}]});
        let problems = resolve(TABLE, &config, lookup).unwrap_err();
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "key: could not find {vault://env/none}: the environment variable NONE is not set; set NONE, or write the secret itself",
                "logins[0].password: vault 'hcv' is not supported; use {vault://env/my-name}",
            ]
        );
    }

    #[test]
    fn masks_hide_secrets_and_show_references() {
        assert_eq!(mask(TABLE, &everywhere("s3cret")), everywhere(MASK));
        let references = everywhere("{vault://env/my-key}");
        assert_eq!(mask(TABLE, &references), references);
    }
}
