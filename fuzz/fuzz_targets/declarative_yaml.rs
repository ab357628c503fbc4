//! A declarative file: read, and then it makes a plan, or refused with a problem; never a panic, never both.
#![no_main]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis_introspection::CacheConfig;
use portcullis_model::formats::declarative;
use portcullis_model::lower::lower;
use portcullis_plugins::Env;
use portcullis_plugins::env::EnvSettings;
use portcullis_plugins::registry::Registry;
use tokio::runtime::{Builder, Runtime};

fuzz_target!(|text: &str| {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(registry);
    let loaded = declarative::read(text, &*REGISTRY);
    assert_eq!(loaded.entities.is_none(), loaded.problems.has_errors(), "read and refused at once");
    if let Some(entities) = &loaded.entities {
        lower(entities, &*REGISTRY);
    }
});

/// The plugins of a gateway. Reading a file makes no call, so their runtime is never driven.
fn registry() -> Registry {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without drivers"));
    Registry::new(Arc::new(Env::new(EnvSettings {
        runtime: RUNTIME.handle().clone(),
        cache: CacheConfig::default(),
        concurrent_calls: None,
        queued_calls: None,
        authorization_servers: Vec::new(),
        body_tokens: true,
        variables: HashMap::new(),
    })))
}
