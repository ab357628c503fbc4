//! HTTP/1 messages that two servers could read differently, and what a gateway may make of each.
//!
//! The cases follow the ideas of public corpora (http-desync-guardian, Http11Probe, smugglex) in our own words. They
//! stand in `corpus/http1.json`: `request` is text in which a character stands for the byte of its number, or a list
//! of such texts and of `[times, text]`. Every request is sent with [`CANARY`] right behind it, so that a gateway
//! that ends the request elsewhere shows it.

mod exchange;
mod recorder;

pub use exchange::{Outcome, exchange};
pub use recorder::{Recorder, Seen};

use serde_json::Value;

/// The request behind every case; the connection ends with its answer.
pub const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// One message and what may become of it.
#[derive(Debug)]
pub struct Case {
    /// What it is about, such as `length`.
    pub group: String,
    /// Unique within the group.
    pub name: String,
    pub request: Vec<u8>,
    pub want: Want,
    /// What the upstream gets of it, request by request: `METHOD TARGET|BODY`.
    pub seen: Vec<String>,
    /// Why this is right, where it is not plain.
    pub why: Option<String>,
}

/// What a gateway may make of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// An error by its head; not a byte goes to the upstream, and the connection ends.
    Refuse,
    /// The upstream gets what the case says, and the canary behind it.
    Forward,
    /// The upstream gets what the case says, and the connection ends with the answer.
    ForwardAndClose,
    /// An error by its body: the upstream gets no whole request of it, and the connection ends.
    Cut,
}

impl Case {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../../corpus/http1.json")).expect("JSON");
        cases.iter().map(Self::read).collect()
    }

    fn read(case: &Value) -> Self {
        let text = |member: &str| case[member].as_str().map(str::to_owned);
        let name = text("name").expect("a name");
        let want = match case["want"].as_str() {
            Some("refuse") => Want::Refuse,
            Some("forward") => Want::Forward,
            Some("forward-and-close") => Want::ForwardAndClose,
            Some("cut") => Want::Cut,
            other => panic!("{name}: nothing is known of {other:?}"),
        };
        let seen = case["seen"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            group: text("group").expect("a group"),
            request: bytes(&case["request"]),
            want,
            seen: seen.iter().map(|one| one.as_str().expect("text").to_owned()).collect(),
            why: text("why"),
            name,
        }
    }

    /// What is wrong with what became of it; empty if nothing is.
    pub fn problems(&self, outcome: &Outcome) -> Vec<String> {
        let mut problems = Vec::new();
        let (whole, parts): (Vec<&Seen>, Vec<&Seen>) = outcome.seen.iter().partition(|seen| seen.complete);
        let mut wanted = self.seen.clone();
        if self.want == Want::Forward {
            wanted.push("GET /canary|".to_owned());
        }
        let found: Vec<String> = whole.iter().map(|seen| seen.text()).collect();
        if found != wanted {
            problems.push(format!("the upstream got {found:?} instead of {wanted:?}"));
        }
        if !parts.is_empty() && self.want != Want::Cut {
            problems.push(format!("the upstream got half of {parts:?}"));
        }
        let faults: Vec<&String> = outcome.seen.iter().flat_map(|seen| &seen.faults).collect();
        if !faults.is_empty() {
            problems.push(format!("what the upstream got is not in strict form: {faults:?}"));
        }
        let error = |status: &u16| (400..600).contains(status);
        let fine = match self.want {
            Want::Refuse => outcome.statuses.len() == 1 && outcome.statuses.iter().all(error),
            // An upstream's connection may break before there is an answer; a late body may find the head answered.
            Want::Cut => outcome.statuses.len() <= 1 && outcome.statuses.iter().all(error),
            Want::Forward | Want::ForwardAndClose => outcome.statuses == vec![200; wanted.len()],
        };
        if !fine {
            problems.push(format!("the client got {:?}", outcome.statuses));
        }
        if !outcome.closed {
            problems.push("the connection stays open".to_owned());
        }
        problems
    }
}

/// The bytes that a case's text stands for.
fn bytes(request: &Value) -> Vec<u8> {
    let plain = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect::<Vec<u8>>();
    match request {
        Value::String(text) => plain(text),
        Value::Array(pieces) => pieces.iter().flat_map(piece).collect(),
        other => panic!("no request: {other}"),
    }
}

fn piece(piece: &Value) -> Vec<u8> {
    match piece {
        Value::Array(repeated) => bytes(&repeated[1]).repeat(repeated[0].as_u64().expect("a number") as usize),
        text => bytes(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The recorder itself, asked without a gateway: what is not strict does not pass unseen.
    #[test]
    fn the_recorder_notes_what_is_not_strict() {
        let recorder = Recorder::start();
        let faults = |group: &str, name: &str| {
            let case = Case::all().into_iter().find(|case| case.group == group && case.name == name).expect("a case");
            let outcome = exchange(&case, recorder.addr(), &recorder, usize::MAX);
            outcome.seen.iter().flat_map(|seen| seen.faults.clone()).collect::<Vec<_>>().join("; ")
        };
        for (group, name, fault) in [
            ("length and encoding", "length first", "with encoding"),
            ("length", "two that differ", "length ["),
            ("length", "underscore in the name", "some take for content-length"),
            ("encoding", "folded onto the next line", "the field line"),
            ("fields", "bare CR in the value", "a bare CR"),
            ("host", "two alike", "2 hosts"),
            ("chunks", "extension", "the chunk size"),
            ("trailers", "one", "the trailer"),
            ("request line", "two spaces behind the method", "the request line"),
        ] {
            let found = faults(group, name);
            assert!(found.contains(fault), "{group}, {name}: {found:?}");
        }
    }
}
