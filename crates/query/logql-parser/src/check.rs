//! What must hold beyond syntax, in the peer's words.

use std::collections::HashSet;

use crate::ast::{BinaryExpr, BinaryOp, Expr, Grouping, LogRange, Matching, RangeOp, SampleExpr, VectorOp};
use crate::literal;
use crate::parser::Checked;
use novaobs_model::labels::is_legacy_label_name;
use novaobs_model::{GoRegex, Matcher};

/// A selector must say what it wants, not only what it does not want.
pub(crate) fn matchers(matchers: &[Matcher]) -> Option<String> {
    if matchers.iter().any(|matcher| !matcher.matches_empty()) {
        return None;
    }
    Some(
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. \
         For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will"
            .to_owned(),
    )
}

/// The expression of `label_replace`.
pub(crate) fn anchored(regex: &str) -> Result<(), String> {
    let anchored = format!("^(?:{regex})$");
    GoRegex::new(&anchored).map(drop).map_err(|error| format!("invalid regex in label_replace: {error}"))
}

/// The expression of `| regexp`: valid, with named groups, each name once and fit for a label.
pub(crate) fn regexp(source: &str) -> Result<(), String> {
    // The peer words this mistake itself.
    let repeats = |error: &str| error.contains("duplicate capture group name");
    match GoRegex::new(source).map_err(|error| error.to_string()) {
        Err(error) if !repeats(&error) => return Err(error),
        _ => {}
    }
    let mut names = HashSet::new();
    if let Some(name) = group_names(source).find(|name| !names.insert(*name)) {
        return Err(format!("duplicate extracted label name '{name}'"));
    }
    if names.is_empty() {
        return Err("at least one named capture must be supplied".to_owned());
    }
    Ok(())
}

/// Names of `(?P<name>…)` and `(?<name>…)` in an expression that is valid.
fn group_names(source: &str) -> impl Iterator<Item = &str> {
    let mut rest = source;
    let mut in_class = false;
    std::iter::from_fn(move || {
        loop {
            let mut chars = rest.chars();
            let c = chars.next()?;
            let after = chars.as_str();
            if c == '\\' {
                if let Some(literal) = after.strip_prefix('Q') {
                    rest = literal.split_once("\\E").map_or("", |(_, after)| after);
                } else {
                    chars.next();
                    rest = chars.as_str();
                }
                continue;
            }
            rest = after;
            match c {
                // A bracket that closes at once is a member.
                '[' if !in_class => {
                    in_class = true;
                    rest = rest.strip_prefix('^').unwrap_or(rest);
                    rest = rest.strip_prefix(']').unwrap_or(rest);
                }
                '[' if rest.starts_with(':') => rest = rest.split_once(":]").map_or(rest, |(_, after)| after),
                ']' => in_class = false,
                '(' if !in_class => {
                    let name = after.strip_prefix("?P<").or_else(|| after.strip_prefix("?<"));
                    if let Some((name, after)) = name.and_then(|name| name.split_once('>')) {
                        rest = after;
                        return Some(name);
                    }
                }
                _ => {}
            }
        }
    })
}

/// The expression of `| pattern`: with captures, not next to each other, each name once.
pub(crate) fn pattern(source: &str) -> Result<(), String> {
    if source.is_empty() {
        return Err(
            "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL"
                .to_owned(),
        );
    }
    let mut names: Vec<&str> = Vec::new();
    let mut captures = 0;
    let mut before: Option<&str> = None;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        match capture(rest) {
            Some(name) => {
                if let Some(before) = before {
                    return Err(format!(
                        "found consecutive capture '<{before}><{name}>': invalid expression"
                    ));
                }
                captures += usize::from(name != "_");
                names.push(name);
                before = Some(name);
                rest = rest.get(name.len() + 2..).unwrap_or_default();
            }
            None => {
                before = None;
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    if captures == 0 {
        return Err("at least one capture is required".to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|name| **name != "_" && !seen.insert(**name)) {
        return Err(format!("duplicate capture name ({name}): invalid expression"));
    }
    Ok(())
}

/// The name of the capture that the text begins with: `<name>`.
fn capture(text: &str) -> Option<&str> {
    let text = text.strip_prefix('<')?;
    let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric())?;
    let name = text.get(..end).filter(|_| text.get(end..).is_some_and(|after| after.starts_with('>')))?;
    is_legacy_label_name(name).then_some(name)
}

/// Checks a vector aggregation; gives its parameter.
pub(crate) fn vector_parameter(
    op: VectorOp,
    parameter: Option<&str>,
    grouping: Option<&Grouping>,
) -> Result<Option<u64>, String> {
    let name = op.name();
    let takes_parameter = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
    let parameter = match parameter {
        None if takes_parameter => return Err(format!("parameter required for operation {name}")),
        Some(text) if !takes_parameter => {
            return Err(format!("unsupported parameter for operation {name}({text},"));
        }
        None => None,
        Some(text) => match text.parse::<i64>() {
            Err(_) => return Err(format!("invalid parameter {name}({text},")),
            Ok(number) if number <= 0 => {
                return Err(format!("invalid parameter (must be greater than 0) {name}({text}"));
            }
            Ok(number) => Some(number.unsigned_abs()),
        },
    };
    if matches!(op, VectorOp::Sort | VectorOp::SortDesc) && grouping.is_some_and(|by| !by.labels.is_empty()) {
        return Err("sort and sort_desc doesn't allow grouping by ".to_owned());
    }
    if op == VectorOp::ApproxTopk && grouping.is_some() {
        return Err(format!("grouping not allowed for {name} aggregation"));
    }
    Ok(parameter)
}

/// Checks a range aggregation; gives its parameter.
pub(crate) fn range(
    op: RangeOp,
    parameter: Option<&str>,
    grouping: Option<&Grouping>,
    range: &LogRange,
) -> Result<Option<f64>, String> {
    let name = op.name();
    let parameter = match (op, parameter) {
        (RangeOp::QuantileOverTime, None) => return Err(format!("parameter required for operation {name}")),
        (RangeOp::QuantileOverTime, Some(text)) => {
            let explain = |error: literal::NumberError| error.explain(text);
            let value = literal::number(text)
                .map_err(|error| format!("invalid parameter for operation {name}: {}", explain(error)))?;
            Some(value)
        }
        (_, Some(text)) => return Err(format!("parameter {text} not supported for operation {name}")),
        (_, None) => None,
    };
    let may_group = matches!(
        op,
        RangeOp::AvgOverTime
            | RangeOp::StddevOverTime
            | RangeOp::StdvarOverTime
            | RangeOp::QuantileOverTime
            | RangeOp::MaxOverTime
            | RangeOp::MinOverTime
            | RangeOp::FirstOverTime
            | RangeOp::LastOverTime
    );
    if grouping.is_some() && !may_group {
        return Err(format!("grouping not allowed for {name} aggregation"));
    }
    let counts_lines = matches!(op, RangeOp::CountOverTime | RangeOp::BytesRate | RangeOp::BytesOverTime);
    let takes_both = matches!(op, RangeOp::Rate | RangeOp::AbsentOverTime);
    match range.unwrap {
        Some(_) if counts_lines => Err(format!("invalid aggregation {name} with unwrap")),
        None if !counts_lines && !takes_both => Err(format!("invalid aggregation {name} without unwrap")),
        _ => Ok(parameter),
    }
}

/// Joins two expressions: checks their kinds, computes what is constant.
pub(crate) fn binary(
    op: BinaryOp,
    return_bool: bool,
    matching: Option<Matching>,
    left: Checked<Expr>,
    right: Checked<Expr>,
) -> Checked<Expr> {
    // Anything that is no literal will do: an outer operator looks at it before the error comes to light.
    let broken =
        |error: String| Checked { node: Expr::Sample(SampleExpr::VectorFn(0.0)), error: Some(error) };
    let (left_node, right_node) = match (left.node, right.node) {
        (Expr::Log(log), _) => return broken(wrong_type("left", op, &log)),
        (_, Expr::Log(log)) => return broken(wrong_type("right", op, &log)),
        (Expr::Sample(left), Expr::Sample(right)) => (left, right),
    };
    if op.is_set() {
        for (side, node) in [("left", &left_node), ("right", &right_node)] {
            if let SampleExpr::Literal(value) = node {
                let name = op.name();
                return broken(format!(
                    "unexpected literal for {side} leg of logical/set binary operation ({name}): {value:.6}"
                ));
            }
        }
    }
    let error = left.error.or(right.error);
    let node = match (&left_node, &right_node) {
        (SampleExpr::Literal(left), SampleExpr::Literal(right)) => {
            SampleExpr::Literal(compute(op, *left, *right))
        }
        _ => SampleExpr::Binary(Box::new(BinaryExpr {
            op,
            return_bool,
            matching,
            left: left_node,
            right: right_node,
        })),
    };
    Checked { node: Expr::Sample(node), error }
}

fn wrong_type(side: &str, op: BinaryOp, log: &crate::ast::LogExpr) -> String {
    let kind = if log.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
    format!("unexpected type for {side} leg of binary operation ({}): *syntax.{kind}", op.name())
}

/// Two constants in one: nothing is divisible by 0, comparisons give 0 or 1.
fn compute(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => {
            novaobs_model::never!("set operators refuse literals");
            f64::NAN
        }
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide | BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
    }
}
