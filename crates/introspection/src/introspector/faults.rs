//! An authorization server that fails, to the millisecond: it is a script, and time stands still until nobody has
//! anything left to do. What it says runs through everything but the HTTP client.

mod script;

use script::{ACTIVE, Act, INACTIVE, check};

/// Everybody who waits for the call ends with it, whenever they came; then it is asked anew.
// I-39, I-89
#[test]
fn says_nothing() {
    check(
        &[Act::Silent, Act::Says(5, 200, ACTIVE)],
        &[(0, "a"), (1500, "a"), (1999, "a"), (2001, "a")],
        "
               0 a?
               0 server is asked about a
            1500 a?
            1999 a?
            2000 a: as_timeout, again in 5 s
            2000 a: as_timeout, again in 5 s
            2000 a: as_timeout, again in 5 s
            2001 a?
            2001 server is asked about a
            2006 a: active
                 active: 1; as_timeout: 1; cached: 1 + 0
        ",
    );
}

// I-89
#[test]
fn is_slow_but_in_time() {
    check(
        &[Act::Says(1990, 200, ACTIVE)],
        &[(0, "a"), (1000, "a"), (1995, "a"), (61_990, "a"), (61_991, "a")],
        "
                0 a?
                0 server is asked about a
             1000 a?
             1990 a: active
             1990 a: active
             1995 a?
             1995 a: active
            61990 a?
            61990 a: active
            61991 a?
            61991 server is asked about a
            63981 a: active
                  active: 2; cached: 1 + 0
        ",
    );
}

/// Nothing of a failure is stored; the next request asks again.
// I-36, I-43
#[test]
fn fails_and_comes_back() {
    check(
        &[Act::Says(10, 500, ACTIVE), Act::Refuses(0), Act::Says(10, 200, "<html>"), Act::Says(10, 200, ACTIVE)],
        &[(0, "a"), (5, "a"), (100, "a"), (200, "a"), (300, "a"), (400, "a")],
        "
              0 a?
              0 server is asked about a
              5 a?
             10 a: as_status, again in 5 s
             10 a: as_status, again in 5 s
            100 a?
            100 server is asked about a
            100 a: as_unreachable, again in 5 s
            200 a?
            200 server is asked about a
            210 a: as_bad_answer, again in 5 s
            300 a?
            300 server is asked about a
            310 a: active
            400 a?
            400 a: active
                active: 1; as_unreachable: 1; as_status: 1; as_bad_answer: 1; cached: 1 + 0
        ",
    );
}

// I-37, I-43
#[test]
fn throttles() {
    check(
        &[Act::Throttles(10, "17"), Act::Throttles(10, "3600"), Act::Says(10, 200, ACTIVE)],
        &[(0, "a"), (100, "a"), (200, "a")],
        "
              0 a?
              0 server is asked about a
             10 a: as_throttled, again in 17 s
            100 a?
            100 server is asked about a
            110 a: as_throttled, again in 60 s
            200 a?
            200 server is asked about a
            210 a: active
                active: 1; as_throttled: 2; cached: 1 + 0
        ",
    );
}

/// Inside a body, too: what came of it was no answer.
#[test]
fn breaks_off() {
    check(
        &[Act::Breaks(300), Act::Breaks(5000), Act::Says(10, 200, ACTIVE)],
        &[(0, "a"), (1000, "a"), (4000, "a")],
        "
               0 a?
               0 server is asked about a
             300 a: as_unreachable, again in 5 s
            1000 a?
            1000 server is asked about a
            3000 a: as_timeout, again in 5 s
            4000 a?
            4000 server is asked about a
            4010 a: active
                 active: 1; as_unreachable: 1; as_timeout: 1; cached: 1 + 0
        ",
    );
}

/// Sent once more, within the same limit.
// I-10
#[test]
fn has_closed_a_kept_connection() {
    check(
        &[
            Act::IsStale(0),
            Act::Says(10, 200, ACTIVE),
            Act::IsStale(0),
            Act::IsStale(0),
            Act::IsStale(1500),
            Act::Silent,
        ],
        &[(0, "a"), (100, "b"), (1000, "c")],
        "
               0 a?
               0 server is asked about a
               0 server is asked about a
              10 a: active
             100 b?
             100 server is asked about b
             100 server is asked about b
             100 b: as_unreachable, again in 5 s
            1000 c?
            1000 server is asked about c
            2500 server is asked about c
            3000 c: as_timeout, again in 5 s
                 active: 1; as_unreachable: 1; as_timeout: 1; cached: 1 + 0
        ",
    );
}

/// A token that was not known is asked about again after 5 s.
// I-87
#[test]
fn does_not_know_a_token_yet() {
    check(
        &[Act::Says(10, 200, INACTIVE), Act::Says(10, 200, ACTIVE)],
        &[(0, "a"), (5009, "a"), (5010, "a"), (6000, "a")],
        "
               0 a?
               0 server is asked about a
              10 a: inactive
            5009 a?
            5009 a: inactive
            5010 a?
            5010 server is asked about a
            5020 a: active
            6000 a?
            6000 a: active
                 active: 1; inactive: 1; cached: 1 + 0
        ",
    );
}

/// An answer that is known serves until its time is over, outage or not; nothing stale is served.
// I-86
#[test]
fn fails_while_answers_are_known() {
    check(
        &[Act::Says(10, 200, ACTIVE), Act::Says(10, 503, ""), Act::Says(10, 200, ACTIVE)],
        &[(0, "a"), (59_000, "a"), (60_009, "a"), (60_010, "a"), (60_011, "a"), (62_000, "a")],
        "
                0 a?
                0 server is asked about a
               10 a: active
            59000 a?
            59000 a: active
            60009 a?
            60009 a: active
            60010 a?
            60010 a: active
            60011 a?
            60011 server is asked about a
            60021 a: as_status, again in 5 s
            62000 a?
            62000 server is asked about a
            62010 a: active
                  active: 2; as_status: 1; cached: 1 + 0
        ",
    );
}

/// Two calls at once and one that waits for them: it has its own time, and the others are told at once.
// I-90
#[test]
fn says_nothing_to_many() {
    check(
        &[Act::Silent, Act::Silent, Act::Says(10, 200, ACTIVE)],
        &[(0, "a"), (500, "b"), (1000, "c"), (1001, "d"), (1500, "c"), (2600, "d")],
        "
               0 a?
               0 server is asked about a
             500 b?
             500 server is asked about b
            1000 c?
            1001 d?
            1001 d: as_busy, again in 5 s
            1500 c?
            2000 a: as_timeout, again in 5 s
            2000 server is asked about c
            2010 c: active
            2010 c: active
            2500 b: as_timeout, again in 5 s
            2600 d?
            2600 server is asked about d
            2610 d: active
                 active: 2; as_timeout: 2; cached: 2 + 0
        ",
    );
}
