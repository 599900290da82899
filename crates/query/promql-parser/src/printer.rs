//! Syntax tree to text: on one line (`Display`), or broken over lines (`/api/v1/format_query`).
//!
//! Both forms are the peer's and parse back to the same tree.

use std::fmt::{self, Display, Formatter, Write};

use novaobs_model::duration::format_ms;
use novaobs_model::labels::{go_quote, is_legacy_label_name};
use novaobs_model::{METRIC_NAME, MatchOp, Matcher};

use crate::ast::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, DurationNode, Expr, ExprKind, Matching,
    MatrixSelector, Modifiers, NumberLiteral, Subquery, VectorSelector,
};

/// Longest line before an expression is broken up, in bytes.
const MAX_LINE: usize = 100;

/// The expression over several lines where it is longer than 100 bytes, indented by two spaces.
/// Comments are gone: the tree does not hold them.
pub fn format_query(expr: &Expr) -> String {
    let mut out = String::new();
    pretty(expr, 0, &mut out);
    out
}

fn pretty(expr: &Expr, level: usize, out: &mut String) {
    match &expr.kind {
        // The peer does not indent a subquery that fits.
        ExprKind::Subquery(subquery) if is_long(expr) => {
            pretty(&subquery.expr, level, out);
            push(out, &SubquerySuffix(subquery));
            return;
        }
        ExprKind::Subquery(_) => return push(out, expr),
        ExprKind::Unary { negative, expr } => {
            let mut operand = String::new();
            pretty(expr, level, &mut operand);
            indent(level, out);
            out.push(if *negative { '-' } else { '+' });
            out.push_str(operand.trim());
            return;
        }
        ExprKind::Binary(binary) if is_long(expr) => return pretty_binary(binary, level, out),
        _ => {}
    }
    indent(level, out);
    if !is_long(expr) {
        return push(out, expr);
    }
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            push(out, &AggregateHead(aggregate));
            pretty_list(aggregate.param.iter().chain([&aggregate.expr]), level, out);
        }
        ExprKind::Call(call) => {
            out.push_str(call.function.name);
            pretty_list(call.args.iter(), level, out);
        }
        ExprKind::Paren(inner) => pretty_list([&**inner].into_iter(), level, out),
        _ => push(out, expr),
    }
}

fn pretty_binary(binary: &Binary, level: usize, out: &mut String) {
    pretty(&binary.left, level + 1, out);
    out.push('\n');
    indent(level, out);
    push(out, &Operator(binary));
    out.push('\n');
    pretty(&binary.right, level + 1, out);
}

/// Parentheses around expressions, each on lines of its own.
fn pretty_list<'a>(items: impl Iterator<Item = &'a Expr>, level: usize, out: &mut String) {
    out.push_str("(\n");
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push_str(",\n");
        }
        pretty(item, level + 1, out);
    }
    out.push('\n');
    indent(level, out);
    out.push(')');
}

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn push(out: &mut String, item: &dyn Display) {
    // Writing into a text cannot fail.
    let _ = write!(out, "{item}");
}

/// Whether the one-line form is longer than a line; stops printing as soon as it is.
fn is_long(expr: &Expr) -> bool {
    struct Room(usize);
    impl Write for Room {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    write!(Room(MAX_LINE), "{expr}").is_err()
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::VectorSelector(selector) => write_selector(f, selector),
            ExprKind::MatrixSelector(matrix) => write_matrix(f, matrix),
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, SubquerySuffix(subquery)),
            ExprKind::Unary { negative, expr } => write!(f, "{}{expr}", if *negative { '-' } else { '+' }),
            ExprKind::Binary(binary) => write!(f, "{} {} {}", binary.left, Operator(binary), binary.right),
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", AggregateHead(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Call(call) => write_call(f, call),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&go_float(self.value, None));
        }
        if self.value < 0.0 {
            f.write_str("-")?;
        }
        f.write_str(&format_ms((self.value.abs() * 1000.0).round() as u64))
    }
}

fn write_call(f: &mut Formatter<'_>, call: &Call) -> fmt::Result {
    write!(f, "{}(", call.function.name)?;
    for (at, arg) in call.args.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        arg.fmt(f)?;
    }
    f.write_str(")")
}

/// `sum by (a, b) `, the part before the arguments.
struct AggregateHead<'a>(&'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        let word = match (self.0.without, self.0.labels.is_empty()) {
            (true, _) => "without",
            (false, false) => "by",
            (false, true) => return Ok(()),
        };
        write!(f, " {word} {} ", LabelList(&self.0.labels))
    }
}

/// `== bool on (a) group_left (b) fill (0)`.
struct Operator<'a>(&'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => write_matching(f, matching),
            None => Ok(()),
        }
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &Matching) -> fmt::Result {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if matching.on || !matching.labels.is_empty() || group.is_some() {
        let word = if matching.on { "on" } else { "ignoring" };
        write!(f, " {word} {}", LabelList(&matching.labels))?;
    }
    if let Some(group) = group {
        write!(f, " {group} {}", LabelList(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", go_value(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", go_value(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", go_value(right))?;
            }
            Ok(())
        }
    }
}

/// `(a, "b.c")`.
struct LabelList<'a>(&'a [String]);

impl Display for LabelList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (at, label) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&label_name(label))?;
        }
        f.write_str(")")
    }
}

fn write_selector(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    write_conditions(f, selector)?;
    write_at(f, &selector.modifiers)?;
    write_extended(f, selector)?;
    write_offset(f, &selector.modifiers)
}

fn write_matrix(f: &mut Formatter<'_>, matrix: &MatrixSelector) -> fmt::Result {
    let selector = &matrix.selector;
    write_conditions(f, selector)?;
    write!(f, "[{}]", matrix.range)?;
    write_extended(f, selector)?;
    write_at(f, &selector.modifiers)?;
    write_offset(f, &selector.modifiers)
}

/// `name{a="b",c="d"}`, the conditions sorted.
fn write_conditions(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or_default();
    f.write_str(name)?;
    let says_name = |matcher: &&Matcher| {
        matcher.name == METRIC_NAME
            && matcher.op == MatchOp::Equal
            && matcher.value == name
            && !name.is_empty()
    };
    let mut conditions: Vec<String> = selector
        .matchers
        .iter()
        .filter(|matcher| !says_name(matcher))
        .map(|matcher| format!("{}{}{}", label_name(&matcher.name), matcher.op, quote(&matcher.value)))
        .collect();
    if conditions.is_empty() {
        // The peer prints an info() selector without conditions as nothing, which does not parse back.
        return if name.is_empty() { f.write_str("{}") } else { Ok(()) };
    }
    conditions.sort_unstable();
    write!(f, "{{{}}}", conditions.join(","))
}

fn write_extended(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    match selector.extended {
        Some(extended) => write!(f, " {}", extended.as_str()),
        None => Ok(()),
    }
}

fn write_at(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    match modifiers.at {
        Some(At::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        None => Ok(()),
    }
}

fn write_offset(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    match &modifiers.offset {
        Some(offset) => write!(f, " offset {offset}"),
        None => Ok(()),
    }
}

/// `[1h:5m] @ end() offset 5m`.
struct SubquerySuffix<'a>(&'a Subquery);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            step.fmt(f)?;
        }
        f.write_str("]")?;
        write_at(f, &self.0.modifiers)?;
        write_offset(f, &self.0.modifiers)
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Literal(ms) => {
                if *ms < 0 {
                    f.write_str("-")?;
                }
                f.write_str(&format_ms(ms.unsigned_abs()))
            }
            DurationExpr::Computed(node) => node.fmt(f),
        }
    }
}

impl Display for DurationNode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationNode::Number(number) => number.fmt(f),
            DurationNode::Step => f.write_str("step()"),
            DurationNode::Range => f.write_str("range()"),
            DurationNode::Negative(inner) => write!(f, "-{inner}"),
            DurationNode::Paren(inner) => write!(f, "({inner})"),
            DurationNode::Binary { op, left, right } => write!(f, "{left} {} {right}", op.as_str()),
            DurationNode::MinOf(left, right) => write!(f, "min_of({left}, {right})"),
            DurationNode::MaxOf(left, right) => write!(f, "max_of({left}, {right})"),
        }
    }
}

fn label_name(name: &str) -> String {
    if is_legacy_label_name(name) { name.to_owned() } else { quote(name) }
}

/// Go's quotes, with U+FFFD escaped: the lexer, like the peer's, takes a bare one for broken UTF-8.
fn quote(text: &str) -> String {
    let quoted = go_quote(text);
    if quoted.contains('\u{fffd}') { quoted.replace('\u{fffd}', "\\ufffd") } else { quoted }
}

/// A float as Go's `strconv.FormatFloat(value, 'f', …)` writes it: never with an exponent, with the
/// given decimals or as few as tell it apart.
pub(crate) fn go_float(value: f64, decimals: Option<usize>) -> String {
    match decimals {
        _ if value == f64::INFINITY => "+Inf".to_owned(),
        _ if value == f64::NEG_INFINITY => "-Inf".to_owned(),
        Some(decimals) => format!("{value:.decimals$}"),
        None => format!("{value}"),
    }
}

/// A float as Go's `%v` writes it: with an exponent below 1e-4 and from 1e21.
fn go_value(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            return format!("{mantissa}e{sign}{digits:0>2}");
        }
    }
    go_float(value, None)
}
