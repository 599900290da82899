//! Runs the `.test` files: every case by rows and by columns, over lines kept as text and in columns.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::fs;
use std::path::Path;

use novaobs_logql::{run, run_by_rows};
use support::script::{Command, answer, read};
use support::source::{Kind, Memory};

/// Runs a file; gives its text with what is really answered, how many cases there were, and what failed.
fn check(name: &str, text: &str) -> (String, usize, Vec<String>) {
    let (mut out, mut cases, mut failures) = (String::new(), 0, Vec::new());
    let mut streams = Vec::new();
    let mut sources: Option<Vec<Memory>> = None;
    for command in read(text) {
        match command {
            Command::Other(line) => out += &format!("{line}\n"),
            Command::Clear => {
                out += "clear\n";
                streams.clear();
                sources = None;
            }
            Command::Load { source, stream } => {
                source.iter().for_each(|line| out += &format!("{line}\n"));
                streams.push(stream);
                sources = None;
            }
            Command::Eval { head, case, expected } => {
                cases += 1;
                let sources = sources.get_or_insert_with(|| {
                    let kinds = [(Kind::Text, 5), (Kind::Shredded, 4), (Kind::Shredded, 1000)];
                    kinds.map(|(kind, rows)| Memory::new(streams.clone(), kind, rows)).into()
                });
                let got = answer(&case, &sources[0], run_by_rows);
                for source in &*sources {
                    for (path, run) in [("rows", run_by_rows as support::script::Run), ("columns", run)] {
                        let other = answer(&case, source, run);
                        if other != got {
                            failures.push(format!(
                                "{name}: {head}\n by {path} over {:?} of {} rows:\n{}\n by rows over text:\n{}",
                                source.kind,
                                source.batch_rows,
                                other.join("\n"),
                                got.join("\n")
                            ));
                        }
                    }
                }
                if got != expected {
                    failures.push(format!(
                        "{name}: {head}\n got\n{}\n not\n{}",
                        got.join("\n"),
                        expected.join("\n")
                    ));
                }
                out += &format!("{head}\n");
                got.iter().for_each(|line| out += &format!("{line}\n"));
            }
        }
    }
    (out, cases, failures)
}

#[test]
fn files_of_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let bless = std::env::var_os("UPDATE_EXPECT").is_some();
    let (mut cases, mut failures) = (0, Vec::new());
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (real, count, failed) = check(&file.file_name().unwrap().to_string_lossy(), &text);
        cases += count;
        failures
            .extend(failed.into_iter().filter(|failure| !bless || failure.contains(" by rows over text")));
        if bless && real != text {
            fs::write(&file, real).unwrap();
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
    assert!(cases >= 300, "only {cases} cases were found");
}
