//! Entities as their users write them: Kong's names, defaults and units.
//!
//! Each has a table of fields, which checks and completes what was written, and a type, which is read from the
//! completed value and cannot be wrong any more.

pub mod ca_certificate;
pub mod certificate;
pub mod consumer;
pub mod health;
mod hosts;
mod names;
mod paths;
pub(crate) mod pem;
pub mod plugin;
pub mod route;
pub mod service;
pub mod sni;
pub mod target;
pub mod upstream;

pub use ca_certificate::CaCertificate;
pub use certificate::Certificate;
pub use consumer::Consumer;
pub use hosts::host_match;
pub use paths::normalize as normalize_path;
pub use plugin::Plugin;
pub use route::Route;
pub use service::Service;
pub use sni::Sni;
pub use target::Target;
pub use upstream::Upstream;

use crate::problem::{Path, Problems};
use crate::schema::Field;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A whole configuration, each list in the order in which it was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Entities {
    pub ca_certificates: Vec<CaCertificate>,
    pub certificates: Vec<Certificate>,
    pub snis: Vec<Sni>,
    pub upstreams: Vec<Upstream>,
    pub targets: Vec<Target>,
    pub services: Vec<Service>,
    pub routes: Vec<Route>,
    pub consumers: Vec<Consumer>,
    pub plugins: Vec<Plugin>,
}

/// A foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub id: Uuid,
}

/// What there is to know of a kind of entity.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Plural, as in files and addresses: `services`.
    pub name: &'static str,
    /// Field by which an entity is called when not by its id; `id` where there is none.
    pub key: &'static str,
    pub fields: &'static [Field],
    /// Checks what holds between fields, of a value that has been completed without errors.
    pub check: fn(&Map<String, Value>, &Path, &mut Problems),
}

/// Nothing holds between the fields.
fn nothing_more(_: &Map<String, Value>, _: &Path, _: &mut Problems) {}

/// Whether a field asks for nothing.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}
