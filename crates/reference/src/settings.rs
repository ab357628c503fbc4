//! `docs/settings.md`: every key of `examples/portcullis.yaml`, which explains each in the comment above it.

use crate::Page;
use crate::markdown::{GENERATED, code};

/// The keys, in the order of the file.
pub(crate) struct Keys {
    /// Comment at the top of the file.
    introduction: String,
    keys: Vec<Key>,
}

#[derive(Debug, Default, PartialEq)]
struct Key {
    /// `introspection.cache.bytes`.
    path: String,
    /// As the example writes it; empty where keys follow below.
    example: String,
    says: String,
    /// Stands in a list, and so has no name in the environment.
    in_list: bool,
}

impl Keys {
    pub(crate) fn read(text: &str) -> Self {
        let mut comment: Vec<&str> = Vec::new();
        let mut introduction = String::new();
        let mut keys: Vec<Key> = Vec::new();
        // Indentation and name of the keys that the line stands in, and whether that is a list.
        let mut parents: Vec<(usize, String, bool)> = Vec::new();
        for line in text.lines() {
            let bare = line.trim_start();
            if bare.is_empty() {
                if keys.is_empty() && introduction.is_empty() {
                    introduction = paragraphs(&std::mem::take(&mut comment));
                }
                continue;
            }
            // A key that the example leaves out stands in a comment: `# ca_certificates: …`.
            let left_out = bare
                .strip_prefix("# ")
                .filter(|rest| rest.split_once(": ").is_some_and(|(key, _)| key.contains('_') && is_key(key)));
            if let (Some(words), None) = (bare.strip_prefix('#'), left_out) {
                comment.push(words.trim());
                continue;
            }
            let item = bare.starts_with("- ");
            let indent = line.len() - bare.len() + if item { 2 } else { 0 };
            let Some((name, value)) = left_out.unwrap_or(bare).trim_start_matches("- ").split_once(':') else {
                continue;
            };
            parents.retain(|(at, _, _)| *at < indent);
            if let Some(parent) = parents.last_mut() {
                parent.2 |= item;
            }
            let path: Vec<&str> = parents.iter().map(|(_, name, _)| name.as_str()).chain([name]).collect();
            keys.push(Key {
                path: path.join("."),
                example: value.trim().to_owned(),
                says: paragraphs(&std::mem::take(&mut comment)),
                in_list: parents.iter().any(|(_, _, list)| *list),
            });
            if value.trim().is_empty() {
                parents.push((indent, name.to_owned(), false));
            }
        }
        Self { introduction, keys }
    }

    pub(crate) fn page(&self) -> Page {
        let mut text = format!("{GENERATED}# Settings\n\n{}\n", self.introduction);
        for key in &self.keys {
            let heading = if key.path.contains('.') { "###" } else { "##" };
            text += &format!("\n{heading} `{}`\n\n{}\n", key.path, key.says);
            if !key.example.is_empty() {
                let name = key.path.rsplit('.').next().unwrap_or_default();
                text += &format!("\nExample: {}", code(&format!("{name}: {}", key.example)));
                // Lists stand in the file alone.
                if !key.in_list && !key.example.starts_with('[') {
                    text += &format!(" · Environment: {}", code(&variable(&key.path)));
                }
                text.push('\n');
            }
        }
        Page { path: "docs/settings.md".into(), text }
    }

    pub(crate) fn knows(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key.path == path)
    }
}

fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn variable(path: &str) -> String {
    format!("PORTCULLIS_{}", path.replace('.', "_").to_ascii_uppercase())
}

fn paragraphs(lines: &[&str]) -> String {
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn keys_are_found_with_their_comments() {
        let keys = Keys::read(
            "# All.\n\n# Few\n# words.\nworkers: 4\nlimits:\n  # One.\n  head: 1\nservers:\n- endpoint: a\n  # Left out.\n  # ca_file: b\n  last: c\n",
        );
        let paths: Vec<&str> = keys.keys.iter().map(|key| key.path.as_str()).collect();
        assert_eq!(
            paths,
            ["workers", "limits", "limits.head", "servers", "servers.endpoint", "servers.ca_file", "servers.last"]
        );
        assert_eq!((keys.introduction.as_str(), keys.keys[0].says.as_str()), ("All.", "Few\nwords."));
        assert!(keys.keys[5].in_list && keys.keys[5].says == "Left out." && !keys.keys[2].in_list);
    }
}
