//! Text into a tree that remembers where each of its values was written.
//!
//! The one place that calls the YAML library. YAML 1.2 rules hold: `true` and `false` are the only booleans (`yes`,
//! `on` and `y` are strings), a key that stands twice is an error, anchors and merges work, JSON is read too.
//! A derive would stop at the first wrong type; a [`Node`] keeps everything, so that whoever checks it can report
//! every problem with its line and column.

use crate::problem::{Path, Place, Problem, Segment, Severity};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Options, Spanned, UserMessageFormatter};
use std::fmt;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins; for one that came by an alias, where the alias stands.
    pub place: Place,
    pub value: Content,
}

/// What a [`Node`] holds.
#[derive(Clone, PartialEq)]
pub enum Content {
    Null,
    Bool(bool),
    /// Integers stay integers.
    Number(Number),
    String(String),
    List(Vec<Node>),
    /// In the order of the text.
    Map(Vec<Member>),
}

impl fmt::Debug for Content {
    /// Without texts, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Null => f.write_str("Null"),
            Content::Bool(b) => write!(f, "Bool({b})"),
            Content::Number(n) => write!(f, "Number({n})"),
            Content::String(_) => f.write_str("String(..)"),
            Content::List(list) => f.debug_list().entries(list).finish(),
            Content::Map(map) => f.debug_list().entries(map).finish(),
        }
    }
}

/// One member of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub key: String,
    pub key_place: Place,
    pub node: Node,
}

/// Reads one document. A text that is no YAML is one problem at its place; an empty text is `null`.
pub fn parse(text: &str) -> Result<Node, Problem> {
    serde_saphyr::from_str_with_options::<Node>(text, options()).map_err(|error| {
        let place = error.location().map(|at| place(at.line(), at.column()));
        let message = error.without_snippet().render_with_formatter(&UserMessageFormatter);
        Problem { severity: Severity::Error, path: Path::root(), message: tidy(&message), hint: None, place }
    })
}

/// Limits high enough for a file with a million consumers, and low enough against aliases that multiply.
fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: 64_000_000,
            max_nodes: 32_000_000,
            max_total_scalar_bytes: 1 << 30,
            max_aliases: 1_000_000,
            // One anchor used by every service of a file is good style, not an attack; what aliases may unfold to
            // is bounded by the library's alias limits.
            enforce_alias_anchor_ratio: false,
        },
    }
}

/// The library's sentence without the place it repeats: that stands in the problem.
fn tidy(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let end = first.rfind(" at line ").unwrap_or(first.len());
    first[..end].to_owned()
}

fn place(line: u64, column: u64) -> Place {
    // The library says 0 where it does not know.
    let known = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
    Place { line: known(line), column: known(column) }
}

impl Node {
    /// The same value without places.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Bool(b) => Value::Bool(*b),
            Content::Number(n) => Value::Number(n.clone()),
            Content::String(s) => Value::String(s.clone()),
            Content::List(list) => Value::Array(list.iter().map(Node::to_json).collect()),
            Content::Map(map) => {
                let members = map.iter().map(|m| (m.key.clone(), m.node.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// The member of this name, if this is a map that has one.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|m| &m.node)
    }

    /// The members, in the order of the text; none if this is no map.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Content::Map(map) => map,
            _ => &[],
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Content::String(s) => Some(s),
            _ => None,
        }
    }

    /// Where to point for a problem at `path`: the value if it stands on one line, the key of a list or map, and
    /// for something that is missing the nearest thing around it that is there.
    pub fn place(&self, path: &Path) -> Place {
        let mut node = self;
        let mut place = self.place;
        for segment in &path.0 {
            match (segment, &node.value) {
                (Segment::Key(key), Content::Map(_)) => {
                    let Some(member) = node.member(key) else { return place };
                    node = &member.node;
                    place = if node.is_collection() { member.key_place } else { node.place };
                }
                (Segment::Index(index), Content::List(list)) => {
                    let Some(element) = list.get(*index) else { return place };
                    node = element;
                    place = node.place;
                }
                _ => return place,
            }
        }
        place
    }

    /// Where the last key of `path` stands; as [`Node::place`] if it does not end in a key that is there.
    pub fn key_place(&self, path: &Path) -> Place {
        let around = match path.0.split_last() {
            Some((Segment::Key(key), parents)) => self.find(parents).and_then(|parent| parent.member(key)),
            _ => None,
        };
        around.map_or_else(|| self.place(path), |member| member.key_place)
    }

    fn find(&self, path: &[Segment]) -> Option<&Node> {
        path.iter().try_fold(self, |node, segment| match (segment, &node.value) {
            (Segment::Key(key), _) => node.get(key),
            (Segment::Index(index), Content::List(list)) => list.get(*index),
            _ => None,
        })
    }

    fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|m| m.key == key)
    }

    fn is_collection(&self) -> bool {
        matches!(self.value, Content::List(_) | Content::Map(_))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        let at = spanned.referenced;
        Ok(Node { place: place(at.line(), at.column()), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Content, E> {
        Ok(Content::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Content, E> {
        Ok(Content::Number(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Content, E> {
        Ok(Content::Number(n.into()))
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Content, E> {
        Number::from_f64(n).map(Content::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, s: &str) -> Result<Content, E> {
        Ok(Content::String(s.to_owned()))
    }

    fn visit_string<E>(self, s: String) -> Result<Content, E> {
        Ok(Content::String(s))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Content::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = key.referenced;
            let key_place = place(at.line(), at.column());
            members.push(Member { key: key.value, key_place, node: map.next_value()? });
        }
        Ok(Content::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json_of(text: &str) -> Value {
        parse(text).unwrap_or_else(|p| panic!("{text:?}: {p}")).to_json()
    }

    #[test]
    fn scalars_are_read_by_yaml_1_2() {
        let rows = [
            ("true", json!(true)),
            ("y", json!("y")),
            ("no", json!("no")),
            ("on", json!("on")),
            ("1", json!(1)),
            ("-1", json!(-1)),
            ("8000", json!(8000)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            ("3.0", json!(3.0)),
            // A number either way; what wants text here says so.
            ("0123", json!(123.0)),
            ("1_000", json!(1000)),
            ("'1'", json!("1")),
            ("~", Value::Null),
            ("null", Value::Null),
            ("", Value::Null),
            ("# nothing\n", Value::Null),
            (r#"{"a": [1, "x", null]}"#, json!({"a": [1, "x", null]})),
            ("{\n\t\"a\": [\n\t\t1\n\t]\n}", json!({"a": [1]})),
            (r#"{"a":"\u00e4\/\ud83d\ude00\t"}"#, json!({"a": "ä/\u{1F600}\t"})),
            ("\u{FEFF}a: 1", json!({"a": 1})),
            ("1: x\ntrue: y", json!({"1": "x", "true": "y"})),
        ];
        for (text, expected) in rows {
            assert_eq!(json_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn anchors_and_merges_unfold() {
        let text = "base: &b {port: 1}\none: *b\ntwo: {<<: *b, host: x}";
        assert_eq!(json_of(text), json!({"base": {"port": 1}, "one": {"port": 1}, "two": {"host": "x", "port": 1}}));
    }

    #[test]
    fn places_point_at_what_is_written() {
        let text = "services:\n  - name: a\n    tags: [x]\n    config:\n      deep: 1\n";
        let node = parse(text).unwrap();
        let element = Path::root().key("services").index(0);
        let rows = [
            (Path::root().key("services"), (1, 1)),
            (element.clone(), (2, 5)),
            (element.key("name"), (2, 11)),
            (element.key("tags"), (3, 5)),
            (element.key("tags").index(0), (3, 12)),
            (element.key("config").key("deep"), (5, 13)),
            // Missing: the nearest that is there.
            (element.key("config").key("none"), (4, 5)),
            (element.key("host"), (2, 5)),
            (Path::root().key("nothing").index(3), (1, 1)),
        ];
        for (path, (line, column)) in rows {
            assert_eq!(node.place(&path), Place { line, column }, "{path}");
        }
        assert_eq!(node.key_place(&element.key("name")), Place { line: 2, column: 5 });
    }

    #[test]
    fn what_is_no_yaml_is_one_problem_with_its_place() {
        let rows = [
            ("a: 1\na: 2\n", "2:1: "),
            ("a: [1\nb: 2", "2:"),
            ("a: 1\n---\nb: 2\n", "3:1: "),
            ("a: *nowhere", "1:4"),
            ("? [1, 2]\n: x", "1:"),
            ("a: .inf", "1:4"),
        ];
        for (text, expected) in rows {
            let problem = parse(text).expect_err(text);
            assert!(problem.to_string().starts_with(expected), "{text:?}: {problem}");
        }
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let previous = format!("*a{}, ", i - 1).repeat(10);
            text.push_str(&format!("a{i}: &a{i} [{previous}]\n"));
        }
        assert!(parse(&text).is_err());
    }
}
