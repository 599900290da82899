//! Text in, text out: the files under `tests/cases` hold queries (lines after `> `) and what becomes of
//! them. `UPDATE_EXPECT=1 cargo test` writes the answers; read the difference.

use std::fmt::Display;

use expect_test::expect_file;
use novaobs_logql_parser::{ParseError, parse, parse_log, parse_matchers, parse_sample, pretty};

/// Answers each query of a file: comments and blank lines stay, old answers are dropped.
fn answer(file: &str, respond: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut lines = file.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix('>') else {
            if line.is_empty() || line.starts_with('#') {
                out.push_str(line);
                out.push('\n');
            }
            continue;
        };
        let mut query = first.strip_prefix(' ').unwrap_or(first).to_owned();
        out.push_str(line);
        out.push('\n');
        while let Some(more) = lines.peek().and_then(|line| line.strip_prefix('>')) {
            query.push('\n');
            query.push_str(more.strip_prefix(' ').unwrap_or(more));
            out.push_str(&format!(">{more}\n"));
            lines.next();
        }
        out.push_str(&respond(&query));
        out.push('\n');
    }
    out
}

fn text<T: Display>(result: Result<T, ParseError>) -> String {
    result.map_or_else(|error| format!("error {error}"), |value| value.to_string())
}

fn printed(query: &str) -> String {
    text(parse(query))
}

macro_rules! check {
    ($test:ident, $file:literal, $respond:expr) => {
        #[test]
        fn $test() {
            expect_file![concat!("cases/", $file)]
                .assert_eq(&answer(include_str!(concat!("cases/", $file)), $respond));
        }
    };
}

check!(selectors_print, "selectors.test", printed);
check!(line_filters_print, "line_filters.test", printed);
check!(stages_print, "stages.test", printed);
check!(label_filters_print, "label_filters.test", printed);
check!(ranges_print, "ranges.test", printed);
check!(aggregations_print, "aggregations.test", printed);
check!(operators_print, "operators.test", printed);
check!(numbers_are_computed, "numbers.test", printed);
check!(misplaced_words_are_errors, "errors_syntax.test", printed);
check!(broken_words_are_errors, "errors_words.test", printed);
check!(checks_are_made, "errors_checks.test", printed);
check!(long_expressions_are_broken_up, "pretty.test", |query| {
    let broken_up = text(parse(query).map(|expr| pretty(&expr)));
    // Operators at the start of a line look like queries.
    broken_up.lines().map(|line| format!("|{line}")).collect::<Vec<_>>().join("\n")
});
check!(matchers_are_selectors_alone, "matchers.test", |query| {
    text(parse_matchers(query).map(|matchers| {
        let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        format!("{} matchers: {}", matchers.len(), matchers.join(" "))
    }))
});
check!(kinds_are_told_apart, "kinds.test", |query| {
    format!("log: {}\nsample: {}", text(parse_log(query)), text(parse_sample(query)))
});
