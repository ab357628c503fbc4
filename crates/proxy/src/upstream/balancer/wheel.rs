//! Turns by weight: a list in which each place stands as often as its weight says, spread evenly.

/// Longest list for a few places; many have four turns each at least. Weights that would need more are rounded.
const TURNS: u64 = 8192;

/// The turns of places `0..weights.len()`; those without weight have none.
pub(super) fn turns(weights: &[u16]) -> Box<[u32]> {
    let shares = shares(weights);
    let mut turns: Vec<(u64, u32)> = Vec::with_capacity(shares.iter().sum::<u64>() as usize);
    for (place, share) in (0..).zip(shares) {
        // The middles of as many equal parts of one round as it has turns.
        turns.extend((0..share).map(|turn| (((2 * turn + 1) << 32) / (2 * share), place)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

/// Turns per round: the smallest that have the weights' proportions, or nearly those where that would be too many.
fn shares(weights: &[u16]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let exact: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) / divisor).collect();
    let total: u64 = exact.iter().sum();
    let most = TURNS.max(4 * weights.len() as u64);
    if total <= most {
        return exact;
    }
    let scaled = |share: u64| if share == 0 { 0 } else { ((share * most + total / 2) / total).max(1) };
    exact.into_iter().map(scaled).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn evenly_spread() {
        assert_eq!(*turns(&[100, 100, 100]), [0, 1, 2]);
        assert_eq!(*turns(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(*turns(&[0, 7]), [1]);
        assert_eq!(turns(&[]).len(), 0);
    }

    proptest! {
        #[test]
        fn as_often_as_the_weights_say(weights in prop::collection::vec(0..=u16::MAX, 1..40)) {
            let turns = turns(&weights);
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (place, weight) in weights.iter().enumerate() {
                let had = turns.iter().filter(|turn| **turn as usize == place).count();
                let due = f64::from(*weight) * turns.len() as f64 / total.max(1.0);
                prop_assert!((had as f64 - due).abs() <= 1.5 + due * 0.02, "{place}: {had} of {due}");
                prop_assert!((*weight > 0) == (had > 0));
            }
        }

        /// No place waits for much longer than its share says.
        #[test]
        fn no_place_waits_long(weights in prop::collection::vec(1..50u16, 2..8)) {
            let turns = turns(&weights);
            for place in 0..weights.len() {
                let at: Vec<usize> = (0..turns.len()).filter(|turn| turns[*turn] as usize == place).collect();
                let fair = turns.len().div_ceil(at.len());
                let longest = at.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0);
                prop_assert!(longest <= 2 * fair + weights.len(), "{place} of {weights:?} waits {longest}");
            }
        }
    }
}
