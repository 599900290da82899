//! Runs the scripts in `tests/scripts`, one test per file, and those of a folder named by
//! `PROMQL_TEST_DIR` if it is set.

#![expect(clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use novaobs_promql::testlang::{default_options, run_script};

/// (evaluations as expected, texts of the others).
fn run(path: &Path) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let report =
        run_script(&text, &default_options()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let findings = report.failures.iter();
    (report.passed, findings.map(|f| format!("{}:{}: {}", path.display(), f.line, f.text)).collect())
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let (passed, failures) = run(&path);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > 0, "{name} evaluates nothing");
}

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(concat!(stringify!($name), ".test"));
        }
    )*
    const SCRIPTS: &[&str] = &[$(concat!(stringify!($name), ".test")),*];
    };
}

scripts! {
    aggregators at_modifier counters durations extended fill histograms info labels limits literals
    math name_dropping operators over_time range_queries selectors staleness subqueries time trigonometry
}

#[test]
fn every_script_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(SCRIPTS.contains(&name.as_str()), "{name} is not in the list of scripts");
    }
}

#[test]
fn scripts_of_another_folder_agree() {
    let Some(folder) = std::env::var_os("PROMQL_TEST_DIR") else { return };
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        failures.extend(run(&entry.unwrap().path()).1);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
