//! A ring of points for consistent hashing: what is hashed goes to the next point's place, so that a place that comes
//! or goes moves only what it gets or had.

use super::hash::Hasher;
use std::net::IpAddr;

/// Points in the order of their hashes.
#[derive(Debug)]
pub(super) struct Ring(Box<[(u64, u32)]>);

impl Ring {
    /// Some `slots` points, shared by weight, one per place at least. Where a place's points are follows from its
    /// name, its port and its address alone: every gateway and every start has the same ring.
    pub(super) fn new<'a>(slots: u32, places: impl Iterator<Item = (&'a str, u16, IpAddr, u16)> + Clone) -> Self {
        let total: u64 = places.clone().map(|(.., weight)| u64::from(weight)).sum();
        let mut points = Vec::with_capacity(slots as usize);
        for (place, (host, port, address, weight)) in (0..).zip(places) {
            let share = (u64::from(slots) * u64::from(weight) / total.max(1)).max(u64::from(weight > 0));
            let mut name = Hasher::new();
            name.write(host.as_bytes());
            name.write(&port.to_be_bytes());
            match address {
                IpAddr::V4(address) => name.write(&address.octets()),
                IpAddr::V6(address) => name.write(&address.octets()),
            }
            for point in 0..share {
                let mut hasher = name;
                hasher.write(&point.to_be_bytes());
                points.push((hasher.finish(), place));
            }
        }
        points.sort_unstable();
        Self(points.into())
    }

    /// The first place from the hash onwards that may be used.
    pub(super) fn find(&self, hash: u64, mut may: impl FnMut(u32) -> bool) -> Option<u32> {
        let start = self.0.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|(_, place)| *place).find(|place| may(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(places: &[(u8, u16)]) -> Ring {
        let place = |(number, weight): &(u8, u16)| ("name", 80, IpAddr::from([10, 0, 0, *number]), *weight);
        Ring::new(10_000, places.iter().map(place))
    }

    /// The address that each of 2,000 inputs goes to.
    fn owners(places: &[(u8, u16)]) -> Vec<u8> {
        let ring = ring(places);
        (0..2000_u32).map(|input| places[ring.find(hash(input), |_| true).unwrap() as usize].0).collect()
    }

    fn hash(input: u32) -> u64 {
        let mut hasher = Hasher::new();
        hasher.write(format!("user-{input}").as_bytes());
        hasher.finish()
    }

    #[test]
    fn the_same_on_every_machine() {
        assert_eq!(owners(&[(1, 100), (2, 100), (3, 100)])[..12], [2, 3, 3, 2, 3, 2, 1, 1, 1, 1, 3, 2]);
    }

    #[test]
    fn the_next_one_when_one_may_not() {
        let ring = ring(&[(1, 100), (2, 100), (3, 100)]);
        for input in 0..500 {
            let first = ring.find(hash(input), |_| true).unwrap();
            let second = ring.find(hash(input), |place| place != first).unwrap();
            assert_ne!(first, second);
            assert_eq!(ring.find(hash(input), |place| place != first), Some(second));
        }
        assert_eq!(ring.find(0, |_| false), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn by_weight(weights in prop::collection::vec(50..200_u16, 2..8)) {
            let places: Vec<_> = (0..).zip(weights).collect();
            let owners = owners(&places);
            let total: f64 = places.iter().map(|(_, weight)| f64::from(*weight)).sum();
            for (number, weight) in &places {
                let had = owners.iter().filter(|owner| *owner == number).count() as f64;
                let due = 2000.0 * f64::from(*weight) / total;
                prop_assert!((had - due).abs() < due * 0.35 + 20.0, "{number}: {had} of {due}");
            }
        }

        /// The newcomer's share moves, and as much again at most, since the number of points is fixed: the others give
        /// some of theirs up.
        #[test]
        fn little_moves(places in 2..12_u8) {
            let before: Vec<_> = (0..places).map(|number| (number, 100)).collect();
            let after: Vec<_> = (0..=places).map(|number| (number, 100)).collect();
            let moved = owners(&before).iter().zip(owners(&after)).filter(|(a, b)| **a != *b).count();
            let share = 2000 / (usize::from(places) + 1);
            prop_assert!(moved < share * 2 + 60, "{moved} moved, {share} had to");
        }
    }
}
