//! Files: not too long, and free of places that exist on one machine only.

use std::fs;

use crate::Failure;
use crate::program::{root, tracked};

/// Lines of one source file, tests not counted. Above it a file holds more than one thing.
const MOST_LINES: usize = 800;

/// Texts that point at somebody's machine or at one package host; written in halves, since this file is searched too.
const PLACES: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/tmp", "/h/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("registry.npm", "js.org"),
    ("registry.yarn", "pkg.com"),
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("files.python", "hosted.org"),
    ("\"resol", "ved\":"),
];

pub(super) fn sizes() -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for path in tracked()? {
        if !path.ends_with(".rs") || path.contains("/tests/") || path.ends_with("/tests.rs") {
            continue;
        }
        let text = fs::read_to_string(root().join(&path))?;
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > MOST_LINES {
            problems.push(format!("{path}: {lines} lines without tests, at most {MOST_LINES}: split it by its nouns"));
        }
    }
    Ok(problems)
}

pub(super) fn places() -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for path in tracked()? {
        // Files that are no text have no lines to show.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (index, line) in text.lines().enumerate() {
            for (first, second) in PLACES {
                let place = [*first, *second].concat();
                if line.contains(&place) {
                    problems.push(format!("{path}:{}: names `{place}`, a place of one machine or host", index + 1));
                }
            }
        }
    }
    Ok(problems)
}
