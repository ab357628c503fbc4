use proptest::prelude::*;

use super::*;
use crate::{Call, ClientAuth, Config, ManualClock};

const NOW: u64 = 1_700_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    cache: Arc<Cache>,
    clock: Arc<ManualClock>,
    profile: Arc<Profile>,
}

fn bench(change: impl FnOnce(&mut CacheConfig)) -> Bench {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut config = CacheConfig { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..CacheConfig::default() };
    change(&mut config);
    let cache = Cache::new(config);
    let profile = cache.profile(inputs("https://as.example/"));
    Bench { cache, clock, profile }
}

fn inputs(endpoint: &str) -> Inputs {
    Config::new(endpoint).unwrap().client_auth(ClientAuth::none("id")).into_inputs().unwrap().0
}

impl Bench {
    fn key(&self, token: &str) -> Key {
        self.profile.key_of(&Call::new(token))
    }

    fn store(&self, token: &str, json: &str) {
        self.store_from(token, json, self.cache.generation());
    }

    fn store_from(&self, token: &str, json: &str, generation: u64) {
        let answer = Arc::new(Answer::from_json(json.as_bytes()).unwrap());
        let digest = self.cache.token_digest(token);
        let fill = Fill { key: self.key(token), profile: self.profile.fingerprint, token, digest, generation };
        self.cache.store(&fill, &answer);
    }

    /// `Some(true)`: an active answer, `Some(false)`: an inactive one.
    fn get(&self, token: &str, ttl: Duration) -> Option<bool> {
        let hit = self.cache.lookup(&self.key(token), ttl)?;
        assert_eq!(hit.negative, !hit.answer.active());
        assert_eq!(hit.token, self.cache.token_digest(token));
        Some(hit.answer.active())
    }
}

const ACTIVE: &str = r#"{"active":true}"#;
const INACTIVE: &str = r#"{"active":false}"#;

#[test]
fn the_reader_decides_how_old_is_too_old() {
    // I-86, S-10
    let bench = bench(|_| {});
    bench.store("t", ACTIVE);
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(bench.get("t", Duration::from_secs(30)), Some(true));
    assert_eq!(bench.get("t", Duration::from_secs(29)), None);
    assert_eq!(bench.get("t", MINUTE), Some(true));
    assert_eq!(bench.get("t", Duration::MAX), Some(true)); // I-84
    let CacheStats { hits, misses, .. } = bench.cache.stats();
    assert_eq!((hits, misses), (3, 1)); // I-96
}

#[test]
fn lifetimes_follow_the_table() {
    // I-82, I-83, S-7
    let day = Duration::from_secs(24 * 60 * 60);
    let bench = bench(|_| {});
    bench.store("with", &format!("{{\"active\":true,\"exp\":{}}}", NOW / 1000 + 100_000));
    bench.store("without", ACTIVE);
    bench.store("far", r#"{"active":true,"exp":1e18}"#); // I-148, S-9
    bench.clock.advance(day);
    assert_eq!(["with", "without", "far"].map(|token| bench.get(token, Duration::ZERO)), [Some(true); 3]);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(["with", "without", "far"].map(|token| bench.get(token, Duration::ZERO)), [Some(true), None, None]);
    assert_eq!(bench.get("far", day * 2), None);
    bench.clock.advance(Duration::from_secs(13_599));
    assert_eq!(bench.get("with", Duration::ZERO), None);
    assert_eq!(bench.get("with", day * 30), None);
}

#[test]
fn expiry_counts_on_every_hit() {
    // I-24, I-101, S-8
    let bench = bench(|_| {});
    for (token, exp, expected) in [("past", -1, None), ("now", 0, None), ("soon", 1, Some(true))] {
        bench.store(token, &format!("{{\"active\":true,\"exp\":{}}}", NOW as i64 / 1000 + exp));
        assert_eq!(bench.get(token, MINUTE * 10), expected, "{token}");
    }
    bench.clock.set_wall(NOW + 999);
    assert_eq!(bench.get("soon", MINUTE), Some(true));
    bench.clock.set_wall(NOW + 1000);
    assert_eq!(bench.get("soon", MINUTE), None);
}

#[test]
fn ages_do_not_follow_the_wall_clock() {
    // I-93, S-61
    let bench = bench(|_| {});
    bench.store("t", ACTIVE);
    bench.clock.set_wall(NOW - 3_600_000);
    bench.clock.advance(MINUTE);
    assert_eq!(bench.get("t", MINUTE), Some(true));
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.get("t", MINUTE), None);
}

#[test]
fn inactive_answers_are_kept_briefly() {
    // I-87
    use base64::Engine as _;
    let payload = |iat: u64| {
        let claims = format!("{{\"iat\":{iat}}}");
        format!("e30.{}.x", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
    };
    let (fresh, old) = (payload(NOW / 1000 - 9), payload(NOW / 1000 - 10));
    let bench = bench(|_| {});
    for token in ["opaque", &fresh, &old] {
        bench.store(token, INACTIVE);
        assert_eq!(bench.get(token, MINUTE), Some(false));
    }
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(["opaque", &fresh, &old].map(|token| bench.get(token, MINUTE)), [Some(false), None, Some(false)]);
    assert_eq!(bench.get("opaque", Duration::from_millis(999)), None);
    bench.clock.advance(Duration::from_millis(3_999));
    assert_eq!(bench.get("opaque", Duration::ZERO), Some(false));
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.get("opaque", Duration::ZERO), None);

    let off = self::bench(|config| config.negative_ttl = Duration::ZERO);
    off.store("t", INACTIVE);
    assert_eq!(off.get("t", MINUTE), None);
}

#[test]
fn a_later_word_replaces_an_earlier_one() {
    // I-88, I-102
    let bench = bench(|config| config.negative_ttl = Duration::ZERO);
    let expired = format!("{{\"active\":true,\"exp\":{}}}", NOW / 1000 - 1);
    for later in [INACTIVE, &expired] {
        bench.store("t", ACTIVE);
        assert_eq!(bench.get("t", MINUTE), Some(true));
        bench.store("t", later);
        assert_eq!(bench.get("t", MINUTE), None, "{later}");
    }
    // Even if its call began before a purge.
    bench.store("t", ACTIVE);
    bench.store_from("t", INACTIVE, 99);
    assert_eq!(bench.get("t", MINUTE), None);

    let bench = self::bench(|_| {});
    bench.store("t", INACTIVE);
    bench.store("t", ACTIVE); // A-26
    assert_eq!(bench.get("t", MINUTE), Some(true));
}

#[test]
fn bytes_are_bounded() {
    // I-92, I-103, S-15
    let bench = bench(|config| {
        config.max_bytes = 1024 * 1024;
        config.negative_bytes = 64 * 1024;
    });
    for number in 0..20_000 {
        bench.store(&format!("good{number}"), r#"{"active":true,"scope":"read write"}"#);
        bench.store(&format!("bad{number}"), INACTIVE);
    }
    let stats = bench.cache.stats();
    assert!(stats.positive_bytes <= 1024 * 1024 && stats.positive_bytes > 900 * 1024, "{stats:?}");
    assert!(stats.negative_bytes <= 64 * 1024 && stats.negative_entries > 300, "{stats:?}");
    assert!(stats.evictions > 30_000, "{stats:?}");
    // New tokens are the ones that matter.
    assert_eq!(bench.get("good19999", MINUTE), Some(true));
    let before = bench.cache.stats().positive_entries;
    for number in 0..20_000 {
        bench.store(&format!("flood{number}"), INACTIVE);
    }
    assert_eq!(bench.cache.stats().positive_entries, before); // I-87
}

#[test]
fn large_answers_are_served_and_not_stored() {
    // I-92; and the storage's own trap: what is heavier than a shard is dropped silently
    let large = |bytes: usize| format!("{{\"active\":true,\"x\":\"{}\"}}", "x".repeat(bytes));
    let bench = bench(|_| {});
    bench.store("fits", &large(64 * 1024 - 600));
    assert_eq!(bench.get("fits", MINUTE), Some(true));
    bench.store("t", ACTIVE);
    bench.store("t", &large(64 * 1024));
    assert_eq!(bench.get("t", MINUTE), None);
}

#[test]
fn purges_take_what_they_name() {
    // D15, I-111, A-25
    let answers = [
        ("one", r#"{"active":true,"jti":"j","sub":"s","client_id":"c"}"#),
        ("one=", r#"{"active":true,"jti":"j","sub":"s","client_id":"c"}"#),
        ("two", r#"{"active":true,"jti":"k","sub":"s","client_id":"c","username":"u","sid":"x\u0079"}"#),
        ("three", r#"{"active":true,"sub":"s","client_id":"c"}"#),
        ("three.", r#"{"active":true,"sub":"s","client_id":"c"}"#),
        ("four", r#"{"active":true,"client_id":"c"}"#),
        ("five", INACTIVE),
    ];
    let all = answers.map(|(token, _)| token);
    let bench = bench(|_| {});
    let mine = bench.profile.fingerprint;
    let other = bench.cache.profile(inputs("https://other.example/")).fingerprint;
    let rows: [(Purge<'_>, &[&str]); 12] = [
        (Purge::All, &all),
        (Purge::Profile(mine), &all),
        (Purge::Profile(other), &[]),
        (Purge::Token("one"), &["one", "one="]),
        (Purge::Token("three."), &["three", "three."]),
        (Purge::Token("four"), &["four"]),
        (Purge::Token("five"), &["five"]),
        (Purge::Jti("k"), &["two"]),
        (Purge::Sub("s"), &["one", "one=", "two", "three", "three."]),
        (Purge::ClientId("c"), &["one", "one=", "two", "three", "three.", "four"]),
        (Purge::Username("u"), &["two"]),
        (Purge::Sid("xy"), &["two"]),
    ];
    for (purge, gone) in rows {
        for (token, json) in answers {
            bench.store(token, json);
        }
        let generation = bench.cache.generation();
        assert_eq!(bench.cache.purge(&purge), gone.len() as u64, "{purge:?}");
        assert_eq!(bench.cache.generation(), generation + 1);
        for token in all {
            assert_eq!(bench.get(token, MINUTE).is_none(), gone.contains(&token), "{purge:?} {token}");
        }
    }
}

#[test]
fn what_began_before_a_purge_is_not_stored() {
    // I-91
    let bench = bench(|_| {});
    let before = bench.cache.generation();
    bench.cache.purge(&Purge::Sub("somebody else"));
    bench.store_from("t", ACTIVE, before);
    bench.store_from("u", INACTIVE, before);
    assert_eq!((bench.get("t", MINUTE), bench.get("u", MINUTE)), (None, None));
}

#[test]
fn profiles_never_share_and_equal_ones_do() {
    // I-94, I-100, S-6
    let bench = bench(|_| {});
    bench.store("t", ACTIVE);
    let other = bench.cache.profile(inputs("https://other.example/"));
    assert!(bench.cache.lookup(&other.key_of(&Call::new("t")), MINUTE).is_none());
    let same = bench.cache.profile(inputs("https://as.example/"));
    assert!(Arc::ptr_eq(&same, &bench.profile));
    drop(other);
    assert_eq!(bench.cache.profiles.lock().unwrap().len(), 1);
}

/// What happens to one of three tokens.
#[derive(Debug, Clone)]
enum Step {
    Active { token: usize, exp: Option<u64> },
    Inactive { token: usize },
    Read { token: usize, ttl: u64 },
    Pass { seconds: u64 },
    TurnWall { seconds: i64 },
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize, proptest::option::of(0..100u64)).prop_map(|(token, exp)| Step::Active { token, exp }),
        1 => (0..3usize).prop_map(|token| Step::Inactive { token }),
        5 => (0..3usize, 0..90u64).prop_map(|(token, ttl)| Step::Read { token, ttl }),
        3 => (0..40u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => (-50..50i64).prop_map(|seconds| Step::TurnWall { seconds }),
        1 => Just(Step::Purge),
    ]
}

proptest! {
    // I-99, I-101, I-102, I-103 against the plainest model there is: the last word on each token, and when it came.
    #[test]
    fn the_cache_keeps_to_its_model(steps in proptest::collection::vec(step(), 1..60)) {
        const TOKENS: [&str; 3] = ["a", "b", "c"];
        let bench = bench(|config| config.max_lifetime = Duration::from_secs(70));
        let mut words: [Option<(bool, u64, u64)>; 3] = [None; 3]; // active, exp, fetched at
        for step in steps {
            let (now, wall) = (bench.clock.monotonic(), bench.clock.wall());
            match step {
                Step::Active { token, exp } => {
                    let exp = exp.map(|exp| NOW + exp * 1000);
                    let json = exp.map_or(ACTIVE.to_owned(), |exp| format!("{{\"active\":true,\"exp\":{}}}", exp / 1000));
                    bench.store(TOKENS[token], &json);
                    if exp.is_some_and(|exp| exp <= wall) {
                        words[token] = words[token].filter(|(active, ..)| !active);
                    } else {
                        words[token] = Some((true, exp.unwrap_or(u64::MAX), now));
                    }
                }
                Step::Inactive { token } => {
                    bench.store(TOKENS[token], INACTIVE);
                    words[token] = Some((false, u64::MAX, now));
                }
                Step::Read { token, ttl } => {
                    let got = bench.get(TOKENS[token], Duration::from_secs(ttl));
                    let limit = if ttl == 0 { u64::MAX } else { ttl * 1000 };
                    let expected = words[token].filter(|&(active, exp, fetched)| match active {
                        true => wall < exp && now - fetched <= if exp == u64::MAX { limit.min(70_000) } else { limit },
                        false => now - fetched <= limit && now - fetched < 5_000,
                    });
                    prop_assert_eq!(got, expected.map(|(active, ..)| active));
                    // Found expired, it is given up for good, should the clock step back.
                    words[token] = words[token].filter(|&(active, exp, _)| !active || wall < exp);
                }
                Step::Pass { seconds } => bench.clock.advance(Duration::from_secs(seconds)),
                Step::TurnWall { seconds } => bench.clock.set_wall(wall.saturating_add_signed(seconds * 1000)),
                Step::Purge => {
                    bench.cache.purge(&Purge::All);
                    words = [None; 3];
                }
            }
        }
    }
}
