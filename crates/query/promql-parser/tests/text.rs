//! Text in, text out: the files under `tests/cases` hold queries (lines after `> `) and what becomes of
//! them. `UPDATE_EXPECT=1 cargo test` writes the answers; read the difference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use expect_test::expect_file;
use novaobs_promql_parser::ast::{Expr, ExprKind};
use novaobs_promql_parser::{ParseOptions, format_query, parse, parse_selector};

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

fn printed(query: &str, options: ParseOptions) -> String {
    match parse(query, options) {
        Ok(expr) => expr.to_string(),
        Err(error) => format!("error {error}"),
    }
}

/// The kinds of the nodes with the text each came from.
fn tree(query: &str, expr: &Expr, level: usize, out: &mut String) {
    let name = match &expr.kind {
        ExprKind::Number(number) => format!("number {}", number.value),
        ExprKind::String(text) => format!("string {text:?}"),
        ExprKind::VectorSelector(_) => "selector".to_owned(),
        ExprKind::MatrixSelector(matrix) => {
            format!("range of {:?}", query.get(matrix.selector_span.clone()).unwrap())
        }
        ExprKind::Subquery(_) => "subquery".to_owned(),
        ExprKind::Unary { .. } => "sign".to_owned(),
        ExprKind::Binary(binary) => format!("binary {}", binary.op.as_str()),
        ExprKind::Aggregate(aggregate) => format!("aggregate {}", aggregate.op.as_str()),
        ExprKind::Call(call) => format!("call {}", call.function.name),
        ExprKind::Paren(_) => "parenthesis".to_owned(),
    };
    let text = query.get(expr.span.clone()).unwrap();
    writeln!(out, "{:level$}{name} <- {text}", "", level = level * 2).unwrap();
    let children: Vec<&Expr> = match &expr.kind {
        ExprKind::Subquery(subquery) => vec![&*subquery.expr],
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => vec![&**expr],
        ExprKind::Binary(binary) => vec![&binary.left, &binary.right],
        ExprKind::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).collect(),
        ExprKind::Call(call) => call.args.iter().collect(),
        _ => Vec::new(),
    };
    for child in children {
        tree(query, child, level + 1, out);
    }
}

#[test]
fn trees() {
    let text = answer(include_str!("cases/tree.test"), |query| {
        let mut out = String::new();
        tree(query, &parse(query, ParseOptions::all()).unwrap(), 0, &mut out);
        out.trim_end().to_owned()
    });
    expect_file!["cases/tree.test"].assert_eq(&text);
}

#[test]
fn one_line_forms() {
    let text = answer(include_str!("cases/print.test"), |query| printed(query, ParseOptions::all()));
    expect_file!["cases/print.test"].assert_eq(&text);
}

#[test]
fn broken_up_forms() {
    let text = answer(include_str!("cases/format.test"), |query| {
        format_query(&parse(query, ParseOptions::all()).unwrap())
    });
    expect_file!["cases/format.test"].assert_eq(&text);
}

#[test]
fn errors() {
    let text = answer(include_str!("cases/errors.test"), |query| printed(query, ParseOptions::all()));
    expect_file!["cases/errors.test"].assert_eq(&text);
}

#[test]
fn experimental_parts_are_off_by_default() {
    let options = ParseOptions { duration_expressions: false, ..ParseOptions::default() };
    let text = answer(include_str!("cases/experimental.test"), |query| printed(query, options));
    expect_file!["cases/experimental.test"].assert_eq(&text);
}

#[test]
fn selectors_of_the_api() {
    let text = answer(include_str!("cases/selector.test"), |query| match parse_selector(query) {
        Ok(matchers) if matchers.is_empty() => "no condition".to_owned(),
        Ok(matchers) => matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        Err(error) => format!("error {error}"),
    });
    expect_file!["cases/selector.test"].assert_eq(&text);
}
