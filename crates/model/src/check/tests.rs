use super::*;
use crate::problem::Problem;
use crate::schema::Default;
use serde_json::json;

const INNER: &[Field] =
    &[Field::integer("depth").required().default(Default::Int(1)), Field::string("word").required()];

const TABLE: &[Field] = &[
    Field::string("text").rules(&[Rule::MinLength(2), Rule::OneOf(&["aa", "bb"])]),
    Field::string("must").required(),
    Field::number("number").rules(&[Rule::Between(0.5, 2.5)]).default(Default::Number(1.5)),
    Field::integer("integer").rules(&[Rule::Between(1.0, 65_535.0)]).default(Default::Int(80)),
    Field::boolean("flag").required().default(Default::Bool(false)),
    Field::array("array", Element::INTEGER).rules(&[Rule::MinLength(1)]),
    Field::set("set", Element::STRING.rules(&[Rule::OneOf(&["x", "y"])])).default(Default::Strs(&["x"])),
    Field::map("map").default(Default::EmptyMap),
    Field::map_of_arrays("lists"),
    Field::record("record", INNER),
    Field::array("records", Element { kind: ElementKind::Record(INNER), rules: &[] }),
    Field::boolean("later").default(Default::Bool(true)).not_built("later is not built yet"),
    Field::array("strict", Element::STRING).not_built("strict is not built yet"),
    Field::integer("idle").default(Default::Int(5)).ignored("idle has no effect"),
    Field::string("key").secret().rules(&[Rule::MinLength(40)]),
];

/// Completes a value that has what is required, and `given` beside it; gives it back with what was wrong.
fn complete_with(given: Value) -> (Map<String, Value>, Vec<String>) {
    let mut value = json!({"must": "m", "record": {"word": "w"}});
    value.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let mut problems = Problems::new();
    let completed = complete(TABLE, &value, &Path::root(), &mut problems);
    (completed, problems.iter().map(said).collect())
}

/// A problem without the advice that its field's table gives: that has rows of its own.
fn said(problem: &Problem) -> String {
    let own = problem.hint.clone().filter(|hint| !hint.starts_with("write ") && !hint.starts_with("leave "));
    Problem { hint: own, ..problem.clone() }.to_string()
}

#[test]
fn every_violation_comes_with_advice() {
    let rows = [
        (json!({"text": 1}), "write a text out of aa, bb, or leave it out"),
        (json!({"flag": 1}), "write true or false, or leave it out for false"),
        (json!({"later": false}), "leave later out"),
        (json!({"must": null}), "write a text"),
    ];
    for (given, advice) in rows {
        let mut value = json!({"must": "m", "record": {"word": "w"}});
        value.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let mut problems = Problems::new();
        complete(TABLE, &value, &Path::root(), &mut problems);
        assert_eq!(problems.0[0].hint.as_deref(), Some(advice), "{given}");
    }
}

#[test]
fn every_violation_is_said_in_kongs_words() {
    // I-1
    let rows = [
        (json!({}), ""),
        (json!({"text": 1}), "text: expected a string"),
        (json!({"text": "a"}), "text: length must be at least 2"),
        (json!({"text": "cc"}), "text: expected one of: aa, bb"),
        (json!({"must": null}), "must: required field missing"),
        (json!({"number": "1"}), "number: expected a number"),
        (json!({"number": 3}), "number: value should be between 0.5 and 2.5"),
        (json!({"integer": 80.0}), ""),
        (json!({"integer": 1.5}), "integer: expected an integer"),
        (json!({"integer": true}), "integer: expected an integer"),
        (json!({"integer": 0}), "integer: value should be between 1 and 65535"),
        (json!({"integer": 65_536}), "integer: value should be between 1 and 65535"),
        (json!({"flag": "true"}), "flag: expected a boolean"),
        (json!({"flag": null}), ""),
        (json!({"array": {}}), "array: expected an array"),
        (json!({"array": []}), "array: length must be at least 1"),
        (json!({"array": [1, "2", 3.5]}), "array[1]: expected an integer|array[2]: expected an integer"),
        (json!({"set": "x"}), "set: expected a set"),
        (json!({"set": ["x", "z"]}), "set[1]: expected one of: x, y"),
        (json!({"map": []}), "map: expected a map"),
        (json!({"map": {"a": 1}}), "map.a: expected a string"),
        (json!({"lists": {"a": "b", "c": [1]}}), "lists.a: expected an array|lists.c[0]: expected a string"),
        (json!({"record": []}), "record: expected a record"),
        (json!({"record": {}}), "record.word: required field missing"),
        (json!({"record": null}), "record.word: required field missing"),
        (json!({"records": [{"word": 1}, 2]}), "records[0].word: expected a string|records[1]: expected a record"),
        (json!({"later": true, "strict": []}), ""),
        (json!({"later": false, "strict": ["a"]}), "later: later is not built yet|strict: strict is not built yet"),
        (json!({"idle": 5}), ""),
        (json!({"idle": 6}), "warning: idle: idle has no effect"),
        (json!({"flaag": 1}), "flaag: unknown field; did you mean 'flag'?"),
    ];
    for (given, expected) in rows {
        assert_eq!(complete_with(given.clone()).1.join("|"), expected, "{given}");
    }
}

#[test]
fn a_name_that_is_like_no_other_is_answered_with_all_of_them() {
    assert_eq!(hint_for_unknown("foo", ["b", "a"].into_iter()), "known here: a, b");
    assert_eq!(
        hint_for_unknown("read_timout", ["read_timeout", "retries"].into_iter()),
        "did you mean 'read_timeout'?"
    );
}

#[test]
fn what_is_absent_is_its_default_and_what_is_whole_is_an_integer() {
    let (completed, problems) = complete_with(json!({"integer": 8080.0, "set": ["y", "x", "y"], "number": 2}));
    assert_eq!(problems, Vec::<String>::new());
    let expected = json!({
        "text": null, "must": "m", "number": 2, "integer": 8080, "flag": false, "array": null, "set": ["y", "x"],
        "map": {}, "lists": null, "record": {"depth": 1, "word": "w"}, "records": null, "later": true,
        "strict": null, "idle": 5, "key": null,
    });
    assert_eq!(Value::Object(completed.clone()), expected);
    assert_eq!(completed["integer"].to_string(), "8080");
    assert!(completed.keys().eq(TABLE.iter().map(|field| field.name)), "in the order of the table");
}

#[test]
fn a_reference_stands_for_a_secret_and_for_nothing_else() {
    let rows = [
        (json!({"key": "{vault://env/my-key}"}), ""),
        (
            json!({"key": "{vault://env/}"}),
            "key: a reference is made of letters, digits, '-' and '_'; use {vault://env/my-name}",
        ),
        (
            json!({"key": "{vault://env/a/b}"}),
            "key: a reference is made of letters, digits, '-' and '_'; use {vault://env/my-name}",
        ),
        (json!({"key": "{vault://aws/x}"}), "key: vault 'aws' is not supported; use {vault://env/my-name}"),
        (json!({"key": "short"}), "key: length must be at least 40"),
        (
            json!({"must": "{vault://env/x}"}),
            "must: a reference to a secret is not read in this field; only fields that hold a secret take {vault://env/…}",
        ),
    ];
    for (given, expected) in rows {
        assert_eq!(complete_with(given.clone()).1.join("|"), expected, "{given}");
    }
}
