//! JSON from outside, read strictly: limits hold inside nested values too, and no name comes twice.
//!
//! Two passes over the same bytes. The first looks at every value, however deep, since a raw value is skipped
//! unchecked; the second takes the top-level members as they stand.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Cause;

/// What one JSON document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Levels of objects and arrays; the document itself is the first.
    pub depth: usize,
    /// Members of all objects together.
    pub members: usize,
}

/// The members of the one object that `text` is, in their order, values verbatim.
pub(crate) fn object<'a>(text: &'a [u8], limits: Limits) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Cause> {
    let count = Cell::new(0);
    let defect = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let survey = Survey { limits, depth: 0, count: &count, defect: &defect };
    if deserializer.deserialize_any(survey).and_then(|()| deserializer.end()).is_err() {
        return Err(defect.take().unwrap_or(Cause::NotJson));
    }
    let members: Members<'a> =
        serde_json::from_slice(text).map_err(|_| Cause::Shape("the document is no JSON object"))?;
    Ok(members.0)
}

/// Walks a whole value, keeps nothing but counts.
#[derive(Clone, Copy)]
struct Survey<'s> {
    limits: Limits,
    depth: usize,
    count: &'s Cell<usize>,
    defect: &'s Cell<Option<Cause>>,
}

impl Survey<'_> {
    fn deeper<E: serde::de::Error>(mut self) -> Result<Self, E> {
        self.depth += 1;
        if self.depth > self.limits.depth { Err(self.broken(Cause::Depth(self.limits.depth))) } else { Ok(self) }
    }

    fn broken<E: serde::de::Error>(&self, cause: Cause) -> E {
        self.defect.set(Some(cause));
        E::custom("refused")
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Survey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Survey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            self.count.set(self.count.get() + 1);
            if self.count.get() > self.limits.members {
                return Err(self.broken(Cause::Members(self.limits.members)));
            }
            if !names.insert(name) {
                return Err(self.broken(Cause::Shape("a member name comes twice")));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A member name without its escapes, borrowed where it has none.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                if members.len() > usize::from(u16::MAX) {
                    Err(A::Error::custom("refused"))
                } else {
                    Ok(Members(members))
                }
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
