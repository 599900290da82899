//! Runs `tests/pipelines/*.test`: pipelines over lines, and what comes out.
//!
//! The language, by the first word of a line without indent:
//! - `stream a="b" c="d"`, `metadata a="b"`, `at 1700000000000000000` (Unix nanoseconds), `line text` and
//!   `quoted "text"` (a JSON string) set what the pipelines after them run over;
//! - `|`, `!` and `none` (no stages) begin a pipeline. With `unwrap` it is that of a metric query; after
//!   `by (a, b)` it is compiled for this grouping;
//! - `#` begins a comment.
//!
//! The indented lines under a pipeline are its result, as far as it differs from what went in: `nothing`
//! (the row is left out), `error` (it does not compile), `line` or `quoted`, `stream`, `metadata` and
//! `parsed` labels, `value` of unwrap, `group` for `by`. `same` when nothing differs. UPDATE_EXPECT=1
//! rewrites the results; the difference is to be read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use std::fmt::Write as _;
use std::path::Path;

use novaobs_log_pipeline::{Pipeline, RowLabels};
use novaobs_logql_parser::{Grouping, SampleExpr, Stage, Unwrap};
use novaobs_model::Labels;

type Pairs = Vec<(String, String)>;
/// Grouping, stages and unwrap of a pipeline.
type Case = (Option<Grouping>, Vec<Stage>, Option<Unwrap>);

/// What pipelines run over.
#[derive(Default)]
struct Given {
    stream: Pairs,
    metadata: Pairs,
    line: String,
    at: i64,
}

#[test]
fn pipelines_give_what_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut failures) = (0, String::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (results, count) = run_file(&text);
        cases += count;
        if results == text {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, &results).unwrap();
            continue;
        }
        for (number, (wanted, got)) in text.lines().zip(results.lines()).enumerate() {
            if wanted != got {
                let file = file.file_name().unwrap().to_string_lossy();
                let _ = writeln!(failures, "{file}:{}:\n  wanted {wanted}\n  got    {got}", number + 1);
                break;
            }
        }
        if results.lines().count() != text.lines().count() {
            let _ = writeln!(failures, "{}: results have other lines", file.display());
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(cases >= 350, "only {cases} cases were found");
}

/// The file with the results it gets, and how many cases it has.
fn run_file(text: &str) -> (String, usize) {
    let mut given = Given::default();
    let mut out = String::new();
    let mut cases = 0;
    for line in text.lines() {
        if line.starts_with(' ') {
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "stream" => given.stream = pairs(rest),
            "metadata" => given.metadata = pairs(rest),
            "line" => given.line = rest.to_owned(),
            "quoted" => given.line = serde_json::from_str(rest).unwrap(),
            "at" => given.at = rest.parse().unwrap(),
            _ => {}
        }
        let _ = writeln!(out, "{line}");
        if line.starts_with(['|', '!']) || word == "none" || word == "by" {
            cases += 1;
            for result in run_case(&given, line).lines() {
                let _ = writeln!(out, "  {result}");
            }
        }
    }
    (out, cases)
}

fn run_case(given: &Given, case: &str) -> String {
    let (grouping, stages, unwrap) = match read_case(case) {
        Ok(parts) => parts,
        Err(error) => return format!("error {error}"),
    };
    let pipeline = match Pipeline::compile_for(&stages, unwrap.as_ref(), grouping.as_ref()) {
        Ok(pipeline) => pipeline,
        Err(error) => return format!("error {error}"),
    };
    let mut stream = pipeline.stream(&Labels::from_pairs(given.stream.iter().map(|(n, v)| (n, v))));
    let metadata = given.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let Some(row) = stream.run(given.at, &given.line, metadata) else { return "nothing".to_owned() };
    if let Some(grouping) = grouping {
        return show("group", row.labels.grouped(grouping.without, &grouping.labels).iter());
    }
    let mut out = String::new();
    if row.line != given.line {
        let plain = !row.line.contains(['\n', '\r', '\t', '\u{1b}']) && row.line.trim() == row.line;
        let _ = match plain && !row.line.is_empty() {
            true => writeln!(out, "line {}", row.line),
            false => writeln!(out, "quoted {}", serde_json::to_string(row.line).unwrap()),
        };
    }
    out.push_str(&differing(given, row.labels));
    if let Some(value) = row.value {
        let _ = writeln!(out, "value {value}");
    }
    if out.is_empty() { "same".to_owned() } else { out }
}

fn differing(given: &Given, labels: &RowLabels) -> String {
    let (stream, metadata, parsed) = labels.categories();
    let mut out = String::new();
    for (word, found, before) in [
        ("stream", stream, &given.stream),
        ("metadata", metadata, &given.metadata),
        ("parsed", parsed, &vec![]),
    ] {
        let mut before: Vec<(&str, &str)> = before.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        before.sort_unstable();
        if found.iter().ne(before) {
            out.push_str(&show(word, found.iter()));
            out.push('\n');
        }
    }
    out
}

/// `by (a) | json` and the like, as parsed.
fn read_case(case: &str) -> Result<Case, String> {
    let (grouping, stages) = match case.strip_prefix("by (") {
        Some(rest) => {
            let (names, stages) = rest.split_once(')').ok_or("missing )")?;
            let labels = names.split(',').map(|name| name.trim().to_owned());
            let labels = labels.filter(|name| !name.is_empty()).collect();
            (Some(Grouping { without: false, labels }), stages)
        }
        None if case == "none" => (None, ""),
        None => (None, case),
    };
    if stages.contains("| unwrap ") {
        let text = format!("sum_over_time({{x=\"y\"}} {stages} [1m])");
        let SampleExpr::Range(range) =
            novaobs_logql_parser::parse_sample(&text).map_err(|error| error.to_string())?
        else {
            return Err("not a range".to_owned());
        };
        return Ok((grouping, range.range.log.stages, range.range.unwrap));
    }
    let log = novaobs_logql_parser::parse_log(&format!("{{x=\"y\"}} {stages}"));
    Ok((grouping, log.map_err(|error| error.to_string())?.stages, None))
}

/// Reads `a="b" c="d"`.
fn pairs(text: &str) -> Pairs {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
        let value = values.next().unwrap().unwrap();
        pairs.push((name.to_owned(), value));
        rest = after[values.byte_offset()..].trim();
    }
    pairs
}

fn show<'a>(word: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = word.to_owned();
    for (name, value) in pairs {
        let _ = write!(out, " {name}={}", serde_json::to_string(value).unwrap());
    }
    out
}
