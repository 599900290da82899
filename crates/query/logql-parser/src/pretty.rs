//! Tree to text: the form over several lines that `/loki/api/v1/format_query` gives.

use crate::ast::{
    BinaryExpr, Expr, Grouping, LogExpr, LogRange, RangeAggregation, SampleExpr, Stage, VectorAggregation,
};
use crate::literal::{format_compact, format_window};
use crate::printer::operator;
use novaobs_model::labels::go_quote;

/// Expressions up to this many bytes stay on a line.
const MAX_LINE: usize = 100;

/// The expression as the peer's formatter writes it: what fits a line of 100 bytes on one line, the rest
/// broken up and indented by two spaces a level. Where the peer's text would mean something else (it leaves
/// out parentheses, the `or` of long line filters, and `on ()`) these are kept.
pub fn pretty(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => pretty_log(log, 0),
        Expr::Sample(sample) => pretty_sample(sample, 0),
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn fits(text: &str) -> bool {
    text.len() <= MAX_LINE
}

fn pretty_log(log: &LogExpr, level: usize) -> String {
    let line = log.to_string();
    if log.stages.is_empty() || fits(&line) {
        return indent(level) + &line;
    }
    let selector = LogExpr { matchers: log.matchers.clone(), stages: Vec::new() };
    let mut out = indent(level) + &selector.to_string();
    let mut rest = log.stages.as_slice();
    while let [first, others @ ..] = rest {
        out.push('\n');
        if matches!(first, Stage::Line(_)) {
            let filters = rest.iter().take_while(|stage| matches!(stage, Stage::Line(_))).count();
            let (run, others) = rest.split_at(filters);
            out.push_str(&pretty_line_filters(run, level + 1));
            rest = others;
            continue;
        }
        // The peer forgets to indent this one.
        if !matches!(first, Stage::Decolorize) {
            out.push_str(&indent(level + 1));
        }
        out.push_str(&first.to_string());
        rest = others;
    }
    out
}

/// Line filters in a row: as many of the first ones as fit share a line, each other has its own.
fn pretty_line_filters(run: &[Stage], level: usize) -> String {
    let texts: Vec<String> = run.iter().map(Stage::to_string).collect();
    let mut shared = 0;
    let mut length = 0;
    for text in &texts {
        length += text.len() + usize::from(shared > 0);
        if shared > 0 && length > MAX_LINE {
            break;
        }
        shared += 1;
    }
    let (first, others) = texts.split_at(shared);
    let mut out = indent(level) + &first.join(" ");
    for text in others {
        out.push('\n');
        out.push_str(&indent(level));
        out.push_str(text);
    }
    out
}

fn pretty_sample(expr: &SampleExpr, level: usize) -> String {
    let line = expr.to_string();
    if fits(&line) {
        return indent(level) + &line;
    }
    let margin = indent(level);
    match expr {
        SampleExpr::Literal(_) | SampleExpr::VectorFn(_) => margin + &line,
        SampleExpr::Range(range) => pretty_range_aggregation(range, level),
        SampleExpr::Vector(vector) => pretty_vector_aggregation(vector, level),
        SampleExpr::Binary(binary) => {
            let splits_left = |inner: &BinaryExpr| !inner.op.goes_before(binary.op);
            let splits_right = |inner: &BinaryExpr| binary.op.goes_before(inner.op);
            let left = pretty_side(&binary.left, level + 1, splits_left);
            let right = pretty_side(&binary.right, level + 1, splits_right);
            format!("{left}\n{margin}{}\n{right}", operator(binary, ", ", right.trim_start()))
        }
        SampleExpr::LabelReplace { inner, dst, replacement, src, regex } => {
            let mut out = format!("{margin}label_replace(\n{}", pretty_sample(inner, level + 1));
            for text in [dst, replacement, src, regex] {
                out.push_str(",\n");
                out.push_str(&indent(level + 1));
                out.push_str(&go_quote(text));
            }
            out + "\n" + &margin + ")"
        }
    }
}

/// A side of an operator, in parentheses when it is a broken-up expression that would be read differently
/// without: the peer leaves them out.
fn pretty_side(side: &SampleExpr, level: usize, splits: impl Fn(&BinaryExpr) -> bool) -> String {
    match side {
        SampleExpr::Binary(inner) if splits(inner) && !fits(&side.to_string()) => {
            let margin = indent(level);
            format!("{margin}(\n{}\n{margin})", pretty_sample(side, level + 1))
        }
        _ => pretty_sample(side, level),
    }
}

fn pretty_range_aggregation(range: &RangeAggregation, level: usize) -> String {
    let margin = indent(level);
    let mut out = format!("{margin}{}(\n", range.op.name());
    if let Some(parameter) = range.parameter {
        out.push_str(&format!("{}{},\n", indent(level + 1), format_compact(parameter)));
    }
    out.push_str(&pretty_range(&range.range, level + 1));
    out.push_str(&format!("\n{margin})"));
    if let Some(grouping) = &range.grouping {
        out.push_str(&pretty_grouping(grouping));
    }
    out
}

fn pretty_range(range: &LogRange, level: usize) -> String {
    let mut out = pretty_log(&range.log, level);
    if let Some(unwrap) = &range.unwrap {
        let only = crate::ast::Unwrap { filters: Vec::new(), ..unwrap.clone() };
        let margin = indent(level + 1);
        out.push_str(&format!("\n{margin}{only}"));
        for filter in &unwrap.filters {
            out.push_str(&format!("\n{margin}| {filter}"));
        }
    }
    out.push_str(&format!(" [{}]", format_window(range.window)));
    if range.offset != 0 {
        out.push_str(&format!(" offset {}", format_window(range.offset)));
    }
    out
}

fn pretty_vector_aggregation(vector: &VectorAggregation, level: usize) -> String {
    let margin = indent(level);
    let mut out = format!("{margin}{}", vector.op.name());
    if let Some(grouping) = &vector.grouping {
        out.push_str(&pretty_grouping(grouping));
    }
    out.push_str("(\n");
    if let Some(parameter) = vector.parameter {
        out.push_str(&format!("{}{parameter},\n", indent(level + 1)));
    }
    out + &pretty_sample(&vector.inner, level + 1) + "\n" + &margin + ")"
}

/// Behind a space; parentheses without labels are left out.
fn pretty_grouping(grouping: &Grouping) -> String {
    let labels = grouping.labels.join(", ");
    match (grouping.without, grouping.labels.is_empty()) {
        (false, true) => String::new(),
        (true, true) => " without".to_owned(),
        (false, false) => format!(" by ({labels})"),
        (true, false) => format!(" without ({labels})"),
    }
}
