use super::*;
use http::StatusCode;
use portcullis_model::plan::Protocols;
use uuid::Uuid;

fn route(name: Option<&str>) -> Route {
    Route {
        id: Uuid::from_u128(7),
        name: name.map(str::to_owned),
        protocols: Protocols::ALL,
        https_redirect_status: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        service: None,
        steps: Vec::new(),
    }
}

/// The values of the lines that begin with `series`.
fn values(text: &str, series: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    lines.map(str::to_owned).collect()
}

fn check(metrics: &Metrics, series: &str, value: &str) {
    let text = metrics.encode();
    assert_eq!(values(&text, series), [value], "{series} in\n{text}");
}

const OK: StatusCode = StatusCode::OK;

#[test]
fn cores_are_added_up() {
    let metrics = Metrics::new(2);
    let (one, two) = (metrics.core(0), metrics.core(1));
    let orders = metrics.route(&route(Some("orders")));
    one.answered(Some(&orders), OK, Duration::from_micros(200));
    two.answered(Some(&orders), OK, Duration::from_micros(300));
    two.answered(Some(&orders), StatusCode::UNAUTHORIZED, Duration::from_secs(2));
    two.answered(None, StatusCode::NOT_FOUND, Duration::from_micros(1));
    check(&metrics, r#"portcullis_requests_total{route="orders",status="200"}"#, "2");
    check(&metrics, r#"portcullis_requests_total{route="orders",status="401"}"#, "1");
    check(&metrics, r#"portcullis_requests_total{route="",status="404"}"#, "1");
    check(&metrics, r#"portcullis_request_duration_seconds_bucket{le="0.00025",route="orders"}"#, "1");
    check(&metrics, r#"portcullis_request_duration_seconds_bucket{le="0.0005",route="orders"}"#, "2");
    check(&metrics, r#"portcullis_request_duration_seconds_bucket{le="+Inf",route="orders"}"#, "3");
    check(&metrics, r#"portcullis_request_duration_seconds_count{route="orders"}"#, "3");
    check(&metrics, r#"portcullis_request_duration_seconds_sum{route="orders"}"#, "2.0005");
}

#[test]
fn counts_survive_a_reload_but_not_the_route() {
    let metrics = Metrics::new(1);
    let core = metrics.core(0);
    let old = metrics.route(&route(None));
    core.answered(Some(&old), OK, Duration::ZERO);
    let new = metrics.route(&route(None));
    drop(old);
    core.answered(Some(&new), OK, Duration::ZERO);
    let series = format!(r#"portcullis_requests_total{{route="{}",status="200"}}"#, Uuid::from_u128(7));
    check(&metrics, &series, "2");
    drop(new);
    assert_eq!(values(&metrics.encode(), &series), [""; 0]);
    assert!(lock(&metrics.0.routes).is_empty());
}

#[test]
fn a_route_without_requests_holds_no_slots_and_shows_no_series() {
    let metrics = Metrics::new(64);
    let idle = metrics.route(&route(Some("idle")));
    assert!(idle.0.slots.get().is_none());
    assert!(!metrics.encode().contains("idle"));
}

// The trap of dependencies.md section 9: a label value must not break out of its quotes.
#[test]
fn label_values_are_escaped() {
    let metrics = Metrics::new(1);
    let nasty = metrics.route(&route(Some("a\"} 1\nb{c=\"\\")));
    metrics.core(0).answered(Some(&nasty), OK, Duration::ZERO);
    check(&metrics, r#"portcullis_requests_total{route="a\"} 1\nb{c=\"\\",status="200"}"#, "1");
}

// I-53: every reason is a label from the start, so that a rate is defined when the first refusal comes.
#[test]
fn refusals_and_failures_by_code() {
    let metrics = Metrics::new(2);
    let (one, two) = (metrics.core(0), metrics.core(1));
    one.refused(Reason::Expired);
    two.refused(Reason::Expired);
    two.failed(&Failure::UpstreamTimeout);
    check(&metrics, r#"portcullis_refusals_total{reason="expired"}"#, "2");
    for row in &TABLE {
        let wanted = if row.reason == Reason::Expired { "2" } else { "0" };
        check(&metrics, &format!(r#"portcullis_refusals_total{{reason="{}"}}"#, row.code), wanted);
    }
    for code in Failure::codes() {
        let wanted = if code == "upstream_timeout" { "1" } else { "0" };
        check(&metrics, &format!(r#"portcullis_failures_total{{code="{code}"}}"#), wanted);
    }
}

#[test]
fn connections_are_a_difference() {
    let metrics = Metrics::new(2);
    let (one, two) = (metrics.core(0), metrics.core(1));
    one.connection_opened();
    one.connection_opened();
    two.connection_opened();
    one.connection_closed();
    check(&metrics, "portcullis_connections_open", "2");
}

#[test]
fn caches_and_logs_are_asked_at_the_scrape() {
    let metrics = Metrics::new(1);
    let numbers = CacheNumbers { hits: 1, negatives: 2, misses: 3, evictions: 4, entries: 5, bytes: 6, flights: 7 };
    metrics.register_cache(move || numbers);
    metrics.register_cache(|| CacheNumbers { hits: 10, ..CacheNumbers::default() });
    metrics.register_log(|| 8);
    for (series, value) in [
        ("portcullis_token_cache_hits_total", "11"),
        ("portcullis_token_cache_negatives_total", "2"),
        ("portcullis_token_cache_misses_total", "3"),
        ("portcullis_token_cache_evictions_total", "4"),
        ("portcullis_token_cache_entries", "5"),
        ("portcullis_token_cache_bytes", "6"),
        ("portcullis_token_cache_flights", "7"),
        ("portcullis_access_log_dropped_total", "8"),
    ] {
        check(&metrics, series, value);
    }
}

#[test]
fn introspection_calls_by_outcome() {
    let metrics = Metrics::new(1);
    metrics.introspection_call("ok", Duration::from_millis(3));
    metrics.clone().introspection_call("ok", Duration::from_millis(4));
    metrics.introspection_call("as_timeout", Duration::from_secs(10));
    check(&metrics, r#"portcullis_introspection_duration_seconds_count{outcome="ok"}"#, "2");
    check(&metrics, r#"portcullis_introspection_duration_seconds_sum{outcome="as_timeout"}"#, "10.0");
}

#[test]
fn configuration_and_build() {
    let metrics = Metrics::new(1);
    check(&metrics, "portcullis_configuration_revision", "0");
    metrics.live(3);
    metrics.reload_failed();
    check(&metrics, "portcullis_configuration_revision", "3");
    check(&metrics, "portcullis_configuration_reload_failures_total", "1");
    let build = format!(r#"portcullis_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION"));
    check(&metrics, &build, "1");
}

#[test]
fn every_family_has_help_and_type_and_the_text_has_an_end() {
    let text = Metrics::new(1).encode();
    assert!(text.ends_with("# EOF\n"));
    let of = |word: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let named = of("# HELP ");
    assert_eq!(named, of("# TYPE "));
    assert_eq!(named.len(), 21);
    assert!(named.iter().all(|name| name.starts_with("portcullis_")));
}
