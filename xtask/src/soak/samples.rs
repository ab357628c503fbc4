//! What the gateway holds, over time.

use std::fs;
use std::time::Instant;

use crate::Failure;

#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    at: Instant,
    /// Bytes.
    pub(super) resident: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
}

impl Sample {
    pub(super) fn of(process: u32) -> Result<Self, Failure> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let number = |name: &str| -> Result<u64, Failure> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("a line of /proc is missing")?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
        };
        Ok(Self {
            at: Instant::now(),
            resident: number("VmRSS:")? * 1024,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
            threads: number("Threads:")?,
        })
    }
}

/// Bytes per minute by which memory grows: the line of least squares.
pub(super) fn slope(samples: &[Sample]) -> f64 {
    let Some(first) = samples.first() else { return f64::NAN };
    let points = samples.iter().map(|sample| ((sample.at - first.at).as_secs_f64() / 60.0, sample.resident as f64));
    line(&points.collect::<Vec<_>>())
}

fn line(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x_mean, y_mean) =
        (points.iter().map(|(x, _)| x).sum::<f64>() / count, points.iter().map(|(_, y)| y).sum::<f64>() / count);
    let together: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    together / points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_through_points() {
        assert_eq!(line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(line(&[(0.0, 4.0), (1.0, 4.0), (2.0, 4.0)]), 0.0);
        assert!(line(&[(1.0, 1.0)]).is_nan());
    }
}
