use super::BadTarget::*;
use super::*;
use proptest::prelude::*;

fn check(raw: &str, wanted: Result<&str, BadTarget>) {
    let path = normalise(raw);
    assert_eq!(path.as_deref().map_err(|bad| *bad), wanted, "{raw}");
    if path.as_deref() == Ok(raw) {
        assert!(matches!(path, Ok(Cow::Borrowed(_))), "{raw} was copied");
    }
}

// K-129, S-30, S-34
#[test]
fn one_form_for_every_spelling() {
    for (raw, path) in [
        ("", "/"),
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/A/b", "/A/b"),
        ("//", "/"),
        ("///a//b//", "/a/b/"),
        ("//host/path", "/host/path"),
        ("//a/../b%7e", "/b~"),
        ("/a/./b", "/a/b"),
        ("/./a", "/a"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/../../x", "/x"),
        ("/public/../admin", "/admin"),
        ("/public/%2e%2e/admin", "/admin"),
        ("/public/%2E%2e/admin", "/admin"),
        ("/public/.%2e/admin", "/admin"),
        ("/public/%2E./admin", "/admin"),
        ("/a//../b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a..b/..c/d..", "/a..b/..c/d.."),
        ("/%61%41%30%2D%5F%7E", "/aA0-_~"),
        ("/a%20b", "/a%20b"),
        ("/%3a%3A%40", "/%3A%3A%40"),
        ("/a:b@c!$&'()*+,;=d", "/a:b@c!$&'()*+,;=d"),
        ("/%C3%a9", "/%C3%A9"),
        ("/\u{e9}", "/%C3%A9"),
        ("/{a}|\"^`<>", "/%7Ba%7D%7C%22%5E%60%3C%3E"),
    ] {
        check(raw, Ok(path));
    }
}

// S-31: an encoded slash stays one, in upper case, whichever case it came in; nothing is decoded twice.
#[test]
fn encoded_slashes_stay_encoded() {
    for (raw, path) in [
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%252fb", "/a%252fb"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/a%2F%2Fb", "/a%2F%2Fb"),
        ("/a%2F.b", "/a%2F.b"),
        ("/a%2f..b", "/a%2F..b"),
    ] {
        check(raw, Ok(path));
    }
}

// S-31, S-34, S-35
#[test]
fn what_no_path_may_hold_is_refused() {
    for (raw, bad) in [
        ("*", NotAPath),
        ("a/b", NotAPath),
        ("host:443", NotAPath),
        ("/a\\b", Byte),
        ("/a\tb", Byte),
        ("/a b", Byte),
        ("/a\0", Byte),
        ("/a\r\n", Byte),
        ("/a\u{7f}", Byte),
        ("/a#b", Byte),
        ("/a?b", Byte),
        ("/a%5cb", HiddenByte),
        ("/a%5Cb", HiddenByte),
        ("/a%00", HiddenByte),
        ("/%", Escape),
        ("/%2", Escape),
        ("/a%zz", Escape),
        ("/a%+1", Escape),
        ("/%u0041", Escape),
    ] {
        check(raw, Err(bad));
    }
}

// S-32: parameters pass as they are, but never next to two dots; nor do dots beside an encoded slash.
#[test]
fn hidden_dot_segments_are_refused() {
    for raw in [
        "/..;/admin",
        "/a/..;x=y/admin",
        "/a/%2e%2e;/admin",
        "/a/..%3b/admin",
        "/a/..%3B",
        "/fr..;/admin",
        "/..;",
        "/a/..%2fadmin",
        "/a/%2e%2e%2Fadmin",
        "/a/b%2f../c",
        "/a/b%2F..",
        "/fr..%2Fadmin",
        "/a/b%2f..;/c",
    ] {
        check(raw, Err(HiddenDots));
    }
    for raw in ["/;x/a", "/.;/a", "/a;v=1/b", "/a;/b", "/a.;b"] {
        check(raw, Ok(raw));
    }
}

// K-128: the table of kong.md 3.8, row by row, and what its text adds.
#[test]
fn upstream_paths() {
    let strip = true;
    let keep = false;
    for (service, strip, route, request, upstream) in [
        (None, strip, "/fr", "/fr", "/"),
        (None, strip, "/fr", "/fr/", "/"),
        (None, strip, "/fr", "/fr/req", "/req"),
        (None, strip, "/fr", "/freq", "/eq"),
        (Some("/"), strip, "/fr", "/fr", "/"),
        (Some("/"), strip, "/fr", "/fr/", "/"),
        (Some("/"), strip, "/fr", "/fr/req", "/req"),
        (Some("/"), strip, "/fr", "/freq", "/eq"),
        (None, keep, "/fr", "/fr/req", "/fr/req"),
        (Some("/"), keep, "/fr", "/fr/req", "/fr/req"),
        (Some("/srv"), strip, "/fr", "/fr", "/srv"),
        (Some("/srv"), strip, "/fr", "/fr/", "/srv/"),
        (Some("/srv"), strip, "/fr", "/fr/req", "/srv/req"),
        (Some("/srv"), strip, "/fr", "/freq", "/srv/eq"),
        (Some("/srv"), keep, "/fr", "/fr/req", "/srv/fr/req"),
        (Some("/srv"), keep, "/", "/", "/srv"),
        (Some("/srv/"), strip, "/fr", "/fr", "/srv"),
        (Some("/srv/"), strip, "/fr", "/fr/", "/srv/"),
        (Some("/srv/"), strip, "/fr", "/fr/req", "/srv/req"),
        (Some("/srv/"), strip, "/fr", "/freq", "/srv/eq"),
        (Some("/srv/"), keep, "/fr", "/fr/req", "/srv/fr/req"),
        (Some("/srv/"), keep, "/", "/", "/srv/"),
        // A rest that is empty, of a request that ends in a slash.
        (Some("/srv"), strip, "/ts/", "/ts/", "/srv/"),
        (Some("/srv/"), strip, "/ts/", "/ts/", "/srv/"),
        (None, strip, "/ts/", "/ts/", "/"),
        (None, strip, "/ts/", "/ts/a", "/a"),
        (Some("/srv"), strip, "/ts/", "/ts/a", "/srv/a"),
        (Some("/srv"), strip, "/", "/", "/srv"),
        (Some("/srv"), strip, "/", "/a/", "/srv/a/"),
        // Dots that only stripping uncovers (S-33).
        (Some("/srv"), strip, "/fr", "/fr../admin", "/srv/admin"),
        (Some("/srv"), strip, "/fr", "/fr./admin", "/srv/admin"),
        (Some("/srv"), strip, "/fr", "/fr..", "/srv"),
        (Some("/srv"), strip, "/fr", "/fr.", "/srv"),
        (None, strip, "/fr", "/fr..", "/"),
        (None, strip, "/fr", "/fr..x", "/..x"),
        // A route without paths strips nothing.
        (Some("/srv"), strip, "", "/a", "/srv/a"),
        (Some("/srv"), strip, "", "/", "/srv"),
    ] {
        let found = upstream_path(service, request, route.len(), strip);
        assert_eq!(found, upstream, "{service:?} strip={strip} route {route} request {request}");
    }
}

proptest! {
    // K-129, S-30: one pass suffices, and the result holds nothing that another reader could resolve.
    #[test]
    fn normalising_twice_is_normalising_once(raw in "/([a./;\\\\é{]|%2[eEfF5]|%3[bB]|%5c|%00|%41|%){0,16}") {
        if let Ok(path) = normalise(&raw) {
            prop_assert_eq!(normalise(&path), Ok(Cow::Borrowed(&*path)));
            prop_assert!(path.is_ascii() && path.starts_with('/') && !path.contains("//"));
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    // S-33: a path that was stripped is in normal form still.
    #[test]
    fn stripping_uncovers_nothing(raw in "/([ab./;]|%2[eEfF]){0,12}", service in "(/[st]){0,2}/?", at in 0..14usize) {
        if let Ok(path) = normalise(&raw) {
            let service = Some(&*service).filter(|path| !path.is_empty());
            let matched = if path.is_char_boundary(at.min(path.len())) { at.min(path.len()) } else { 0 };
            let upstream = upstream_path(service, &path, matched, true);
            // A regular expression may cut an escape in two; what is left of it is plain text then.
            prop_assert_eq!(normalise(&upstream), Ok(Cow::Borrowed(&*upstream)), "{} at {}", path, matched);
        }
    }

    // K-129: the path that a route is written with is compared with the one that a request comes with.
    #[test]
    fn routes_and_requests_have_one_normal_form(raw in "/([a./;:@é{ \"]|%2[eEfF5]|%3[bB]|%41|%7e|%c3%a9){0,16}") {
        if let Ok(path) = normalise(&raw) {
            prop_assert_eq!(portcullis_model::entities::normalize_path(&raw), path);
        }
    }
}
