//! `cargo xtask contract`: which numbers of the contracts tests cite, and which of the resolved issues' none cites.
//!
//! A test cites by a comment that begins with the numbers: `// I-17` or `// K-14, S-20`. Ranges are refused, since
//! nobody can tell which of their numbers a test really proves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::Failure;
use crate::program::{root, tracked};

/// A letter (the contract) and a number.
type Item = (char, u32);

pub(crate) fn run() -> Result<(), Failure> {
    let (cited, ranges) = cited()?;
    for (contract, title) in [('I', "introspection"), ('K', "Kong"), ('S', "security cases"), ('A', "servers")] {
        let of_it: Vec<String> =
            cited.iter().filter(|((c, _), _)| *c == contract).map(|((c, n), times)| show(*c, *n, *times)).collect();
        println!("{title}: {} cited\n  {}", of_it.len(), of_it.join(" "));
    }
    for (name, wanted) in lists()? {
        let missing: Vec<&Item> = wanted.iter().filter(|item| !cited.contains_key(item)).collect();
        let shown: Vec<String> = missing.iter().map(|(c, n)| format!("{c}-{n}")).collect();
        println!("{name}: {} of {} cited; by no test: {}", wanted.len() - missing.len(), wanted.len(), shown.join(" "));
    }
    if ranges.is_empty() { Ok(()) } else { Err(format!("ranges are no citation:\n{}", ranges.join("\n")).into()) }
}

fn show(contract: char, number: u32, times: usize) -> String {
    if times == 1 { format!("{contract}-{number}") } else { format!("{contract}-{number}({times})") }
}

/// Every cited number with the count of its citations, and the lines that cite a range.
fn cited() -> Result<(BTreeMap<Item, usize>, Vec<String>), Failure> {
    let (mut cited, mut ranges) = (BTreeMap::new(), Vec::new());
    for path in tracked()?.into_iter().filter(|path| path.ends_with(".rs") && !path.starts_with("xtask/")) {
        let text = fs::read_to_string(root().join(&path))?;
        let mut in_tests = path.contains("/tests/") || path.ends_with("/tests.rs");
        for (index, line) in text.lines().enumerate() {
            in_tests |= line.trim_start().starts_with("#[cfg(test)]");
            match citation(line) {
                _ if !in_tests => {}
                Citation::None => {}
                Citation::Items(items) => items.into_iter().for_each(|item| *cited.entry(item).or_insert(0) += 1),
                Citation::Range => ranges.push(format!("{path}:{}: {}", index + 1, line.trim())),
            }
        }
    }
    Ok((cited, ranges))
}

/// The numbers that each file of `xtask/contract` lists, one file per resolved issue.
fn lists() -> Result<Vec<(String, BTreeSet<Item>)>, Failure> {
    let mut lists = Vec::new();
    for entry in fs::read_dir(root().join("xtask/contract"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let items = words.map(|word| item(word).map(|(item, _)| item).ok_or_else(|| format!("{path:?}: {word}")));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        lists.push((name, items.collect::<Result<_, _>>()?));
    }
    lists.sort();
    Ok(lists)
}

#[derive(Debug, PartialEq)]
enum Citation {
    None,
    Items(Vec<Item>),
    Range,
}

/// Reads the comment at the end of a line, or the line that is one.
fn citation(line: &str) -> Citation {
    let comment = line.rsplit_once("// ").filter(|(before, _)| !before.ends_with('/'));
    let Some(mut rest) = comment.map(|(_, comment)| comment.trim()) else { return Citation::None };
    let mut items = Vec::new();
    while let Some((found, after)) = item(rest) {
        items.push(found);
        if is_range(after) {
            return Citation::Range;
        }
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
    }
    if items.is_empty() { Citation::None } else { Citation::Items(items) }
}

/// Whether what follows a number says "up to": a dash, dots or `to`, then another number.
fn is_range(after: &str) -> bool {
    let after = after.trim_start();
    let last = after.strip_prefix("to ").unwrap_or_else(|| after.trim_start_matches(['-', '–', '.', '…']));
    last.len() < after.len() && (item(last.trim_start()).is_some() || last.trim_start().starts_with(char::is_numeric))
}

/// One number at the beginning of `text`, and what follows it.
fn item(text: &str) -> Option<(Item, &str)> {
    let contract = text.chars().next().filter(|c| "IKSA".contains(*c))?;
    let digits = text[1..].strip_prefix('-')?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse().ok()?;
    let rest = &digits[end..];
    (!rest.starts_with(char::is_alphanumeric)).then_some(((contract, number), rest))
}

#[cfg(test)]
mod tests {
    use super::{Citation, citation};

    #[test]
    fn comments_cite() {
        let items = |items: &[(char, u32)]| Citation::Items(items.to_vec());
        for (line, expected) in [
            ("    // I-17", items(&[('I', 17)])),
            ("    check(\"x\"); // K-14, S-20", items(&[('K', 14), ('S', 20)])),
            ("// I-34: the server judges the token", items(&[('I', 34)])),
            ("// see I-17", Citation::None),
            ("// I-41 - why a 400 is neutral", items(&[('I', 41)])),
            ("/// I-17", Citation::None),
            ("let url = \"http://I-17\";", Citation::None),
            ("// I-2..I-10", Citation::Range),
            ("// K-14 to K-26", Citation::Range),
            ("// I-31–I-43", Citation::Range),
        ] {
            assert_eq!(citation(line), expected, "{line}");
        }
    }
}
