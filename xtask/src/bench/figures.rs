//! From rounds to figures: quartiles of ratios, what was wanted, and the file in `bench/results`.

use std::fs;

use serde_json::{Value, json};

use crate::Failure;
use crate::bench::load::Round;
use crate::program::root;

/// The lower quartile, the median and the upper quartile, between values where they fall between.
pub(super) fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|part| {
        let place = part * (sorted.len().max(1) - 1) as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        match (sorted.get(below), sorted.get(above)) {
            (Some(low), Some(high)) => low + (high - low) * place.fract(),
            _ => f64::NAN,
        }
    })
}

pub(super) fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    quartiles(rounds.iter().map(of))[1]
}

/// Quartiles of the ratios of neighbouring rounds.
pub(super) fn ratios(ours: &[Round], other: &[Round], of: impl Fn(&Round) -> f64) -> [f64; 3] {
    quartiles(ours.iter().zip(other).map(|(ours, other)| of(ours) / of(other)))
}

/// What the rounds of one side say.
pub(super) fn side(rounds: &[Round]) -> Value {
    json!({
        "cpu_us": median(rounds, |r| r.cpu),
        "user_us": median(rounds, |r| r.user),
        "kernel_us": median(rounds, |r| r.kernel),
        "p99_us": median(rounds, |r| r.p99),
        "rounds": rounds.iter().map(|r| json!({"requests": r.requests, "cpu_us": r.cpu})).collect::<Vec<_>>(),
    })
}

pub(super) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    model.map(|(_, name)| name.to_owned()).unwrap_or_default()
}

/// The outcome of one measurement.
pub(crate) struct Report {
    name: &'static str,
    figures: Vec<Figure>,
    details: Value,
}

struct Figure {
    what: String,
    value: f64,
    quartiles: Option<[f64; 3]>,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing; it stands beside the others to judge them by.
    Nothing,
}

impl Report {
    pub(crate) fn new(name: &'static str, details: Value) -> Self {
        Self { name, figures: Vec::new(), details }
    }

    /// A figure that shall be at most `wanted`.
    pub(crate) fn figure(&mut self, what: &str, value: f64, wanted: f64) {
        self.figures.push(Figure { what: what.to_owned(), value, quartiles: None, wanted: Wanted::AtMost(wanted) });
    }

    /// A ratio, by its quartiles, whose median shall be at most `wanted`.
    pub(crate) fn ratio(&mut self, what: &str, quartiles: [f64; 3], wanted: f64) {
        self.quartiles(what, quartiles, Wanted::AtMost(wanted));
    }

    /// A ratio, by its quartiles, whose median shall be at least `wanted`.
    pub(crate) fn ratio_at_least(&mut self, what: &str, quartiles: [f64; 3], wanted: f64) {
        self.quartiles(what, quartiles, Wanted::AtLeast(wanted));
    }

    /// A ratio that is told for comparison.
    pub(crate) fn told(&mut self, what: &str, quartiles: [f64; 3]) {
        self.quartiles(what, quartiles, Wanted::Nothing);
    }

    fn quartiles(&mut self, what: &str, quartiles: [f64; 3], wanted: Wanted) {
        self.figures.push(Figure { what: what.to_owned(), value: quartiles[1], quartiles: Some(quartiles), wanted });
    }

    /// Prints the figures, and keeps them if they are those of this checkout.
    pub(crate) fn finish(self, keep: bool) -> Result<(), Failure> {
        println!("{}", self.name);
        for figure in &self.figures {
            let spread = figure.quartiles.map(|[low, _, high]| format!(" ({low:.3} to {high:.3})")).unwrap_or_default();
            let verdict = if figure.met() { "met" } else { "MISSED" };
            let wanted = match figure.wanted {
                Wanted::AtMost(most) => format!("wanted <= {most:<7} {verdict}"),
                Wanted::AtLeast(least) => format!("wanted >= {least:<7} {verdict}"),
                Wanted::Nothing => String::new(),
            };
            println!("  {:<58} {:>9.3}{spread:<18}  {wanted}", figure.what, figure.value);
        }
        if !keep {
            return Ok(());
        }
        let figures = self.figures.iter().map(|figure| {
            let mut told =
                json!({"what": figure.what, "value": figure.value, "quartiles": figure.quartiles, "met": figure.met()});
            match figure.wanted {
                Wanted::AtMost(most) => told["wanted_at_most"] = most.into(),
                Wanted::AtLeast(least) => told["wanted_at_least"] = least.into(),
                Wanted::Nothing => told["met"] = Value::Null,
            }
            told
        });
        let report = json!({
            "processor": processor(),
            "figures": figures.collect::<Vec<_>>(),
            "details": self.details,
        });
        write(self.name, &report)
    }
}

impl Figure {
    /// A figure that is no number meets nothing.
    fn met(&self) -> bool {
        match self.wanted {
            Wanted::AtMost(most) => self.value <= most,
            Wanted::AtLeast(least) => self.value >= least,
            Wanted::Nothing => true,
        }
    }
}

/// Keeps a report as `bench/results/NAME.json`.
pub(crate) fn write(name: &str, report: &Value) -> Result<(), Failure> {
    let folder = root().join("bench/results");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(report)? + "\n")?;
    println!("written to bench/results/{name}.json");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::quartiles;

    #[test]
    fn quartiles_lie_between() {
        assert_eq!(quartiles([3.0, 1.0, 2.0, 5.0, 4.0].into_iter()), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles([1.0, 2.0].into_iter()), [1.25, 1.5, 1.75]);
        assert!(quartiles(std::iter::empty())[1].is_nan());
    }
}
