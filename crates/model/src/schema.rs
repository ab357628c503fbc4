//! The table that describes an entity or a plugin's configuration, field by field.
//!
//! One table feeds defaults, validation, `/schemas` and the reference pages, so none of them can disagree. A table
//! is a `const`: `Field::integer("timeout").rules(&[Rule::Between(1.0, 60_000.0)]).says("…")`.

use serde_json::{Value, json};

/// One field of a record.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// Absent, or `null`, without a default to take its place is `required field missing`.
    pub required: bool,
    pub default: Default,
    pub rules: &'static [Rule],
    /// Holds a secret: never logged, redacted on request; `{vault://env/…}` is resolved in it (D14).
    pub secret: bool,
    /// One sentence for the reference page: meaning, unit, reason of the default.
    pub says: &'static str,
    /// Known, documented, but not built in this version: any value but the default is refused with this sentence.
    pub not_built: Option<&'static str>,
    /// Known and documented, but without effect: any value but the default is kept and warned about once per load,
    /// with this sentence. For what only adds convenience; what restricts access is [`Field::not_built`].
    pub ignored: Option<&'static str>,
    /// A value as it is written in YAML, for advice and the reference page; empty where the kind says it all.
    pub example: &'static str,
}

/// Shape of a value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    String,
    Number,
    Integer,
    Boolean,
    /// An ordered list.
    Array(Element),
    /// A list without order and without repetition.
    Set(Element),
    /// An object with free keys and string values.
    Map,
    /// A map whose values are lists of strings (`routes.headers`).
    MapOfArrays,
    /// An object with these fields.
    Record(&'static [Field]),
    /// A reference to an entity of this name (plural, as in the file).
    Foreign(&'static str),
}

/// Element of a list.
#[derive(Debug, Clone, Copy)]
pub struct Element {
    pub kind: ElementKind,
    pub rules: &'static [Rule],
}

/// Shape of a list element; kept apart from [`Kind`] so that tables stay `const`.
#[derive(Debug, Clone, Copy)]
pub enum ElementKind {
    String,
    Integer,
    Record(&'static [Field]),
}

/// What stands in for an absent field.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    None,
    Bool(bool),
    Int(i64),
    Number(f64),
    Str(&'static str),
    Strs(&'static [&'static str]),
    Ints(&'static [i64]),
    EmptyList,
    EmptyMap,
}

impl Default {
    /// The default as JSON; `null` when there is none.
    pub fn to_json(self) -> Value {
        match self {
            Default::None => Value::Null,
            Default::Bool(b) => json!(b),
            Default::Int(i) => json!(i),
            Default::Number(n) => json!(n),
            Default::Str(s) => json!(s),
            Default::Strs(list) => json!(list),
            Default::Ints(list) => json!(list),
            Default::EmptyList => json!([]),
            Default::EmptyMap => json!({}),
        }
    }
}

/// A condition on a value that has the right shape.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// `expected one of: a, b`.
    OneOf(&'static [&'static str]),
    /// `value should be between a and b`, both included.
    Between(f64, f64),
    /// `length must be at least n`, for strings and lists.
    MinLength(usize),
    /// Anything else: the error message, or nothing.
    Check(fn(&Value) -> Result<(), String>),
}

impl Field {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            required: false,
            default: Default::None,
            rules: &[],
            secret: false,
            says: "",
            not_built: None,
            ignored: None,
            example: "",
        }
    }
    pub const fn string(name: &'static str) -> Self {
        Self::new(name, Kind::String)
    }
    pub const fn number(name: &'static str) -> Self {
        Self::new(name, Kind::Number)
    }
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, Kind::Integer)
    }
    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, Kind::Boolean)
    }
    pub const fn array(name: &'static str, element: Element) -> Self {
        Self::new(name, Kind::Array(element))
    }
    pub const fn set(name: &'static str, element: Element) -> Self {
        Self::new(name, Kind::Set(element))
    }
    pub const fn map(name: &'static str) -> Self {
        Self::new(name, Kind::Map)
    }
    pub const fn map_of_arrays(name: &'static str) -> Self {
        Self::new(name, Kind::MapOfArrays)
    }
    pub const fn record(name: &'static str, fields: &'static [Field]) -> Self {
        Self::new(name, Kind::Record(fields))
    }
    pub const fn foreign(name: &'static str, entity: &'static str) -> Self {
        Self::new(name, Kind::Foreign(entity))
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
    pub const fn default(mut self, default: Default) -> Self {
        self.default = default;
        self
    }
    pub const fn rules(mut self, rules: &'static [Rule]) -> Self {
        self.rules = rules;
        self
    }
    pub const fn says(mut self, says: &'static str) -> Self {
        self.says = says;
        self
    }
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }
    pub const fn not_built(mut self, why: &'static str) -> Self {
        self.not_built = Some(why);
        self
    }
    pub const fn ignored(mut self, why: &'static str) -> Self {
        self.ignored = Some(why);
        self
    }
}

impl Element {
    pub const STRING: Element = Element { kind: ElementKind::String, rules: &[] };
    pub const INTEGER: Element = Element { kind: ElementKind::Integer, rules: &[] };

    pub const fn rules(mut self, rules: &'static [Rule]) -> Self {
        self.rules = rules;
        self
    }
}
