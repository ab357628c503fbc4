//! What the workspace is built from.

use std::fs;

/// Names of every package that the lock file knows.
fn packages() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    let lock = fs::read_to_string(path).expect("the lock file");
    let name = |line: &str| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned);
    lock.lines().filter_map(name).collect()
}

// I-15
#[test]
fn no_rsa_that_is_not_constant_time() {
    let packages = packages();
    assert!(packages.iter().any(|name| name == "aws-lc-rs"), "the lock file was read");
    assert!(packages.iter().all(|name| name != "rsa"), "RUSTSEC-2023-0071 has no fix");
}
