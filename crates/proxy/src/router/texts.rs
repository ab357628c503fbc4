//! Regular expressions by a text that all their matches contain.
//!
//! A thousand expressions at one place (`/[a-z]+/orders/\d+` and its like) are not tried one after the other: one pass
//! over the path finds the texts in it, and only the expressions that need one of them are tried. The pass needs no
//! scratch memory, its automaton grows with the texts alone, and a path made to upset it costs what trying all would.

use super::bucket::Place;
use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};
use std::collections::HashMap;

/// Texts of which every match of an expression contains at least one, in lower case.
pub(super) type OneOf = Vec<Box<[u8]>>;

/// A text of one byte is in nearly every path.
const SHORTEST: usize = 2;
/// Texts that one expression may be looked up by.
const MOST: usize = 16;

/// Places by the texts of their expressions.
#[derive(Debug)]
pub(super) struct Texts {
    /// Without regard to ASCII case: it may find more than agrees, and never less.
    automaton: AhoCorasick,
    /// By the number that the automaton gives a text; each in the order of the plan.
    places: Vec<Box<[Place]>>,
}

impl Texts {
    /// Takes out of `places`, which stand in the order of the plan, those that can be found by a text. `needs` is what
    /// the expression of a place needs.
    pub(super) fn take_from<'a>(places: &mut Vec<Place>, needs: impl Fn(&Place) -> &'a [OneOf]) -> Option<Self> {
        let mut uses: HashMap<&[u8], usize> = HashMap::new();
        for text in places.iter().flat_map(&needs).flatten() {
            *uses.entry(text).or_default() += 1;
        }
        let mut by_text: HashMap<&[u8], Vec<Place>> = HashMap::new();
        places.retain(|place| {
            // The texts that the fewest others need part them best, and of those the longest.
            let rarity = |one_of: &&OneOf| {
                let most_used = one_of.iter().map(|text| uses.get(&**text)).max();
                (most_used, std::cmp::Reverse(one_of.iter().map(|text| text.len()).min()))
            };
            let best = needs(place).iter().min_by_key(rarity);
            for text in best.into_iter().flatten() {
                by_text.entry(text).or_default().push(*place);
            }
            best.is_none()
        });
        let (texts, found): (Vec<&[u8]>, Vec<Box<[Place]>>) =
            by_text.into_iter().map(|(text, places)| (text, places.into())).unzip();
        if texts.is_empty() {
            return None;
        }
        match AhoCorasickBuilder::new().ascii_case_insensitive(true).build(texts) {
            Ok(automaton) => Some(Self { automaton, places: found }),
            // More texts than it can number: they are tried one after the other.
            Err(_) => {
                places.extend(found.into_iter().flatten());
                places.sort_unstable();
                places.dedup();
                None
            }
        }
    }

    /// Calls `visit` with the places of every text that is in `path`; with some more than once.
    pub(super) fn each(&self, path: &str, mut visit: impl FnMut(&[Place])) {
        for found in self.automaton.find_overlapping_iter(path) {
            visit(&self.places[found.pattern().as_usize()]);
        }
    }
}

/// The texts that every match of an expression contains: one of each element.
pub(super) fn needed(hir: &Hir) -> Vec<OneOf> {
    let mut needed = Vec::new();
    let mut run = Vec::new();
    collect(hir, &mut run, &mut needed);
    end_run(&mut run, &mut needed);
    needed
}

/// Adds what `hir` needs; `run` is the text that ends where it begins.
fn collect(hir: &Hir, run: &mut Vec<u8>, needed: &mut Vec<OneOf>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => run.extend(literal.0.iter().map(u8::to_ascii_lowercase)),
        HirKind::Class(class) => match one_letter(class) {
            Some(letter) => run.push(letter),
            None => end_run(run, needed),
        },
        HirKind::Capture(capture) => collect(&capture.sub, run, needed),
        HirKind::Concat(parts) => parts.iter().for_each(|part| collect(part, run, needed)),
        HirKind::Repetition(repetition) => {
            end_run(run, needed);
            if repetition.min > 0 {
                needed.extend(self::needed(&repetition.sub));
            }
        }
        HirKind::Alternation(branches) => {
            end_run(run, needed);
            // Of each branch the clause whose shortest text is longest; without one, nothing is needed.
            let longest = |branch| self::needed(branch).into_iter().max_by_key(shortest);
            let of_all: Option<Vec<OneOf>> = branches.iter().map(longest).collect();
            needed.extend(of_all.map(|of_all| of_all.concat()).filter(|texts| texts.len() <= MOST));
        }
    }
}

fn end_run(run: &mut Vec<u8>, needed: &mut Vec<OneOf>) {
    if run.len() >= SHORTEST {
        needed.push(vec![run.as_slice().into()]);
    }
    run.clear();
}

fn shortest(one_of: &OneOf) -> usize {
    one_of.iter().map(|text| text.len()).min().unwrap_or(0)
}

/// The letter of a class that is nothing but that letter in either case, as `(?i)` writes it.
fn one_letter(class: &Class) -> Option<u8> {
    let mut ends = match class {
        Class::Bytes(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect::<Vec<_>>(),
        // Unicode knows letters that are equal to ASCII ones but for case (the Kelvin sign), which no path has raw.
        Class::Unicode(_) => return None,
    }
    .into_iter();
    match (ends.next(), ends.next(), ends.next()) {
        (Some((upper, upper_end)), Some((lower, lower_end)), None)
            if upper == upper_end && lower == lower_end && lower.is_ascii_lowercase() =>
        {
            (upper == lower.to_ascii_uppercase()).then_some(lower)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_syntax::ParserBuilder;

    #[test]
    fn what_matches_need() {
        for (regex, wanted) in [
            (r"/[a-z]+-17/v1/\d+", "-17/v1/"),
            (r"/users/(?<id>\d+)/posts", "/users/ /posts"),
            (r"/(?i)Users/", "/users/"),
            (r"/a+b{2}(?:cd)+(?:ef)*", "cd"),
            (r"/(?:list|get)/\d", "list|get"),
            (r"/x/(?:list|\d)", "/x/"),
            (r"^/[^/]+/(orders)/$", "/orders/"),
            (r"/.*", ""),
            (r"", ""),
        ] {
            let hir = ParserBuilder::new().utf8(false).unicode(false).build().parse(regex).unwrap();
            let text = |one_of: &OneOf| {
                one_of.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>().join("|")
            };
            let found: Vec<String> = needed(&hir).iter().map(text).collect();
            assert_eq!(found.join(" "), wanted, "{regex}");
        }
    }
}
