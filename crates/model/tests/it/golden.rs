//! `golden/x.in.yaml` -> `golden/x.out.txt`: its problems, and the plan if it loads. `UPDATE=1` writes the outputs.
//! `"<ec key>"` in them stands for a PEM of [`crate::pems`].

use crate::catalog::{Fakes, read};
use crate::pems;
use portcullis_model::lower::lower;
use portcullis_model::moment;
use portcullis_model::print::print_plan;
use std::path::Path;
use std::{env, fs};

#[test]
fn goldens() {
    // I-1, K-140
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let update = env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let input = entry.unwrap().path();
        let Some(stem) = input.file_name().unwrap().to_str().unwrap().strip_suffix(".in.yaml").map(str::to_owned)
        else {
            continue;
        };
        seen += 1;
        let output = folder.join(format!("{stem}.out.txt"));
        let found = outcome(&fs::read_to_string(&input).unwrap());
        if update {
            fs::write(&output, found).unwrap();
        } else if fs::read_to_string(&output).unwrap_or_default() != found {
            println!("--- {stem}, now:\n{found}");
            differing.push(stem);
        }
    }
    assert!(seen > 0, "no goldens in {}", folder.display());
    assert!(differing.is_empty(), "{differing:?} differ; UPDATE=1 rewrites them, the diff is to be read");
}

fn outcome(text: &str) -> String {
    let mut loaded = read(&pems::written_out(text));
    let mut problems = std::mem::take(&mut loaded.problems);
    let plan = loaded.entities.take().map(|mut entities| {
        let mut found = moment::resolve(&mut entities, pems::variable);
        found.extend(moment::dates(&entities, pems::NOW));
        problems.extend(loaded.locate(found));
        lower(&entities, &Fakes)
    });
    let mut out: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    match plan.filter(|_| !problems.has_errors()) {
        Some(plan) => out.push_str(&format!("plan: {}\n", print_plan(&plan, &Fakes))),
        None => out.push_str("refused\n"),
    }
    pems::named(&out)
}
