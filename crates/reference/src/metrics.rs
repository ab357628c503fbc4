//! `docs/metrics.md`: every metric, as an empty gateway writes it.

use crate::markdown::{GENERATED, code, table};
use crate::{Failure, Page, read};
use portcullis_proxy::telemetry::Metrics;

/// One metric, as Prometheus is told of it.
#[derive(Debug, PartialEq)]
struct Metric {
    name: String,
    kind: String,
    help: String,
}

pub(crate) fn page() -> Result<Page, Failure> {
    let rows = all().into_iter().map(|metric| {
        let names: Vec<String> = metric.series().iter().map(|name| code(name)).collect();
        [names.join(" "), metric.kind, metric.help]
    });
    let text = read("docs/metrics.prose.md")?
        .trim_start()
        .replace("{{metrics}}\n", &table(["series", "type", "meaning"], rows));
    Ok(Page { path: "docs/metrics.md".into(), text: format!("{GENERATED}{text}") })
}

/// The names that a query may use.
pub(crate) fn series() -> Vec<String> {
    all().iter().flat_map(Metric::series).collect()
}

fn all() -> Vec<Metric> {
    parse(&Metrics::new(1).encode())
}

impl Metric {
    /// Counters and histograms are asked for under longer names than their own.
    fn series(&self) -> Vec<String> {
        let endings: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        endings.iter().map(|ending| format!("{}{ending}", self.name)).collect()
    }
}

/// Reads the descriptors: `# HELP name text` and `# TYPE name kind`, in this order.
fn parse(text: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            metrics.push(Metric { name: name.into(), kind: String::new(), help: help.into() });
        }
        if let (Some((_, kind)), Some(last)) =
            (line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')), metrics.last_mut())
        {
            last.kind = kind.into();
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn every_metric_has_name_kind_and_help() {
        let metrics = all();
        assert!(metrics.len() >= 16, "{metrics:?}");
        for metric in metrics {
            assert!(metric.name.starts_with("portcullis_") && metric.help.ends_with('.'), "{metric:?}");
            assert!(["counter", "gauge", "histogram", "info"].contains(&metric.kind.as_str()), "{metric:?}");
        }
    }
}
