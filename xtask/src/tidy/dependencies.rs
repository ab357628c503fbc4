//! Arrows between our crates, licences of the others, and crates that must not be built.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Failure;
use crate::program::{command, output};

/// Which of our crates may name which: the arrows of ARCHITECTURE.md. `portcullis` may name all but the test equipment.
const ARROWS: &[(&str, &[&str])] = &[
    ("portcullis-introspection", &[]),
    ("portcullis-model", &[]),
    ("portcullis-testkit", &[]),
    ("portcullis-store", &["portcullis-model"]),
    ("portcullis-plugins", &["portcullis-model", "portcullis-introspection"]),
    ("portcullis-proxy", &["portcullis-model", "portcullis-plugins"]),
    ("portcullis-admin", &["portcullis-model", "portcullis-plugins", "portcullis-store"]),
    (
        "portcullis",
        &[
            "portcullis-introspection",
            "portcullis-model",
            "portcullis-store",
            "portcullis-plugins",
            "portcullis-proxy",
            "portcullis-admin",
        ],
    ),
    (
        "portcullis-reference",
        &["portcullis-introspection", "portcullis-model", "portcullis-plugins", "portcullis-proxy"],
    ),
    ("xtask", &[]),
];

/// A development dependency that any crate may have.
const TEST_EQUIPMENT: &str = "portcullis-testkit";

/// Licences that a dependency may come under.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
];

/// Crates that must not be in what is built, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "rustls with aws-lc-rs is the one TLS stack"),
    ("openssl-sys", "rustls with aws-lc-rs is the one TLS stack"),
    ("native-tls", "rustls with aws-lc-rs is the one TLS stack"),
    ("ring", "aws-lc-rs is the one crypto provider"),
    ("rsa", "not constant-time (RUSTSEC-2023-0071)"),
    ("serde_yml", "unsound (RUSTSEC-2025-0068)"),
];

pub(super) fn arrows() -> Result<Vec<String>, Failure> {
    let metadata = metadata(&["--no-deps"])?;
    let ours = list(&metadata, "packages");
    let names: BTreeSet<&str> = ours.iter().map(|package| text(package, "name")).collect();
    let mut problems = Vec::new();
    for package in ours {
        let name = text(package, "name");
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            problems.push(format!("{name}: no arrows are written down for this crate (xtask/src/tidy)"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let to = text(dependency, "name");
            let for_tests = text(dependency, "kind") == "dev" && to == TEST_EQUIPMENT;
            if names.contains(to) && !allowed.contains(&to) && !for_tests && to != name {
                problems.push(format!("{name} must not name {to}: no arrow leads there"));
            }
        }
    }
    Ok(problems)
}

/// Checks what is built for this machine: a lock file also names optional crates that nobody switches on.
pub(super) fn licences_and_bans() -> Result<Vec<String>, Failure> {
    let built = built()?;
    let metadata = metadata(&[])?;
    let mut problems = Vec::new();
    for package in list(&metadata, "packages") {
        let (name, version) = (text(package, "name"), text(package, "version"));
        if !built.contains(&format!("{name} {version}")) {
            continue;
        }
        if !allowed(text(package, "license")) {
            let licence = text(package, "license");
            problems.push(format!("{name} {version}: licence `{licence}` is not on the list (xtask/src/tidy)"));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            problems.push(format!("{name} {version} is built, but banned: {why}"));
        }
    }
    Ok(problems)
}

/// `name version` of every package that this workspace builds here, features resolved.
fn built() -> Result<BTreeSet<String>, Failure> {
    let tree = ["tree", "--workspace", "--locked", "--edges", "all", "--prefix", "none", "-f", "{p}"];
    let listed = output(&mut command("cargo", &tree))?;
    let packages = listed.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    });
    Ok(packages.collect())
}

fn metadata(args: &[&str]) -> Result<Value, Failure> {
    let mut metadata = command("cargo", &["metadata", "--format-version", "1", "--locked"]);
    Ok(serde_json::from_str(&output(metadata.args(args))?)?)
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Whether an SPDX expression can be satisfied from the list: `OR` needs one side, `AND` both. The old `/` means `OR`.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    either(&mut words) && words.is_empty()
}

fn either(words: &mut &[&str]) -> bool {
    let mut holds = both(words);
    while let Some(("OR", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        holds |= both(words);
    }
    holds
}

fn both(words: &mut &[&str]) -> bool {
    let mut holds = one(words);
    while let Some(("AND", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        holds &= one(words);
    }
    holds
}

fn one(words: &mut &[&str]) -> bool {
    let Some((word, rest)) = words.split_first() else { return false };
    *words = rest;
    if *word == "(" {
        let holds = either(words);
        *words = words.get(1..).unwrap_or_default();
        return holds;
    }
    if let Some(("WITH", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        // An exception only permits more.
        *words = rest.get(1..).unwrap_or_default();
    }
    LICENCES.contains(word)
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn licence_expressions() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("ISC AND (GPL-2.0 OR Apache-2.0)", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("LGPL-2.1", false),
            ("", false),
        ] {
            assert_eq!(allowed(expression), expected, "{expression}");
        }
    }
}
