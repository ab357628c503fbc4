//! What requests come to, over random sequences of requests, answers, time, purges and reloads, beside a model that
//! has no cache (I-99 to I-103).
//!
//! The model keeps every answer that the authorization server gave, forever, and judges a request by the answer that
//! the cache says it used: would a request that got this very answer from the server come to the same, and was it
//! still one that may be used?

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::config::Limits;
use crate::profile::Lease;
use crate::{Call, ClientAuth, Config, ManualClock, Requirement};

const NOW: u64 = 1_700_000_000_000;
const TOKENS: [&str; 3] = ["a", "b", "c"];
const MAX_LIFETIME: u64 = 70_000;
const NEGATIVE_TTL: u64 = 5_000;

/// Two that ask the same in the same way, and six that differ from them in one thing each (I-100).
fn introspectors() -> [Config; 8] {
    let config = |endpoint: &str| Config::new(endpoint).unwrap();
    let plain = || config("https://as.example/").client_auth(ClientAuth::none("id"));
    let name = http::HeaderName::from_static("x-tenant");
    [
        plain(),
        plain().timeout(Duration::from_secs(3)),
        config("https://as.example/other").client_auth(ClientAuth::none("id")),
        config("https://as.example/").client_auth(ClientAuth::none("other")),
        plain().token_type_hint("access_token"),
        plain().parameter("tenant", "x"),
        plain().header(name, http::HeaderValue::from_static("x")),
        plain().accept(http::HeaderValue::from_static("application/jwt")),
    ]
}

/// Callers: who asks, for how long an answer may be reused in seconds, which scope is demanded, and the leeway.
const CALLERS: [(usize, u64, &str, u64); 10] = [
    (0, 60, "read", 0),
    (0, 10, "write", 0),
    (1, 0, "read", 0),
    (1, 30, "read", 20),
    (2, 60, "read", 0),
    (3, 60, "read", 0),
    (4, 60, "read", 0),
    (5, 60, "read", 0),
    (6, 60, "read", 0),
    (7, 60, "read", 0),
];

/// What the authorization server says about a token.
#[derive(Debug, Clone, Copy)]
struct Word {
    active: bool,
    /// Seconds after [`NOW`].
    exp: Option<u64>,
    scope: &'static str,
}

#[derive(Debug, Clone)]
enum Step {
    /// The server changes its mind.
    Say {
        token: usize,
        word: Word,
    },
    /// A request; a miss asks the server and stores at once, or leaves the answer in the air.
    Request {
        caller: usize,
        token: usize,
        slow: bool,
    },
    /// An answer in the air arrives.
    Land {
        flight: usize,
    },
    Pass {
        millis: u64,
    },
    TurnWall {
        seconds: i64,
    },
    Purge {
        token: Option<usize>,
    },
    /// New introspectors over the same cache; the old ones go before or after.
    Reload {
        overlap: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let word =
        (any::<bool>(), proptest::option::of(0..120u64), prop_oneof![Just("read"), Just("read write"), Just("")])
            .prop_map(|(active, exp, scope)| Word { active, exp, scope });
    prop_oneof![
        3 => (0..TOKENS.len(), word).prop_map(|(token, word)| Step::Say { token, word }),
        10 => (0..CALLERS.len(), 0..TOKENS.len(), any::<bool>())
            .prop_map(|(caller, token, slow)| Step::Request { caller, token, slow }),
        3 => (0..8usize).prop_map(|flight| Step::Land { flight }),
        3 => (0..40_000u64).prop_map(|millis| Step::Pass { millis }),
        1 => (-50..50i64).prop_map(|seconds| Step::TurnWall { seconds }),
        1 => proptest::option::of(0..TOKENS.len()).prop_map(|token| Step::Purge { token }),
        1 => any::<bool>().prop_map(|overlap| Step::Reload { overlap }),
    ]
}

/// A call under way, or made.
#[derive(Debug, Clone, Copy)]
struct Flight {
    /// Its answer carries it as `jti`.
    number: u64,
    asker: usize,
    token: usize,
    word: Word,
    generation: u64,
}

/// An answer that came.
struct Given {
    flight: Flight,
    at: u64,
    /// Whether no purge came between its call and it.
    may_be_stored: bool,
}

struct World {
    cache: Arc<Cache>,
    clock: Arc<ManualClock>,
    max_bytes: u64,
    leases: Vec<Lease>,
    words: [Word; TOKENS.len()],
    calls: u64,
    air: Vec<Flight>,
    /// Every answer that ever came, in that order.
    given: Vec<Given>,
    /// Per asker and token, the first active one of `given` that may still be used: an inactive answer and a purge
    /// end the use of all before.
    floor: HashMap<(usize, usize), usize>,
    /// The same for inactive ones, which a purge alone ends.
    negative_floor: HashMap<(usize, usize), usize>,
}

/// Introspectors that share answers count as one.
fn asker(caller: usize) -> usize {
    CALLERS[caller].0.max(1)
}

fn leases(cache: &Arc<Cache>) -> Vec<Lease> {
    let lease = |config: Config| -> Lease {
        let (inputs, limits): (Inputs, Limits) = config.into_inputs().unwrap();
        Lease::take(cache.profile(inputs), limits)
    };
    introspectors().map(lease).into()
}

fn answer(flight: &Flight) -> Arc<Answer> {
    let Word { active, exp, scope } = flight.word;
    if !active {
        return Answer::inactive();
    }
    let exp = exp.map_or(String::new(), |exp| format!(",\"exp\":{}", NOW / 1000 + exp));
    let json = format!("{{\"active\":true,\"scope\":\"{scope}\",\"jti\":\"{}\"{exp}}}", flight.number);
    Arc::new(Answer::from_json(json.as_bytes()).unwrap())
}

impl World {
    fn new(max_bytes: usize) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let cache = Cache::new(CacheConfig {
            max_bytes,
            max_entry_bytes: 1024,
            max_lifetime: Duration::from_millis(MAX_LIFETIME),
            negative_bytes: max_bytes,
            negative_ttl: Duration::from_millis(NEGATIVE_TTL),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: None,
        });
        Self {
            leases: leases(&cache),
            cache,
            clock,
            max_bytes: max_bytes as u64,
            words: [Word { active: true, exp: None, scope: "read" }; TOKENS.len()],
            calls: 0,
            air: Vec::new(),
            given: Vec::new(),
            floor: HashMap::new(),
            negative_floor: HashMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Say { token, word } => self.words[token] = word,
            Step::Request { caller, token, slow } => self.request(caller, token, slow),
            Step::Land { flight } if flight < self.air.len() => self.land(flight),
            Step::Land { .. } => {}
            Step::Pass { millis } => self.clock.advance(Duration::from_millis(millis)),
            Step::TurnWall { seconds } => {
                self.clock.set_wall(self.clock.wall().saturating_add_signed(seconds * 1000));
            }
            Step::Purge { token } => {
                self.cache.purge(&token.map_or(Purge::All, |token| Purge::Token(TOKENS[token])));
                for (asker, other) in (0..CALLERS.len()).flat_map(|asker| (0..TOKENS.len()).map(move |t| (asker, t))) {
                    if token.is_none_or(|token| token == other) {
                        self.floor.insert((asker, other), self.given.len());
                        self.negative_floor.insert((asker, other), self.given.len());
                    }
                }
            }
            Step::Reload { overlap: true } => self.leases = leases(&self.cache),
            Step::Reload { overlap: false } => {
                self.leases.clear();
                self.leases = leases(&self.cache);
            }
        }
        let stats = self.cache.stats();
        assert!(stats.positive_bytes <= self.max_bytes && stats.negative_bytes <= self.max_bytes); // I-103
    }

    fn key(&self, introspector: usize, token: usize) -> Key {
        self.leases[introspector].profile.key_of(&Call::new(TOKENS[token]))
    }

    fn request(&mut self, caller: usize, token: usize, slow: bool) {
        let (introspector, ttl, ..) = CALLERS[caller];
        if let Some(hit) = self.cache.lookup(&self.key(introspector, token), Duration::from_secs(ttl)) {
            return self.judge(caller, token, &hit);
        }
        let (asker, generation) = (asker(caller), self.cache.generation());
        // A flight that began since the last purge is joined.
        let joined = |other: &Flight| (other.asker, other.token, other.generation) == (asker, token, generation);
        if !self.air.iter().any(joined) {
            self.air.push(Flight { number: self.calls, asker, token, word: self.words[token], generation });
            self.calls += 1;
        }
        if !slow && let Some(place) = self.air.iter().position(joined) {
            self.land(place);
        }
    }

    fn land(&mut self, place: usize) {
        let flight = self.air.remove(place);
        let answer = answer(&flight);
        let ended = !answer.active() || answer.expires() <= self.clock.wall();
        let Flight { asker, token, generation, .. } = flight;
        let fill = Fill {
            key: self.key(asker, token),
            profile: self.leases[asker].profile.fingerprint,
            token: TOKENS[token],
            digest: self.cache.token_digest(TOKENS[token]),
            generation,
        };
        self.cache.store(&fill, &answer);
        let may_be_stored = generation == self.cache.generation();
        if ended {
            self.floor.insert((asker, token), self.given.len());
        }
        self.given.push(Given { flight, at: self.clock.monotonic(), may_be_stored });
    }

    fn judge(&self, caller: usize, token: usize, hit: &Hit) {
        let (_, ttl, scope, leeway) = CALLERS[caller];
        let (now, wall) = (self.clock.monotonic(), self.clock.wall());
        let limit = if ttl == 0 { u64::MAX } else { ttl * 1000 };
        let requirement = Requirement::default().scopes([scope]).leeway(Duration::from_secs(leeway));
        let verdict = requirement.check(&hit.answer, wall);

        let floor = if hit.negative { &self.negative_floor } else { &self.floor };
        let floor = floor.get(&(asker(caller), token)).copied().unwrap_or(0);
        let of_mine = |given: &&Given| (given.flight.asker, given.flight.token) == (asker(caller), token);
        let mut usable = self.given[floor..].iter().filter(of_mine).filter(|given| given.may_be_stored);
        // I-91, I-100, I-102: the answer came to the same asker about the same token, and nothing ended it since.
        let given = if hit.negative {
            usable.rfind(|given| !given.flight.word.active)
        } else {
            let number: u64 = hit.answer.jti().unwrap().parse().unwrap();
            usable.find(|given| given.flight.number == number)
        };
        let given = given.expect("an answer that may be used");

        // I-99
        assert_eq!(verdict, requirement.check(&answer(&given.flight), wall), "another outcome than without a cache");
        // I-101
        let age = now - given.at;
        assert!(age <= limit, "older than the ttl of its reader");
        if hit.negative {
            assert!(age < NEGATIVE_TTL);
        } else {
            assert!(given.flight.word.exp.is_none_or(|exp| wall < NOW + exp * 1000), "used at or after exp");
            // I-103
            assert!(given.flight.word.exp.is_some() || age <= MAX_LIFETIME, "kept without end");
        }
    }
}

proptest! {
    #[test]
    fn outcomes_are_those_without_a_cache(
        steps in proptest::collection::vec(step(), 1..120),
        max_bytes in prop_oneof![Just(256 * 1024), Just(4 * 1024)],
    ) {
        let mut world = World::new(max_bytes);
        for step in steps {
            world.take(step);
        }
    }
}
