//! `cargo xtask test`: every check in rings, the quick ones first, counted together.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::program::{command, root, run as run_program};
use crate::{Failure, bench, features, generated, h2spec, install, tidy};

/// Tests of this module name run in a ring of their own, since they need node packages.
const OIDC_PROVIDER: &str = "oidc_provider";
/// And tests of this one, since a browser is larger than everything else together.
const CHROMIUM: &str = "chromium";
/// What other tests use beside them, and Debian's package of each. A test whose program is missing says so.
const PROGRAMS: [(&str, &str); 1] = [("h2load", "nghttp2-client")];

#[derive(Clone, Copy, Default)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

enum Outcome {
    Ran(Count),
    /// The ring could not run, and why.
    Skipped(String),
}

struct Ring {
    name: &'static str,
    run: fn() -> Outcome,
    /// A ring whose server or tool may not be obtainable: skipping it is never an error.
    optional: bool,
}

const RINGS: &[Ring] = &[
    Ring { name: "format", run: format, optional: false },
    Ring { name: "tidy", run: rules, optional: false },
    Ring { name: "lints", run: lints, optional: false },
    Ring { name: "docs", run: docs, optional: false },
    Ring { name: "features", run: library_features, optional: false },
    Ring { name: "generated", run: generated_pages, optional: false },
    Ring { name: "unit", run: unit, optional: false },
    Ring { name: "doc examples", run: doc_examples, optional: false },
    Ring { name: "integration and end to end", run: integration, optional: false },
    Ring { name: "oidc-provider", run: oidc_provider, optional: false },
    Ring { name: "chromium", run: chromium, optional: true },
    Ring { name: "instructions", run: instructions, optional: true },
    Ring { name: "h2spec", run: conformance, optional: true },
];

/// Runs every ring, or those that are named, on after a failure too. With `all`, a ring that had to be skipped is an
/// error.
pub(crate) fn run(all: bool, named: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = named.iter().find(|name| RINGS.iter().all(|ring| ring.name != **name)) {
        let rings: Vec<&str> = RINGS.iter().map(|ring| ring.name).collect();
        return Err(format!("there is no ring `{unknown}`; there are: {}", rings.join(", ")).into());
    }
    let mut total = Count::default();
    let mut summary = Vec::new();
    for ring in RINGS.iter().filter(|ring| named.is_empty() || named.iter().any(|name| name == ring.name)) {
        println!("==> {}", ring.name);
        let start = Instant::now();
        let said = match (ring.run)() {
            Outcome::Ran(count) => {
                total = total.plus(count);
                count.to_string()
            }
            Outcome::Skipped(why) => {
                let error = all && !ring.optional;
                total = total.plus(Count { skipped: 1, failed: error.into(), ..Count::default() });
                format!("skipped{}: {why}", if error { ", which is an error here" } else { "" })
            }
        };
        summary.push(format!("{:<28} {:>6.1} s   {said}", ring.name, start.elapsed().as_secs_f64()));
    }
    println!("\n{}\n", summary.join("\n"));
    println!("{total}");
    if total.failed == 0 {
        return Ok(());
    }
    // The count is the last line, so the failure adds no sentence of its own.
    std::process::exit(1)
}

fn format() -> Outcome {
    one(run_program(&mut command("cargo", &["fmt", "--all", "--", "--check"])))
}

fn rules() -> Outcome {
    match tidy::problems() {
        Ok(problems) => {
            problems.iter().for_each(|problem| println!("{problem}"));
            let failed = problems.len() as u64;
            Outcome::Ran(Count { passed: (failed == 0).into(), failed, skipped: 0 })
        }
        Err(failure) => one(Err(failure)),
    }
}

fn lints() -> Outcome {
    one(run_program(&mut command("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))
}

fn docs() -> Outcome {
    let mut doc = command("cargo", &["doc", "--workspace", "--no-deps", "--document-private-items"]);
    one(run_program(doc.env("RUSTDOCFLAGS", "-D warnings")))
}

fn library_features() -> Outcome {
    one(features::run(features::Package::Made))
}

fn generated_pages() -> Outcome {
    one(generated::run(true))
}

// The rings below select the whole workspace, so that features unify alike and one build serves them all.

fn unit() -> Outcome {
    Outcome::Ran(cargo_test(&["--lib", "--bins", "--examples"], &[], &[]))
}

fn doc_examples() -> Outcome {
    Outcome::Ran(cargo_test(&["--doc"], &[], &[]))
}

fn integration() -> Outcome {
    for (program, package) in PROGRAMS {
        if let Err(failure) = install::program(program, &[package]) {
            println!("{failure}");
        }
    }
    Outcome::Ran(cargo_test(&["--test", "*"], &["--skip", OIDC_PROVIDER, "--skip", CHROMIUM], &[]))
}

fn oidc_provider() -> Outcome {
    match install::npm(&root().join("crates/portcullis/tests/oidc-provider")) {
        Ok(folder) => {
            let folder = folder.display().to_string();
            Outcome::Ran(cargo_test(&["--test", "*"], &[OIDC_PROVIDER], &[("PORTCULLIS_OIDC_PROVIDER", &folder)]))
        }
        Err(failure) => Outcome::Skipped(failure.to_string()),
    }
}

fn chromium() -> Outcome {
    // A browser is too much to install for one test.
    match install::there(CHROMIUM) {
        true => Outcome::Ran(cargo_test(&["--test", "*"], &[CHROMIUM], &[])),
        false => Outcome::Skipped("the program chromium is not installed".to_owned()),
    }
}

fn instructions() -> Outcome {
    match bench::parts::check() {
        Ok(done) => one(done),
        Err(failure) => Outcome::Skipped(failure.to_string()),
    }
}

fn conformance() -> Outcome {
    if let Err(failure) = install::h2spec() {
        return Outcome::Skipped(failure.to_string());
    }
    match h2spec::measure() {
        Ok(h2spec::Found { passed, failed, skipped }) => Outcome::Ran(Count { passed, failed, skipped }),
        Err(failure) => one(Err(failure)),
    }
}

fn one(done: Result<(), Failure>) -> Outcome {
    if let Err(failure) = &done {
        println!("{failure}");
    }
    Outcome::Ran(Count { passed: done.is_ok().into(), failed: done.is_err().into(), skipped: 0 })
}

/// `cargo test` over the workspace, shown as it goes and counted by its result lines.
fn cargo_test(what: &[&str], tests: &[&str], env: &[(&str, &str)]) -> Count {
    let mut test = command("cargo", &["test", "--workspace", "--no-fail-fast"]);
    test.args(what).arg("--").args(tests).envs(env.iter().copied());
    count(&mut test).unwrap_or_else(|failure| {
        println!("{failure}");
        Count { failed: 1, ..Count::default() }
    })
}

fn count(test: &mut Command) -> Result<Count, Failure> {
    let mut child = test.stdout(Stdio::piped()).spawn()?;
    let mut count = Count::default();
    for line in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        let line = line?;
        println!("{line}");
        if let Some(found) = Count::read(&line) {
            count = count.plus(found);
        }
    }
    // A build that fails has no result line.
    let clean = child.wait()?.success();
    Ok(if clean || count.failed > 0 { count } else { Count { failed: 1, ..count } })
}

impl Count {
    /// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
    fn read(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut count = Self::default();
        for part in counts.split("; ") {
            let (number, what) = part.split_once(' ')?;
            match what {
                "passed" => count.passed = number.parse().ok()?,
                "failed" => count.failed = number.parse().ok()?,
                "ignored" => count.skipped = number.parse().ok()?,
                _ => {}
            }
        }
        Some(count)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.3s";
        assert_eq!(Count::read(line).unwrap().to_string(), "5 passed, 2 failed, 1 skipped");
        assert!(Count::read("test a ... ok").is_none());
    }
}
