//! Kong's precedence between routes, row by row: the order of the plan's endpoints.

use crate::catalog::{Fakes, read};
use portcullis_model::lower::lower;
use portcullis_model::plan::{PathMatch, Plan};

fn plan_of(routes: &[&str]) -> Plan {
    let mut text = String::from("_format_version: '3.0'\nroutes:\n");
    for route in routes {
        text.push_str(&format!("- {{{route}}}\n"));
    }
    let loaded = read(&text);
    lower(&loaded.entities.unwrap_or_else(|| panic!("{text}: {:?}", loaded.problems)), &Fakes)
}

/// `routes` are written in this order; `expected` is the order in which their endpoints are tried.
fn check(what: &str, routes: &[&str], expected: &[&str]) {
    let plan = plan_of(routes);
    let found: Vec<_> = plan.endpoints.iter().map(|endpoint| endpoint.route.name.as_deref().unwrap()).collect();
    assert_eq!(found, expected, "{what}");
}

#[test]
fn order_of_endpoints() {
    // K-125
    check("regex before longer prefix", &["name: long, paths: [/aaaaaaaa]", "name: re, paths: [~/a]"], &["re", "long"]);
    check(
        "regex_priority among regexes",
        &["name: low, paths: [~/aaaa], regex_priority: 1", "name: high, paths: [~/a], regex_priority: 2"],
        &["high", "low"],
    );
    check(
        "regex_priority does nothing for prefixes",
        &["name: short, paths: [/a], regex_priority: 9", "name: long, paths: [/aa]"],
        &["long", "short"],
    );
    check(
        "longest prefix",
        &["name: a, paths: [/a]", "name: abc, paths: [/abc]", "name: ab, paths: [/ab]"],
        &["abc", "ab", "a"],
    );
    // K-126
    check(
        "plain host before wildcard",
        &["name: wild, hosts: ['*.a.com']", "name: plain, hosts: [b.a.com]"],
        &["plain", "wild"],
    );
    check(
        "one wildcard among hosts makes the route a wildcard one",
        &["name: mixed, hosts: [b.com, '*.a.com']", "name: plain, hosts: [c.com]"],
        &["plain", "mixed"],
    );
    check(
        "more attributes before fewer, whatever they are",
        &[
            "name: regex, paths: [~/a]",
            "name: two, paths: [/], methods: [GET]",
            "name: three, paths: [/], methods: [GET], hosts: ['*.b']",
        ],
        &["three", "two", "regex"],
    );
    check(
        "a plain host before more headers",
        &[
            "name: headers, paths: [/], headers: {x: [a], y: [b]}",
            "name: host, paths: [/], hosts: [a.com]",
            "name: header, paths: [/], headers: {x: [a]}",
        ],
        &["host", "headers", "header"],
    );
    check(
        "a server name is an attribute like the others",
        &[
            "name: long, paths: [/aaaa]",
            "name: sni, paths: [/a], snis: [a.com]",
            "name: two, paths: [/aa], methods: [GET]",
            "name: alone, snis: [a.com]",
        ],
        &["two", "sni", "long", "alone"],
    );
    check(
        "empty lists are no attributes",
        &["name: empty, paths: [/a], hosts: [], methods: [], headers: {}, snis: []", "name: long, paths: [/ab]"],
        &["long", "empty"],
    );
    check(
        "ties go to the earlier",
        &["name: z, paths: [/a]", "name: y, paths: [/b]", "name: x, paths: [/c]"],
        &["z", "y", "x"],
    );
    check(
        "ties go to the older",
        &[
            "name: none, paths: [/c]",
            "name: young, paths: [/a], created_at: 2",
            "name: old, paths: [/b], created_at: 1",
        ],
        &["old", "young", "none"],
    );
    check(
        "a route with mixed paths stands in several places",
        &["name: mixed, paths: [/aaa, ~/x, /b, /ccc]", "name: middle, paths: [/dd]"],
        &["mixed", "mixed", "middle", "mixed"],
    );
}

#[test]
fn mixed_paths_are_split_by_length_and_share_the_route() {
    let plan = plan_of(&["name: mixed, paths: [/aaa, '~/x\\d', /b, /ccc]"]);
    let prefix = |text: &str| PathMatch::Prefix(text.to_owned());
    let paths: Vec<_> = plan.endpoints.iter().map(|endpoint| endpoint.matcher.paths.clone()).collect();
    assert_eq!(
        paths,
        [vec![PathMatch::Regex("/x\\d".to_owned())], vec![prefix("/aaa"), prefix("/ccc")], vec![prefix("/b")]]
    );
    assert!(plan.endpoints.iter().all(|e| std::sync::Arc::ptr_eq(&e.route, &plan.endpoints[0].route)));
}

#[test]
fn the_same_routes_nested_or_not_give_the_same_plan() {
    // K-140
    let nested = "_format_version: '3.0'
services:
- name: s
  host: a.com
  routes: [{name: r, paths: [/a], plugins: [{name: limit, config: {minute: 1}}]}]
  plugins: [{name: stamp}]
";
    let flat = "_format_version: '3.0'
plugins: [{name: limit, route: r, config: {minute: 1}}, {name: stamp, service: {name: s}}]
routes: [{name: r, service: 0db7db51-0a47-55cd-8d7a-3cf2b8d6fb04, paths: [/a]}]
services: [{name: s, host: a.com}]
";
    let plan = |text: &str| {
        let loaded = read(text);
        let problems = loaded.problems.clone();
        let mut entities = loaded.entities.unwrap_or_else(|| panic!("{problems:?}"));
        entities.plugins.iter_mut().for_each(|plugin| plugin.origin.clear());
        lower(&entities, &Fakes)
    };
    let id = plan(nested).endpoints[0].route.service.as_ref().unwrap().id;
    let flat = flat.replace("0db7db51-0a47-55cd-8d7a-3cf2b8d6fb04", &id.to_string());
    assert_eq!(plan(nested), plan(&flat));
}

#[test]
fn ids_are_the_same_at_each_load() {
    // K-141
    let text = "_format_version: '3.0'
services: [{name: my-service, host: a.com, routes: [{paths: [/a]}, {paths: [/b]}], plugins: [{name: stamp}]}]
consumers: [{username: bobo}, {custom_id: only}]
routes: [{paths: [/a]}]
";
    let first = read(text).entities.unwrap();
    assert_eq!(first.services[0].id.to_string(), "0855b320-0dd2-547d-891d-601e9b38647f");
    assert_eq!(first.consumers[0].id.to_string(), "a331738c-d6d9-595e-a2cf-9cad8a78d622");
    assert_eq!(read(text).entities.unwrap(), first);
    let moved = text.replace("plugins: [{name: stamp}]", "").trim_end().to_owned()
        + "\nplugins: [{name: stamp, service: my-service}]\n";
    assert_eq!(read(&moved).entities.unwrap().plugins[0].id, first.plugins[0].id, "nested or not");
    let ids: std::collections::HashSet<_> = first.routes.iter().map(|route| route.id).collect();
    assert_eq!(ids.len(), 3, "nameless routes differ");
}
